"""Stage plot: build/studies/<study>.yaml, results/tables/<study>*.csv, results/runs/<study> -> results/figures/<study>.

    python -m stages.plot <study>
    python -m stages.plot [<study>] --check

The folder is this stage's own: what it did not draw this time is removed. With --check nothing is written: the figures
(of all studies, if none is named) are compared with what the tables and the records give.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa
from omegaconf import OmegaConf

from stages.core.base.errors import UserError, run, together
from stages.core.base.files import check_texts, write_atomically
from stages.core.base.locks import in_turn
from stages.core.config.yaml import read_yaml
from stages.core.figures import draw
from stages.core.records import records
from stages.core.results import checked_csv, tables
from stages.core.results.table_schemas import CURVES, SEEDS, TABLE, WEIGHTS

STUDIES, RESULTS = Path("build/studies"), Path("results")
SCHEMAS = {"": TABLE, "_curves": CURVES, "_seeds": SEEDS, "_weights": WEIGHTS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", nargs="?", help="a study that params.yaml selects; with --check, by default all")
    parser.add_argument("--check", action="store_true", help="compare with the files instead of writing them")
    arguments = parser.parse_args()
    if arguments.study is None and not arguments.check:
        raise UserError("usage: python -m stages.plot <study>, or --check for all studies")
    named = [arguments.study.rpartition("@")[2]] if arguments.study else []  # DVC gives the stage's name
    if arguments.check:
        together(partial(check, study) for study in named or read_yaml(Path("params.yaml"))["studies"])
        return
    drawn = draw_study(*named)
    for path, svg in drawn.items():
        write_atomically(path, svg)
        print(path)
    for path in (RESULTS / "figures" / named[0]).iterdir():
        if path not in drawn:
            path.unlink()


def check(name: str) -> None:
    """Refuse figures of a study that its tables and records do not give."""
    check_texts(draw_study(name), "the tables and records", f"dvc repro --single-item --force plot@{name}")


def draw_study(name: str) -> dict[Path, str]:
    """The files of a study's figures, and what its tables make them."""
    study = OmegaConf.to_container(OmegaConf.create(_read(STUDIES / f"{name}.yaml", "compose")))
    table, curves, seeds, weights = (_read_table(study, ending, schema) for ending, schema in SCHEMAS.items())  # type: ignore[arg-type]
    figures = draw.draw(study, table, seeds, weights, _distances(study, curves), _read_summaries(study))  # type: ignore[arg-type]
    return {
        RESULTS / "figures" / name / f"{figure}.svg": draw.to_svg(drawing, f"{name}-{figure}")  # type: ignore[misc]
        for figure, drawing in figures.items()
    }


def _read_table(study: dict[str, Any], ending: str, schema: pa.DataFrameSchema) -> pd.DataFrame:
    """A table of the study, all of its rows in their order."""
    name = study["name"]
    path = RESULTS / "tables" / f"{name}{ending}.csv"
    frame = checked_csv.read(_read(path, f"aggregate@{name}"), schema, str(path))
    if list(frame["row"].unique()) != list(study["rows"]):
        raise UserError(f"{path}: does not have the study's rows; `dvc repro aggregate@{name}` writes it anew")
    return frame


def _distances(study: dict[str, Any], curves: pd.DataFrame) -> pd.DataFrame:
    """Distance of every row to each of the study's logs: columns log, row, distance, limit."""
    columns = ["log", "row", "distance", "limit"]
    found = [
        tables.rank_by_distance(log, curves).rename_axis("row").reset_index().assign(log=name)
        for name, log in study["reported_logs"].items()
    ]
    return pd.concat([pd.DataFrame(columns=columns), *found]).reindex(columns=columns)


def _read_summaries(study: dict[str, Any]) -> dict[str, records.Summary]:
    """The curves of every seed, by row; the tables are made of these records, so `aggregate` has checked them."""
    paths = {row: RESULTS / "runs" / study["name"] / f"{row}.json" for row in study["rows"]}
    parsed = {row: records.parse(_read(path, f"train@{study['name']}/{row}"), str(path)) for row, path in paths.items()}
    return {row: records.summarize(record) for row, record in parsed.items()}


def _read(path: Path, stage: str) -> str:
    """The text of a file that another stage writes."""
    if not path.is_file():
        raise UserError(f"{path}: is missing; `dvc repro {stage}` writes it")
    return path.read_text(encoding="utf-8")


if __name__ == "__main__":
    run(in_turn(main))
