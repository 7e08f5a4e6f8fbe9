"""A repair as changes of the user's own lines: the calls that made a layer, `compile` and `fit`.

Each change is made in the text of a call as it stands there, argument by argument; what cannot be found is given as a
line to add.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from stages.core.why import net as nets
from stages.core.why.interventions import Change, target_range
from stages.core.why.record import Record, Source
from stages.core.why.setup import Setup

OLD_NAMES = {  # by today's name: as Keras 1 called it, or by what place it may stand
    "units": ("output_dim",),
    "filters": ("nb_filter",),
    "rate": ("p",),
    "kernel_regularizer": ("W_regularizer",),
    "bias_regularizer": ("b_regularizer",),
    "kernel_initializer": ("init",),
    "epochs": ("nb_epoch",),
    "batch_size": (),
}
PLACES = {"units": 0, "filters": 0, "rate": 0, "optimizer": 0, "loss": 1}
ACTIVATION_PLACES = {"Dense": 1, "Activation": 0, "LSTM": 1, "GRU": 1, "SimpleRNN": 1}

Value = Any


@dataclass(frozen=True)
class Edit:
    """Lines of a file as they stand and as they should."""

    file: str | None  # None: not found in the script
    line: int
    before: str  # empty: lines are added
    after: str


def edits(record: Record, before: Setup, after: Setup, changes: Iterable[Change]) -> list[Edit]:
    """What to change in the script, in the order of its lines; data first, as lines before `fit`."""
    found: dict[Source | None, list[tuple[str, Value]]] = {}
    loose: list[str] = []
    sources = {layer.name: layer.at for layer in record.layers}
    for name, settings in layer_differences(before, after).items():
        if sources.get(name):
            found.setdefault(sources[name], []).extend(settings)
        else:
            loose.append(_snippet(name, settings, after))
    if settings := _compile_differences(before, after):
        _put(found, loose, record.compiled.at, settings, "model.compile({})")
    if settings := _fit_differences(before, after):
        _put(found, loose, record.fit.at, settings, "model.fit(…, {})")
    result = [_edit(source, settings) for source, settings in found.items()]
    if lines := data_lines(record, before, changes):
        at = record.fit.at
        indent = re.match(r"\s*", at.text)[0] if at else ""
        result.append(Edit(at.file if at else None, at.line if at else 0, "", "\n".join(indent + x for x in lines)))
    result += [Edit(None, 0, "", line) for line in loose if line]
    return sorted(result, key=lambda edit: (edit.file is None, edit.file or "", edit.line, bool(edit.before)))


def _put(found: dict, loose: list[str], at: Source | None, settings: list[tuple[str, Value]], form: str) -> None:
    if at:
        found.setdefault(at, []).extend(settings)
    else:
        loose.append(form.format(", ".join(f"{key}={source_of(value)}" for key, value in settings)))


def layer_differences(before: Setup, after: Setup) -> dict[str, list[tuple[str, Value]]]:
    """Changed settings by layer; a layer that came new has all of its own."""
    old = {layer["config"].get("name"): layer for layer in nets.layers(before.net)}
    differences = {}
    for layer in nets.layers(after.net):
        name = layer["config"].get("name")
        was = old.get(name, {}).get("config", {})
        if name in old and old[name]["class_name"] != layer["class_name"]:
            differences[name] = [("", layer["class_name"]), ("activation", layer["config"].get("activation"))]
            continue
        settings = [
            (key, value)
            for key, value in layer["config"].items()
            if value != was.get(key) and key not in ("name", "dtype", "layer", "backward_layer", "layers", "cell")
        ]
        if settings:
            differences[name] = settings
    return differences


def _compile_differences(before: Setup, after: Setup) -> list[tuple[str, Value]]:
    found = []
    if before.optimizer != after.optimizer:
        found.append(("optimizer", Code(optimizer_source(after))))
    if before.losses != after.losses:
        names = [loss and loss["name"] for loss in after.losses]
        several = Code(repr(dict(zip(nets.output_names(after.net), names, strict=True)))) if len(names) > 1 else None
        found.append(("loss", several or after.loss))
    return found


def _fit_differences(before: Setup, after: Setup) -> list[tuple[str, Value]]:
    keys = ("epochs", "batch_size", "shuffle", "class_weight")
    return [(key, getattr(after, key)) for key in keys if getattr(before, key) != getattr(after, key)]


@dataclass(frozen=True)
class Code:
    """A value that is an expression."""

    text: str


def optimizer_source(setup: Setup) -> str:
    """The optimizer as one writes it: its learning rate, and what is not Keras' default."""
    config = setup.optimizer["config"]
    kept = [f"learning_rate={setup.learning_rate:g}"]
    kept += [
        f"{key}={config[key]!r}" for key in ("momentum", "nesterov", "clipnorm", "weight_decay") if config.get(key)
    ]
    return f"keras.optimizers.{setup.optimizer['class_name']}({', '.join(kept)})"


def source_of(value: Value) -> str:
    """A setting as Python."""
    if isinstance(value, Code):
        return value.text
    if isinstance(value, dict) and "class_name" in value:
        return repr(re.sub(r"(?<!^)(?=[A-Z])", "_", value["class_name"]).lower())
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {number:.3g}" for key, number in value.items()) + "}"
    return repr(value)


def _edit(source: Source, settings: list[tuple[str, Value]]) -> Edit:
    call = source.call or source.text.strip()
    changed = call
    for key, value in settings:
        changed = with_argument(changed, key, source_of(value))
    if changed == call:
        return Edit(source.file, source.line, source.text, source.text)
    return Edit(source.file, source.line, source.text, source.text.replace(call, changed, 1))


def with_argument(call: str, key: str, value: str) -> str:
    """The text of a call with one argument set; with an empty key, with another class. Unchanged if it is no call."""
    try:
        tree = ast.parse(call.strip(), mode="eval").body
    except SyntaxError:
        return call
    if not isinstance(tree, ast.Call):
        return call
    name = tree.func.attr if isinstance(tree.func, ast.Attribute) else getattr(tree.func, "id", "")
    if not key:  # a layer of another kind, which keeps no argument
        return f"{ast.unparse(tree.func)[: -len(name) or None]}{value[1:-1]}()"
    names = (key, *OLD_NAMES.get(key, ()))
    node = next((word.value for word in tree.keywords if word.arg in names), None)
    place = ACTIVATION_PLACES.get(name) if key == "activation" else PLACES.get(key)
    if node is None and place is not None and place < len(tree.args) and name != "Sequential":
        node = tree.args[place]
    if node is not None:
        return _spliced(call, node, _as_named(node, value) if key == "optimizer" else value)
    inside = call.rstrip()[:-1].rstrip()
    comma = "" if inside.endswith(("(", ",")) else ","
    return f"{inside}{comma}{'' if inside.endswith('(') else ' '}{key}={value})"


def _as_named(node: ast.expr, optimizer: str) -> str:
    """An optimizer under the name that the script has for its class: `Adam(…)`, `tf.keras.optimizers.Adam(…)`."""
    if not isinstance(node, ast.Call):
        return optimizer
    full, arguments = optimizer.split("(", 1)
    name = ast.unparse(node.func)
    same = full.rpartition(".")[2] == name.rpartition(".")[2]
    return f"{name}({arguments}" if same else optimizer


def _spliced(text: str, node: ast.expr, value: str) -> str:
    lines = text.encode().split(b"\n")
    first, last = node.lineno - 1, node.end_lineno - 1
    head, rest = lines[first][: node.col_offset], lines[last][node.end_col_offset :]
    return b"\n".join([*lines[:first], head + value.encode() + rest, *lines[last + 1 :]]).decode()


def _snippet(name: str, settings: list[tuple[str, Value]], after: Setup) -> str:
    layer = next((one for one in nets.layers(after.net) if one["config"].get("name") == name), None)
    if layer is None:
        return ""
    words = ", ".join(f"{key}={source_of(value)}" for key, value in settings if key)
    where = "new layer: " if name.startswith("regbench_") else f"layer {name}: "
    return f"# {where}{layer['class_name']}({words})"


def data_lines(record: Record, before: Setup, changes: Iterable[Change]) -> list[str]:
    """Python that changes the data as the repair does, with the names that `fit` is given."""
    x, y = fit_names(record)
    kinds = {change.kind for change in changes}
    lines = []
    within = None if {"head", "output"} & kinds else target_range(before)
    if "finite" in kinds:
        lines.append(f"{x} = np.nan_to_num({x})")
    if "shuffle" in kinds:
        lines += [f"order = np.random.permutation(len({x}))", f"{x}, {y} = {x}[order], {y}[order]"]
    if "inputs" in kinds:
        images = len(record.input_shapes[0]) > 3 if record.input_shapes else False
        axis = "" if images else "axis=0"
        lines.append(f"{x} = ({x} - {x}.mean({axis})) / ({x}.std({axis}) + 1e-7)  # the same numbers for predictions")
    if "targets" in kinds and within:
        lines.append(f"{y} = ({y} - {y}.min(axis=0)) / ({y}.max(axis=0) - {y}.min(axis=0) + 1e-7)  # undo it later")
        lines += [f"{y} = 2 * {y} - 1"] if within[0] < 0 else []
    elif "targets" in kinds:
        lines.append(f"{y} = ({y} - {y}.mean(axis=0)) / ({y}.std(axis=0) + 1e-7)  # undo it for predictions")
    if "labels" in kinds or ("head" in kinds and _encodes(record)):
        lines.append(f"{y} = np.unique({y}, return_inverse=True)[1]  # classes as 0, 1, …")
    return lines


def _encodes(record: Record) -> bool:
    counts = record.train.targets[0].counts if record.train.targets else None
    if not counts or record.train.targets[0].one_hot:
        return False
    return sorted(counts) != sorted(str(k) for k in range(len(counts)))


def fit_names(record: Record) -> tuple[str, str]:
    """What the script calls inputs and targets: the names given to `fit`; x and y where these are no names."""
    at = record.fit.at
    try:
        tree = ast.parse((at.call or at.text).strip(), mode="eval").body if at else None
    except SyntaxError:
        tree = None
    if not isinstance(tree, ast.Call):
        return "x", "y"
    given = {word.arg: word.value for word in tree.keywords}
    x = tree.args[0] if tree.args else given.get("x")
    y = tree.args[1] if len(tree.args) > 1 else given.get("y")
    return tuple(node.id if isinstance(node, ast.Name) else name for node, name in ((x, "x"), (y, "y")))


def as_diff(found: Iterable[Edit]) -> str:
    """Edits as a person reads them: file and line, then - and + lines."""
    parts = []
    for edit in found:
        where = f"{PurePath(edit.file).name}:{edit.line}" if edit.file else "to add"
        old, new = edit.before.splitlines(), edit.after.splitlines()
        lines = [line for line in difflib.ndiff(old, new) if line[0] in "+-"] if old else [f"+ {line}" for line in new]
        parts.append("\n".join([where, *(f"  {line.rstrip()}" for line in lines)]))
    return "\n".join(parts)
