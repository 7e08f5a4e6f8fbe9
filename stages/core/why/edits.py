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
from stages.core.why.data_edits import DataEdit, called, data_edit, spliced
from stages.core.why.interventions import Change, apply
from stages.core.why.record import Record, Source
from stages.core.why.setup import Setup
from stages.core.why.trial import Case

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
KERAS = ("keras", "tf_keras", "tensorflow")
UNKNOWN_KERAS = re.compile(r"(?<![\w.])keras\.optimizers\.")

Value = Any


@dataclass(frozen=True)
class Edit:
    """Lines of a file as they stand and as they should."""

    file: str | None  # None: not found in the script
    line: int
    before: str  # empty: lines are added
    after: str


def edits(record: Record, case: Case, changes: Iterable[Change]) -> list[Edit]:
    """What to change in the script, in the order of its lines; data first, as lines before `fit`."""
    before, (after, _, _) = case.setup, apply(changes, case.setup, case.data, case.task)
    found: dict[Source, list[tuple[str, Value]]] = {}
    loose: list[str] = []
    sources = {layer.name: layer.at for layer in record.layers}
    for name, settings in layer_differences(before, after).items():
        if sources.get(name):
            found.setdefault(sources[name], []).extend(settings)
        else:
            loose.append(_snippet(name, settings, after))
    names = record.names if record.compiled.at and record.fit.at and _same_file(record) else {}
    if settings := _compile_differences(before, after, names):
        _put(found, loose, record.compiled.at, settings, "model.compile({})")
    data = data_edit(record, case, after, {change.kind for change in changes})
    if settings := _fit_differences(before, after):
        taken = called(record) in ("fit", "fit_generator", "")  # others know neither epochs nor batches
        form = "# in place of the loop over train_on_batch: " if record.fit.method == "train_on_batch" else ""
        _put(found, loose, record.fit.at if taken else None, settings, form + "model.fit(…, {})")
    if data.lines and record.fit.at:
        found.setdefault(record.fit.at, [])
    elif data.lines:
        loose = [*data.lines, *loose]
    result = _placed(found, record.fit.at, data) + [Edit(None, 0, "", line) for line in loose if line]
    return sorted(result, key=lambda edit: (edit.file is None, edit.file or "", edit.line, bool(edit.before)))


def _same_file(record: Record) -> bool:
    return record.compiled.at.file == record.fit.at.file


def _placed(found: dict[Source, list[tuple[str, Value]]], fit: Source | None, data: DataEdit) -> list[Edit]:
    """One edit a place: calls that stand on the same lines are changed together."""
    texts: dict[tuple[str, int, str], str] = {}
    added: dict[tuple[str, int, str], list[str]] = {}
    for source, settings in found.items():
        place = source.file, source.line, source.text
        first = added.setdefault(place, list(data.lines) if source == fit else [])
        call = source.call or source.text.strip()
        start = changed = (data.call if source == fit else None) or call
        for key, value in settings:
            changed = with_argument(changed, key, source_of(value))
        if settings and changed == start:
            words = ", ".join(f"{key}={source_of(value)}" for key, value in settings if key)
            first.append(f"# in line {source.line}: {words}")
        if UNKNOWN_KERAS.search(changed) and any(isinstance(value, Code) and value.needs for _, value in settings):
            first += dict.fromkeys(value.needs for _, value in settings if isinstance(value, Code) and value.needs)
        texts[place] = texts.get(place, source.text).replace(call, changed, 1)
    begin = {(source.file, source.line, source.text) for source in found if source.begins}
    made = []
    for (file, line, text), changed in texts.items():
        indent = re.match(r"\s*", text)[0]
        first = added[file, line, text]
        lines = [indent + one for one in first] if (file, line, text) in begin else []
        if first and not lines:  # in the middle of a statement
            made.append(Edit(None, 0, "", "\n".join(first)))
        if changed != text:
            made.append(Edit(file, line, text, "\n".join([*lines, changed])))
        elif lines:
            made.append(Edit(file, line, "", "\n".join(lines)))
    return made


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


def _compile_differences(before: Setup, after: Setup, names: dict[str, str]) -> list[tuple[str, Value]]:
    found = []
    if before.optimizer != after.optimizer:
        found.append(("optimizer", optimizer_code(after, names)))
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
    needs: str = ""  # an import without which the script does not know its first name


def optimizer_code(setup: Setup, names: dict[str, str]) -> Code:
    """The optimizer in the names that the script has."""
    kind = setup.optimizer["class_name"]
    usual = optimizer_source(setup)
    arguments = usual[usual.index("(") :]
    for name, full in names.items():
        last = full.rpartition(".")[2]
        if ".optimizers." in full and last == kind:
            return Code(f"{name}{arguments}")
    ways = {"optimizers": "{}.{}", "keras": "{}.optimizers.{}", "tf_keras": "{}.optimizers.{}"}
    ways["tensorflow"] = "{}.keras.optimizers.{}"
    for name, full in names.items():
        last = full.rpartition(".")[2]
        if last in ways and full.partition(".")[0] in KERAS:
            return Code(ways[last].format(name, kind) + arguments)
    return Code(usual, "import keras")


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
        return spliced(call, node, _as_named(node, value) if key == "optimizer" else value)
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


def _snippet(name: str, settings: list[tuple[str, Value]], after: Setup) -> str:
    layer = next((one for one in nets.layers(after.net) if one["config"].get("name") == name), None)
    if layer is None:
        return ""
    words = ", ".join(f"{key}={source_of(value)}" for key, value in settings if key)
    where = "new layer: " if name.startswith("regbench_") else f"layer {name}: "
    return f"# {where}{layer['class_name']}({words})"


def as_diff(found: Iterable[Edit]) -> str:
    """Edits as a person reads them: file and line, then - and + lines."""
    parts, last = [], None
    for edit in found:
        where = f"{PurePath(edit.file).name}:{edit.line}" if edit.file else "to add"
        old, new = edit.before.splitlines(), edit.after.splitlines()
        lines = [line for line in difflib.ndiff(old, new) if line[0] in "+-"] if old else [f"+ {line}" for line in new]
        heading = [] if where == last else [where]
        parts.append("\n".join([*heading, *(f"  {line.rstrip()}" for line in lines)]))
        last = where
    return "\n".join(parts)
