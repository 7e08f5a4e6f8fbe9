"""Say why a network does not learn: what its training log shows.

    regbench why --log FILE [--json FILE]

FILE is CSVLogger's CSV, a JSON of History.history, or what Keras printed; `-` reads pasted text.
"""

import argparse
import json
import sys
from pathlib import Path

import pandas as pd

from stages.core.base.errors import UserError, run
from stages.core.base.files import write_atomically
from stages.core.base.project import as_given
from stages.core.why.alike import alike
from stages.core.why.log_report import Finding, to_json, to_text
from stages.core.why.log_symptoms import symptoms
from stages.core.why.logs import LONGEST, decode, parse

TABLES = Path(__file__).resolve().parents[2] / "results/tables"
"""Of this clone, wherever the command is called; a package without results has none."""

NAMED = ["study", "row", "label", "diagnosis"]
CURVES = ["study", "row", "epoch", "quantity", "mean"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", metavar="FILE", required=True, help="a training log; - for standard input")
    parser.add_argument("--json", metavar="FILE", help="write the answer there as JSON too")
    arguments = parser.parse_args()
    explain_log(arguments.log, arguments.json)


def explain_log(source: str, json_file: str | None = None) -> None:
    """Print what the log in a file (or `-`: standard input) shows, and write it as JSON where asked.

    Raises:
        UserError: there is no such file, or no log in it.
    """
    logs = parse(_read(source))
    curves, tables = _committed()
    findings = [Finding(log, symptoms(log), alike(log, curves, tables)) for log in logs]
    if json_file:
        write_atomically(as_given(json_file), json.dumps(to_json(findings), indent=2, ensure_ascii=False) + "\n")
    print(to_text(findings), end="")


def _read(source: str) -> str:
    most = 4 * LONGEST  # bytes of so many characters, at most
    if source == "-":
        return decode(sys.stdin.buffer.read(most + 1))
    path = as_given(source)
    if not path.is_file():
        raise UserError(f"{source}: no such file; give a training log, or - for pasted text")
    with path.open("rb") as file:
        return decode(file.read(most + 1))


def _committed() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Curves and tables of the committed rows, empty where there are none."""
    files = sorted(TABLES.glob("*_curves.csv"))
    if not files:
        return pd.DataFrame(columns=CURVES), pd.DataFrame(columns=NAMED)
    tables = [pd.read_csv(file.with_name(file.name.replace("_curves", "")), usecols=NAMED) for file in files]
    curves = [pd.read_csv(file, usecols=CURVES) for file in files]
    return pd.concat(curves, ignore_index=True), pd.concat(tables, ignore_index=True)


if __name__ == "__main__":
    run(main)
