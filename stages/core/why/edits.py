"""A repair as changes of the user's own lines: the calls that made a layer, `compile` and `fit`.

Each change is made in the text of a call as it stands there, argument by argument; what cannot be found is given as a
line to add.
"""

from __future__ import annotations

import ast
import difflib
import io
import math
import re
import tokenize
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from stages.core.why import net as nets
from stages.core.why.data_edits import DataEdit, called, data_edit, owner, spliced
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
    "learning_rate": ("lr",),
}
PLACES = {  # by position, where the name is not given
    **{"units": 0, "filters": 0, "rate": 0, "learning_rate": 0},
    **{"optimizer": 0, "loss": 1},
    **{"batch_size": 2, "epochs": 3},
}
ACTIVATION_PLACES = {"Dense": 1, "Activation": 0, "LSTM": 1, "GRU": 1, "SimpleRNN": 1}
KERAS = ("keras", "tf_keras", "tensorflow")
IMPORT = "import keras"
AWAY = "away"  # in place of a setting: the layer goes
OF_BATCHES = ("batch_size", "shuffle")
NO_WORDS = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
UNKNOWN_KERAS = re.compile(r"(?<![\w.])keras\.(optimizers|layers)\.")
USUAL = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "ema_momentum": 0.99, "initial_accumulator_value": 0.1}
"""Settings of optimizers that need no word; others are 0, False or None."""

Value = Any


@dataclass(frozen=True)
class Edit:
    """Lines of a file as they stand and as they should."""

    file: str | None  # None: not found in the script
    line: int
    before: str  # empty: lines are added
    after: str


def edits(record: Record, case: Case, changes: Collection[Change]) -> list[Edit]:
    """What to change in the script, in the order of its lines; data first, as lines before `fit`."""
    before, (after, _, _) = case.setup, apply(changes, case.setup, case.data, case.task)
    found: dict[Source, list[tuple[str, Value]]] = {}
    loose: list[str] = []
    kinds = {change.kind for change in changes}
    _change_layers(record, before, after, "thaw" in kinds, found, loose)
    names = _names(record, record.compiled.at)
    if settings := _compile_differences(before, after, names):
        _put(found, loose, record.compiled.at, settings, "model.compile({})")
    data = data_edit(record, case, after, kinds)
    _change_fit(record, before, after, found, loose)
    if data.lines and record.fit.at:
        found.setdefault(record.fit.at, [])
    elif data.lines:
        loose = [*data.lines, *loose]
    result = _placed(found, record.fit.at, data) + [Edit(None, 0, "", line) for line in loose if line]
    return sorted(result, key=lambda edit: (edit.file is None, edit.file or "", edit.line, bool(edit.before)))


def _change_layers(record: Record, before: Setup, after: Setup, thaw: bool, found: dict, loose: list[str]) -> None:
    """Put changes of layers to the calls that made them, into `found`; the others into `loose`."""
    sources = {layer.name: layer.at for layer in record.layers}
    for name, settings in layer_differences(before, after).items():
        at = sources.get(name)
        given = [pair for pair in settings if pair[0] != "trainable" or _says_trainable(at)]
        if at:
            found.setdefault(at, []).extend(_of_class(given, _names(record, at)))
        elif given:
            loose.append(_snippet(name, given, after))
    frozen = [layer["config"] for layer in nets.layers(before.net) if layer["config"].get("trainable") is False]
    if thaw and not all(_says_trainable(sources.get(config.get("name"))) for config in frozen):
        loose.append(f"# before compile: {owner(record)}.trainable = True, or take away what sets trainable = False")


def _change_fit(record: Record, before: Setup, after: Setup, found: dict, loose: list[str]) -> None:
    """Put changes of how long and in which batches the net trains where `fit` is called, or into `loose`."""
    turns = record.fit.turns
    if turns > 1 and after.epochs != before.epochs:
        each = math.ceil(after.epochs / turns)
        loose.append(f"# the loop calls fit {turns} times: {each} epochs in each, {turns * each} in all")
    settings = _fit_differences(before, after, turns)
    if record.train.origin in ("generator", "sequence", "tf.data"):  # these make the batches themselves
        loose += [f"# where the batches are made: {key}={source_of(v)}" for key, v in settings if key in OF_BATCHES]
        settings = [pair for pair in settings if pair[0] not in OF_BATCHES]
    if settings:
        taken = called(record) in ("fit", "fit_generator", "")  # others know neither epochs nor batches
        form = "# in place of the loop over train_on_batch: " if record.fit.method == "train_on_batch" else ""
        _put(found, loose, record.fit.at if taken else None, settings, form + "model.fit(…, {})")


def _names(record: Record, at: Source | None) -> dict[str, str]:
    """What is known of the names in a file: those where `fit` is called, if it's the same file."""
    return record.names if at and record.fit.at and at.file == record.fit.at.file else {}


def _says_trainable(at: Source | None) -> bool:
    """Whether a call itself says whether its layer trains; most scripts say it later."""
    return bool(at) and re.search(r"\btrainable\s*=", at.call or "") is not None


def _of_class(settings: list[tuple[str, Value]], names: dict[str, str]) -> list[tuple[str, Value]]:
    """Settings with which a layer becomes one of another class, in the script's names; one that does nothing goes."""
    if settings == [("", "Activation"), ("activation", "linear")]:
        return [(AWAY, None)]
    return [(key, _named(value, "layers", names) if not key else value) for key, value in settings]


def _placed(found: dict[Source, list[tuple[str, Value]]], fit: Source | None, data: DataEdit) -> list[Edit]:
    """One edit a place: calls that stand on the same lines are changed together."""
    texts: dict[tuple[str, int, str], str] = {}
    added: dict[tuple[str, int, str], list[str]] = {}
    for source, settings in found.items():
        place = source.file, source.line, source.text
        first = added.setdefault(place, list(data.lines) if source == fit else [])
        call = source.call or source.text.strip()
        start = changed = (data.call if source == fit else None) or call
        lines = len(first)
        for key, value in settings:
            if key == AWAY:
                first.append(f"# line {source.line}, take this layer away: {call}")
            elif isinstance(value, Optimizer):
                changed, gone = with_optimizer(changed, value)
                first += [f"# in place of {gone}"] if gone else []
            else:
                changed = with_argument(changed, key, source_of(value))
        if settings and changed == start and len(first) == lines:
            words = ", ".join(f"{key}={source_of(value)}" for key, value in settings if key)
            first.append(f"# in line {source.line}: {words}")
        if UNKNOWN_KERAS.search(changed) and not UNKNOWN_KERAS.search(call) and IMPORT not in first:
            first += [IMPORT for _, value in settings if isinstance(value, Code) and value.unknown][:1]
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
        found.append(("optimizer", optimizer_code(before, after, names)))
    if before.losses != after.losses:
        names = [loss and loss["name"] for loss in after.losses]
        several = Code(repr(dict(zip(nets.output_names(after.net), names, strict=True)))) if len(names) > 1 else None
        found.append(("loss", several or after.loss))
    return found


def _fit_differences(before: Setup, after: Setup, turns: int) -> list[tuple[str, Value]]:
    keys = ("epochs", "batch_size", "shuffle", "class_weight")
    found = [(key, getattr(after, key)) for key in keys if getattr(before, key) != getattr(after, key)]
    return [(key, math.ceil(value / turns) if key == "epochs" else value) for key, value in found]


@dataclass(frozen=True)
class Code:
    """A value that is an expression."""

    text: str
    unknown: bool = False  # the script may not know its first name, `keras`


@dataclass(frozen=True)
class Optimizer(Code):
    """An optimizer: written anew, and what changes in one of the same class."""

    kind: str = ""
    changed: tuple[tuple[str, Value], ...] = ()  # empty: of another class


def _named(kind: str, package: str, names: dict[str, str]) -> Code:
    """A class of Keras' layers or optimizers in the names that the script has."""
    ways = {package: "{}.{}", "tensorflow": f"{{}}.keras.{package}.{{}}"}
    ways |= dict.fromkeys(("keras", "tf_keras"), f"{{}}.{package}.{{}}")
    for name, full in names.items():
        if f".{package}." in full and full.rpartition(".")[2] == kind:
            return Code(name)
    for name, full in names.items():
        last = full.rpartition(".")[2]
        if last in ways and full.partition(".")[0] in KERAS:
            return Code(ways[last].format(name, kind))
    return Code(f"keras.{package}.{kind}", unknown=True)


def optimizer_code(before: Setup, after: Setup, names: dict[str, str]) -> Optimizer:
    """The optimizer in the names that the script has."""
    kind, old, new = after.optimizer["class_name"], before.optimizer["config"], after.optimizer["config"]
    changed = []
    if kind == before.optimizer["class_name"]:
        changed = [(key, new.get(key)) for key in dict.fromkeys([*new, *old]) if new.get(key) != old.get(key)]
        if isinstance(old.get("learning_rate"), dict) and not isinstance(new.get("learning_rate"), dict):
            changed.append(("decay", 0.0))
    code = _named(kind, "optimizers", names)
    return Optimizer(code.text + optimizer_arguments(after), code.unknown, kind, tuple(changed))


def optimizer_arguments(setup: Setup) -> str:
    """The arguments of the optimizer as one writes it: its learning rate, and what is not as usual."""
    kept = [f"learning_rate={setup.learning_rate:g}"]
    for key, value in setup.optimizer["config"].items():
        usual = USUAL.get(key, 0.9 if (key, setup.optimizer["class_name"]) == ("rho", "RMSprop") else 0)
        if key in ("name", "learning_rate", "is_legacy_optimizer", "jit_compile") or not value:
            continue
        if isinstance(value, bool | str) or not math.isclose(value, usual, rel_tol=1e-5):
            kept.append(f"{key}={source_of(value)}")
    return f"({', '.join(kept)})"


def with_optimizer(call: str, optimizer: Optimizer) -> tuple[str, str]:
    """A call of `compile` with another optimizer, and the name that it had; one of the same class is changed in place.

    The name is empty where the optimizer was made in the call.
    """
    try:
        tree = ast.parse(call.strip(), mode="eval").body
    except SyntaxError:
        return call, ""
    if not isinstance(tree, ast.Call):
        return call, ""
    given = [word.value for word in tree.keywords if word.arg == "optimizer"] + tree.args[:1]
    node = given[0] if given else None
    if isinstance(node, ast.Call):
        same = ast.unparse(node.func).rpartition(".")[2] == optimizer.kind
        inside = made = ast.get_source_segment(call, node)
        for key, value in optimizer.changed if same else ():
            known = {word.arg for word in node.keywords}
            if value or key in known:  # what goes away, or Keras 2's decay, stands there or is not meant
                made = with_argument(made, key, source_of(value))
        if made != inside:
            return spliced(call, node, made), ""
    name = ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""
    return with_argument(call, "optimizer", optimizer.text), name


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
        return f"{value}()"
    names = (key, *OLD_NAMES.get(key, ()))
    node = next((word.value for word in tree.keywords if word.arg in names), None)
    place = ACTIVATION_PLACES.get(name) if key == "activation" else PLACES.get(key)
    place = 2 if (name, key) == ("fit_generator", "epochs") else place
    before = tree.args[: len(tree.args) if place is None else place + 1]
    if node is None and place is not None and place < len(tree.args) and name != "Sequential":
        node = tree.args[place]
    hidden = node is None and any(word.arg is None for word in tree.keywords)
    if hidden or any(isinstance(part, ast.Starred) for part in before):
        return call  # it may be among what the stars stand for
    return spliced(call, node, value) if node is not None else _with_last(call, f"{key}={value}")


def _with_last(call: str, argument: str) -> str:
    """The text of a call with one argument more, right behind the last one: comments may follow that."""
    tokens = list(tokenize.generate_tokens(io.StringIO(call).readline))
    spoken = [token for token in tokens if token.type not in NO_WORDS]
    last, lines = spoken[-2], call.split("\n")  # the last but the closing parenthesis
    row, column = last.end
    text = argument if last.string == "(" else f" {argument}" if last.string == "," else f", {argument}"
    lines[row - 1] = lines[row - 1][:column] + text + lines[row - 1][column:]
    return "\n".join(lines)


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
