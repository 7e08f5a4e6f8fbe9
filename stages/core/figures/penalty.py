"""What share of the loss the penalty takes."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from stages.core.figures.page import LINE, MARGIN, WIDTH, Page, start_page, wrap
from stages.core.figures.series import Curve, curve_of, draw_band, epoch_axis, last_finite, series_of
from stages.core.figures.style import ALARM, DIVERGED, INK, house_style, style_of
from stages.core.figures.text import kind_of, label_of, spread_text


@house_style()
def penalty_shares(study: Mapping[str, Any], table: pd.DataFrame, curves: pd.DataFrame) -> Figure | None:
    """What share of the training loss the penalty takes, over the epochs; None where no row has a penalty."""
    series = series_of(curves)
    shares = {row: curve_of(series, row, "penalty_share") for row in table["row"]}
    shares = {row: share for row, share in shares.items() if _has_penalty(study, row, share)}
    if not shares:
        return None
    ends = sorted(shares, key=lambda row: -last_finite(shares[row]))
    labels = {row: wrap(f"{label_of(study, row)}: {_share_text(shares[row])}", 58, lines=2) for row in ends}
    body = max(3.4, sum(LINE * (label.count("\n") + 1) + 0.06 for label in labels.values()))
    page = start_page(study, f"What share of the training loss the penalty takes, {spread_text(study)}", body + 0.8)
    axes = page.axes(MARGIN + 0.45, 0.15, 5.3, body)
    for row, share in shares.items():
        draw_band(axes, share, style_of(kind_of(study, row)), label=row)
    axes.set_ylim(0, max([1e-6, *(np.nanmax(share.mean) for share in shares.values() if share.finite)]) * 1.06)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}"))
    axes.set_ylabel("Penalty’s share of the training loss (%)")
    epoch_axis(axes, shares.values())
    _name_line_ends(page, axes, study, shares, labels)
    return page.figure


def _has_penalty(study: Mapping[str, Any], row: str, share: Curve) -> bool:
    return bool(study["rows"][row].get("regularizers")) or bool((share.mean > 0).any())


def _share_text(share: Curve) -> str:
    """The last finite share in per cent, two digits."""
    if not share.finite:
        return DIVERGED
    ended = "" if math.isfinite(share.mean[-1]) else f", then {DIVERGED}"
    return f"{float(f'{100 * last_finite(share):.2g}'):g} %{ended}"


def _name_line_ends(
    page: Page, axes: Axes, study: Mapping[str, Any], shares: Mapping[str, Curve], labels: Mapping[str, str]
) -> None:
    """Each line's name at its right end, from the highest to the lowest, pushed apart and tied to it by a thin line."""
    low, high = axes.get_ylim()
    inch = (high - low) / (axes.get_position().height * page.height)
    sizes = {row: (LINE * (label.count("\n") + 1) + 0.06) * inch for row, label in labels.items()}
    centres = _spread([last_finite(shares[row]) for row in labels], list(sizes.values()), low, high)
    right = axes.get_xlim()[1]
    across = (right - axes.get_xlim()[0]) / (axes.get_position().width * WIDTH)
    for (row, label), centre in zip(labels.items(), centres, strict=True):
        style = style_of(kind_of(study, row))
        place = right + 0.35 * across
        if shares[row].finite:
            end = np.flatnonzero(np.isfinite(shares[row].mean))[-1]
            tie = [shares[row].epoch[end], right, place - 0.05 * across], [last_finite(shares[row])] * 2 + [centre]
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
