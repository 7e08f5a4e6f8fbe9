"""The metric against the coefficient."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from stages.core.figures.marks import baseline_handle, draw_reported, handle, legend_height
from stages.core.figures.page import MARGIN, WIDTH, start_page
from stages.core.figures.style import ALARM, DIVERGED, FAINT, INK, REPORTED, STYLES, Style, house_style, style_of
from stages.core.figures.text import metric_label, spread_text


@house_style()
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
    legend = [*_coefficient_handles(styles), baseline_handle(), handle("D", INK, "white", REPORTED)]
    page = start_page(
        study,
        f"{metric_label(study)} against the coefficient, {spread_text(study)}",
        0.15 + 3.9 + 0.65 + legend_height(legend, 2),
    )
    axes = page.axes(MARGIN + 0.6, 0.15, WIDTH - 2 * MARGIN - 0.6, 3.9)
    axes.axhline(by_row["mean"][study["baseline"]], color=FAINT, linewidth=2.5, zorder=1)
    for position, (name, style) in enumerate(styles.items()):
        dodge = 1.05 ** (position - (len(series) - 1) / 2)  # so that equal coefficients do not hide each other
        rows = by_row.loc[[row for _, row in series[name]]]
        _draw_coefficients(axes, style, rows, [(value or zero) * dodge for value, _ in series[name]])
    _coefficient_axis(axes, values, zero)
    axes.set_ylabel(metric_label(study))
    page.legend(legend, MARGIN, 0.15 + 3.9 + 0.6, 2)
    return page.figure


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
    draw_reported(axes, at, rows["reported"])
    for place in np.asarray(at)[~np.isfinite(rows["mean"].to_numpy(float))]:
        axes.text(place, 0.03, DIVERGED, transform=axes.get_xaxis_transform(), ha="center", color=ALARM, size=8)


def _coefficient_handles(styles: Mapping[tuple[str, str], Style]) -> list[Line2D]:
    names = {name: ", ".join(part for part in name if part) for name in styles}
    return [handle(style.marker, style.colour, style.colour, names[name], style.line) for name, style in styles.items()]
