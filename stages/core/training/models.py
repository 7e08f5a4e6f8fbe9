"""Keras models from rows: the layers are Keras' own, their initial weights and noise depend on seed and place alone."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from stages.core.config.row import Layer, Regularizers, Row
from stages.core.training import vocabulary
from stages.core.training.dropout import ThreefryDropout

WEIGHTED = ("kernel_initializer", "embeddings_initializer", "depthwise_initializer")  # of layers that count as such
DRAWS_APART = ("MultiHeadAttention", "GroupedQueryAttention")  # one initializer, several weights: each its own draw


def build(row: Row, seed: int) -> keras.Model:
    """The row's Keras model with the initial weights of `seed`.

    Weights are drawn by (seed, position among the layers that have weights), so that rows that differ in regularizers
    or dropout start from the same weights, seed by seed; noise is drawn by (seed, kind, position among its kind). The
    layers of a chain are named after their type and position (`dense_2`).

    Raises:
        ValueError: Keras refuses it; the text says which layer.
    """
    with _drawn_from(derived_seed(seed, "net")):
        if row.keras is not None:
            return _seeded_graph(row.keras, seed)
        return _seeded_chain(row, seed)


def paths(model: keras.Model) -> list[str]:
    """Names of the trainable weights, in their order: layer/weight, or layer/.../weight where layers are inside."""
    names = {}
    for layer in model.layers:
        for variable in layer.trainable_variables:
            inside = variable.path.rpartition(f"{layer.name}/")[2]
            names[id(variable)] = f"{layer.name}/{inside}"
    return [names[id(variable)] for variable in model.trainable_variables]


def derived_seed(*axes: int | str) -> int:
    """A 31-bit seed from named axes, e.g. (seed, "order", epoch): independent for other axes (numpy's SeedSequence)."""
    entropy = [int.from_bytes(axis.encode(), "big") if isinstance(axis, str) else axis for axis in axes]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1)


def _seeded_chain(row: Row, seed: int) -> keras.Sequential:
    places, layers = _Places(seed), {}
    for index, config in enumerate(row.layers):
        if config.type == "dropout" and config.rate == 0:
            continue
        where = f"layers.{index} ({config.type})"
        with vocabulary.located(where):
            layer = vocabulary.layer(_arguments(config, row.regularizers), places.name(config.type))
            layers[where] = places.seeded(layer)
    try:
        return keras.Sequential([keras.Input(row.dataset.shape), *layers.values()])
    except Exception:
        refused = next((where for where, layer in layers.items() if not layer._inbound_nodes), "layers")
        with vocabulary.located(refused):
            raise


def _seeded_graph(net: dict[str, Any], seed: int) -> keras.Model:
    """The net that Keras' JSON describes, weights and noise drawn as those of a chain."""
    vocabulary.refuse_code(net)
    model = keras.models.model_from_json(json.dumps(net))
    places = _Places(seed)
    return keras.models.clone_model(model, clone_function=places.seeded, recursive=True)


class _Places:
    """Counts layers as they come, and gives each the seeds of its place."""

    def __init__(self, seed: int):
        self.seed = seed
        self.named: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.weighted = 0

    def name(self, kind: str) -> str:
        self.named[kind] += 1
        return f"{kind}_{self.named[kind]}"

    def seeded(self, layer: keras.Layer) -> keras.Layer:
        """`layer`, which has no weights yet, made again with seeds."""
        config, cls = layer.get_config(), type(layer)
        kind = vocabulary.name_of(cls)
        self.kinds[kind] += 1
        self.weighted += any(key in config for key in WEIGHTED)
        for key, value in config.items():
            inner = value.get("config") if isinstance(value, dict) else None
            random_one = key.endswith("_initializer") and isinstance(inner, dict) and "seed" in inner
            if random_one and cls.__name__ not in DRAWS_APART:
                inner["seed"] = derived_seed(self.seed, key.removesuffix("_initializer"), self.weighted)
        if "seed" in config:
            config["seed"] = derived_seed(self.seed, kind, self.kinds[kind])
        if cls is keras.layers.Dropout and config.get("noise_shape") is None:
            cls = ThreefryDropout
        return cls.from_config(config)


@contextmanager
def _drawn_from(seed: int) -> Iterator[None]:
    """Meanwhile Keras draws from `seed` the seeds that nobody gives it: those of layers inside of layers."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def _arguments(config: Layer, regularizers: Regularizers) -> dict[str, Any]:
    """Of a layer: `regularized` is short for those of the row's penalties that are not zero."""
    values = config.model_dump()
    if not values.pop("regularized", False):
        return values
    for place in Regularizers.model_fields:
        coefficients = getattr(regularizers, place)
        key = f"{place}_regularizer"
        if key in values:
            raise ValueError(f"{key}: the layer is marked regularized: true, so the row says which it is")
        if coefficients.l1 or coefficients.l2:  # without, it is as if it were not there: no graph, no cost
            values[key] = coefficients.model_dump()
    return values
