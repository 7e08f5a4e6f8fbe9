"""Run records: what `train` writes of a row, how it is checked when read, and its summary as arrays over the seeds.

The text is valid JSON with sorted keys, a seed on a line, floats at seven significant digits, NaN and infinity as null.
A checksum over the content shows an edit by hand.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from stages.core.base.errors import UserError
from stages.core.config.dataset import Sheet
from stages.core.config.validation import Count, Finite, validate

SIGNIFICANT_DIGITS = 7
"""Of a float in a record: what float32 carries."""

RETRAIN = "run `dvc repro`"
FORCE = "dvc repro --single-item --force train@"
"""After `dvc commit --force`, which takes a record for that of a row that it is not of, nothing else trains the row."""

Value = Finite | None  # null stands for a value that was not finite
Share = Annotated[float, Field(ge=0, le=1)]
Split = Literal["train", "validation", "test"]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class Data(_Part):
    """What the row was trained on; `guess` is what guessing reaches on each split: its most frequent class's share, or
    the mean absolute error of predicting the mean of the training targets."""

    dataset: str
    digest: str
    samples: dict[Split, Count]
    guess: dict[Split, Finite]


class Seed(_Part):
    """One repetition: curves by column, the metrics of the final weights by split."""

    seed: int
    curve: dict[str, list[Value]]
    final: dict[Split, dict[str, Value]]
    first_non_finite_epoch: Count | None
    weight_norms: dict[str, Value]
    top_class_share: dict[Split, Share | None] | None = None
    saturated_share: dict[str, Value] = {}
    zero_share: dict[str, Value] = {}


class Record(_Part):
    """A run record as far as tables and the report need it."""

    study: str
    row: str
    config: dict[str, Any]
    data: Data
    versions: dict[str, str]
    device: str
    parameters: Count
    seeds: Annotated[list[Seed], Field(min_length=1)]

    @property
    def metric(self) -> str:
        """Name of the metric, as in Keras."""
        return "accuracy" if "accuracy" in self.seeds[0].final["train"] else "mae"

    @model_validator(mode="after")
    def _complete(self) -> Record:
        splits = set(self.data.samples)
        if "train" not in splits or set(self.data.guess) != splits:
            raise ValueError("data: samples and guess need the same splits, train among them")
        if any(set(seed.final) != splits for seed in self.seeds):
            raise ValueError(f"seeds: final needs {', '.join(sorted(splits))}, and nothing else")
        figures = {"loss", "data_loss", "penalty", self.metric}
        columns = {"epoch", *figures, "val_loss", "val_data_loss", f"val_{self.metric}"}
        epochs = self.seeds[0].curve.get("epoch")
        for seed in self.seeds:
            if any(not figures <= set(final) for final in seed.final.values()):
                raise ValueError(f"seed {seed.seed}: final needs {', '.join(sorted(figures))}")
            if not columns <= set(seed.curve):
                raise ValueError(f"seed {seed.seed}: curve needs {', '.join(sorted(columns))}")
            if seed.curve["epoch"] != epochs or {len(column) for column in seed.curve.values()} != {len(epochs)}:
                raise ValueError(f"seed {seed.seed}: curve needs a value for each epoch, the same epochs as seed 0")
            for name in ("weight_norms", "saturated_share", "zero_share"):
                if set(getattr(seed, name)) != set(getattr(self.seeds[0], name)):
                    raise ValueError(f"seed {seed.seed}: {name} needs the same entries as seed 0")
        return self


@dataclass(frozen=True)
class Summary:
    """A record as arrays; seeds along the first axis, NaN for what was not finite."""

    row: str
    metric: str
    """accuracy or mae"""
    config: Mapping[str, Any]
    guess: Mapping[str, float]
    """by split"""
    final: Mapping[str, Mapping[str, np.ndarray]]
    """by split and quantity, (seeds,)"""
    epochs: np.ndarray
    """(epochs,), from 1"""
    curve: Mapping[str, np.ndarray]
    """by quantity, (seeds, epochs)"""
    first_non_finite_epoch: np.ndarray
    """(seeds,), NaN if every epoch was finite"""
    weight_norms: Mapping[str, np.ndarray]
    """Euclidean norm by weight array, (seeds,), from input to output"""
    top_class_share: Mapping[str, np.ndarray]
    """by split, (seeds,); empty for regression"""
    saturated_share: Mapping[str, np.ndarray]
    """by hidden layer, share of dead (relu) or saturated (sigmoid, tanh) units, (seeds,)"""
    zero_share: Mapping[str, np.ndarray]
    """by weight array, share of entries next to zero, (seeds,)"""

    @property
    def penalty_share(self) -> np.ndarray:
        """Share of the penalty in the training loss of the final weights, (seeds,)."""
        return share(self.final["train"]["penalty"], self.final["train"]["loss"])


def to_json(record: Mapping[str, Any]) -> str:
    """The text of a run record with its checksum; numpy numbers and arrays may be part of it."""
    content = _plain(record)
    return to_text({**content, "checksum": _checksum(content)})


def to_text(value: Any) -> str:
    """JSON with sorted keys and a newline at the end: an entry of the two outermost levels on a line, so a setting of a
    record, or a seed, is one line in a diff."""
    return _layout(_plain(value), "", 2) + "\n"


def parse(content: bytes | str, where: str) -> Record:
    """Read and check the text of a run record.

    Raises:
        UserError: it is no JSON, was edited by hand, or lacks something; the text begins with `where`.
    """
    data = load_json(content, where)
    checksum = data.pop("checksum", None)
    if checksum != _checksum(data):
        raise UserError(f"{where}: was edited by hand or damaged (its checksum does not fit); delete it and {RETRAIN}")
    return validate(Record, data, where)


def load_json(content: bytes | str, where: str) -> dict[str, Any]:
    """A JSON object; NaN and Infinity, which JSON does not have, are refused.

    Raises:
        UserError: it is something else; the text begins with `where`.
    """
    try:
        data = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: is not valid JSON: {error}") from None
    if not isinstance(data, dict):
        raise UserError(f"{where}: is not a JSON object")
    return data


def check_files(declared: Iterable[str], found: Iterable[str], folder: str) -> None:
    """Refuse a record that no declared row stands for, and a declared row without a record.

    Args:
        declared: the study's rows.
        found: names of the files in `folder`; hidden ones (a writer's temporary files) do not count.

    Raises:
        UserError: it names the file.
    """
    wanted = [f"{row}.json" for row in declared]
    present = {name for name in found if not name.startswith(".")}
    orphans = sorted(present - set(wanted))
    if orphans:
        raise UserError(f"{folder}/{orphans[0]}: belongs to no row of the study{_more(orphans)}; delete it")
    missing = [name for name in wanted if name not in present]
    if missing:
        raise UserError(f"{folder}/{missing[0]}: is missing{_more(missing)}; {RETRAIN}")


def check(record: Record, config: Mapping[str, Any], sheet: Sheet, where: str) -> None:
    """Refuse a record that is not of the row as it is configured now.

    Args:
        record: what `parse` gave.
        config: the row's resolved configuration, all of build/rows/<study>/<row>.yaml.
        sheet: the sheet of its data set.

    Raises:
        UserError: it says what differs; the text begins with `where`.
    """
    seeds, key = config["seeds"], f"{config['study']}/{config['row']}"
    retrain = f"{RETRAIN}, and where that finds nothing to do `{FORCE}{key}` first"
    if (record.study, record.row) != (config["study"], config["row"]):
        raise UserError(f"{where}: is the record of {record.study}/{record.row}, not of {key}; {retrain}")
    difference = _first_difference(record.config, _plain(config))
    if difference:
        raise UserError(f"{where}: was made with another configuration: {difference}; {retrain}")
    numbers = [seed.seed for seed in record.seeds]
    if numbers != list(range(seeds)):
        raise UserError(f"{where}: has the seeds {numbers}, not 0 to {seeds - 1}, each once and in order; {retrain}")
    dataset = config["dataset"]["name"]
    if record.data.dataset != dataset or record.data.digest != sheet.digest:
        raise UserError(
            f"{where}: was trained on other data ({record.data.dataset}, digest {record.data.digest[:12]}) than "
            f"results/datasets/{dataset}.json describes (digest {sheet.digest[:12]}); {retrain}"
        )
    _check_samples(record.data.samples, sheet, where, retrain)  # type: ignore[arg-type]


def summarize(record: Record) -> Summary:
    """The figures of a record as arrays over its seeds."""
    seeds = record.seeds
    quantities = [name for name in seeds[0].curve if name != "epoch"]
    curve = {name: _array([seed.curve[name] for seed in seeds]) for name in quantities}
    curve["penalty_share"] = share(curve["penalty"], curve["loss"])
    return Summary(
        row=record.row,
        metric=record.metric,
        config=record.config,
        guess=record.data.guess,  # type: ignore[arg-type]
        final={
            split: {name: _array([seed.final[split][name] for seed in seeds]) for name in seeds[0].final[split]}
            for split in record.data.samples
        },
        epochs=np.array(seeds[0].curve["epoch"], int),
        curve=curve,
        first_non_finite_epoch=_array([seed.first_non_finite_epoch for seed in seeds]),
        weight_norms={
            path: _array([seed.weight_norms[path] for seed in seeds])
            for path in _from_input_to_output(record.config.get("layers", []), seeds[0].weight_norms)
        },
        top_class_share={
            split: _array([(seed.top_class_share or {}).get(split) for seed in seeds])
            for split in record.data.samples
            if seeds[0].top_class_share is not None
        },
        saturated_share=_by_name([seed.saturated_share for seed in seeds]),
        zero_share=_by_name([seed.zero_share for seed in seeds]),
    )


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, same shape; 0 where both are 0, NaN where one is not finite."""
    return np.divide(part, whole, out=np.where(np.isfinite(whole), 0.0, np.nan), where=whole != 0)


def _from_input_to_output(layers: list[Mapping[str, Any]], paths: Iterable[str]) -> list[str]:
    """Weight arrays in the order of the layers, which are named by type and number; kernel before bias, gamma before
    beta."""
    counts: Counter[str] = Counter()
    places: dict[str, int] = {}
    for layer in layers:
        counts[layer["type"]] += 1
        places[f"{layer['type']}_{counts[layer['type']]}"] = len(places)
    kernel_first = sorted(paths, reverse=True)
    return sorted(kernel_first, key=lambda path: places.get(path.partition("/")[0], len(places)))


def _check_samples(samples: Mapping[str, int], sheet: Sheet, where: str, retrain: str) -> None:
    """Every sample of the data set's training part is trained on or held out, and the test part is whole."""
    sizes = {name: array.shape[0] for name, array in sheet.arrays.items() if name in {"train_x", "test_x"}}
    counted = {
        "train_x": samples["train"] + samples.get("validation", 0),
        **({"test_x": samples["test"]} if "test" in samples else {}),
    }
    if counted != sizes:
        raise UserError(f"{where}: counts {counted} samples, but the data set has {sizes}; {retrain}")


def _plain(value: Any) -> Any:
    """Numbers, texts, lists and mappings that JSON has, floats rounded."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if math.isfinite(value) else None
    return value


def _checksum(content: Mapping[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def _layout(value: Any, indent: str, levels: int) -> str:
    """`value` with the entries of so many levels on lines of their own; numbers that make one list stay together."""
    inner = indent + " "
    if levels and isinstance(value, dict) and value:
        entries = [f"{inner}{_inline(key)}: {_layout(value[key], inner, levels - 1)}" for key in sorted(value)]
        return "{\n" + ",\n".join(entries) + f"\n{indent}}}"
    if levels and isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        return "[\n" + ",\n".join(inner + _layout(item, inner, levels - 1) for item in value) + f"\n{indent}]"
    return _inline(value)


def _inline(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number that JSON has")


def _by_name(figures: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """By name, the figure of every seed, (seeds,)."""
    return {name: _array([of_seed[name] for of_seed in figures]) for name in figures[0]}


def _array(values: list) -> np.ndarray:
    return np.array(values, dtype=float)  # None becomes NaN


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def _first_difference(ours: Any, theirs: Any, key: str = "") -> str | None:
    """Where the record's configuration first differs from the row's, in words; None if nowhere."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        names = sorted({*ours, *theirs})
        pairs = [(f"{key}.{name}" if key else name, ours.get(name), theirs.get(name)) for name in names]
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = [(f"{key}.{index}", *pair) for index, pair in enumerate(zip(ours, theirs, strict=True))]
    else:
        return None if ours == theirs else f"{key} is {ours!r} in the record, {theirs!r} in the row"
    return next(filter(None, (_first_difference(a, b, name) for name, a, b in pairs)), None)
