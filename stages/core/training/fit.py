"""Rows that the engine cannot train, by Keras' own `fit`: slowly, one seed after another.

All else is the engine's: initial weights, samples and their order, evaluation, curves and checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import keras
import tensorflow as tf

from stages.core.config.row import Row
from stages.core.training import models, optimizers, samples, vocabulary
from stages.core.training.callbacks import Callbacks
from stages.core.training.engine import Engine, Programs, Splits
from stages.core.training.samples import Samples
from stages.core.training.state import Progress, State


class KerasFit(Engine):
    """As `Engine`, but that Keras' `fit` trains; for one thread."""

    programs: Fit

    def __init__(self, row: Row, splits: Splits, device: str):
        super().__init__(row, splits, device, programs=Fit(row, samples.ranges(splits)))

    def start(self, seed: int) -> Progress:
        progress = super().start(seed)
        progress.state = progress.state._replace(optimizer=self.programs.optimizer_state)
        progress.callbacks = AtEnd(self.row, self.programs.at_end)
        return progress

    def compile(self, pool: ThreadPoolExecutor) -> None:
        """Nothing: Keras compiles when it trains."""


class AtEnd(Callbacks):
    """A row's callbacks, and before them, at the end of `fit`, what the optimizer then does to the weights."""

    def __init__(self, row: Row, finalize: Callable[[State], State]):
        super().__init__(row.training)
        self.finalize = finalize

    def __bool__(self) -> bool:
        return True

    def at_end(self, state: State) -> State:
        return super().at_end(self.finalize(state))


class Fit(Programs):
    """As `Programs`, but that a state goes into a model, which Keras' `fit` trains, and comes out of it again."""

    def __init__(self, row: Row, ranges: Mapping[str, tuple[int, int]]):
        super().__init__(row, ranges, xla=False)
        self.model = models.build(row, 0)
        loss, task = vocabulary.loss(row.training.loss), self.net.task
        loss.reduction = "sum_over_batch_size"
        self.model.compile(
            optimizers.keras_optimizer(row.optimizer),
            loss,
            metrics=[BatchMean("metric", lambda y, outputs, _: tf.reduce_mean(task.metric(y, outputs, self.unit)))],
            weighted_metrics=[BatchMean("data_loss", loss)],
            jit_compile=False,
        )
        # As in `fit`, while a step is traced: what an optimizer assigns there is lost, so all of its state but the
        # learning rate starts from 0, also where it means to start from the weights (ScheduleFreeAdamW in Keras 3.15).
        build = tf.function(lambda: self.model.optimizer.build(self.model.trainable_variables), autograph=False)
        build.get_concrete_function()
        self.optimizer_state = [tf.identity(variable.value) for variable in self.model.optimizer.variables]
        self.unit: tf.Tensor | None = None  # as in `Samples`
        self.train = self._fit

    def at_end(self, state: State) -> State:
        """The state as the optimizer leaves it at the end of `fit`: with moving averages as weights, if it has any."""
        self._put(state)
        self.model.optimizer.finalize_variable_values(self.model.trainable_variables)
        return self._taken(state)

    def _fit(self, data: Samples, order: tf.Tensor, noise: tf.Tensor, state: State, count: tf.Tensor):
        """As `Programs._train`, of one seed."""

        def batch(iteration, indices):
            inputs, targets = self.inputs(data, indices, noise, iteration), tf.gather(data.y, indices)
            if not self.net.weighted:
                return inputs, targets
            return inputs, targets, tf.gather(data.class_weight, self.net.task.true_class(targets))

        epochs = tf.data.Dataset.from_tensor_slices(order[:count])
        batches = epochs.flat_map(lambda epoch: tf.data.Dataset.from_tensor_slices(epoch).batch(self.batch))
        self.unit = data.unit
        self._put(state)
        after = []  # what `fit` itself leaves is after its end
        history = self.model.fit(
            batches.enumerate(state.optimizer[0]).map(batch),
            epochs=int(count),
            steps_per_epoch=-(-self.n // self.batch),
            shuffle=False,
            callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: after.append(self._taken(state)))],
            verbose=0,
        ).history
        loss, data_loss, metric = (tf.constant(history[name]) for name in ("loss", "data_loss", "metric"))
        means = tf.stack([data_loss, loss - data_loss if self.model.losses else tf.zeros_like(loss), metric], -1)
        return after[-1], tf.pad(means, [[0, self.chunk - int(count)], [0, 0]])

    def _put(self, state: State) -> None:
        for variables, values in zip(self._variables(), state, strict=False):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)

    def _taken(self, state: State) -> State:
        weights, others, optimizer = ([tf.identity(v.value) for v in part] for part in self._variables())
        return State(weights, others, optimizer, state.values)

    def _variables(self) -> tuple[list, list, list]:
        """In the order of a `State`."""
        return self.model.trainable_variables, self.model.non_trainable_variables, self.model.optimizer.variables


class BatchMean(keras.metrics.Mean):
    """The mean, over an epoch's samples, of a batch's mean by `of_batch(targets, outputs, weights)`."""

    def __init__(self, name: str, of_batch: Callable[..., tf.Tensor]):
        super().__init__(name=name)
        self.of_batch = of_batch

    def update_state(self, y_true, y_pred, sample_weight=None):
        super().update_state(self.of_batch(y_true, y_pred, sample_weight), tf.shape(y_pred)[0])
