"""Learning curves, one small panel a row."""

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from stages.core.figures import style
from stages.core.figures.frames import thinned


@style.house_style()
def curves(study: style.Study, table: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """Small multiples: the metric on training and held-out samples, the baseline's held-out curve in grey behind.

    Args:
        curves: of `frames.seed_curves`.
    """
    metric = style.trained_metric(study)
    held = f"val_{metric}"
    long = thinned(curves, 60).melt(["row", "seed", "epoch"], [metric, held], "samples", "value")
    grid = seaborn.relplot(
        long[long["samples"] == held],
        kind="line",
        x="epoch",
        y="value",
        col="row",
        col_order=list(table["row"]),
        col_wrap=min(style.ACROSS, len(table)),
        errorbar=("pi", 100),
        err_kws={"alpha": 0.3, "linewidth": 0},
        color=style.FIXED,
        height=1.75,
        aspect=1.55,
        marker="o" if curves["epoch"].nunique() < 10 else None,
        markersize=4,
    )
    figure = grid.figure
    figure.set_label(f"Learning curves: {style.METRICS[metric]}")
    means = long.groupby(["row", "samples", "epoch"])["value"].mean()
    for row, axes in grid.axes_dict.items():
        baseline, own = means[study["baseline"], held], means[row, metric]
        axes.plot(baseline.index, baseline, color=style.FAINT, linewidth=3, zorder=1, label="baseline")
        axes.plot(own.index, own, color=style.MUTED, linewidth=1.2, linestyle="--", label="training")
        axes.set_title(style.in_two_lines(style.label_of(study, row)), fontsize=8.5)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        _note_divergence(axes, curves[curves["row"] == row], held)
    grid.set_axis_labels("epoch", style.METRICS[metric])
    if metric == "mae":
        style.log_scale(grid.axes[0].yaxis)
    split = style.SPLITS[style.monitored(study)]
    handles = [
        style.mark(f"{split} samples, mean", "", style.FIXED, line="-"),
        Patch(color=style.FIXED, alpha=0.3, linewidth=0, label="from the lowest to the highest seed"),
        style.mark("training samples, mean", "", style.MUTED, line="--"),
        style.mark(f"baseline, {split} samples", "", style.FAINT, line="-"),
    ]
    style.legend_below(figure, handles, 2)
    return figure


def _note_divergence(axes: Axes, own: pd.DataFrame, quantity: str) -> None:
    """Say in the panel in how many seeds the loss or the metric is not finite."""
    lost = own.groupby("seed")[["loss", quantity]].apply(lambda seed: not np.isfinite(seed).all(axis=None))
    if lost.any():
        text = f"{style.DIVERGED} in {lost.sum()} of {len(lost)} seeds"
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=style.ALARM)
