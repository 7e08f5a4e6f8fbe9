"""Does anything grow while the pipeline runs again and again? The clone that has run for long is held against a fresh
one, lap by lap in turn: whatever else the machine does meets both."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from stages.core.training.programs import MOST_PROGRAMS

NEGLIGIBLE = 0.01
"""More than in a fresh clone by less than this share does not matter."""

Lap = Mapping[str, float]
"""What a lap needed or left behind, by name."""

PROGRAMS = "compiled programs in the fullest archive"
LIMITS = {PROGRAMS: float(MOST_PROGRAMS)}
"""What fills up and is then emptied grows only beyond its limit."""


class Comparison(NamedTuple):
    """A quantity: after the first lap, and in the laps at the end in the old clone and in a fresh one."""

    name: str
    first: float
    old: Sequence[float]
    fresh: Sequence[float]

    @property
    def grows(self) -> bool:
        """Whether every lap of the old clone needs more than any of the fresh one, and by enough to be seen; of what
        has a limit, whether any lap passed it."""
        if self.name in LIMITS:
            return max(self.old) > LIMITS[self.name]
        more = statistics.median(self.old) > (1 + NEGLIGIBLE) * statistics.median(self.fresh)
        return more and min(self.old) > max(self.fresh)


def compare(first: Lap, old: Sequence[Lap], fresh: Sequence[Lap]) -> list[Comparison]:
    """One comparison for each quantity that the laps measure."""
    return [Comparison(name, first[name], *([lap[name] for lap in laps] for laps in (old, fresh))) for name in first]


def to_markdown(found: Sequence[Comparison], facts: Mapping[str, str], laps: int, minutes: float, what: str) -> str:
    """Markdown of the comparisons and the verdict.

    Args:
        found: what `compare` gave.
        facts: what it ran on, by name.
        laps: how many there were before the comparison.
        minutes: how long they took together.
        what: what a lap is.
    """
    growing = [one.name for one in found if one.grows]
    verdict = f"**growing**: {', '.join(growing)}" if growing else "**bounded**: nothing grows"
    lines = [
        f"{laps} laps in {minutes:.0f} minutes, then {len(found[0].old)} more in turn with as many in a fresh clone.",
        f"A lap is {what}. Something grows if all of these laps need more than all in the fresh clone, by more than",
        f"{NEGLIGIBLE:.0%}.",
        "",
        *(f"- {name}: {fact}" for name, fact in facts.items()),
        f"- verdict: {verdict}",
        "",
        "| quantity | first lap | at the end | fresh clone | |",
        "| --- | ---: | ---: | ---: | --- |",
        *(
            f"| {one.name} | {_number(one.first)} | {_range(one.old)} | {_range(one.fresh)} "
            f"| {'**grows**' if one.grows else _bounded(one.name)} |"
            for one in found
        ),
    ]
    return "\n".join(lines) + "\n"


def _bounded(name: str) -> str:
    return f"bounded, by {_number(LIMITS[name])}" if name in LIMITS else "bounded"


def _range(values: Sequence[float]) -> str:
    return "–".join(dict.fromkeys(map(_number, (min(values), max(values)))))


def _number(value: float) -> str:
    return f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"
