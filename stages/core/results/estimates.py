"""Estimates: a figure of every seed, what can be done with it seed by seed, and tests that are counted.

The rows of a study share their seeds, so whatever is made of two rows is made seed by seed: a difference, a gap, a
ratio. A *finding* is True, False or None: yes, no, or not to be told from these seeds.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from stages.core.base.text import p_text
from stages.core.results import statistics
from stages.core.results.statistics import LEVEL
from stages.core.results.tables import DASH, with_spread

Finding = bool | None


@dataclass
class Families:
    """The tests that a study makes, each once, in families: of the document's rows, and of rows beyond it.

    Until `adjust` is called a test counts by itself; from then on Holm's adjustment over its family decides.
    """

    p_values: dict[bool, dict[Hashable, float]] = field(default_factory=lambda: {False: {}, True: {}})
    adjusted: dict[bool, dict[Hashable, float]] | None = None

    def p_value(self, beyond: bool, key: Hashable, p: float) -> float:
        """The test's p-value, adjusted if the families are known. A test that came later counts as one more."""
        if self.adjusted is None:
            self.p_values[beyond][key] = p
            return p
        known = self.adjusted[beyond]
        return known[key] if key in known else min(1.0, p * (len(known) + 1))

    def adjust(self) -> None:
        """Close the families."""
        self.adjusted = {
            beyond: dict(zip(family, statistics.holm(list(family.values())).tolist(), strict=True))
            for beyond, family in self.p_values.items()
        }


@dataclass(frozen=True, eq=False)
class Estimate:
    """A figure of every seed, (seeds,), NaN where it is not finite, with the 95 % interval of its mean.

    The interval is the t interval, cut to the values that the figure can take. Where the seeds fall into two groups it
    is that of the median, and the sign test takes the t-test's place. Without a spread there is neither.
    """

    values: np.ndarray
    tests: Families
    beyond: bool = False
    """is it of a row that was added beyond the document?"""
    limits: tuple[float, float] = (-math.inf, math.inf)
    sign: str = ""
    """"+" for a difference"""
    of_groups: bool = False
    """is it made of figures that fall into two groups?"""

    @property
    def mean(self) -> float:
        """Mean over the finite seeds; the median where they fall into two groups."""
        return self._interval[0]

    @property
    def low(self) -> float:
        return max(self._interval[1], self.limits[0])  # max and min keep a NaN that stands first

    @property
    def high(self) -> float:
        return min(self._interval[2], self.limits[1])

    def above(self, value: float) -> Finding:
        """Is it above the value (yes), below it (no), or not to be told?"""
        return self._told(("apart", value), self._apart_from(value), self.mean > value)

    def below(self, value: float) -> Finding:
        """Is it below the value (yes), above it (no), or not to be told?"""
        above = self.above(value)
        return None if above is None else not above

    def between(self, low: float, high: float) -> Finding:
        """Is it between two values (yes, by two one-sided tests), beyond one of them (no), or not to be told?"""
        inside = low <= self.mean <= high
        p = self._within(low, high) if inside else self._apart_from(low if self.mean < low else high)
        return self._told(("between", low, high), p, inside)

    @property
    def tested(self) -> str:
        """With the adjusted p-value of its being 0."""
        p = self.tests.p_value(self.beyond, self._key(("apart", 0.0)), self._apart_from(0.0))
        found = p_text(p)
        return f"{self}, {f'p {found}' if found.startswith('<') else f'p = {found}' if found else 'no p'}"

    def times(self, factor: float) -> Estimate:
        """A multiple, by a factor that is not negative."""
        low, high = self.limits
        return replace(self, values=factor * self.values, limits=(factor * low, factor * high))

    def __sub__(self, other: Estimate) -> Estimate:
        """Seed by seed."""
        limits = (self.limits[0] - other.limits[1], self.limits[1] - other.limits[0])
        beyond = self.beyond or other.beyond
        values, of_groups = self.values - other.values, self._grouped or other._grouped
        return replace(self, values=values, beyond=beyond, limits=limits, sign="+", of_groups=of_groups)

    def __truediv__(self, other: Estimate) -> Ratio:
        return Ratio(self, other)

    def __str__(self) -> str:
        mean, low, high = self.texts()
        if math.isnan(self.low):
            return f"{mean} [{DASH}]" if self.sign else mean
        return f"{mean} [{low}, {high}]"

    def texts(self) -> list[str]:
        """Mean, low and high with the digits that the interval's half-width supports."""
        return _texts(self.mean, self.low, self.high, self.sign)

    @cached_property
    def _finite(self) -> np.ndarray:
        return self.values[np.isfinite(self.values)]

    @cached_property
    def _interval(self) -> tuple[float, float, float]:
        if self._grouped:
            return statistics.median(self.values)
        sample = statistics.describe(self.values)
        if sample.n < 2 or not sample.sd > 0:
            return sample.mean, math.nan, math.nan
        low, high = stats.t.interval(LEVEL, sample.n - 1, sample.mean, sample.sd / math.sqrt(sample.n))
        return sample.mean, float(low), float(high)

    @cached_property
    def _grouped(self) -> bool:
        return self.of_groups or bool(statistics.apart(self.values).any())

    def _apart_from(self, value: float) -> float:
        """Two-sided p-value of its being the value; NaN without a spread."""
        if self._grouped:
            return statistics.sign_test(self.values - value)
        if math.isnan(self.low):
            return math.nan
        return float(stats.ttest_1samp(self._finite, value).pvalue)

    def _within(self, low: float, high: float) -> float:
        """p-value of its lying outside, by two one-sided tests (Schuirmann 1987; statsmodels' ttost_paired)."""
        if math.isnan(self.low):
            return math.nan
        if self._grouped:  # a two-sided sign test is at most twice as strict
            return max(statistics.sign_test(self.values - low), statistics.sign_test(self.values - high))
        finite = self._finite
        return float(ttost_paired(finite, np.zeros_like(finite), low, high)[0])

    def _told(self, test: Hashable, p: float, yes: bool) -> Finding:
        if math.isnan(p):
            return None
        return bool(yes) if self.tests.p_value(self.beyond, self._key(test), p) < 1 - LEVEL else None

    def _key(self, test: Hashable) -> Hashable:
        return (self.values.tobytes(), test)


@dataclass(frozen=True, eq=False)
class Ratio:
    """Ratio of two means over the seeds that both have, with Fieller's interval for pairs (1954, J. R. Stat. Soc. B
    16:175); there is none in two groups, or where the divisor may be 0."""

    part: Estimate
    whole: Estimate

    @property
    def mean(self) -> float:
        part, whole = self._pairs
        return float(part.mean() / whole.mean()) if part.size and whole.mean() > 0 else math.nan

    def above(self, value: float) -> Finding:
        """Is it above the value (yes), below it (no), or not to be told? Tested as part - value · whole."""
        return (self.part - self.whole.times(value)).above(0)

    def below(self, value: float) -> Finding:
        return (self.part - self.whole.times(value)).below(0)

    def interval(self) -> tuple[float, float]:
        part, whole = self._pairs
        if part.size < 2 or any(statistics.apart(values).any() for values in (part, whole)):
            return math.nan, math.nan
        t = stats.t.ppf((1 + LEVEL) / 2, part.size - 1)
        (a, ab), (_, b) = np.cov(part, whole) * t**2 / part.size
        square, middle = whole.mean() ** 2 - b, part.mean() * whole.mean() - ab
        root = middle**2 - square * (part.mean() ** 2 - a)
        if not (square > 0 and root > 0):
            return math.nan, math.nan
        return float((middle - math.sqrt(root)) / square), float((middle + math.sqrt(root)) / square)

    def __str__(self) -> str:
        low, high = self.interval()
        mean, *ends = _texts(self.mean, low, high)
        return mean if math.isnan(low) else f"{mean} [{', '.join(ends)}]"

    @property
    def _pairs(self) -> tuple[np.ndarray, np.ndarray]:
        both = np.isfinite(self.part.values) & np.isfinite(self.whole.values)
        return self.part.values[both], self.whole.values[both]


@dataclass(frozen=True)
class Share:
    """A share from 0 to 1 that has no spread of its own."""

    mean: float

    @property
    def percent(self) -> str:
        """In percent, at two digits."""
        share = 100 * self.mean
        return DASH if math.isnan(share) else f"{share:.0f} %" if share >= 9.95 else f"{share:.2g} %"


def all_of(*findings) -> Finding:
    """Yes if all are, no if one is not, otherwise, or without any, not to be told (Kleene's three-valued logic).

    Each argument is a finding or an iterable of findings.
    """
    findings = [one for part in findings for one in ([part] if part is None or isinstance(part, bool) else part)]
    return False if False in findings else None if None in findings or not findings else True


def any_of(*findings) -> Finding:
    """Yes if one is, no if none is, otherwise, or without any, not to be told."""
    findings = [one for part in findings for one in ([part] if part is None or isinstance(part, bool) else part)]
    return opposite(all_of(map(opposite, findings)))


def opposite(finding: Finding) -> Finding:
    """No for yes, yes for no."""
    return None if finding is None else not finding


def _texts(mean: float, low: float, high: float, sign: str = "") -> list[str]:
    half = (high - low) / 2
    texts = [with_spread(value, half)[0] for value in (mean, low, high)]
    return [sign + text if text[0].isdigit() else text for text in texts]
