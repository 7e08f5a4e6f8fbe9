"""The penalties on weights: their gradients are Keras' own, their values are added up in an order that is fast.

A step needs a penalty's gradient alone; its value is for the record. XLA on a CPU adds a kernel's squares one after
another, each waiting for the one before, which took as long as the rest of a step.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

SLICES = 32


class L1L2(keras.regularizers.L1L2):
    """Keras' L1L2 whose coefficients are values that a program takes when it runs, not parts of it.

    Rows that differ in a coefficient alone then have the same programs, and those need not be compiled twice.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0):
        super().__init__(l1, l2)
        self.l1, self.l2 = (tf.constant(value) if value else None for value in (self.l1, self.l2))  # type: ignore[has-type]

    def __call__(self, x):
        l1 = 0.0 if self.l1 is None else self.l1 * tf.reduce_sum(tf.abs(x))
        return l1 if self.l2 is None else l1 + self.l2 * tf.reduce_sum(tf.square(x))


Regularizers = list[L1L2 | None]  # of each weight


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
        if regularizer and regularizer.l1 is not None:
            total += regularizer.l1 * _sum(w, tf.abs)
        if regularizer and regularizer.l2 is not None:
            total += regularizer.l2 * _sum(w, tf.square)
    return total


def _sum(x: tf.Tensor, term: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """The sum of `term` over all of x: slices are added to each other, many numbers at once, until few are left."""
    x, rests = tf.reshape(x, [-1]), []
    while (size := x.shape[0] // SLICES) > 1:
        rests.append(tf.reduce_sum(term(x[size * SLICES :])))
        x, term = tf.add_n([term(x[i * size : (i + 1) * size]) for i in range(SLICES)]), tf.identity
    return tf.add_n([tf.reduce_sum(term(x)), *rests])
