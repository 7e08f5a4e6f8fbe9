"""How far each row lies from the document's training log."""

import math

import pandas as pd
from matplotlib import pyplot
from matplotlib.figure import Figure

from stages.core.figures import style


@style.house_style()
def log_distances(study: style.Study, distances: pd.DataFrame) -> Figure | None:
    """Distances of the rows to each of the document's logs, nearest first; None without a log.

    Args:
        distances: columns log, row, distance (spreads of one run, NaN if it diverged) and limit (within which one more
            run of the row would lie; NaN if that is not known).
    """
    if distances.empty:
        return None
    logs = dict(list(distances.sort_values("distance", kind="stable").groupby("log")))
    heights = [len(rows) + 1.5 for rows in logs.values()]
    figure, column = pyplot.subplots(
        len(logs), figsize=(7.4, 0.24 * sum(heights) + 0.6), height_ratios=heights, squeeze=False
    )
    figure.set_label("Distance of each row to the reported log")
    for axes, (log, rows) in zip(column[:, 0], logs.items(), strict=True):
        style.row_lines(axes, [style.label_of(study, row) for row in rows["row"]])
        style.log_scale(axes.xaxis)
        for position, (row, distance, limit) in enumerate(rows[["row", "distance", "limit"]].itertuples(index=False)):
            if not math.isfinite(distance):
                style.within(axes, position, style.DIVERGED)
                continue
            fits = distance <= limit
            axes.hlines(position, rows["distance"].min() / 1.3, distance, color=style.MUTED, linewidth=0.8, alpha=0.5)
            axes.plot(distance, position, "o", color=style.colour_of(study, row), ms=6, label=row, zorder=3)
            style.beside(axes, position, f"{distance:.3g}" + (", fits" if fits else ""))
        axes.plot(rows["limit"], range(len(rows)), "|", color=style.ALARM, ms=11, mew=1.6, label="limit", zorder=4)
        axes.set_title(f"distance to the log “{log}”" if len(logs) > 1 else "")
    column[-1, 0].set_xlabel("distance in spreads of one run (log scale)")
    if distances["limit"].notna().any():
        style.legend_below(
            figure, [style.mark("a run of the row itself lies to the left of this", "|", style.ALARM)], 1
        )
    return figure
