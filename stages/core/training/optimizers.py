"""Keras' own optimizers as pure functions: (weights, state, gradients) -> (weights, state).

Keras keeps an optimizer's state in variables, which ties a compiled program to one model. In a `keras.StatelessScope`
these variables stand for values that are handed in, so that all seeds of a row share one program.
"""

from __future__ import annotations

import keras
from keras.src.backend.tensorflow.optimizer import TFOptimizer
from keras.src.optimizers.base_optimizer import BaseOptimizer

from stages.core.config.row import Optimizer
from stages.core.training import vocabulary


class Stateless(TFOptimizer):
    """What Keras' optimizers have for TensorFlow writes to tf.Variable past the scope; here is Keras' own again."""

    assign = BaseOptimizer.assign
    assign_add = BaseOptimizer.assign_add
    assign_sub = BaseOptimizer.assign_sub
    stateless_apply = BaseOptimizer.stateless_apply
    _var_key = BaseOptimizer._var_key
    _apply_weight_decay = BaseOptimizer._apply_weight_decay
    _backend_update_step = BaseOptimizer._backend_update_step
    _backend_increment_gradient_accumulators = BaseOptimizer._backend_increment_gradient_accumulators
    _overwrite_model_variables_with_average_value = BaseOptimizer._overwrite_model_variables_with_average_value


def build(config: Optimizer, weights: list[keras.Variable]) -> keras.Optimizer:
    """The optimizer of a model's trainable `weights`; `stateless_apply` is its pure function.

    Raises:
        ValueError: Keras refuses it.
    """
    cls, arguments = vocabulary.optimizer(config.model_dump())
    optimizer = type(cls.__name__, (cls, Stateless), {})(**arguments, name="optimizer")
    optimizer.build(weights)
    return optimizer


def keras_optimizer(config: Optimizer) -> keras.Optimizer:
    """Keras' own, as `compile` takes it."""
    cls, arguments = vocabulary.optimizer(config.model_dump())
    return cls(**arguments)
