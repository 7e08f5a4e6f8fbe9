"""Stage overview: the studies' tables -> results/overview.csv, overview.md and metrics.json.

    python -m stages.overview [--check]

It covers the studies that params.yaml selects, in its order. With --check nothing is written: the files are
compared with what the studies' tables give.
"""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from stages.core.base.errors import UserError, run
from stages.core.base.files import check_texts, write_atomically
from stages.core.config.yaml import read_yaml
from stages.core.results import checked_csv, overview
from stages.core.results.table_schemas import OVERVIEW, TABLE

STUDIES, RESULTS = Path("build/studies"), Path("results")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the files instead of writing them")
    arguments = parser.parse_args()
    names = list(read_yaml(Path("params.yaml"))["studies"])
    studies = {name: read_yaml(_present(STUDIES / f"{name}.yaml", "compose")) for name in names}
    by_study = {name: _read(study) for name, study in studies.items()}
    if arguments.check:
        check_texts(texts(studies, by_study), "the tables", "dvc repro --single-item --force overview")
        return
    for path, text in texts(studies, by_study).items():
        write_atomically(path, text)
    print(RESULTS / "overview.md")


def texts(studies: dict[str, Any], by_study: dict[str, pd.DataFrame]) -> dict[Path, str]:
    """The files of the overview, and what the studies' tables make them."""
    path = RESULTS / "overview.csv"
    text = checked_csv.to_csv(overview.overview_table(studies, by_study), OVERVIEW, str(path))
    table = checked_csv.read(text, OVERVIEW, str(path))
    return {
        path: text,
        RESULTS / "overview.md": overview.to_markdown(studies, table),
        RESULTS / "metrics.json": overview.to_metrics(by_study),
    }


def _read(study: dict[str, Any]) -> pd.DataFrame:
    """The study's table, all of its rows in their order."""
    name = study["name"]
    path = _present(RESULTS / "tables" / f"{name}.csv", f"aggregate@{name}")
    frame = checked_csv.read(path.read_text(encoding="utf-8"), TABLE, str(path))
    if list(frame["row"].unique()) != list(study["rows"]):
        raise UserError(f"{path}: does not have the study's rows; `dvc repro aggregate@{name}` writes it anew")
    return frame


def _present(path: Path, stage: str) -> Path:
    if not path.is_file():
        raise UserError(f"{path}: is missing; `dvc repro {stage}` writes it")
    return path


if __name__ == "__main__":
    run(main)
