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
        rule: `validation` none, tail (the last samples, in file order) or random; `size` a number of samples (int) or a
            share of them (float); `random_state` the seed of random.

    The tail's share is counted as Keras' `validation_split` does it: training stops at floor(n (1 - size)). Random is
    scikit-learn's `train_test_split(x, y, test_size=size, random_state=random_state)`, order included.

    Raises:
        UserError: the size leaves a split empty, or the monitored split does not exist.
    """
    splits = SPLITS[rule.validation](arrays.train_x, arrays.train_y, rule)
    if arrays.test_x is not None:
        splits["test"] = (arrays.test_x, arrays.test_y)
    if rule.monitor not in splits:
        raise UserError(f"split: monitor: the data set has no {rule.monitor} samples")
    return splits


def guess(splits: Splits, classes: int | None) -> dict[str, float]:
    """What a model that ignores its inputs reaches on each split, rounded to 7 digits.

    For classes the accuracy of the split's most frequent class; for regression the mean absolute error of the training
    targets' mean.
    """
    if classes is not None:
        return {name: round(float(np.bincount(y).max()) / len(y), 7) for name, (_, y) in splits.items()}
    mean = splits["train"][1].mean(dtype=np.float64)
    return {name: round(float(np.abs(y - mean).mean()), 7) for name, (_, y) in splits.items()}


def _no_validation(x: np.ndarray, y: np.ndarray, rule: Split) -> Splits:
    return {"train": (x, y)}


def _tail_validation(x: np.ndarray, y: np.ndarray, rule: Split) -> Splits:
    size = rule.size
    cut = math.floor(len(x) * (1 - size)) if isinstance(size, float) else len(x) - size
    if not 0 < cut < len(x):
        raise UserError(f"split: a validation size of {size} leaves a split of the {len(x)} samples empty")
    return {"train": (x[:cut], y[:cut]), "validation": (x[cut:], y[cut:])}


def _random_validation(x: np.ndarray, y: np.ndarray, rule: Split) -> Splits:
    from sklearn.model_selection import train_test_split  # a second to import: only where a study asks for it

    try:
        parts = train_test_split(x, y, test_size=rule.size, random_state=rule.random_state)
    except ValueError as error:
        raise UserError(f"split: a validation size of {rule.size} does not fit {len(x)} samples") from error
    train_x, validation_x, train_y, validation_y = parts
    return {"train": (train_x, train_y), "validation": (validation_x, validation_y)}


SPLITS = {"none": _no_validation, "tail": _tail_validation, "random": _random_validation}
