"""Training beside held-out samples: what overfits, and what does not even fit."""

import math

import pandas as pd
import seaborn
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from stages.core.figures import style
from stages.core.results import statistics
from stages.core.results.tables import with_spread


@style.house_style()
def generalization(study: style.Study, table: pd.DataFrame, seeds: pd.DataFrame) -> Figure | None:
    """The metric on training (hollow) and held-out samples (filled), the gap in figures; None if nothing is held out.

    Held-out samples are the validation samples where there are any, otherwise the test samples, as in the diagnosis.
    """
    split = next((name for name in ("validation", "test") if seeds[name].notna().any()), None)
    if split is None:
        return None
    metric = style.trained_metric(study)
    figure = Figure((7.4, 0.24 * len(table) + 1.4))
    figure.set_label(f"{style.METRICS[metric].capitalize()} on training and on {style.SPLITS[split]} samples")
    axes = figure.add_subplot()
    style.row_lines(axes, [style.label_of(study, row) for row in table["row"]])
    places = {row: position for position, row in enumerate(table["row"])}
    long = seeds.melt(["row", "seed"], ["train", split], "samples", "value").dropna()
    long["position"] = long["row"].map(places)
    colours = {"train": style.MUTED, split: style.FIXED}
    seaborn.scatterplot(
        long,
        x="value",
        y="position",
        hue="samples",
        palette=colours,
        ax=axes,
        s=9,
        alpha=0.4,
        linewidth=0,
        legend=False,
    )
    means = long.groupby(["position", "samples"])["value"].mean().unstack("samples").reindex(columns=["train", split])
    axes.hlines(means.index, means["train"], means[split], color=style.MUTED, linewidth=1.2)
    for name, face in (("train", "white"), (split, style.FIXED)):
        axes.plot(means[name], means.index, "o", color=colours[name], mfc=face, ms=6, label=name, zorder=3)
    for row, position in places.items():
        own = seeds[seeds["row"] == row]
        style.beside(axes, position, _gap_text(study, own["train"], own[split]))
        if position not in means.index:
            style.within(axes, position, style.DIVERGED)
    axes.set(xlabel=style.METRICS[metric], ylabel="")
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(style.plain_number))
    axes.text(1.01, 1, "gap [95 % interval]", transform=axes.transAxes, va="bottom", size=8.5, color=style.MUTED)
    handles = [
        style.mark("training samples", "o", style.MUTED, "white"),
        style.mark(f"{style.SPLITS[split]} samples", "o", style.FIXED),
        style.mark(f"small dots: each of {style.seeds_text(study)}", ".", style.MUTED),
    ]
    style.legend_below(figure, handles, 3)
    return figure


def _gap_text(study: style.Study, train: pd.Series, held_out: pd.Series) -> str:
    """By how much the row is worse on held-out samples, paired by seed."""
    sign = 1 if study["higher_is_better"] else -1
    gap = statistics.paired_difference(sign * train, sign * held_out)
    if not math.isfinite(gap.mean):
        return ""
    half = (gap.high - gap.low) / 2
    mean, low, high = (with_spread(value, half)[0].replace("-", "−") for value in (gap.mean, gap.low, gap.high))
    return f"{mean} [{low}, {high}]" if math.isfinite(half) else mean
