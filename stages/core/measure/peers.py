"""What the comparison programs share: the row's net as its document writes it, and its targets as the loss wants them.

They know nothing of the engine but its models' initial weights, so that all train the same net.
"""

from __future__ import annotations

import math

import keras
import numpy as np

from stages.core.base.errors import UserError
from stages.core.config.row import Row
from stages.core.data.splits import Splits
from stages.core.training import models, vocabulary


def document_model(row: Row, seed: int) -> keras.Sequential:
    """The row's model with Keras' own dropout, not compiled."""
    layers = [
        keras.layers.Dropout(layer.rate, seed=seed) if isinstance(layer, keras.layers.Dropout) else layer
        for layer in models.build(row, seed).layers
    ]
    return keras.Sequential([keras.Input(row.dataset.shape), *layers])


def optimizer(row: Row) -> keras.optimizers.Optimizer:
    """Keras' optimizer with the row's values."""
    cls, arguments = vocabulary.optimizer(row.optimizer.model_dump())
    return cls(**arguments)


def arrays(row: Row, samples: Splits) -> Splits:
    """Inputs divided by the scale; class numbers as they are or one-hot, as the loss wants them, values as (n, 1)."""
    return {name: (scaled(row, x), targets(row, y)) for name, (x, y) in samples.items()}


def scaled(row: Row, x: np.ndarray) -> np.ndarray:
    """Raises UserError for a scale that is fitted: no study that is timed has one."""
    if isinstance(row.dataset.scale, str):
        raise UserError(f"{row.study}: its data are scaled by {row.dataset.scale}, which is not timed")
    return x if row.dataset.scale is None else x / row.dataset.scale


def targets(row: Row, y: np.ndarray) -> np.ndarray:
    if row.dataset.classes is None:
        return y[:, None]
    return y if str(row.training.loss).startswith("sparse") else keras.utils.to_categorical(y, row.dataset.classes)


def products(row: Row) -> list[int]:
    """Multiply-adds of each layer with a kernel in a prediction of one sample: its weights, for each pixel it gives."""
    weighted = [layer for layer in models.build(row, 0).layers if hasattr(layer, "kernel")]
    return [math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:-1]) for layer in weighted]
