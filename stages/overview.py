"""Stage overview: the studies' tables -> results/overview.csv, overview.md, records.csv and metrics.json.

    python -m stages.overview [--check]

It covers the studies that params.yaml selects, in its order. With --check nothing is written: the files are
compared with what the studies' tables give.
"""

import argparse
from pathlib import Path
from typing import Any

from stages.core.base.errors import run
from stages.core.base.files import check_texts, write_atomically
from stages.core.config.yaml import read_yaml
from stages.core.results import answers, checked_csv, overview
from stages.core.results.frames import Frames, read_frames, read_study
from stages.core.results.table_schemas import OVERVIEW, SEEDS

BUILD, RESULTS = Path("build"), Path("results")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the files instead of writing them")
    arguments = parser.parse_args()
    studies = {name: read_study(name, BUILD) for name in read_yaml(Path("params.yaml"))["studies"]}
    frames = {name: read_frames(study, RESULTS / "tables") for name, study in studies.items()}
    if arguments.check:
        check_texts(texts(studies, frames), "the tables", "dvc repro --single-item --force overview")
        return
    for path, text in texts(studies, frames).items():
        write_atomically(path, text)
    print(RESULTS / "overview.md")


def texts(studies: dict[str, Any], frames: dict[str, Frames]) -> dict[Path, str]:
    """The files of the overview, and what the studies' tables make them."""
    path, records = RESULTS / "overview.csv", RESULTS / "records.csv"
    seeds = overview.records(of_study.seeds for of_study in frames.values())
    tables = {name: of_study.table for name, of_study in frames.items()}
    text = checked_csv.to_csv(overview.overview_table(studies, tables), OVERVIEW, str(path))
    table = checked_csv.read(text, OVERVIEW, str(path))
    verdicts = {name: answers.answer(study, frames[name]).verdict for name, study in studies.items()}
    return {
        path: text,
        RESULTS / "overview.md": overview.to_markdown(studies, table, tables, verdicts),
        records: checked_csv.to_csv(seeds, SEEDS, str(records)),
        RESULTS / "metrics.json": overview.to_metrics(tables),
    }


if __name__ == "__main__":
    run(main)
