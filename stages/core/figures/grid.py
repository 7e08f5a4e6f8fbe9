"""Figures of the grid and of the response curves: tables in, matplotlib figures out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from stages.core.figures import response, style
from stages.core.figures.heatmap import effects
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
    known = [name for name in shown["curves"] if name in set(responses["curve"])]
    for name, of_figure in _grouped(shown["curves"], known).items():
        figures[name] = _curves({curve: shown["curves"][curve] for curve in of_figure}, responses, tipping)
    return figures


def _grouped(curves: Mapping[str, Any], names: Sequence[str]) -> dict[str, list[str]]:
    """The curves of each figure: one of a net as its document has it, one of the net with other settings."""
    groups: dict[str, list[str]] = {}
    for name in names:
        figure = f"{curves[name]['net']}_settings" if curves[name]["overrides"] else curves[name]["net"]
        groups.setdefault(figure, []).append(name)
    return groups


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


def _curves(curves: Mapping[str, Any], responses: pd.DataFrame, tipping: pd.DataFrame) -> Figure:
    titles = {
        name: ", ".join([curve["strength"], *map(_without_group, curve["overrides"])]) for name, curve in curves.items()
    }
    points = responses[responses["curve"].isin(titles) & (responses["strength"] > 0)]
    parts = {"training": "train_skill", "held-out": "held_out_skill"}
    frame = pd.concat(
        points[["curve", "strength", "seed"]].assign(samples=samples, skill=points[column])
        for samples, column in parts.items()
    )
    frame["curve"] = frame["curve"].map(titles)
    lines = {titles[line.curve]: line for line in tipping.itertuples() if line.curve in titles}
    own = {title: float(line.own) for title, line in lines.items() if not np.isnan(line.own)}
    between = {title: (line.learns, line.stops) for title, line in lines.items() if line.learns > 0}
    label = next(iter(curves.values()))["label"]
    return response.responses(frame.reset_index(drop=True), f"{label}: skill by strength", own, between)


def _without_group(override: str) -> str:
    """learning_rate=0.1 of optimizer.learning_rate=0.1: panels are narrow."""
    key, sign, value = override.partition("=")
    return f"{key.rpartition('.')[2]}{sign}{value}"
