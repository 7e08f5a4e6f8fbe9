"""Measured curves over the epochs: picked from the table of curves, and drawn with their spread."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from stages.core.figures.style import Style


class Curve(NamedTuple):
    """One quantity of one row over the epochs; mean and sd over the seeds, NaN where no seed is finite."""

    epoch: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    n: np.ndarray

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.mean).any())


Series = Mapping[tuple[str, str], Curve]


def series_of(curves: pd.DataFrame) -> Series:
    """Every curve of the long table by (row, quantity)."""
    ordered = curves.sort_values("epoch", kind="stable")
    return {
        key: Curve(*(group[name].to_numpy(float) for name in Curve._fields))
        for key, group in ordered.groupby(["row", "quantity"])
    }


def curve_of(series: Series, row: str, quantity: str) -> Curve:
    return series.get((row, quantity), Curve(*[np.array([])] * 4))


def last_finite(curve: Curve) -> float:
    """The last finite mean, NaN if there is none."""
    finite = curve.mean[np.isfinite(curve.mean)]
    return finite[-1] if finite.size else math.nan


def draw_band(axes: Axes, curve: Curve, style: Style, label: str, **how: Any) -> None:
    """A curve with ± 1 standard deviation about it; a dot where there is one epoch only."""
    how = {"linewidth": 1.5, "linestyle": style.line, **how}
    marker = style.marker if curve.epoch.size == 1 else None
    axes.plot(curve.epoch, curve.mean, color=style.colour, label=label, marker=marker, markersize=4, **how)
    if np.isfinite(curve.sd).any():
        low, high = curve.mean - curve.sd, curve.mean + curve.sd
        axes.fill_between(curve.epoch, low, high, color=style.colour, alpha=0.18, linewidth=0, zorder=1.5)


def epoch_axis(axes: Axes, curves: Iterable[Curve]) -> None:
    last = max((curve.epoch[-1] for curve in curves if curve.epoch.size), default=1)
    room = 0.03 * last if last > 1 else 0.5
    axes.set_xlim(1 - room, last + room)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axes.set_xlabel("Epoch")
