"""Keras' own EarlyStopping and ReduceLROnPlateau at work on a seed of the engine."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stages.core.config.row import Training
from stages.core.training import vocabulary
from stages.core.training.state import State

RATE = 1  # place of the learning rate among an optimizer's variables, behind the iteration
KINDS = {
    "early_stopping": keras.callbacks.EarlyStopping,
    "reduce_lr_on_plateau": keras.callbacks.ReduceLROnPlateau,
}


class Callbacks:
    """The callbacks of a row, for one seed.

    They see the seed as the model that they expect: weights that can be read and set, and an optimizer with a learning
    rate. A quantity in whose name stands "accuracy" is to rise, every other one to fall.

    Raises:
        ValueError: Keras refuses an argument.
    """

    def __init__(self, training: Training):
        self.callbacks = {}
        for name, cls in KINDS.items():
            config = getattr(training, name)
            if config is None:
                continue
            rises = "accuracy" in str(config.get("monitor", "val_loss"))
            with vocabulary.located(f"training.{name}"):
                self.callbacks[name] = vocabulary.callback(cls, {"mode": "max" if rises else "min", **config})
        self.stop_training = False
        self.optimizer = self
        self.learning_rate: Any = None
        self._state: State | None = None
        for callback in self.callbacks.values():
            callback.set_model(self)
            callback.on_train_begin()

    def __bool__(self) -> bool:
        return bool(self.callbacks)

    @property
    def monitored(self) -> dict[str, str]:
        """By callback, the quantity that it looks at."""
        return {name: callback.monitor for name, callback in self.callbacks.items()}

    def after_epoch(self, epoch: int, logs: dict[str, float], state: State) -> tuple[State, bool]:
        """The state to go on from, and whether to stop.

        Args:
            epoch: epochs done, from 1.
            logs: figures of this epoch by Keras' names.
            state: behind this epoch.
        """
        self._state, self.learning_rate = state, _rate(state)
        before = self.learning_rate
        for callback in self.callbacks.values():
            callback.on_epoch_end(epoch - 1, dict(logs))
        if self.learning_rate != before:
            state = _with_rate(state, self.learning_rate)
        return state, self.stop_training

    def at_end(self, state: State) -> State:
        """The state that the seed ends with: the best one, if that is to be restored."""
        self._state = state
        for callback in self.callbacks.values():
            callback.on_train_end()
        return self._state

    def get_weights(self) -> tuple[list, list]:
        return self._state.weights, self._state.others

    def set_weights(self, weights: tuple[list, list]) -> None:
        self._state = self._state._replace(weights=weights[0], others=weights[1])

    def to_plain(self) -> tuple[dict[str, dict[str, Any]], list[np.ndarray]]:
        """What the callbacks remember: plain values by callback, and the arrays of the best weights, if there are."""
        plain, arrays = {}, []
        for name, callback in self.callbacks.items():
            plain[name] = {key: value for key, value in vars(callback).items() if isinstance(value, int | float)}
            if getattr(callback, "best_weights", None) is not None:
                arrays = [np.asarray(leaf) for leaf in tf.nest.flatten(callback.best_weights)]
        return plain, arrays

    def restore(self, plain: dict[str, dict[str, Any]], arrays: list[np.ndarray], like: State) -> None:
        """Remember what `to_plain` gave; `like`: any state of the row, for its structure."""
        for name, callback in self.callbacks.items():
            callback._set_monitor_op()  # before the values: it turns the sign of one
            vars(callback).update(plain[name])
            if arrays and hasattr(callback, "best_weights"):
                leaves = [tf.constant(array) for array in arrays]
                callback.best_weights = tf.nest.pack_sequence_as((like.weights, like.others), leaves)


def _rate(state: State) -> float | None:
    """The learning rate; None where it is a schedule."""
    rate = state.optimizer[RATE] if len(state.optimizer) > RATE else None
    return float(rate) if rate is not None and rate.shape.rank == 0 and rate.dtype == tf.float32 else None


def _with_rate(state: State, rate: float) -> State:
    optimizer = list(state.optimizer)
    optimizer[RATE] = tf.constant(rate, tf.float32)
    return state._replace(optimizer=optimizer)
