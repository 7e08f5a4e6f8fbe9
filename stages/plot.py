"""Stage plot: build/studies/<study>.yaml and results/tables/<study>*.csv -> results/figures/<study>/*.svg.

    python -m stages.plot <study>

The folder is this stage's own: what it did not draw this time is removed.
"""

import sys
from pathlib import Path

from omegaconf import OmegaConf

from stages.core import figures, tables
from stages.core.errors import UserError, run
from stages.core.files import write_atomically

STUDIES, TABLES, FIGURES = Path("build/studies"), Path("results/tables"), Path("results/figures")


def main() -> None:
    if len(sys.argv) != 2:
        raise UserError("usage: python -m stages.plot <study>")
    name = sys.argv[1]
    study = OmegaConf.to_container(OmegaConf.create(_read(STUDIES / f"{name}.yaml", "compose")))
    table_file, curves_file = TABLES / f"{name}.csv", TABLES / f"{name}_curves.csv"
    table = tables.read_table(_read(table_file, f"aggregate@{name}"), str(table_file))
    curves = tables.read_curves(_read(curves_file, f"aggregate@{name}"), str(curves_file))
    if list(table["row"]) != list(study["rows"]):
        raise UserError(f"{table_file}: does not have the study's rows; `dvc repro aggregate@{name}` writes it anew")
    drawn = {f"{figure}.svg": figures.to_svg(drawing) for figure, drawing in figures.draw(study, table, curves).items()}
    folder = FIGURES / name
    for file, svg in drawn.items():
        write_atomically(folder / file, svg)
        print(folder / file)
    for file in folder.iterdir():
        if file.name not in drawn:
            file.unlink()


def _read(path: Path, stage: str) -> str:
    """The text of a file that another stage writes."""
    if not path.is_file():
        raise UserError(f"{path}: is missing; `dvc repro {stage}` writes it")
    return path.read_text(encoding="utf-8")


if __name__ == "__main__":
    run(main)
