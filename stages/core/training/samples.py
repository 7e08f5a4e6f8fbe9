"""The samples of all splits on the device, as the programs take them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from stages.core.config.row import Row
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


def on_device(row: Row, task: Task, splits: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Samples:
    """The samples of `splits`: x uint8 or float32 (n, *shape), y class numbers or values (n,) or encoded (n, k)."""
    weights = np.ones(row.dataset.classes or 1, np.float32)
    for number, weight in (row.training.class_weight or {}).items():
        weights[number] = weight
    x = np.concatenate([x for x, _ in splits.values()])
    return Samples(
        tf.constant(x.reshape(len(x), *row.dataset.shape)),
        tf.constant(np.concatenate([task.encode(y) for _, y in splits.values()])),
        tf.constant(row.dataset.scale or 1.0, tf.float32),
        tf.constant(weights),
    )


def ranges(splits: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, tuple[int, int]]:
    """Where each split starts and stops in the arrays of `on_device`."""
    starts = np.cumsum([0, *(len(x) for x, _ in splits.values())]).tolist()
    return dict(zip(splits, pairwise(starts), strict=True))
