"""The figure that answers: the document's net before and after the change."""

import numpy as np
import pandas as pd
import seaborn
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from stages.core.figures import style
from stages.core.figures.frames import thinned


@style.house_style()
def answer(study: style.Study, curves: pd.DataFrame, guess: float) -> Figure | None:
    """Metric of the two rows over the epochs, None without them: held-out, every seed and the mean, and in training.

    Args:
        curves: of `frames.seed_curves`.
        guess: what guessing reaches on these samples; NaN if that is not known.
    """
    rows = {study.get("asked"): ("before", style.ASKED, "--"), study.get("fixed"): ("after", style.FIXED, "-")}
    if None in rows or len(rows) < 2:
        return None
    metric = style.trained_metric(study)
    quantity = f"val_{metric}"
    split = f"{style.SPLITS[style.monitored(study)]} {style.METRICS[metric]}"
    figure = Figure((4.1, 3.2))  # small, so that its text can be read on a phone
    figure.set_label(f"Before and after: {split}")
    axes = figure.add_subplot()
    curves = thinned(curves[curves["row"].isin(rows)])
    dots = "o" if curves["epoch"].nunique() < 10 else None
    lost = {}
    for row, (_, colour, line) in rows.items():
        own = curves[curves["row"] == row].dropna(subset=quantity)
        own = own[np.isfinite(own["loss"])]
        if own.empty:
            lost[row] = f"\n{style.DIVERGED}, no curve"  # in the legend: among the curves it reads as a point
            continue
        how = {"data": own, "x": "epoch", "y": quantity, "ax": axes, "color": colour, "errorbar": None}
        seaborn.lineplot(**how, estimator=None, units="seed", linewidth=0.6, alpha=0.45)
        seaborn.lineplot(**how, linewidth=2.4, linestyle=line, marker=dots, zorder=3)
        seaborn.lineplot(**how | {"y": metric}, linewidth=1.2, linestyle=":", zorder=2)
    reported = [study["rows"][row]["reported"] for row in rows]
    if study["metric"].split(".")[0] != style.monitored(study) or not study.get("same_data", True):
        reported = []  # of other samples than the curves'
    reported = [value for value in reported if value is not None]
    axes.plot([curves["epoch"].max()] * len(reported), reported, "D", color=style.INK, mfc="white", ms=5.5, zorder=5)
    low, high = curves[quantity].min(), curves[quantity].max()
    near = low - (high - low) < guess < high + (high - low)  # further off, it would flatten the curves; NaN is not near
    if near:
        axes.axhline(guess, color=style.MUTED, linewidth=0.9, linestyle="-.", zorder=1)
    if metric == "mae":
        style.log_scale(axes.yaxis)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    better = "higher" if study["higher_is_better"] else "lower"
    axes.set(title=f"{split.capitalize()} ({better} is better)", xlabel="epoch", ylabel="")
    handles = [
        style.mark(f"{name}: {style.label_of(study, row)}{lost.get(row, '')}", "", colour, line=line)
        for row, (name, colour, line) in rows.items()
    ]
    dropout = ", dropout on" if any(study["rows"][row].get("dropout") for row in rows) else ""
    extra = [
        style.mark(f"thin lines: each of {style.seeds_text(study)}; thick: their mean", "", style.MUTED, line="-"),
        style.mark(f"dotted: training{dropout}, as Keras prints it", "", style.MUTED, line=":"),
    ]
    if near:
        extra.append(style.mark("guessing", "", style.MUTED, line="-."))
    if reported:
        extra.append(style.mark(style.REPORTED, "D", style.INK, "white"))
    style.legend_below(figure, [*handles, *extra], 1)
    return figure
