"""A training log as numbers: what Keras printed, a CSVLogger's file, a `History`, or numbers that somebody pasted.

`parse` takes any text and gives one `TrainingLog` for each call of `fit` in it. Formats whose numbers have names in one
place (CSV, JSON) are read here, printed text in `keras_output`. Nothing here reads a file.
"""

import ast
import codecs
import csv
import json
import math
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np

from stages.core.base.errors import UserError
from stages.core.why import keras_output
from stages.core.why.keras_output import METRIC, Row, Run, number

NOT_A_LOG = (
    "no training log found; understood are CSVLogger's CSV, History.history as JSON or as Python prints it, what Keras "
    "prints with verbose=1 or 2, lines like 'loss 0.3 val_loss 0.4', and lines of two or four bare numbers: "
    "loss accuracy val_loss val_accuracy"
)
LONGEST = 20_000_000
"""Characters; a longer text is refused. Keras writes about a hundred for each step that it shows."""

MOST_TRAININGS = 100
"""Calls of `fit`; a text with more is refused, each is compared with every committed row, which takes half a second."""

_HEADER_LINES = 200
"""A table's header is looked for in so many lines: a log is pasted without a book in front of it."""


_MOST_BRACKETS = 8
"""What is printed before a dictionary has few brackets."""


@dataclass(frozen=True)
class TrainingLog:
    """What one call of `fit` printed or stored, epoch by epoch. Column names are in lower case.

    A value that the log does not give (validation every fifth epoch, say) is NaN in `columns` and False in `printed`; a
    NaN that the log gives is NaN and True.
    """

    source: str  # format, in words
    epochs: np.ndarray  # (epochs,) numbers of the epochs, from 1, rising
    columns: Mapping[str, np.ndarray]  # name → (epochs,) float64
    printed: Mapping[str, np.ndarray]  # name → (epochs,) bool
    planned: int | None = None  # epochs asked for
    steps: int | None = None  # batches in an epoch
    samples: int | None = None  # training samples
    evaluated: Mapping[str, float] = field(default_factory=dict)  # what `evaluate` or a "Test accuracy" line says
    notes: tuple[str, ...] = ()  # how the text was read, where it could be read otherwise


def decode(content: bytes) -> str:
    """The text of a log file: UTF-8, or UTF-16 as PowerShell's `>` writes it; bytes that fit neither become U+FFFD."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    return content.decode("utf-8-sig", errors="replace")


def parse(text: str) -> list[TrainingLog]:
    """The logs in a text, one for each call of `fit`, in its order.

    Raises:
        UserError: the text holds no log, too much, or a table in which two columns have one name.
    """
    if len(text) > LONGEST:
        raise UserError(f"the log has {len(text):,} characters, {LONGEST:,} at most are read; leave lines out")
    text = keras_output.clean(text)
    formats = [_from_keras, _from_table, _from_dict, _from_names, _from_numbers]
    if text.lstrip()[:1] in {"{", "["}:
        formats.insert(0, formats.pop(formats.index(_from_dict)))
    for read in formats:
        logs = [log for log in read(text) if log.columns]
        if len(logs) > MOST_TRAININGS:
            raise UserError(f"the log has {len(logs):,} trainings, {MOST_TRAININGS:,} at most are read; leave some out")
        if logs:
            return logs
    raise UserError(NOT_A_LOG)


def _from_keras(text: str) -> Iterable[TrainingLog]:
    return [_log("Keras' printed output", run) for run in keras_output.read(text)]


def _from_names(text: str) -> Iterable[TrainingLog]:
    return [_log("lines of names and numbers", run) for run in keras_output.read_names(text)]


# --- CSV and other tables -------------------------------------------------------------------------------------------


def _from_table(text: str) -> Iterable[TrainingLog]:
    """CSVLogger's CSV (`,` `;` tab), and tables in blanks or bars, as pandas and Markdown print them."""
    lines = [line for line in text.split("\n") if line.strip() and not re.fullmatch(r"[|\s:+=-]+", line)]
    for start, line in enumerate(lines[:_HEADER_LINES]):
        for delimiter in (",", ";", "\t", "|", None):
            names = [_column(name) for name in _split(line, delimiter)]
            if _is_header(names):
                rows = _table_rows(islice(lines, start + 1, None), names, delimiter)
                twice = [name for name, count in Counter(names).items() if name and count > 1]
                if rows and twice:
                    raise UserError(f"the log's table has two columns called {twice[0]}; rename one, or take it out")
                if rows:
                    return [_log("a table" if delimiter in {"|", None} else "CSV", run) for run in _runs(rows)]
    return []


def _column(name: Any) -> str:
    """A column's name as Keras has it: `val_loss` for "Validation loss", `loss` for "train_loss"."""
    plain = re.sub(r"\s+", "_", str(name).strip().strip("\"'").lower())
    plain = "".join(character for character in plain if character.isprintable())  # JSON can hide what steers a terminal
    return re.sub(r"^(?:valid|validation|test)_", "val_", re.sub(r"^train(?:ing)?_", "", plain))


def _is_header(names: list[str]) -> bool:
    named = [name for name in names if name]
    return (
        len(named) >= len(names) - 1  # pandas leaves the head of its index empty
        and any(METRIC.fullmatch(name) for name in named)
        and not any(_cell(name, ",") is not None for name in named)
    )


def _table_rows(lines: Iterable[str], names: list[str], delimiter: str | None) -> list[Row]:
    """Rows up to the first line that is none; a line with fewer cells is where the log was cut off."""
    rows: list[Row] = []
    index = None  # whether rows have a cell more than the header, the row's number
    for line in lines:
        cells = _split(line, delimiter)
        if rows and [_column(cell) for cell in cells] == names:
            continue  # appended to an older file, with a header again
        if index is None:
            index = len(cells) - len(names)
            if index not in {0, 1}:
                return []
        cells = cells[index:]
        values = [_cell(cell, delimiter) for cell in cells]
        if len(cells) != len(names) or None in values:
            break
        columns = {
            name: value
            for name, value in zip(names, values, strict=True)
            if name and isinstance(value, float) and name != "epoch"
        }
        epoch = dict(zip(names, values, strict=True)).get("epoch")
        # A NaN that pandas wrote is an empty cell; of the training loss nothing else leaves one.
        if "loss" in names and "loss" not in columns and columns and cells[names.index("loss")].strip() == "":
            columns["loss"] = math.nan
        rows.append(Row(_epoch(epoch), columns))
    return rows


def _split(line: str, delimiter: str | None) -> list[str]:
    if delimiter is None:
        return line.split()
    if delimiter == "|":
        return line.strip().strip("|").split("|")
    try:
        return next(csv.reader([line], delimiter=delimiter))
    except (csv.Error, StopIteration):
        return []


def _cell(cell: str, delimiter: str | None) -> float | str | None:
    """A number; "" for a cell without one (missing, a list); None if the line is no row of a table of numbers."""
    cell = cell.strip().strip("\"'")
    if cell.lower() in {"", "na", "n/a", "none", "null", "-"} or (cell.startswith("[") and cell.endswith("]")):
        return ""
    if delimiter in {";", "\t"} and cell.count(",") == 1 and "." not in cell:
        cell = cell.replace(",", ".")  # decimal comma
    return number(cell)


# --- JSON and what Python prints ------------------------------------------------------------------------------------


def _from_dict(text: str) -> Iterable[TrainingLog]:
    value = _literal(text)
    if isinstance(value, list):
        records = [record for record in value if isinstance(record, dict)]
        return [_log("JSON, an object an epoch", run) for run in _runs([_record(record) for record in records])]
    if not isinstance(value, dict):
        return []
    parameters = value.get("params")
    inner = value["history"] if isinstance(value.get("history"), dict) else value
    lists = {_column(name): _sequence(values) for name, values in inner.items()}
    columns = {name: values for name, values in lists.items() if values and name != "epoch"}
    if not columns or not any(METRIC.fullmatch(name) for name in columns):
        return []
    length = max(map(len, columns.values()))
    short = [name for name, values in columns.items() if len(values) < length]
    columns = {name: values for name, values in columns.items() if name not in short}
    epochs = lists.get("epoch") or (value.get("epoch") if isinstance(value.get("epoch"), list) else None)
    rows = [
        Row(
            _epoch(epochs[i]) if epochs and i < len(epochs) else None,
            {name: values[i] for name, values in columns.items()},
        )
        for i in range(length)
    ]
    runs = _runs(rows)
    if isinstance(parameters, dict) and isinstance(parameters.get("epochs"), int):
        runs = [replace(run, planned=parameters["epochs"], steps=_count(parameters.get("steps"))) for run in runs]
    if short:
        note = f"left out, as it has no value for some epochs and does not say for which: {', '.join(short)}"
        runs = [replace(run, notes=(*run.notes, note)) for run in runs]
    return [_log("History.history", run) for run in runs]


def _literal(text: str) -> Any:
    """The first thing in brackets that is JSON, JSON lines or Python up to the last bracket; None if none is."""
    starts = [match.start() for match in islice(re.finditer(r"[{\[]", text), _MOST_BRACKETS)]
    for start in starts:
        body = text[start : text.rfind("}" if text[start] == "{" else "]") + 1]
        for read in (json.loads, _json_lines, _python):
            try:
                with warnings.catch_warnings(action="ignore"):  # Python's, about literals in what is no literal
                    value = read(body)
            except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
                continue
            if isinstance(value, dict | list) and value:
                return value
    return None


def _json_lines(body: str) -> list[Any]:
    return [json.loads(line) for line in body.split("\n") if line.strip()]


def _python(body: str) -> Any:
    """A Python literal, with NaN, infinities and NumPy's ways of printing a number or an array."""
    body = re.sub(r"\b(?:np\.|numpy\.)?(?:float\d+|array|list)\(", "(", body)
    body = re.sub(r",\s*dtype=[\w.]+", "", body)
    body = re.sub(r"(?<![\w'\"])(?:np\.|math\.)?nan(?![\w'\"])", "None", body)
    body = re.sub(r"(?<![\w'\"])(?:np\.|math\.)?inf(?![\w'\"])", "1e999", body)
    return ast.literal_eval(body)


def _sequence(values: Any) -> list[float]:
    """Numbers by epoch from a list or from pandas' {"0": …}; [] if it is something else. JSON's null is a NaN."""
    if isinstance(values, dict) and all(str(key).isdigit() for key in values):
        values = [values[key] for key in sorted(values, key=int)]
    if not isinstance(values, list | tuple):
        return []
    values = [math.nan if value is None else value for value in values]
    return [float(value) for value in values] if all(map(_is_number, values)) else []


def _record(record: Mapping[Any, Any]) -> Row:
    """One epoch's object; a null of the training loss is a NaN, one of another column was not measured."""
    named = {_column(name): value for name, value in record.items()}
    epoch = named.pop("epoch", None)
    values = {name: float(value) for name, value in named.items() if _is_number(value)}
    if "loss" in named and named["loss"] is None:
        values["loss"] = math.nan
    return Row(_epoch(epoch), values)


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**300)


def _epoch(value: Any) -> int | None:
    """The number of an epoch, None where there is none."""
    return int(value) if _is_number(value) and 0 <= value < 1e9 and float(value).is_integer() else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


# --- bare numbers ---------------------------------------------------------------------------------------------------

_NAMES = ("loss", "accuracy", "val_loss", "val_accuracy")


def _from_numbers(text: str) -> Iterable[TrainingLog]:
    """Lines of two or four bare numbers, or one, with the epoch's number in front or not."""
    lines = [re.split(r"[\s,;|]+", line.strip(" \t,;|")) for line in re.split(r"[\n·]", text) if line.strip(" \t,;|.")]
    rows = [[number(cell) for cell in line] for line in lines]
    found = [[value for value in row if value is not None] for row in rows if None not in row]
    if 2 * len(found) < len(rows) or not re.search(r"\.\d|nan|inf", text, re.IGNORECASE):
        return []  # prose, or counts of something
    width = Counter(map(len, found)).most_common(1)[0][0]
    table = np.array([row for row in found if len(row) == width], float)
    epochs = None
    if width in {2, 3, 5} and len(table) > 1 and np.array_equal(np.diff(table[:, 0]), np.ones(len(table) - 1)):
        epochs, table = table[:, 0], table[:, 1:]
    names = _order(table)
    if not names:
        return []
    rows_ = [
        Row(_epoch(float(epochs[i])) if epochs is not None else None, dict(zip(names, map(float, values), strict=True)))
        for i, values in enumerate(table)
    ]
    note = f"no names stand beside the numbers; read as {', '.join(names)}"
    return [_log("bare numbers", replace(run, notes=(note,))) for run in _runs(rows_)]


def _order(table: np.ndarray) -> tuple[str, ...]:
    """Names for the columns: a share is the accuracy, whichever of a pair it is; () for a width that says nothing."""
    width = table.shape[1]
    if width == 1 and (len(table) >= 3 or not np.isfinite(table).all()):
        return ("loss",)
    if width not in {2, 4}:
        return ()

    def shares(first: int) -> bool:
        values = table[:, first::2]
        return bool(((values >= 0) & (values <= 1) | np.isnan(values)).all())

    if shares(1):
        return _NAMES[:width]
    if shares(0):
        return ("accuracy", "loss", "val_accuracy", "val_loss")[:width]
    return ("loss", "metric", "val_loss", "val_metric")[:width]


# --- epochs to arrays -----------------------------------------------------------------------------------------------


def _runs(rows: list[Row]) -> list[Run]:
    """Rows cut where the epoch's number falls: another `fit` was appended. Numbers from 0 become numbers from 1."""
    runs: list[list[Row]] = []
    for row in rows:
        last = runs[-1][-1].epoch if runs else None
        if not runs or (row.epoch is not None and last is not None and row.epoch <= last):
            runs.append([])
        runs[-1].append(row)
    return [Run(_from_one(run)) for run in runs]


def _from_one(rows: list[Row]) -> list[Row]:
    if any(row.epoch is None for row in rows):
        return [Row(i, row.values) for i, row in enumerate(rows, start=1)]
    first = min(row.epoch for row in rows if row.epoch is not None)
    return [Row((row.epoch or 0) + (1 if first == 0 else 0), row.values) for row in rows]


def _log(source: str, run: Run) -> TrainingLog:
    rows = [row for row in run.rows if row.values]
    names = list(dict.fromkeys(name for row in rows for name in row.values))
    return TrainingLog(
        source=source,
        epochs=np.array([row.epoch for row in rows], int),
        columns={name: np.array([row.values.get(name, math.nan) for row in rows], float) for name in names},
        printed={name: np.array([name in row.values for row in rows], bool) for name in names},
        planned=run.planned,
        steps=run.steps,
        samples=run.samples,
        evaluated=dict(run.evaluated),
        notes=tuple(run.notes),
    )
