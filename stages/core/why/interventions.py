"""Single changes of a setup and its data: what is tried, what it would mean if it helps, and how it is said.

A `Change` is a kind and a value. `apply` makes several of them, always in one order, so that a set of changes is one
setup. Nothing here trains.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stages.core.why import net as nets
from stages.core.why import task as tasks
from stages.core.why.setup import Data, Setup, reproduces_inputs, steps_in_epoch
from stages.core.why.task import Task

CAUSES = {
    "output_activation": "the activation of the output",
    "output_units": "the number of output units",
    "loss_function": "the loss",
    "label_encoding": "the encoding of the labels",
    "metric_only": "a metric that means nothing for the task",
    "input_scale": "the scale of the inputs",
    "target_scale": "the scale of the targets",
    "learning_rate_high": "a learning rate that is too high",
    "learning_rate_low": "a learning rate that is too low",
    "optimizer_choice": "the optimizer",
    "epochs_few": "too few epochs",
    "batch_size": "the batch size",
    "capacity_low": "too small a net",
    "dropout_high": "too much dropout",
    "regularization_strong": "too strong a regularizer",
    "hidden_activation_missing": "hidden layers without an activation",
    "hidden_activation": "the activation of the hidden layers",
    "vanishing_gradient": "several layers of sigmoid or tanh, through which gradients tend to vanish",
    "dead_relu": "relu units that are 0 for every sample",
    "weight_init": "the initial weights",
    "batch_norm": "batch normalization",
    "frozen_layers": "layers that do not train",
    "exploding_gradient": "gradients that grow too large",
    "data_order": "the order of the samples",
    "class_imbalance": "classes of very different size",
    "data_not_finite": "missing or infinite numbers in the data",
    "data_unlearnable": "data from which the targets cannot be learnt",
    "penalty_without_effect": "a regularizer that penalizes nothing",
}
"""All causes that a verdict can name."""

RATES = {  # learning rates that usually work, by optimizer: least, most, and one between
    "SGD": (1e-3, 1.0, 0.05),
    "Adam": (1e-4, 2e-2, 1e-3),
    "AdamW": (1e-4, 2e-2, 1e-3),
    "Nadam": (1e-4, 2e-2, 1e-3),
    "Adamax": (1e-4, 5e-2, 1e-3),
    "RMSprop": (1e-4, 2e-2, 1e-3),
    "Adagrad": (1e-3, 0.2, 0.05),
    "Adadelta": (1e-1, 10.0, 1.0),
}
REGRESSION_LOSSES = ("mean_squared_error", "mean_absolute_error", "huber", "log_cosh")
ENOUGH_WIDTH = {"units": 64, "filters": 32}
FIRST_WIDTH = 32
"""Units of the hidden layer that a net without any gets."""

MANY_COLUMNS = 100
SQUASHING = {"sigmoid": (0.0, 1.0), "hard_sigmoid": (0.0, 1.0), "softmax": (0.0, 1.0), "tanh": (-1.0, 1.0)}
RANGES = {  # what an activation can give
    **SQUASHING,
    **dict.fromkeys(("relu", "softplus", "exponential"), (0.0, np.inf)),
    "elu": (-1.0, np.inf),
}


@dataclass(frozen=True, order=True)
class Change:
    """One thing that is changed."""

    kind: str
    value: Any = None


Pair = tuple[Setup, Data]


@dataclass(frozen=True)
class Kind:
    """What a kind of change does."""

    apply: Callable[[Setup, Data, Task, Any], Pair]
    say: Callable[[Setup, Data, Task, Any], str]
    cause: Callable[[Setup, Data, Task, Any], tuple[str, ...]]
    noun: str  # what is changed


# --- words ------------------------------------------------------------------------------------------------------------


def counted(n: int, noun: str) -> str:
    """ "1 step", "1,000 steps"."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def listed(words: Sequence[str]) -> str:
    """ "a, b and c"; what has an "and" itself is parted by semicolons."""
    comma = "; " if any(" and " in word for word in words) else ", "
    last = comma.rstrip() + " and " if comma == "; " else " and "
    return last.join(part for part in (comma.join(words[:-1]), *words[-1:]) if part)


def _activation_in_words(name: str) -> str:
    return "no activation" if name == "linear" else name


# --- the output's head ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Head:
    """Units, activation and loss that go together."""

    units: int
    activation: str
    loss: str


def right_head(setup: Setup, task: Task) -> Head:
    """What the task needs at the output; what the net has, where that is as good."""
    units = nets.output_units(setup.net)
    if task.kind == "values":
        return Head(task.width, "linear", setup.loss if setup.loss in REGRESSION_LOSSES else "mean_squared_error")
    if task.kind == "labels":
        return Head(task.width, "sigmoid", "binary_crossentropy")
    if task.one_hot:
        return Head(task.width, "softmax", "categorical_crossentropy")
    if task.kind == "binary" and not (units == 2 and "sparse" in setup.loss):
        return Head(1, "sigmoid", "binary_crossentropy")
    return Head(units if _numbered_beyond(setup, task) else task.classes, "softmax", "sparse_categorical_crossentropy")


def _numbered_beyond(setup: Setup, task: Task) -> bool:
    """Whether every label is the number of a unit though there are more units than labels: that works as it is."""
    units = nets.output_units(setup.net) or 0
    return bool(task.names) and min(task.names) >= 0 and task.classes < units and max(task.names) < units <= 1000


def wrong_parts(setup: Setup, task: Task, data: Data) -> tuple[str, ...]:
    """Which of output_units, output_activation, loss_function and label_encoding are not what the task needs."""
    right, activation = right_head(setup, task), nets.output_activation(setup.net)
    logits = activation == "linear" and setup.from_logits
    margins = activation in ("linear", "tanh") and "hinge" in setup.loss and task.is_classes
    if setup.from_logits and not logits:
        return ("loss_function",)
    wrong = []
    if nets.output_units(setup.net) not in (right.units, None):
        wrong.append("output_units")
    if not (activation == right.activation or logits or margins or _reaches(activation, task, data)):
        wrong.append("output_activation")
    if setup.loss != right.loss and not _also_right(setup.loss, activation, task, data):
        wrong.append("loss_function")
    if needs_numbers(setup, data, task) and not labels_for_hinge(setup, task):
        wrong.append("label_encoding")
    return tuple(wrong)


def _reaches(activation: str, task: Task, data: Data) -> bool:
    """Whether an activation gives every target of a regression."""
    if task.kind != "values":
        return False
    return activation != "softmax" and out_of_reach(activation, tasks.numbers(data.y[0])) == 0


def out_of_reach(activation: str, y: np.ndarray) -> float:
    """Share of the targets that an activation cannot give."""
    y = y[np.isfinite(y)]
    low, high = RANGES.get(activation, (-np.inf, np.inf))
    return float(((y < low) | (y > high)).mean()) if y.size else 0.0


def _also_right(loss: str, activation: str, task: Task, data: Data) -> bool:
    """Losses beside the usual one that fit as well."""
    if task.kind == "values":
        within = data.y[0].min() >= 0 and data.y[0].max() <= 1
        positive = data.y[0].min() >= 0
        return (
            loss in ("binary_crossentropy", "kl_divergence") and within and activation in ("sigmoid", "softmax")
        ) or (loss in ("poisson", "mean_squared_logarithmic_error", "mean_absolute_percentage_error") and positive)
    if "hinge" in loss:
        return activation in ("tanh", "linear") and task.is_classes
    if task.one_hot:
        focal = loss in ("categorical_focal_crossentropy", "kl_divergence")
        return focal and activation == "softmax"
    return loss == "binary_focal_crossentropy" and task.kind in ("binary", "labels")


def recoded(setup: Setup, task: Task) -> bool:
    """Whether the right head needs other numbers for the classes: 0 to k-1."""
    if not task.is_classes or task.one_hot or _numbered_beyond(setup, task):
        return False
    return tuple(task.names) != tuple(range(task.classes))


def labels_for_hinge(setup: Setup, task: Task) -> bool:
    """Whether the labels are -1 and 1 for a loss that wants these."""
    return "hinge" in setup.loss and set(task.names) == {-1, 1}


def needs_numbers(setup: Setup, data: Data, task: Task) -> bool:
    """Whether the classes must be written as 0 to k-1: they are text, or other numbers."""
    return task.is_classes and not task.one_hot and (data.y[0].dtype.kind in "US" or recoded(setup, task))


def _set_head(setup: Setup, data: Data, task: Task, value: Any) -> Pair:
    head = right_head(setup, task)
    setup, data = _encode(setup, data, task, None)
    return _set_loss(setup.with_net(nets.set_head(setup.net, head.units, head.activation)), data, task, head.loss)


def _say_head(setup: Setup, data: Data, task: Task, value: Any) -> str:
    right, units, now = right_head(setup, task), nets.output_units(setup.net), nets.output_activation(setup.net)
    parts = []
    if units != right.units:
        parts.append(counted(right.units, "output unit"))
    if now != right.activation:
        parts.append(f"{_activation_in_words(right.activation)} at the output")
    if setup.loss != right.loss or setup.from_logits:
        parts.append(f"loss {right.loss}")
    if needs_numbers(setup, data, task):
        parts.append("labels from 0")
    return listed(parts) or "nothing behind the output"


def _set_activation(setup: Setup, data: Data, task: Task, value: Any) -> Pair:
    return setup.with_net(nets.set_head(setup.net, None, value)), data


def _set_loss(setup: Setup, data: Data, task: Task, value: Any) -> Pair:
    return replace(setup, losses=({"name": value, "config": {}}, *setup.losses[1:])), data


def _set_units(setup: Setup, data: Data, task: Task, value: Any) -> Pair:
    return setup.with_net(nets.set_head(setup.net, value, nets.output_activation(setup.net))), data


def _encode(setup: Setup, data: Data, task: Task, value: Any) -> Pair:
    if not needs_numbers(setup, data, task):
        return setup, data

    def encode(y: np.ndarray) -> np.ndarray:
        return tasks.class_numbers(task, y).reshape(y.shape).astype(np.float32)

    return setup, _with_targets(data, encode)


def _with_targets(data: Data, change: Callable[[np.ndarray], np.ndarray]) -> Data:
    """The data with the first output's targets changed, the held-out ones too."""

    def first(arrays: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        return (change(arrays[0]), *arrays[1:]) if arrays else ()

    return replace(data, y=first(data.y), y_held_out=first(data.y_held_out))


# --- data -------------------------------------------------------------------------------------------------------------


def fed_to_embedding(setup: Setup) -> bool:
    return nets.count(setup.net, "Embedding", "TextVectorization", "StringLookup", "IntegerLookup") > 0


def looks_like_image(x: np.ndarray) -> bool:
    return x.ndim >= 4 or (x.ndim == 2 and x.shape[1] >= MANY_COLUMNS) or (x.ndim == 3 and x.shape[1] == x.shape[2])


def _scale_inputs(setup: Setup, data: Data, task: Task, value: Any) -> Pair:
    pairs = [_scaled(x, held) for x, held in _beside(data.x, data.x_held_out)]
    return setup, replace(data, x=tuple(p[0] for p in pairs), x_held_out=tuple(p[1] for p in pairs if p[1] is not None))


def _beside(arrays: tuple, held_out: tuple) -> Iterable[tuple]:
    return zip(arrays, held_out or (None,) * len(arrays), strict=True)


def _scaled(x: np.ndarray, held_out: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Inputs standardized by column (pictures: as a whole), the held-out ones by the same numbers."""
    mean, std = input_scale(x)

    def scale(array: np.ndarray) -> np.ndarray:
        return ((array.astype(exact(x)) - mean) / std).astype(np.float32)

    return scale(x), None if held_out is None else scale(held_out)


def input_scale(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation by which inputs are standardized: one of each column, of pictures one of all."""
    axes, wide = input_axes(x), x.astype(exact(x))
    mean, std = np.nanmean(wide, axis=axes), np.nanstd(wide, axis=axes)
    return mean, np.where(std > 1e-12 * (np.abs(mean) + 1e-30), std, 1.0)


def input_axes(x: np.ndarray) -> tuple[int, ...] | None:
    """Over which axes inputs are standardized; None: over all."""
    return None if looks_like_image(x) or x.ndim == 1 else tuple(range(x.ndim - 1))


def exact(x: np.ndarray) -> type:
    """float64 as far as the memory is there."""
    return np.float64 if x.size < 5_000_000 else np.float32


def target_range(setup: Setup) -> tuple[float, float] | None:
    """Into which range scaled targets go, by what the output can give; None: mean 0 and deviation 1."""
    return {**SQUASHING, "relu": (0.0, 1.0), "softplus": (0.0, 1.0)}.get(nets.output_activation(setup.net))


def _scale_targets(setup: Setup, data: Data, task: Task, value: Any) -> Pair:
    y = data.y[0].astype(np.float64)
    flat = y.reshape(-1, task.width)
    if within := target_range(setup):
        low, high = within
        spread = np.maximum(flat.max(axis=0) - flat.min(axis=0), 1e-12) / (high - low)
        shift = flat.min(axis=0) - low * spread
    else:
        shift, spread = flat.mean(axis=0), np.maximum(flat.std(axis=0), 1e-12)

    def scale(array: np.ndarray) -> np.ndarray:
        flat = array.astype(np.float64).reshape(-1, task.width)
        return ((flat - shift) / spread).reshape(array.shape).astype(np.float32)

    return setup, _with_targets(data, scale)


def _mend_numbers(setup: Setup, data: Data, task: Task, value: Any) -> Pair:
    """Numbers that are not finite become their column's mean in the training data; samples with such a target go."""
    keep, keep_held_out = (
        [np.isfinite(tasks.numbers(y).reshape(len(y), -1)).all(axis=1) for y in side[:1]]
        for side in (data.y, data.y_held_out)
    )

    def fill(x: np.ndarray, like: np.ndarray) -> np.ndarray:
        with warnings.catch_warnings(action="ignore"):  # of columns without a number
            mean = np.nan_to_num(np.nanmean(np.where(np.isfinite(like), like, np.nan).astype(np.float32), axis=0))
        return np.where(np.isfinite(x), x, mean).astype(np.float32)

    pairs = [(fill(x, x), None if held is None else fill(held, x)) for x, held in _beside(data.x, data.x_held_out)]
    return setup, replace(
        data,
        x=tuple(x[keep[0]] for x, _ in pairs),
        y=tuple(y[keep[0]] for y in data.y),
        x_held_out=tuple(held[keep_held_out[0]] for _, held in pairs if held is not None),
        y_held_out=tuple(y[keep_held_out[0]] for y in data.y_held_out),
        sample_weight=None if data.sample_weight is None else data.sample_weight[keep[0]],
    )


def _hold_out(setup: Setup, data: Data, task: Task, value: Any) -> Pair:
    """A fifth of the samples, drawn at random, is held out: no cure, it tells memory from learning."""
    order = np.random.default_rng(0).permutation(data.n)
    held, rest = np.sort(order[: data.n // 5]), np.sort(order[data.n // 5 :])
    weight = None if data.sample_weight is None else data.sample_weight[rest]
    return setup, Data(
        tuple(x[rest] for x in data.x),
        tuple(y[rest] for y in data.y),
        tuple(x[held] for x in data.x),
        tuple(y[held] for y in data.y),
        weight,
    )


def _shuffle(setup: Setup, data: Data, task: Task, value: Any) -> Pair:
    """Samples in random order, training and held-out ones mixed before they are parted."""
    held = len(data.x_held_out[0]) if data.x_held_out else 0
    order = np.random.default_rng(0).permutation(data.n + held)
    mix = [np.concatenate([a, b]) if b is not None else a for a, b in _beside(data.x, data.x_held_out)]
    targets = [np.concatenate([a, b]) if b is not None else a for a, b in _beside(data.y, data.y_held_out)]
    train, rest = order[: data.n], order[data.n :]
    weight = data.sample_weight if held == 0 else None
    return replace(setup, shuffle=True), Data(
        tuple(x[train] for x in mix),
        tuple(y[train] for y in targets),
        tuple(x[rest] for x in mix) if held else (),
        tuple(y[rest] for y in targets) if held else (),
        None if weight is None else weight[train],
    )


def _cause_of_targets(setup: Setup, data: Data, task: Task, value: Any) -> tuple[str, ...]:
    """Targets that the output could not give are its fault before theirs."""
    beyond = out_of_reach(nets.output_activation(setup.net), tasks.numbers(data.y[0]))
    return ("output_activation", "target_scale") if beyond > 0.1 else ("target_scale",)


# --- the net ----------------------------------------------------------------------------------------------------------


def _each_layer(edit: Callable[[nets.Layer], None]) -> Callable[[Setup, Data, Task, Any], Pair]:
    return lambda setup, data, task, value: (setup.with_net(nets.edited(setup.net, edit)), data)


def _no_dropout(layer: nets.Layer) -> None:
    config = layer["config"]
    if nets.kind(layer) in nets.DROPOUTS:
        config["rate" if "rate" in config else "stddev"] = 0.0
    for key in ("dropout", "recurrent_dropout"):
        if isinstance(config.get(key), int | float):
            config[key] = 0.0


def _no_penalty(layer: nets.Layer) -> None:
    for key in nets.PENALTIES:
        if layer["config"].get(key):
            layer["config"][key] = None
    if nets.kind(layer) == "ActivityRegularization":
        layer["config"].update(l1=0.0, l2=0.0)


def _thaw(layer: nets.Layer) -> None:
    layer["config"]["trainable"] = True


def _default_weights(layer: nets.Layer) -> None:
    config = layer["config"]
    for key, default in (("kernel_initializer", "GlorotUniform"), ("bias_initializer", "Zeros")):
        if key in config:
            config[key] = {"module": "keras.initializers", "class_name": default, "config": {}, "registered_name": None}


def _plain_start(setup: Setup, data: Data, task: Task, value: Any) -> Pair:
    return replace(setup, net=nets.edited(setup.net, _default_weights), weights=None), data


def _activate(setup: Setup, data: Data, task: Task, value: str) -> Pair:
    """Hidden layers with this activation; those followed by an activation layer get it there; recurrent ones tanh."""
    net = copy.deepcopy(setup.net)
    end = nets.ends(net)
    chain = [layer for layer in nets.layers(net) if id(layer) not in end]
    for layer, after in zip(chain, [*chain[1:], None], strict=True):
        if nets.kind(layer) in nets.RECURRENT:
            layer["config"]["activation"] = "tanh"
        elif nets.kind(layer) in nets.ACTIVATION_LAYERS:
            nets.replace_layer(layer, "Activation", {"activation": value})
        elif nets.has_weights(layer) and "activation" in layer["config"] and not _activated_behind(chain, layer, after):
            layer["config"]["activation"] = value
    return setup.with_net(net), data


def _activated_behind(chain: list[nets.Layer], layer: nets.Layer, after: nets.Layer | None) -> bool:
    """Whether an activation layer follows, perhaps behind a batch normalization."""
    if after is not None and nets.kind(after) == "BatchNormalization":
        place = chain.index(after) + 1
        after = chain[place] if place < len(chain) else None
    return after is not None and nets.kind(after) in nets.ACTIVATION_LAYERS


def _widen(setup: Setup, data: Data, task: Task, value: Any) -> Pair:
    """Hidden layers four times as wide, up to ENOUGH_WIDTH; a net without any gets one."""
    if not nets.hidden(setup.net):
        first = nets.dense("regbench_hidden", FIRST_WIDTH, "relu")
        return setup.with_net(nets.insert_before_output(setup.net, [first])), data
    last = nets.ends(nets_copy := copy.deepcopy(setup.net))
    for layer in nets.layers(nets_copy):
        for key, enough in ENOUGH_WIDTH.items():
            now = layer["config"].get(key)
            if id(layer) not in last and isinstance(now, int) and now < enough:
                layer["config"][key] = min(enough, max(enough // 2, 4 * now))
    return replace(setup, net=nets_copy), data


def _say_wider(setup: Setup, data: Data, task: Task, value: Any) -> str:
    return "a wider net" if nets.hidden(setup.net) else f"a hidden layer of {FIRST_WIDTH} units"


def _no_batch_norm(setup: Setup, data: Data, task: Task, value: Any) -> Pair:
    if value is None:
        return setup.with_net(nets.without_batch_norm(setup.net)), data

    def edit(layer: nets.Layer) -> None:
        if nets.kind(layer) == "BatchNormalization":
            layer["config"]["momentum"] = value

    return setup.with_net(nets.edited(setup.net, edit)), data


# --- training ---------------------------------------------------------------------------------------------------------


def _optimizer(setup: Setup, data: Data, task: Task, value: tuple[str, float]) -> Pair:
    return replace(setup, optimizer={"class_name": value[0], "config": {"learning_rate": value[1]}}), data


def _rate(setup: Setup, data: Data, task: Task, value: float) -> Pair:
    rate = float(f"{setup.learning_rate * value:.4g}")
    return replace(
        setup, optimizer={**setup.optimizer, "config": {**setup.optimizer["config"], "learning_rate": rate}}
    ), data


def _clip(setup: Setup, data: Data, task: Task, value: float) -> Pair:
    config = {
        k: v for k, v in setup.optimizer["config"].items() if k not in ("clipvalue", "global_clipnorm", "clipnorm")
    }
    return replace(setup, optimizer={**setup.optimizer, "config": {**config, "clipnorm": value}}), data


def _batches(setup: Setup, data: Data, task: Task, value: int) -> Pair:
    return replace(setup, batch_size=value, steps_per_epoch=None), data


def _say_batches(setup: Setup, data: Data, task: Task, value: int) -> str:
    """Smaller ones mean more steps as well, and it may be these that help."""
    now, then = (steps_in_epoch(s, data.n) for s in (setup, _batches(setup, data, task, value)[0]))
    times = round(then / now, 1)
    more = f" ({'twice' if times == 2 else f'{times:g} times'} as many steps)" if times > 1 else ""
    return f"batches of {value} in place of {min(setup.batch_size, data.n)}{more}"


def _epochs(setup: Setup, data: Data, task: Task, value: int) -> Pair:
    return replace(setup, epochs=value), data


def balanced_weights(task: Task, data: Data) -> dict[int, float]:
    """Weights with which every class counts the same, by number of the class as the script gives it."""
    true = tasks.class_numbers(task, data.y[0])
    counts = np.bincount(true, minlength=task.classes)
    names = range(task.classes) if task.one_hot or not task.names else [int(name) for name in task.names]
    return {name: float(len(true) / (task.classes * max(1, c))) for name, c in zip(names, counts, strict=True)}


def _weigh(setup: Setup, data: Data, task: Task, value: Any) -> Pair:
    return replace(setup, class_weight=balanced_weights(task, data)), data


# --- all kinds, in the order in which they are made -------------------------------------------------------------------


def _named(*names: str) -> Callable[..., tuple[str, ...]]:
    return lambda setup, data, task, value: names


def _said(text: str) -> Callable[..., str]:
    return lambda setup, data, task, value: text.format(value=value, setup=setup)


def _cause_of_head(setup: Setup, data: Data, task: Task, value: Any) -> tuple[str, ...]:
    """What is wrong at the output; where nothing is, what a usual one has otherwise."""
    right = right_head(setup, task)
    other = {
        "output_units": nets.output_units(setup.net) not in (right.units, None),
        "output_activation": nets.output_activation(setup.net) != right.activation,
        "loss_function": setup.loss != right.loss or setup.from_logits,
    }
    return wrong_parts(setup, task, data) or tuple(name for name, is_so in other.items() if is_so) or ("dropout_high",)


def _cause_of_activation(setup: Setup, data: Data, task: Task, value: str) -> tuple[str, ...]:
    now = nets.hidden_activations(setup.net)
    if value != "relu":
        return ("dead_relu",)
    if not now or len(now) < len(nets.hidden(setup.net)) / 2:
        return ("hidden_activation_missing",)
    deep = len(now) >= 3 and set(now) <= {"sigmoid", "tanh", "hard_sigmoid"}
    return ("vanishing_gradient",) if deep else ("hidden_activation",)


def _cause_of_optimizer(setup: Setup, data: Data, task: Task, value: tuple[str, float]) -> tuple[str, ...]:
    side = unusual_rate(setup)
    return (f"learning_rate_{side}", "optimizer_choice") if side else ("optimizer_choice",)


def unusual_rate(setup: Setup) -> str:
    """low or high, where the learning rate is out of what usually works; else empty."""
    low, high, _ = RATES.get(setup.optimizer["class_name"], (0.0, np.inf, 0.0))
    return "low" if setup.learning_rate < low else "high" if setup.learning_rate > high else ""


def rates(setup: Setup) -> list[float]:
    """Factors for the learning rate, the likeliest first: to a usual one, tens and hundreds up and down."""
    side = unusual_rate(setup)
    middle = RATES.get(setup.optimizer["class_name"], (0.0, np.inf, np.inf))[2]
    factors = [float(f"{middle / setup.learning_rate:.6g}")] if side and setup.learning_rate else []
    inside = (0.1, 10.0, 0.01, 100.0) if setup.learning_rate > middle else (10.0, 0.1, 100.0, 0.01)
    steps = {"low": (10.0, 100.0), "high": (0.1, 0.01)}.get(side, inside)
    return factors + [factor for factor in steps if factor not in factors]


KINDS = {
    "hold_out": Kind(
        _hold_out, _said("a fifth of the samples held out"), _named("data_unlearnable"), "what is held out"
    ),
    "finite": Kind(_mend_numbers, _said("missing numbers filled in"), _named("data_not_finite"), "missing numbers"),
    "shuffle": Kind(_shuffle, _said("samples in random order"), _named("data_order"), "the order of the samples"),
    "inputs": Kind(_scale_inputs, _said("inputs standardized"), _named("input_scale"), "the scale of the inputs"),
    "labels": Kind(
        _encode, _said("labels as numbers from 0"), _named("label_encoding"), "the numbers that stand for the classes"
    ),
    "head": Kind(_set_head, _say_head, _cause_of_head, "the output and its loss"),
    "units": Kind(_set_units, _said("{value} output units"), _named("output_units"), "the number of output units"),
    "output": Kind(
        _set_activation,
        lambda setup, data, task, value: f"{_activation_in_words(value)} at the output",
        _named("output_activation"),
        "the activation of the output",
    ),
    "loss": Kind(_set_loss, _said("loss {value}"), _named("loss_function"), "the loss"),
    "targets": Kind(_scale_targets, _said("targets scaled"), _cause_of_targets, "the scale of the targets"),
    "activation": Kind(
        _activate, _said("{value} in the hidden layers"), _cause_of_activation, "the activation of the hidden layers"
    ),
    "width": Kind(_widen, _say_wider, _named("capacity_low"), "the size of the net"),
    "weights": Kind(
        _plain_start, _said("Keras' default initial weights"), _named("weight_init"), "the initial weights"
    ),
    "dropout": Kind(_each_layer(_no_dropout), _said("no dropout"), _named("dropout_high"), "dropout"),
    "penalty": Kind(
        _each_layer(_no_penalty), _said("no regularizer"), _named("regularization_strong"), "the regularizer"
    ),
    "batch_norm": Kind(
        _no_batch_norm,
        lambda setup, data, task, value: (
            "no batch normalization" if value is None else f"batch normalization with momentum {value}"
        ),
        _named("batch_norm"),
        "batch normalization",
    ),
    "thaw": Kind(
        _each_layer(_thaw), _said("all layers trainable"), _named("frozen_layers"), "layers that do not train"
    ),
    "optimizer": Kind(_optimizer, _said("{value[0]}({value[1]})"), _cause_of_optimizer, "the optimizer"),
    "rate": Kind(
        _rate,
        lambda setup, data, task, value: (
            f"learning rate {setup.learning_rate * value:.3g} in place of {setup.learning_rate:.3g}"
        ),
        lambda setup, data, task, value: ("learning_rate_low" if value > 1 else "learning_rate_high",),
        "the learning rate",
    ),
    "clip": Kind(
        _clip, _said("gradients clipped to norm {value}"), _named("exploding_gradient"), "gradients that grow too large"
    ),
    "batch": Kind(_batches, _say_batches, _named("batch_size"), "the batch size"),
    "epochs": Kind(
        _epochs, _said("{value:,} epochs in place of {setup.epochs:,}"), _named("epochs_few"), "the number of epochs"
    ),
    "class_weight": Kind(
        _weigh, _said("every class weighted to count the same"), _named("class_imbalance"), "the size of the classes"
    ),
}
ORDER = {kind: place for place, kind in enumerate(KINDS)}


def apply(changes: Iterable[Change], setup: Setup, data: Data, task: Task) -> tuple[Setup, Data, Task]:
    """The setup and data with all the changes made, and the task as its targets then read."""
    for change in sorted(changes, key=lambda change: ORDER[change.kind]):
        setup, data = KINDS[change.kind].apply(setup, data, task, change.value)
        if change.kind in ("head", "labels") and task.names:
            task = replace(task, names=tuple(np.unique(data.y[0]).tolist()))
    return setup, data, task


def say(change: Change, setup: Setup, data: Data, task: Task) -> str:
    """A change in a few words; `setup` and `data` are the script's own."""
    return KINDS[change.kind].say(setup, data, task, change.value)


def nouns(changes: Iterable[Change], setup: Setup) -> list[str]:
    """What some changes change, each once, with the values that were tried: "the number of epochs (50, 500)"."""
    values: dict[str, list[Any]] = {}
    for change in sorted(changes, key=lambda change: ORDER[change.kind]):
        tried = values.setdefault(change.kind, [])
        if change.kind == "rate":
            tried.append(setup.learning_rate * change.value)
        elif isinstance(change.value, int | str):
            tried.append(change.value)
    said = {
        kind: ", ".join(
            f"{v:.3g}" if isinstance(v, float) else f"{v:,}" if isinstance(v, int) else v for v in sorted(t)
        )
        for kind, t in values.items()
    }
    return [KINDS[kind].noun + (f" ({text})" if text else "") for kind, text in said.items()]


def causes(change: Change, setup: Setup, data: Data, task: Task) -> tuple[str, ...]:
    """Which causes it would show if this change makes the net learn, the likeliest first."""
    return KINDS[change.kind].cause(setup, data, task, change.value)


# --- what can be tried ------------------------------------------------------------------------------------------------


def candidates(setup: Setup, data: Data, task: Task) -> list[Change]:
    """All single changes that would change something, the most frequent causes first."""
    net = setup.net
    found: list[Change] = []
    if needs_numbers(setup, data, task) and not labels_for_hinge(setup, task):
        found.append(Change("labels"))
    if nets.tail(net) and not _same_head(setup, task):
        found.append(Change("head"))
    finite = all(np.isfinite(tasks.numbers(a)).all() for a in (*data.x, *data.y) if a.dtype.kind not in "USO")
    if not finite:
        found.append(Change("finite"))
    longer = longer_epochs(setup, data)
    found += [Change("epochs", epochs) for epochs in longer]
    if task.kind == "values" and not reproduces_inputs(data):
        found.append(Change("targets"))
    factors = [Change("rate", factor) for factor in rates(setup)]
    found += factors[:2]
    adapted = nets.count(setup.net, "Normalization") and nets.scales_inputs(setup.net)  # to the inputs as they are
    if not fed_to_embedding(setup) and not adapted and all(x.dtype.kind not in "USO" for x in data.x):
        found.append(Change("inputs"))
    if setup.optimizer["class_name"] != "Adam":
        found.append(Change("optimizer", ("Adam", 0.001)))
    narrow = reproduces_inputs(data)  # on purpose
    found += [change for change in _net_changes(setup, task) if change.kind != "width" or not narrow]
    found += factors[2:]
    found += [Change("batch", size) for size in other_batches(setup, data)]
    if not setup.shuffle:
        found.append(Change("shuffle"))
    if setup.weights is not None or _unusual_start(net):
        found.append(Change("weights"))
    if any(not layer["config"].get("trainable", True) for layer in nets.layers(net)):
        found.append(Change("thaw"))
    if len(data.y) == 1 and task.is_classes and not setup.class_weight and _imbalanced(task, data):
        found.append(Change("class_weight"))
    found.append(Change("clip", 1.0))
    return found


def _same_head(setup: Setup, task: Task) -> bool:
    """Whether the net has the right head; what numbers its labels are is a change of its own."""
    head = right_head(setup, task)
    now = Head(nets.output_units(setup.net) or 0, nets.output_activation(setup.net), setup.loss)
    nothing_behind = not any(nets.kind(layer) in nets.DROPOUTS for layer in nets.tail(setup.net))
    return now == head and not setup.from_logits and nothing_behind


def _net_changes(setup: Setup, task: Task) -> list[Change]:
    net, found = setup.net, []
    activations, hidden = nets.hidden_activations(net), nets.hidden(net)
    if hidden and (set(activations) - {"relu"} or len(activations) < len(hidden)):
        found.append(Change("activation", "relu"))
    if "relu" in activations:
        found.append(Change("activation", "tanh"))
    found = [change for change in found if _activate(setup, None, task, change.value)[0].net != net]  # LSTMs keep tanh
    narrow = any((layer["config"].get(key) or 99) < enough for layer in hidden for key, enough in ENOUGH_WIDTH.items())
    if narrow or (not hidden and nets.is_sequential(net) and nets.tail(net)):
        found.append(Change("width"))
    if dropout_rates(net):
        found.append(Change("dropout"))
    if penalties(net):
        found.append(Change("penalty"))
    if nets.count(net, "BatchNormalization"):
        found += [Change("batch_norm"), Change("batch_norm", 0.9)]
    return found


def longer_epochs(setup: Setup, data: Data) -> list[int]:
    """Two longer trainings: five times and 25 times, at least 1,000 and 10,000 steps."""
    in_epoch = steps_in_epoch(setup, data.n)
    return [
        _round_up(max(setup.epochs * factor, -(-least // in_epoch)))
        for factor, least in ((5, 1000), (25, 10_000))
        if setup.epochs * in_epoch * factor < 2_000_000
    ]


def _round_up(value: int) -> int:
    """To 1, 2 or 5 times a power of ten."""
    power = 10 ** (len(str(int(value))) - 1)
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)


def other_batches(setup: Setup, data: Data) -> list[int]:
    """A batch size that gives enough steps an epoch and is no smaller than that needs."""
    if setup.steps_per_epoch:
        return []
    if setup.batch_size > 32 or setup.batch_size > data.n // 4:
        other = max(1, min(32, data.n // 8))
        return [other] if other < min(setup.batch_size, data.n) else []
    return [32] if setup.batch_size < 8 and data.n >= 256 else []


def dropout_rates(net: nets.Net) -> list[float]:
    """All rates of dropout above 0."""
    rates = []
    for layer in nets.layers(net):
        config = layer["config"]
        if nets.kind(layer) in nets.DROPOUTS:
            rates.append(config.get("rate", config.get("stddev", 0)))
        rates += [config[key] for key in ("dropout", "recurrent_dropout") if isinstance(config.get(key), int | float)]
    return [float(rate) for rate in rates if rate]


def penalties(net: nets.Net) -> list[dict[str, Any]]:
    """All regularizers in use, as Keras writes them."""
    found = [layer["config"][key] for layer in nets.layers(net) for key in nets.PENALTIES if layer["config"].get(key)]
    return found + [layer for layer in nets.layers(net) if nets.kind(layer) == "ActivityRegularization"]


def _unusual_start(net: nets.Net) -> bool:
    usual = {"GlorotUniform", "GlorotNormal", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform"}
    usual |= {"glorot_uniform", "glorot_normal", "he_normal", "he_uniform", "lecun_normal", "lecun_uniform"}
    starts = [layer["config"].get("kernel_initializer") for layer in nets.layers(net)]
    biases = [layer["config"].get("bias_initializer") for layer in nets.layers(net)]
    return any(nets.name_of(s) not in usual for s in starts if s) or any(
        nets.name_of(b) not in {"Zeros", "zeros"} for b in biases if b
    )


def _imbalanced(task: Task, data: Data) -> bool:
    counts = np.bincount(tasks.class_numbers(task, data.y[0]), minlength=task.classes)
    return bool(counts.max() >= 3 * max(1, counts[counts > 0].min()))


def everything(setup: Setup, data: Data, task: Task) -> tuple[Change, ...]:
    """What gives a net the best chance, all at once: the start where no single change moves anything."""
    found = candidates(setup, data, task)
    wanted = {
        "head",
        "labels",
        "finite",
        "inputs",
        "targets",
        "width",
        "dropout",
        "penalty",
        "weights",
        "thaw",
        "shuffle",
        "batch",
    }
    if not wrong_parts(setup, task, data):
        wanted.remove("head")
    chosen = {change.kind: change for change in found if change.kind in wanted}
    if "head" in chosen:
        chosen.pop("labels", None)  # which it numbers too
    for change in found:
        if change in (Change("activation", "relu"), Change("batch_norm")) or change.kind == "optimizer":
            chosen.setdefault(change.kind, change)
    if "optimizer" not in chosen and not 3e-4 <= setup.learning_rate <= 1e-2:
        chosen["optimizer"] = Change("optimizer", ("Adam", 0.001))
    if longer := [change for change in found if change.kind == "epochs"]:
        chosen["epochs"] = longer[0]
    return tuple(chosen.values())
