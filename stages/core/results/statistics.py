"""Statistics of seeds: means, differences, intervals, adjusted p-values, groups of seeds, distance to a reported log.

Every function takes and gives numpy arrays or plain numbers. A seed whose value is not finite does not count. What
one seed, or seeds without any spread, cannot tell is NaN: there is no interval and no p-value then.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

LEVEL = 0.95
"""Coverage of every interval."""

RESOLUTION = 1e-6
"""Values that differ by less than this share of the largest are the same value: records keep seven significant digits,
and a spread made of rounding alone would turn any difference into a highly significant one."""

LOG_RESOLUTION = 1e-4
"""One unit of the last decimal to which the documents print every column of a log: the least spread that a distance to
a log is measured in, so that a column in which all seeds agree does not divide by zero."""


LEAST_FOR_GROUPS = 5
"""Fewer seeds show no groups: among them any gap may be chance."""

GROUPS_BY_CHANCE = 1e-5
"""Tail of Student's t(n - 2) beyond which a gap is no chance: of normal values about one sample in 10,000 has one."""


@dataclass(frozen=True)
class Sample:
    """Mean and standard deviation (n - 1 in the denominator) over the n finite values."""

    n: int
    mean: float
    sd: float


@dataclass(frozen=True)
class PairedDifference:
    """Value minus baseline over the n pairs in which both are finite.

    `low` and `high` bound the 95 % t interval of the mean, `p_value` is the two-sided paired t-test's, `effect_size` is
    Cohen's d_z. Where they, or the values on a side, fall into two groups, `mean` is their median, with its own
    interval and the sign test's p-value, for a t interval knows of one group only.
    """

    n: int
    mean: float
    low: float
    high: float
    p_value: float
    effect_size: float


@dataclass(frozen=True)
class UnpairedDifference:
    """Mean of one sample minus mean of another, independent one, over their finite values.

    `low` and `high` bound Welch's 95 % interval, `p_value` is the two-sided Welch test's.
    """

    mean: float
    low: float
    high: float
    p_value: float


def describe(values: ArrayLike) -> Sample:
    """Mean, standard deviation and number of the finite `values`, any shape; the deviation of one value is NaN."""
    finite = _finite(values)
    if finite.size == 0:
        return Sample(0, np.nan, np.nan)
    if finite.size == 1:
        return Sample(1, float(finite[0]), np.nan)
    return Sample(finite.size, float(finite.mean()), float(finite.std(ddof=1)) if _has_spread(finite) else 0.0)


def paired_difference(values: ArrayLike, baseline: ArrayLike) -> PairedDifference:
    """Compare a row with its baseline, seed by seed.

    Args:
        values: the row's metric, one a seed, (n,).
        baseline: the baseline's, of the same seeds, (n,).

    Returns:
        The mean difference with its t interval and p-value (scipy.stats.ttest_rel) and Cohen's d_z, the mean of the
        differences over their standard deviation (Lakens 2013, Frontiers in Psychology 4:863, equation 6); where seeds
        stand apart, the median with its interval and the p-value of the sign test. With fewer
        than two pairs, or if all differences are the same, all but the mean are NaN; in two groups the effect size is.
    """
    values, baseline = np.asarray(values, float), np.asarray(baseline, float)
    both = np.isfinite(values) & np.isfinite(baseline)
    values, baseline = values[both], baseline[both]
    differences = values - baseline
    sample = describe(differences)
    if sample.n < 2 or not _has_spread(differences, scale=np.abs([values, baseline]).max()):
        return PairedDifference(sample.n, sample.mean, np.nan, np.nan, np.nan, np.nan)
    if any(apart(part).any() for part in (differences, values, baseline)):
        middle, low, high = median(differences)
        return PairedDifference(sample.n, middle, low, high, sign_test(differences), np.nan)
    test = stats.ttest_rel(values, baseline)
    interval = test.confidence_interval(LEVEL)
    return PairedDifference(
        sample.n, sample.mean, float(interval.low), float(interval.high), float(test.pvalue), sample.mean / sample.sd
    )


def unpaired_difference(values: ArrayLike, others: ArrayLike) -> UnpairedDifference:
    """Compare two samples that have no seed in common.

    Args:
        values: (n,).
        others: (m,).

    Returns:
        The difference of the means with its interval and p-value for unequal variances (Welch 1947, Biometrika 34:28;
        statsmodels' CompareMeans). With fewer than two values on a side, or if neither has a spread, all but the mean
        are NaN.
    """
    values, others = _finite(values), _finite(others)
    mean = describe(values).mean - describe(others).mean
    if min(values.size, others.size) < 2 or not (_has_spread(values) or _has_spread(others)):
        return UnpairedDifference(mean, np.nan, np.nan, np.nan)
    means = CompareMeans(DescrStatsW(values), DescrStatsW(others))
    low, high = means.tconfint_diff(alpha=1 - LEVEL, usevar="unequal")
    return UnpairedDifference(mean, float(low), float(high), float(means.ttest_ind(usevar="unequal")[1]))


def apart(values: ArrayLike) -> np.ndarray:
    """The smaller of two groups that the values fall into, as a mask of their shape (n,); nothing is marked without.

    The values are cut at their largest gap. It parts two groups if it is wider than the values scatter within them by
    more than chance gives (GROUPS_BY_CHANCE); values that differ by single samples scatter at least as rounding to
    their smallest gap does (Sheppard's correction). Fewer than LEAST_FOR_GROUPS values show no groups. Values that are not
    finite belong to none.
    """
    values = np.asarray(values, float)
    finite = np.sort(_finite(values))
    none = np.zeros(values.shape, bool)
    if finite.size < LEAST_FOR_GROUPS or not _has_spread(finite):
        return none
    gaps = np.diff(finite)
    cut = int(gaps.argmax()) + 1
    within = np.concatenate([part - part.mean() for part in (finite[:cut], finite[cut:])])
    rounding = gaps[gaps > 0].min() ** 2 / 12
    scatter = np.sqrt(max(np.sum(within**2) / (finite.size - 2), rounding))
    if not gaps.max() > stats.t.isf(GROUPS_BY_CHANCE, finite.size - 2) * scatter:
        return none
    below = np.isfinite(values) & (values < finite[cut])
    return below if cut <= finite.size / 2 else np.isfinite(values) & ~below


def median(values: ArrayLike) -> tuple[float, float, float]:
    """Median of the finite values, and the narrowest pair of them that holds the true one with 95 % probability.

    The pair comes from the binomial distribution (Hahn & Meeker 1991, section 5.2); NaN for fewer than six values.
    """
    values = np.sort(_finite(values))
    k = int(stats.binom.ppf((1 - LEVEL) / 2, values.size, 0.5)) if values.size else 0
    if k < 1:
        return (float(np.median(values)) if values.size else np.nan), np.nan, np.nan
    return float(np.median(values)), float(values[k - 1]), float(values[-k])


def sign_test(differences: ArrayLike) -> float:
    """Two-sided p-value of a median of 0 (scipy's binomtest); ties count for neither side, NaN if all are ties."""
    differences = _finite(differences)
    above, untied = int(np.sum(differences > 0)), int(np.sum(differences != 0))
    return float(stats.binomtest(above, untied).pvalue) if untied else np.nan


def holm(p_values: ArrayLike) -> np.ndarray:
    """Holm's adjusted p-values (Holm 1979; statsmodels), (m,); a NaN stays NaN and does not count as a comparison."""
    p_values = np.asarray(p_values, float)
    adjusted = np.full(p_values.shape, np.nan)
    known = np.isfinite(p_values)
    if known.any():
        _spare_imports()
        adjusted[known] = multipletests(p_values[known], method="holm")[1]
    return adjusted


@cache
def _spare_imports() -> None:
    """Leave what lives until the end out of garbage collections: `multipletests` has one made at every call."""
    gc.freeze()


def prediction_interval(values: ArrayLike, figures: int = 1) -> tuple[float, float]:
    """Where one further run falls with 95 % probability: mean ± t(n - 1) · sd · sqrt(1 + 1/n).

    The source is Hahn & Meeker, Statistical Intervals (1991), section 4.7. NaN with fewer than two values or no spread.
    Where the values fall into two groups the interval is that of the larger one.

    Args:
        values: one a seed, (n,).
        figures: so many intervals are to hold theirs together with 95 % probability (Bonferroni).
    """
    values = np.asarray(values, float)
    sample = describe(values[~apart(values)])
    if sample.n < 2 or not sample.sd > 0:
        return np.nan, np.nan
    level = 1 - (1 - LEVEL) / figures
    low, high = stats.t.interval(level, sample.n - 1, sample.mean, _spread_of_one_run(sample.sd, sample.n))
    return float(low), float(high)


def log_likelihood(values: ArrayLike, reported: float) -> float:
    """Log density of a reported figure among further runs: Student's t(n - 1), as wide as one run spreads.

    NaN with fewer than two values or no spread.
    """
    sample = describe(values)
    if sample.n < 2 or not sample.sd > 0:
        return np.nan
    return float(stats.t.logpdf(reported, sample.n - 1, sample.mean, _spread_of_one_run(sample.sd, sample.n)))


def trajectory_distance(mean: ArrayLike, sd: ArrayLike, n: ArrayLike, reported: ArrayLike) -> np.ndarray:
    """How far a reported log lies from the measured curves, per column, in units of the seeds' spread.

    Args:
        mean, sd, n: over the finite seeds, (epochs, columns).
        reported: the log, (epochs, columns).

    Returns:
        (columns,): root mean square over the epochs of (mean - reported) / spread. The spread is that of one further
        run, sd · sqrt(1 + 1/n), for the log is one run; it is at least LOG_RESOLUTION. A column with an epoch that
        fewer than two finite seeds reached is NaN: it has no spread to measure in.
    """
    mean, sd, n, reported = (np.asarray(part, float) for part in (mean, sd, n, reported))
    known = (n >= 2) & np.isfinite(mean)
    spread = np.maximum(_spread_of_one_run(sd, np.where(known, n, np.nan)), LOG_RESOLUTION)
    return root_mean_square(np.where(known, (mean - reported) / spread, np.nan))


def leave_one_out(curves: ArrayLike) -> np.ndarray:
    """Distance of each seed's own curves to those of the other seeds, as `trajectory_distance` measures a log's.

    Args:
        curves: (seeds, epochs, columns).

    Returns:
        (seeds,): root mean square over the columns; NaN with fewer than three seeds or where a value is not finite.
    """
    curves = np.asarray(curves, float)
    n = len(curves)
    distances = np.full(n, np.nan)
    if n < 3:
        return distances
    for seed in range(n):
        others = np.delete(curves, seed, axis=0)
        shape = np.full(others.shape[1:], n - 1)
        columns = trajectory_distance(others.mean(axis=0), others.std(axis=0, ddof=1), shape, curves[seed])
        distances[seed] = root_mean_square(columns)
    return distances


def distance_limit(curves: ArrayLike) -> float:
    """How far a log may lie from a row's curves and still look like one more run of it.

    The largest distance of one seed to the others: of n + 1 runs alike, the last is the farthest once in n + 1 cases.
    It is at most where the 95 % prediction interval of a single figure ends, t(n - 1), for seeds that agree but for one
    make that one infinitely far. NaN as in `leave_one_out`.

    Args:
        curves: (seeds, epochs, columns).
    """
    largest = np.max(leave_one_out(curves), initial=-np.inf)
    return float(np.minimum(largest, stats.t.ppf((1 + LEVEL) / 2, len(curves) - 1)))


def root_mean_square(values: ArrayLike) -> np.ndarray:
    """Root mean square along the first axis; NaN where a value is NaN, or where there is none."""
    values = np.asarray(values, float)
    if values.shape[0] == 0:
        return np.full(values.shape[1:], np.nan)
    return np.sqrt(np.mean(np.square(values), axis=0))


def _finite(values: ArrayLike) -> np.ndarray:
    values = np.asarray(values, float)
    return values[np.isfinite(values)]


def _has_spread(values: np.ndarray, scale: float | None = None) -> bool:
    return bool(np.ptp(values) > RESOLUTION * (np.abs(values).max() if scale is None else scale))


def _spread_of_one_run(sd, n):
    return sd * np.sqrt(1 + 1 / n)
