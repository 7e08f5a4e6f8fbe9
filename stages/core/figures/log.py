"""The document's training log over the measured curves."""

import math
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from stages.core.figures.marks import draw_reported, handle, kinds_of, legend_height
from stages.core.figures.page import MARGIN, WIDTH, start_page, wrap
from stages.core.figures.series import Curve, Series, curve_of, draw_band, series_of
from stages.core.figures.style import ALARM, DIVERGED, INK, REPORTED, Style, house_style, style_of
from stages.core.figures.text import METRICS, kind_of, monitored_split, spread_text

LOG_COLUMNS = ("loss", "accuracy", "val_loss", "val_accuracy")


@house_style()
def reported_log(study: Mapping[str, Any], table: pd.DataFrame, curves: pd.DataFrame) -> Figure | None:
    """The document's training log over the measured curves, one strip a row; None where the document prints no log."""
    logs = study.get("reported_logs") or {}
    rows = [row for row in table.to_dict("records") if study["rows"][row["row"]].get("reported_log") in logs]
    if not rows:
        return None
    series = series_of(curves)
    log_of = {row["row"]: logs[study["rows"][row["row"]]["reported_log"]] for row in rows}
    legend = [*_line_handles(study, log_of), handle("D", INK, "white", REPORTED)]
    strip, left = 0.85, MARGIN + 2.75
    foot = 0.4 + strip * len(rows) + 0.5
    subtitle = f"The document’s training log over the measured curves, {spread_text(study)}"
    page = start_page(study, subtitle, foot + legend_height(legend, 4))
    wide = (WIDTH - left - MARGIN) / len(LOG_COLUMNS)
    for column, quantity in enumerate(LOG_COLUMNS):
        tops = [0.4 + strip * position for position in range(len(rows))]
        cells = [page.axes(left + wide * column, top, wide - 0.35, strip - 0.14) for top in tops]
        for axes, (row, log) in zip(cells, log_of.items(), strict=True):
            _draw_log(axes, style_of(kind_of(study, row)), curve_of(series, row, quantity), log, quantity)
            axes.set_ylim(_log_limits(series, log_of, quantity))
            axes.tick_params(labelbottom=axes is cells[-1])
        cells[0].set_title(_quantity_label(study, quantity), fontsize=8.5)
        cells[-1].set_xlabel("Epoch")
    closest = _closest(study, rows)
    for position, row in enumerate(rows):
        nearest = row["row"] in closest
        text = wrap(row["label"], 38, lines=2) + "\n" + _distance_text(row, nearest)
        weight = "bold" if nearest else "normal"
        page.text(MARGIN, 0.4 + strip * (position + 0.42), text, size=8.5, weight=weight, va="center")
    page.legend(legend, MARGIN, foot, 4)
    return page.figure


def _quantity_label(study: Mapping[str, Any], quantity: str) -> str:
    """Heading of a column of a training log, in full words with its unit."""
    name = quantity.removeprefix("val_")
    unit = METRICS.get(name, "loss (mean per sample)")
    return f"{monitored_split(study) if quantity.startswith('val_') else 'training'} {unit}".capitalize().replace(
        " (", "\n("
    )


def _draw_log(axes: Axes, style: Style, curve: Curve, log: Mapping[str, Any], quantity: str) -> None:
    """A measured curve and, over it, the log's column, up to the log's last epoch."""
    curve = _until(curve, log["epochs"][-1])
    draw_band(axes, curve, style, "measured")
    draw_reported(axes, log["epochs"], log[quantity], line="-")
    if not curve.finite:
        axes.text(0.5, 0.5, DIVERGED, transform=axes.transAxes, ha="center", va="center", color=ALARM, size=8)
    first, last = log["epochs"][0], log["epochs"][-1]
    axes.set_xlim(first - 0.06 * (last - first or 1), last + 0.06 * (last - first or 1))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(3))


def _until(curve: Curve, epoch: float) -> Curve:
    return Curve(*(values[curve.epoch <= epoch] for values in curve))


def _log_limits(series: Series, logs: Mapping[str, Mapping[str, Any]], quantity: str) -> tuple[float, float]:
    """Limits that show every row's curve as far as its log goes, but no loss on its way to infinity."""
    reported = np.concatenate([np.asarray(log[quantity], float) for log in logs.values()])
    curves = [_until(curve_of(series, row, quantity), log["epochs"][-1]) for row, log in logs.items()]
    measured = np.concatenate([curve.mean for curve in curves])
    values = np.concatenate([reported, measured[np.isfinite(measured)]])
    high = values.max() if quantity.endswith("accuracy") else min(values.max(), 3 * reported.max())
    room = 0.07 * ((high - values.min()) or 1)
    return values.min() - room, high + room


def _closest(study: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Of the rows that are held against the same log, if there are several, the one at the smallest distance to it."""
    logs: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        logs.setdefault(study["rows"][row["row"]]["reported_log"], []).append(row)
    finite = {log: [row for row in held if math.isfinite(row["log_distance"])] for log, held in logs.items()}
    return {min(held, key=itemgetter("log_distance"))["row"] for log, held in finite.items() if held and logs[log][1:]}


def _distance_text(row: Mapping[str, Any], nearest: bool) -> str:
    distance = row["log_distance"]
    text = f"distance to the log {distance:.3g}" if math.isfinite(distance) else "distance to the log: none"
    return f"{text} (closest)" if nearest else text


def _line_handles(study: Mapping[str, Any], rows: Iterable[str]) -> list[Line2D]:
    styles = {kind: style_of(kind) for kind in kinds_of(study, rows)}
    return [Line2D([], [], color=style.colour, linestyle=style.line, label=kind) for kind, style in styles.items()]
