"""How large the trained kernels are, beside the baseline's."""

import numpy as np
import pandas as pd
import seaborn
from matplotlib.figure import Figure

from stages.core.figures import style


@style.house_style()
def kernel_norms(study: style.Study, table: pd.DataFrame, weights: pd.DataFrame) -> Figure | None:
    """Euclidean norms of the kernels in figures, coloured by their ratio to the baseline's; None without a penalty.

    Args:
        weights: norm_mean by row and weight ("layer/kernel").
    """
    if not any(entry.get("regularizers") for entry in study["rows"].values()):
        return None
    kernels = weights[weights["weight"].str.endswith("/kernel")]
    norms = kernels.pivot(index="row", columns="weight", values="norm_mean")
    norms = norms.loc[list(table["row"]), list(kernels["weight"].unique())]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.log2(norms / norms.loc[study["baseline"]])
    figure = Figure((3.0 + 0.62 * len(norms.columns), 0.27 * len(norms) + 1.2))
    figure.set_label("Norms of the trained kernels, coloured by their ratio to the baseline's")
    axes = figure.add_subplot()
    axes.set_facecolor("#dddddd")
    seaborn.heatmap(
        ratios.clip(-4, 4),
        annot=norms.map(lambda norm: f"{norm:.3g}"),
        fmt="",
        annot_kws={"size": 8},
        cmap="PuOr_r",
        vmin=-4,
        vmax=4,
        linewidths=1,
        ax=axes,
        cbar_kws={"label": "ratio to the baseline", "ticks": [-4, -2, 0, 2, 4]},
    )
    axes.collections[0].colorbar.set_ticklabels(["1/16", "1/4", "1", "4", "16"])
    axes.set(xlabel="", ylabel="")
    axes.set_yticklabels([style.label_of(study, row) for row in norms.index], rotation=0)
    axes.set_xticklabels([name.removesuffix("/kernel") for name in norms.columns], rotation=30, ha="right")
    axes.tick_params(length=0)
    return figure
