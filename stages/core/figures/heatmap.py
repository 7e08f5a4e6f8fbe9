"""What each regularization does to each net, as a grid."""

import pandas as pd
import seaborn
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from stages.core.figures import style


@style.house_style()
def effects(grid: pd.DataFrame, title: str) -> Figure:
    """Nets down, regularizations across; blue helps, red harms, grey cannot be told from noise.

    Args:
        grid: columns net, regularization (both in the order of the figure), effect (difference in skill from the net
            without regularization, positive is better; NaN where the row diverged) and told (can it be told from
            noise?), one line a pair.
        title: of the figure.
    """
    nets, across = list(grid["net"].unique()), list(grid["regularization"].unique())

    def table(column: str) -> pd.DataFrame:
        return grid.pivot(index="net", columns="regularization", values=column).loc[nets, across]

    effect, told = table("effect"), table("told").eq(True)
    most = max(effect.abs().max(axis=None), 1e-6)
    figure = Figure((2.6 + 0.62 * len(across), 1.9 + 0.3 * len(nets)))
    figure.set_label(title)
    axes = figure.add_subplot()
    axes.set_facecolor(style.FAINT)
    words = effect.map(lambda value: "✕" if pd.isna(value) else f"{value:+.3f}".replace("-", "−"))
    seaborn.heatmap(
        effect.where(told),
        mask=~told,
        cmap="RdBu",
        vmin=-most,
        vmax=most,
        linewidths=1,
        ax=axes,
        cbar_kws={"label": "change in skill"},
    )
    for (row, column), text in words.stack().groupby(level=[0, 1]).first().items():
        strong = told.loc[row, column] and abs(effect.loc[row, column]) > 0.6 * most
        place = across.index(column) + 0.5, nets.index(row) + 0.5
        axes.text(*place, text, ha="center", va="center", size=8, color="white" if strong else style.INK)
    axes.set(xlabel="", ylabel="", title=title)
    axes.set_xticks([place + 0.5 for place in range(len(across))], across, rotation=35, ha="right")
    axes.tick_params(length=0)
    style.legend_below(
        figure,
        [Patch(color=style.FAINT, label="grey: cannot be told from noise"), Patch(color="white", label=style.DIVERGED)],
        2,
    )
    return figure
