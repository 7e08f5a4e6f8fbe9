"""Comparison program in JAX: seeds as one axis (`vmap`), steps and epochs as loops (`lax.scan`), compiled as a whole.

For nets of dense layers and dropout. It knows nothing of TensorFlow: initial weights and batch orders are its own.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from stages.core.config.row import SGD, Adam, AdamW, Dense, Dropout, Initializer, Regularizer, RMSprop, Row
from stages.core.data.splits import Splits
from stages.core.measure.speed import Trained, evaluation_interval

ACTIVATIONS = {
    "linear": lambda z: z,
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "softmax": jax.nn.softmax,
    "tanh": jnp.tanh,
}

Params = list[tuple[jax.Array, jax.Array]]  # kernel (inputs, units) and bias (units,) of each dense layer


def train(row: Row, samples: Splits, seeds: int, epochs: int) -> Trained:
    """Train seeds 0..seeds-1 side by side for at least `epochs` epochs; the first call compiles and is not timed."""
    data = {name: _on_device(row, *samples[name]) for name in ("train", row.split.monitor)}
    every = evaluation_interval(row)
    n = len(samples["train"][0])
    state = jax.vmap(partial(start, row))(jnp.arange(seeds))
    run = program(row)
    orders = np.random.default_rng(0)
    losses, ends = [], []
    while len(losses) * every < epochs or len(losses) < 2:
        order = np.stack([[orders.permutation(n) for _ in range(every)] for _ in range(seeds)]).astype(np.int32)
        state, means, _ = run(state, data["train"], data[row.split.monitor], order)
        losses.append(np.asarray(means))  # waits for the device
        ends.append(time.perf_counter())
    timed = seeds * every * (len(ends) - 1)
    return Trained((ends[-1] - ends[0]) / timed, np.concatenate(losses, axis=1).tolist())


def start(row: Row, seed: jax.Array) -> dict[str, Any]:
    """A seed's state before the first step: params, the optimizer's slots, its step, the key of its dropout masks."""
    key = jax.random.key(seed)
    params, (size,) = [], [int(np.prod(row.dataset.shape))]
    for position, layer in enumerate(_dense(row)):
        keys = jax.random.split(jax.random.fold_in(key, position))
        kernel = _draw(layer.kernel_initializer or Initializer(name="glorot_uniform"), keys[0], (size, layer.units))
        bias = _draw(layer.bias_initializer or Initializer(name="zeros"), keys[1], (layer.units,))
        params.append((kernel, bias))
        size = layer.units
    return state_of(row, params, key)


def state_of(row: Row, params: Params, key: jax.Array) -> dict[str, Any]:
    """The state before the first step that goes with `params`."""
    zeros = jax.tree.map(jnp.zeros_like, params)
    return {"params": params, "slots": (zeros, zeros), "step": jnp.zeros(()), "key": key}


def program(row: Row) -> Callable:
    """The compiled function (state, train, monitored, order) -> (state, losses, figures).

    state: of all seeds, along the leading axis of every leaf. train, monitored: inputs (n, d) and targets. order: int32
    (seeds, epochs, n). losses: mean training loss by seed and epoch. figures: loss and metric on `monitored`, by seed,
    after the last of these epochs.
    """

    def of_one_seed(state, train, monitored, order):
        step = partial(_step, row, train)
        full = order.shape[1] // row.training.batch_size * row.training.batch_size

        def epoch(state, order):
            batches = order[:full].reshape(-1, row.training.batch_size)
            state, sums = lax.scan(step, state, batches)
            total = sums.sum()
            if full < len(order):  # the partial last batch
                state, last = step(state, order[full:])
                total += last
            return state, total / len(order)

        state, losses = lax.scan(epoch, state, order)
        return state, losses, _figures(row, state["params"], *monitored)

    return jax.jit(jax.vmap(of_one_seed, in_axes=(0, None, None, 0)), donate_argnums=0)


def _step(row: Row, train, state, indices):
    """One optimizer step on the samples `indices`; gives the new state and the loss times the number of samples."""
    x, y = train[0][indices], train[1][indices]
    key, mask_key = jax.random.split(state["key"])

    def loss_of(params):
        outputs, penalty = _forward(row, params, x, mask_key)
        return _losses(row, outputs, y).mean() + penalty

    loss, gradients = jax.value_and_grad(loss_of)(state["params"])
    params, slots = _update(row.optimizer, state["params"], state["slots"], gradients, state["step"] + 1)
    return {"params": params, "slots": slots, "step": state["step"] + 1, "key": key}, loss * len(indices)


def _forward(row: Row, params: Params, x, mask_key=None):
    """What the last layer gives before its activation, (n, units), and the penalty; dropout only with a key."""
    penalty, position = 0.0, 0
    for index, layer in enumerate(row.layers):
        if isinstance(layer, Dropout) and layer.rate and mask_key is not None:
            kept = jax.random.bernoulli(jax.random.fold_in(mask_key, index), 1 - layer.rate, x.shape)
            x = jnp.where(kept, x / (1 - layer.rate), 0.0)
        if isinstance(layer, Dense):
            kernel, bias = params[position]
            position += 1
            z = x @ kernel + bias
            x = ACTIVATIONS[layer.activation](z)
            if layer.regularized:
                config = row.regularizers
                penalty += _penalty(config.kernel, kernel) + _penalty(config.bias, bias)
                penalty += _penalty(config.activity, x) / len(x)  # by the batch's size, as in Keras 3
    return z, penalty


def _losses(row: Row, z, y):
    """Loss of each sample from the last layer's values before its activation."""
    if row.training.loss != "mean_squared_error":
        return -(y * jax.nn.log_softmax(z)).sum(-1)
    return jnp.square(ACTIVATIONS[_dense(row)[-1].activation](z) - y).mean(-1)


def _figures(row: Row, params: Params, x, y):
    z, penalty = _forward(row, params, x)
    right = jnp.abs(z - y).mean(-1) if row.dataset.classes is None else z.argmax(-1) == y.argmax(-1)
    return _losses(row, z, y).mean() + penalty, right.mean()


def _penalty(config: Regularizer, values):
    parts = []
    if config.l1:
        parts.append(config.l1 * jnp.abs(values).sum())
    if config.l2:
        parts.append(config.l2 * jnp.square(values).sum())
    return sum(parts, 0.0)


def _update(config, params, slots, gradients, step):
    """New params and slots by Keras' formulas (see stages/core/training/optimizers.py); `step` counts from 1."""
    leaves, tree = jax.tree.flatten(params)
    rows = zip(leaves, *map(jax.tree.leaves, (*slots, gradients)), strict=True)
    updated = [_one_update(config, *row, step) for row in rows]
    new, first, second = (jax.tree.unflatten(tree, column) for column in zip(*updated, strict=True))
    return new, (first, second)


def _one_update(config, w, first, second, g, step):
    rate = config.learning_rate
    match config:
        case SGD():
            first = config.momentum * first - rate * g if config.momentum else -rate * g
            return w + first, first, second
        case RMSprop():
            second = config.rho * second + (1 - config.rho) * g * g
            increment = rate * g / jnp.sqrt(second + config.epsilon)
            first = config.momentum * first + increment if config.momentum else increment
            return w - first, first, second
        case Adam() | AdamW():
            if isinstance(config, AdamW):
                w = w - w * config.weight_decay * rate
            first = first + (g - first) * (1 - config.beta_1)
            second = second + (g * g - second) * (1 - config.beta_2)
            alpha = rate * jnp.sqrt(1 - config.beta_2**step) / (1 - config.beta_1**step)
            return w - alpha * first / (jnp.sqrt(second) + config.epsilon), first, second


def _dense(row: Row) -> list[Dense]:
    return [layer for layer in row.layers if isinstance(layer, Dense)]


def _draw(config: Initializer, key, shape):
    match config.name:
        case "glorot_uniform":
            return jax.nn.initializers.glorot_uniform()(key, shape)
        case "he_normal":
            return jax.nn.initializers.he_normal()(key, shape)
        case "random_normal":
            return config.stddev * jax.random.normal(key, shape)
        case "zeros":
            return jnp.zeros(shape)


def _on_device(row: Row, x: np.ndarray, y: np.ndarray) -> tuple[jax.Array, jax.Array]:
    """Inputs scaled and flattened, (n, d) float32; targets one-hot, (n, classes), or values, (n, 1)."""
    inputs = x.reshape(len(x), -1).astype(np.float32) / (row.dataset.scale or 1)
    outputs = y[:, None] if row.dataset.classes is None else np.eye(row.dataset.classes, dtype=np.float32)[y]
    return jnp.asarray(inputs), jnp.asarray(outputs)
