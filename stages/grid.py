"""Stage grid: build/grid.yaml, results/runs/, results/curves/ -> results/tables/grid.*, responses.csv, tipping.*, and
results/figures/grid/.

    python -m stages.grid [--check]

A row or a curve that is not trained yet is missing in the tables and said to be; one of another configuration is an
error. With --check nothing is written: the files are compared with what the records give.
"""

import argparse
from pathlib import Path
from typing import Any

from stages.core.base.errors import UserError, run
from stages.core.base.files import check_texts, write_atomically
from stages.core.base.locks import in_turn
from stages.core.config.validation import validate
from stages.core.config.yaml import read_resolved
from stages.core.figures.grid import draw
from stages.core.figures.svg import to_svg
from stages.core.records import curves, records
from stages.core.results import checked_csv, grid, responses
from stages.core.results.table_schemas import GRID, RESPONSES, TIPPING

BUILD, RESULTS = Path("build"), Path("results")
FIGURES = RESULTS / "figures" / "grid"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the files instead of writing them")
    checks = parser.parse_args().check
    texts = made(read_resolved(BUILD / "grid.yaml"))
    if checks:
        check_texts(texts, "the records", "dvc repro --single-item --force grid")
        return
    FIGURES.mkdir(parents=True, exist_ok=True)  # DVC wants it also where nothing is drawn
    for path, text in texts.items():
        write_atomically(path, text)
    for path in set(FIGURES.glob("*.svg")) - set(texts):
        path.unlink()
    print(RESULTS / "tables" / "grid.md")


def made(shown: dict[str, Any]) -> dict[Path, str | bytes]:
    """The files and what the records make them."""
    points = {name: found for name in shown["curves"] if (found := read_curve(name)) is not None}
    table = grid.grid_table(shown, read_rows(shown))
    of_points = responses.responses_table(shown["curves"], points)
    frames = {"grid": (table, GRID), "responses": (of_points, RESPONSES)}
    frames["tipping"] = (responses.tipping_table(shown["curves"], of_points), TIPPING)
    paths = {name: RESULTS / "tables" / f"{name}.csv" for name in frames}
    texts = {
        paths[name]: checked_csv.to_csv(frame, schema, str(paths[name])) for name, (frame, schema) in frames.items()
    }
    # Whatever is said elsewhere is said of the CSV's digits.
    read = {name: checked_csv.read(texts[paths[name]], schema, name) for name, (_, schema) in frames.items()}
    return {
        **texts,
        RESULTS / "tables" / "grid.md": grid.to_markdown(shown, read["grid"]),
        RESULTS / "tables" / "tipping.md": responses.to_markdown(shown["curves"], read["tipping"]),
        **{
            FIGURES / f"{name}.svg": to_svg(figure, f"grid/{name}")
            for name, figure in draw(shown, *read.values()).items()
        },
    }


def read_rows(shown: dict[str, Any]) -> dict[str, records.Summary]:
    """The summaries of the rows of all cells, as far as they are trained."""
    keys = {key for net in shown["nets"].values() for key in net["cells"].values() if key}
    paths = {key: RESULTS / "runs" / f"{key}.json" for key in sorted(keys)}
    return {key: read_row(key, path) for key, path in paths.items() if path.is_file()}


def read_row(key: str, path: Path) -> records.Summary:
    config = read_resolved(BUILD / "rows" / f"{key}.yaml")
    sheet_path = RESULTS / "datasets" / f"{config['dataset']['name']}.json"
    sheet = validate(records.Sheet, records.load_json(sheet_path.read_bytes(), str(sheet_path)), str(sheet_path))
    record = records.parse(path.read_bytes(), str(path))
    records.check(record, config, sheet, str(path))
    return records.summarize(record)


def read_curve(name: str) -> dict[float, records.Summary] | None:
    """The points of a curve by their strengths; None if it is not trained."""
    path = RESULTS / "curves" / f"{name}.json"
    if not path.is_file():
        return None
    wanted = read_resolved(BUILD / "curves" / f"{name}.yaml")
    if len(curves.points(path, wanted)) != len(wanted["points"]):
        raise UserError(f"{path}: is not of the curve as it is configured now; run `dvc repro curve@{name}`")
    return curves.summaries(curves.parse(path.read_bytes(), str(path)), str(path))


if __name__ == "__main__":
    run(in_turn(main))
