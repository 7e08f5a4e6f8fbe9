"""Statistics: hand-computed cases, simulations without an effect, and what seeds cannot tell."""

import math

import numpy as np
import pytest
from scipy import stats

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
    assert statistics.prediction_interval([0.1] * 10) == (pytest.approx(NAN, nan_ok=True),) * 2


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


@pytest.mark.parametrize("n", [2, 3, 10])
def test_prediction_interval_holds_95_percent_of_new_runs(n):
    random, trials = np.random.default_rng(n), 4000
    runs = random.normal(0.97, 0.002, (trials, n + 1))
    bounds = np.array([statistics.prediction_interval(run[:n]) for run in runs])
    held = (bounds[:, 0] <= runs[:, n]) & (runs[:, n] <= bounds[:, 1])
    assert held.mean() == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / trials))


def test_prediction_interval_by_hand():
    # t(0.975, 1) = 12.7062, sqrt(1 + 1/2) = 1.224745, and 1 ± d has the deviation d * sqrt(2)
    low, high = statistics.prediction_interval([1 - 0.1 / math.sqrt(2), 1 + 0.1 / math.sqrt(2)])
    assert (low, high) == (pytest.approx(1 - 1.556188, abs=1e-4), pytest.approx(1 + 1.556188, abs=1e-4))


def test_prediction_intervals_of_several_figures_are_wider():
    values = [0.1, 0.2, 0.4]
    half = stats.t.ppf(1 - 0.025 / 12, 2) * np.std(values, ddof=1) * math.sqrt(4 / 3)
    assert statistics.prediction_interval(values, figures=12) == pytest.approx(
        (np.mean(values) - half, np.mean(values) + half)
    )


@pytest.mark.parametrize("values", [[], [NAN, NAN], [0.5], [0.5, NAN], [0.5, 0.5, 0.5]])
def test_no_prediction_interval_without_spread(values):
    assert np.isnan(statistics.prediction_interval(values)).all()


NINE_AND_ONE = [0.9405, 0.9431, 0.9438, 0.8507, 0.9439, 0.944, 0.9446, 0.9461, 0.9465, 0.9493]


def test_values_that_differ_by_a_single_sample_are_one_group():
    assert not statistics.apart([0.9028, 0.9028, 0.9056, 0.9056, 0.9056]).any()


def test_one_stuck_seed_of_ten_stands_apart():
    assert statistics.apart(NINE_AND_ONE).tolist() == [i == 3 for i in range(10)]
    assert statistics.apart([*NINE_AND_ONE, NAN])[[3, 10]].tolist() == [True, False]
    others = [value for value in NINE_AND_ONE if value > 0.9]
    assert statistics.prediction_interval(NINE_AND_ONE) == statistics.prediction_interval(others)
    assert not statistics.apart(others).any()
    assert not statistics.apart([0.1, 0.9, 0.91]).any()  # three seeds show no groups
    assert not statistics.apart([0.5] * 10).any()


def test_in_two_groups_the_median_is_compared():
    random = np.random.default_rng(0)
    baseline = np.array(NINE_AND_ONE)
    row = np.array([0.947, *(0.947 + 0.002 * random.normal(size=9))])
    found = statistics.paired_difference(row, baseline)
    differences = np.sort(row - baseline)
    assert (found.mean, found.low, found.high) == (np.median(differences), differences[1], differences[8])
    assert found.p_value == pytest.approx(stats.binomtest(int((differences > 0).sum()), 10).pvalue)
    assert math.isnan(found.effect_size)


def test_the_interval_of_a_median_by_hand():
    # of ten values the second and the ninth: P(fewer than 2 of 10 below) = 11/1024, both sides 2.1 %
    assert statistics.median(np.arange(10.0)) == (4.5, 1.0, 8.0)
    assert np.isnan(statistics.median(np.arange(5.0))[1:]).all()
    assert math.isnan(statistics.median([])[0])


def test_sign_test_by_hand():
    assert statistics.sign_test([1, 2, 3, 4, 5, 6]) == pytest.approx(2 / 64)
    assert statistics.sign_test([1, 1, -1, 0, NAN]) == pytest.approx(1.0)
    assert math.isnan(statistics.sign_test([0, 0]))


def test_log_likelihood_is_that_of_one_further_run():
    values = [0.1, 0.2, 0.4]
    scale = np.std(values, ddof=1) * math.sqrt(4 / 3)
    assert statistics.log_likelihood(values, 0.3) == pytest.approx(stats.t.logpdf(0.3, 2, np.mean(values), scale))
    assert math.isnan(statistics.log_likelihood([0.5, 0.5], 0.5))


def test_a_log_may_lie_as_far_as_the_farthest_seed():
    random = np.random.default_rng(0)
    curves = random.normal(size=(10, 5, 4))
    distances = statistics.leave_one_out(curves)
    first = statistics.trajectory_distance(curves[1:].mean(0), curves[1:].std(0, ddof=1), np.full((5, 4), 9), curves[0])
    assert distances[0] == pytest.approx(np.sqrt(np.mean(first**2)))
    assert statistics.distance_limit(curves) == pytest.approx(distances.max())
    one_apart = np.zeros((10, 5, 4))
    one_apart[3] += 0.01
    assert statistics.leave_one_out(one_apart).max() > 90  # in units of the log's last decimal
    assert statistics.distance_limit(one_apart) == pytest.approx(stats.t.ppf(0.975, 9))
    assert math.isnan(statistics.distance_limit(curves[:2]))
    curves[2, 0, 0] = NAN
    assert math.isnan(statistics.distance_limit(curves))


def test_ten_seeds_set_the_limit_of_an_eleventh_run():
    random, trials = np.random.default_rng(1), 400
    beyond = 0
    for _ in range(trials):
        curves = random.normal(size=(11, 5, 4)) + random.normal(size=(11, 1, 1))
        mean, sd = curves[:10].mean(axis=0), curves[:10].std(axis=0, ddof=1)
        distance = statistics.trajectory_distance(mean, sd, np.full((5, 4), 10), curves[10])
        beyond += statistics.root_mean_square(distance) > statistics.distance_limit(curves[:10])
    assert beyond / trials == pytest.approx(1 / 11, abs=0.05)


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
