"""Learning curves, one small panel a row."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from stages.core.figures.marks import kinds_of, legend_height
from stages.core.figures.page import LINE, MARGIN, WIDTH, inches, most_lines, plain_number, start_page, wrap
from stages.core.figures.series import Curve, Series, curve_of, draw_band, epoch_axis, series_of
from stages.core.figures.style import ALARM, DIVERGED, FAINT, INK, TRAINING, house_style, style_of
from stages.core.figures.text import kind_of, metric_of, monitored_split, spread_text


@house_style()
def learning_curves(study: Mapping[str, Any], table: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """Small multiples, one a row: training and validation metric above, loss below, the baseline in grey behind."""
    metric = metric_of(study)
    series = series_of(curves)
    across = min(4, len(table))
    wide = (WIDTH - 2 * MARGIN - 0.4) / max(across, 2)
    labels = [wrap(label, int(wide / inches("x", 8.5)) - 3, lines=3) for label in table["label"]]
    heads = [LINE * most_lines(labels[start : start + across]) + 0.1 for start in range(0, len(labels), across)]
    cell = 1.2 + 0.1 + 0.85 + 0.45  # below its title: metric, gap, loss, epochs
    lines, kinds = _curve_handles(study), _colour_handles(study, table["row"])
    first = max(legend_height(lines, 3), legend_height(kinds, 4)) + 0.05
    page = start_page(
        study,
        f"Learning curves, {spread_text(study)}; training values are running means over the epoch",
        first + sum(heads) + cell * len(heads) + 0.1,
    )
    page.legend(lines, MARGIN, 0, 3)
    page.legend(kinds, 4.8, 0, 4)
    scales = {quantity: _shared_scale(series, quantity) for quantity in (metric, "loss")}
    for position, row in enumerate(table.to_dict("records")):
        down, right = divmod(position, across)
        left, top = MARGIN + 0.45 + wide * right, first + sum(heads[: down + 1]) + cell * down
        upper = page.axes(left, top, wide - 0.25, 1.2)
        lower = page.axes(left, top + 1.3, wide - 0.25, 0.85)
        upper.set_title(labels[position], fontsize=8.5, fontweight="bold", pad=4)
        _draw_curves(upper, study, series, row["row"], quantity=metric, scale=scales[metric])
        _draw_curves(lower, study, series, row["row"], quantity="loss", scale=scales["loss"])
        upper.tick_params(labelbottom=False, labelleft=right == 0)
        lower.tick_params(labelleft=right == 0, which="both")
        _label_cell(upper, lower, metric, first=right == 0, last=position + across >= len(table))
        _note_divergence(upper, curve_of(series, row["row"], metric), row["n"])
        _note_divergence(lower, curve_of(series, row["row"], "loss"), row["n"])
    return page.figure


class _Scale(NamedTuple):
    limits: tuple[float, float]
    logarithmic: bool


def _shared_scale(series: Series, quantity: str) -> _Scale:
    """One scale for a quantity in all rows: logarithmic for losses and errors that span more than a decade.

    A row on its way to infinity must not flatten the others, so that the scale ends a hundredfold above the median.
    """
    names = (quantity, f"val_{quantity}")
    means = [curve.mean for (_, name), curve in series.items() if name in names]
    values = np.concatenate([np.array([]), *means])
    values = values[np.isfinite(values)]
    if not values.size:
        return _Scale((0, 1), False)
    low, high = values.min(), values.max()
    if quantity == "accuracy":
        room = max(0.03 * (high - low), 0.005)
        return _Scale((max(low - room, -0.02), min(high + room, 1.02)), False)
    high = min(high, max(100 * np.median(values), low))
    if low > 0 and high > 10 * low:
        return _Scale((low / 1.2, high * 1.2), True)
    return _Scale((min(low, 0), high * 1.06 or 1), False)


def _draw_curves(
    axes: Axes, study: Mapping[str, Any], series: Series, row: str, *, quantity: str, scale: _Scale
) -> None:
    """Training (dashed) and validation (solid) curves of one row; the baseline's validation curve in grey behind."""
    baseline = curve_of(series, study["baseline"], f"val_{quantity}")
    axes.plot(baseline.epoch, baseline.mean, color=FAINT, linewidth=3, label="baseline", zorder=1)
    style = style_of(kind_of(study, row))
    draw_band(axes, curve_of(series, row, quantity), style, "training", linestyle=TRAINING, linewidth=1.2, mfc="white")
    draw_band(axes, curve_of(series, row, f"val_{quantity}"), style, monitored_split(study), linestyle="-")
    if scale.logarithmic:
        axes.set_yscale("log")
        _log_ticks(axes, scale.limits)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.set_ylim(scale.limits)
    epoch_axis(axes, [curve for key, curve in series.items() if key[1] == quantity])


def _log_ticks(axes: Axes, limits: tuple[float, float]) -> None:
    """Plain numbers at the decades, and at 2 and 5 between them where there are few decades."""
    low, high = (math.log10(limit) for limit in limits)
    steps = (1,) if high - low > 2.5 else (1, 2, 5)
    ticks = [step * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for step in steps]
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if limits[0] <= tick <= limits[1]]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(plain_number))


def _label_cell(upper: Axes, lower: Axes, metric: str, first: bool, last: bool) -> None:
    """Axis labels at the edges of the grid only."""
    upper.set_xlabel("")
    if not last:
        lower.set_xlabel("")
    if first:
        upper.set_ylabel({"accuracy": "accuracy", "mae": "MAE"}[metric])
        lower.set_ylabel("loss")
        for axes in (upper, lower):
            axes.yaxis.set_label_coords(-0.47 / (axes.get_position().width * WIDTH), 0.5)


def _note_divergence(axes: Axes, curve: Curve, seeds: int) -> None:
    """Say in the panel where a curve has no finite value, or not in every seed."""
    text = _divergence(curve, seeds)
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=ALARM)


def _divergence(curve: Curve, seeds: int) -> str:
    bad = curve.epoch[~np.isfinite(curve.mean)]
    if not curve.finite:
        return DIVERGED
    if bad.size:
        return f"{DIVERGED} at epoch {bad[0]:g}"
    lost = seeds - curve.n.min()
    return f"{DIVERGED} in {lost:g} of {seeds} seeds" if lost > 0 else ""


def _curve_handles(study: Mapping[str, Any]) -> list[Line2D]:
    return [
        Line2D([], [], color=INK, linewidth=1.2, linestyle=TRAINING, label="training"),
        Line2D([], [], color=INK, linewidth=1.5, label=monitored_split(study)),
        Line2D([], [], color=FAINT, linewidth=3, label=f"baseline, {monitored_split(study)}"),
    ]


def _colour_handles(study: Mapping[str, Any], rows: Iterable[str]) -> list[Patch]:
    return [Patch(color=style_of(kind).colour, label=kind) for kind in kinds_of(study, rows)]
