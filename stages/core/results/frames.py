"""A study and its tables as frames, read back from build/ and results/tables/."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from stages.core.base.errors import UserError
from stages.core.config.yaml import read_resolved
from stages.core.results import checked_csv
from stages.core.results.table_schemas import CURVES, SEEDS, TABLE, WEIGHTS

FILES = {
    "table": ("", TABLE),
    "curves": ("_curves", CURVES),
    "seeds": ("_seeds", SEEDS),
    "weights": ("_weights", WEIGHTS),
}
"""Ending and schema of each file."""


@dataclass(frozen=True)
class Frames:
    """The tables of a study, as results/tables/<study>*.csv hold them."""

    table: pd.DataFrame
    curves: pd.DataFrame
    seeds: pd.DataFrame
    weights: pd.DataFrame


def read_study(name: str, build: Path) -> dict[str, Any]:
    """What compose wrote of a study below `build`, with what is said of its tables.

    Raises:
        UserError: it has not written it.
    """
    study: dict[str, Any] = {}
    for path in (build / "studies" / f"{name}.yaml", build / "answers" / f"{name}.yaml"):
        if not path.is_file():
            raise UserError(f"{path}: is missing; `dvc repro compose` writes it")
        study |= read_resolved(path)
    return study


def read_frames(study: Mapping[str, Any], folder: Path) -> Frames:
    """All tables of a study in `folder`.

    Raises:
        UserError: a file is missing, is no such table, or does not have the study's rows in their order.
    """
    name = study["name"]
    frames = {}
    for part, (ending, schema) in FILES.items():
        path = folder / f"{name}{ending}.csv"
        if not path.is_file():
            raise UserError(f"{path}: is missing; `dvc repro aggregate@{name}` writes it")
        frames[part] = checked_csv.read(path.read_text(encoding="utf-8"), schema, str(path))
        if list(frames[part]["row"].unique()) != list(study["rows"]):
            raise UserError(f"{path}: does not have the study's rows; `dvc repro aggregate@{name}` writes it anew")
    return Frames(**frames)
