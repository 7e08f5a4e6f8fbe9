"""Diagnosis: every label on rows made for it and on their neighbours across each threshold, and no false alarms."""

import dataclasses
import math

import numpy as np
import pytest
from test_records import a_config, a_summary

from stages.core.results import diagnosis
from stages.core.results.diagnosis import diagnose

N = 10
JITTER = np.linspace(-0.001, 0.001, N)
OTHER = np.random.default_rng(0).permutation(JITTER)  # not in step with JITTER, so that differences have a spread
NAN = math.nan
FLAT = (1.0, 0.6, 0.5, 0.45, 0.445, 0.44)


def a_row(*, train=0.95, test=0.948, held_out=FLAT, fall=FLAT, epochs=None, config=None, **options):
    """A row of ten seeds; `held_out` and `fall` are the curves of the data loss on held-out and on training samples."""
    config = config or a_config(seeds=N)
    changes = {name: options.pop(name) for name in ("saturated_share", "zero_share") if name in options}
    noise = OTHER if config["row"] == "none" else np.roll(OTHER, 3)
    row = a_summary(config=config, train=train + JITTER, test=test + noise, **options)
    metric = row.metric
    epochs = np.arange(1, len(held_out) + 1) if epochs is None else np.array(epochs)
    curves = {"data_loss": fall, "val_data_loss": held_out, "loss": fall, "val_loss": held_out}
    curves |= {metric: [0.0] * (len(epochs) - 1) + [np.mean(train)], f"val_{metric}": [0.0] * len(epochs)}
    curve = {name: np.tile(np.array(values, float), (N, 1)) for name, values in curves.items()}
    share = np.tile(row.penalty_share[:, None], (1, len(epochs)))
    curve |= {"penalty": share * curve["loss"], "penalty_share": share}
    return dataclasses.replace(row, epochs=epochs, curve=curve, row=config["row"], **changes)


def regularized(**options):
    return a_row(config=a_config(row="l2", l2=1e-3, seeds=N), **options)


def linear(**options):
    return a_row(config=a_config(row="linear", activation="linear", seeds=N), **options)


BASELINE = a_row()


def name_of(row, baseline=BASELINE):
    return diagnose(row, baseline).name


def lost(summary, epochs):
    """The summary with a loss that was not finite from these epochs on, NaN for a seed that stayed finite."""
    epochs = np.array([*epochs, *[NAN] * (N - len(epochs))])
    final = {split: dict(figures) for split, figures in summary.final.items()}
    final["train"]["loss"] = np.where(np.isfinite(epochs), NAN, final["train"]["loss"])
    return dataclasses.replace(summary, first_non_finite_epoch=epochs, final=final)


# --- each label, and its neighbours across the thresholds

RISING = (1.0, 0.6, 0.5, 0.45, 0.46, 0.475)
"""A held-out loss that ends 5.6 % above its lowest epoch."""

LABELS = {
    "a good row": (BASELINE, "learning"),
    "better than the baseline": (regularized(train=0.96, test=0.96), "learning"),
    "skill 0.06": (a_row(train=0.53, test=0.53), "barely learning"),
    "skill 0.04": (a_row(train=0.52, test=0.52), "not learning"),
    "below half of the baseline's skill": (a_row(train=0.72, test=0.72), "barely learning"),
    "above half of the baseline's skill": (linear(train=0.74, test=0.74), "underfitting"),
    "held-out skill lower by 0.012": (regularized(train=0.94, test=0.942), "over-regularized"),
    "held-out skill lower by 0.004": (regularized(train=0.94, test=0.946), "learning"),
    "lower with a gap": (regularized(train=0.94, test=0.9), "over-regularized"),
    "held-out skill lower, training skill higher": (regularized(train=0.96, test=0.942), "learning"),
    "lower, and another activation": (linear(train=0.94, test=0.942), "underfitting"),
    "dropout regularizes": (
        a_row(config=a_config(row="d", dropout=0.5, seeds=N), train=0.9, test=0.9),
        "over-regularized",
    ),
    "gap and a rising loss": (a_row(train=0.99, held_out=RISING), "overfitting"),
    "gap of 0.004 in skill and a rising loss": (a_row(train=0.95, held_out=RISING), "learning"),
    "gap and a loss that ends 4 % up": (a_row(train=0.99, held_out=(1.0, 0.6, 0.5, 0.45, 0.46, 0.468)), "learning"),
    "gap and a flat loss": (a_row(train=0.99), "learning"),
    "gap in four epochs": (a_row(train=0.99, held_out=(0.5, 0.6, 0.7, 0.8), fall=(1.0, 0.9, 0.9, 0.9)), "learning"),
    "three epochs, the loss falls by 2 %": (
        a_row(held_out=(1.0, 0.9, 0.9), fall=(1.0, 0.8, 0.784)),
        "still improving",
    ),
    "three epochs, the loss falls by 0.5 %": (a_row(held_out=(1.0, 0.9, 0.9), fall=(1.0, 0.8, 0.796)), "learning"),
    "one epoch": (a_row(held_out=(1.0,), fall=(1.0,)), "still improving"),
    "held-out loss falls by 2.5 % an epoch": (
        a_row(held_out=0.975 ** np.arange(9), fall=np.ones(9)),
        "still improving",
    ),
    "held-out loss falls by 1.5 % an epoch": (a_row(held_out=0.985 ** np.arange(9), fall=np.ones(9)), "learning"),
    "it fell long ago": (a_row(held_out=(9, 8, 7, 6, 0.5, 0.5, 0.5, 0.5, 0.5), fall=np.ones(9)), "learning"),
}


@pytest.mark.parametrize("case", LABELS)
def test_label(case):
    row, expected = LABELS[case]
    assert name_of(row) == expected


def test_every_label_is_made():
    assert {expected for _, expected in LABELS.values()} | {"diverged"} == set(diagnosis.NAMES)


def test_an_epoch_is_an_epoch_where_few_are_recorded():
    """The same fall over the last third, recorded at every tenth epoch: a tenth of it an epoch."""
    held_out = 0.975 ** np.arange(10)
    assert name_of(a_row(held_out=held_out, fall=np.ones(10), epochs=range(10, 110, 10))) == "learning"


def test_regression_has_the_same_thresholds():
    def error(**options):
        return a_row(metric="mae", guess=0.2, **options)

    good = error(train=0.05, test=0.052)
    assert name_of(good, good) == "learning"
    assert name_of(error(train=0.196, test=0.2), good) == "not learning"
    assert name_of(error(train=0.03, test=0.052, held_out=RISING), good) == "overfitting"
    crushed = a_row(metric="mae", guess=0.2, train=0.0753, test=0.0838, config=a_config(row="d", dropout=0.2, seeds=N))
    best = error(train=0.0085, test=0.0725, held_out=RISING)
    assert name_of(crushed, best) == "over-regularized"


def test_one_class_for_nearly_every_sample_is_not_learning():
    shares = {"train": np.full(N, 0.99), "test": np.full(N, 0.99)}
    found = diagnose(dataclasses.replace(a_row(train=0.6), top_class_share=shares), BASELINE)
    assert found.name == "not learning"
    assert "one class for 99.0% of the samples in 10 of 10" in found.evidence
    rare = {"train": np.full(N, 0.96), "test": np.full(N, 0.96)}  # a rare class that is found
    row = dataclasses.replace(a_row(train=0.998, test=0.998, guess=0.96), top_class_share=rare)
    assert name_of(row, row) == "learning"


def test_the_median_seed_decides_and_the_others_are_mentioned():
    few = np.where(np.arange(N) < 4, 0.5, 0.95)
    found = diagnose(a_row(train=few, test=few), BASELINE)
    assert found.name != "not learning" and "4 of 10 seeds not learning" in found.evidence
    most = np.where(np.arange(N) < 5, 0.5, 0.95)
    found = diagnose(a_row(train=most, test=most), BASELINE)
    assert found.name == "not learning" and "5 of 10 seeds not learning" in found.evidence


def test_diverged_says_how_many_seeds_and_from_which_epoch():
    assert diagnose(lost(BASELINE, [1.0] * N), BASELINE) == diagnosis.Diagnosis(
        "diverged", "loss not finite in 10 of 10 seeds, from epoch 1"
    )
    assert diagnose(lost(BASELINE, [9.0, 7.0]), BASELINE).evidence == (
        "loss not finite in 2 of 10 seeds, from epoch 7 (the last of them from 9)"
    )
    after = dataclasses.replace(lost(BASELINE, [1.0]), first_non_finite_epoch=np.full(N, NAN))
    assert diagnose(after, BASELINE).evidence == "loss not finite in 1 of 10 seeds, after the last epoch"


def test_a_penalty_is_evidence_and_never_a_label():
    best = regularized(train=0.96, test=0.96, penalty=0.9)
    found = diagnose(best, BASELINE)
    assert found.name == "learning"
    assert "penalty 90% of the loss in epoch 1" in found.evidence


def test_the_adjusted_p_value_decides():
    noisy = regularized(train=0.9, test=0.93 + 20 * np.roll(OTHER, 3))
    p = diagnosis._held_out_difference(noisy, BASELINE).p_value
    assert 0.001 < p < 0.05
    assert diagnose(noisy, BASELINE).name == "over-regularized"
    assert diagnose(noisy, BASELINE, 0.051).name != "over-regularized"
    rows = {"none": BASELINE, "l2": noisy} | {
        f"same{i}": regularized(test=0.948 + np.roll(OTHER, i) - OTHER) for i in range(60)
    }
    together = diagnosis.diagnose_all(rows, "none", [rows])
    assert together["l2"].name != "over-regularized"
    apart = diagnosis.diagnose_all(rows, "none", [["none", "l2"], [name for name in rows if name.startswith("same")]])
    assert apart["l2"].name == "over-regularized"
    assert list(apart) == list(rows)


def test_without_a_baseline_that_learns_nothing_is_compared_with_it():
    nothing = a_row(train=0.5, test=0.5)
    assert name_of(a_row(train=0.6, test=0.6), nothing) == "learning"


def test_clean_rows_are_called_by_no_wrong_name():
    """Rows without an effect: other seeds of one net, none of which stops early or overfits."""
    random = np.random.default_rng(1)
    alarms = []
    for _ in range(200):

        def drawn():
            return 0.004 * random.normal(size=N) - JITTER, 0.004 * random.normal(size=N) - OTHER

        (a, b), (c, d) = drawn(), drawn()
        rows = {"none": a_row(train=0.95 + a, test=0.948 + b), "l2": regularized(train=0.95 + c, test=0.948 + d)}
        noise = {name: 1 + 0.02 * random.normal(size=(N, 6)) for name in rows}
        for name, row in rows.items():
            row.curve["val_data_loss"][:] *= noise[name]
        alarms += [
            found.name for found in diagnosis.diagnose_all(rows, "none", [rows]).values() if found.name != "learning"
        ]
    assert len(alarms) <= 0.05 * 400, alarms


# --- evidence


def test_evidence_beside_a_label():
    row = regularized(
        train=0.9,
        test=0.88,
        penalty=0.4,
        saturated_share={"dense_1": np.full(N, 0.66)},
        zero_share={"dense_1/kernel": np.full(N, 0.86), "dense_1/bias": np.ones(N)},
    )
    row.curve["accuracy"][:, -1] = 0.8
    assert diagnose(row, BASELINE).evidence == (
        "accuracy: train 0.9, test 0.88; test 0.068 worse than the baseline; gap 0.02; "
        "penalty 40% of the loss in epoch 1; 0.8 in training mode on the training samples over the last epoch; "
        "66% of dense_1 dead; 86% of dense_1/kernel zeroed"
    )
    sigmoid = a_row(config=a_config(seeds=N, activation="sigmoid"), saturated_share={"dense_1": np.full(N, 0.5)})
    assert "50% of dense_1 saturated" in diagnose(sigmoid, BASELINE).evidence


def test_better_and_worse_than_the_baseline_are_said_by_the_adjusted_p():
    row = regularized(test=0.938)
    assert "worse than the baseline" in diagnose(row, BASELINE).evidence
    assert "test not told apart from the baseline" in diagnosis.diagnose(row, BASELINE, p=0.2).evidence


def test_seeds_that_stand_apart_are_counted():
    stuck = 0.948 - np.where(np.arange(N) == 3, 0.1, 0.0)
    evidence = diagnose(a_row(test=stuck), BASELINE).evidence
    assert "1 of 10 seeds ends at 0.849, the others at 0.947 to 0.949" in evidence
    assert "test median 0.948;" in evidence and "gap" not in evidence
    ahead = 0.948 + np.where(np.arange(N) < 2, 0.05, 0.0)
    assert "2 of 10 seeds end at" in diagnosis.groups_text(ahead + OTHER)
    assert diagnosis.groups_text(0.9 + OTHER) == ""


@pytest.mark.parametrize("value", [NAN, 0.5, 1.0])
@pytest.mark.parametrize("metric", ["accuracy", "mae"])
@pytest.mark.parametrize("guess", [0.0, 0.5, 1.0])
def test_any_figures_get_a_diagnosis(value, metric, guess):
    row = a_summary(train=value, test=value, metric=metric, guess=guess)
    found = diagnose(row, row)
    assert found.name in diagnosis.NAMES and found.evidence
    assert "nan" not in found.evidence
