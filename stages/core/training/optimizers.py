"""Keras' optimizers as pure functions: (weights, slots, gradients, step) -> (weights, slots).

Keras keeps an optimizer's state in variables, which ties one compiled program to one model. Here the state is an
argument, so that all seeds of a row share one program. The formulas are those of Keras 3
(keras/src/optimizers/{sgd,rmsprop,adam,adamw}.py), operation for operation;
tests/test_sameness.py holds each against Keras' own `train_on_batch`.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from stages.core.config.row import SGD, Adam, AdamW, Optimizer, RMSprop

Tensors = list[tf.Tensor]
Update = Callable[[tf.Tensor, Tensors, tf.Tensor], tuple[tf.Tensor, Tensors]]


def n_slots(config: Optimizer) -> int:
    """Number of arrays of a weight's own shape that the optimizer keeps for each weight."""
    match config:
        case SGD():
            return int(config.momentum > 0)
        case RMSprop():
            return 1 + int(config.momentum > 0)
        case Adam() | AdamW():
            return 2


def apply(
    config: Optimizer, rate: tf.Tensor, weights: Tensors, slots: list[Tensors], gradients: Tensors, step: tf.Tensor
):
    """One optimizer step.

    Args:
        config: which optimizer, with its hyperparameters.
        rate: scalar float32, the learning rate; not taken from `config`, so that rows that differ in it alone have the
            same programs.
        weights: float32 tensors of any shapes.
        slots: for each weight its `n_slots` tensors, zeros before the first step.
        gradients: of the loss, shaped like `weights`.
        step: scalar float32, number of steps made before this one (Keras' `iterations`).

    Returns:
        New weights and new slots.
    """
    update = _updates(config, rate, step)
    results = [update(w, s, g) for w, s, g in zip(weights, slots, gradients, strict=True)]
    return [weight for weight, _ in results], [slot for _, slot in results]


def _updates(config: Optimizer, rate: tf.Tensor, step: tf.Tensor) -> Update:
    match config:
        case SGD():
            return lambda w, s, g: _sgd(config, rate, w, s, g)
        case RMSprop():
            return lambda w, s, g: _rmsprop(config, rate, w, s, g)
        case Adam() | AdamW():
            return lambda w, s, g: _adam(config, rate, w, s, g, step)


def _sgd(config: SGD, rate, weight, slots, gradient):
    if not slots:
        return weight - gradient * rate, slots
    velocity = slots[0] * config.momentum - gradient * rate
    return weight + velocity, [velocity]


def _rmsprop(config: RMSprop, rate, weight, slots, gradient):
    mean_square = config.rho * slots[0] + (1 - config.rho) * tf.square(gradient)
    increment = rate * gradient / tf.sqrt(mean_square + config.epsilon)
    if len(slots) == 1:
        return weight - increment, [mean_square]
    velocity = config.momentum * slots[1] + increment
    return weight - velocity, [mean_square, velocity]


def _adam(config: Adam | AdamW, rate, weight, slots, gradient, step):
    if isinstance(config, AdamW):  # decoupled: before the step, on every weight, as Keras does
        weight = weight - weight * config.weight_decay * rate
    first, second = slots
    power_1 = tf.pow(config.beta_1, step + 1)
    power_2 = tf.pow(config.beta_2, step + 1)
    alpha = rate * tf.sqrt(1 - power_2) / (1 - power_1)
    first = first + (gradient - first) * (1 - config.beta_1)
    second = second + (tf.square(gradient) - second) * (1 - config.beta_2)
    return weight - first * alpha / (tf.sqrt(second) + config.epsilon), [first, second]
