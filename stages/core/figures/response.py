"""How a net's skill falls as a regularizer grows stronger."""

import math

import pandas as pd
import seaborn
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from stages.core.figures import style

COLOURS = {"training": style.MUTED, "held-out": style.FIXED}


@style.house_style()
def response(
    points: pd.DataFrame, title: str, own: float | None = None, tipping: tuple[float, float] | None = None
) -> Figure:
    """Skill over the strength on a log axis, the mean with a band from the lowest to the highest seed.

    Args:
        points: columns strength (above 0), seed, samples ("training" or "held-out") and skill (1 perfect, 0 guessing;
            NaN where the seed diverged).
        title: of the figure.
        own: the strength that the document or the user chose.
        tipping: the interval of the strength at which the net stops learning.
    """
    figure = Figure((5.8, 3.6))
    figure.set_label(title)
    axes = figure.add_subplot()
    present = [name for name in COLOURS if name in set(points["samples"])]
    seaborn.lineplot(
        points,
        x="strength",
        y="skill",
        hue="samples",
        hue_order=present,
        palette=COLOURS,
        marker="o",
        markersize=4,
        errorbar=("pi", 100),
        err_kws={"linewidth": 0, "alpha": 0.25},
        legend=False,
        ax=axes,
    )
    style.log_scale(axes.xaxis)
    handles = [style.mark(f"{name} samples, mean", "o", COLOURS[name], line="-") for name in present]
    handles += [Patch(color=style.FIXED, alpha=0.25, linewidth=0, label="from the lowest to the highest seed")]
    if own is not None:
        axes.axvline(own, color=style.INK, linewidth=1.2, linestyle="--", zorder=1)
        handles += [style.mark("own coefficient", "", style.INK, line="--")]
    if tipping is not None and all(map(math.isfinite, tipping)):
        axes.axvspan(*tipping, color=style.ALARM, alpha=0.18, linewidth=0, zorder=0)
        handles += [Patch(color=style.ALARM, alpha=0.18, linewidth=0, label="where it tips")]
    axes.set(title=title, xlabel="strength of the regularizer (log scale)", ylabel="skill (1 perfect, 0 guessing)")
    style.legend_below(figure, handles, 2)
    return figure
