"""Statistics of seeds: means, differences, intervals, adjusted p-values, power, distance to a reported log.

Every function takes and gives numpy arrays or plain numbers. A seed whose value is not finite does not count. What
one seed, or seeds without any spread, cannot tell is NaN: there is no interval and no p-value then.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

LEVEL = 0.95
"""Coverage of every interval."""

POWER = 0.8
"""Chance to find a real difference that the smallest detectable difference is stated for (Cohen 1988, section 2.4)."""

RESOLUTION = 1e-6
"""Values that differ by less than this share of the largest are the same value: records keep seven significant digits,
and a spread made of rounding alone would turn any difference into a highly significant one."""

LOG_RESOLUTION = 1e-4
"""One unit of the last decimal to which the documents print every column of a log: the least spread that a distance to
a log is measured in, so that a column in which all seeds agree does not divide by zero."""


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
    Cohen's d_z.
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
        differences over their standard deviation (Lakens 2013, Frontiers in Psychology 4:863, equation 6). With fewer
        than two pairs, or if all differences are the same, all but the mean are NaN.
    """
    values, baseline = np.asarray(values, float), np.asarray(baseline, float)
    both = np.isfinite(values) & np.isfinite(baseline)
    values, baseline = values[both], baseline[both]
    differences = values - baseline
    sample = describe(differences)
    if sample.n < 2 or not _has_spread(differences, scale=np.abs([values, baseline]).max()):
        return PairedDifference(sample.n, sample.mean, np.nan, np.nan, np.nan, np.nan)
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


def holm(p_values: ArrayLike) -> np.ndarray:
    """Holm's adjusted p-values (Holm 1979; statsmodels), (m,); a NaN stays NaN and does not count as a comparison."""
    p_values = np.asarray(p_values, float)
    adjusted = np.full(p_values.shape, np.nan)
    known = np.isfinite(p_values)
    if known.any():
        adjusted[known] = multipletests(p_values[known], method="holm")[1]
    return adjusted


def prediction_interval(sample: Sample) -> tuple[float, float]:
    """Where one further run falls with 95 % probability: mean ± t(n - 1) · sd · sqrt(1 + 1/n).

    The source is Hahn & Meeker, Statistical Intervals (1991), section 4.7. NaN with fewer than two values or no spread.
    """
    if sample.n < 2 or not sample.sd > 0:
        return np.nan, np.nan
    low, high = stats.t.interval(LEVEL, sample.n - 1, sample.mean, _spread_of_one_run(sample.sd, sample.n))
    return float(low), float(high)


def minimum_detectable_effect(n: int, comparisons: int) -> float:
    """The smallest d_z that n pairs find with probability POWER in a two-sided paired t-test (statsmodels' TTestPower).

    The test's level is (1 - LEVEL) / comparisons, that of the strictest step of Holm's procedure, so the value holds
    whatever the other comparisons give. NaN with fewer than two pairs or no comparison.
    """
    if n < 2 or comparisons < 1:
        return np.nan
    # One tail at half the level: the other tail adds nothing visible at this power, and scipy's non-central t, which
    # statsmodels asks for both, has holes (NaN) there that end the search at a wrong value.
    alpha = (1 - LEVEL) / comparisons / 2
    effect = TTestPower().solve_power(nobs=n, alpha=alpha, power=POWER, alternative="larger")
    return float(np.squeeze(effect))


def deviation_from_interval(low: ArrayLike, high: ArrayLike, n: int) -> np.ndarray:
    """Standard deviation of n differences from the t interval [low, high] of their mean."""
    half = (np.asarray(high, float) - np.asarray(low, float)) / 2
    return half * np.sqrt(n) / stats.t.ppf((1 + LEVEL) / 2, n - 1)


def typical_deviation(deviations: ArrayLike, n: int) -> float:
    """The median of standard deviations, each of n normal values, without its bias.

    The median of the standard deviation of n values is σ · sqrt(median of χ²(n - 1) / (n - 1)), which is below σ.
    """
    return float(np.median(deviations) / np.sqrt(stats.chi2.median(n - 1) / (n - 1)))


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
