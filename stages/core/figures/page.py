"""The page that a figure is laid out on, in inches, and how text is fitted to it."""

import re
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stages.core.figures.style import MUTED

WIDTH, MARGIN = 11.0, 0.3
LINE = 0.16  # height of a line of label text


@dataclass(frozen=True)
class Page:
    """A figure whose body is laid out in inches from the left edge and from the foot of its heading."""

    figure: Figure
    height: float
    heading: float

    def _place(self, left: float, top: float) -> tuple[float, float]:
        return left / WIDTH, 1 - (self.heading + top) / self.height

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        x, y = self._place(left, top + height)
        axes = self.figure.add_axes((x, y, width / WIDTH, height / self.height))
        seaborn.despine(ax=axes)
        return axes

    def text(self, left: float, top: float, text: str, **how: Any) -> None:
        self.figure.text(*self._place(left, top), text, **{"linespacing": 1.2, **how})

    def legend(self, handles: Sequence[Any], left: float, top: float, columns: int) -> None:
        """Entries run along the lines, where matplotlib fills columns."""
        in_lines = [handle for column in range(columns) for handle in handles[column::columns]]
        self.figure.legend(
            handles=in_lines, loc="upper left", bbox_to_anchor=self._place(left, top), ncols=columns, borderaxespad=0
        )


def start_page(study: Mapping[str, Any], subtitle: str, body: float) -> Page:
    """An empty page: the study's figure title, what is shown, and the data set, above a body of that height."""
    title = wrap(study["figure_title"], 88, lines=3)
    below = wrap(subtitle, 150, lines=2) + "\n" + wrap(f"Data set: {study['dataset_title']}", 150, lines=2)
    first = MARGIN + 0.23 * (title.count("\n") + 1)
    heading = first + 0.165 * (below.count("\n") + 1) + 0.22
    page = Page(Figure((WIDTH, heading + body + MARGIN / 2)), heading + body + MARGIN / 2, heading)
    page.figure.set_label(f"{one_line(study['figure_title'])}. {subtitle}. Data set: {study['dataset_title']}")
    page.text(MARGIN, MARGIN - heading, title, size=13.5, weight="bold", va="top")
    page.text(MARGIN, first - heading + 0.06, below, size=9, color=MUTED, va="top")
    return page


def one_line(text: str) -> str:
    return " ".join(text.split())


def _columns(text: str) -> int:
    """Width in characters, a Chinese one counting as two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def inches(text: str, size: float) -> float:
    """About how wide DejaVu Sans draws text of that size in points: 0.58 of the size a character."""
    return _columns(text) * 0.58 * size / 72


def wrap(text: str, columns: int, lines: int) -> str:
    """The text in at most so many lines of so many columns, cut with an ellipsis."""
    text = re.sub(r" (?=l[12][_(]|%)", "\u00a0", one_line(text))  # l2 stays with what it penalizes, % with its number
    characters = max(1, columns * len(text) // max(1, _columns(text)))
    return textwrap.fill(text, characters, max_lines=lines, placeholder=" …")


def most_lines(labels: Sequence[str]) -> int:
    return max(label.count("\n") + 1 for label in labels)


def plain_number(value: float, _: Any = None) -> str:
    return f"{value:g}".replace("-", "−")
