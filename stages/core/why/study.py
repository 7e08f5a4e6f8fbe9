"""A case as a study of conf/study: its data, its net as JSON, and as rows the script as it is, as repaired, and every
single change that was tried, written as overrides. Nothing here trains or writes."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from stages.core.base.errors import UserError
from stages.core.config import own
from stages.core.why import interventions
from stages.core.why import net as nets
from stages.core.why import task as tasks
from stages.core.why.interventions import target_range
from stages.core.why.search import Changes, Findings
from stages.core.why.setup import Net, Setup, steps_in_epoch
from stages.core.why.task import Task
from stages.core.why.trial import Case
from stages.core.why.verdict import together

MOST_BYTES = 100 << 20
"""Of a study's data."""

ASKED, FIXED, DATA = "as_asked", "fixed", "data.npz"
SCALED_TO = {None: "standard", (0.0, 1.0): "minmax"}
"""Scales of targets that a row has words for, by their range."""


@dataclass(frozen=True)
class Study:
    """What is written: texts by path below conf/, the data's file, and what could not be written, a reason each."""

    dataset: dict[str, Any]
    data: bytes
    texts: dict[str, str]
    left_out: list[str] = field(default_factory=list)


class _NoWords(Exception):
    """Of a change that rows have no words for; says why."""


def study_of(name: str, file: str, found: Findings, sentence: str) -> Study:
    """The study of a case.

    Args:
        name: of the study.
        file: the script's name.
        found: what the search found.
        sentence: the verdict in words, which becomes a note.

    Raises:
        UserError: no study can hold it; one line that says why.
    """
    case = found.case
    _check(file, found)
    rows: own.Rows = {ASKED: ("as asked", [])}
    jsons = {f"{name}-{ASKED}.json": net_of(case)}
    left_out = []
    for row, label, changes in _rows(found):
        try:
            overrides, net = _overrides(case, changes)
        except _NoWords as reason:
            if row == FIXED:
                raise UserError(f"{file}: the repair cannot be written as a row: {reason}") from None
            left_out.append(f"{label} ({reason})")
            continue
        if net is not None:
            jsons[f"{name}-{row}.json"] = net
            overrides = [f"model.keras={name}-{row}.json", *overrides]
        rows[row] = (label, overrides)
    if len(rows) == 1:
        raise UserError(f"{file}: no change was tried that a row can hold, so there is nothing to compare")
    content = data_of(case)
    if len(content) > MOST_BYTES:
        raise UserError(
            f"{file}: its data take {len(content) >> 20} MiB; a study of a script keeps {MOST_BYTES >> 20} at most"
        )
    dataset = _dataset(name, case, content)
    texts = {f"model/{net_file}": json.dumps(net, indent=1) + "\n" for net_file, net in jsons.items()}
    texts[f"model/{name}.yaml"] = f"# The net of {file}.\nkeras: {name}-{ASKED}.json\n"
    texts[f"optimizer/{name}.yaml"] = own.block(_compiled_with(file, case), f"The optimizer of {file}.")
    texts[f"dataset/{name}.yaml"] = own.block(dataset, f"From {file}.")
    head = _head(name, file, found, sentence, FIXED in rows)
    texts[f"study/{name}.yaml"] = own.study_text(name, head, rows, "regbench why --save")
    return Study(dataset, content, texts, left_out)


def _check(file: str, found: Findings) -> None:
    """UserError for a case that no study can hold as it was asked."""
    case = found.case
    setup, data, task = case.setup, case.data, case.task
    numbers = [*data.x, *data.y, *data.x_held_out, *data.y_held_out]
    reasons = {
        f"as asked it does not train ({found.asked.error})": found.asked.error,
        "its net has more than one input or output": not data.single,
        "its inputs or its targets are text": any(array.dtype.kind in "USO" for array in numbers),
        "it starts from weights that a study does not have": setup.weights is not None,
        "its samples have weights": data.sample_weight is not None,
        f"its labels are {', '.join(f'{name:g}' for name in task.names[:9])}, and a study's start from 0": (
            task.is_classes and not task.one_hot and classes_of(setup, task) is None
        ),
    }
    for reason, holds in reasons.items():
        if holds:
            raise UserError(f"{file}: no study can hold it: {reason}")
    if not all(np.isfinite(array).all() for array in numbers):
        raise UserError(f"{file}: no study can hold it: some of its numbers are missing or infinite")


def _compiled_with(file: str, case: Case) -> dict[str, Any]:
    """The optimizer as a row has it; UserError if Keras cannot build the net from its JSON alone."""
    from stages.core.training import given  # loads TensorFlow

    net = {**net_of(case), "compile_config": {"optimizer": case.setup.optimizer}}
    return given.read(file, json.dumps(net).encode()).optimizer or {}


def _rows(found: Findings) -> Iterable[tuple[str, str, Changes]]:
    """Name, label and changes: the repair, then single changes that were tried."""
    case = found.case
    say = (case.setup, case.data, case.task)
    if found.repair:
        yield FIXED, together(found.repair, lambda change: interventions.say(change, *say)), found.repair
    names = {ASKED, FIXED}
    for change in [*(found.repair or ()), *found.candidates]:
        changes = frozenset([change])
        tried = found.tried.get(changes)
        if changes == found.repair or not tried or not tried.runs:
            continue
        words = interventions.say(change, *say)
        short = words.partition(" in place of ")[0].lower()
        name = re.sub(r"[^a-z0-9]+", "_", short).strip("_")[:60]
        if name not in names:
            names.add(name)
            yield name, words, changes


def classes_of(setup: Setup, task: Task) -> int | None:
    """How many classes a study says there are; None where the labels are no numbers from 0."""
    if not task.is_classes:
        return None
    if task.one_hot:
        return task.width
    if task.names == tuple(range(task.classes)):
        return task.classes
    units = nets.output_units(setup.net) or 0
    return units if min(task.names) >= 0 and max(task.names) < units else None


def _dataset(name: str, case: Case, content: bytes) -> dict[str, Any]:
    """conf/dataset/<name>.yaml."""
    task, classes = case.task, classes_of(case.setup, case.task)
    if task.kind == "labels":
        classes = 2
    targets = task.width if task.kind in ("labels", "values") else 1
    return {
        "name": name,
        "title": name,
        "format": "npz",
        "shape": list(case.data.x[0].shape[1:]),
        "classes": classes,
        **({"targets": targets} if targets > 1 else {}),
        "scale": None,
        **({"target_scale": None} if classes is None else {}),
        "files": [{"name": DATA, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), "urls": []}],
    }


def held_out(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """The samples that rows are judged by: the script's validation data, or its training samples once more."""
    data = case.data
    return (data.x_held_out[0], data.y_held_out[0]) if data.x_held_out else (data.x[0], data.y[0])


def data_of(case: Case) -> bytes:
    """The samples as an .npz: those that train, then those that judge."""
    x, y = held_out(case)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=np.concatenate([case.data.x[0], x]), y=np.concatenate([case.data.y[0], y]))
    return buffer.getvalue()


def _head(name: str, file: str, found: Findings, sentence: str, fixed: bool) -> dict[str, Any]:
    """A study's keys above its rows."""
    case = found.case
    setup, data, task = case.setup, case.data, case.task
    x, y = held_out(case)
    own_ones = bool(data.x_held_out)
    judged = f"The script's own {len(x)} validation samples." if own_ones else "The training samples once more."
    whole = task.is_classes and len(np.unique(tasks.class_numbers(task, y))) == classes_of(setup, task)
    quantity = "mae" if task.kind == "values" else "balanced_accuracy" if whole else "accuracy"
    shape = list(_input_shape(setup.net, data.x[0].shape[1:]))
    return {
        "defaults": [{"/model": name}, {"/optimizer": name}],
        "title": f"The net of {file}",
        "question": f"Why does the net of {file} not learn?" if not found.learns else f"Does the net of {file} learn?",
        "source": file,
        "metric": f"validation.{quantity}",
        "baseline": FIXED if fixed else ASKED,
        "asked": ASKED,
        **({"fixed": FIXED} if fixed else {}),
        "notes": [f"`regbench why` says: {sentence}", f"What is called validation: {judged}"],
        "training": {
            "loss": _loss(setup),
            "batch_size": min(setup.batch_size, data.n),
            "epochs": _epochs(setup, data.n),
            **({} if setup.shuffle else {"shuffle": False}),
            **({"class_weight": setup.class_weight} if setup.class_weight else {}),
        },
        "split": {"validation": "tail", "size": len(x), "random_state": None, "monitor": "validation"},
        **({"dataset": {"shape": shape}} if shape != list(data.x[0].shape[1:]) else {}),
    }


def _loss(setup: Setup) -> str | dict[str, Any]:
    loss = setup.losses[0] or {"name": "", "config": {}}
    config = {key: value for key, value in loss["config"].items() if key not in ("name", "reduction", "dtype", "fn")}
    return {"type": loss["name"], **config} if config else loss["name"]


def _epochs(setup: Setup, n: int) -> int:
    """Epochs of n samples that take as many steps as the script asks for."""
    in_epoch = math.ceil(n / min(setup.batch_size, n))
    return max(1, round(setup.epochs * steps_in_epoch(setup, n) / in_epoch))


# --- the net ----------------------------------------------------------------------------------------------------------


def net_of(case: Case) -> Net:
    """The net as asked, as rows have it: it says the shape of its inputs."""
    return _with_shape(case.setup.net, case.data.x[0].shape[1:])


def _input_shape(net: Net, sample: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that the net takes, its own as far as it says one."""
    inputs = filter(_is_input, net["config"]["layers"])
    declared = next((layer["config"].get("batch_shape") for layer in inputs), None)
    if declared is None or len(declared) == len(sample) + 1:
        return tuple(sample)
    return tuple(declared[1:]) if None not in declared[1:] else tuple(sample)


def _is_input(layer: nets.Layer) -> bool:
    return nets.kind(layer) == "InputLayer"


def _with_shape(net: Net, sample: tuple[int, ...]) -> Net:
    net, shape = copy.deepcopy(net), [None, *_input_shape(net, sample)]
    layers = net["config"]["layers"]
    for layer in filter(_is_input, layers):
        layer["config"]["batch_shape"] = shape
    if nets.is_sequential(net) and not any(map(_is_input, layers)):
        layers.insert(0, _input(shape))
    return net


def _input(shape: list[int | None]) -> nets.Layer:
    return {
        "module": "keras.layers",
        "class_name": "InputLayer",
        "config": {"batch_shape": shape, "dtype": "float32", "name": "regbench_input"},
        "registered_name": None,
    }


def _normalized(net: Net, x: np.ndarray) -> Net:
    """The net behind a layer that standardizes its inputs as the change does."""
    shift, spread = interventions.input_scale(x)
    config = {"axis": -1 if shift.ndim else None, "mean": shift.tolist(), "variance": np.square(spread).tolist()}
    layer = {
        "module": "keras.layers",
        "class_name": "Normalization",
        "config": {"name": "regbench_scale", **config},
        "registered_name": None,
    }
    start = next(filter(_is_input, net["config"]["layers"]))["config"]["batch_shape"]
    chain = [layer for layer in net["config"]["layers"] if not _is_input(layer)]
    rest = chain if nets.is_sequential(net) else [net]
    layers = [_input(start), layer, *rest]
    return {"module": "keras", "class_name": "Sequential", "config": {"name": "regbench_net", "layers": layers}}


# --- changes as overrides ---------------------------------------------------------------------------------------------


def _overrides(case: Case, changes: Changes) -> tuple[list[str], Net | None]:
    """Overrides that make these changes, and the changed net, None if it is as asked.

    Raises:
        _NoWords: rows have no words for one of them.
    """
    setup, data = case.setup, case.data
    kinds = {change.kind for change in changes}
    after, _, _ = interventions.apply(changes, setup, data, case.task)
    overrides = [*_training(setup, after, data.n), *_optimizer(setup, after)]
    net = net_of(replace(case, setup=after)) if after.net != setup.net else None
    if "inputs" in kinds:
        if data.x[0].ndim <= 2 and not interventions.looks_like_image(data.x[0]):
            overrides.append("dataset.scale=standard")
        else:
            net = _normalized(net or net_of(case), data.x[0])
    if "targets" in kinds:
        scale = SCALED_TO.get(target_range(after))
        if scale is None:
            raise _NoWords("targets between -1 and 1 are no scale of a data set")
        overrides.append(f"dataset.target_scale={scale}")
    if "shuffle" in kinds and data.x_held_out:
        overrides += ["split.validation=random", "split.random_state=0"]
    if not overrides and net is None:
        raise _NoWords("a study has it so already")
    return overrides, net


def _training(before: Setup, after: Setup, n: int) -> list[str]:
    values = {
        "loss": (_loss(before), _loss(after)),
        "batch_size": (min(before.batch_size, n), min(after.batch_size, n)),
        "epochs": (_epochs(before, n), _epochs(after, n)),
        "shuffle": (before.shuffle, after.shuffle),
        "class_weight": (before.class_weight, after.class_weight),
    }
    return [f"{_key('training', key)}={_value(new)}" for key, (old, new) in values.items() if old != new]


def _optimizer(before: Setup, after: Setup) -> list[str]:
    old, new = before.optimizer, after.optimizer
    if old["class_name"] != new["class_name"]:
        changed = [f"optimizer={new['class_name'].lower()}"]
        return changed + [f"{_key('optimizer', key)}={_value(value)}" for key, value in new["config"].items()]
    keys = [key for key in {**old["config"], **new["config"]} if old["config"].get(key) != new["config"].get(key)]
    return [f"{_key('optimizer', key)}={_value(new['config'].get(key))}" for key in keys]


def _key(part: str, key: str) -> str:
    """What an override sets, with Hydra's ++ where the study may not say it."""
    return f"{part}.{key}" if key in ("loss", "batch_size", "epochs", "learning_rate") else f"++{part}.{key}"


def _value(value: Any) -> str:
    """A value as Hydra's overrides have it."""
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_value(child)}" for key, child in value.items()) + "}"
    return str(value)
