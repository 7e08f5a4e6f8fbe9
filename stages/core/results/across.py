"""What the grid and the response curves say across all nets: claims whose templates stand in conf/grid.yaml.

They are decided like those of a study (`answers`), in this vocabulary:

    cell("kin8nm", "l2_1e-4")       a cell, see `Cell`
    cells("l2_1e-4")                the trained cells of a regularization, but for those that are their net's none
    curve("mnist_collapse_l2")      a response curve, see `Curve`
    a | listed("difference")        "net (difference), …" of cells or curves, without a name the nets alone
    reduced("l2_1e-2", "l2_1e-3")   of every net that the first one harms: does the second harm it less?
    where_harms("l2_1e-2", "l2_1e-3")   the trained cells of the second one, of the nets that the first one harms; of
                                    those alone that have a third one, where it is named
    all_of, any_of, opposite        of findings, or of lists of them

`needs` names cells as net/regularization, and curves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from stages.core.base.errors import UserError
from stages.core.config.yaml import read_resolved
from stages.core.results import answers, checked_csv, diagnosis, tables
from stages.core.results.estimates import Finding, all_of, any_of, opposite
from stages.core.results.grid import NONE, TRAINED
from stages.core.results.table_schemas import GRID, RESPONSES, TIPPING

TABLES = {"grid": GRID, "responses": RESPONSES, "tipping": TIPPING}
"""Schemas of the tables in results/tables by their names."""

HARMLESS = 0.005
"""A loss of skill below this is none: what `diagnosis` calls over-regularized begins here."""


@dataclass(frozen=True)
class Cell:
    """A net beside a regularization; its findings are those of the table, Holm-adjusted over the net's cells."""

    key: str
    label: str
    _line: Mapping[str, Any]

    @property
    def difference(self) -> str:
        """From the net without regularization, in the metric, with its 95 % interval."""
        return tables.difference_cell(pd.Series(self._line))

    @property
    def in_skill(self) -> str:
        """The same as a share of the way from guessing to perfection, in which nets of different metrics compare."""
        names = {"skill_difference": "difference", "skill_low": "difference_low", "skill_high": "difference_high"}
        return tables.difference_cell(pd.Series({name: self._line[skill] for skill, name in names.items()}))

    @property
    def skill(self) -> tuple[float, float]:
        """The ends of the interval of the difference in skill; NaN where the seeds have no spread."""
        return self._line["skill_low"], self._line["skill_high"]

    @property
    def diagnosis(self) -> str:
        return self._line["diagnosis"]

    @property
    def worse(self) -> Finding:
        """Worse than the net without regularization by more than noise? No: better by more than noise."""
        return {"worse": True, "better": False}.get(self._line["told"])

    @property
    def stops(self) -> bool:
        """Does the net not learn with it?"""
        return self.diagnosis in diagnosis.FAILURES

    @property
    def harmless(self) -> Finding:
        """Does it take less than HARMLESS of the skill (the whole interval does), or more?"""
        low, high = self.skill
        return False if self.stops or high < -HARMLESS else True if low > -HARMLESS else None


@dataclass(frozen=True)
class Curve:
    """A response curve: where its net learns and where it stops."""

    key: str
    label: str
    _line: Mapping[str, Any]

    @property
    def tipping(self) -> str:
        """Between which strengths the net stops learning, with its verb."""
        learns, stops, strongest = self._line["learns"], self._line["stops"], self._line["strongest"]
        if math.isnan(stops) and math.isnan(learns):
            return "learns nowhere surely"
        if math.isnan(stops):
            beyond = f"beyond not with every seed (tried to {strongest:g})" if learns < strongest else "the largest tried"
            return f"learns up to {learns:g}, {beyond}"
        return f"stops between {learns:g} and {stops:g}" if not math.isnan(learns) else f"stops from {stops:g} on"

    @property
    def best(self) -> str:
        """The best strength and those that cannot be told from it."""
        line = self._line
        return f"{line['best']:g}, not told from {line['best_low']:g} to {line['best_high']:g}"

    def tips_below(self, other: Curve) -> Finding:
        """Does the net stop at a smaller strength than on another curve, by their points?"""
        ours, theirs = self._line, other._line
        if ours["stops"] <= theirs["learns"]:
            return True
        return False if ours["learns"] >= theirs["stops"] else None


@dataclass(frozen=True)
class Across:
    """What the pipeline has of the grid and the curves: build/grid.yaml, the templates of the claims, the tables."""

    grid: Mapping[str, Any]
    templates: Iterable[Mapping[str, Any]]
    tables: Mapping[str, pd.DataFrame]

    @property
    def claims(self) -> list[answers.Claim]:
        """Decided; errors as of `claims`."""
        return claims(self.templates, self.grid, self.tables["grid"], self.tables["tipping"])


def read(build: Path, folder: Path) -> Across | None:
    """What compose wrote below `build`, and the tables in `folder`; None where the grid has no net and there is no curve.

    Raises:
        UserError: a file is missing, or is no such table.
    """
    grid, templates = read_resolved(build / "grid.yaml"), read_resolved(build / "answers" / "grid.yaml")
    if not grid["nets"] and not grid["curves"]:
        return None
    paths = {name: folder / f"{name}.csv" for name in TABLES}
    for path in paths.values():
        if not path.is_file():
            raise UserError(f"{path}: is missing; `dvc repro grid` writes it")
    found = {name: checked_csv.read(path.read_text("utf-8"), TABLES[name], str(path)) for name, path in paths.items()}
    return Across(grid, templates["claims"], found)


def claims(
    templates: Iterable[Mapping[str, Any]], grid: Mapping[str, Any], table: pd.DataFrame, tipping: pd.DataFrame
) -> list[answers.Claim]:
    """The claims, decided.

    Args:
        templates: as conf/grid.yaml has them.
        grid: build/grid.yaml.
        table, tipping: results/tables/grid.csv and tipping.csv.

    Raises:
        UserError: a template is wrong; it names the place.
    """
    words = _vocabulary(grid, table, tipping)
    return [answers.claim(claim, words, f"conf/grid.yaml: claims.{number}") for number, claim in enumerate(templates)]


def to_markdown(found: Iterable[answers.Claim]) -> str:
    """The claims as a section of results/answers.md."""
    return "\n\n".join(
        [
            "## Across all nets",
            "**Measured** ([the grid](tables/grid.md), [where each regularizer tips over](tables/tipping.md)). The documents' "
            "nets beside the regularizations, as far as trained, each compared with the same net without. A cell is told from noise "
            "by Holm's adjustment over its net; a claim that something is small is decided by the whole 95 % interval.",
            "**Does it hold?**",
            "\n".join(answers.claim_line(claim, "these seeds") for claim in found),
        ]
    ) + "\n"


def _vocabulary(grid: Mapping[str, Any], table: pd.DataFrame, tipping: pd.DataFrame) -> dict[str, Any]:
    trained = table[table["status"] == TRAINED].to_dict("records")
    by_cell = {
        (line["net"], line["regularization"]): Cell(
            f"{line['net']}/{line['regularization']}", grid["nets"][line["net"]]["label"], line
        )
        for line in trained
    }
    curves = {
        line["curve"]: Curve(line["curve"], line["curve"].replace("_", " "), line)
        for line in tipping[tipping["n"] > 0].to_dict("records")
    }

    def cells(regularization: str) -> list[Cell]:
        return [cell for (_, name), cell in by_cell.items() if name == regularization]

    def where_harms(strong: str, name: str, also: str = NONE) -> list[Cell]:
        harmed = [net for net, regularization in by_cell if regularization == strong and by_cell[net, strong].worse]
        return [by_cell[net, name] for net in harmed if (net, name) in by_cell and (net, also) in by_cell]

    def reduced(strong: str, weak: str) -> list[Finding]:
        harming = {cell.label: cell for cell in where_harms(strong, strong)}
        return [_less_harm(cell, harming[cell.label]) for cell in where_harms(strong, weak)]

    return {
        "rows": [*by_cell.values(), *curves.values()],
        "cell": lambda net, regularization: by_cell[net, regularization],
        "cells": cells,
        "curve": lambda name: curves[name],
        "reduced": reduced,
        "where_harms": where_harms,
        "all_of": all_of,
        "any_of": any_of,
        "opposite": opposite,
    }


def _less_harm(cell: Cell, other: Cell) -> Finding:
    """Is the difference in skill of a cell above that of another one, their intervals being apart?"""
    (low, high), (others_low, others_high) = cell.skill, other.skill
    return True if low > others_high else False if high < others_low else None
