"""The penalties on weights: their gradients are Keras' own, values of L1 and L2 are added up in an order that is fast.

A step needs a penalty's gradient alone; its value is for the record. XLA on a CPU adds a kernel's squares one after
another, each waiting for the one before, which took as long as the rest of a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

SLICES = 32


class L1L2(keras.Regularizer):
    """Keras' L1, L2 and L1L2 whose coefficients are values that a program takes when it runs, not parts of it.

    Rows that differ in a coefficient alone then have the same programs. `values`: the coefficients that are not 0, l1
    before l2, each a scalar.
    """

    def __init__(self, l1: float, l2: float):
        self.terms = [term for term, value in ((tf.abs, l1), (tf.square, l2)) if value]
        self.values = [tf.constant(value) for value in (l1, l2) if value]

    def __call__(self, x):
        return sum(value * tf.reduce_sum(term(x)) for term, value in zip(self.terms, self.values, strict=True))


Regularizers = list[keras.Regularizer | None]  # of each weight


def take_at_run_time(model: keras.Model) -> list[L1L2]:
    """Have all of Keras' L1, L2 and L1L2 in a model, on weights and outputs, take their coefficients at run time.

    Returns:
        They, in an order that the net alone decides.
    """
    taken = []
    for owner, name in _owners(model):
        regularizer = getattr(owner, name)
        if type(regularizer) in (keras.regularizers.L1, keras.regularizers.L2, keras.regularizers.L1L2):
            config = regularizer.get_config()
            ours = L1L2(config.get("l1", 0.0), config.get("l2", 0.0))
            setattr(owner, name, ours if ours.values else None)
            taken.append(ours)
    return taken


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
        if isinstance(regularizer, L1L2):
            for term, coefficient in zip(regularizer.terms, regularizer.values, strict=True):
                total += coefficient * _sum(w, term)
        elif regularizer is not None:
            total += regularizer(w)
    return total


def _owners(model: keras.Model) -> Iterator[tuple[object, str]]:
    """What has a regularizer, and the name of the attribute."""
    yield from ((variable, "regularizer") for variable in model.trainable_variables)
    layers = model._flatten_layers(include_self=False)
    yield from ((layer, "activity_regularizer") for layer in layers)


def _sum(x: tf.Tensor, term: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """The sum of `term` over all of x: slices are added to each other, many numbers at once, until few are left."""
    x, rests = tf.reshape(x, [-1]), []
    while (size := x.shape[0] // SLICES) > 1:
        rests.append(tf.reduce_sum(term(x[size * SLICES :])))
        x, term = tf.add_n([term(x[i * size : (i + 1) * size]) for i in range(SLICES)]), tf.identity
    return tf.add_n([tf.reduce_sum(term(x)), *rests])
