"""Statistics: hand-computed cases, simulations without an effect, and what seeds cannot tell."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from stages.core.results import statistics

NAN, INF = math.nan, math.inf


def everything(difference):
    return [difference.low, difference.high, difference.p_value, difference.effect_size]


def test_describe_by_hand():
    assert statistics.describe([1.0, 2.0, 3.0, 6.0]) == statistics.Sample(4, 3.0, pytest.approx(math.sqrt(14 / 3)))


def test_values_that_are_not_finite_do_not_count():
    assert statistics.describe([1.0, NAN, 3.0, INF, -INF]) == statistics.Sample(2, 2.0, pytest.approx(math.sqrt(2)))


def test_describe_without_a_finite_value_and_with_one():
    nothing, one = statistics.describe([NAN, INF]), statistics.describe([0.5, NAN])
    assert nothing.n == 0 and math.isnan(nothing.mean) and math.isnan(nothing.sd)
    assert (one.n, one.mean) == (1, 0.5) and math.isnan(one.sd)


def test_equal_values_have_no_spread_at_all():
    assert statistics.describe([0.1] * 10).sd == 0.0  # numpy alone gives 1.5e-17
    assert statistics.prediction_interval(statistics.describe([0.1] * 10)) == (pytest.approx(NAN, nan_ok=True),) * 2


def test_paired_difference_by_hand():
    # differences 1, 2, 3: mean 2, sd 1, t = 2 sqrt(3) on 2 degrees of freedom, t(0.975, 2) = 4.302653
    difference = statistics.paired_difference([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    half = 4.302653 / math.sqrt(3)
    assert (difference.n, difference.mean, difference.effect_size) == (3, 2.0, pytest.approx(2.0))
    assert (difference.low, difference.high) == (pytest.approx(2 - half, rel=1e-6), pytest.approx(2 + half, rel=1e-6))
    # two-sided p of t on 2 degrees of freedom is 1 - t / sqrt(2 + t^2), and t^2 = 12
    assert difference.p_value == pytest.approx(1 - math.sqrt(12 / 14))


def test_pairs_need_both_seeds_finite():
    with_holes = statistics.paired_difference([2.0, NAN, 4.0, 6.0, 5.0], [1.0, 7.0, 2.0, 3.0, INF])
    assert with_holes == statistics.paired_difference([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("values", "baseline", "n", "mean"),
    [
        ([0.9], [0.8], 1, 0.1),
        ([0.9, 0.8, 0.7], [0.8, 0.7, 0.6], 3, 0.1),  # the same difference, up to rounding
        ([0.3, 0.3], [0.3, 0.3], 2, 0.0),
        ([0.0976543, 0.1, 0.1123457], [0.0, 0.0023456, 0.0146914], 3, 0.0976543),  # rounded at the seventh digit
        ([NAN, NAN], [0.3, 0.3], 0, NAN),
        ([0.3, NAN], [NAN, 0.3], 0, NAN),
    ],
)
def test_no_interval_and_no_p_value_without_spread(values, baseline, n, mean):
    difference = statistics.paired_difference(values, baseline)
    assert difference.n == n
    assert difference.mean == pytest.approx(mean, nan_ok=True)
    assert all(math.isnan(value) for value in everything(difference))


def test_unpaired_difference_by_hand():
    # variances 1 and 4, three values each: error sqrt(5/3), degrees of freedom (5/3)^2 / (1/18 + 16/18) = 50/17
    difference = statistics.unpaired_difference([1.0, 2.0, 3.0], [4.0, 6.0, 8.0])
    error = math.sqrt(5 / 3)
    half = stats.t.ppf(0.975, 50 / 17) * error
    assert difference.mean == -4.0
    assert (difference.low, difference.high) == (pytest.approx(-4 - half), pytest.approx(-4 + half))
    assert difference.p_value == pytest.approx(2 * stats.t.sf(4 / error, 50 / 17))
    assert difference.p_value == pytest.approx(stats.ttest_ind([1, 2, 3], [4, 6, 8], equal_var=False).pvalue)


def test_one_side_without_spread_leaves_the_other_sides():
    # the only error is the second side's: 0.1 / sqrt(2) on 1 degree of freedom, t(0.975, 1) = 12.7062
    difference = statistics.unpaired_difference([0.5, 0.5, NAN], [0.1, 0.1 + 0.1 * math.sqrt(2)])
    half = 12.7062 * 0.1 / math.sqrt(2)
    assert difference.high - difference.low == pytest.approx(2 * half, rel=1e-5)


@pytest.mark.parametrize(
    ("values", "others", "mean"),
    [([0.9], [0.5, 0.7], 0.3), ([0.9, 0.9], [0.5, 0.5], 0.4), ([NAN], [0.5, 0.7], NAN), ([], [], NAN)],
)
def test_unpaired_without_spread_or_with_one_value(values, others, mean):
    difference = statistics.unpaired_difference(values, others)
    assert difference.mean == pytest.approx(mean, nan_ok=True)
    assert all(math.isnan(value) for value in (difference.low, difference.high, difference.p_value))


def test_holm_by_hand():
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_holm_leaves_unknown_p_values_out():
    adjusted = statistics.holm([NAN, 0.01, NAN, 0.04, 0.03])
    assert adjusted[[1, 3, 4]] == pytest.approx([0.03, 0.06, 0.06])
    assert np.isnan(adjusted[[0, 2]]).all()
    assert np.isnan(statistics.holm([NAN, NAN])).all()
    assert statistics.holm([]).size == 0


def p_values_of(runs):
    """Paired t-tests of all rows against row 0, (studies, rows - 1), of runs (studies, rows, seeds)."""
    return stats.ttest_rel(runs[:, 1:], runs[:, :1], axis=2).pvalue


def runs_of(random, studies, rows, seeds):
    """Runs without an effect, (studies, rows, seeds): what the rows share in a seed, and what each adds."""
    return random.normal(size=(studies, 1, seeds)) + random.normal(size=(studies, rows, seeds))


def rate_within(share, trials):
    """Three standard errors of a rate that is counted over so many trials."""
    return 3 * math.sqrt(share * (1 - share) / trials)


@pytest.mark.parametrize("rows", [5, 9, 15])  # as many as the studies have
def test_no_effect_gives_at_most_five_percent_false_alarms_in_a_study(monkeypatch, rows):
    monkeypatch.setattr("gc.collect", int)  # statsmodels collects garbage in every call: nearly all the time
    runs = runs_of(np.random.default_rng(rows), studies=4000, rows=rows, seeds=10)
    p_values = p_values_of(runs)
    ours = [[statistics.paired_difference(row, study[0]).p_value for row in study[1:]] for study in runs[:10]]
    assert p_values[:10] == pytest.approx(np.array(ours))
    alarms = np.array([(statistics.holm(line) < 0.05).any() for line in p_values])
    assert 0.01 < alarms.mean() <= 0.05 + rate_within(0.05, len(alarms))


def test_rows_that_differ_do_not_raise_the_false_alarms_of_the_others(monkeypatch):
    monkeypatch.setattr("gc.collect", int)
    runs = runs_of(np.random.default_rng(3), studies=4000, rows=15, seeds=10)
    runs[:, 8:] += 10  # half of the rows are far from the baseline, and Holm's later steps are less strict
    alarms = np.array([(statistics.holm(line)[:7] < 0.05).any() for line in p_values_of(runs)])
    assert alarms.mean() <= 0.05 + rate_within(0.05, len(alarms))


@pytest.mark.parametrize(("rows", "seeds"), [(5, 10), (15, 10), (15, 3)])
def test_a_difference_as_small_as_promised_is_found_as_often_as_promised(monkeypatch, rows, seeds):
    """The last row differs from the baseline by the smallest detectable difference, the others do not."""
    monkeypatch.setattr("gc.collect", int)
    runs = runs_of(np.random.default_rng(rows * seeds), studies=4000, rows=rows, seeds=seeds)
    runs[:, -1] += math.sqrt(2) * statistics.minimum_detectable_effect(seeds, rows - 1)
    p_values = p_values_of(runs)
    alone = (p_values[:, -1] < 0.05 / (rows - 1)).mean()
    assert alone == pytest.approx(0.8, abs=rate_within(0.8, len(runs)))
    adjusted = np.array([statistics.holm(line)[-1] < 0.05 for line in p_values])
    assert adjusted.mean() >= 0.8 - rate_within(0.8, len(runs))


@pytest.mark.parametrize("n", [2, 3, 10])
def test_prediction_interval_holds_95_percent_of_new_runs(n):
    random, trials = np.random.default_rng(n), 4000
    runs = random.normal(0.97, 0.002, (trials, n + 1))
    bounds = np.array([statistics.prediction_interval(statistics.describe(run[:n])) for run in runs])
    held = (bounds[:, 0] <= runs[:, n]) & (runs[:, n] <= bounds[:, 1])
    assert held.mean() == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / trials))


def test_prediction_interval_by_hand():
    # t(0.975, 1) = 12.7062, sqrt(1 + 1/2) = 1.224745
    low, high = statistics.prediction_interval(statistics.Sample(2, 1.0, 0.1))
    assert (low, high) == (pytest.approx(1 - 1.556188, abs=1e-4), pytest.approx(1 + 1.556188, abs=1e-4))


@pytest.mark.parametrize("values", [[], [NAN, NAN], [0.5], [0.5, NAN], [0.5, 0.5, 0.5]])
def test_no_prediction_interval_without_spread(values):
    assert np.isnan(statistics.prediction_interval(statistics.describe(values))).all()


@pytest.mark.parametrize("comparisons", [1, 4, 14])
@pytest.mark.parametrize("n", [2, 3, 5, 10, 64])
def test_minimum_detectable_effect_has_the_stated_power(n, comparisons):
    effect = statistics.minimum_detectable_effect(n, comparisons)
    # The share of samples whose t exceeds its critical value, by scipy's non-central t.
    critical = stats.t.isf(0.025 / comparisons, n - 1)
    assert stats.nct.sf(critical, n - 1, effect * math.sqrt(n)) == pytest.approx(0.8, abs=1e-4)


def test_minimum_detectable_effect_of_one_comparison_is_the_textbook_one():
    assert TTestPower().power(statistics.minimum_detectable_effect(10, 1), 10, 0.05) == pytest.approx(0.8, abs=1e-5)


def test_nothing_is_detectable_with_one_seed_or_no_comparison():
    assert math.isnan(statistics.minimum_detectable_effect(1, 3))
    assert math.isnan(statistics.minimum_detectable_effect(10, 0))


def test_deviation_comes_back_from_the_interval():
    differences = np.array([0.1, 0.25, 0.2, 0.5])
    difference = statistics.paired_difference(differences, np.zeros(4))
    deviation = statistics.deviation_from_interval(difference.low, difference.high, 4)
    assert deviation == pytest.approx(differences.std(ddof=1))


@pytest.mark.parametrize("n", [2, 3, 10])
def test_the_typical_deviation_is_that_of_the_population(n):
    deviations = np.random.default_rng(n).normal(0, 0.3, (20000, n)).std(axis=1, ddof=1)
    assert np.median(deviations) < 0.3 < 1.03 * statistics.typical_deviation(deviations, n)
    assert statistics.typical_deviation(deviations, n) == pytest.approx(0.3, rel=0.02)


def test_trajectory_distance_by_hand():
    # n = 3: the spread of one run is sd * sqrt(4/3); column 1 is off by 3 and 4 spreads, column 2 by none
    spread = 0.01 * math.sqrt(4 / 3)
    reported = np.array([[0.5, 0.1], [0.6, 0.2]])
    mean = reported + np.array([[3 * spread, 0], [-4 * spread, 0]])
    distance = statistics.trajectory_distance(mean, np.full((2, 2), 0.01), np.full((2, 2), 3), reported)
    assert distance == pytest.approx([math.sqrt(12.5), 0.0])


def test_a_column_without_spread_is_measured_in_the_last_decimal_of_the_log():
    distance = statistics.trajectory_distance([[0.1064], [0.1065]], [[0.0], [0.0]], [[10], [10]], [[0.1064], [0.1064]])
    assert distance == pytest.approx([math.sqrt(0.5)])


@pytest.mark.parametrize(("mean", "sd", "n"), [(0.1, NAN, 1), (NAN, NAN, 0)])
def test_no_distance_without_two_finite_seeds(mean, sd, n):
    distance = statistics.trajectory_distance([[0.1, mean]], [[0.01, sd]], [[10, n]], [[0.1, 0.1]])
    assert distance[0] == pytest.approx(0) and math.isnan(distance[1])


def test_root_mean_square():
    assert statistics.root_mean_square([3.0, 4.0]) == pytest.approx(math.sqrt(12.5))
    assert math.isnan(statistics.root_mean_square([3.0, NAN]))
    assert math.isnan(statistics.root_mean_square([]))
