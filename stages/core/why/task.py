"""What the data ask of a net, and how well predictions answer: skill, the share of the way from guessing to perfection.

Judged by predictions and never by a loss: a net with one softmax unit has a falling loss and predicts one class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from stages.core.why import net as nets
from stages.core.why.setup import Data, Setup

MANY_CLASSES = 50
"""More different whole numbers than this are values, unless the net has a unit for each."""

Kind = Literal["binary", "classes", "labels", "values"]
UNIT_INTERVAL = ("sigmoid", "softmax", "hard_sigmoid")


@dataclass(frozen=True)
class Task:
    """What the targets of one output are.

    binary, classes: one class a sample, as a number (`one_hot` False) or a row with one 1. labels: several zeros and
    ones a sample, each a question of its own. values: regression.
    """

    kind: Kind
    classes: int = 0  # how many different ones there are
    one_hot: bool = False
    width: int = 1  # last axis of one target
    names: tuple[float, ...] = ()  # the classes' numbers, in order; empty for one-hot and values

    @property
    def is_classes(self) -> bool:
        return self.kind in ("binary", "classes")


def find(setup: Setup, y: np.ndarray) -> Task:
    """What the targets of the first output are, by their values; where these can be read either way, by the loss."""
    if y.dtype.kind in "US":
        names = np.unique(y)
        return Task("binary" if len(names) == 2 else "classes", len(names), names=tuple(range(len(names))))
    width = y.shape[-1] if y.ndim > 1 else 1
    return _of_rows(setup, y, width) if width > 1 else _of_numbers(setup, y)


def _of_rows(setup: Setup, y: np.ndarray, width: int) -> Task:
    rows = y.reshape(-1, width)
    rows = rows[np.isfinite(rows).all(axis=1)]
    if len(rows) and np.isin(rows, (0, 1)).all():
        if (rows.sum(axis=1) == 1).all():
            return Task("binary" if width == 2 else "classes", width, one_hot=True, width=width)
        if (meant_for_classes(setup) or rows.dtype.kind in "iu") and (y.ndim == 2 or "entropy" in setup.loss):
            return Task("labels", width=width)
    return Task("values", width=width)


def _of_numbers(setup: Setup, y: np.ndarray) -> Task:
    finite = y[np.isfinite(y)]
    values = np.unique(finite)
    whole = len(values) > 0 and bool((values == np.round(values)).all())
    if len(values) == 2 and (whole or meant_for_classes(setup)):
        return Task("binary", 2, names=tuple(values.tolist()))
    if y.ndim > 2 and "sparse" not in setup.loss and len(values) > 2:  # the numbers of a picture or a sequence
        return Task("values")
    few = whole and 2 < len(values) <= max(MANY_CLASSES, nets.output_units(setup.net) or 0)
    repeated = len(values) <= max(3, len(finite) // 3)
    if few and meant_for_classes(setup) and (repeated or "sparse" in setup.loss):
        return Task("classes", len(values), names=tuple(values.tolist()))
    return Task("values")


def meant_for_classes(setup: Setup) -> bool:
    """Whether the script treats its targets as classes: by its loss, or by a softmax or several sigmoids at the end."""
    if "entropy" in setup.loss or setup.loss in ("hinge", "squared_hinge", "categorical_hinge", "sparse_categorical"):
        return True
    units = nets.output_units(setup.net) or 1
    return nets.output_activation(setup.net) == "softmax" or (
        units > 1 and nets.output_activation(setup.net) == "sigmoid"
    )


def numbers(y: np.ndarray) -> np.ndarray:
    """Targets as numbers: text by its rank."""
    return np.unique(y, return_inverse=True)[1].reshape(y.shape) if y.dtype.kind in "US" else y


def class_numbers(task: Task, y: np.ndarray) -> np.ndarray:
    """Classes 0 … k-1 of the targets of a classification, flat."""
    if task.one_hot:
        return y.reshape(-1, task.width).argmax(axis=1)
    return np.searchsorted(np.asarray(task.names), numbers(y).reshape(-1))


def decided(task: Task, p: np.ndarray, output: str, from_logits: bool) -> np.ndarray:
    """Classes 0 … k-1 that outputs stand for, as their user reads them.

    Args:
        p: outputs, last axis units.
        output: activation at the end of the net.
        from_logits: the loss takes outputs as logits.
    """
    units = p.shape[-1]
    p = p.reshape(-1, units)
    names = np.arange(task.classes) if task.one_hot or not task.names else np.asarray(task.names)
    if units > 1:
        said = p.argmax(axis=1)
        return said if task.one_hot else _nearest(names, said)
    p = p[:, 0]
    if len(names) == 2:
        within = output in UNIT_INTERVAL and not 0 <= names.min() <= names.max() <= 1
        threshold = 0.0 if from_logits else 0.5 if within else names.mean()
        return (p > threshold).astype(int)
    return _nearest(names, p)


def _nearest(names: np.ndarray, said: np.ndarray) -> np.ndarray:
    """Index of the nearest name, or -1 where none is within one half of the names' distance."""
    index = np.abs(said[:, None] - names[None, :]).argmin(axis=1)
    near = np.abs(said - names[index]) <= 0.5 * (np.diff(names).max() if len(names) > 1 else 1)
    return np.where(near, index, -1)


def skill(task: Task, y: np.ndarray, p: np.ndarray, output: str = "linear", from_logits: bool = False) -> float:
    """How well outputs fit targets: 0 as by guessing, 1 perfectly; below 0 counts as 0.

    Classes: balanced accuracy, (mean over classes of the share recognized - 1/k) / (1 - 1/k) (Brodersen et al. 2010).
    Labels: the same of each, on average. Values: R², all columns that vary weighted by their variance.
    """
    if not np.isfinite(p).all():
        return 0.0
    if task.is_classes:
        if p.size // p.shape[-1] != y.size // (task.width if task.one_hot else 1):
            return 0.0
        return balanced_skill(class_numbers(task, y), decided(task, p, output, from_logits))
    y = numbers(y).astype(np.float64).reshape(-1, task.width)
    if p.size != y.size:
        return 0.0
    p = p.reshape(y.shape).astype(np.float64)
    if task.kind == "labels":
        said = p > (0.0 if from_logits else 0.5)
        varied = [k for k in range(task.width) if 0 < y[:, k].mean() < 1]
        return (
            float(np.mean([balanced_skill(y[:, k].astype(int), said[:, k].astype(int)) for k in varied]))
            if varied
            else 0.0
        )
    total = np.square(y - y.mean(axis=0)).sum()
    return max(0.0, float(1 - np.square(y - p).sum() / total)) if total > 0 else 0.0


def balanced_skill(true: np.ndarray, said: np.ndarray) -> float:
    """Skill of class numbers, (n,) each: how far above guessing the mean recall of the classes is."""
    classes = np.unique(true)
    if len(classes) < 2:
        return 0.0
    recall = np.mean([(said[true == c] == c).mean() for c in classes])
    return max(0.0, float((recall - 1 / len(classes)) / (1 - 1 / len(classes))))


def one_answer(task: Task, p: np.ndarray, output: str = "linear", from_logits: bool = False) -> bool:
    """Whether nearly all samples get the same answer: one class, or one value."""
    if not np.isfinite(p).all():
        return False
    if task.is_classes:
        said = decided(task, p, output, from_logits)
        return bool(np.unique(said, return_counts=True)[1].max() >= 0.98 * len(said))
    flat = p.reshape(-1, p.shape[-1])
    return bool((flat.std(axis=0) <= 1e-4 * (np.abs(flat).mean(axis=0) + 1e-6)).all())


def ceiling(task: Task, data: Data) -> float:
    """The most that any function of the inputs can fit: samples with equal inputs and other targets set it."""
    if len(data.x) != 1 or data.n > 20_000 or not (task.is_classes or task.kind == "values"):
        return 1.0
    flat = np.ascontiguousarray(data.x[0].reshape(data.n, -1))
    _, group = np.unique(flat, axis=0, return_inverse=True)
    group = group.reshape(-1)
    if len(np.unique(group)) == data.n:
        return 1.0
    y = data.y[0]
    if task.is_classes:
        true = class_numbers(task, y)
        if len(true) != data.n:
            return 1.0
        table = np.zeros((group.max() + 1, task.classes))
        np.add.at(table, (group, true), 1)
        weight = table / np.maximum(table.sum(axis=0), 1)  # by class share: balanced accuracy
        return balanced_skill(true, weight.argmax(axis=1)[group])
    y = y.reshape(data.n, -1).astype(np.float64)
    if not np.ptp(y, axis=0).any():
        return 1.0
    counts = np.bincount(group)
    means = np.stack([np.bincount(group, y[:, k]) / counts for k in range(y.shape[1])], axis=1)
    return skill(Task("values", width=y.shape[1]), y, means[group])
