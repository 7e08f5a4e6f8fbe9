"""Stage report: build/studies/, results/ -> results/report.html, one page that needs no other file and no network.

It shows the studies that params.yaml selects, in its order; one without results is shown without them.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from stages.core.base.errors import UserError, run, without_arguments
from stages.core.base.files import write_atomically
from stages.core.config.yaml import read_yaml
from stages.core.records import records
from stages.core.report import page as report
from stages.core.results import across, checked_csv
from stages.core.results.frames import read_frames, read_study
from stages.core.results.table_schemas import OVERVIEW

BUILD, RESULTS, TEMPLATES = Path("build"), Path("results"), Path(__file__).parent / "templates"
REPORT = RESULTS / "report.html"


def main() -> None:
    results = [read(name) for name in read_yaml(Path("params.yaml"))["studies"]]
    overview = read_overview({of_study.study["name"] for of_study in results})
    templates = {path.name: path.read_text(encoding="utf-8") for path in sorted(TEMPLATES.iterdir())}
    found = across.read(BUILD, RESULTS / "tables")
    write_atomically(REPORT, report.to_html(results, overview, templates, found, read_figures("grid")))
    print(REPORT)


def read(name: str) -> report.Results:
    """All that the pipeline has of a study."""
    study = read_study(name, BUILD)
    has_tables = (RESULTS / "tables" / f"{name}.csv").is_file()
    return report.Results(
        study=study,
        frames=read_frames(study, RESULTS / "tables") if has_tables else None,
        records=read_records(study),
        sheet=read_sheet(study["dataset"]),
        figures=read_figures(name),
    )


def read_overview(names: set[str]) -> pd.DataFrame | None:
    """The overview of the studies, if it is there."""
    path = RESULTS / "overview.csv"
    if not path.is_file():
        return None
    overview = checked_csv.read(path.read_text(encoding="utf-8"), OVERVIEW, str(path))
    if not set(overview["study"]) <= names:
        raise UserError(f"{path}: has other studies than params.yaml; `dvc repro overview` writes it anew")
    return overview


def read_records(study: dict[str, Any]) -> dict[str, records.Record]:
    """By row, those that are there."""
    paths = {row: RESULTS / "runs" / study["name"] / f"{row}.json" for row in study["rows"]}
    return {row: records.parse(path.read_bytes(), str(path)) for row, path in paths.items() if path.is_file()}


def read_sheet(dataset: str) -> dict[str, Any] | None:
    path = RESULTS / "datasets" / f"{dataset}.json"
    return records.load_json(path.read_bytes(), str(path)) if path.is_file() else None


def read_figures(name: str) -> dict[str, bytes]:
    """The SVG files of a folder by their names."""
    return {path.stem: path.read_bytes() for path in sorted((RESULTS / "figures" / name).glob("*.svg"))}


if __name__ == "__main__":
    run(without_arguments(main))
