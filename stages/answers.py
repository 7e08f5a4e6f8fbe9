"""Stage answers: build/studies/*.yaml and results/tables/*.csv -> results/answers.md.

    python -m stages.answers [--check]

It answers the studies that params.yaml selects, in its order. With --check nothing is written: the file is compared
with what the tables give.
"""

import argparse
from pathlib import Path

import pandas as pd

from stages.core.base.errors import UserError, run
from stages.core.base.files import check_text, write_atomically
from stages.core.config.yaml import read_yaml
from stages.core.results import answers, tables

STUDIES, ANSWERED = Path("build/studies"), Path("build/answers")
TABLES, ANSWERS = Path("results/tables"), Path("results/answers.md")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the file instead of writing it")
    check = parser.parse_args().check
    names = read_yaml(Path("params.yaml"))["studies"]
    text = answers.to_markdown([_read(name) for name in names])
    if check:
        check_text(ANSWERS, text, "the tables", "dvc repro --single-item --force answers")
        return
    write_atomically(ANSWERS, text)
    print(ANSWERS)


def _read(name: str) -> tuple[dict, pd.DataFrame, pd.DataFrame]:
    """A study with its table and its curves."""
    path, table_path, curves_path = STUDIES / f"{name}.yaml", TABLES / f"{name}.csv", TABLES / f"{name}_curves.csv"
    study = read_yaml(_present(path, "compose")) | read_yaml(_present(ANSWERED / path.name, "compose"))
    table = tables.read_table(_text(table_path, name), str(table_path))
    curves = tables.read_curves(_text(curves_path, name), str(curves_path))
    for frame, file in ((table, table_path), (curves, curves_path)):
        if list(frame["row"].unique()) != list(study["rows"]):
            raise UserError(f"{file}: does not have the study's rows; `dvc repro aggregate@{name}` writes it anew")
    return study, table, curves


def _text(path: Path, study: str) -> str:
    return _present(path, f"aggregate@{study}").read_text(encoding="utf-8")


def _present(path: Path, stage: str) -> Path:
    if not path.is_file():
        raise UserError(f"{path}: is missing; `dvc repro {stage}` writes it")
    return path


if __name__ == "__main__":
    run(main)
