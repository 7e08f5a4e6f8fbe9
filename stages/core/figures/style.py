"""How every figure looks: colours, markers and lines of the regularizers, matplotlib's settings, and the SVG text."""

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib
import seaborn
from matplotlib.figure import Figure


class Style(NamedTuple):
    """How a kind of regularizer looks: its colour, and a marker and a line that tell it apart in grey."""

    colour: str
    marker: str
    line: Any


# Okabe and Ito's colours (jfly.uni-koeln.de/color), which people with any colour vision can tell apart; the rarer kinds
# are shades of their neighbour. The diamond is kept for the document's own figures.
STYLES: Mapping[str, Style] = {
    "none": Style("#6e6e6e", "o", (0, (1, 2))),
    "kernel l1": Style("#d55e00", "^", (0, (5, 2))),
    "kernel l2": Style("#0072b2", "s", "-"),
    "kernel l1_l2": Style("#cc79a7", "P", (0, (6, 2, 1, 2))),
    "bias l1": Style("#00664b", "<", (0, (3, 1))),
    "bias l2": Style("#009e73", "v", (0, (1, 1))),
    "bias l1_l2": Style("#5cc7a6", ">", (0, (3, 1, 1, 1))),
    "activity l1": Style("#8f6300", "8", (0, (7, 2))),
    "activity l2": Style("#e69f00", "p", (0, (4, 1, 1, 1, 1, 1))),
    "activity l1_l2": Style("#b8a11a", "*", (0, (2, 2))),
    "dropout": Style("#56b4e9", "X", (0, (8, 2, 2, 2))),
    "weight decay": Style("#6a3d9a", "H", (0, (5, 1, 1, 1))),
    "mixed": Style("#000000", "h", (0, (3, 1, 1, 1, 1, 1))),
}
INK, MUTED, FAINT, ALARM = "#222222", "#5c5c5c", "#c9c9c9", "#a33b00"
TRAINING = (0, (3, 1.5))  # dashes of every training curve
DIVERGED, REPORTED = "✕ diverged", "reported in the document"
# Verdana has the proportions of DejaVu Sans; the others draw Chinese where a label has some.
FAMILIES = "'DejaVu Sans', Verdana, 'Noto Sans CJK TC', 'PingFang TC', 'Microsoft JhengHei', sans-serif"
HOUSE = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.unicode_minus": True,
    "text.color": INK,
    "text.parse_math": False,  # labels are plain text, a $ is a $
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.bottom": True,
    "ytick.left": True,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "lines.solid_capstyle": "round",
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "svg.fonttype": "none",
    "svg.hashsalt": "regbench",
}


def style_of(kind: str) -> Style:
    """Colour, marker and line of a kind of regularizer, the same in every figure of every study.

    A kind without an entry of its own in `STYLES` is a combination and looks like "mixed".
    """
    return STYLES.get(kind, STYLES["mixed"])


@contextmanager
def house_style() -> Iterator[None]:
    """Matplotlib's own defaults and ours, whatever the user's matplotlibrc says; restored afterwards."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**seaborn.axes_style("whitegrid"), **HOUSE})
        yield


def to_svg(figure: Figure) -> bytes:
    """The figure as SVG (UTF-8), byte for byte the same whenever it is drawn; its title is the figure's label."""
    buffer = io.BytesIO()
    with house_style(), warnings.catch_warnings():
        # Text is measured with DejaVu Sans, which has no Chinese, but drawn by the viewer's fonts: nothing is missing.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        metadata = {"Title": figure.get_label(), "Date": None, "Creator": None}
        figure.savefig(buffer, format="svg", metadata=metadata)
    return _rounded(buffer.getvalue()).replace(b"'DejaVu Sans'", FAMILIES.encode())


def _rounded(svg: bytes) -> bytes:
    """Coordinates to a hundredth of a point: half the size, and no last digits that depend on the processor."""
    return re.sub(rb' (?:d|x|y|transform)="[^"]*"', lambda found: re.sub(rb"-?\d+\.\d{3,}", _hundredth, found[0]), svg)


def _hundredth(number: re.Match[bytes]) -> bytes:
    return b"%g" % (round(float(number[0]), 2) + 0.0)
