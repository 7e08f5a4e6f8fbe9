"""Answers: each document's question, what its page claims, and what the tables say to it, as Markdown.

The sentences are Jinja templates under `answer` in conf/study/<study>.yaml. They run in Jinja's sandbox, an unknown name
is an error, and everything measured comes from the tables. Their vocabulary:

    row("l2_1e-3")        one row, see `Row`; rows, others, peers: all of them, all but the baseline, and those of the
                          others that differ from the baseline in regularization alone
    baseline, best        the row that differences are from; the row with the best mean
    ranked("log")         rows by distance to a reported log, nearest first
    n, metric, data       seeds a row, e.g. "test accuracy", title of the data set
    detectable            the smallest difference that the seeds could have shown, as text
    all_of(…), any_of(…), opposite(x)    of findings
    x | say("yes", "no", "unknown")      the text for a finding
    rows | listed("difference")          "`label` (difference), …", or "none"; without a name the labels alone

A *finding* is True, False or None: yes, no, or not to be told from these seeds. A claim's `holds` is an expression that
gives a finding; it becomes "holds", "does not hold" or "cannot be told" in the text, so no verdict is ever typed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from jinja2 import StrictUndefined, TemplateError, pass_environment
from jinja2.sandbox import ImmutableSandboxedEnvironment
from scipy import stats

from stages.core import tables
from stages.core.errors import UserError
from stages.core.statistics import LEVEL

Finding = bool | None

FAILURES = ("diverged", "not learning")
"""Diagnoses of a row that does not learn."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval, NaN where the seeds give none; `sign` is "+" for a difference.

    Subtraction and division combine the ends of the intervals in the least favourable way. For rows with the same finite
    seeds the result contains the paired interval, which the tables do not have: the standard deviation of a - r·b is at
    most sd(a) + r·sd(b) (for the ratio this is Fieller's condition, 1954).
    """

    mean: float
    low: float = math.nan
    high: float = math.nan
    sign: str = ""

    def above(self, value: float) -> Finding:
        """Does the interval lie above the value?"""
        return _told(self.low > value, self.high < value)

    def below(self, value: float) -> Finding:
        """Does the interval lie below the value?"""
        return _told(self.high < value, self.low > value)

    def between(self, low: float, high: float) -> Finding:
        """Does the interval lie between two values (yes), outside (no), or across one of them (not to be told)?"""
        return _told(low <= self.low and self.high <= high, self.high < low or self.low > high)

    @property
    def percent(self) -> str:
        """The mean in percent."""
        return "–" if math.isnan(self.mean) else f"{100 * self.mean:.{0 if self.mean >= 0.0995 else 1}f} %"

    def __sub__(self, other: Estimate) -> Estimate:
        return Estimate(self.mean - other.mean, self.low - other.high, self.high - other.low, "+")

    def __truediv__(self, other: Estimate) -> Estimate:
        """NaN unless both are positive, ends included where there are ends."""
        if min(part for part in (self.mean, self.low, other.mean, other.low, 1.0) if not math.isnan(part)) <= 0:
            return Estimate(math.nan)
        return Estimate(self.mean / other.mean, self.low / other.high, self.high / other.low)

    def __str__(self) -> str:
        mean, *ends = self._texts()
        return mean if math.isnan(self.low) else f"{mean} [{', '.join(ends)}]"

    def _texts(self) -> list[str]:
        half = (self.high - self.low) / 2
        texts = [tables.with_spread(value, half)[0] for value in (self.mean, self.low, self.high)]
        return [self.sign + text if text[0].isdigit() else text for text in texts]


@dataclass(frozen=True)
class Row:
    """A row as the templates see it. Texts print as they are, an `Estimate` prints as mean [low, high]."""

    key: str
    _study: Mapping[str, Any] = field(repr=False)
    _table: pd.DataFrame = field(repr=False)
    _curves: pd.DataFrame = field(repr=False)

    @property
    def label(self) -> str:
        """As the document calls it, in code style."""
        return f"`{self._declared['label'].replace('`', "'")}`"

    @property
    def context(self) -> str:
        """What it changes besides regularization."""
        return self._declared["context"]

    @property
    def measured(self) -> str:
        """Mean ± sd (seeds) of the study's metric."""
        line = self._line
        if line["n_finite"] == 0:
            return f"not finite in any of {line['n']} seeds"
        mean, sd = tables.with_spread(line["mean"], line["sd"])
        seeds = str(line["n"]) if line["n_finite"] == line["n"] else f"{line['n_finite']} of {line['n']} finite"
        return f"{mean} ± {sd} ({seeds})"

    @property
    def value(self) -> Estimate:
        """Mean of the study's metric with the t interval over the seeds."""
        line = self._line
        return _t_interval(line["mean"], line["sd"], line["n_finite"])

    @property
    def difference(self) -> Estimate:
        """From the baseline, paired by seed."""
        line = self._line
        return Estimate(line["difference"], line["difference_low"], line["difference_high"], "+")

    @property
    def better(self) -> Finding:
        """Than the baseline: the Holm-adjusted p-value is below 0.05, and the difference has the right sign."""
        line = self._line
        if not line["p_holm"] < 1 - LEVEL:
            return None
        return bool((line["difference"] > 0) == self._study["higher_is_better"])

    @property
    def worse(self) -> Finding:
        """Than the baseline, likewise."""
        return opposite(self.better)

    @property
    def reported(self) -> str:
        """The document's figure."""
        value = self._line["reported"]
        if math.isnan(value):
            return tables.DASH
        return f"{value:.4f}" if self._metric == "accuracy" else f"{value:g}"

    @property
    def reproduced(self) -> Finding:
        """Does the prediction interval of one further run hold the reported figure?"""
        return {"yes": True, "no": False}.get(self._line["reproduced"])

    @property
    def prediction(self) -> str:
        """The reported figure and the 95 % prediction interval that it is held against."""
        line = self._line
        ends = Estimate(line["mean"], line["prediction_low"], line["prediction_high"])._texts()[1:]
        return f"reported {self.reported}, one run gives [{', '.join(ends)}]"

    @property
    def reported_difference(self) -> str:
        """Of the document's figure from the baseline's."""
        return _signed(self._reported_from(lambda ours, theirs: ours - theirs), ".4f")

    @property
    def reported_ratio(self) -> str:
        """Of the document's figure to the baseline's."""
        return f"{self._reported_from(lambda ours, theirs: ours / theirs):.3g}"

    @property
    def reported_difference_reproduced(self) -> Finding:
        """Does the 95 % prediction interval of one further pair of runs hold the document's difference?"""
        difference = self.difference
        return difference_of_a_pair(difference, self._line["n_finite"]).between_ends(
            self._reported_from(lambda ours, theirs: ours - theirs)
        )

    @property
    def diagnosis(self) -> str:
        return self._line["diagnosis"]

    @property
    def evidence(self) -> str:
        return self._line["evidence"]
