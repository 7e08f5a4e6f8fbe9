"""Figures of the grid and of the response curves: tables in, matplotlib figures out."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from stages.core.figures import style
from stages.core.figures.heatmap import effects
from stages.core.figures.response import response
from stages.core.results import diagnosis
from stages.core.results.grid import NONE, NOT_TRAINED, SAME, TRAINED

HEAT_MAP = "effects"


def draw(
    shown: Mapping[str, Any], grid: pd.DataFrame, responses: pd.DataFrame, tipping: pd.DataFrame
) -> dict[str, Figure]:
    """All figures by the name of their file without its ending; a heat map needs a cell, a curve its points.

    Args:
        shown: build/grid.yaml.
        grid, responses, tipping: the tables.
    """
    cells = grid[(grid["status"] == TRAINED) & (grid["regularization"] != NONE)]
    figures = {HEAT_MAP: _heat_map(shown, grid)} if len(cells) else {}
    for name, points in responses.groupby("curve", sort=False):
        line = tipping.set_index("curve").loc[name]
        figures[name] = _curve(shown["curves"][name], points, line)
    return figures


def _heat_map(shown: Mapping[str, Any], grid: pd.DataFrame) -> Figure:
    others = grid[grid["regularization"] != NONE]
    diverged = others["diagnosis"] == diagnosis.DIVERGED
    frame = pd.DataFrame(
        {
            "net": others["net"].map(lambda name: shown["nets"][name]["label"]),
            "regularization": others["label"].map(style.short),
            "effect": others["skill_difference"].mask(diverged).mask(others["status"] == SAME, 0.0),
            "told": others["told"] != "",
            "trained": others["status"] != NOT_TRAINED,
        }
    )
    return effects(frame, "What each regularization does to each net, on held-out data", limit=0.1)


def _curve(curve: Mapping[str, Any], points: pd.DataFrame, line: pd.Series) -> Figure:
    shown = points[points["strength"] > 0]
    parts = {"training": "train_skill", "held-out": "held_out_skill"}
    frame = pd.concat(
        shown[["strength", "seed"]].assign(samples=samples, skill=shown[column]) for samples, column in parts.items()
    )
    tipping = (line["learns"], line["stops"]) if line["learns"] > 0 else None
    own = None if np.isnan(line["own"]) else float(line["own"])
    title = ", ".join([curve["label"], curve["strength"], *curve["overrides"]])
    return response(frame.reset_index(drop=True), title, own, tipping)
