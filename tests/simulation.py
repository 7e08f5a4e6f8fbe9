"""Made-up studies in which the truth is known: how often what is said of them is wrong.

    python tests/simulation.py [studies]    # the slow form, by hand; the tests take 100

`skewed` values are as skewed as the committed seeds, whose sample skewness is -0.24 in the median over the rows;
samples of ten show about half of the true one. Of ten runs of a `stuck` row one ends far below the others.
"""

import gc
import sys

import numpy as np

from stages.core.results import statistics
from stages.core.results.estimates import Estimate, Families

ROWS, SEEDS, MARGIN = 9, 10, 0.02


def normal(random, shape):
    return random.normal(size=shape)


def skewed(random, shape):
    return 4 - random.gamma(16, 0.25, size=shape)  # mean 0, deviation 1, skewness -0.5


def wrong_claims(random, noise):
    """Whether a study says something wrong of rows that do not differ, but for two that differ by just a margin."""
    shared = random.normal(size=SEEDS)
    runs = 0.9 + 0.01 * (shared + noise(random, (ROWS, SEEDS)))
    tests = Families()
    rows = [Estimate(values, tests) for values in runs]
    lower, higher = (Estimate(values + shift, tests) for values, shift in ((runs[1], -MARGIN), (runs[2], MARGIN)))
    baseline = rows[0]

    def findings():
        """Each is wrong if it is yes or no where only an unknown is right, or yes where the answer is no."""
        told = [(row - baseline).above(0) is not None for row in rows[1:]]
        told += [(rows[i] - rows[i + 1]).above(0) is not None for i in range(1, ROWS - 1)]
        told += [(rows[3] / baseline).above(1) is not None, rows[4].above(0.9) is not None]
        told += [(lower - baseline).above(-MARGIN) is not None]  # not inferior by the margin
        told += [(higher - baseline).between(-MARGIN, MARGIN) is True]  # equivalent within it
        return any(told)

    findings()
    tests.adjust()
    return findings()


def held(random, noise, figures=1):
    """Whether the prediction intervals of ten seeds hold one further run of each of so many rows."""
    runs = noise(random, (figures, SEEDS + 1))
    bounds = [statistics.prediction_interval(row[:SEEDS], figures) for row in runs]
    return all(low <= row[SEEDS] <= high for (low, high), row in zip(bounds, runs, strict=True))


def named(random, noise, stuck):
    """Whether ten seeds, of which so many are stuck, are named as two groups, the stuck ones apart."""
    values = 0.944 + 0.003 * noise(random, SEEDS)
    values[:stuck] = 0.85 + 0.01 * random.normal(size=stuck)
    return statistics.apart(values).tolist() == [seed < stuck for seed in range(SEEDS)]


def rate(trial, trials, *arguments):
    random = np.random.default_rng(7)
    return float(np.mean([trial(random, *arguments) for _ in range(trials)]))


def main(trials):
    for noise in (normal, skewed):
        print(f"{noise.__name__}: studies with a wrong claim {rate(wrong_claims, trials, noise):.2%}")
        for figures in (1, 12):
            print(f"  intervals of {figures} that hold one further run each: {rate(held, trials, noise, figures):.2%}")
        for stuck in (0, 1):
            print(f"  {stuck} of ten seeds stuck, named so: {rate(named, trials, noise, stuck):.2%}")


if __name__ == "__main__":
    gc.collect = int  # statsmodels collects garbage in every call: nearly all the time
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
