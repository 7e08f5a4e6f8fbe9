"""Diagnosis: every rule on a constructed record, its order, and what it must not claim."""

import dataclasses
import math

import numpy as np
import pytest
from test_records import a_config, a_summary

from stages.core.results import diagnosis
from stages.core.results.diagnosis import diagnose

JITTER = np.array([-0.001, 0.0, 0.001])
NAN = math.nan


def baseline(**options):
    return a_summary(**{"train": 0.95 + JITTER, "test": 0.948 + JITTER[::-1], **options})


def changed(summary, **changes):
    return dataclasses.replace(summary, **changes)


def lost(summary, epochs):
    """The summary with a loss that was not finite from these epochs on, NaN for a seed that stayed finite."""
    epochs = np.array(epochs)
    final = {split: dict(figures) for split, figures in summary.final.items()}
    final["train"]["loss"] = np.where(np.isfinite(epochs), NAN, final["train"]["loss"])
    return changed(summary, first_non_finite_epoch=epochs, final=final)


def test_a_good_row_is_learning():
    found = diagnose(baseline(), baseline())
    assert found.name == "learning"
    assert found.evidence == "accuracy: train 0.95, test 0.948"


def test_diverged_says_how_many_seeds_and_from_which_epoch():
    all_from_the_start = diagnose(lost(baseline(), [1.0, 1.0, 1.0]), baseline())
    assert all_from_the_start == diagnosis.Diagnosis("diverged", "loss not finite in 3 of 3 seeds, from epoch 1")
    one = diagnose(lost(baseline(), [NAN, 7.0, NAN]), baseline())
    assert one == diagnosis.Diagnosis("diverged", "loss not finite in 1 of 3 seeds, from epoch 7")
    some = diagnose(lost(baseline(), [9.0, 7.0, NAN]), baseline())
    assert some.evidence == "loss not finite in 2 of 3 seeds, from epoch 7 (the last of them from 9)"


def test_a_final_loss_that_is_not_finite_is_enough():
    summary = changed(lost(baseline(), [NAN, 1.0, NAN]), first_non_finite_epoch=np.full(3, NAN))
    assert diagnose(summary, baseline()).evidence == "loss not finite in 1 of 3 seeds, after the last epoch"


def test_no_better_than_guessing_is_not_learning():
    found = diagnose(a_summary(train=0.112, test=0.11, guess=0.1124), baseline(guess=0.1124))
    assert found.name == "not learning"
    assert found.evidence == "train accuracy 0.112, guessing gives 0.112; 3 of 3 seeds not learning"


def test_an_error_no_smaller_than_that_of_the_mean_is_not_learning():
    row = a_summary(metric="mae", train=0.21, test=0.21, guess=0.2)
    good = a_summary(metric="mae", train=0.05, test=0.05, guess=0.2)
    assert diagnose(row, good).name == "not learning"
    assert diagnose(good, good).name == "learning"


def test_one_class_for_nearly_every_sample_is_not_learning():
    shares = {"train": np.full(3, 0.99), "test": np.full(3, 0.99)}
    found = diagnose(changed(a_summary(train=0.6, guess=0.5), top_class_share=shares), baseline())
    assert found.name == "not learning"
    assert "one class for 99.0% of the samples in 3 of 3" in found.evidence


def test_a_rare_class_that_is_found_is_learning():
    # 96 % of the samples are of one class, and a perfect net predicts it as often
    shares = {"train": np.full(3, 0.96), "test": np.full(3, 0.96)}
    row = changed(a_summary(train=0.999, test=0.999, guess=0.96), top_class_share=shares)
    assert diagnose(row, row).name == "learning"


def test_the_median_seed_decides_and_the_others_are_mentioned():
    most = diagnose(a_summary(train=[0.5, 0.95, 0.5], test=0.9), baseline())
    assert most.name == "not learning" and "2 of 3 seeds not learning" in most.evidence
    few = diagnose(a_summary(train=[0.5, 0.95, 0.95], test=0.9), baseline())
    assert few.name != "not learning" and few.evidence.endswith("1 of 3 seeds not learning")


def test_a_penalty_that_is_most_of_the_loss_dominates():
    found = diagnose(a_summary(train=0.9, test=0.9, penalty=0.8), baseline())
    assert found.name == "penalty-dominated"
    assert found.evidence == "penalty is 80% of the training loss; accuracy: train 0.9, test 0.9"
    assert diagnose(a_summary(train=0.95, test=0.95, penalty=0.5), baseline()).name == "learning"


def over_regularized(**options):
    config = a_config(row="l2", l2=1e-3)
    return a_summary(**{"config": config, "train": 0.9 + JITTER[::-1], "test": 0.899, "penalty": 0.3, **options})


def test_a_worse_fit_without_a_gap_is_over_regularized():
    found = diagnose(over_regularized(), baseline())
    assert found.name == "over-regularized"
    assert found.evidence == "accuracy: train 0.9, test 0.899, baseline train 0.95"


@pytest.mark.parametrize("options", [{"dropout": 0.5}, {"l2": 1e-2, "dropout": 0.2}])
def test_dropout_is_regularization_too(options):
    row = over_regularized(config=a_config(row="other", **options))
    assert diagnose(row, baseline()).name == "over-regularized"


def test_weight_decay_is_regularization_too():
    config = {**a_config(row="adamw"), "optimizer": {"name": "adamw", "learning_rate": 1e-3, "weight_decay": 0.02}}
    assert diagnose(over_regularized(config=config), baseline()).name == "over-regularized"


def test_a_row_that_differs_in_more_is_not_blamed_on_its_regularizer():
    row = over_regularized(config=a_config(row="linear", activation="linear", l2=1e-3))
    found = diagnose(row, baseline())
    assert found.name == "learning"
    assert found.evidence.endswith("differs from the baseline in more than regularization")


def test_a_larger_error_without_a_gap_is_over_regularized():
    good = a_summary(metric="mae", train=0.03 + JITTER, test=0.031, guess=0.2)
    row = a_summary(metric="mae", train=0.1 + JITTER[::-1], test=0.101, guess=0.2, config=a_config(row="l2", l2=1e-3))
    assert diagnose(row, good).name == "over-regularized"


def test_a_better_fit_than_the_baseline_is_not_over_regularized():
    assert diagnose(over_regularized(train=0.99 + JITTER, test=0.989), baseline()).name == "learning"


def test_a_difference_too_small_to_matter_is_not_over_regularized():
    assert diagnose(over_regularized(train=0.949 - JITTER * 0.1, test=0.949), baseline(train=0.95)).name == "learning"


def test_a_difference_within_the_noise_is_not_over_regularized():
    noisy = over_regularized(train=[0.80, 0.95, 0.99], test=[0.81, 0.95, 0.98])
    assert diagnose(noisy, baseline()).name == "learning"


def test_one_seed_is_never_significantly_worse():
    row = over_regularized(config=a_config(row="l2", seeds=1, l2=1e-3), train=0.9)
    good = a_summary(config=a_config(seeds=1), train=0.95, test=0.948)
    assert diagnose(row, good).name == "learning"


def test_train_better_than_held_out_is_overfitting():
    found = diagnose(a_summary(train=1.0, test=0.93 + JITTER), baseline())
    assert found == diagnosis.Diagnosis("overfitting", "accuracy: train 1, test 0.93")
    regression = a_summary(metric="mae", train=0.003, test=0.08 + JITTER, guess=0.2)
    assert diagnose(regression, regression).name == "overfitting"


def test_one_seed_shows_a_gap_as_it_is():
    row = a_summary(config=a_config(seeds=1), train=1.0, test=0.93)
    assert diagnose(row, row).name == "overfitting"


def test_a_gap_that_changes_sign_between_seeds_is_none():
    row = a_summary(train=[0.95, 0.9, 0.95], test=[0.85, 0.95, 0.9])
    assert diagnose(row, row).name == "learning"


def test_validation_comes_before_test():
    summary = a_summary(train=0.95, test=0.95)
    lower = {"accuracy": np.full(3, 0.8)}
    with_validation = changed(
        summary, final={**summary.final, "validation": lower}, guess={**summary.guess, "validation": 0.5}
    )
    assert diagnosis.held_out(with_validation) == "validation"
    assert diagnose(with_validation, with_validation).name == "overfitting"


def test_a_worse_fit_with_a_gap_is_overfitting():
    assert diagnose(over_regularized(test=0.8 + JITTER), baseline()).name == "overfitting"


def test_the_first_rule_that_holds_names_the_row():
    everything = a_summary(train=0.5, test=0.4, penalty=0.9)
    assert diagnose(lost(everything, [1.0, NAN, NAN]), baseline()).name == "diverged"
    assert diagnose(everything, baseline()).name == "not learning"
    assert diagnose(over_regularized(penalty=0.9), baseline()).name == "penalty-dominated"


def test_a_diverged_baseline_does_no_harm():
    broken = lost(a_summary(metric="mae", train=0.1, guess=0.2), [1.0, 1.0, 1.0])
    broken.final["train"]["mae"][:] = NAN
    row = a_summary(metric="mae", train=0.03, test=0.03, guess=0.2)
    assert diagnose(row, broken).name == "learning"
    assert diagnose(broken, broken).name == "diverged"


def test_skill():
    assert diagnosis.skill(a_summary(train=0.75, guess=0.5), "train") == pytest.approx([0.5] * 3)
    assert diagnosis.skill(a_summary(metric="mae", train=0.05, guess=0.2), "train") == pytest.approx([0.75] * 3)
    assert np.isnan(diagnosis.skill(a_summary(train=1.0, guess=1.0), "train")).all()
