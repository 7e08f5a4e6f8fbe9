"""How a net's skill falls as a regularizer grows stronger."""

import math
from collections.abc import Mapping

import pandas as pd
import seaborn
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator

from stages.core.figures import style

COLOURS = {"training": style.MUTED, "held-out": style.FIXED}
BETWEEN = {"color": style.ALARM, "alpha": 0.18, "linewidth": 0}
ACROSS, TICKS = 2, 5


@style.house_style()
def responses(
    points: pd.DataFrame, title: str, own: Mapping[str, float], tipping: Mapping[str, tuple[float, float]]
) -> Figure:
    """A panel a curve: skill over the strength on a log axis, the mean with a band from the lowest to the highest seed.

    Args:
        points: columns curve (the panel's title), strength (above 0), seed, samples ("training" or "held-out") and
            skill (1 perfect, 0 guessing; NaN where the seed diverged).
        title: of the figure.
        own: by curve, where there is one, the strength that the document or the user chose.
        tipping: by curve, where there is one, the interval of the strength at which the net stops learning.
    """
    names = list(points["curve"].unique())
    present = [name for name in COLOURS if name in set(points["samples"])]
    grid = seaborn.relplot(
        points,
        x="strength",
        y="skill",
        hue="samples",
        hue_order=present,
        palette=COLOURS,
        kind="line",
        marker="o",
        markersize=4,
        errorbar=("pi", 100),
        err_kws={"linewidth": 0, "alpha": 0.25},
        legend=False,
        col="curve",
        col_order=names,
        col_wrap=min(ACROSS, len(names)),
        height=2.2,
        aspect=1.32,
        facet_kws={"sharex": False},
    )
    for name, axes in grid.axes_dict.items():
        style.log_scale(axes.xaxis)
        axes.xaxis.set_major_locator(LogLocator(numticks=TICKS))
        axes.set(title=style.in_two_lines(name), xlabel="", ylabel="")
        if name in own:
            axes.axvline(own[name], color=style.INK, linewidth=1.2, linestyle="--", zorder=1)
        if name in tipping and all(map(math.isfinite, tipping[name])):
            axes.axvspan(*tipping[name], zorder=0, **BETWEEN)
    figure: Figure = grid.figure
    figure.set_label(title)
    for axes in grid.axes[-ACROSS:]:
        axes.set_xlabel("strength (log scale)")
    figure.supylabel("skill (1 perfect, 0 guessing)", size=9)
    handles = [style.mark(f"{name} samples, mean", "o", COLOURS[name], line="-") for name in present]
    handles += [Patch(color=style.FIXED, alpha=0.25, linewidth=0, label="from the lowest to the highest seed")]
    if own:
        handles += [style.mark("the document's", "", style.INK, line="--")]
    if any(all(map(math.isfinite, ends)) for ends in tipping.values()):
        handles += [Patch(label="where it stops learning", **BETWEEN)]
    style.legend_below(figure, handles, 2)
    return figure
