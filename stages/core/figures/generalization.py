"""Training beside held-out samples: what overfits, and what does not even fit."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from stages.core.figures.marks import draw_reported, handle, kind_handles, legend_height, note, row_axis
from stages.core.figures.page import LINE, MARGIN, WIDTH, inches, most_lines, plain_number, start_page, wrap
from stages.core.figures.style import ALARM, DIVERGED, FAINT, INK, MUTED, REPORTED, Style, house_style, style_of
from stages.core.figures.text import METRICS, SPLITS, kind_of, metric_of, spread_text
from stages.core.results import statistics

BELOW = 0.26  # the document's figure stands a little below the measured ones, in rows


@house_style()
def generalization(study: Mapping[str, Any], table: pd.DataFrame, seeds: pd.DataFrame) -> Figure | None:
    """The metric on training and on held-out samples, and the gap between them; None if nothing is held out.

    Held-out samples are the validation samples where there are any, otherwise the test samples, as in the diagnosis.
    """
    split = next((name for name in ("validation", "test") if seeds[name].notna().any()), None)
    if split is None:
        return None
    labels = [wrap(label, 46, lines=3) for label in table["label"]]
    height = max(LINE * most_lines(labels) + 0.12, 0.3)
    body = height * len(table)
    kinds, marks = kind_handles(study, table["row"]), _mark_handles(study, table, split)
    foot = 0.3 + body + 0.45
    page = start_page(
        study,
        f"Training beside {SPLITS[split]} samples, {spread_text(study)}; gaps with 95 % intervals, paired by seed",
        foot + max(legend_height(kinds, 2), legend_height(marks, 2)),
    )
    left = MARGIN + max(inches(line, 8.5) for label in labels for line in label.split("\n")) + 0.15
    words = max(inches(name, 8) for name in table["diagnosis"]) + 0.1
    wide = WIDTH - MARGIN - left - words - 0.4
    level = page.axes(left, 0.3, 0.56 * wide, body)
    gap = page.axes(left + 0.56 * wide + 0.4, 0.3, 0.44 * wide, body)
    row_axis(level, labels)
    row_axis(gap, labels, named=False)
    by_row = dict(list(seeds.groupby("row")))
    _draw_levels(level, study, table, by_row, split)
    _draw_gaps(gap, study, table, by_row, split)
    for position, row in enumerate(table.to_dict("records")):
        colour = ALARM if row["diagnosis"] in {"diverged", "not learning"} else INK
        text = DIVERGED if row["diagnosis"] == "diverged" else row["diagnosis"]
        page.text(
            WIDTH - MARGIN - words + 0.1, 0.3 + height * (position + 0.5), text, size=8, color=colour, va="center"
        )
    page.legend(kinds, MARGIN, foot, 2)
    page.legend(marks, 4.1, foot, 2)
    return page.figure


def _draw_levels(
    axes: Axes, study: Mapping[str, Any], table: pd.DataFrame, seeds: Mapping[str, pd.DataFrame], split: str
) -> None:
    """Training (hollow) and held-out (filled) metric of each row, joined by a line."""
    metric = metric_of(study)
    fit = statistics.describe(seeds[study["baseline"]]["train"]).mean
    axes.axvline(fit, color=FAINT, linewidth=2.5, zorder=1)
    for position, row in enumerate(table["row"]):
        style = style_of(kind_of(study, row))
        ends = [(statistics.describe(seeds[row][name]), name) for name in ("train", split)]
        axes.plot([sample.mean for sample, _ in ends], [position] * 2, color=style.colour, linewidth=1.2, label="pair")
        for sample, name in ends:
            _draw_end(axes, style, position, sample, hollow=name == "train")
        if not any(sample.n for sample, _ in ends):
            note(axes, position, DIVERGED)
    if study["metric"].split(".")[0] in ("train", split):
        draw_reported(axes, table["reported"], np.arange(len(table)) + BELOW)
    axes.margins(x=0.05)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(plain_number))
    axes.set_title(f"Training ○ and {SPLITS[split]} ●", pad=6)
    axes.set_xlabel(METRICS[metric].capitalize())


def _draw_end(axes: Axes, style: Style, position: int, sample: statistics.Sample, hollow: bool) -> None:
    if math.isfinite(sample.sd):
        axes.hlines(position, sample.mean - sample.sd, sample.mean + sample.sd, color=style.colour, lw=3.5, alpha=0.35)
    face = "white" if hollow else style.colour
    axes.plot(
        sample.mean,
        position,
        style.marker,
        color=style.colour,
        mfc=face,
        markersize=5.5,
        label="train" if hollow else "held out",
        zorder=3,
    )


def _draw_gaps(
    axes: Axes, study: Mapping[str, Any], table: pd.DataFrame, seeds: Mapping[str, pd.DataFrame], split: str
) -> None:
    """By how much each row is worse on held-out than on training samples."""
    axes.axvline(0, color=MUTED, linewidth=1, zorder=1)
    sign = 1 if study["higher_is_better"] else -1
    for position, row in enumerate(table["row"]):
        found = statistics.paired_difference(sign * seeds[row]["train"], sign * seeds[row][split])
        if not math.isfinite(found.mean):
            note(axes, position, DIVERGED)
            continue
        style = style_of(kind_of(study, row))
        if math.isfinite(found.low):
            axes.hlines(position, found.low, found.high, color=style.colour, linewidth=2)
        axes.plot(found.mean, position, style.marker, color=style.colour, markersize=5.5, label=row)
    axes.margins(x=0.06)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(plain_number))
    unit = {"accuracy": "share of samples", "mae": "units of the target"}[metric_of(study)]
    names = ("training", SPLITS[split]) if study["higher_is_better"] else (SPLITS[split], "training")
    axes.set_title("Gap (overfitting →)", pad=6)
    axes.set_xlabel(f"{names[0]} − {names[1]} ({unit})".capitalize())


def _mark_handles(study: Mapping[str, Any], table: pd.DataFrame, split: str) -> list[Any]:
    handles: list[Any] = [
        handle("o", MUTED, "white", "training samples"),
        handle("o", MUTED, MUTED, f"{SPLITS[split]} samples"),
        Line2D([], [], color=MUTED, linewidth=2, label="95 % interval of the gap"),
        Line2D([], [], color=FAINT, linewidth=3, label="baseline, training samples"),
    ]
    measured = study["metric"].split(".")[0]
    if table["reported"].notna().any() and measured in ("train", split):
        handles.append(handle("D", INK, "white", f"{REPORTED}, {SPLITS[measured]}"))
    return handles
