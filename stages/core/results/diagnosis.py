"""What became of a row, in one word or two, with the figures that show it.

The rules are tried in this order, and the first that holds names the row; each is about what the ones before it leave:

1. diverged: the loss of at least one seed was not finite;
2. not learning: in at least half of the seeds the training data are fitted no better than by guessing;
3. penalty-dominated: the penalty is most of the training loss. This describes the loss: such a row may score well;
4. over-regularized: the training data are fitted significantly worse than by the baseline, and there is no gap between
   training and held-out data. Said only of a row that differs from the baseline in its regularization alone, for
   otherwise something else may be the reason;
5. overfitting: the training data are fitted clearly better than the held-out data;
6. learning: none of these.

Held-out data are the validation samples where there are any, otherwise the test samples. Fits are compared as *skill*,
the share of the way from guessing (0) to perfection (1): (accuracy - guess) / (1 - guess), or 1 - error / guess (Murphy
1988, Monthly Weather Review 116:2417). One set of thresholds serves classes and regression then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.core.records.records import Summary
from stages.core.results.statistics import describe, paired_difference

NO_SKILL = 0.05
"""Training skill below this is no better than guessing. It leaves room for the seed that has learnt a trace, and is far
below any net that works: a linear classifier has a skill of about 0.9 on MNIST, and one of 0.3 on CIFAR-10."""

ONE_CLASS = 0.05
"""One class is predicted for nearly every sample if all others together are predicted less than this share of how often
they occur."""

MANY_SEEDS = 0.5
"""Share of the seeds that must fail to learn for the row to be called so: what its median seed does."""

PENALTY_MAJORITY = 0.5
"""A penalty above this share of the training loss is most of it: its gradient outweighs the data's."""

CLEAR_SKILL = 0.01
"""Skills that differ by less are not told apart: with hundreds of samples a hundredth is sampling noise, and with
thousands it may be real but seldom matters."""

NAMES = ("diverged", "not learning", "penalty-dominated", "over-regularized", "overfitting", "learning")
"""All diagnoses, in the order in which they are tried."""


@dataclass(frozen=True)
class Diagnosis:
    """One of NAMES, and a short text with the figures that it rests on."""

    name: str
    evidence: str


def diagnose(row: Summary, baseline: Summary) -> Diagnosis:
    """Diagnose a row beside its study's baseline row (which may be itself), both with the same seeds."""
    diverged = np.isfinite(row.first_non_finite_epoch) | ~np.isfinite(row.final["train"]["loss"])
    if diverged.any():
        return Diagnosis("diverged", _where_diverged(row, diverged))
    failing = _fails_to_learn(row)
    if failing.mean() >= MANY_SEEDS:
        return Diagnosis("not learning", _how_failing(row, failing))
    name, evidence = _of_a_learning_row(row, baseline)
    if failing.any():
        evidence += f"; {_count(failing)} seeds not learning"
    return Diagnosis(name, evidence)


def skill(summary: Summary, split: str) -> np.ndarray:
    """Per seed, the share of the way from guessing to perfection on a split, (seeds,); NaN if guessing is perfect."""
    value, guess = summary.final[split][summary.metric], summary.guess[split]
    with np.errstate(divide="ignore", invalid="ignore"):
        if summary.metric == "accuracy":
            result = (value - guess) / np.float64(1 - guess)
        else:
            result = 1 - value / np.float64(guess)
    return np.where(np.isfinite(result), result, np.nan)


def held_out(summary: Summary) -> str | None:
    """The split that training data are compared with: validation, otherwise test; None if there is neither."""
    return next((split for split in ("validation", "test") if split in summary.final), None)


def without_regularization(config: Mapping[str, Any]) -> dict[str, Any]:
    """What is left of a row's configuration without its name and without penalties, dropout and weight decay."""
    optimizer = {key: value for key, value in config["optimizer"].items() if key != "weight_decay"}
    if optimizer["name"] == "adamw":  # Adam with decoupled weight decay
        optimizer["name"] = "adam"
    layers = [
        {key: value for key, value in layer.items() if key != "regularized"}
        for layer in config["layers"]
        if layer["type"] != "dropout"
    ]
    kept = {key: value for key, value in config.items() if key not in {"row", "fingerprint", "regularizers"}}
    return {**kept, "layers": layers, "optimizer": optimizer}


def _of_a_learning_row(row: Summary, baseline: Summary) -> tuple[str, str]:
    fit = _fit(row)
    penalty_share = describe(row.penalty_share).mean
    if penalty_share > PENALTY_MAJORITY:
        return "penalty-dominated", f"penalty is {penalty_share:.0%} of the training loss; {fit}"
    gap, worse = _has_gap(row), _fits_worse(row, baseline)
    if worse and not gap:
        fit += f", baseline train {_mean(baseline, 'train')}"
        if without_regularization(row.config) == without_regularization(baseline.config):
            return "over-regularized", fit
        return "learning", f"{fit}; differs from the baseline in more than regularization"
    return ("overfitting", fit) if gap else ("learning", fit)


def _fails_to_learn(row: Summary) -> np.ndarray:
    return (skill(row, "train") < NO_SKILL) | _predicts_one_class(row)


def _predicts_one_class(row: Summary) -> np.ndarray:
    if "train" not in row.top_class_share:
        return np.zeros(len(row.final["train"]["loss"]), bool)
    others_predicted = 1 - row.top_class_share["train"]
    return others_predicted < ONE_CLASS * (1 - row.guess["train"])


def _has_gap(row: Summary) -> bool:
    split = held_out(row)
    return split is not None and _clearly_above(skill(row, "train"), skill(row, split))


def _fits_worse(row: Summary, baseline: Summary) -> bool:
    ours, theirs = skill(row, "train"), skill(baseline, "train")
    return _clearly_above(theirs, ours) and np.isfinite(paired_difference(theirs, ours).low)


def _clearly_above(high: np.ndarray, low: np.ndarray) -> bool:
    """By CLEAR_SKILL on average, and no accident of the seeds as far as their number and spread can tell."""
    difference = paired_difference(high, low)
    return bool(difference.mean >= CLEAR_SKILL and not difference.low <= 0)


def _where_diverged(row: Summary, diverged: np.ndarray) -> str:
    epochs = row.first_non_finite_epoch[np.isfinite(row.first_non_finite_epoch)]
    when = f"from epoch {int(epochs.min())}" if epochs.size else "after the last epoch"
    if epochs.size and epochs.max() > epochs.min():
        when += f" (the last of them from {int(epochs.max())})"
    return f"loss not finite in {_count(diverged)} seeds, {when}"


def _how_failing(row: Summary, failing: np.ndarray) -> str:
    one_class = _predicts_one_class(row)
    text = f"train {row.metric} {_mean(row, 'train')}, guessing gives {row.guess['train']:.3g}"
    text += f"; {_count(failing)} seeds not learning"
    if one_class.any():
        top = row.top_class_share["train"][one_class].mean()
        text += f", one class for {top:.1%} of the samples in {_count(one_class)}"
    return text


def _fit(row: Summary) -> str:
    split = held_out(row)
    texts = [f"{name} {_mean(row, name)}" for name in ("train", split) if name]
    return f"{row.metric}: {', '.join(texts)}"


def _mean(summary: Summary, split: str) -> str:
    mean = describe(summary.final[split][summary.metric]).mean
    return f"{mean:.3g}" if np.isfinite(mean) else "not finite"


def _count(seeds: np.ndarray) -> str:
    return f"{int(seeds.sum())} of {seeds.size}"
