"""What is trained in an experiment, and on what: a record without what an experiment cannot change.

A `Setup` and a `Data` are values: an intervention takes one pair and gives another.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stages.core.why.record import Data as RecordedData
from stages.core.why.record import Record

Net = dict[str, Any]
"""A net as Keras 3 writes it with `model.to_json()`, parsed."""

MEMORY = 50_000_000
"""Bytes of inputs that an experiment works on; of larger data fewer samples are taken."""

MOST_HELD_OUT = 2000
"""Held-out samples that are kept: no more are looked at."""

DRAWN = 0.051
"""Keras draws embeddings between -0.05 and 0.05, unless a script says otherwise."""


@dataclass(frozen=True)
class Setup:
    """The net and how it is trained."""

    net: Net
    optimizer: dict[str, Any]  # {"class_name", "config"}, Keras' words
    losses: tuple[dict[str, Any] | None, ...]  # one an output: {"name": Keras' function, "config": its arguments}
    epochs: int
    batch_size: int
    shuffle: bool = True
    one_order: bool = False  # every epoch takes the samples in the first one's, as Keras 3 does where a seed is set
    steps_per_epoch: int | None = None
    loss_weights: tuple[float, ...] | None = None
    class_weight: dict[int, float] | None = None
    weights: dict[str, list[np.ndarray]] | None = None  # to start from, by layer; None: drawn anew for every seed
    samples_each: float = 1.0  # samples of the script that each sample here stands for

    @property
    def loss(self) -> str:
        """Name of the first output's loss; empty without one."""
        return self.losses[0]["name"] if self.losses and self.losses[0] else ""

    @property
    def from_logits(self) -> bool:
        return bool(self.losses and self.losses[0] and self.losses[0]["config"].get("from_logits"))

    @property
    def learning_rate(self) -> float:
        """In the first step."""
        rate = self.optimizer["config"].get("learning_rate", 0.001)
        return float(rate["config"].get("initial_learning_rate", 0.001)) if isinstance(rate, dict) else float(rate)

    def with_net(self, net: Net) -> Setup:
        return replace(self, net=net)


@dataclass(frozen=True)
class Data:
    """Samples with their targets; tuples hold one array an input or output, first axis samples."""

    x: tuple[np.ndarray, ...]
    y: tuple[np.ndarray, ...]
    x_held_out: tuple[np.ndarray, ...] = ()  # empty: the script validates on nothing
    y_held_out: tuple[np.ndarray, ...] = ()
    sample_weight: np.ndarray | None = None

    @property
    def n(self) -> int:
        return len(self.x[0])

    @property
    def single(self) -> bool:
        """One input and one output."""
        return len(self.x) == len(self.y) == 1


def reproduces_inputs(data: Data) -> bool:
    """Whether the targets are the inputs, as an autoencoder's are."""
    if not data.single or data.x[0].size != data.y[0].size or data.x[0].dtype.kind in "US":
        return False
    return bool(np.array_equal(data.x[0].reshape(data.n, -1), data.y[0].reshape(data.n, -1)))


def steps_in_epoch(setup: Setup, n: int) -> int:
    """Optimizer steps that an epoch takes with n samples."""
    return setup.steps_per_epoch or max(1, math.ceil(n * setup.samples_each / setup.batch_size))


def from_record(record: Record) -> tuple[Setup, Data]:
    """What an experiment starts from.

    The record must hold the net (`model_json`) and targets.
    """
    train, held_out = record.train, record.validation
    net = json.loads(record.model_json)
    weights = _given_embeddings(net, record.weights) if record.weights_origin == "fresh" else record.weights
    compiled = record.compiled
    optimizer = compiled.optimizer
    setup = Setup(
        net=without_build_shapes(_with_adapted(net, record.weights)),
        optimizer={"class_name": optimizer.name, "config": optimizer.config},
        losses=tuple(loss and {"name": loss.name, "config": loss.config} for loss in compiled.losses),
        epochs=max(1, record.budget.epochs - record.budget.initial_epoch),
        batch_size=record.budget.batch_size,
        shuffle=record.budget.shuffle,
        one_order=record.repeats_order,
        steps_per_epoch=record.budget.steps_per_epoch,
        loss_weights=compiled.loss_weights and tuple(compiled.loss_weights),
        class_weight=record.class_weight,
        weights=weights or None,
    )
    x, y, weight = _thinned(train, record.input_shapes)
    setup = replace(setup, samples_each=max(1.0, (train.samples.total or train.samples.kept) / len(x[0])))
    held = _thinned(held_out, record.input_shapes, MOST_HELD_OUT) if held_out and held_out.y else ((), (), None)
    return setup, Data(x, y, held[0], held[1], weight)


def without_build_shapes(net: Net) -> Net:
    """The net without what Keras can find out again, so that widths can change.

    Initializers lose their seeds, inputs a fixed batch size, and recurrent layers the state that they carry along.
    """
    net = copy.deepcopy(net)
    net.pop("compile_config", None)

    def strip(value: Any) -> None:
        if isinstance(value, dict):
            value.pop("build_config", None)
            if "seed" in value and isinstance(value["seed"], int | dict):
                value["seed"] = None
            if isinstance(shape := value.get("batch_shape"), list) and shape:
                value["batch_shape"] = [None, *shape[1:]]
            if value.get("stateful"):
                value["stateful"] = False
            value = list(value.values())
        if isinstance(value, list):
            for item in value:
                strip(item)

    strip(net)
    return net


def _with_adapted(net: Net, weights: Mapping[str, list[np.ndarray]]) -> Net:
    """The net with what its Normalization layers were adapted to, which is in no config and which no seed draws."""
    net = copy.deepcopy(net)
    for layer in net["config"].get("layers", []):
        found = weights.get(layer["config"].get("name", ""), [])[:2]
        if layer["class_name"] == "Normalization" and len(found) == 2 and ((found[0] != 0) | (found[1] != 1)).any():
            layer["config"] |= {"mean": found[0].tolist(), "variance": found[1].tolist()}
    return net


def _given_embeddings(net: Net, weights: Mapping[str, list[np.ndarray]]) -> dict[str, list[np.ndarray]]:
    """The matrices of embeddings that were handed over: with values that Keras does not draw by itself."""
    usual = {
        layer["config"].get("name", "")
        for layer in net["config"].get("layers", [])
        if layer["class_name"] == "Embedding" and "RandomUniform" in str(layer["config"].get("embeddings_initializer"))
    }
    return {
        name: arrays
        for name, arrays in weights.items()
        if name in usual and arrays and np.abs(arrays[0]).max(initial=0) > DRAWN
    }


def _thinned(
    data: RecordedData, shapes: list[list[int | None]], most: int = 1_000_000
) -> tuple[tuple, tuple, np.ndarray | None]:
    """Inputs, targets and weights as numbers; some of the samples where all would be too much.

    Numbers that a net takes as a column, as `fit` lets it, become one.
    """
    n, size = len(data.x[0]), max(1, sum(array.size * 4 for array in data.x))
    kept = max(1, min(n, most, n * MEMORY // size))
    place = some(n, kept)
    weight = None if data.sample_weight is None else np.asarray(data.sample_weight, np.float32)[place]
    x = tuple(_numbers(array[place]) for array in data.x)
    x = tuple(a[:, None] if a.ndim == 1 and len(s) == 2 else a for a, s in zip(x, shapes, strict=True))
    return x, tuple(_numbers(array[place]) for array in data.y), weight


def some(n: int, most: int) -> slice | np.ndarray:
    """Places of up to `most` of n samples, in their order; drawn, since every k-th may well be of one class."""
    return slice(None) if n <= most else np.sort(np.random.default_rng(0).permutation(n)[:most])


def _numbers(array: np.ndarray) -> np.ndarray:
    """float32 or int64; text stays text."""
    array = np.asarray(array)
    if array.dtype.kind in "iub":
        return array.astype(np.int64) if array.dtype.kind != "u" or array.dtype.itemsize > 1 else array
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    if array.dtype.kind == "O":
        try:
            return array.astype(np.float32)
        except (TypeError, ValueError):
            return array.astype(str)
    return array
