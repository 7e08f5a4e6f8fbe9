"""How every figure looks, and what it calls things."""

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import matplotlib
import seaborn
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

Study = Mapping[str, Any]
"""build/studies/<study>.yaml"""


# Okabe and Ito's colours (jfly.uni-koeln.de/color), which people with any colour vision can tell apart; the rarer kinds
# are shades of their neighbour. A row's label says its kind, so no legend does.
COLOURS: Mapping[str, str] = {
    "none": "#6e6e6e",
    "kernel l1": "#d55e00",
    "kernel l2": "#0072b2",
    "kernel l1_l2": "#cc79a7",
    "bias l1": "#00664b",
    "bias l2": "#009e73",
    "bias l1_l2": "#5cc7a6",
    "activity l1": "#8f6300",
    "activity l2": "#e69f00",
    "activity l1_l2": "#b8a11a",
    "dropout": "#56b4e9",
    "weight decay": "#6a3d9a",
    "mixed": "#000000",
}
ASKED, FIXED = "#d55e00", "#0072b2"
INK, MUTED, FAINT, ALARM = "#222222", "#5c5c5c", "#c9c9c9", "#a33b00"
DIVERGED, REPORTED = "✕ diverged", "reported in the document"
SPLITS = {"train": "training", "validation": "validation", "test": "test"}
METRICS = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "mae": "mean absolute error"}
HOUSE = {
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: text is as wide, and the bytes are the same, everywhere
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.formatter.use_mathtext": False,
    "text.color": INK,
    "text.parse_math": False,  # labels are plain text, a $ is a $
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.bottom": True,
    "ytick.left": True,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "svg.fonttype": "none",
}
ACROSS = 3  # small panels side by side


def short(label: str) -> str:
    """A row's label for a figure: one line, what every label repeats left out, places of one penalty together."""
    parts = " ".join(label.split()).replace("_regularizer=", " ").replace("activation='linear'", "linear").split(", ")
    merged: list[str] = []
    for part in parts:
        place, _, penalty = part.partition(" ")
        if merged and place in {"bias", "activity"} and merged[-1].endswith(f" {penalty}"):
            merged[-1] = merged[-1].removesuffix(f" {penalty}") + f" + {part}"
        else:
            merged.append(part)
    return ", ".join(merged)


def in_two_lines(label: str) -> str:
    """A long label broken at the comma nearest to its middle."""
    commas = [place for place, letter in enumerate(label) if letter == ","]
    if len(label) <= 38 or not commas:
        return label
    middle = min(commas, key=lambda place: abs(place - len(label) / 2))
    return f"{label[: middle + 1]}\n{label[middle + 2 :]}"


def label_of(study: Study, row: str) -> str:
    return short(study["rows"][row]["label"])


def colour_of(study: Study, row: str) -> str:
    """The colour of the row's kind of regularizer, the same in every figure; a combination looks like "mixed"."""
    return COLOURS.get(study["rows"][row]["regularizer"], COLOURS["mixed"])


def metric_label(study: Study) -> str:
    """The study's metric with its samples."""
    split, metric = study["metric"].split(".")
    return f"{SPLITS[split]} {METRICS[metric]}".capitalize()


def trained_metric(study: Study) -> str:
    """What curves show and `seeds` tables have: of a balanced accuracy the accuracy."""
    return study["metric"].split(".")[1].removeprefix("balanced_")


def monitored(study: Study) -> str:
    """The split that val_* curves are measured on."""
    return "test" if study["metric"].startswith("test.") else "validation"


def seeds_text(study: Study) -> str:
    return "1 seed" if study["n_seeds"] == 1 else f"{study['n_seeds']} seeds"


def plain_number(value: float, _: Any = None) -> str:
    return f"{value:g}".replace("-", "−")


def log_scale(axis: Axis) -> None:
    """A logarithmic axis with plain numbers, about four of them whatever it spans; its limits are known by now."""
    getattr(axis.axes, f"set_{axis.axis_name}scale")("log")
    low, high = axis.get_view_interval()
    decades = math.log10(high / low)
    axis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7) if decades < 1 else (1, 3) if decades < 2.5 else (1,)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(plain_number)


def row_lines(axes: Axes, labels: list[str]) -> None:
    """One line a row, the first on top, every other one shaded."""
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    for position in range(0, len(labels), 2):
        axes.axhspan(position - 0.5, position + 0.5, color="#f5f5f5", zorder=0, linewidth=0)


def beside(axes: Axes, position: float, text: str, colour: str = INK) -> None:
    """Words at the right end of a row's line."""
    axes.text(1.01, position, text, transform=axes.get_yaxis_transform(), va="center", size=8.5, color=colour)


def within(axes: Axes, position: float, text: str) -> None:
    """Words in the place of a row's mark."""
    axes.text(0.5, position, text, transform=axes.get_yaxis_transform(), ha="center", va="center", color=ALARM)


def mark(label: str, marker: str, colour: str, face: str = "", line: str = "none") -> Line2D:
    """An entry of a legend."""
    return Line2D([], [], marker=marker, color=colour, mfc=face or colour, ls=line, ms=5.5, label=label)


def legend_below(figure: Figure, handles: list[Any], columns: int) -> None:
    figure.set_layout_engine("constrained")  # seaborn's grids come with another
    figure.legend(handles=handles, loc="outside lower left", ncols=columns, borderaxespad=0.3)


@contextmanager
def house_style() -> Iterator[None]:
    """Matplotlib's own defaults and ours, whatever the user's matplotlibrc says; restored afterwards."""
    open_before = set(pyplot.get_fignums())
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**seaborn.axes_style("whitegrid"), **HOUSE})
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The figure layout has changed to tight")  # seaborn's grids do
            yield
        for number in set(pyplot.get_fignums()) - open_before:
            pyplot.close(number)
