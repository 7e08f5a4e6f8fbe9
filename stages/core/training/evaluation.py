"""Measuring a state on a split: loss, penalty, metric, predicted classes, saturated units.

A split is a range of the samples: full batches and a rest. Splits with the same rest share a program.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from stages.core.training.state import State

BATCH = 500


def summed(
    batch: Callable[[tf.Tensor, int], Any], zeros: Any, start: tf.Tensor, batches: tf.Tensor, full: int, rest: int
) -> Any:
    """Sums of what `batch(begin, size)` gives, shaped like `zeros`, over `batches` of size `full` and one of `rest`."""

    def add(sums, begin, size):
        return tf.nest.map_structure(tf.add, sums, batch(begin, size))

    # The loop carries `begin`: XLA would compile anew for every `start` that it knows where a slice begins.
    begin, sums = tf.while_loop(
        lambda begin, _: begin < start + batches * full,
        lambda begin, sums: (begin + full, add(sums, begin, full)),
        [start, zeros],
    )
    return add(sums, begin, rest) if rest else sums


def part(values: tf.Tensor, begin: tf.Tensor, size: int) -> tf.Tensor:
    """`size` of the values from `begin` on, along the first axis."""
    return tf.slice(values, [begin] + [0] * (len(values.shape) - 1), [size, *values.shape[1:]])


class Saturation:
    """The share of saturated outputs of each hidden activated layer.

    Sigmoid and tanh: outputs within 0.01 of a limit. Relu: units (or channels) that are 0 for every sample.
    """

    def __init__(self, model: keras.Model):
        self.model = model
        self.layers = _hidden(model)
        self.names = [layer.name for layer in self.layers]

    def shares(
        self, batch_of: Callable[[tf.Tensor, int], tf.Tensor], state: State, where: tuple, full: int
    ) -> tf.Tensor:
        """float32 (layers,), over the samples that `batch_of(begin, size)` gives."""
        start, batches, rest = where
        probe = keras.Model(self.model.inputs, [layer.output for layer in self.layers])
        kept = {id(v) for v in probe.variables}
        weights = [w for w, v in zip(state.weights, self.model.trainable_variables, strict=True) if id(v) in kept]
        others = [w for w, v in zip(state.others, self.model.non_trainable_variables, strict=True) if id(v) in kept]

        def batch(begin, size):
            outputs, _ = probe.stateless_call(weights, others, batch_of(begin, size), training=False)
            return [_saturated(layer, out) for layer, out in zip(self.layers, tf.nest.flatten(outputs), strict=True)]

        zeros = [tf.zeros(layer.output.shape[-1:] if _is_relu(layer) else ()) for layer in self.layers]
        sums = summed(batch, zeros, start, batches, full, rest)
        n = tf.cast(batches * full + rest, tf.float32)
        return tf.stack([_share(layer, s, n) for layer, s in zip(self.layers, sums, strict=True)])


def _hidden(model: keras.Model) -> list[keras.Layer]:
    """The layers before the output whose activation can saturate."""
    activated = [layer for layer in model.layers if hasattr(layer, "activation") and len(layer._inbound_nodes) == 1]
    names = {"relu", "sigmoid", "tanh"}
    return [layer for layer in activated[:-1] if getattr(layer.activation, "__name__", "") in names]


def _is_relu(layer: keras.Layer) -> bool:
    return layer.activation.__name__ == "relu"


def _saturated(layer: keras.Layer, outputs: tf.Tensor) -> tf.Tensor:
    """What `_share` turns into a share, summed over a batch: per unit (relu) or over all units (others)."""
    axes = list(range(len(outputs.shape) - 1))
    if _is_relu(layer):
        return tf.reduce_sum(tf.cast(outputs > 0, tf.float32), axes)
    low = 0.0 if layer.activation.__name__ == "sigmoid" else -1.0
    limits = tf.cast((outputs < low + 0.01) | (outputs > 0.99), tf.float32)
    return tf.reduce_sum(tf.reduce_mean(limits, [*axes[1:], len(axes)]))


def _share(layer: keras.Layer, sums: tf.Tensor, n: tf.Tensor) -> tf.Tensor:
    if _is_relu(layer):
        return tf.reduce_mean(tf.cast(sums <= 0, tf.float32))
    return sums / n
