"""Does anything grow while the pipeline runs again and again? Slopes with their intervals, and a clone to compare with.

A slope alone may be the machine's: peaks of memory move by a percent or two with what else it does, for hours in one
direction. So laps in the clone that has run for long take turns, at the end, with laps in a fresh one.
"""

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


Lap = Mapping[str, float]
"""What a lap needed or left behind, by name."""


class Trend(NamedTuple):
    """How a quantity changes from lap to lap: median of all pairwise slopes (Theil-Sen) with its interval.

    old, fresh: its values in the laps at the end, in the clone that has run for long and in a fresh one.
    """

    name: str
    first: float
    last: float
    largest: float
    slope: float
    low: float
    high: float
    laps: int
    median: float
    old: tuple[float, ...]
    fresh: tuple[float, ...]

    @property
    def grows(self) -> bool:
        """Whether the slope is above zero for certain, enough over all laps to be seen, and no fresh clone has it."""
        risen = self.low > 0 and self.slope * self.laps > NEGLIGIBLE * self.median
        return bool(risen and min(self.old) > max(self.fresh))


def trends(laps: Sequence[Lap], old: Sequence[Lap], fresh: Sequence[Lap]) -> list[Trend]:
    """The trend of each quantity that the laps measure, in their order, after the warm-up.

    Args:
        laps: those of the soak.
        old: laps after it in the same clone.
        fresh: laps in another clone, in turn with those.

    Raises:
        ValueError: there are too few laps.
    """
    kept = laps[WARM_UP:]
    if len(kept) < LEAST_LAPS:
        raise ValueError(f"{len(laps)} laps are too few to speak of a trend, {WARM_UP + LEAST_LAPS} are needed")
    return [_trend(name, *([lap[name] for lap in part] for part in (kept, old, fresh))) for name in kept[0]]


def to_markdown(found: Sequence[Trend], facts: Mapping[str, str], laps: int, minutes: float, what: str) -> str:
    """Markdown of the trends and the verdict.

    Args:
        found: what `trends` gave.
        facts: what it ran on, by name.
        laps: how many there were.
        minutes: how long they took together.
        what: what a lap is.
    """
    compared = len(found[0].old)
    growing = [trend.name for trend in found if trend.grows]
    verdict = f"**growing**: {', '.join(growing)}" if growing else "**bounded**: nothing grows"
    lines = [
        f"{laps} laps in {minutes:.0f} minutes. A lap is {what}.",
        f"Slopes are Theil-Sen's, per lap and without the first, with {LEVEL:.0%} intervals. Something grows if its",
        f"interval lies above 0, the growth over all laps is more than {NEGLIGIBLE:.0%} of the median, and {compared}",
        f"further laps all lie above {compared} in a fresh clone, run in turn: a machine that gets less busy gives a",
        "slope, too.",
        "",
        *(f"- {name}: {fact}" for name, fact in facts.items()),
        f"- verdict: {verdict}",
        "",
        "| quantity | second lap | last lap | largest | change a lap [interval] | at the end | fresh clone | |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
        *map(_line, found),
    ]
    return "\n".join(lines) + "\n"


def _trend(name: str, values: Sequence[float], old: Sequence[float], fresh: Sequence[float]) -> Trend:
    slope, _, low, high = map(float, stats.theilslopes(values, alpha=LEVEL))
    ends = values[0], values[-1], max(values)
    return Trend(name, *ends, slope, low, high, len(values), float(np.median(values)), tuple(old), tuple(fresh))


def _line(trend: Trend) -> str:
    values = " | ".join(map(_number, trend[1:4]))
    change = f"{trend.slope:+.3g} [{trend.low:+.3g}, {trend.high:+.3g}]"
    ranges = " | ".join(_range(part) for part in (trend.old, trend.fresh))
    return f"| {trend.name} | {values} | {change} | {ranges} | {'**grows**' if trend.grows else 'bounded'} |"


def _range(values: Sequence[float]) -> str:
    return "–".join(dict.fromkeys(map(_number, (min(values), max(values)))))


def _number(value: float) -> str:
    return f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"
