"""The forest plot: what each row changes, and what one further run would give, beside the document's own figures."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from stages.core.figures.marks import draw_reported, handle, kind_handles, legend_height, note, row_axis
from stages.core.figures.page import LINE, MARGIN, WIDTH, inches, most_lines, plain_number, start_page, wrap
from stages.core.figures.style import ALARM, DIVERGED, INK, MUTED, REPORTED, house_style, style_of
from stages.core.figures.text import kind_of, label_of, metric_label, metric_of, seeds_text

BELOW = 0.24  # reported figures stand a little below the measured ones, in rows


@house_style()
def differences(study: Mapping[str, Any], table: pd.DataFrame) -> Figure:
    """Forest plot: paired differences from the baseline, and measured means, both beside the document's own figures."""
    labels = [wrap(label, 46, lines=3) for label in table["label"]]
    height = max(LINE * most_lines(labels) + 0.12, 0.3)
    body = height * len(table)
    kinds, marks = kind_handles(study, table["row"]), _forest_handles(table)
    page = start_page(
        study,
        f"Each row against the baseline “{label_of(study, study['baseline'])}”, paired by seed ({seeds_text(study)})",
        0.3 + body + 0.62 + max(legend_height(kinds, 2), legend_height(marks, 2)),
    )
    left = MARGIN + max(inches(line, 8.5) for label in labels for line in label.split("\n")) + 0.15
    wide = (WIDTH - MARGIN - left - 2.05) / 2
    difference = page.axes(left, 0.3, wide, body)
    level = page.axes(WIDTH - MARGIN - wide, 0.3, wide, body)
    row_axis(difference, labels)
    row_axis(level, labels, named=False)
    _draw_differences(difference, study, table)
    _draw_levels(level, study, table)
    page.text(left + wide + 0.1, 0.22, "difference [95 % interval]", size=8, color=MUTED)
    for position, row in enumerate(table.to_dict("records")):
        text = _difference_text(study, row)
        colour = ALARM if DIVERGED in text else INK
        page.text(left + wide + 0.1, 0.3 + height * (position + 0.5), text, size=8, color=colour, va="center")
    page.legend(kinds, MARGIN, 0.3 + body + 0.62, 2)
    page.legend(marks, 4.1, 0.3 + body + 0.62, 2)
    return page.figure


def _draw_differences(axes: Axes, study: Mapping[str, Any], table: pd.DataFrame) -> None:
    axes.axvline(0, color=MUTED, linewidth=1, zorder=1)
    for position, row in enumerate(table.to_dict("records")):
        style = style_of(kind_of(study, row["row"]))
        value = 0.0 if row["row"] == study["baseline"] and math.isfinite(row["mean"]) else row["difference"]
        if not math.isfinite(value):
            note(axes, position, "no finite pair" if math.isfinite(row["mean"]) else DIVERGED)
            continue
        axes.hlines(position, row["difference_low"], row["difference_high"], color=style.colour, linewidth=2)
        face = style.colour if row["p_holm"] < 0.05 else "white"
        axes.plot(value, position, style.marker, color=style.colour, mfc=face, markersize=6, label=row["row"])
    reported = reported_differences(study, table)
    draw_reported(axes, reported, np.arange(len(table)) + BELOW)
    _difference_scale(axes, table, reported)
    better = "better →" if study["higher_is_better"] else "← better"
    metric = {"accuracy": "share of samples", "mae": "units of the target"}[metric_of(study)]
    axes.set_title(f"Difference ({better})", pad=6)
    axes.set_xlabel(f"{metric_label(study).split(' (')[0]}, difference ({metric}){axes.get_xlabel()}")


def reported_differences(study: Mapping[str, Any], table: pd.DataFrame) -> np.ndarray:
    """The document's own differences, reported(row) − reported(baseline), in the table's order; NaN where one lacks."""
    reported = table["reported"].to_numpy(float)
    baseline = reported[(table["row"] == study["baseline"]).to_numpy()]
    return reported - (baseline[0] if baseline.size else math.nan)


def _difference_scale(axes: Axes, table: pd.DataFrame, reported: np.ndarray) -> None:
    """A scale on which both a collapse and a difference as small as the noise can be read.

    Where the largest difference is more than twenty times the usual interval, the axis is linear about 0, to the next
    power of ten above that interval, and logarithmic beyond.
    """
    columns = table[["difference", "difference_low", "difference_high"]].to_numpy(float)
    values = np.concatenate([columns.ravel(), reported, np.array([0.0])])
    values = values[np.isfinite(values)]
    halves = (columns[:, 2] - columns[:, 1]) / 2
    halves = halves[np.isfinite(halves) & (halves > 0)]
    largest = np.abs(values).max()
    room = 0.06 * (np.ptp(values) or 1e-3)
    if not halves.size or largest < 20 * np.median(halves):
        axes.set_xlim(values.min() - room, values.max() + room)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(FuncFormatter(_signed))
        return
    linear = 10.0 ** math.ceil(math.log10(max(np.median(halves), 1e-4 * largest)))
    axes.set_xscale("symlog", linthresh=linear, linscale=1.5)
    axes.set_xlim(min(1.6 * values.min(), -linear), max(1.6 * values.max(), linear))
    decades = [linear * 10.0**power for power in range(math.ceil(math.log10(largest / linear)) + 1)]
    axes.xaxis.set_major_locator(FixedLocator([-tick for tick in decades] + [0, *decades]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(_signed))
    axes.set_xlabel(f"\nlog scale beyond ±{linear:g}")


def _draw_levels(axes: Axes, study: Mapping[str, Any], table: pd.DataFrame) -> None:
    for position, row in enumerate(table.to_dict("records")):
        style = style_of(kind_of(study, row["row"]))
        if not math.isfinite(row["mean"]):
            note(axes, position, DIVERGED)
            continue
        axes.hlines(position, row["prediction_low"], row["prediction_high"], color=style.colour, linewidth=6, alpha=0.3)
        axes.plot(row["mean"], position, style.marker, color=style.colour, markersize=5.5, label=row["row"])
    outside = table["reproduced"].isin(["no"]).to_numpy()
    reported = table["reported"].to_numpy(float)
    draw_reported(axes, reported[~outside], np.flatnonzero(~outside) + BELOW)
    draw_reported(axes, reported[outside], np.flatnonzero(outside) + BELOW, face=INK)
    intervals = table[["prediction_low", "prediction_high"]].to_numpy(float)
    values = np.concatenate([table["mean"].to_numpy(float), reported, intervals.ravel()])
    values = values[np.isfinite(values)]
    if values.size:
        room = 0.05 * (np.ptp(values) or 0.01)
        axes.set_xlim(values.min() - room, values.max() + room)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_title("Measured and reported", pad=6)
    axes.set_xlabel(metric_label(study))


def _difference_text(study: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """The difference with its interval in figures, no more digits than the interval supports."""
    if not math.isfinite(row["mean"]):
        return ""
    diverged = f" {DIVERGED}" if row["diagnosis"] == "diverged" else ""
    if row["row"] == study["baseline"]:
        return f"baseline{diverged}"
    if not math.isfinite(row["difference"]):
        return diverged
    values = row["difference"], row["difference_low"], row["difference_high"]
    half = (values[2] - values[1]) / 2
    digits = min(max(-math.floor(math.log10(half / 2)), 0), 6) if half > 0 else 4
    texts = [f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−") for value in values]
    return texts[0] + (diverged or (f" [{texts[1]}, {texts[2]}]" if math.isfinite(half) else ""))


def _forest_handles(table: pd.DataFrame) -> list[Any]:
    """Entries for the marks of the forest plot that occur."""
    handles: list[Any] = []
    if table["p_holm"].notna().any():
        handles.append(handle("o", MUTED, MUTED, "more than noise (Holm-adjusted p < 0.05)"))
        handles.append(handle("o", MUTED, "white", "not told from noise"))
    if table["difference_low"].notna().any():
        handles.append(Line2D([], [], color=MUTED, linewidth=2, label="95 % interval of the difference"))
    if table["prediction_low"].notna().any():
        handles.append(Patch(color=MUTED, alpha=0.3, linewidth=0, label="95 % prediction interval of one run"))
    if table["reported"].notna().any():
        handles.append(handle("D", INK, "white", REPORTED))
    if table["reproduced"].isin(["no"]).any():
        handles.append(handle("D", INK, INK, "reported, outside the prediction interval"))
    return handles


def _signed(value: float, _: Any = None) -> str:
    return plain_number(value) if value <= 0 else f"+{value:g}"
