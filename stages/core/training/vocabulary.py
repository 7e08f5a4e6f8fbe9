"""Keras' own classes by their names in snake case: layers, losses, optimizers and what they take as arguments.

Configuration is data: a name stands for a class of Keras, and none that can run code or load another framework.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from types import ModuleType
from typing import Any

import keras
from keras.src.utils.naming import to_snake_case

Config = Mapping[str, Any]

REFUSED = {
    *("Lambda", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer"),  # run code or load other frameworks
    *("LossScaleOptimizer", "MultiOptimizer", "OptimizerMap"),  # are made of other optimizers
    "CTC",  # wants sequences as targets
}
ENGINE_SETS = {"name", "dtype", "autocast", "seed", "reduction"}
PLAIN_VALUES = {"__keras_tensor__", "__tensor__", "__numpy__", "__tuple__", "__ellipsis__"}  # in the JSON of a net
OBJECTS = {  # Keras' objects among the arguments, by the endings of their names: where their classes are
    "_initializer": (keras.initializers, keras.initializers.Initializer),
    "_regularizer": (keras.regularizers, keras.regularizers.Regularizer),
    "_constraint": (keras.constraints, keras.constraints.Constraint),
    "learning_rate": (keras.optimizers.schedules, keras.optimizers.schedules.LearningRateSchedule),
    "layer": (keras.layers, keras.Layer),
    "cell": (keras.layers, keras.Layer),
}


def layer(config: Config, name: str | None = None) -> keras.Layer:
    """The layer that `config`, {type: dense, units: 3, ...}, describes.

    Raises:
        ValueError: it says which argument is wrong.
    """
    return _made(keras.layers, keras.Layer, config, {} if name is None else {"name": name})


def optimizer(config: Config) -> tuple[type[keras.Optimizer], dict[str, Any]]:
    """The class that `config`, {name: adam, ...}, names, and the arguments for it; ValueError, as of `layer`."""
    cls = _class(keras.optimizers, keras.Optimizer, config["name"])
    return cls, _arguments(cls, {key: value for key, value in config.items() if key != "name"})


def loss(config: str | Config) -> keras.Loss:
    """Keras' loss, which gives one value a sample; ValueError, as of `layer`.

    Args:
        config: its name, also in short (mse), or {type: huber, delta: 2.0}.
    """
    config = {"type": config} if isinstance(config, str) else config
    name = config.get("type")
    if isinstance(name, str) and name.islower():
        with suppress(ValueError):
            name = getattr(keras.losses.get(name), "__name__", name)  # mse is a name of mean_squared_error
    return _made(keras.losses, keras.Loss, {**config, "type": name}, {"reduction": None})


def callback(cls: type[keras.callbacks.Callback], config: Config) -> keras.callbacks.Callback:
    """A callback of that class; ValueError, as of `layer`."""
    return cls(**_arguments(cls, config))


@contextmanager
def located(where: str) -> Iterator[None]:
    """Say of what Keras refuses where it stands; it raises many kinds."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"{where}: {error}") from None


def refuse_code(net: Any) -> None:
    """Refuse the JSON of a net that names anything but Keras' own classes and functions, or one that runs code.

    Raises:
        ValueError: it says what is named.
    """
    for value in net.values() if isinstance(net, dict) else net:
        if isinstance(value, dict | list):
            refuse_code(value)
    if not isinstance(net, dict) or not {"class_name", "module", "registered_name"} & set(net):
        return
    name, config = net.get("class_name"), net.get("config")
    if name in PLAIN_VALUES and "module" not in net:
        return
    home = _module(net.get("module"))
    if name == "function":
        fine = inspect.isfunction(getattr(home, str(config), None)) and net.get("registered_name") in (None, config)
    else:
        found = getattr(home, str(name), None)
        fine = inspect.isclass(found) and found.__name__ not in REFUSED and net.get("registered_name") in (None, name)
    if not fine:
        raise ValueError(f"{net.get('module')}.{name}: is not allowed; only classes of Keras that run no code are")


def name_of(cls: type) -> str:
    """A class of Keras in snake case, as Keras names its layers, e.g. max_pooling2d, leaky_re_lu, lstm."""
    return to_snake_case(cls.__name__)


@cache
def parameters(cls: type) -> frozenset[str]:
    """Names of the arguments that the constructor of a class takes; for a layer those of all layers among them."""
    found = inspect.signature(cls.__init__).parameters.values()  # type: ignore[misc]
    names = {p.name for p in found if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)} - {"self"}
    if issubclass(cls, keras.Layer) and any(p.kind is p.VAR_KEYWORD for p in found):
        names |= {"activity_regularizer", "trainable"}
    return frozenset(names)


def _module(name: Any) -> Any:
    """Keras' module of that name; None if there is none."""
    if not isinstance(name, str) or name.partition(".")[0] != "keras":
        return None
    found: Any = keras
    for part in name.split(".")[1:]:
        found = getattr(found, part, None)
    return found


def _made(module: ModuleType, base: type, config: Config, more: Config) -> Any:
    cls = _class(module, base, config.get("type"))
    return cls(**_arguments(cls, {key: value for key, value in config.items() if key != "type"}), **more)


def _class(module: ModuleType, base: type, name: Any) -> type:
    known = _classes(module, base)
    found = known.get(str(name).replace("_", ""))  # so that both leaky_relu and Keras' own leaky_re_lu are found
    if found is None or not str(name).islower():
        names = {name_of(cls) for cls in known.values() if cls.__name__ not in REFUSED}
        raise ValueError(f"Keras has no {base.__name__.lower()} called {name}{_near(name, names)}")
    if found.__name__ in REFUSED:
        raise ValueError(f"{name}: is not supported: it runs code, or needs what a row cannot give")
    return found


@cache
def _classes(module: ModuleType, base: type) -> dict[str, type]:
    """Keras' classes by their names, all that it has for them, in small letters without underscores."""
    public = {name: value for name, value in vars(module).items() if inspect.isclass(value) and issubclass(value, base)}
    return {name.replace("_", "").lower(): cls for name, cls in public.items() if cls is not base}


def _arguments(cls: type, config: Config) -> dict[str, Any]:
    """`config` as arguments of the constructor of `cls`: where these are Keras' objects, they are made."""
    known = parameters(cls) - ENGINE_SETS
    for key in config:
        if key not in known:
            raise ValueError(f"{key}: {cls.__name__} has no such argument{_near(key, known)}")
    return {key: _argument(key, value) for key, value in config.items()}


def _argument(key: str, value: Any) -> Any:
    if key == "cells" and isinstance(value, list):
        return [_argument("cell", cell) for cell in value]
    if key.endswith("activation"):
        return _activation(key, value)
    for ending, (module, base) in OBJECTS.items():
        if key.endswith(ending) and isinstance(value, str | dict):
            if base is keras.regularizers.Regularizer and isinstance(value, dict) and "type" not in value:
                value = {"type": "l1_l2", **value}
            try:
                return _made(module, base, {"type": value} if isinstance(value, str) else value, {})
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from None
    return value


def _activation(key: str, value: Any) -> Any:
    known = {name for name, function in vars(keras.activations).items() if inspect.isfunction(function)}
    known -= {"get", "serialize", "deserialize"}
    if value is not None and value not in known:
        raise ValueError(f"{key}: Keras has no activation called {value}{_near(value, known)}")
    return value


def _near(name: Any, known: Iterable[str]) -> str:
    """The names most like `name`, as the end of a sentence."""
    near = difflib.get_close_matches(str(name), sorted(known), n=3)
    return f"; did you mean {' or '.join(near)}?" if near else ""
