"""Comparison program on JAX: seeds as one axis (`vmap`), steps and epochs as loops (`lax.scan`), compiled as a whole.

Layers, losses and optimizer are Keras' own with its JAX backend (KERAS_BACKEND=jax).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import keras
import numpy as np
from jax import lax

from stages.core.config.row import Row
from stages.core.data.splits import Splits
from stages.core.measure import peers
from stages.core.measure.speed import Trained, evaluation_interval

State = tuple[list[jax.Array], list[jax.Array], list[jax.Array]]  # weights, noise and the like, optimizer's variables


def train(row: Row, samples: Splits, seeds: int, epochs: int) -> Trained:
    """Train seeds 0..seeds-1 side by side for at least `epochs` epochs; the first call compiles and is not timed."""
    arrays = peers.arrays(row, samples)
    data = [tuple(np.asarray(a, np.float32) for a in arrays[name]) for name in ("train", row.split.monitor)]
    every, n = evaluation_interval(row), len(samples["train"][0])
    state, run, orders = start(row, seeds), program(row), np.random.default_rng(0)
    losses: list[np.ndarray] = []
    ends: list[float] = []
    while len(losses) * every < epochs or len(losses) < 2:
        order = np.stack([[orders.permutation(n) for _ in range(every)] for _ in range(seeds)]).astype(np.int32)
        state, means, _ = run(state, *data, order)
        losses.append(np.asarray(means))  # waits for the device
        ends.append(time.perf_counter())
    seconds = (ends[-1] - ends[0]) / (seeds * every * (len(ends) - 1))
    return Trained(seconds, np.concatenate(losses, axis=1).tolist())


def start(row: Row, seeds: int) -> State:
    """The state of all seeds before the first step, seeds along the leading axis of every array."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *[_start(row, seed) for seed in range(seeds)])


def _start(row: Row, seed: int) -> tuple[list[np.ndarray], ...]:
    model, optimizer = peers.document_model(row, seed), peers.optimizer(row)
    optimizer.build(model.trainable_variables)
    parts = (model.trainable_variables, model.non_trainable_variables, optimizer.variables)
    return tuple([np.asarray(variable) for variable in part] for part in parts)


def program(row: Row) -> Callable[..., Any]:
    """The compiled function (state, train, monitored, order) -> (state, losses, figure).

    train, monitored: inputs and targets. order: int32 (seeds, epochs, n). losses: mean training loss by seed and epoch.
    figure: loss on `monitored`, by seed, after the last of these epochs.
    """
    model, optimizer, loss = peers.document_model(row, 0), peers.optimizer(row), keras.losses.get(row.training.loss)
    optimizer.build(model.trainable_variables)
    batch = row.training.batch_size

    def total(weights, others, x, y, training: bool):
        outputs, others, penalties = model.stateless_call(weights, others, x, training=training, return_losses=True)
        return loss(y, outputs).mean() + sum(penalties), others

    def step(data, state, indices):
        weights, others, slots = state
        x, y = data[0][indices], data[1][indices]
        gradient = jax.value_and_grad(partial(total, training=True), has_aux=True)
        (value, others), gradients = gradient(weights, others, x, y)
        weights, slots = optimizer.stateless_apply(slots, gradients, weights)
        return (weights, others, slots), value * len(indices)

    def of_one_seed(state, train, monitored, order):
        full = order.shape[1] // batch * batch

        def epoch(state, order):
            state, sums = lax.scan(partial(step, train), state, order[:full].reshape(-1, batch))
            if full == len(order):
                return state, sums.sum() / len(order)
            state, last = step(train, state, order[full:])  # the partial last batch
            return state, (sums.sum() + last) / len(order)

        state, losses = lax.scan(epoch, state, order)
        x, y = monitored
        return state, losses, total(state[0], state[1], x, y, training=False)[0]

    return jax.jit(jax.vmap(of_one_seed, in_axes=(0, None, None, 0)), donate_argnums=0)
