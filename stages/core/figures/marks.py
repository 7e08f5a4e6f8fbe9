"""Marks that several figures share, and their entries in legends."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from stages.core.figures.style import ALARM, FAINT, INK, STYLES, style_of
from stages.core.figures.text import kind_of


def row_axis(axes: Axes, labels: Sequence[str], named: bool = True) -> None:
    """One line a row, the first on top, every other one shaded; its label on the left if `named`."""
    axes.set_ylim(len(labels) - 0.5, -0.5)
    if named:
        axes.set_yticks(range(len(labels)), labels, linespacing=1.15, va="center")
        axes.tick_params(axis="y", length=0, labelsize=8.5)
    else:
        axes.set_yticks([])
    axes.grid(axis="y", visible=False)
    for position in range(0, len(labels), 2):
        axes.axhspan(position - 0.5, position + 0.5, color="#f5f5f5", zorder=0, linewidth=0)


def draw_reported(axes: Axes, x: Sequence[float], y: Sequence[float], face: str = "white", line: str = "none") -> None:
    """The document's own figures: black-edged diamonds, in every figure."""
    axes.plot(x, y, "D", color=INK, mfc=face, markersize=4.5, linestyle=line, linewidth=0.7, label="reported", zorder=4)


def note(axes: Axes, position: int, text: str) -> None:
    """Words in the place of a mark."""
    axes.text(0.5, position, text, transform=axes.get_yaxis_transform(), ha="center", va="center", color=ALARM)


def handle(marker: str, colour: str, face: str, label: str, line: Any = "none") -> Line2D:
    return Line2D(
        [], [], marker=marker, color=colour, markerfacecolor=face, linestyle=line, markersize=5.5, label=label
    )


def kinds_of(study: Mapping[str, Any], rows: Iterable[str]) -> list[str]:
    """The kinds of regularizer that occur, in the order of `STYLES`."""
    present = {kind_of(study, row) for row in rows}
    return [*(kind for kind in STYLES if kind in present), *sorted(present - set(STYLES))]


def kind_handles(study: Mapping[str, Any], rows: Iterable[str]) -> list[Line2D]:
    styles = {kind: style_of(kind) for kind in kinds_of(study, rows)}
    return [handle(style.marker, style.colour, style.colour, kind) for kind, style in styles.items()]


def baseline_handle() -> Line2D:
    return Line2D([], [], color=FAINT, linewidth=3, label="baseline")


def legend_height(handles: Sequence[Any], columns: int) -> float:
    return 0.2 * math.ceil(len(handles) / columns) + 0.12
