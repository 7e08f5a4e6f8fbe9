"""Stage overview: the studies' tables -> results/overview.csv, overview.md, metrics.json and figures/overview/.

    python -m stages.overview [--check]

It covers the studies that params.yaml selects, in its order. With --check nothing is written: the files but the
figures are compared with what the studies' tables give.
"""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa

from stages.core.base.errors import UserError, run
from stages.core.base.files import check_text, write_atomically
from stages.core.config.schema import read_yaml
from stages.core.figures.ranks import critical_differences
from stages.core.figures.style import to_svg
from stages.core.results import checked_csv, overview, ranks
from stages.core.results.table_schemas import OVERVIEW, SEEDS, TABLE

STUDIES, RESULTS = Path("build/studies"), Path("results")
FIGURES = RESULTS / "figures/overview"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the files instead of writing them")
    arguments = parser.parse_args()
    names = list(read_yaml(Path("params.yaml"))["studies"])
    studies = {name: read_yaml(_present(STUDIES / f"{name}.yaml", "compose")) for name in names}
    found = ranks.compare(
        list(studies.values()), {name: _read(study, "_seeds", SEEDS) for name, study in studies.items()}
    )
    comparisons = {f"critical_difference_{comparison.studies[0]}": comparison for comparison in found}
    by_study = {name: _read(study, "", TABLE) for name, study in studies.items()}
    for path, text in texts(studies, by_study, comparisons).items():
        if arguments.check:
            check_text(path, text, "the tables", "python -m stages.overview")
        else:
            write_atomically(path, text)
    if not arguments.check:
        draw(studies, comparisons)
    print(RESULTS / "overview.md")


def texts(
    studies: dict[str, Any], by_study: dict[str, pd.DataFrame], comparisons: dict[str, ranks.Comparison]
) -> dict[Path, str]:
    """The files of the overview but its figures, and what the studies' tables make them."""
    path = RESULTS / "overview.csv"
    text = checked_csv.to_csv(overview.overview_table(studies, by_study), OVERVIEW, str(path))
    table = checked_csv.read(text, OVERVIEW, str(path))
    return {
        path: text,
        RESULTS / "overview.md": overview.to_markdown(studies, table, comparisons),
        RESULTS / "metrics.json": overview.to_metrics(by_study),
        FIGURES / "critical_difference.md": overview.ranks_to_markdown(comparisons),
    }


def draw(studies: dict[str, Any], comparisons: dict[str, ranks.Comparison]) -> None:
    """Draw the figures, and remove those of comparisons that are gone."""
    for name, comparison in comparisons.items():
        figure = critical_differences([studies[study] for study in comparison.studies], comparison)
        write_atomically(FIGURES / f"{name}.svg", to_svg(figure))
    for path in FIGURES.glob("*.svg"):
        if path.stem not in comparisons:
            path.unlink()


def _read(study: dict[str, Any], ending: str, schema: pa.DataFrameSchema) -> pd.DataFrame:
    """A table of the study, all of its rows in their order."""
    name = study["name"]
    path = _present(RESULTS / "tables" / f"{name}{ending}.csv", f"aggregate@{name}")
    frame = checked_csv.read(path.read_text(encoding="utf-8"), schema, str(path))
    if list(frame["row"].unique()) != list(study["rows"]):
        raise UserError(f"{path}: does not have the study's rows; `dvc repro aggregate@{name}` writes it anew")
    return frame


def _present(path: Path, stage: str) -> Path:
    if not path.is_file():
        raise UserError(f"{path}: is missing; `dvc repro {stage}` writes it")
    return path


if __name__ == "__main__":
    run(main)
