"""The penalties on weights: their gradients are Keras' own, their values are added up in an order that is fast.

A step needs a penalty's gradient alone; its value is for the record. XLA on a CPU adds a kernel's squares one after
another, each waiting for the one before, which took as long as the rest of a step.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

SLICES = 32

Regularizers = list[keras.regularizers.L1L2 | None]  # of each weight


def gradients(regularizers: Regularizers, weights: list[tf.Tensor]) -> list[tf.Tensor | None]:
    """The gradient of each weight's penalty, shaped like the weight; None where it has none."""
    with tf.GradientTape() as tape:
        tape.watch(weights)
        values = [regularizer(w) for regularizer, w in zip(regularizers, weights, strict=True) if regularizer]
    return tape.gradient(values, weights)


def value(regularizers: Regularizers, weights: list[tf.Tensor]) -> tf.Tensor:
    """The sum of all weights' penalties, a scalar: Keras' but for rounding."""
    total = tf.constant(0.0)
    for regularizer, w in zip(regularizers, weights, strict=True):
        if regularizer and regularizer.l1:
            total += regularizer.l1 * _sum(w, tf.abs)
        if regularizer and regularizer.l2:
            total += regularizer.l2 * _sum(w, tf.square)
    return total


def _sum(x: tf.Tensor, term: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """The sum of `term` over all of x: slices are added to each other, many numbers at once, until few are left."""
    x, rests = tf.reshape(x, [-1]), []
    while (size := x.shape[0] // SLICES) > 1:
        rests.append(tf.reduce_sum(term(x[size * SLICES :])))
        x, term = tf.add_n([term(x[i * size : (i + 1) * size]) for i in range(SLICES)]), tf.identity
    return tf.add_n([tf.reduce_sum(term(x)), *rests])
