"""The samples of all splits on the device, as the programs take them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from stages.core.config.row import Dataset, Row
from stages.core.data import scaling
from stages.core.training.targets import Task


class Samples(NamedTuple):
    """All splits in one array, in their order; all are tensors, so that a program takes other samples of these shapes.

    Inputs stay as the data set has them, images as bytes, and are scaled by the batch: that takes less memory. The
    scale is a run-time value: with a constant XLA would multiply by its reciprocal, which is not x / 255.
    """

    x: tf.Tensor  # uint8 or float32 (n, *shape of a sample)
    y: tf.Tensor  # as `Task.encode` gives it
    scale: tf.Tensor  # float32 (): the divisor of the inputs; 1 where there is none
    class_weight: tf.Tensor  # float32 (classes,): of each class in the training loss
    unit: tf.Tensor | None = None  # float32 (targets,): what 1 stands for in scaled targets, in their own unit


def on_device(row: Row, task: Task, splits: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Samples:
    """The samples of `splits`: x uint8 or float32 (n, *shape), y class numbers or values (n,) or encoded (n, k)."""
    weights = np.ones(row.dataset.classes or 1, np.float32)
    for number, weight in (row.training.class_weight or {}).items():
        weights[number] = weight
    x, divisor = inputs(row.dataset, splits)
    y, unit = targets(row.dataset, {name: task.encode(y) for name, (_, y) in splits.items()})
    return Samples(
        tf.constant(x.reshape(len(x), *row.dataset.shape)),
        tf.constant(y),
        tf.constant(divisor, tf.float32),
        tf.constant(weights),
        unit if unit is None else tf.constant(unit),
    )


def inputs(dataset: Dataset, splits: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, float]:
    """All inputs, (n, *shape of a sample), and what is still to divide them by."""
    x, scale = np.concatenate([x for x, _ in splits.values()]), dataset.scale
    n = len(splits["train"][0])  # which come first
    if dataset.missing is not None:
        x = scaling.imputed(x, x[:n], dataset.missing)
    if isinstance(scale, str):
        return scaling.scaled(x, *scaling.fitted(x[:n], scale)), 1.0
    return x, scale or 1.0


def targets(dataset: Dataset, encoded: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
    """All encoded targets, scaled where the data set says so, and then what 1 stands for, float32 (targets,)."""
    y = np.concatenate(list(encoded.values()))
    if dataset.target_scale is None:
        return y, None
    shift, unit = scaling.fitted(encoded["train"], dataset.target_scale)
    return scaling.scaled(y, shift, unit), unit


def ranges(splits: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, tuple[int, int]]:
    """Where each split starts and stops in the arrays of `on_device`."""
    starts = np.cumsum([0, *(len(x) for x, _ in splits.values())]).tolist()
    return dict(zip(splits, pairwise(starts), strict=True))
