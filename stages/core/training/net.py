"""A row's net as pure functions of its state: what a step and an evaluation are made of."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from stages.core.config.row import Row
from stages.core.training import models, optimizers, penalties, vocabulary
from stages.core.training.state import State
from stages.core.training.targets import Task


class Net:
    """A row's model, loss, penalties and optimizer; their variables stand for values of a `State`.

    B is the size of a batch, x float32 (B, *shape of a sample), y as `Task.encode` gives it.

    Raises:
        ValueError: Keras refuses something; the text says what.
    """

    def __init__(self, row: Row, seed: int = 0):
        self.model = models.build(row, seed)
        with vocabulary.located("training.loss"):
            self.task = Task(row.dataset, row.training.loss, self.model.output_shape[-1])
        with vocabulary.located("optimizer"):
            self.optimizer = optimizers.build(row.optimizer, self.model.trainable_variables)
        self.at_run_time = penalties.take_at_run_time(self.model)
        self.regularizers = [v.regularizer for v in self.model.trainable_variables]
        self.weighted = row.training.class_weight is not None
        # XLA turns what is done to each weight into one pass over it, also inside a program that is not XLA's.
        self.update = tf.function(self._update, jit_compile=True, autograph=False)

    def state(self) -> State:
        """The state before the first step."""
        model = self.model
        parts = (model.trainable_variables, model.non_trainable_variables, self.optimizer.variables)
        weights, others, optimizer = ([tf.convert_to_tensor(v.value) for v in part] for part in parts)
        return State(weights, others, optimizer, [value for one in self.at_run_time for value in one.values])

    def step(
        self, state: State, x: tf.Tensor, y: tf.Tensor, class_weight: tf.Tensor, unit: tf.Tensor | None = None
    ) -> tuple[State, list[tf.Tensor]]:
        """One step of the optimizer. `class_weight` and `unit` as in `Samples`.

        Returns:
            The new state; data loss, penalty and metric of the batch before the step, summed over its samples, scalars.
        """
        self.take(state.values)
        with tf.GradientTape() as tape:
            tape.watch(state.weights)
            outputs, others, losses = self.model.stateless_call(
                state.weights, state.others, x, training=True, return_losses=True
            )
            data_loss = tf.reduce_mean(self._losses(y, outputs, class_weight))
            # Keras lists the layers' own losses, which are the activity penalties, before those of the weights.
            activity = losses[: len(losses) - sum(r is not None for r in self.regularizers)]
            loss = tf.add_n([data_loss, *activity])
        gradients = [_dense(gradient) for gradient in tape.gradient(loss, state.weights)]
        weights, optimizer, penalty = self.update(state.weights, state.optimizer, gradients, state.values)
        self.take(state.values)
        size = float(x.shape[0])
        penalty = tf.add_n([penalty, *activity])
        sums = [data_loss * size, penalty * size, tf.reduce_sum(self.task.metric(y, outputs, unit))]
        return State(weights, others, optimizer, state.values), sums

    def evaluate(self, state: State, x: tf.Tensor, y: tf.Tensor, unit: tf.Tensor | None = None) -> tf.Tensor:
        """In inference mode data loss, penalty and metric, and how often each class is predicted.

        float32 (3 + task.counted,), summed over the batch.
        """
        self.take(state.values)
        size = x.shape[0]
        outputs, _, losses = self.model.stateless_call(
            state.weights, state.others, x, training=False, return_losses=True
        )
        penalty = tf.add_n(losses) if losses else tf.constant(0.0)
        figures = [
            tf.reduce_sum(self._losses(y, outputs)),
            penalty * size,
            tf.reduce_sum(self.task.metric(y, outputs, unit)),
        ]
        return tf.concat([tf.stack(figures), self.task.counts(outputs)], 0)

    def hits(self, state: State, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """In inference mode by class how many samples there are and how many are found, float32 (2, classes)."""
        self.take(state.values)
        outputs, _ = self.model.stateless_call(state.weights, state.others, x, training=False)
        return self.task.hits(y, outputs)

    def _update(self, weights: list, optimizer: list, gradients: list, values: list) -> tuple[list, list, tf.Tensor]:
        """New weights and optimizer state by the gradients of the loss without the weights' penalties, and those
        penalties before the step, summed (). A gradient is None where the loss does not depend on the weight."""
        self.take(values)
        gradients = [
            extra if gradient is None else gradient if extra is None else gradient + extra
            for gradient, extra in zip(gradients, penalties.gradients(self.regularizers, weights), strict=True)
        ]
        weights_after, optimizer = self.optimizer.stateless_apply(optimizer, gradients, weights)
        return weights_after, optimizer, penalties.value(self.regularizers, weights)

    def _losses(self, y: tf.Tensor, outputs: tf.Tensor, class_weight: tf.Tensor | None = None) -> tf.Tensor:
        """The data loss of each sample, (B,); a loss of the batch as a whole counts for each of them."""
        weights = None
        if self.weighted and class_weight is not None:
            weights = tf.gather(class_weight, self.task.true_class(y))
        losses = self.task.loss(y, outputs, sample_weight=weights)
        return losses if losses.shape.rank else tf.fill([outputs.shape[0]], losses)

    def take(self, values: list) -> None:
        """Have the penalties use these coefficients, as long as nobody hands them others."""
        rest = iter(values)
        for one in self.at_run_time:
            one.values = [next(rest) for _ in one.values]


def _dense(gradient: Any) -> tf.Tensor | None:
    return tf.convert_to_tensor(gradient) if isinstance(gradient, tf.IndexedSlices) else gradient
