"""Does anything grow while the pipeline runs again and again? Slopes with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

LEVEL = 0.99
WARM_UP = 1  # laps in which caches fill
LEAST_LAPS = 5  # after the warm-up, to speak of a slope
NEGLIGIBLE = 0.01
"""Growth over the whole soak, as a share of the median, below which it does not matter what the interval says."""


class Trend(NamedTuple):
    """How a quantity changes from lap to lap: median of all pairwise slopes (Theil-Sen) with its interval."""

    name: str
    first: float
    last: float
    largest: float
    slope: float
    low: float
    high: float
    laps: int
    median: float

    @property
    def grows(self) -> bool:
        """Whether the slope is above zero for certain, and enough over all laps to be seen."""
        return self.low > 0 and self.slope * self.laps > NEGLIGIBLE * self.median


def trends(laps: Sequence[Mapping[str, float]]) -> list[Trend]:
    """The trend of each quantity that the laps measure, in their order, after the warm-up.

    Raises:
        ValueError: there are too few laps.
    """
    kept = laps[WARM_UP:]
    if len(kept) < LEAST_LAPS:
        raise ValueError(f"{len(laps)} laps are too few to speak of a trend, {WARM_UP + LEAST_LAPS} are needed")
    return [_trend(name, np.array([lap[name] for lap in kept], float)) for name in kept[0]]


def to_markdown(found: Sequence[Trend], facts: Mapping[str, str], laps: int, minutes: float, what: str) -> str:
    """Markdown of the trends and the verdict.

    Args:
        found: what `trends` gave.
        facts: what it ran on, by name.
        laps: how many there were.
        minutes: how long they took together.
        what: what a lap is.
    """
    growing = [trend.name for trend in found if trend.grows]
    verdict = f"**growing**: {', '.join(growing)}" if growing else "**bounded**: nothing grows"
    lines = [
        f"{laps} laps in {minutes:.0f} minutes. A lap is {what}.",
        f"Slopes are Theil-Sen's, per lap and without the first, with {LEVEL:.0%} intervals. Something grows if its",
        f"interval lies above 0 and the growth over all laps is more than {NEGLIGIBLE:.0%} of the median.",
        "",
        *(f"- {name}: {fact}" for name, fact in facts.items()),
        f"- verdict: {verdict}",
        "",
        "| quantity | second lap | last lap | largest | change a lap [interval] | |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
        *map(_line, found),
    ]
    return "\n".join(lines) + "\n"


def _trend(name: str, values: np.ndarray) -> Trend:
    slope, _, low, high = stats.theilslopes(values, alpha=LEVEL)
    ends = values[0], values[-1], values.max()
    return Trend(name, *map(float, ends), float(slope), float(low), float(high), len(values), float(np.median(values)))


def _line(trend: Trend) -> str:
    values = " | ".join(f"{value:,.4g}" if value < 1000 else f"{value:,.0f}" for value in trend[1:4])
    change = f"{trend.slope:+.3g} [{trend.low:+.3g}, {trend.high:+.3g}]"
    return f"| {trend.name} | {values} | {change} | {'**grows**' if trend.grows else 'bounded'} |"
