"""The loss that Keras prints, and the part of it that is not the penalty."""

import pandas as pd
import seaborn
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from stages.core.figures import style
from stages.core.figures.frames import thinned


@style.house_style()
def losses(study: style.Study, table: pd.DataFrame, curves: pd.DataFrame) -> Figure | None:
    """Training loss as printed and without the penalty, means over the seeds, one panel a row; None without penalties.

    Rows whose penalty never takes a hundredth of the loss are left out.

    Args:
        curves: of `frames.seed_curves`.
    """
    by_epoch = thinned(curves, 60).groupby(["row", "epoch"], sort=False)
    means = by_epoch[["loss", "data_loss", "penalty"]].mean().reset_index()
    visible = means["penalty"] > 0.01 * means["loss"]
    rows = [row for row in table["row"] if (visible & (means["row"] == row)).any()]
    if not rows:
        return None
    long = means.melt(["row", "epoch"], ["loss", "data_loss"], "part", "value")
    grid = seaborn.relplot(
        long[long["row"].isin(rows)],
        kind="line",
        x="epoch",
        y="value",
        hue="part",
        palette={"loss": style.ASKED, "data_loss": style.FIXED},
        col="row",
        col_order=rows,
        col_wrap=min(style.ACROSS, len(rows)),
        legend=False,
        height=1.65,
        aspect=1.6,
    )
    grid.figure.set_label("Training loss as printed, and without the penalty")
    for row, axes in grid.axes_dict.items():
        own = means[means["row"] == row]
        axes.fill_between(own["epoch"], own["data_loss"], own["loss"], color=style.ASKED, alpha=0.2, linewidth=0)
        axes.set_title(style.in_two_lines(style.label_of(study, row)), fontsize=8.5)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    grid.set_axis_labels("epoch", "training loss")
    style.log_scale(grid.axes[0].yaxis)
    handles = [
        style.mark("as Keras prints it", "", style.ASKED, line="-"),
        style.mark("of the data alone", "", style.FIXED, line="-"),
        Patch(color=style.ASKED, alpha=0.2, linewidth=0, label="the penalty between them"),
    ]
    style.legend_below(grid.figure, handles, 3)
    return grid.figure
