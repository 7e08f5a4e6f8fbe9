"""Training one setup on one machine core: Keras' own layers, losses and optimizers, many steps per call.

A step is what `fit` does; the loop over steps is compiled with it, so that Python does nothing per step.
"""

from __future__ import annotations

import contextlib
import copy
import gc
import json
import time
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stages.core.base.text import first_sentence
from stages.core.why import interventions
from stages.core.why import net as nets
from stages.core.why import task as tasks
from stages.core.why.setup import MOST_HELD_OUT, Data, Setup, some, steps_in_epoch
from stages.core.why.task import Task
from stages.core.why.trial import Case, Outcome, Run, Trial

CHECKS = 8
"""Times that a run looks at its predictions."""

JUDGED = MOST_HELD_OUT
"""Samples that predictions are judged on, at most."""

CALL_SECONDS = 0.5
"""About so long a compiled call takes, so that a deadline is kept."""


@dataclass
class Time:
    """What a trial may take: seconds of this process' own work, so that a busy machine changes little, and an end."""

    seconds: float
    deadline: float  # of `time.monotonic()`
    began: float = field(default_factory=time.process_time)

    def spent(self) -> float:
        return time.process_time() - self.began

    def left(self) -> float:
        return min(self.seconds - self.spent(), self.deadline - time.monotonic())


def outcome(case: Case, trial: Trial, deadline: float) -> Outcome:
    """What becomes of a trial; a change that does not fit the net is an error in it, too."""
    limit = Time(trial.seconds, deadline)
    try:
        setup, data, task = interventions.apply(trial.changes, case.setup, case.data, case.task)
    except Exception as error:
        return Outcome(error=first_line(error))
    keras.backend.clear_session()
    gc.collect()
    return train(setup, data, trial.seeds, trial.steps, limit, task, trial.goal)


def train(
    setup: Setup,
    data: Data,
    seeds: tuple[int, ...],
    steps: int | None,
    limit: Time,
    task: Task,
    goal: float = 2.0,
) -> Outcome:
    """Train a setup with several seeds.

    Args:
        steps: optimizer steps a seed, at most; None: all that the setup asks for. Where the time suffices for
            fewer, every seed trains a half, a quarter, … of them.
        goal: a seed whose skill reaches this at two looks in a row is done.
    """
    asked = setup.epochs * steps_in_epoch(setup, data.n)
    try:
        program = Program(setup, data, task)
        most = program.affordable(min(asked, steps or asked), len(seeds), limit)
        runs = []
        for seed in seeds:
            run = program.run(seed, most, limit, goal)
            if run is None:
                break
            runs.append(run)
    except Exception as error:  # whatever Keras or TensorFlow say about this net and these data is the answer
        return Outcome(asked_steps=asked, seconds=limit.spent(), error=first_line(error))
    return Outcome(
        tuple(runs),
        asked,
        program.step_seconds,
        limit.spent(),
        lost=None if runs else "there was too little time",
        parameters=program.model.count_params(),
    )


PLACES = ("Graph execution error", "Detected at node", "<stack traces", "File ", "[[")
"""How lines begin that say where in TensorFlow something went wrong, and not what."""


def first_line(error: Exception) -> str:
    """What an exception says, in a sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if "Exception encountered" not in line and not line.startswith(PLACES)]
    return first_sentence((said or lines or [type(error).__name__])[0])[:300]


class Program:
    """A setup's compiled loop over its data, and how its first output does at a task."""

    def __init__(self, setup: Setup, data: Data, task: Task):
        self.setup, self.data, self.task = setup, data, task
        self.reading = nets.output_activation(setup.net), setup.from_logits  # how outputs are read
        self.model = self._model(0)
        self.model.compile(
            optimizer=keras.optimizers.get(
                copy.deepcopy(setup.optimizer)
            ),  # Keras puts its schedule into what it is given
            loss=[loss and _loss(loss) for loss in setup.losses] if len(setup.losses) > 1 else _loss(setup.losses[0]),
            loss_weights=list(setup.loss_weights) if setup.loss_weights and len(setup.losses) > 1 else None,
        )
        self.optimizer = self.model.optimizer
        self.optimizer.build(self.model.trainable_variables)
        self.fresh = [np.array(variable) for variable in self.optimizer.variables]
        self.x = [tf.constant(array) for array in data.x]
        self.y = [tf.constant(array) for array in data.y]
        weight = sample_weights(setup, data)
        self.weight = tf.constant(np.ones(data.n, np.float32) if weight is None else weight)
        self.weighted = weight is not None
        self.step_seconds = 0.0
        batches = tf.TensorSpec([None, min(setup.batch_size, data.n)], tf.int32)
        self.loop = tf.function(self._loop, input_signature=[batches], autograph=False)
        self.forward = tf.function(lambda x: self.model(x, training=False), autograph=False, reduce_retracing=True)
        self.traced = False

    def _model(self, seed: int) -> keras.Model:
        keras.utils.set_random_seed(seed)
        model = keras.models.model_from_json(json.dumps(self.setup.net))
        if not model.built:
            model.build([None, *self.data.x[0].shape[1:]])
        for name, values in (self.setup.weights or {}).items():
            layer = next((layer for layer in model.layers if layer.name == name), None)
            if layer is not None and [w.shape for w in layer.weights] == [v.shape for v in values]:
                layer.set_weights(values)
        return model

    def _loop(self, order: tf.Tensor) -> tf.Tensor:
        """Train on batches, int32 (batches, batch size) of the samples' places; gives their mean loss."""
        count = tf.shape(order)[0]

        def body(i, total):
            place = order[i]
            x = [tf.gather(array, place) for array in self.x]
            y = [tf.gather(array, place) for array in self.y]
            return i + 1, total + self._step(x, y, tf.gather(self.weight, place))

        start = (tf.constant(0), tf.constant(0.0))
        total = tf.while_loop(lambda i, _: i < count, body, start, parallel_iterations=1)[1]
        return total / tf.cast(count, tf.float32)

    def _step(self, x: list, y: list, weight: tf.Tensor) -> tf.Tensor:
        model = self.model
        x, y = (x[0] if len(x) == 1 else x), (y[0] if len(y) == 1 else y)
        with tf.GradientTape() as tape:
            loss = model.compute_loss(
                x=x, y=y, y_pred=model(x, training=True), sample_weight=weight if self.weighted else None, training=True
            )
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, model.trainable_variables)
        pairs = [(g, v) for g, v in zip(gradients, model.trainable_variables, strict=True) if g is not None]
        if pairs:
            self.optimizer.apply_gradients(pairs)
        return tf.cast(loss, tf.float32)

    def affordable(self, steps: int, seeds: int, limit: Time) -> int:
        """`steps`, or a half, a quarter, … of them where so many seeds leave time for no more; at least 8."""
        order = Order(self.setup, self.data.n, 0)
        for _ in range(3):  # the first call compiles, the second warms up
            self._call(order.take(min(steps, 4)))
        if self.step_seconds < 0.02:
            self._call(order.take(min(steps, 64)))
        seconds = limit.left() * 0.8
        while steps >= 16 and steps * seeds * self.step_seconds > seconds:
            steps = -(-steps // 2)
        return steps

    def run(self, seed: int, steps: int, limit: Time, goal: float) -> Run | None:
        """Train one seed; None if the time ends first."""
        for variable, value in zip(self.model.variables, self._model(seed).variables, strict=True):
            variable.assign(value)
        for variable, value in zip(self.optimizer.variables, self.fresh, strict=True):
            variable.assign(value)
        order = Order(self.setup, self.data.n, seed)
        curve, done, good, finite = [], 0, 0, True
        while done < steps and finite and good < 2:
            until = min(steps, -(-(len(curve) + 1) * steps // CHECKS))
            losses = []
            while done < until and finite:
                if limit.left() < 0:
                    return None
                batches = order.take(min(self._call_size(), until - done))
                losses.append(self._call(batches))
                finite = bool(np.isfinite(losses[-1]))
                done += len(batches)
            last = done >= steps or not finite
            curve.append((done, float(np.mean(losses)), self._skill(JUDGED if last else JUDGED // 4)))
            good = good + 1 if curve[-1][2] >= goal else 0
        train, held_out = self._predict(self.data.x, JUDGED), self._held_out()
        value = tasks.skill(self.task, self._judged(self.data.y), train, *self.reading)
        finite = finite and bool(np.isfinite(train).all())
        one_answer = tasks.one_answer(self.task, train, *self.reading)
        return Run(seed, value, held_out, done, tuple(curve), finite, one_answer, self._dead())

    def _call_size(self) -> int:
        """Steps in a call: a power of two, by how long a step takes."""
        if not self.step_seconds:
            return 2
        return int(2 ** np.clip(np.floor(np.log2(CALL_SECONDS / self.step_seconds)), 0, 12))

    def _call(self, batches: np.ndarray) -> float:
        began = time.process_time()
        loss = float(self.loop(tf.constant(batches)))
        if self.traced:
            self.step_seconds = max(1e-6, (time.process_time() - began) / len(batches))
        self.traced = True
        return loss

    def _skill(self, most: int) -> float:
        return tasks.skill(self.task, self._judged(self.data.y, most), self._predict(self.data.x, most), *self.reading)

    def _held_out(self) -> float | None:
        if not self.data.y_held_out:
            return None
        y = self._judged(self.data.y_held_out)
        return tasks.skill(self.task, y, self._predict(self.data.x_held_out, JUDGED), *self.reading)

    def _judged(self, y: tuple[np.ndarray, ...], most: int = JUDGED) -> np.ndarray:
        return y[0][some(len(y[0]), most)]

    def _predict(self, x: tuple[np.ndarray, ...], most: int) -> np.ndarray:
        """Outputs (the first one's) of up to `most` samples; float32."""
        x = [array[some(len(array), most)] for array in x]
        parts = []
        for start in range(0, len(x[0]), 500):
            batch = [tf.constant(array[start : start + 500]) for array in x]
            outputs = self.forward(batch[0] if len(batch) == 1 else batch)
            while isinstance(outputs, list | tuple | dict):
                outputs = next(iter(outputs.values())) if isinstance(outputs, dict) else outputs[0]
            parts.append(np.asarray(outputs, np.float32))
        return np.concatenate(parts)

    def _dead(self) -> float:
        """Share of relu units that give 0 for every one of some samples."""
        relus = [
            layer for layer in self.model.layers[:-1] if getattr(layer, "activation", None) is keras.activations.relu
        ]
        if not relus or not nets.is_sequential(self.setup.net):
            return 0.0
        x, zero, total = tf.constant(self.data.x[0][:: max(1, self.data.n // 200)]), 0, 0
        with contextlib.suppress(ValueError):  # layers refuse what the net as a whole lets pass
            for layer in self.model.layers:
                x = layer(x, training=False)
                if layer in relus:
                    most = np.asarray(tf.reduce_max(tf.reshape(x, [-1, x.shape[-1]]), axis=0))
                    zero, total = zero + int((most <= 0).sum()), total + most.size
        return zero / max(1, total)


class Order:
    """The order in which batches take samples: as `fit` does, anew for every epoch unless the script set a seed."""

    def __init__(self, setup: Setup, n: int, seed: int):
        self.size = min(setup.batch_size, n)
        self.n, self.setup = n, setup
        self.random = np.random.default_rng([seed, 7])
        self.epoch: np.ndarray | None = None
        self.rest = np.zeros(0, np.int64)

    def take(self, batches: int) -> np.ndarray:
        """Places of the samples in the next batches, int32 (batches, size); a batch may span two epochs."""
        while len(self.rest) < batches * self.size:
            if self.epoch is None or not self.setup.one_order:
                self.epoch = self.random.permutation(self.n) if self.setup.shuffle else np.arange(self.n)
            self.rest = np.concatenate([self.rest, self.epoch])
        taken, self.rest = self.rest[: batches * self.size], self.rest[batches * self.size :]
        return taken.reshape(batches, self.size).astype(np.int32)


def sample_weights(setup: Setup, data: Data) -> np.ndarray | None:
    """Weight of each sample, (n,), of the script's own and its class weights; None: all the same."""
    weight = data.sample_weight
    if setup.class_weight and len(data.y) == 1:
        y = data.y[0]
        number = y.reshape(data.n, -1).argmax(axis=1) if y.ndim > 1 and y.shape[-1] > 1 else y.reshape(data.n, -1)[:, 0]
        own = np.array([setup.class_weight.get(int(c), 1.0) for c in number], np.float32)
        weight = own if weight is None else own * weight
    return weight


def _loss(loss: dict[str, Any]) -> Any:
    """Keras' loss with its arguments, or its name where there are none."""
    if not loss["config"]:
        return loss["name"]
    config = {k: v for k, v in loss["config"].items() if k not in ("name", "reduction", "dtype", "fn")}
    function = keras.losses.get(loss["name"])

    def configured(y_true: Any, y_pred: Any) -> Any:
        return function(y_true, y_pred, **config)

    configured.__name__ = loss["name"]
    return configured
