"""Reading and editing a net's Keras configuration; nothing here needs Keras.

Edits give a new net. A layer is the dictionary that Keras writes: {"class_name", "config", …}.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

Layer = dict[str, Any]
Net = dict[str, Any]

ACTIVATION_LAYERS = ("Activation", "Softmax", "ReLU", "LeakyReLU", "ELU", "PReLU", "ThresholdedReLU")
RECURRENT = ("LSTM", "GRU", "SimpleRNN")
DROPOUTS = (
    "Dropout",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "AlphaDropout",
    "GaussianDropout",
    "GaussianNoise",
)
PENALTIES = tuple(
    f"{what}_regularizer"
    for what in ("kernel", "bias", "activity", "recurrent", "embeddings", "depthwise", "pointwise", "beta", "gamma")
)
SHAPE_LAYERS = ("Flatten", "Reshape", "Identity")
SCALING = ("TrueDivide", "Divide", "Multiply")
"""Operations, as of a Lambda layer, that scale what they are given."""
BESIDE_SCALING = ("Add", "Subtract", "Cast", "ExpandDims", "Squeeze", *SHAPE_LAYERS)


def layers(net: Net) -> Iterator[Layer]:
    """All layers in order; layers inside a wrapper or a nested net follow the one that holds them."""
    for layer in net["config"].get("layers", []):
        yield from _with_inner(layer)


def _with_inner(layer: Layer) -> Iterator[Layer]:
    yield layer
    for key in ("layer", "backward_layer", "cell"):
        if isinstance(inner := layer["config"].get(key), dict) and "config" in inner:
            yield from _with_inner(inner)
    for inner in layer["config"].get("layers", []):
        if isinstance(inner, dict) and "config" in inner:
            yield from _with_inner(inner)


def edited(net: Net, edit: Callable[[Layer], None]) -> Net:
    """The net after `edit` was called with every layer of a copy."""
    net = copy.deepcopy(net)
    for layer in layers(net):
        edit(layer)
    return net


def kind(layer: Layer) -> str:
    return layer["class_name"]


def name_of(value: Any) -> str:
    """Name of an activation, initializer, … in snake case or as the class; "linear" for none."""
    if value is None:
        return "linear"
    if isinstance(value, dict):
        config = value.get("config")
        return config if isinstance(config, str) else value.get("class_name", "")
    return str(value)


def activation(layer: Layer) -> str:
    """The activation that a layer ends with; "linear" if it has none."""
    if kind(layer) == "Softmax" and layer["config"].get("axis") == 0:
        return "softmax over the batch"
    special = {"Softmax": "softmax", "ReLU": "relu", "LeakyReLU": "leaky_relu", "ELU": "elu", "PReLU": "leaky_relu"}
    return special.get(kind(layer)) or name_of(layer["config"].get("activation"))


def has_weights(layer: Layer) -> bool:
    """Whether it computes features: dense, convolution, recurrent, or a wrapper of one."""
    return kind(layer) in ("Dense", "EinsumDense", "TimeDistributed", "Bidirectional", *RECURRENT) or "Conv" in kind(
        layer
    )


def is_sequential(net: Net) -> bool:
    return net["class_name"] == "Sequential"


def tail(net: Net, output: int = 0) -> list[Layer]:
    """The layers from the last one with weights to an output, in the net's order.

    Empty where the net does not end in one chain there (a merge or a nested net at the end).
    """
    chain: list[Layer] = []
    for layer in _backwards(net, output):
        chain.insert(0, layer)
        if has_weights(layer):
            return chain
        if kind(layer) not in (*ACTIVATION_LAYERS, *DROPOUTS, *SCALING, *BESIDE_SCALING, "BatchNormalization"):
            return []
    return []


def _backwards(net: Net, output: int) -> Iterator[Layer]:
    """From an output on backwards, as long as each layer has one layer before it."""
    if is_sequential(net):
        yield from reversed(net["config"]["layers"])
        return
    by_name = {layer["config"]["name"]: layer for layer in net["config"].get("layers", [])}
    names = output_names(net)[output : output + 1]
    while len(names) == 1 and names[0] in by_name:
        layer = by_name[names[0]]
        yield layer
        names = sources(layer)


def output_names(net: Net) -> list[str]:
    """Names of the layers that give the outputs of a functional net."""
    outputs = net["config"].get("output_layers", [])
    if outputs and isinstance(outputs[0], str):
        return [outputs[0]]
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    return [output[0] for output in outputs]


def sources(layer: Layer) -> list[str]:
    """Names of the layers whose outputs a layer of a functional net takes, over all its calls."""
    found: list[str] = []

    def look(value: Any) -> None:
        if isinstance(value, dict):
            if value.get("class_name") == "__keras_tensor__":
                found.append(value["config"]["keras_history"][0])
            else:
                for item in value.values():
                    look(item)
        elif isinstance(value, list):
            for item in value:
                look(item)

    look(layer.get("inbound_nodes", []))
    return found


def output_activation(net: Net) -> str:
    """The activation behind which the first output stands; "linear" if none, "scaled tanh" if an operation follows."""
    scaled = ""
    for layer in reversed(tail(net)):
        inner = layer["config"].get("layer")
        for each in (layer, *([inner] if isinstance(inner, dict) else [])):
            if (found := activation(each)) != "linear":
                return scaled + found
        if kind(layer) in (*SCALING, "Add", "Subtract"):
            scaled = "scaled "
    return "linear"


def output_layer(net: Net) -> Layer | None:
    """The last layer with weights: a wrapper's inner layer counts for it."""
    chain = tail(net)
    if not chain:
        return None
    inner = chain[0]["config"].get("layer")
    return inner if kind(chain[0]) == "TimeDistributed" else chain[0]


def output_units(net: Net) -> int | None:
    """Last axis of the output where the last layer says it."""
    layer = output_layer(net)
    return layer and (layer["config"].get("units") or layer["config"].get("filters"))


def ends(net: Net) -> set[int]:
    """Identities of the layers that are no hidden ones: those of the outputs, and what stands behind the last one."""
    names = [] if is_sequential(net) else output_names(net)
    of_outputs = [layer for layer in net["config"].get("layers", []) if layer["config"].get("name") in names]
    of_outputs += [layer for output in range(1, len(names)) for layer in tail(net, output)]
    return {id(layer) for layer in (*tail(net), output_layer(net), *of_outputs)}


def hidden(net: Net) -> list[Layer]:
    """Layers that compute features and are not an output's."""
    last = ends(net)
    return [
        layer
        for layer in layers(net)
        if id(layer) not in last and has_weights(layer) and kind(layer) not in ("TimeDistributed", "Bidirectional")
    ]


def hidden_activations(net: Net) -> list[str]:
    """Activations of the hidden layers, layers of their own included, the output's left out."""
    end, found = ends(net), []
    for layer in layers(net):
        if id(layer) in end or kind(layer) in ("TimeDistributed", "Bidirectional"):
            continue
        if (has_weights(layer) or kind(layer) in ACTIVATION_LAYERS) and activation(layer) != "linear":
            found.append(activation(layer))
    return found


def scales_inputs(net: Net) -> bool:
    """Whether the net itself scales its inputs; a Normalization layer does so once it was adapted."""
    by_name = {layer["config"].get("name"): layer for layer in net["config"].get("layers", [])}

    def is_input(name: str) -> bool:
        layer = by_name.get(name)
        if layer is None or kind(layer) == "InputLayer":
            return layer is not None
        return kind(layer) in (*BESIDE_SCALING, *SCALING) and all(map(is_input, sources(layer)))

    return any(
        kind(layer) == "Rescaling"
        or (kind(layer) == "Normalization" and layer["config"].get("mean") is not None)
        or (kind(layer) in SCALING and all(map(is_input, sources(layer))))
        for layer in layers(net)
    )


def count(net: Net, *kinds: str) -> int:
    return sum(kind(layer) in kinds for layer in layers(net))


def set_head(net: Net, units: int | None, activation_name: str) -> Net:
    """The net with a (first) output of so many units (None: as many as now) and this activation, nothing behind it.

    A net that ends in a recurrent layer gets a dense one behind it.
    """
    net = copy.deepcopy(net)
    chain = tail(net)
    last = output_layer(net)
    if last is None:
        return net
    behind = [layer for layer in chain[1:] if kind(layer) in ACTIVATION_LAYERS]
    for layer in chain[1:]:
        _neutralize(layer)
    if kind(last) in (*RECURRENT, "Bidirectional"):
        inner = last["config"].get("layer", last)
        if activation(inner) not in ("tanh", "relu"):
            inner["config"]["activation"] = "tanh"
        inner["config"]["units"] = max(16, inner["config"]["units"])
        return append_dense(net, units or output_units(net) or 1, activation_name)
    key = "units" if "units" in last["config"] else "filters"
    if units is not None:
        last["config"][key] = units
    last["config"]["activation"] = "linear" if behind else activation_name
    if behind:
        behind[-1]["config"]["activation"] = activation_name
    return net


def _neutralize(layer: Layer) -> None:
    """Let an activation or a dropout behind the output do nothing."""
    if kind(layer) in DROPOUTS:
        layer["config"]["rate" if "rate" in layer["config"] else "stddev"] = 0.0
    elif kind(layer) in (*ACTIVATION_LAYERS, "BatchNormalization"):
        replace_layer(layer, "Activation", {"activation": "linear"})


def replace_layer(layer: Layer, class_name: str, config: dict[str, Any]) -> None:
    layer.update(module="keras.layers", class_name=class_name, registered_name=None)
    layer["config"] = {"name": layer["config"]["name"], **config}


def dense(name: str, units: int, activation_name: str) -> Layer:
    config = {"name": name, "units": units, "activation": activation_name}
    return {"module": "keras.layers", "class_name": "Dense", "config": config, "registered_name": None}


def append_dense(net: Net, units: int, activation_name: str) -> Net:
    """The net with one more dense layer behind its (first) output."""
    net = copy.deepcopy(net)
    layer = dense("regbench_output", units, activation_name)
    if is_sequential(net):
        net["config"]["layers"].append(layer)
        return net
    before = output_names(net)[0]
    tensor = {
        "class_name": "__keras_tensor__",
        "config": {"shape": None, "dtype": "float32", "keras_history": [before, 0, 0]},
    }
    layer.update(name="regbench_output", inbound_nodes=[{"args": [tensor], "kwargs": {}}])
    net["config"]["layers"].append(layer)
    outputs = net["config"]["output_layers"]
    single = [layer["config"]["name"], 0, 0]
    if isinstance(outputs, dict):
        outputs[next(iter(outputs))] = single
    else:
        net["config"]["output_layers"] = single if isinstance(outputs[0], str) else [single, *outputs[1:]]
    return net


def insert_before_output(net: Net, new: list[Layer]) -> Net:
    """A sequential net with layers before its last one with weights."""
    net = copy.deepcopy(net)
    chain = net["config"]["layers"]
    place = next(i for i in range(len(chain) - 1, -1, -1) if has_weights(chain[i]))
    chain[place:place] = new
    return net


def without_batch_norm(net: Net) -> Net:
    """The net with every batch normalization passed through."""

    def edit(layer: Layer) -> None:
        if kind(layer) == "BatchNormalization":
            replace_layer(layer, "Activation", {"activation": "linear"})

    return edited(net, edit)
