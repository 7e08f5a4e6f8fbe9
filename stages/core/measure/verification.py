"""Does a row that was trained again say what its committed record says?

On the same kind of processor all numbers are the same. Another kind rounds differently, and after many steps its seeds
are, at worst, like other seeds. So the means over the seeds, on each split, may differ by as much as those of two sets
of other seeds would in 999 of 1,000 trials: t(0.9995, 2n - 2) · s · √(2/n), with the pooled standard deviation s
(Student's interval of a difference of two means). What a single sample weighs comes on top, for seeds without spread.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from stages.core.records.records import Record, summarize

LEVEL = 0.999
RELATIVE = 1e-3
"""What a single sample weighs in a mean error, as a share of the error."""


class Difference(NamedTuple):
    """The metric on one split: its means over the finite seeds, and how far apart they may be."""

    split: str
    committed: float
    fresh: float
    tolerance: float

    @property
    def inside(self) -> bool:
        """Whether the means agree; two that are both not finite do."""
        if math.isnan(self.committed) or math.isnan(self.fresh):
            return math.isnan(self.committed) and math.isnan(self.fresh)
        return abs(self.fresh - self.committed) <= self.tolerance


class Verdict(NamedTuple):
    """What became of a row: identical, or else how its splits compare."""

    row: str
    identical: bool
    differences: Sequence[Difference]
    finite: tuple[int, int]
    """seeds whose loss stayed finite, committed and fresh"""
    seeds: int

    @property
    def inside(self) -> bool:
        """Identical or inside the tolerance; a row in which all seeds diverge, or none, must do so again."""
        same_fate = self.finite[0] == self.finite[1] or 0 < self.finite[0] < self.seeds
        return self.identical or (same_fate and all(difference.inside for difference in self.differences))

    @property
    def word(self) -> str:
        return "identical" if self.identical else "inside the tolerance" if self.inside else "DIFFERENT"


def compare(row: str, committed: Mapping[str, Any], fresh: Mapping[str, Any]) -> Verdict:
    """Hold the record of a row that was trained again, as JSON has it, against the committed one.

    Args:
        row: what the row is called.
        committed, fresh: sound records of the same configuration, seeds and data.
    """
    before, after = (Record.model_validate(dict(record)) for record in (committed, fresh))
    finals = [summarize(record).final for record in (before, after)]
    samples = before.data.samples
    first, second = ({split: final[split][before.metric] for split in samples} for final in finals)
    differences = [_difference(s, first[s], second[s], before.metric, samples[s]) for s in samples]
    finite = (_finite(before), _finite(after))
    return Verdict(row, committed["seeds"] == fresh["seeds"], differences, finite, len(before.seeds))


def to_markdown(verdicts: Sequence[Verdict]) -> str:
    """A table, one line a row; of the splits the one that comes closest to its tolerance."""
    lines = [
        "| row | verdict | split | committed mean | difference | tolerance |",
        "| --- | --- | --- | ---: | ---: | ---: |",
    ]
    for verdict in verdicts:
        split, committed, fresh, tolerance = max(verdict.differences, key=_closeness)
        cells = [verdict.row, verdict.word, split, f"{committed:.4f}", f"{fresh - committed:+.2g}", f"{tolerance:.2g}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _difference(split: str, committed: np.ndarray, fresh: np.ndarray, metric: str, samples: int) -> Difference:
    first, second = (values[np.isfinite(values)] for values in (committed, fresh))
    if not len(first) or not len(second):
        return Difference(split, _mean(first), _mean(second), 0.0)
    tolerance = 1 / samples if metric == "accuracy" else RELATIVE * _mean(first)
    n = min(len(first), len(second))
    if n > 1:
        spread = math.sqrt((first.var(ddof=1) + second.var(ddof=1)) / 2)
        tolerance += stats.t.ppf((1 + LEVEL) / 2, 2 * n - 2) * spread * math.sqrt(2 / n)
    return Difference(split, _mean(first), _mean(second), float(tolerance))


def _finite(record: Record) -> int:
    return sum(seed.first_non_finite_epoch is None for seed in record.seeds)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def _closeness(difference: Difference) -> float:
    distance = abs(difference.fresh - difference.committed)
    return math.inf if not difference.inside else distance / difference.tolerance if difference.tolerance else 0.0
