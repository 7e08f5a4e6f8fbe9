"""What each row changes: differences from the baseline with their intervals, seed by seed."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
import seaborn
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from stages.core.figures import style
from stages.core.results.tables import with_spread

BELOW = 0.27  # the document's figure stands a little below the measured ones, in rows


@style.house_style()
def differences(study: style.Study, table: pd.DataFrame, seeds: pd.DataFrame) -> Figure:
    """Paired differences from the baseline: every seed, the mean with its 95 % interval, and the document's own.

    Rows that share a further change (a linear activation, other inputs) stand in a panel with a scale of its own.
    """
    lines = table.set_index("row")
    panels = groups(study)
    heights = [len(rows) + 0.9 for rows in panels.values()]
    figure, column = pyplot.subplots(
        len(panels), figsize=(7.4, 0.24 * sum(heights) + 0.9), height_ratios=heights, squeeze=False
    )
    figure.set_label(f"Differences from the baseline, {style.metric_label(study)}")
    paired = _paired(study, seeds)
    for axes, (title, rows) in zip(column[:, 0], panels.items(), strict=True):
        style.row_lines(axes, [style.label_of(study, row) for row in rows])
        _draw(axes, study, lines.loc[rows], paired)
        axes.set_title(title)
    better = "better →" if study["higher_is_better"] else "← better"
    column[-1, 0].set_xlabel(
        f"{style.metric_label(study)}, difference from “{style.label_of(study, study['baseline'])}” ({better})"
    )
    style.legend_below(figure, _handles(study, table), 2)
    return figure


def groups(study: style.Study) -> dict[str, list[str]]:
    """Rows by what they change besides the regularizer, the baseline's first; a change that one row alone makes stands
    among the baseline's.

    Returns:
        By the words that the labels of such rows share, "" for the baseline's.
    """
    contexts = {row: entry.get("context", "") for row, entry in study["rows"].items()}
    shared = list(contexts.values())
    own = contexts[study["baseline"]]
    found: dict[str, list[str]] = {own: []}
    for row, context in contexts.items():
        found.setdefault(context if shared.count(context) > 1 else own, []).append(row)
    return {"" if context == own else _words(study, rows, context): rows for context, rows in found.items()}


def _words(study: style.Study, rows: list[str], context: str) -> str:
    """What these rows' labels have in common and the baseline's does not; the change itself where that is nothing."""
    parts = [style.label_of(study, row).split(", ") for row in rows]
    usual = style.label_of(study, study["baseline"]).split(", ")
    common = [part for part in parts[0] if part not in usual and all(part in others for others in parts)]
    return ", ".join(common) or context


def _paired(study: style.Study, seeds: pd.DataFrame) -> pd.DataFrame:
    """Every seed's difference from the baseline's same seed: columns row, seed, difference."""
    wide = seeds.pivot(index="seed", columns="row", values=study["metric"].split(".")[0])
    return wide.sub(wide[study["baseline"]], axis=0).melt(ignore_index=False, value_name="difference").reset_index()


def _draw(axes: Axes, study: style.Study, lines: pd.DataFrame, paired: pd.DataFrame) -> None:
    axes.axvline(0, color=style.MUTED, linewidth=1, zorder=1)
    places = {row: position for position, row in enumerate(lines.index)}
    dots = paired[paired["row"].isin(places) & (paired["row"] != study["baseline"])].dropna()
    seaborn.scatterplot(
        x=dots["difference"], y=dots["row"].map(places), ax=axes, color=style.MUTED, s=9, alpha=0.45, linewidth=0
    )
    for row, line in lines.iterrows():
        colour = style.colour_of(study, row)
        value = 0.0 if row == study["baseline"] and math.isfinite(line["mean"]) else line["difference"]
        if not math.isfinite(value):
            style.within(axes, places[row], style.DIVERGED if line["n_finite"] == 0 else "no finite pair")
            continue
        axes.hlines(places[row], line["difference_low"], line["difference_high"], color=colour, linewidth=2)
        face = colour if line["p_holm"] < 0.05 else "white"
        axes.plot(value, places[row], "o", color=colour, mfc=face, markersize=6, label=row, zorder=3)
        style.beside(
            axes,
            places[row],
            difference_text(study, row, line),
            style.ALARM if line["diagnosis"] == "diverged" else style.INK,
        )
    if _has_reported(study):
        at = [places[row] + BELOW for row in lines.index]
        reported = lines["reported"] - study["rows"][study["baseline"]]["reported"]
        axes.plot(
            reported, at, "D", color=style.INK, mfc="white", markersize=4, linestyle="none", label="reported", zorder=4
        )
    axes.set(xlabel="", ylabel="")
    axes.margins(x=0.05)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(_signed))


def difference_text(study: style.Study, row: str, line: Mapping[str, Any]) -> str:
    """The difference with its interval, in the digits of the study's table."""
    if row == study["baseline"]:
        return "baseline"
    half = (line["difference_high"] - line["difference_low"]) / 2
    columns = ("difference", "difference_low", "difference_high")
    mean, *ends = (_signed(with_spread(line[name], half)[0]) for name in columns if math.isfinite(line[name]))
    return f"{mean} [{', '.join(ends)}]" if ends else mean


def _signed(value: float | str, _: Any = None) -> str:
    text = value if isinstance(value, str) else style.plain_number(round(value, 10))
    return text.replace("-", "−") if text.startswith(("-", "−")) or not float(text) else f"+{text}"


def _has_reported(study: style.Study) -> bool:
    """Does the document report differences on these data?"""
    return study["rows"][study["baseline"]]["reported"] is not None and study.get("same_data", True)


def _handles(study: style.Study, table: pd.DataFrame) -> list[Any]:
    """Entries for the marks that occur."""
    handles = []
    if table["p_holm"].notna().any():
        handles += [style.mark("filled: more than noise (Holm-adjusted p < 0.05)", "o", style.MUTED)]
        handles += [style.mark("hollow: not told from noise once all rows are counted", "o", style.MUTED, "white")]
    handles += [style.mark(f"small dots: each of {style.seeds_text(study)}", ".", style.FAINT)]
    if table["difference_low"].notna().any():
        handles += [style.mark("95 % interval of the difference", "", style.MUTED, line="-")]
    if _has_reported(study):
        handles += [style.mark(f"difference {style.REPORTED}", "D", style.INK, "white")]
    return handles
