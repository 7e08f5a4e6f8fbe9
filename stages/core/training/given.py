"""Nets as people have them: a .keras file, Keras' JSON, or a list of layers; as conf/model/ and conf/optimizer/ say it.

Of a .keras file its JSON is read and nothing else: no code, no pickle, no weights.
"""

from __future__ import annotations

import copy
import inspect
import io
import json
import math
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import yaml
from keras.src.backend.common import global_state

from stages.core.base.errors import UserError
from stages.core.base.text import one_line
from stages.core.config.row import Regularizers, Row
from stages.core.data.splits import Splits
from stages.core.training import vocabulary

MOST_BYTES = 8 << 20
"""Of a net's JSON."""

MOST_LAYERS = 1000
"""Of a list; Keras takes a minute to build some thousand."""

MOST_LAYERS_OF_JSON = 2000

MOST_WEIGHTS = 500_000_000
"""Of a net: 2 GB in float32, and as much again for each of Adam's two moments and each seed."""

DEEPEST = 60
"""Levels of a net's JSON, which Keras reads by calling itself."""

L1L2 = ("L1", "L2", "L1L2", "l1", "l2", "l1_l2")


@dataclass
class Given:
    """A net and what it was compiled with.

    `layers`: as in conf/model/, with the settings that they refer to; or `net`: Keras' JSON, of what is no chain.
    `penalties`: the coefficients that every layer marked `regularized` has, by place; `own`: whether the net has
    penalties of its own; `rates`: of its dropouts; `optimizer`, `loss`, `class_weight`: as a row has them, None if it
    was not compiled.
    """

    shape: tuple[int, ...]
    outputs: int
    last_activation: str
    layers: list[dict[str, Any]] | None = None
    net: dict[str, Any] | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    penalties: dict[str, dict[str, float]] = field(default_factory=dict)
    own: bool = False
    rates: list[float] = field(default_factory=list)
    regularized: bool = False
    optimizer: dict[str, Any] | None = None
    loss: str | dict[str, Any] | None = None

    @property
    def classes(self) -> bool | None:
        """Whether the loss, or without one the last activation, speaks of classes; None: neither does."""
        if self.loss is not None:
            name = str(self.loss["type"] if isinstance(self.loss, dict) else self.loss)
            return "entropy" in name or "hinge" in name
        return True if self.last_activation in ("softmax", "sigmoid") else None


def read(name: str, content: bytes, shape: tuple[int, ...] | None = None) -> Given:
    """The net of a file.

    Args:
        name: of the file; its ending says what it is.
        content: its bytes.
        shape: of one sample; a list of layers needs it.

    Raises:
        UserError: one line that says what is wrong.
    """
    if name.endswith((".yaml", ".yml")):
        return _listed(name, content, shape)
    text = _config(name, content) if name.endswith(".keras") else content
    net = _json(name, text)
    compiled = net.pop("compile_config", None) or {}
    try:
        vocabulary.refuse_code(net)
        model = keras.models.model_from_json(json.dumps(net))
        if len(model.inputs) != 1 or len(model.outputs) != 1:
            raise ValueError("has more than one input or output")
        made = _given(model, net)
        _compiled(made, compiled)
        return made
    except RecursionError:
        raise UserError(f"{name}: is nested too deeply") from None
    except Exception as error:  # Keras raises many kinds
        raise UserError(f"{name}: {one_line(error)[:300]}") from None


def _config(name: str, content: bytes) -> bytes:
    """The JSON of a .keras file."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = archive.getinfo("config.json").file_size
            if size > MOST_BYTES:
                raise UserError(f"{name}: its config.json has {size:,} bytes, more than a net needs")
            return archive.read("config.json")
    except KeyError:
        raise UserError(f"{name}: has no config.json in it; save the model with `model.save('net.keras')`") from None
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise UserError(f"{name}: is no undamaged .keras file ({one_line(error)[:100]})") from None
    except Exception as error:  # zlib.error
        raise UserError(f"{name}: is no undamaged .keras file ({one_line(error)[:100]})") from None


def _json(name: str, text: bytes) -> dict[str, Any]:
    if len(text) > MOST_BYTES:
        raise UserError(f"{name}: has {len(text):,} bytes, more than a net needs")
    try:
        net = json.loads(text)
        if _depth(net) > DEEPEST:
            raise RecursionError
    except RecursionError:
        raise UserError(f"{name}: is nested too deeply") from None
    except ValueError as error:
        raise UserError(f"{name}: is no JSON of a Keras model: {one_line(error)[:100]}") from None
    if not isinstance(net, dict) or not {"class_name", "config"} <= set(net):
        raise UserError(f"{name}: is no JSON of a Keras model; `model.to_json()` writes one")
    return net


def _depth(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return 1 + max(map(_depth, children), default=0)


def _listed(name: str, content: bytes, shape: tuple[int, ...] | None) -> Given:
    """A list of layers in YAML, or a mapping with `layers`, and perhaps `optimizer` and `loss`."""
    try:
        values = yaml.safe_load(content)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{name}: {one_line(error)[:200]}") from None
    values = values if isinstance(values, dict) else {"layers": values}
    layers = values.get("layers")
    if not isinstance(layers, list) or not layers or not all(isinstance(layer, dict) for layer in layers):
        raise UserError(f"{name}: wants a list of layers, each as {{type: dense, units: 3}}")
    if len(layers) > MOST_LAYERS:
        raise UserError(f"{name}: has {len(layers):,} layers; {MOST_LAYERS:,} at most are read")
    if shape is None:
        raise UserError(f"{name}: a list of layers does not say the shape of a sample; give --shape")
    try:
        made = [vocabulary.layer({k: v for k, v in layer.items() if k != "regularized"}) for layer in layers]
        model = keras.Sequential([keras.Input(shape), *made])
        found = _given(model, json.loads(model.to_json()))
    except Exception as error:
        raise UserError(f"{name}: {one_line(error)[:300]}") from None
    optimizer = values.get("optimizer")
    found.optimizer = {"name": optimizer} if isinstance(optimizer, str) else optimizer
    found.loss = values.get("loss")
    return found


def _given(model: keras.Model, net: dict[str, Any]) -> Given:
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    last = next((a for layer in reversed(layers) if (a := getattr(layer, "activation", None)) is not None), None)
    made = Given(
        shape=tuple(model.input_shape[1:]),
        outputs=int(model.output_shape[-1]),
        last_activation=getattr(last, "__name__", "linear"),
        rates=[rate for values in _nodes(net) if (rate := _rate(values))],
        own=any(True for values in _nodes(net) for _ in _penalties(values)),
    )
    if None in made.shape:
        raise ValueError(f"takes samples of any shape ({made.shape}); give the net a fixed input shape")
    chain = _chain(model, layers)
    if chain is None:
        made.net = net
    else:
        _shorten(made, chain)
    return made


def _chain(model: keras.Model, layers: list[keras.Layer]) -> list[dict[str, Any]] | None:
    """The layers as conf/model/ has them; None for a net that is no chain, or has layers inside of layers."""
    chained = isinstance(model, keras.Sequential)
    straight = chained or all(len(layer._inbound_nodes) == 1 for layer in layers)
    before = model.inputs[0]
    for layer in layers if straight and not chained else []:
        straight = straight and layer.input is before
        before = layer.output
    if not straight:
        return None
    try:
        return [_layer(layer) for layer in layers]
    except LookupError:
        return None


def _layer(layer: keras.Layer) -> dict[str, Any]:
    """A layer's type, and its arguments that are not Keras' defaults; LookupError if YAML has no words for one."""
    cls = type(layer)
    return {"type": vocabulary.name_of(cls), **_arguments(cls, layer.get_config())}


def _arguments(cls: type, config: Mapping[str, Any]) -> dict[str, Any]:
    known = vocabulary.parameters(cls) - vocabulary.ENGINE_SETS
    parameters = inspect.signature(cls.__init__).parameters.values()  # type: ignore[misc]
    plain = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    needed = [p.name for p in parameters if p.default is p.empty and p.name != "self" and p.kind in plain]
    usual = cls(**{name: config[name] for name in needed}).get_config()
    return {
        name: _value(name, value)
        for name, value in config.items()
        if name in known and (name in needed or value != usual.get(name))
    }


def _value(name: str, value: Any) -> Any:
    if isinstance(value, tuple):
        return [_value(name, child) for child in value]
    if isinstance(value, float):
        return float(f"{value:.7g}")  # what was float32 gets its short form back
    if not isinstance(value, dict):
        return value
    home = next((home for ending, home in vocabulary.OBJECTS.items() if name.endswith(ending)), None)
    if home is None or home[1] is keras.Layer or "class_name" not in value:
        raise LookupError(name)
    cls = getattr(home[0], value["class_name"])
    arguments = {
        key: child for key, child in _arguments(cls, value["config"]).items() if not (key == "seed" and child is None)
    }
    if home[1] is keras.regularizers.Regularizer and value["class_name"] in L1L2:
        return {key: _value(key, float(value["config"][key])) for key in ("l1", "l2") if value["config"].get(key)}
    return {"type": vocabulary.name_of(cls), **arguments}


def _shorten(made: Given, layers: list[dict[str, Any]]) -> None:
    """Put a chain into `made`: penalties and dropouts as rows can change them."""
    found = [
        {place: layer[key] for place in Regularizers.model_fields if (key := f"{place}_regularizer") in layer}
        for layer in layers
    ]
    different = [penalties for penalties in found if penalties]
    if different and any(penalties != different[0] or _odd(penalties) for penalties in different):
        made.net = _as_json(made, layers)
        return
    weighted = [index for index, layer in enumerate(layers) if _has_kernel(layer["type"])]
    marked = {index for index, penalties in enumerate(found) if penalties} if different else {*weighted[:-1]}
    made.penalties = different[0] if different else {}
    made.regularized = bool(marked)
    made.layers = []
    n_rates = sum(layer["type"] == "dropout" for layer in layers)
    for index, layer in enumerate(layers):
        shown = {key: value for key, value in layer.items() if index not in marked or not key.endswith("_regularizer")}
        if index in marked:
            shown["regularized"] = True
        if layer["type"] == "dropout":
            name = "dropout" if n_rates == 1 else f"dropout_{1 + sum('dropout' in key for key in made.settings)}"
            made.settings[name] = float(layer["rate"])
            shown["rate"] = f"${{model.{name}}}"
        made.layers.append(shown)
        if not n_rates and layer["type"] == "dense" and index in weighted[:-1]:
            made.settings["dropout"] = 0.0
            made.layers.append({"type": "dropout", "rate": "${model.dropout}"})


def _odd(penalties: Mapping[str, Any]) -> bool:
    """Whether a penalty is no l1 or l2."""
    return any("type" in one for one in penalties.values())


def _as_json(made: Given, layers: list[dict[str, Any]]) -> dict[str, Any]:
    model = keras.Sequential([keras.Input(made.shape), *(vocabulary.layer(layer) for layer in layers)])
    return json.loads(model.to_json())


def _has_kernel(kind: str) -> bool:
    cls = vocabulary._class(keras.layers, keras.Layer, kind)
    return "kernel_regularizer" in vocabulary.parameters(cls)


def variant(
    net: dict[str, Any], factor: float = 1.0, l2: float | None = None, rate: float | None = None
) -> dict[str, Any]:
    """Keras' JSON of a net with its penalties times `factor`, with `l2` on all its kernels but the last layer's, or
    with all its dropouts at `rate`."""
    changed = copy.deepcopy(net)
    kernels = [values for values in _nodes(changed) if "kernel_regularizer" in values]
    for values in _nodes(changed):
        for penalty in _penalties(values):
            for key in ("l1", "l2", "factor"):
                if isinstance(penalty.get(key), float | int):
                    penalty[key] = penalty[key] * factor
        if rate is not None and _rate(values) is not None:
            values["rate"] = rate
    if l2 is not None:
        for values in kernels[:-1]:
            values["kernel_regularizer"] = {"module": "keras.regularizers", "class_name": "L2", "config": {"l2": l2}}
    return changed


def _nodes(net: Any) -> Iterator[dict[str, Any]]:
    """The arguments of all layers of a net's JSON."""
    if isinstance(net, list):
        for child in net:
            yield from _nodes(child)
    elif isinstance(net, dict):
        if isinstance(net.get("config"), dict) and "class_name" in net:
            yield net["config"]
        for child in net.values():
            yield from _nodes(child)


def _penalties(values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for key, value in values.items():
        if key.endswith("_regularizer") and isinstance(value, dict) and isinstance(value.get("config"), dict):
            yield value["config"]


def _rate(values: Mapping[str, Any]) -> float | None:
    """The rate of a dropout, of whose arguments these are; None of any other layer."""
    return values["rate"] if "noise_shape" in values and "rate" in values else None


def _compiled(made: Given, settings: Mapping[str, Any]) -> None:
    """Put what a net was compiled with into `made`; what regbench has no words for is left out."""
    optimizer, loss = settings.get("optimizer"), settings.get("loss")
    if isinstance(optimizer, str):
        optimizer = {"class_name": optimizer, "config": {}}
    if isinstance(optimizer, dict) and isinstance(optimizer.get("config"), dict):
        cls = _named(keras.optimizers, optimizer.get("class_name"))
        config = {**cls().get_config(), **optimizer["config"]}
        made.optimizer = {"name": vocabulary.name_of(cls).replace("_", ""), **_arguments(cls, config)}
        made.optimizer["learning_rate"] = _value("learning_rate", config["learning_rate"])
        made.optimizer = {key: value for key, value in made.optimizer.items() if key not in NOT_OURS}
    if isinstance(loss, dict) and "class_name" in loss:
        cls = _named(keras.losses, loss["class_name"])
        arguments = _arguments(cls, loss.get("config") or {})
        made.loss = {"type": vocabulary.name_of(cls), **arguments} if arguments else vocabulary.name_of(cls)
    elif isinstance(loss, str):
        made.loss = vocabulary.name_of(type(vocabulary.loss(loss)))


NOT_OURS = {"jit_compile", "is_legacy_optimizer", "loss_scale_factor", "gradient_accumulation_steps", "use_ema"}


def _named(module: Any, name: Any) -> type:
    for known, value in vars(module).items():
        if inspect.isclass(value) and known.lower() == str(name).lower():
            return value
    raise ValueError(f"compile_config: Keras has no {name}")


def read_file(path: Path, shown: str, shape: tuple[int, ...] | None = None) -> Given:
    """The net of a file; `shown`: what it is called in messages. UserError, as of `read`."""
    try:
        if path.stat().st_size > (4 << 30):
            raise UserError(f"{shown}: is larger than 4 GiB")
        return read(path.name, path.read_bytes(), shape)
    except OSError as error:
        raise UserError(f"{shown}: {error.strerror}") from None


def check_size(path: Path, shown: str, shape: tuple[int, ...] | None = None) -> None:
    """Refuse a net before memory is taken for it, as the system kills who takes too much; arguments as of `read_file`.

    Raises:
        UserError: it has too many layers, for which Keras takes hours, or too many weights.
    """
    layers = 0
    with suppress(UserError, OSError):  # said when it is read in earnest
        if path.suffix in (".keras", ".json"):
            content = path.read_bytes()
            layers = _n_layers(_json(path.name, _config(path.name, content) if path.suffix == ".keras" else content))
    if layers > MOST_LAYERS_OF_JSON:
        raise UserError(f"{shown}: has {layers:,} layers; {MOST_LAYERS_OF_JSON:,} at most are read")
    try:
        with keras.StatelessScope(initialize_variables=False), suppress(UserError):
            read_file(path, shown, shape)
        made = global_state.get_global_attribute("uninitialized_variables") or []
        if sum(math.prod(variable.shape) for variable in made) > MOST_WEIGHTS:
            raise UserError(f"{shown}: has more than {MOST_WEIGHTS:,} weights, too many to train here")
    finally:
        global_state.set_global_attribute("uninitialized_variables", [])


def _n_layers(net: Any) -> int:
    children = net.values() if isinstance(net, dict) else net if isinstance(net, list) else ()
    layers = net.get("layers") if isinstance(net, dict) else None
    return (len(layers) if isinstance(layers, list) else 0) + sum(map(_n_layers, children))


def seconds_per_epoch(row: Row, splits: Splits) -> float:
    """How long one seed of a row takes for an epoch on this machine, tried for a second after compiling."""
    from stages.core.training import engine as training

    engine = training.Engine(row, splits, "cpu")
    progress = engine.start(0)
    engine.advance([progress])  # compiles
    began, epochs = time.monotonic(), 0
    while not engine.done(progress) and time.monotonic() - began < 1:
        before = progress.epoch
        engine.advance([progress])
        epochs += progress.epoch - before
    return (time.monotonic() - began) / epochs if epochs else 0.0
