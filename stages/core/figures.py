"""Figures of a study: tables in, matplotlib figures out.

Every size is in inches and reckoned from the number of rows and characters, never from how wide some font draws, so
that a figure has the same bytes wherever it is drawn. Text stays text in the SVG; the viewer's own fonts draw it.

A *study* is the mapping of build/studies/<study>.yaml; *table* and *curves* are the frames that `tables.read_table` and
`tables.read_curves` give.
"""

import io
import math
import re
import textwrap
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator


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
WIDTH, MARGIN = 11.0, 0.3
LINE = 0.16  # height of a line of label text
TRAINING = (0, (3, 1.5))  # dashes of every training curve
BELOW = 0.24  # reported figures stand a little below the measured ones, in rows
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
SPLITS = {"train": "training", "validation": "validation", "test": "test"}
METRICS = {"accuracy": "accuracy (share of samples)", "mae": "mean absolute error (units of the target)"}
LOG_COLUMNS = ("loss", "accuracy", "val_loss", "val_accuracy")


def style_of(kind: str) -> Style:
    """Colour, marker and line of a kind of regularizer, the same in every figure of every study.

    A kind without an entry of its own in `STYLES` is a combination and looks like "mixed".
    """
    return STYLES.get(kind, STYLES["mixed"])


def draw(study: Mapping[str, Any], table: pd.DataFrame, curves: pd.DataFrame) -> dict[str, Figure]:
    """All figures that apply to a study, by the name of their file without its ending.

    Args:
        study: build/studies/<study>.yaml.
        table: one line a row of the study, in the document's order.
        curves: study, row, epoch, quantity, n, mean, sd in long form.
    """
    figures = {
        "differences": differences(study, table),
        "curves": learning_curves(study, table, curves),
        "penalty": penalty_shares(study, table, curves),
        "coefficients": coefficients(study, table),
        "reported_log": reported_log(study, table, curves),
    }
    return {name: figure for name, figure in figures.items() if figure is not None}


def to_svg(figure: Figure) -> bytes:
    """The figure as SVG (UTF-8), byte for byte the same whenever it is drawn; its title is the figure's label."""
    buffer = io.BytesIO()
    with _house_style(), warnings.catch_warnings():
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


@contextmanager
def _house_style() -> Iterator[None]:
    """Matplotlib's own defaults and ours, whatever the user's matplotlibrc says; restored afterwards."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**seaborn.axes_style("whitegrid"), **HOUSE})
        yield


@_house_style()
def differences(study: Mapping[str, Any], table: pd.DataFrame) -> Figure:
    """Forest plot: paired differences from the baseline, and measured means, both beside the document's own figures."""
    labels = [_wrap(label, 46, lines=3) for label in table["label"]]
    height = max(LINE * _most_lines(labels) + 0.12, 0.3)
    body = height * len(table)
    kinds, marks = _kind_handles(study, table["row"]), _forest_handles(table)
    page = _page(
        study,
        f"Each row against the baseline “{_label(study, study['baseline'])}”, paired by seed ({_seeds(study)})",
        0.3 + body + 0.62 + max(_legend_height(kinds, 2), _legend_height(marks, 2)),
    )
    left = MARGIN + max(_inches(line, 8.5) for label in labels for line in label.split("\n")) + 0.15
    wide = (WIDTH - MARGIN - left - 2.05) / 2
    difference = page.axes(left, 0.3, wide, body)
    level = page.axes(WIDTH - MARGIN - wide, 0.3, wide, body)
    _row_axis(difference, labels)
    _row_axis(level, [""] * len(labels))
    _draw_differences(difference, study, table)
    _draw_levels(level, study, table)
    page.text(left + wide + 0.1, 0.22, "difference [95 % interval]", size=8, color=MUTED)
    for position, row in enumerate(table.to_dict("records")):
        text = _difference_text(study, row)
        colour = ALARM if DIVERGED in text else INK
        page.text(left + wide + 0.1, 0.3 + height * (position + 0.5), text, size=8, color=colour, va="center")
    page.legend(kinds, MARGIN, 0.3 + body + 0.62, 2)
    page.legend(marks, 4.1, 0.3 + body + 0.62, 2)
    return page.figure


@_house_style()
def learning_curves(study: Mapping[str, Any], table: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """Small multiples, one a row: training and validation metric above, loss below, the baseline in grey behind."""
    metric = _metric(study)
    series = _series(curves)
    across = min(4, len(table))
    wide = (WIDTH - 2 * MARGIN - 0.4) / max(across, 2)
    labels = [_wrap(label, int(wide / _inches("x", 8.5)) - 3, lines=3) for label in table["label"]]
    heads = [LINE * _most_lines(labels[start : start + across]) + 0.1 for start in range(0, len(labels), across)]
    cell = 1.2 + 0.1 + 0.85 + 0.45  # below its title: metric, gap, loss, epochs
    lines, kinds = _curve_handles(study), _colour_handles(study, table["row"])
    first = max(_legend_height(lines, 3), _legend_height(kinds, 4)) + 0.05
    page = _page(
        study,
        f"Learning curves, {_spread_text(study)}; training values are running means over the epoch",
        first + sum(heads) + cell * len(heads) + 0.1,
    )
    page.legend(lines, MARGIN, 0, 3)
    page.legend(kinds, 4.8, 0, 4)
    scales = {quantity: _shared_scale(series, quantity) for quantity in (metric, "loss")}
    for position, row in enumerate(table.to_dict("records")):
        down, right = divmod(position, across)
        left, top = MARGIN + 0.45 + wide * right, first + sum(heads[: down + 1]) + cell * down
        upper = page.axes(left, top, wide - 0.25, 1.2)
        lower = page.axes(left, top + 1.3, wide - 0.25, 0.85)
        upper.set_title(labels[position], fontsize=8.5, fontweight="bold", pad=4)
        _draw_curves(upper, study, series, row["row"], quantity=metric, scale=scales[metric])
        _draw_curves(lower, study, series, row["row"], quantity="loss", scale=scales["loss"])
        upper.tick_params(labelbottom=False, labelleft=right == 0)
        lower.tick_params(labelleft=right == 0, which="both")
        _label_cell(upper, lower, metric, first=right == 0, last=position + across >= len(table))
        _note_divergence(upper, _curve(series, row["row"], metric), row["n"])
        _note_divergence(lower, _curve(series, row["row"], "loss"), row["n"])
    return page.figure


@_house_style()
def penalty_shares(study: Mapping[str, Any], table: pd.DataFrame, curves: pd.DataFrame) -> Figure | None:
    """What share of the training loss the penalty takes, over the epochs; None where no row has a penalty."""
    series = _series(curves)
    shares = {row: _curve(series, row, "penalty_share") for row in table["row"]}
    shares = {row: share for row, share in shares.items() if _has_penalty(study, row, share)}
    if not shares:
        return None
    ends = sorted(shares, key=lambda row: -_last(shares[row]))
    labels = {row: _wrap(f"{_label(study, row)}: {_share_text(shares[row])}", 58, lines=2) for row in ends}
    body = max(3.4, sum(LINE * (label.count("\n") + 1) + 0.06 for label in labels.values()))
    page = _page(study, f"What share of the training loss the penalty takes, {_spread_text(study)}", body + 0.8)
    axes = page.axes(MARGIN + 0.45, 0.15, 5.3, body)
    for row, share in shares.items():
        _draw_band(axes, share, style_of(_kind(study, row)), label=row)
    axes.set_ylim(0, max([1e-6, *(np.nanmax(share.mean) for share in shares.values() if share.finite)]) * 1.06)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}"))
    axes.set_ylabel("Penalty’s share of the training loss (%)")
    _epoch_axis(axes, shares.values())
    _name_line_ends(page, axes, study, shares, labels)
    return page.figure


@_house_style()
def coefficients(study: Mapping[str, Any], table: pd.DataFrame) -> Figure | None:
    """The metric against the coefficient on a log axis; None unless some regularizer has several coefficients.

    Rows make one series when they penalize the same weights in the same way at the same dropout rate; a row's
    `context`, where it has one, says what else it changes. The coefficient 0 stands apart, left of the smallest one.
    """
    series = _coefficient_series(study)
    if not series:
        return None
    by_row = table.set_index("row")
    values = sorted({value for points in series.values() for value, _ in points})
    zero = next(value for value in values if value > 0) / 10**0.75
    styles = _series_styles(series)
    legend = [*_coefficient_handles(styles), _baseline_handle(), _handle("D", INK, "white", REPORTED)]
    page = _page(
        study,
        f"{_metric_label(study)} against the coefficient, {_spread_text(study)}",
        0.15 + 3.9 + 0.65 + _legend_height(legend, 2),
    )
    axes = page.axes(MARGIN + 0.6, 0.15, WIDTH - 2 * MARGIN - 0.6, 3.9)
    axes.axhline(by_row["mean"][study["baseline"]], color=FAINT, linewidth=2.5, zorder=1)
    for position, (name, style) in enumerate(styles.items()):
        dodge = 1.05 ** (position - (len(series) - 1) / 2)  # so that equal coefficients do not hide each other
        rows = by_row.loc[[row for _, row in series[name]]]
        _draw_coefficients(axes, style, rows, [(value or zero) * dodge for value, _ in series[name]])
    _coefficient_axis(axes, values, zero)
    axes.set_ylabel(_metric_label(study))
    page.legend(legend, MARGIN, 0.15 + 3.9 + 0.6, 2)
    return page.figure


@_house_style()
def reported_log(study: Mapping[str, Any], table: pd.DataFrame, curves: pd.DataFrame) -> Figure | None:
    """The document's training log over the measured curves, one strip a row; None where the document prints no log."""
    logs = study.get("reported_logs") or {}
    rows = [row for row in table.to_dict("records") if study["rows"][row["row"]].get("reported_log") in logs]
    if not rows:
        return None
    series = _series(curves)
    log_of = {row["row"]: logs[study["rows"][row["row"]]["reported_log"]] for row in rows}
    legend = [*_line_handles(study, log_of), _handle("D", INK, "white", REPORTED)]
    strip, left = 0.85, MARGIN + 2.75
    foot = 0.4 + strip * len(rows) + 0.5
    subtitle = f"The document’s training log over the measured curves, {_spread_text(study)}"
    page = _page(study, subtitle, foot + _legend_height(legend, 4))
    wide = (WIDTH - left - MARGIN) / len(LOG_COLUMNS)
    for column, quantity in enumerate(LOG_COLUMNS):
        tops = [0.4 + strip * position for position in range(len(rows))]
        cells = [page.axes(left + wide * column, top, wide - 0.35, strip - 0.14) for top in tops]
        for axes, (row, log) in zip(cells, log_of.items(), strict=True):
            _draw_log(axes, style_of(_kind(study, row)), _curve(series, row, quantity), log, quantity)
            axes.set_ylim(_log_limits(series, log_of, quantity))
            axes.tick_params(labelbottom=axes is cells[-1])
        cells[0].set_title(_quantity_label(study, quantity), fontsize=8.5)
        cells[-1].set_xlabel("Epoch")
    closest = _closest(study, rows)
    for position, row in enumerate(rows):
        nearest = row["row"] in closest
        text = _wrap(row["label"], 38, lines=2) + "\n" + _distance_text(row, nearest)
        weight = "bold" if nearest else "normal"
        page.text(MARGIN, 0.4 + strip * (position + 0.42), text, size=8.5, weight=weight, va="center")
    page.legend(legend, MARGIN, foot, 4)
    return page.figure


# --- pages and text ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Page:
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


def _page(study: Mapping[str, Any], subtitle: str, body: float) -> _Page:
    """An empty page: the study's figure title, what is shown, and the data set, above a body of that height."""
    title = _wrap(study["figure_title"], 88, lines=3)
    below = _wrap(subtitle, 150, lines=2) + "\n" + _wrap(f"Data set: {study['dataset_title']}", 150, lines=2)
    first = MARGIN + 0.23 * (title.count("\n") + 1)
    heading = first + 0.165 * (below.count("\n") + 1) + 0.22
    page = _Page(Figure((WIDTH, heading + body + MARGIN / 2)), heading + body + MARGIN / 2, heading)
    page.figure.set_label(f"{_one_line(study['figure_title'])}. {subtitle}. Data set: {study['dataset_title']}")
    page.text(MARGIN, MARGIN - heading, title, size=13.5, weight="bold", va="top")
    page.text(MARGIN, first - heading + 0.06, below, size=9, color=MUTED, va="top")
    return page


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _columns(text: str) -> int:
    """Width in characters, a Chinese one counting as two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _inches(text: str, size: float) -> float:
    """About how wide DejaVu Sans draws text of that size in points: 0.58 of the size a character."""
    return _columns(text) * 0.58 * size / 72


def _wrap(text: str, columns: int, lines: int) -> str:
    """The text in at most so many lines of so many columns, cut with an ellipsis."""
    text = re.sub(r" (?=l[12][_(]|%)", "\u00a0", _one_line(text))  # l2 stays with what it penalizes, % with its number
    characters = max(1, columns * len(text) // max(1, _columns(text)))
    return textwrap.fill(text, characters, max_lines=lines, placeholder=" …")


def _most_lines(labels: Sequence[str]) -> int:
    return max(label.count("\n") + 1 for label in labels)


def _number(value: float, _: Any = None) -> str:
    return f"{value:g}".replace("-", "−")


def _signed(value: float, _: Any = None) -> str:
    return _number(value) if value <= 0 else f"+{value:g}"


# --- what the study says ----------------------------------------------------------------------------------------------


def _label(study: Mapping[str, Any], row: str) -> str:
    return _one_line(study["rows"][row]["label"])


def _kind(study: Mapping[str, Any], row: str) -> str:
    return study["rows"][row]["regularizer"]


def _seeds(study: Mapping[str, Any]) -> str:
    return "1 seed" if study["n_seeds"] == 1 else f"{study['n_seeds']} seeds"


def _spread_text(study: Mapping[str, Any]) -> str:
    return "one seed" if study["n_seeds"] == 1 else f"mean ± 1 standard deviation over {_seeds(study)}"


def _metric(study: Mapping[str, Any]) -> str:
    return study["metric"].split(".")[1]


def _metric_label(study: Mapping[str, Any]) -> str:
    split, metric = study["metric"].split(".")
    return f"{SPLITS[split].capitalize()} {METRICS[metric]}"


def _quantity_label(study: Mapping[str, Any], quantity: str) -> str:
    """Heading of a column of a training log, in full words with its unit."""
    name = quantity.removeprefix("val_")
    unit = METRICS.get(name, "loss (mean per sample)")
    return f"{_monitored(study) if quantity.startswith('val_') else 'training'} {unit}".capitalize().replace(
        " (", "\n("
    )


def _monitored(study: Mapping[str, Any]) -> str:
    """The split that val_* columns are measured on."""
    return "test" if study["metric"].startswith("test.") else "validation"


# --- curves -----------------------------------------------------------------------------------------------------------


class _Curve(NamedTuple):
    """One quantity of one row over the epochs; mean and sd over the seeds, NaN where no seed is finite."""

    epoch: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    n: np.ndarray

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.mean).any())


class _Scale(NamedTuple):
    limits: tuple[float, float]
    logarithmic: bool


_Series = Mapping[tuple[str, str], _Curve]


def _series(curves: pd.DataFrame) -> _Series:
    """Every curve of the long table by (row, quantity)."""
    ordered = curves.sort_values("epoch", kind="stable")
    return {
        key: _Curve(*(group[name].to_numpy(float) for name in _Curve._fields))
        for key, group in ordered.groupby(["row", "quantity"])
    }


def _curve(series: _Series, row: str, quantity: str) -> _Curve:
    return series.get((row, quantity), _Curve(*[np.array([])] * 4))


def _last(curve: _Curve) -> float:
    """The last finite mean, NaN if there is none."""
    finite = curve.mean[np.isfinite(curve.mean)]
    return finite[-1] if finite.size else math.nan


def _shared_scale(series: _Series, quantity: str) -> _Scale:
    """One scale for a quantity in all rows: logarithmic for losses and errors that span more than a decade.

    A row on its way to infinity must not flatten the others, so that the scale ends a hundredfold above the median.
    """
    names = (quantity, f"val_{quantity}")
    means = [curve.mean for (_, name), curve in series.items() if name in names]
    values = np.concatenate([np.array([]), *means])
    values = values[np.isfinite(values)]
    if not values.size:
        return _Scale((0, 1), False)
    low, high = values.min(), values.max()
    if quantity == "accuracy":
        room = max(0.03 * (high - low), 0.005)
        return _Scale((max(low - room, -0.02), min(high + room, 1.02)), False)
    high = min(high, max(100 * np.median(values), low))
    if low > 0 and high > 10 * low:
        return _Scale((low / 1.2, high * 1.2), True)
    return _Scale((min(low, 0), high * 1.06 or 1), False)


def _draw_band(axes: Axes, curve: _Curve, style: Style, label: str, **how: Any) -> None:
    """A curve with ± 1 standard deviation about it; a dot where there is one epoch only."""
    how = {"linewidth": 1.5, "linestyle": style.line, **how}
    marker = style.marker if curve.epoch.size == 1 else None
    axes.plot(curve.epoch, curve.mean, color=style.colour, label=label, marker=marker, markersize=4, **how)
    if np.isfinite(curve.sd).any():
        low, high = curve.mean - curve.sd, curve.mean + curve.sd
        axes.fill_between(curve.epoch, low, high, color=style.colour, alpha=0.18, linewidth=0, zorder=1.5)


def _draw_curves(
    axes: Axes, study: Mapping[str, Any], series: _Series, row: str, *, quantity: str, scale: _Scale
) -> None:
    """Training (dashed) and validation (solid) curves of one row; the baseline's validation curve in grey behind."""
    baseline = _curve(series, study["baseline"], f"val_{quantity}")
    axes.plot(baseline.epoch, baseline.mean, color=FAINT, linewidth=3, label="baseline", zorder=1)
    style = style_of(_kind(study, row))
    _draw_band(axes, _curve(series, row, quantity), style, "training", linestyle=TRAINING, linewidth=1.2, mfc="white")
    _draw_band(axes, _curve(series, row, f"val_{quantity}"), style, _monitored(study), linestyle="-")
    if scale.logarithmic:
        axes.set_yscale("log")
        _log_ticks(axes, scale.limits)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.set_ylim(scale.limits)
    _epoch_axis(axes, [curve for key, curve in series.items() if key[1] == quantity])


def _log_ticks(axes: Axes, limits: tuple[float, float]) -> None:
    """Plain numbers at the decades, and at 2 and 5 between them where there are few decades."""
    low, high = (math.log10(limit) for limit in limits)
    steps = (1,) if high - low > 2.5 else (1, 2, 5)
    ticks = [step * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for step in steps]
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if limits[0] <= tick <= limits[1]]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(_number))


def _epoch_axis(axes: Axes, curves: Iterable[_Curve]) -> None:
    last = max((curve.epoch[-1] for curve in curves if curve.epoch.size), default=1)
    room = 0.03 * last if last > 1 else 0.5
    axes.set_xlim(1 - room, last + room)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axes.set_xlabel("Epoch")


def _label_cell(upper: Axes, lower: Axes, metric: str, first: bool, last: bool) -> None:
    """Axis labels at the edges of the grid only."""
    upper.set_xlabel("")
    if not last:
        lower.set_xlabel("")
    if first:
        upper.set_ylabel({"accuracy": "accuracy", "mae": "MAE"}[metric])
        lower.set_ylabel("loss")
        for axes in (upper, lower):
            axes.yaxis.set_label_coords(-0.47 / (axes.get_position().width * WIDTH), 0.5)


def _note_divergence(axes: Axes, curve: _Curve, seeds: int) -> None:
    """Say in the panel where a curve has no finite value, or not in every seed."""
    text = _divergence(curve, seeds)
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=ALARM)


def _divergence(curve: _Curve, seeds: int) -> str:
    bad = curve.epoch[~np.isfinite(curve.mean)]
    if not curve.finite:
        return DIVERGED
    if bad.size:
        return f"{DIVERGED} at epoch {bad[0]:g}"
    lost = seeds - curve.n.min()
    return f"{DIVERGED} in {lost:g} of {seeds} seeds" if lost > 0 else ""


# --- the forest plot --------------------------------------------------------------------------------------------------


def _row_axis(axes: Axes, labels: Sequence[str]) -> None:
    """One line a row, the first on top, every other one shaded."""
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_yticks(range(len(labels)), labels, linespacing=1.15, va="center")
    axes.tick_params(axis="y", length=0, labelsize=8.5)
    axes.grid(axis="y", visible=False)
    for position in range(0, len(labels), 2):
        axes.axhspan(position - 0.5, position + 0.5, color="#f5f5f5", zorder=0, linewidth=0)


def _draw_differences(axes: Axes, study: Mapping[str, Any], table: pd.DataFrame) -> None:
    axes.axvline(0, color=MUTED, linewidth=1, zorder=1)
    for position, row in enumerate(table.to_dict("records")):
        style = style_of(_kind(study, row["row"]))
        value = 0.0 if row["row"] == study["baseline"] and math.isfinite(row["mean"]) else row["difference"]
        if not math.isfinite(value):
            _note(axes, position, "no finite pair" if math.isfinite(row["mean"]) else DIVERGED)
            continue
        axes.hlines(position, row["difference_low"], row["difference_high"], color=style.colour, linewidth=2)
        face = style.colour if row["p_holm"] < 0.05 else "white"
        axes.plot(value, position, style.marker, color=style.colour, mfc=face, markersize=6, label=row["row"])
    reported = reported_differences(study, table)
    _draw_reported(axes, reported, np.arange(len(table)) + BELOW)
    _difference_scale(axes, table, reported)
    better = "better →" if study["higher_is_better"] else "← better"
    metric = {"accuracy": "share of samples", "mae": "units of the target"}[_metric(study)]
    axes.set_title(f"Difference ({better})", pad=6)
    axes.set_xlabel(f"{_metric_label(study).split(' (')[0]}, difference ({metric}){axes.get_xlabel()}")


def reported_differences(study: Mapping[str, Any], table: pd.DataFrame) -> np.ndarray:
    """The document's own differences, reported(row) − reported(baseline), in the table's order; NaN where one lacks."""
    reported = table["reported"].to_numpy(float)
    baseline = reported[(table["row"] == study["baseline"]).to_numpy()]
    return reported - (baseline[0] if baseline.size else math.nan)


def _difference_scale(axes: Axes, table: pd.DataFrame, reported: np.ndarray) -> None:
    """A scale on which both a collapse and a difference as small as the noise can be read.

    Where the largest difference is more than twenty times the usual interval, the axis is linear about 0, to the next
    power of ten above that interval, and logarithmic beyond.
    """
    columns = table[["difference", "difference_low", "difference_high"]].to_numpy(float)
    values = np.concatenate([columns.ravel(), reported, np.array([0.0])])
    values = values[np.isfinite(values)]
    halves = (columns[:, 2] - columns[:, 1]) / 2
    halves = halves[np.isfinite(halves) & (halves > 0)]
    largest = np.abs(values).max()
    room = 0.06 * (np.ptp(values) or 1e-3)
    if not halves.size or largest < 20 * np.median(halves):
        axes.set_xlim(values.min() - room, values.max() + room)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(FuncFormatter(_signed))
        return
    linear = 10.0 ** math.ceil(math.log10(max(np.median(halves), 1e-4 * largest)))
    axes.set_xscale("symlog", linthresh=linear, linscale=1.5)
    axes.set_xlim(min(1.6 * values.min(), -linear), max(1.6 * values.max(), linear))
    decades = [linear * 10.0**power for power in range(math.ceil(math.log10(largest / linear)) + 1)]
    axes.xaxis.set_major_locator(FixedLocator([-tick for tick in decades] + [0, *decades]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(_signed))
    axes.set_xlabel(f"\nlog scale beyond ±{linear:g}")


def _draw_levels(axes: Axes, study: Mapping[str, Any], table: pd.DataFrame) -> None:
    for position, row in enumerate(table.to_dict("records")):
        style = style_of(_kind(study, row["row"]))
        if not math.isfinite(row["mean"]):
            _note(axes, position, DIVERGED)
            continue
        axes.hlines(position, row["prediction_low"], row["prediction_high"], color=style.colour, linewidth=6, alpha=0.3)
        axes.plot(row["mean"], position, style.marker, color=style.colour, markersize=5.5, label=row["row"])
    outside = table["reproduced"].isin(["no"]).to_numpy()
    reported = table["reported"].to_numpy(float)
    _draw_reported(axes, reported[~outside], np.flatnonzero(~outside) + BELOW)
    _draw_reported(axes, reported[outside], np.flatnonzero(outside) + BELOW, face=INK)
    intervals = table[["prediction_low", "prediction_high"]].to_numpy(float)
    possible = np.clip(intervals, 0, 1 if _metric(study) == "accuracy" else None)  # few seeds give absurd intervals
    values = np.concatenate([table["mean"].to_numpy(float), reported, possible.ravel()])
    values = values[np.isfinite(values)]
    if values.size:
        room = 0.05 * (np.ptp(values) or 0.01)
        axes.set_xlim(values.min() - room, values.max() + room)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_title("Measured and reported", pad=6)
    axes.set_xlabel(_metric_label(study))


def _draw_reported(axes: Axes, x: Sequence[float], y: Sequence[float], face: str = "white", line: str = "none") -> None:
    """The document's own figures: black-edged diamonds, in every figure."""
    axes.plot(x, y, "D", color=INK, mfc=face, markersize=4.5, linestyle=line, linewidth=0.7, label="reported", zorder=4)


def _note(axes: Axes, position: int, text: str) -> None:
    """Words in the place of a mark."""
    axes.text(0.5, position, text, transform=axes.get_yaxis_transform(), ha="center", va="center", color=ALARM)


def _difference_text(study: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """The difference with its interval in figures, no more digits than the interval supports."""
    if not math.isfinite(row["mean"]):
        return ""
    diverged = f" {DIVERGED}" if row["diagnosis"] == "diverged" else ""
    if row["row"] == study["baseline"]:
        return f"baseline{diverged}"
    if not math.isfinite(row["difference"]):
        return diverged
    values = row["difference"], row["difference_low"], row["difference_high"]
    half = (values[2] - values[1]) / 2
    digits = min(max(-math.floor(math.log10(half / 2)), 0), 6) if half > 0 else 4
    texts = [f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−") for value in values]
    return texts[0] + (diverged or (f" [{texts[1]}, {texts[2]}]" if math.isfinite(half) else ""))


# --- penalties and coefficients ---------------------------------------------------------------------------------------


def _has_penalty(study: Mapping[str, Any], row: str, share: _Curve) -> bool:
    return bool(study["rows"][row].get("regularizers")) or bool((share.mean > 0).any())


def _share_text(share: _Curve) -> str:
    """The last finite share in per cent, two digits."""
    if not share.finite:
        return DIVERGED
    ended = "" if math.isfinite(share.mean[-1]) else f", then {DIVERGED}"
    return f"{float(f'{100 * _last(share):.2g}'):g} %{ended}"


def _name_line_ends(
    page: _Page, axes: Axes, study: Mapping[str, Any], shares: Mapping[str, _Curve], labels: Mapping[str, str]
) -> None:
    """Each line's name at its right end, from the highest to the lowest, pushed apart and tied to it by a thin line."""
    low, high = axes.get_ylim()
    inch = (high - low) / (axes.get_position().height * page.height)
    sizes = {row: (LINE * (label.count("\n") + 1) + 0.06) * inch for row, label in labels.items()}
    centres = _spread([_last(shares[row]) for row in labels], list(sizes.values()), low, high)
    right = axes.get_xlim()[1]
    across = (right - axes.get_xlim()[0]) / (axes.get_position().width * WIDTH)
    for (row, label), centre in zip(labels.items(), centres, strict=True):
        style = style_of(_kind(study, row))
        place = right + 0.35 * across
        if shares[row].finite:
            end = np.flatnonzero(np.isfinite(shares[row].mean))[-1]
            tie = [shares[row].epoch[end], right, place - 0.05 * across], [_last(shares[row])] * 2 + [centre]
            axes.plot(*tie, color=style.colour, linewidth=0.6, alpha=0.7, clip_on=False, label="tie")
        axes.plot(
            place + 0.05 * across, centre, style.marker, color=style.colour, markersize=5.5, clip_on=False, label="tie"
        )
        colour = INK if shares[row].finite else ALARM
        axes.text(place + 0.15 * across, centre, label, va="center", size=8.5, color=colour, linespacing=1.15)


def _spread(wanted: Sequence[float], sizes: Sequence[float], low: float, high: float) -> list[float]:
    """Centres of boxes stacked downwards from `high` without overlap, each as near to where it is wanted as fits.

    `wanted` falls; NaN means the bottom. The boxes fit between low and high.
    """
    centres = []
    ceiling = high
    for position, (want, size) in enumerate(zip(wanted, sizes, strict=True)):
        floor = low + sum(sizes[position + 1 :]) + size / 2
        centres.append(max(min(low if math.isnan(want) else want, ceiling - size / 2), floor))
        ceiling = centres[-1] - size / 2
    return centres


def _coefficient_series(study: Mapping[str, Any]) -> dict[tuple[str, str], list[tuple[float, str]]]:
    """(kind, context) -> [(coefficient, row), ...] for every regularizer that has two or more coefficients above 0."""
    series: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for row, entry in study["rows"].items():
        terms = [
            (f"{place} {norm}", value)
            for place, norms in (entry.get("regularizers") or {}).items()
            for norm, value in norms.items()
        ]
        if len(terms) == 1:
            series.setdefault((terms[0][0], _context(entry)), []).append((terms[0][1], row))
    series = {key: points for key, points in series.items() if len({value for value, _ in points}) > 1}
    return {key: sorted([*_without_penalty(study, key[1]), *points]) for key, points in series.items()}


def _without_penalty(study: Mapping[str, Any], context: str) -> list[tuple[float, str]]:
    """The row that differs from a series in having no penalty, if exactly one does."""
    plain = [row for row, entry in study["rows"].items() if not entry.get("regularizers")]
    rows = [row for row in plain if _context(study["rows"][row]) == context]
    return [(0.0, rows[0])] if len(rows) == 1 else []


def _context(entry: Mapping[str, Any]) -> str:
    """What a row changes besides its penalty."""
    dropout = f"dropout {entry['dropout']:g}" if entry.get("dropout") else ""
    return ", ".join(part for part in (dropout, entry.get("context")) if part)


def _coefficient_axis(axes: Axes, values: Sequence[float], zero: float) -> None:
    """A log axis with a tick at every coefficient; 0 is shown at `zero`."""
    axes.set_xscale("log")
    axes.set_xlim((values[0] or zero) / 2, values[-1] * 2)
    axes.xaxis.set_major_locator(FixedLocator([value or zero for value in values]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: "0" if value == zero else f"{value:g}"))
    axes.set_xlabel("Coefficient λ of the penalty λ·Σ|x| or λ·Σx² (log scale)")


def _series_styles(names: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Style]:
    """The kind's own style; a further series of one kind keeps its colour and differs in marker and line."""
    styles: dict[tuple[str, str], Style] = {}
    spare = list(STYLES.values())
    for name in names:
        own = style_of(name[0])
        other = spare[(spare.index(own) + sum(kind == name[0] for kind, _ in styles)) % len(spare)]
        styles[name] = own._replace(marker=other.marker, line=other.line)
    return styles


def _draw_coefficients(axes: Axes, style: Style, rows: pd.DataFrame, at: Sequence[float]) -> None:
    """One series; its points are joined only if every coefficient stands for one row."""
    line = style.line if len(set(at)) == len(at) else "none"
    how = {"color": style.colour, "marker": style.marker, "markersize": 6, "linestyle": line, "linewidth": 1.5}
    axes.errorbar(at, rows["mean"], yerr=rows["sd"].fillna(0), elinewidth=1.5, capsize=3, label="measured", **how)
    _draw_reported(axes, at, rows["reported"])
    for place in np.asarray(at)[~np.isfinite(rows["mean"].to_numpy(float))]:
        axes.text(place, 0.03, DIVERGED, transform=axes.get_xaxis_transform(), ha="center", color=ALARM, size=8)


# --- the reported log -------------------------------------------------------------------------------------------------


def _draw_log(axes: Axes, style: Style, curve: _Curve, log: Mapping[str, Any], quantity: str) -> None:
    """A measured curve and, over it, the log's column, up to the log's last epoch."""
    curve = _until(curve, log["epochs"][-1])
    _draw_band(axes, curve, style, "measured")
    _draw_reported(axes, log["epochs"], log[quantity], line="-")
    if not curve.finite:
        axes.text(0.5, 0.5, DIVERGED, transform=axes.transAxes, ha="center", va="center", color=ALARM, size=8)
    first, last = log["epochs"][0], log["epochs"][-1]
    axes.set_xlim(first - 0.06 * (last - first or 1), last + 0.06 * (last - first or 1))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(3))


def _until(curve: _Curve, epoch: float) -> _Curve:
    return _Curve(*(values[curve.epoch <= epoch] for values in curve))


def _log_limits(series: _Series, logs: Mapping[str, Mapping[str, Any]], quantity: str) -> tuple[float, float]:
    """Limits that show every row's curve as far as its log goes, but no loss on its way to infinity."""
    reported = np.concatenate([np.asarray(log[quantity], float) for log in logs.values()])
    curves = [_until(_curve(series, row, quantity), log["epochs"][-1]) for row, log in logs.items()]
    measured = np.concatenate([curve.mean for curve in curves])
    values = np.concatenate([reported, measured[np.isfinite(measured)]])
    high = values.max() if quantity.endswith("accuracy") else min(values.max(), 3 * reported.max())
    room = 0.07 * ((high - values.min()) or 1)
    return values.min() - room, high + room


def _closest(study: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """For each log the row at the smallest distance to it."""
    nearest: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        name = study["rows"][row["row"]]["reported_log"]
        if row["log_distance"] < nearest.get(name, {"log_distance": math.inf})["log_distance"]:
            nearest[name] = row
    return {row["row"] for row in nearest.values()}


def _distance_text(row: Mapping[str, Any], nearest: bool) -> str:
    distance = row["log_distance"]
    text = f"distance to the log {distance:.3g}" if math.isfinite(distance) else "distance to the log: none"
    return f"{text} (closest)" if nearest else text


# --- legends ----------------------------------------------------------------------------------------------------------


def _handle(marker: str, colour: str, face: str, label: str, line: Any = "none") -> Line2D:
    return Line2D(
        [], [], marker=marker, color=colour, markerfacecolor=face, linestyle=line, markersize=5.5, label=label
    )


def _kinds(study: Mapping[str, Any], rows: Iterable[str]) -> list[str]:
    """The kinds of regularizer that occur, in the order of `STYLES`."""
    present = {_kind(study, row) for row in rows}
    return [*(kind for kind in STYLES if kind in present), *sorted(present - set(STYLES))]


def _kind_handles(study: Mapping[str, Any], rows: Iterable[str]) -> list[Line2D]:
    styles = {kind: style_of(kind) for kind in _kinds(study, rows)}
    return [_handle(style.marker, style.colour, style.colour, kind) for kind, style in styles.items()]


def _line_handles(study: Mapping[str, Any], rows: Iterable[str]) -> list[Line2D]:
    styles = {kind: style_of(kind) for kind in _kinds(study, rows)}
    return [Line2D([], [], color=style.colour, linestyle=style.line, label=kind) for kind, style in styles.items()]


def _colour_handles(study: Mapping[str, Any], rows: Iterable[str]) -> list[Patch]:
    return [Patch(color=style_of(kind).colour, label=kind) for kind in _kinds(study, rows)]


def _baseline_handle() -> Line2D:
    return Line2D([], [], color=FAINT, linewidth=3, label="baseline")


def _forest_handles(table: pd.DataFrame) -> list[Any]:
    """Entries for the marks of the forest plot that occur."""
    handles: list[Any] = []
    if table["p_holm"].notna().any():
        handles.append(_handle("o", MUTED, MUTED, "more than noise (Holm-adjusted p < 0.05)"))
        handles.append(_handle("o", MUTED, "white", "not told from noise"))
    if table["difference_low"].notna().any():
        handles.append(Line2D([], [], color=MUTED, linewidth=2, label="95 % interval of the difference"))
    if table["prediction_low"].notna().any():
        handles.append(Patch(color=MUTED, alpha=0.3, linewidth=0, label="95 % prediction interval of one run"))
    if table["reported"].notna().any():
        handles.append(_handle("D", INK, "white", REPORTED))
    if table["reproduced"].isin(["no"]).any():
        handles.append(_handle("D", INK, INK, "reported, outside the prediction interval"))
    return handles


def _curve_handles(study: Mapping[str, Any]) -> list[Line2D]:
    return [
        Line2D([], [], color=INK, linewidth=1.2, linestyle=TRAINING, label="training"),
        Line2D([], [], color=INK, linewidth=1.5, label=_monitored(study)),
        Line2D([], [], color=FAINT, linewidth=3, label=f"baseline, {_monitored(study)}"),
    ]


def _coefficient_handles(styles: Mapping[tuple[str, str], Style]) -> list[Line2D]:
    names = {name: ", ".join(part for part in name if part) for name in styles}
    return [
        _handle(style.marker, style.colour, style.colour, names[name], style.line) for name, style in styles.items()
    ]


def _legend_height(handles: Sequence[Any], columns: int) -> float:
    return 0.2 * math.ceil(len(handles) / columns) + 0.12
