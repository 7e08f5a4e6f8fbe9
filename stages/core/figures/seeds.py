"""One point a seed, one line a set of changes."""

import pandas as pd
import seaborn
from matplotlib import pyplot

from stages.core.figures.style import ASKED, FIXED, MUTED, house_style
from stages.core.figures.svg import to_svg

COLOURS = {"asked": ASKED, "fixed": FIXED, "tried": MUTED}


def every_seed(points: pd.DataFrame, quantity: str) -> str:
    """An SVG element of points along `quantity`, 0 to 1; columns: row, kind (a key of COLOURS), and the quantity."""
    with house_style():
        lines = sum(row.count("\n") + 1 for row in points["row"].unique())
        figure, axes = pyplot.subplots(figsize=(7, 0.6 + 0.28 * lines))
        figure.set_label(f"{quantity.capitalize()} of every seed")
        seaborn.stripplot(points, x=quantity, y="row", hue="kind", palette=COLOURS, legend=False, jitter=0.2, ax=axes)
        axes.set(xlim=(-0.05, 1.05), ylabel="")
        text = to_svg(figure, "every_seed").decode()
    return text[text.index("<svg") :]
