"""CSV text of tables, checked against their schema (`table_schemas`) whenever it is written or read."""

from __future__ import annotations

import io
import math
from typing import Any

import pandas as pd
import pandera.pandas as pa

from stages.core.base.errors import UserError

SIGNIFICANT_DIGITS = 6
"""Of a number in a CSV file."""


def typed(lines: pd.DataFrame, schema: pa.DataFrameSchema) -> pd.DataFrame:
    """The columns of `schema`, in its order and with its types; what is absent is empty."""
    frame = lines.reindex(columns=list(schema.columns))
    return frame.astype({name: column.dtype.type for name, column in schema.columns.items()})


def to_csv(frame: pd.DataFrame, schema: pa.DataFrameSchema, where: str) -> str:
    """CSV text of a frame that `schema` holds for; NaN is an empty field.

    Raises:
        UserError: the schema does not hold; the text begins with `where`.
    """
    checked = _checked(frame, schema, where)
    cells = checked.copy().astype(object)
    for name in checked.select_dtypes("float").columns:
        cells[name] = [_plain_number(value) for value in checked[name]]
    return cells.to_csv(index=False, lineterminator="\n")


def read(text: str, schema: pa.DataFrameSchema, where: str) -> pd.DataFrame:
    """The frame of a CSV text that `schema` holds for.

    Raises:
        UserError: a column is missing, a value out of range, a key twice, or it is no CSV; it begins with `where`.
    """
    types = {name: column.dtype.type for name, column in schema.columns.items()}
    empty = {name: [""] for name, column in schema.columns.items() if column.nullable}
    try:
        header = pd.read_csv(io.StringIO(text), nrows=0).columns.tolist()
        _check_header(header, schema, where)
        frame = pd.read_csv(io.StringIO(text), dtype=types, na_values=empty, keep_default_na=False)
    except (ValueError, pd.errors.ParserError) as error:
        raise UserError(f"{where}: is not a table of {schema.name}: {_one_line(error)}") from None
    return _checked(frame, schema, where)


def rounded(value: float) -> float:
    """The number as a CSV file has it."""
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def _plain_number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.{SIGNIFICANT_DIGITS}g}"


def _check_header(header: list[str], schema: pa.DataFrameSchema, where: str) -> None:
    wanted = list(schema.columns)
    missing = [name for name in wanted if name not in header]
    if missing:
        raise UserError(f"{where}: has no column {', '.join(missing)}")
    if header != wanted:
        raise UserError(f"{where}: has the columns {', '.join(header)}, not {', '.join(wanted)}")


def _checked(frame: pd.DataFrame, schema: pa.DataFrameSchema, where: str) -> pd.DataFrame:
    try:
        return schema.validate(frame)
    except pa.errors.SchemaError as error:
        raise UserError(f"{where}: {_reason(error, frame, schema)}") from None


def _reason(error: pa.errors.SchemaError, frame: pd.DataFrame, schema: pa.DataFrameSchema) -> str:
    """What is wrong with the first offending line, in one line."""
    cases = error.failure_cases
    if not isinstance(cases, pd.DataFrame) or "index" not in cases or cases["index"].isna().all():
        return _one_line(error)
    line = frame.loc[cases["index"].iloc[0]]
    name = "/".join(str(line[column]) for column in schema.unique)
    if "unique" in str(error):
        return f"{name} appears twice"
    column = error.schema.name if isinstance(error.schema, pa.Column) else None
    rule = getattr(error.check, "error", None) or str(error.check)
    return f"{name}: {f'{column} {line[column]!s}: ' if column else ''}{rule}"


def _one_line(error: Any) -> str:
    return " ".join(str(error).split())
