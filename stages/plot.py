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

from stages.core.base.errors import UserError, run, together
from stages.core.base.files import check_texts, write_atomically
from stages.core.base.locks import in_turn
from stages.core.config.yaml import read_resolved, read_yaml
from stages.core.figures import draw
from stages.core.records import records
from stages.core.results import tables
from stages.core.results.frames import Frames, read_frames

STUDIES, RESULTS = Path("build/studies"), Path("results")


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


def draw_study(name: str) -> dict[Path, bytes]:
    """The files of a study's figures, and what its tables make them."""
    study = _read_study(name)
    frames = read_frames(study, RESULTS / "tables")
    figures = draw.draw(study, frames, _distances(study, frames), _read_summaries(study))
    folder = RESULTS / "figures" / name
    return {folder / f"{figure}.svg": draw.to_svg(drawing, f"{name}-{figure}") for figure, drawing in figures.items()}


def _read_study(name: str) -> dict[str, Any]:
    """The study without what is said of its tables: no figure depends on a sentence."""
    path = STUDIES / f"{name}.yaml"
    if not path.is_file():
        raise UserError(f"{path}: is missing; `dvc repro compose` writes it")
    return read_resolved(path)


def _distances(study: dict[str, Any], frames: Frames) -> pd.DataFrame:
    """Distance of every row to each of the study's logs: columns log, row, distance, limit (of the row's own log)."""
    columns = ["log", "row", "distance", "limit"]
    of_row = zip(frames.table["row"], frames.table["log_limit"], strict=True)
    limits = {(study["rows"][row]["reported_log"], row): limit for row, limit in of_row}
    lines = [
        (name, row, distance, limits.get((name, row)))
        for name, log in study["reported_logs"].items()
        for row, distance in tables.rank_by_distance(log, frames.curves)["distance"].items()
    ]
    return pd.DataFrame(lines, columns=columns).astype({"distance": float, "limit": float})


def _read_summaries(study: dict[str, Any]) -> dict[str, records.Summary]:
    """The curves of every seed, by row; the tables are made of these records, so `aggregate` has checked them."""
    paths = {row: RESULTS / "runs" / study["name"] / f"{row}.json" for row in study["rows"]}
    for row, path in paths.items():
        if not path.is_file():
            raise UserError(f"{path}: is missing; `dvc repro train@{study['name']}/{row}` writes it")
    parsed = {row: records.parse(path.read_bytes(), str(path)) for row, path in paths.items()}
    return {row: records.summarize(record) for row, record in parsed.items()}


if __name__ == "__main__":
    run(in_turn(main))
