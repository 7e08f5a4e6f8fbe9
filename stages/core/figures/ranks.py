"""The critical-difference diagram of rows that several studies share."""

from collections.abc import Mapping, Sequence
from typing import Any

import scikit_posthocs
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from stages.core.figures.marks import kind_handles, legend_height
from stages.core.figures.page import MARGIN, WIDTH, inches, start_page
from stages.core.figures.style import INK, house_style, style_of
from stages.core.figures.text import kind_of
from stages.core.results.ranks import Comparison
from stages.core.results.statistics import LEVEL
from stages.core.results.tables import percent

STEP = 0.25  # inches between two labels or two bars
HEAD = 2.8  # lines above the axis


@house_style()
def critical_differences(studies: Sequence[Mapping[str, Any]], comparison: Comparison) -> Figure:
    """Mean ranks on one axis, best on the left; bars join rows that the test does not tell apart.

    Args:
        studies: the comparison's own, in its order.
    """
    ranks, first = comparison.mean_ranks, studies[0]
    legend = kind_handles(first, ranks.index)
    lowest = _draw(Figure().add_subplot(), first, comparison)  # only to count its lines
    height = STEP * (HEAD - lowest)
    page = start_page(_heading(studies), _subtitle(comparison), height + legend_height(legend, 4))
    room = max(inches(f"{row} (00.0)", 8.5) for row in ranks.index) + 0.3
    axes = page.axes(MARGIN + room, 0, WIDTH - 2 * (MARGIN + room), height)
    _draw(axes, first, comparison)
    axes.set_ylim(lowest, HEAD)
    page.legend(legend, MARGIN, height, 4)
    return page.figure


def _draw(axes: Axes, study: Mapping[str, Any], comparison: Comparison) -> float:
    """Draw the diagram; returns where it ends, in lines below its axis."""
    ranks, styles = comparison.mean_ranks, {row: style_of(kind_of(study, row)) for row in comparison.mean_ranks.index}
    span = max(ranks.iloc[-1], ranks.iloc[0] + comparison.critical_difference) - ranks.iloc[0]
    drawn = scikit_posthocs.critical_difference_diagram(
        ranks,
        comparison.p_values,
        alpha=1 - LEVEL,
        ax=axes,
        label_fmt_left="{label} ({rank:.1f})",
        label_fmt_right="({rank:.1f}) {label}",
        label_props={"size": 8.5},
        marker_props={"s": 12},
        elbow_props={"linewidth": 1.2},
        crossbar_props={"color": INK, "linewidth": 3, "solid_capstyle": "butt"},
        color_palette={row: style.colour for row, style in styles.items()},
        text_h_margin=0.03 * span,
    )
    for (bar,) in drawn["crossbars"]:  # it runs through its rows in an order that changes from process to process
        bar.set_data([bar.get_xdata().min(), bar.get_xdata().max()], bar.get_ydata()[:2])
    half = (len(ranks) + 1) // 2
    for row, label in zip([*ranks.index[:half], *ranks.index[: half - 1 : -1]], drawn["labels"], strict=True):
        x, y = label.get_position()
        axes.plot(x, y, styles[row].marker, color=styles[row].colour, markersize=6, clip_on=False, label=row)
        label.set(x=x + (-1 if label.get_ha() == "right" else 1) * 0.025 * span, color=INK)
    axes.set_xlim(ranks.iloc[0] - 0.03 * span, ranks.iloc[0] + 1.03 * span)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.spines["top"].set_visible(True)
    axes.grid(visible=False)
    axes.text(
        ranks.iloc[0] - 0.055 * span, 0, f"mean rank, 1 best, {len(ranks)} worst", ha="right", va="center", size=8.5
    )
    bar = [ranks.iloc[0], ranks.iloc[0] + comparison.critical_difference]
    axes.plot(bar, [1.6, 1.6], color=INK, linewidth=1.2, marker="|", label="critical difference")
    text = f"critical difference {comparison.critical_difference:.2f}"
    axes.text(sum(bar) / 2, 1.75, text, ha="center", va="bottom", size=8.5)
    return min(label.get_position()[1] for label in drawn["labels"]) - 0.8


def _heading(studies: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    names = " and ".join(study["name"] for study in studies)
    titles = dict.fromkeys(study["dataset_title"] for study in studies)
    return {"figure_title": f"Which rows rank best in {names}", "dataset_title": "; ".join(titles)}


def _subtitle(comparison: Comparison) -> str:
    return (
        f"Mean ranks over {comparison.blocks} blocks, each one seed of one study (1 is best). Bars join rows that "
        f"Nemenyi’s test does not tell apart at {percent(1 - LEVEL)}. Seeds of a study share its data: "
        "this describes these studies, not others."
    )
