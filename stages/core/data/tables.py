"""Tables with a header (CSV, Parquet) and NumPy's files, from bytes to numbers.

Shapes: inputs (n, features) or (n, *shape of a sample), targets (n,) or, of several, (n, k).
"""

from __future__ import annotations

import io
import re
import warnings
from collections import Counter
from typing import Any

import numpy as np

from stages.core.base.errors import UserError
from stages.core.base.text import one_line

Frame = Any  # pandas' DataFrame and Series: pandas takes half a second to load, and only tables need it
Series = Any

SEPARATORS = ",;\t|"
MOST_CATEGORIES = 100
"""Of a column of texts; one with more is a name or a remark."""

MOSTLY_NUMBERS = 0.5
"""A column of texts of which this share are numbers is one of numbers with a mistake in it."""


def from_csv(name: str, content: bytes) -> Frame:
    """A CSV in UTF-8 with a header; the separator is the one of , ; tab and | that the header has most.

    Raises:
        UserError: it is none.
    """
    import pandas as pd

    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{name}: is no text in UTF-8 (byte {error.start})") from None
    header = next((line for line in text.splitlines() if line.strip()), "")
    if not header:
        raise UserError(f"{name}: is empty")
    separator = max(SEPARATORS, key=header.count)
    decimal = "," if separator == ";" and re.search(r"(^|;)-?\d+,\d+(;|\r?$)", text, re.MULTILINE) else "."
    names = [part.strip().strip('"') for part in header.split(separator)]
    if len(names) < 2:
        raise UserError(f"{name}: has one column; a table needs inputs and a target, separated by , ; | or tabs")
    _check_names(name, names)  # pandas gives the second of two alike another name
    if all(_is_number(part) for part in names):
        raise UserError(f"{name}: line 1: wants the names of the columns, not {one_line(header)[:60]}")
    try:
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):  # of cells that it leaves out
            frame = pd.read_csv(
                io.StringIO(text), sep=separator, decimal=decimal, skipinitialspace=True, index_col=False
            )
    except pd.errors.ParserWarning:
        raise UserError(f"{name}: lines have more cells than the header names, {len(names)}") from None
    except (ValueError, OverflowError) as error:  # pandas' own errors are ValueErrors
        raise UserError(f"{name}: {one_line(error)}") from None
    return _checked(name, frame)


def from_parquet(name: str, content: bytes) -> Frame:
    """UserError if pyarrow is not installed, or refuses the bytes."""
    import pandas as pd

    try:
        frame = pd.read_parquet(io.BytesIO(content))
    except ImportError:
        raise UserError(
            f"{name}: Parquet needs pyarrow, which is not installed: `pip install pyarrow`, or give a CSV"
        ) from None
    except Exception as error:  # pyarrow raises many kinds
        raise UserError(f"{name}: is no undamaged Parquet file ({one_line(error)[:200]})") from None
    return _checked(name, frame)


def inputs(name: str, frame: Frame, missing: str) -> tuple[np.ndarray, list[str]]:
    """The columns as numbers, float32 (n, features), and the features' names: a column of texts becomes one 0 or 1 for
    each text, in their order.

    Args:
        name: of the file, for messages.
        frame: without target and groups.
        missing: as a data set has it; where they are to be imputed, missing numbers are NaN and missing texts no text.

    Raises:
        UserError: it names column and line (the header is line 1).
    """
    columns: list[np.ndarray] = []
    features: list[str] = []
    for column in frame:
        series = frame[column]
        absent = series.isna()
        if absent.any() and missing == "refuse":
            raise UserError(
                f"{name}: column {column}: {int(absent.sum())} missing values, the first in line {_line(absent)}; "
                "give `missing`: drop, mean or median"
            )
        if series.dtype.kind in "biuf":
            columns.append(numbers(name, str(column), series))
            features.append(str(column))
            continue
        texts = _texts(name, str(column), series)
        known = sorted(texts[~absent].unique())
        columns += [((texts == text) & ~absent).to_numpy(np.float32) for text in known]
        features += [f"{column}={text}" for text in known]
    if not columns:
        raise UserError(f"{name}: no column is left as input")
    return np.column_stack(columns), features


def numbers(name: str, column: str, series: Series) -> np.ndarray:
    """A column as float32, NaN where a value is missing; UserError for one that is not finite in float32."""
    with np.errstate(over="ignore"):
        values = series.to_numpy(np.float64, na_value=np.nan).astype(np.float32)
    infinite = np.isinf(values)
    if infinite.any():
        raise UserError(f"{name}: column {column}: line {_line(infinite)}: is too large or infinite")
    return values


def target(name: str, frame: Frame, classes: int | None) -> np.ndarray:
    """The targets, of each column class numbers, int64, in the order of the classes' names, or values, float32: (n,) of
    one column, (n, k) of several, whose classes are 0 and 1.

    Raises:
        UserError: a target is missing, or not of the kind that `classes` says.
    """
    columns = [_target(name, str(column), frame[column], classes, frame.shape[1] > 1) for column in frame]
    return columns[0] if len(columns) == 1 else np.column_stack(columns)


def _target(name: str, column: str, series: Series, classes: int | None, several: bool) -> np.ndarray:
    absent = series.isna()
    if absent.any():
        raise UserError(f"{name}: column {column}: line {_line(absent)}: the target is missing")
    known = series.unique()
    if len(known) < 2:
        raise UserError(f"{name}: column {column}: the target has one value only ({one_line(known[0])})")
    if classes is None:
        if series.dtype.kind not in "biuf":
            _texts(name, column, series)
            raise UserError(f"{name}: column {column}: the target is text, so give `classes`: {len(known)}")
        return numbers(name, column, series)
    if several and not {0, 1} >= {*known.tolist()}:
        raise UserError(f"{name}: column {column}: one of several targets must be 0 or 1")
    if len(known) != classes:
        raise UserError(f"{name}: column {column}: has {len(known)} classes, the configuration says {classes}")
    order = {value: number for number, value in enumerate(sorted(known.tolist()))}
    return series.map(order).to_numpy(np.int64)


def dropped(frame: Frame, columns: list[str]) -> Frame:
    """Without the lines in which one of these columns is empty."""
    return frame.dropna(subset=columns).reset_index(drop=True)


def array(name: str, content: bytes) -> np.ndarray:
    """One array of a .npy file: numbers, never objects; UserError otherwise."""
    try:
        values = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, OSError, EOFError, MemoryError, SyntaxError) as error:
        raise UserError(f"{name}: is no undamaged array of numbers ({one_line(error)[:200]})") from None
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf":
        raise UserError(f"{name}: is no array of numbers")
    return values


def indices(name: str, content: bytes, n: int) -> np.ndarray:
    """Numbers of samples, from 0, int64 (m,): one a line, or a .npy file; UserError if one is none of the n."""
    if content.startswith(b"\x93NUMPY"):
        values = array(name, content).reshape(-1)
    else:
        try:
            values = np.array(content.decode("ascii").split(), dtype=np.int64)
        except (ValueError, OverflowError):
            raise UserError(f"{name}: wants one number of a sample a line, from 0") from None
    if values.dtype.kind not in "iu" or not len(values) or values.min() < 0 or values.max() >= n:
        raise UserError(f"{name}: wants numbers of samples from 0 to {n - 1}, one at least")
    if len(np.unique(values)) in {n} | {*range(len(values))}:
        raise UserError(f"{name}: names a sample twice, or all of them")
    return values.astype(np.int64)


def _checked(name: str, frame: Frame) -> Frame:
    if frame.empty:
        raise UserError(f"{name}: has no samples")
    _check_names(name, list(map(str, frame.columns)))
    return frame


def _check_names(name: str, columns: list[str]) -> None:
    twice = [column for column, count in Counter(columns).items() if count > 1]
    if twice:
        raise UserError(f"{name}: two columns are called {one_line(twice[0])[:60] or 'nothing'}; rename or remove one")


def _texts(name: str, column: str, series: Series) -> Series:
    """A column of texts; UserError if it is one of numbers with a mistake in it, or has too many different texts."""
    texts = series.astype(str)
    given = texts[series.notna()]
    numeric = given.map(_is_number)
    if numeric.mean() >= MOSTLY_NUMBERS:
        wrong = ~numeric if not numeric.all() else given.map(lambda text: not np.isfinite(float(text)))
        at = given.index[wrong][0] if wrong.any() else given.index[0]
        raise UserError(f"{name}: column {column}: line {at + 2}: {one_line(given[at])[:60]} is no finite number")
    if given.nunique() > MOST_CATEGORIES:
        raise UserError(
            f"{name}: column {column}: has {given.nunique()} different texts; name it under `ignore`, or write numbers"
        )
    return texts


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _line(wrong: Series | np.ndarray) -> int:
    """The line of the first True; the header is line 1."""
    return int(np.argmax(np.asarray(wrong))) + 2
