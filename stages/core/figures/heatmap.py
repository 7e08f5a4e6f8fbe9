"""What each regularization does to each net, as a grid."""

import math

import pandas as pd
import seaborn
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from stages.core.figures import style
from stages.core.results.tables import DASH


@style.house_style()
def effects(grid: pd.DataFrame, title: str, limit: float = math.inf) -> Figure:
    """Regularizations down, nets across; blue helps, red harms, grey cannot be told from noise.

    Args:
        grid: columns net, regularization (both in the order of the figure), effect (difference in skill from the net
            without regularization, positive is better; NaN where the row diverged) and told (can it be told from
            noise?), one line a pair; trained, if not all are.
        title: of the figure.
        limit: larger effects have the colour of this one.
    """
    nets, down = list(grid["net"].unique()), list(grid["regularization"].unique())

    def table(column: str) -> pd.DataFrame:
        return grid.pivot(index="regularization", columns="net", values=column).loc[down, nets]

    effect, told = table("effect"), table("told").eq(True)
    trained = table("trained").eq(True) if "trained" in grid else effect.map(lambda _: True)
    most = min(max(effect.abs().max(axis=None), 1e-6), limit)
    figure = Figure((4.2 + 0.62 * len(nets), 2.2 + 0.26 * len(down)))
    figure.set_label(title)
    axes = figure.add_subplot()
    axes.set_facecolor(style.FAINT)
    words = effect.map(lambda value: "✕" if pd.isna(value) else f"{value:+.3f}".replace("-", "−")).where(trained, DASH)
    seaborn.heatmap(
        effect.where(told),
        mask=~told,
        cmap="RdBu",
        vmin=-most,
        vmax=most,
        linewidths=1,
        ax=axes,
        cbar_kws={"label": "change in skill" if most < limit else f"change in skill, to ±{limit:g} and beyond"},
    )
    for (row, column), text in words.stack().groupby(level=[0, 1]).first().items():
        strong = told.loc[row, column] and abs(effect.loc[row, column]) > 0.6 * most
        across, below = nets.index(column), down.index(row)
        if not trained.loc[row, column]:
            axes.add_patch(Rectangle((across, below), 1, 1, color="white"))
        axes.text(
            across + 0.5, below + 0.5, text, ha="center", va="center", size=8, color="white" if strong else style.INK
        )
    axes.set(xlabel="", ylabel="", title=title)
    axes.set_xticks([place + 0.5 for place in range(len(nets))], nets, rotation=35, ha="right")
    axes.tick_params(length=0)
    marks = [
        Patch(color=style.FAINT, label="grey: not told from noise by these runs"),
        Patch(color="white", label=style.DIVERGED),
    ]
    if not trained.all(axis=None):
        marks.append(Patch(color="white", label=f"{DASH} not trained"))
    style.legend_below(figure, marks, 3)
    return figure
