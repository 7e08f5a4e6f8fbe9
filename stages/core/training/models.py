"""Keras models from rows: the layers are Keras' own, their initial weights depend on the seed alone."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from stages.core.config.row import (
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Initializer,
    MaxPooling2D,
    Regularizer,
    Row,
)


def build(row: Row, seed: int, l1_l2: type[keras.Regularizer] = keras.regularizers.L1L2) -> keras.Sequential:
    """The row's Keras model with the initial weights of `seed`, its penalties made by `l1_l2`.

    Weights are drawn by (seed, position among the layers that have weights), so that rows that differ in regularizers
    or dropout start from the same weights, seed by seed. Layers are named after their type and position (`dense_2`).
    """
    counts: dict[str, int] = {}
    layers = []
    for config in row.layers:
        if isinstance(config, Dropout) and config.rate == 0:
            continue
        counts[config.type] = counts.get(config.type, 0) + 1
        weighted = counts.get("dense", 0) + counts.get("conv2d", 0)
        layers.append(
            _layer(config, f"{config.type}_{counts[config.type]}", row, seed, weighted, counts[config.type], l1_l2)
        )
    return keras.Sequential([keras.Input(row.dataset.shape), *layers])


def derived_seed(*axes: int | str) -> int:
    """A 31-bit seed from named axes, e.g. (seed, "order", epoch): independent for other axes (numpy's SeedSequence)."""
    entropy = [int.from_bytes(axis.encode(), "big") if isinstance(axis, str) else axis for axis in axes]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1)


class ThreefryDropout(keras.layers.Dropout):
    """Keras' inverted dropout, its masks drawn by Threefry: Keras' own generator takes longer than the rest of a step.

    Threefry: Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
    Of 2^32 values, rate x 2^32 drop a unit.
    """

    def call(self, inputs, training=False):
        if not training:
            return inputs
        bits = _random_bits(inputs, self.seed_generator.next())
        return tf.where(bits >= int(self.rate * 2**32), inputs / (1 - self.rate), 0.0)


@tf.function(jit_compile=True, autograph=False)
def _random_bits(like, seed):
    """uint32 in the shape of `like`, from `seed` (2,); compiled by XLA also inside programs that are not."""
    seed = tf.cast(seed, tf.int32)
    return tf.random.stateless_uniform(tf.shape(like), seed, minval=None, maxval=None, dtype=tf.uint32, alg="threefry")


def _layer(config, name: str, row: Row, seed: int, weighted: int, position: int, l1_l2: type) -> keras.Layer:
    match config:
        case Flatten():
            return keras.layers.Flatten(name=name)
        case Dense():
            return keras.layers.Dense(config.units, name=name, **_weighted(config, row, seed, weighted, l1_l2))
        case Conv2D():
            return keras.layers.Conv2D(
                config.filters,
                config.kernel_size,
                padding=config.padding,
                name=name,
                **_weighted(config, row, seed, weighted, l1_l2),
            )
        case MaxPooling2D():
            return keras.layers.MaxPooling2D(config.pool_size, name=name)
        case BatchNormalization():
            return keras.layers.BatchNormalization(name=name)
        case Dropout():
            return ThreefryDropout(config.rate, seed=derived_seed(seed, "dropout", position), name=name)


def _weighted(config: Dense | Conv2D, row: Row, seed: int, weighted: int, l1_l2: type) -> dict:
    penalties = {}
    if config.regularized:
        penalties = {
            f"{kind}_regularizer": _regularizer(getattr(row.regularizers, kind), l1_l2)
            for kind in ("kernel", "bias", "activity")
        }
    return {
        "activation": config.activation,
        "kernel_initializer": _initializer(
            config.kernel_initializer or Initializer(name="glorot_uniform"), derived_seed(seed, "kernel", weighted)
        ),
        "bias_initializer": _initializer(
            config.bias_initializer or Initializer(name="zeros"), derived_seed(seed, "bias", weighted)
        ),
        **penalties,
    }


def _initializer(config: Initializer, seed: int) -> keras.Initializer:
    match config.name:
        case "glorot_uniform":
            return keras.initializers.GlorotUniform(seed=seed)
        case "he_normal":
            return keras.initializers.HeNormal(seed=seed)
        case "random_normal":
            return keras.initializers.RandomNormal(mean=0.0, stddev=config.stddev, seed=seed)
        case "zeros":
            return keras.initializers.Zeros()


def _regularizer(config: Regularizer, l1_l2: type) -> keras.Regularizer | None:
    if config.l1 == 0 and config.l2 == 0:
        return None  # as if it were not there: no graph, no cost
    return l1_l2(l1=config.l1, l2=config.l2)
