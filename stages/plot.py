"""Stage plot: build/studies/<study>.yaml and results/tables/<study>*.csv -> results/figures/<study>/*.svg.

    python -m stages.plot <study>

The folder is this stage's own: what it did not draw this time is removed.
"""

import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa
from omegaconf import OmegaConf

from stages.core.base.errors import UserError, run
from stages.core.base.files import write_atomically
from stages.core.base.locks import in_turn
from stages.core.figures import draw
from stages.core.results import checked_csv
from stages.core.results.table_schemas import CURVES, SEEDS, TABLE, WEIGHTS

STUDIES, TABLES, FIGURES = Path("build/studies"), Path("results/tables"), Path("results/figures")
SCHEMAS = {"": TABLE, "_curves": CURVES, "_seeds": SEEDS, "_weights": WEIGHTS}


def main() -> None:
    if len(sys.argv) != 2:
        raise UserError("usage: python -m stages.plot <study>")
    name = sys.argv[1].rpartition("@")[2]  # DVC gives the stage's name
    study = OmegaConf.to_container(OmegaConf.create(_read(STUDIES / f"{name}.yaml", "compose")))
    frames = [_read_table(study, ending, schema) for ending, schema in SCHEMAS.items()]
    drawn = {f"{figure}.svg": draw.to_svg(drawing) for figure, drawing in draw.draw(study, *frames).items()}
    folder = FIGURES / name
    for file, svg in drawn.items():
        write_atomically(folder / file, svg)
        print(folder / file)
    for file in folder.iterdir():
        if file.name not in drawn:
            file.unlink()


def _read_table(study: dict[str, Any], ending: str, schema: pa.DataFrameSchema) -> pd.DataFrame:
    """A table of the study, all of its rows in their order."""
    name = study["name"]
    path = TABLES / f"{name}{ending}.csv"
    frame = checked_csv.read(_read(path, f"aggregate@{name}"), schema, str(path))
    if list(frame["row"].unique()) != list(study["rows"]):
        raise UserError(f"{path}: does not have the study's rows; `dvc repro aggregate@{name}` writes it anew")
    return frame


def _read(path: Path, stage: str) -> str:
    """The text of a file that another stage writes."""
    if not path.is_file():
        raise UserError(f"{path}: is missing; `dvc repro {stage}` writes it")
    return path.read_text(encoding="utf-8")


if __name__ == "__main__":
    run(in_turn(main))
