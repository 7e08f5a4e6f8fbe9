"""From a data set's arrays to the samples that a row trains, validates and tests on."""

from __future__ import annotations

import math

import numpy as np

from stages.core.base.errors import UserError
from stages.core.config.row import Split
from stages.core.data.formats import Arrays

Splits = dict[str, tuple[np.ndarray, np.ndarray]]


def split(arrays: Arrays, rule: Split) -> Splits:
    """Inputs and targets of the splits that exist, by name: train, validation, test.

    Args:
        arrays: the data set; its test split is handed on as it is.
        rule: `validation` none, tail (the last samples, in file order), random, stratified (random, class by class),
            grouped (random, group by group) or indices (those that the data set names); `size` a number of samples, or
            of groups (int), or a share of them (float); `random_state` the seed of what is random.

    The tail's share is counted as Keras' `validation_split` does it: training stops at floor(n (1 - size)). Random is
    scikit-learn's `train_test_split(x, y, test_size=size, random_state=random_state)`, order included.

    Raises:
        UserError: the size leaves a split empty, or the monitored split does not exist.
    """
    splits = SPLITS[rule.validation](arrays, rule)
    if arrays.test_x is not None:
        splits["test"] = (arrays.test_x, arrays.test_y)
    if rule.monitor not in splits:
        raise UserError(f"split: monitor: the data set has no {rule.monitor} samples")
    return splits


def guess(splits: Splits, classes: int | None) -> dict[str, float]:
    """What a model that ignores its inputs reaches on each split, rounded to 7 digits.

    For classes the accuracy of the split's most frequent class, for labels its mean over the labels; for regression the
    mean absolute error of the training targets' mean.
    """
    if classes is not None:
        return {name: round(_most_frequent(y), 7) for name, (_, y) in splits.items()}
    mean = splits["train"][1].mean(dtype=np.float64, axis=0)
    return {name: round(float(np.abs(y - mean).mean()), 7) for name, (_, y) in splits.items()}


def check_classes(splits: Splits, classes: int) -> None:
    """Refuse a split in which a class is missing: nothing could be said of it.

    Raises:
        UserError: it names the split and the class.
    """
    for name, (_, y) in splits.items():
        for values in y.T if y.ndim > 1 else [y]:
            missing = np.setdiff1d(np.arange(classes), values)
            if len(missing):
                raise UserError(f"split: no {name} sample is of class {missing[0]}; take another split or more data")


def _most_frequent(y: np.ndarray) -> float:
    """The share of the most frequent class; of labels, (n, k), the mean over them."""
    if y.ndim > 1:
        held = y.mean(axis=0)
        return float(np.maximum(held, 1 - held).mean())
    return float(np.bincount(y).max()) / len(y)


def _no_validation(arrays: Arrays, rule: Split) -> Splits:
    return {"train": (arrays.train_x, arrays.train_y)}


def _tail_validation(arrays: Arrays, rule: Split) -> Splits:
    x, y, size = arrays.train_x, arrays.train_y, rule.size
    cut = math.floor(len(x) * (1 - size)) if isinstance(size, float) else len(x) - size
    if not 0 < cut < len(x):
        raise UserError(f"split: a validation size of {size} leaves a split of the {len(x)} samples empty")
    return {"train": (x[:cut], y[:cut]), "validation": (x[cut:], y[cut:])}


def _random_validation(arrays: Arrays, rule: Split) -> Splits:
    from sklearn.model_selection import train_test_split  # a second to import: only where a study asks for it

    x, y = arrays.train_x, arrays.train_y
    try:
        parts = train_test_split(x, y, test_size=rule.size, random_state=rule.random_state)
    except ValueError as error:
        raise UserError(f"split: a validation size of {rule.size} does not fit {len(x)} samples") from error
    train_x, validation_x, train_y, validation_y = parts
    return {"train": (train_x, train_y), "validation": (validation_x, validation_y)}


def _stratified_validation(arrays: Arrays, rule: Split) -> Splits:
    from sklearn.model_selection import train_test_split

    x, y = arrays.train_x, arrays.train_y
    if y.dtype.kind != "i":
        raise UserError("split: stratified goes with classes, but the targets are values")
    try:
        parts = train_test_split(x, y, test_size=rule.size, random_state=rule.random_state, stratify=y)
    except ValueError as error:
        raise UserError(f"split: stratified: {error}") from error
    train_x, validation_x, train_y, validation_y = parts
    return {"train": (train_x, train_y), "validation": (validation_x, validation_y)}


def _grouped_validation(arrays: Arrays, rule: Split) -> Splits:
    from sklearn.model_selection import GroupShuffleSplit

    if arrays.groups is None:
        raise UserError("split: grouped needs `groups` in the data set's file: the column that names the groups")
    parting = GroupShuffleSplit(1, test_size=rule.size, random_state=rule.random_state)
    try:
        _, held_out = next(parting.split(arrays.train_x, groups=arrays.groups))
    except ValueError as error:
        raise UserError(f"split: grouped: {error}") from error
    return _held_out(arrays, held_out)


def _named_validation(arrays: Arrays, rule: Split) -> Splits:
    if arrays.validation is None:
        raise UserError("split: indices needs a file of them: `members: {validation: FILE}` of the data set")
    return _held_out(arrays, arrays.validation)


def _held_out(arrays: Arrays, indices: np.ndarray) -> Splits:
    held = np.zeros(len(arrays.train_x), bool)
    held[indices] = True
    x, y = arrays.train_x, arrays.train_y
    return {"train": (x[~held], y[~held]), "validation": (x[held], y[held])}


SPLITS = {
    "none": _no_validation,
    "tail": _tail_validation,
    "random": _random_validation,
    "stratified": _stratified_validation,
    "grouped": _grouped_validation,
    "indices": _named_validation,
}
