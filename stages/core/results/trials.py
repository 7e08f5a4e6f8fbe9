"""Rows that somebody tries, in a terminal: a line of the study's table, the diagnosis, and the learning curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from stages.core.base.text import p_text
from stages.core.results import tables

BARS = "▁▂▃▄▅▆▇█"
NOT_FINITE = "×"
WIDTH = 60  # characters of a curve


def to_text(study: Mapping[str, Any], table: pd.DataFrame, curves: pd.DataFrame) -> str:
    """What became of the rows, one block a row.

    Args:
        study: as of build/studies/<study>.yaml, with these rows.
        table: what `tables.comparison_table` gives of them.
        curves: what `tables.curves_table` gives.
    """
    split, metric = study["metric"].split(".")
    baseline = study["rows"][study["baseline"]]["label"]
    headings = ("row", f"{split} {metric}, mean ± sd (n)", f"difference from “{baseline}” [95 %]", "p (Holm)", "diagnosis")
    lines = [
        (line.label, tables.mean_cell(line), tables.difference_cell(line), p_text(line.p_holm) or tables.DASH, line.diagnosis)
        for line in table.itertuples()
    ]
    widths = [max(map(len, column)) for column in zip(headings, *lines, strict=True)]
    table_lines = ["  ".join(map(str.ljust, cells, widths)).rstrip() for cells in (headings, *lines)]
    blocks = [
        "\n".join([f"{line.label}: {line.evidence}", *_curves(curves[curves["row"] == line.row], metric)])
        for line in table.itertuples()
    ]
    return "\n\n".join(["\n".join(table_lines), *blocks])


def sparkline(values: np.ndarray, low: float, high: float) -> str:
    """Values as bars between `low` and `high`, WIDTH of them at most; one that is not finite is a cross."""
    if len(values) > WIDTH:
        values = values[np.linspace(0, len(values) - 1, WIDTH).round().astype(int)]
    span = high - low
    heights = np.nan_to_num((values - low) / span if span > 0 else np.ones_like(values)) * (len(BARS) - 1)
    bars = (BARS[int(height)] for height in np.clip(heights.round(), 0, len(BARS) - 1))
    return "".join(bar if np.isfinite(value) else NOT_FINITE for bar, value in zip(bars, values, strict=True))


def _curves(curves: pd.DataFrame, metric: str) -> list[str]:
    """The mean curves of the metric, on training and on monitored samples, drawn on one scale."""
    drawn = {}
    for quantity in (metric, f"val_{metric}"):
        of_quantity = curves[curves["quantity"] == quantity].sort_values("epoch")
        if len(of_quantity):
            drawn[quantity] = of_quantity["mean"].to_numpy(float)
    if not drawn:
        return []
    finite = np.concatenate(list(drawn.values()))
    finite = finite[np.isfinite(finite)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    width = max(map(len, drawn))
    return [
        f"  {quantity:<{width}}  {sparkline(values, low, high)}  {values[0]:.3g} to {values[-1]:.3g}"
        for quantity, values in drawn.items()
    ]
