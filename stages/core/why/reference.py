"""What scikit-learn makes of the same data in seconds: whether they can be learnt at all, and how well."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass

import numpy as np

from stages.core.why import task as tasks
from stages.core.why.setup import Data, reproduces_inputs
from stages.core.why.task import Task

SAMPLES, COLUMNS = 1500, 400
"""At most so many are looked at."""

FEW = 24
"""With fewer samples there is nothing to hold out: a reference then cannot be told from memory."""


@dataclass(frozen=True)
class Reference:
    """The best of a few models, by cross-validation."""

    skill: float  # on held-out folds, as task.skill
    name: str
    samples: int


def reference(data: Data, task: Task, seconds: float, text: bool = False) -> Reference | None:
    """The best cross-validated skill that common models reach; None for too few samples or none that could be fitted.

    Args:
        text: inputs are numbers of words: they are counted.
    """
    if data.n < FEW or any(x.dtype.kind in "USO" for x in data.x) or reproduces_inputs(data):
        return None
    x, y = np.concatenate([_flat(x.reshape(data.n, -1), text) for x in data.x], axis=1), data.y[0]
    if len(x) != len(y) or (y.ndim > 2 and task.is_classes):
        return None
    rows = np.random.default_rng(0).permutation(len(x))[:SAMPLES]
    x, y = x[rows], y[rows]
    target = tasks.class_numbers(task, y) if task.is_classes else tasks.numbers(y).reshape(len(y), -1)[:, :16]
    if not np.isfinite(x).all() or not np.isfinite(target).all() or len(np.unique(target, axis=0)) < 2:
        return None
    end, best = time.monotonic() + seconds, None
    for name, model in _models(task, x.shape[1], target):
        if best and time.monotonic() > end:
            break
        value = _cross_validated(model, x, target, task)
        if value is not None and (best is None or value > best.skill):
            best = Reference(value, name, len(x))
    return best


def _flat(x: np.ndarray, text: bool) -> np.ndarray:
    """Columns of one input, (samples, values): numbers of words as how often each occurs."""
    if text and x.min() >= 0 and x.max() < 100_000 and (x == np.round(x)).all():
        words = np.unique(x)[:2000]
        place = np.searchsorted(words, x).clip(0, len(words) - 1)
        counts = np.zeros((len(x), len(words)), np.float32)
        np.add.at(counts, (np.arange(len(x))[:, None], place), words[place] == x)
        return counts
    x = x.astype(np.float32)
    return x[:, :: max(1, -(-x.shape[1] // COLUMNS))]


def _models(task: Task, columns: int, target: np.ndarray) -> list[tuple[str, object]]:
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if task.is_classes:
        return [
            ("random trees", ExtraTreesClassifier(100, class_weight="balanced", min_samples_leaf=2, random_state=0)),
            ("logistic regression", make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))),
            ("nearest neighbours", make_pipeline(StandardScaler(), KNeighborsClassifier())),
        ]
    return [
        ("random trees", ExtraTreesRegressor(100, min_samples_leaf=2, random_state=0)),
        ("ridge regression", make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 7)))),
        ("nearest neighbours", make_pipeline(StandardScaler(), KNeighborsRegressor())),
    ]


def _cross_validated(model, x: np.ndarray, target: np.ndarray, task: Task) -> float | None:
    """Skill of predictions for samples that the model did not see, over three folds; None if it cannot be fitted."""
    from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict

    stratified = task.is_classes and np.bincount(target)[np.unique(target)].min() >= 3
    folds = (StratifiedKFold if stratified else KFold)(3, shuffle=True, random_state=0)
    target = target[:, 0] if target.ndim > 1 and target.shape[1] == 1 else target
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            said = cross_val_predict(model, x, target, cv=folds)
    except (ValueError, MemoryError):
        return None
    if task.is_classes:
        return tasks.balanced_skill(target, said)
    said = said.reshape(len(said), -1)
    if task.kind == "labels":
        return tasks.skill(Task("labels", width=said.shape[1]), target.reshape(said.shape), said)
    return tasks.skill(Task("values", width=said.shape[1]), target.reshape(said.shape), said)
