"""How large the trained weights are."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from stages.core.figures.marks import baseline_handle, kind_handles, legend_height, note, row_axis
from stages.core.figures.page import LINE, MARGIN, WIDTH, inches, most_lines, plain_number, start_page, wrap
from stages.core.figures.style import DIVERGED, FAINT, house_style, style_of
from stages.core.figures.text import kind_of, spread_text

FEW = 5  # so many weight arrays stand in one line; more get a line for each kind (kernels, biases, ...)
GAP = 0.25  # inches between two panels
DECADES = 30  # norms that differ by a larger factor stand on a log axis


@house_style()
def weight_norms(study: Mapping[str, Any], table: pd.DataFrame, weights: pd.DataFrame) -> Figure:
    """Final norms of every weight array, one panel an array and one line a row; the baseline's in grey behind."""
    names = list(weights["weight"].unique())
    labels = [wrap(label, 46, lines=3) for label in table["label"]]
    left = MARGIN + max(inches(line, 8.5) for label in labels for line in label.split("\n")) + 0.15
    room = WIDTH - MARGIN - left + GAP
    lines = _panel_lines(names, int(room / (max(inches(name.partition("/")[0], 8.5) for name in names) + GAP)))
    wide = room / max(map(len, lines))
    titles = {name: name if inches(name, 8.5) + GAP < wide else name.replace("/", "/\n") for name in names}
    height = max(LINE * most_lines(labels) + 0.1, 0.26)
    body, head, foot = height * len(table), LINE * most_lines(list(titles.values())) + 0.14, 0.35
    legend = [*kind_handles(study, table["row"]), baseline_handle()]
    full = (head + body + foot) * len(lines) + 0.25
    subtitle = f"Norms of the trained weights, {spread_text(study)}; every panel has its own scale"
    page = start_page(study, subtitle, full + legend_height(legend, 4))
    norms = weights.set_index(["weight", "row"])
    for down, line in enumerate(lines):
        top = head + (head + body + foot) * down
        for right, weight in enumerate(line):
            axes = page.axes(left + wide * right, top, wide - GAP, body)
            row_axis(axes, labels, named=right == 0)
            axes.set_title(titles[weight], fontsize=8.5, pad=5, linespacing=1.15)
            _draw_norms(axes, study, table["row"], norms.loc[weight])
    page.text(left, full - 0.22, "Euclidean norm ‖w‖₂ of the weight array (no unit)", size=9, va="center")
    page.legend(legend, MARGIN, full, 4)
    return page.figure


def _panel_lines(weights: Sequence[str], across: int) -> list[list[str]]:
    """Weight arrays, "layer/array", in lines of panels: kernels first, then biases and so on."""
    kinds = dict.fromkeys(weight.partition("/")[2] for weight in weights)
    groups = [[weight for weight in weights if weight.partition("/")[2] == kind] for kind in kinds]
    across = max(across, 1)
    if len(weights) <= min(FEW, across):
        return [[weight for group in groups for weight in group]]
    return [group[start : start + across] for group in groups for start in range(0, len(group), across)]


def _draw_norms(axes: Axes, study: Mapping[str, Any], rows: Sequence[str], norms: pd.DataFrame) -> None:
    axes.axvline(norms["norm_mean"][study["baseline"]], color=FAINT, linewidth=2.5, zorder=1)
    means, sds = (norms.loc[rows, name].to_numpy(float) for name in ("norm_mean", "norm_sd"))
    styles = [style_of(kind_of(study, row)) for row in rows]
    colours = [style.colour for style in styles]
    axes.hlines(range(len(rows)), np.maximum(means - sds, 0), means + sds, colors=colours, linewidth=2)
    for position, (row, mean, style) in enumerate(zip(rows, means, styles, strict=True)):
        if math.isfinite(mean):
            axes.plot(mean, position, style.marker, color=style.colour, markersize=5, label=row)
        else:
            note(axes, position, DIVERGED)
    _norm_scale(axes, means, np.nan_to_num(sds))


def _norm_scale(axes: Axes, means: np.ndarray, sds: np.ndarray) -> None:
    """From 0, so that lengths compare; logarithmic where the norms differ by more than a factor of `DECADES`."""
    known = np.isfinite(means)
    high = (means + sds)[known].max(initial=0) or 1
    low = means[known].min(initial=high)
    if 0 < low < high / DECADES:
        axes.set_xscale("log")
        axes.set_xlim(low / 2, high * 2.5)
        axes.xaxis.set_major_locator(LogLocator(numticks=4))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.set_xlim(0, 1.08 * high)
        axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.xaxis.set_major_formatter(FuncFormatter(plain_number))
