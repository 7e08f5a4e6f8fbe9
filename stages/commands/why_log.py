"""What a training log shows: the part of `regbench why` that needs no script."""

import json
import sys
from pathlib import Path

import pandas as pd

from stages.core.base.errors import UserError
from stages.core.base.files import write_atomically
from stages.core.why.alike import alike
from stages.core.why.log_report import Finding, to_json, to_text
from stages.core.why.log_symptoms import symptoms
from stages.core.why.logs import LONGEST, decode, parse

TABLES = Path("results/tables")
NAMED = ["study", "row", "label", "diagnosis"]


def main(source: str, json_file: str | None = None) -> None:
    """Print what the log in a file (or `-`: standard input) shows, and write it as JSON where asked.

    Raises:
        UserError: there is no such file, or no log in it.
    """
    logs = parse(read(source))
    curves, tables = committed()
    findings = [Finding(log, symptoms(log), alike(log, curves, tables)) for log in logs]
    if json_file:
        write_atomically(Path(json_file), json.dumps(to_json(findings), indent=2, ensure_ascii=False) + "\n")
    print(to_text(findings), end="")


def read(source: str) -> str:
    """The text of a log."""
    if source == "-":
        return decode(sys.stdin.buffer.read(4 * LONGEST + 4))
    path = Path(source)
    if not path.is_file():
        raise UserError(f"{source}: no such file; a log is a file, or `-` for pasted text")
    with path.open("rb") as file:
        return decode(file.read(4 * LONGEST + 4))


def committed() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Curves and tables of the committed rows, empty where there are none."""
    files = sorted(TABLES.glob("*_curves.csv"))
    if not files:
        return pd.DataFrame(columns=["study", "row", "epoch", "quantity", "mean"]), pd.DataFrame(columns=NAMED)
    tables = [pd.read_csv(file.with_name(file.name.replace("_curves", "")), usecols=NAMED) for file in files]
    return pd.concat(map(pd.read_csv, files), ignore_index=True), pd.concat(tables, ignore_index=True)
