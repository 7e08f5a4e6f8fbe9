"""Configurations that Keras 2 wrote, as Keras 3 reads them."""

from typing import Any

PACKAGES = {"initializer": "keras.initializers", "regularizer": "keras.regularizers", "constraint": "keras.constraints"}
RENAMED = {"LeakyReLU": {"alpha": "negative_slope"}}
GONE = {  # by class; None: for all
    None: {"batch_input_shape", "ragged"},
    "BatchNormalization": {"renorm", "renorm_clipping", "renorm_momentum", "fused", "virtual_batch_size", "adjustment"},
    "Embedding": {"input_length"},
    "LSTM": {"time_major", "implementation"},
    "GRU": {"time_major", "implementation"},
    "SimpleRNN": {"time_major"},
    "RNN": {"time_major"},
    "MultiHeadAttention": {"query_shape", "key_shape", "value_shape"},
}
OPTIMIZER_GONE = {"is_legacy_optimizer", "jit_compile", "decay", "loss_scale", "ema_overwrite_frequency"}
LOSSES = {"logcosh": "log_cosh", "kullback_leibler_divergence": "kl_divergence"}


def model(config: dict[str, Any]) -> dict[str, Any]:
    """A net's configuration (`model.to_json()` of Keras 2, parsed) for `keras.models.model_from_json` of Keras 3."""
    return _net(config) if "layers" in config["config"] else _layer(config)


def optimizer(config: dict[str, Any]) -> dict[str, Any]:
    """An optimizer's arguments; the `decay` of Keras 2 as a schedule of the learning rate, which is what it did."""
    kept = {key: value for key, value in config.items() if key not in OPTIMIZER_GONE}
    if config.get("decay"):
        rate = {"initial_learning_rate": config["learning_rate"], "decay_steps": 1, "decay_rate": config["decay"]}
        kept["learning_rate"] = {"class_name": "InverseTimeDecay", "config": rate}
    return kept


def loss(facts: dict[str, Any]) -> dict[str, Any]:
    """A loss by the name that Keras 3 gives it."""
    return {**facts, "name": LOSSES.get(facts["name"], facts["name"])}


def _net(config: dict[str, Any]) -> dict[str, Any]:
    sequential = config["class_name"] == "Sequential"
    inner = {**config["config"], "layers": [_layer(layer) for layer in config["config"]["layers"]]}
    first = config["config"]["layers"][0]
    if sequential and first["class_name"] != "InputLayer" and "batch_input_shape" in first["config"]:
        shape = {"batch_shape": first["config"]["batch_input_shape"], "dtype": "float32", "name": "input"}
        inner["layers"].insert(0, _node("keras.layers", "InputLayer", shape))
    if sequential:
        return _node("keras", "Sequential", inner)
    return _node("keras.src.models.functional", "Functional", inner)


def _layer(layer: dict[str, Any]) -> dict[str, Any]:
    """A layer with all that it holds; what a functional net says of its place (name, inbound_nodes) stays."""
    kind, place = layer["class_name"], {key: layer[key] for key in ("name", "inbound_nodes") if key in layer}
    if "layers" in layer["config"]:
        return {**_net(layer), **place}
    gone = GONE[None] | GONE.get(kind, set())
    names = RENAMED.get(kind, {})
    config = {names.get(key, key): _value(key, value) for key, value in layer["config"].items() if key not in gone}
    if kind == "InputLayer":
        config["batch_shape"] = layer["config"]["batch_input_shape"]
    if kind == "BatchNormalization" and isinstance(config["axis"], list):
        config["axis"] = config["axis"][0]
    return {**_node("keras.layers", kind, config), **place}


def _value(key: str, value: Any) -> Any:
    """An argument of a layer: a layer, an initializer, a policy, or a plain value."""
    if not isinstance(value, dict) or "class_name" not in value:
        return [_value(key, item) for item in value] if isinstance(value, list) and key == "cells" else value
    if value["class_name"] == "Policy":
        return value["config"]["name"]
    package = PACKAGES.get(key.rpartition("_")[2])
    return _node(package, value["class_name"], value["config"]) if package else _layer(value)


def _node(module: str, kind: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"module": module, "class_name": kind, "config": config, "registered_name": None}
