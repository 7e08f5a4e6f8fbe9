"""What became of a row, in one word or two, with the figures that show it.

The rules are tried in this order, and the first that holds names the row; each is about what the ones before it leave:

1. diverged: a loss is not finite in at least one seed;
2. not learning: in at least half of the seeds the training data are fitted no better than by guessing, or one class is
   predicted;
3. barely learning: the training skill is below half of the baseline's;
4. over-regularized, or underfitting where the row differs from the baseline in more than regularization: the held-out
   skill is below the baseline's by MATTERS or more and by more than noise, and the training skill is lower. A gap
   between training and held-out data plays no part: a net that its regularizer crushes may keep one;
5. overfitting: there is such a gap, and the held-out data loss ends well above its lowest epoch;
6. still improving: too few epochs to say;
7. learning: none of these.

Held-out data are the validation samples where there are any, otherwise the test samples. Fits are compared as *skill*,
the share of the way from guessing (0) to perfection (1): (accuracy - guess) / (1 - guess), or 1 - error / guess (Murphy
1988, Monthly Weather Review 116:2417). One set of thresholds serves classes and regression then.

Everything else is evidence beside the label and never a label of its own. A row whose loss is mostly penalty may be a
study's best.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.core.config.row import parts_of
from stages.core.records.records import Summary
from stages.core.results.checked_csv import rounded
from stages.core.results.statistics import LEVEL, apart, describe, holm, median, paired_difference

DIVERGED, NOT_LEARNING, BARELY_LEARNING = "diverged", "not learning", "barely learning"
OVER_REGULARIZED, UNDERFITTING, OVERFITTING = "over-regularized", "underfitting", "overfitting"
STILL_IMPROVING, LEARNING = "still improving", "learning"

NAMES = (
    DIVERGED,
    NOT_LEARNING,
    BARELY_LEARNING,
    OVER_REGULARIZED,
    UNDERFITTING,
    OVERFITTING,
    STILL_IMPROVING,
    LEARNING,
)
"""All diagnoses, in the order in which they are tried."""

FAILURES = (DIVERGED, NOT_LEARNING, BARELY_LEARNING)
"""Diagnoses of a row that does not learn what its baseline learns."""

NO_SKILL = 0.05
"""Training skill below this is no better than guessing. It leaves room for the seed that has learnt a trace, and is far
below any net that works: a linear classifier has a skill of about 0.9 on MNIST, and one of 0.3 on CIFAR-10."""

ONE_CLASS = 0.05
"""One class is predicted for nearly every sample if all others together are predicted less than this share of how often
they occur."""

MANY_SEEDS = 0.5
"""Share of the seeds that must fail to learn, or overfit, for the row to be called so: what its median seed does."""

BARELY = 0.5
"""Share of the baseline's training skill below which a row barely learns."""

MATTERS = 0.005
"""A smaller loss of held-out skill is no reason to call a row over-regularized, however many seeds show it."""

GAP = 0.01
"""Training skill above the held-out skill by this much is a gap."""

RISE = 0.05
"""So far above its lowest epoch must the held-out data loss end for a gap to be overfitting: a share of it."""

FEW_EPOCHS = 5
"""Fewer are too few to see a held-out loss turn."""

FALL = {"few": 0.01, "many": 0.02}
"""Shares by which the data loss falls from epoch to epoch in a row that is still improving: the training loss at the
end of few epochs, the held-out loss over the last third of many."""

NOTABLE = {"penalty": 0.01, "mode": 0.05, "units": 0.1, "zeroed": 0.1}
"""From here on the evidence mentions the penalty's share of the loss in the first epoch, the skill that training mode
adds or takes, the dead or saturated units of a layer, and the zeroed weights of a kernel."""


@dataclass(frozen=True)
class Diagnosis:
    """One of NAMES, and a short text with the figures that it rests on."""

    name: str
    evidence: str


def diagnose_all(rows: Mapping[str, Summary], baseline: str, families: Iterable[Iterable[str]]) -> dict[str, Diagnosis]:
    """Diagnose a study's rows, all with the same seeds.

    Args:
        rows: by name, the baseline among them.
        baseline: the row that the others are compared with.
        families: the names in groups; Holm's adjustment counts the comparisons of a group.
    """
    found = {}
    for names in map(list, families):
        p_values = holm([_held_out_difference(rows[name], rows[baseline]).p_value for name in names])
        for name, p in zip(names, p_values, strict=True):
            found[name] = diagnose(rows[name], rows[baseline], p)
    return {name: found[name] for name in rows}


def diagnose(row: Summary, baseline: Summary, p: float | None = None) -> Diagnosis:
    """Diagnose a row beside its study's baseline row (which may be itself), both with the same seeds.

    Args:
        p: p-value, adjusted if there are several rows, of their having the same held-out skill; by default that of the
            paired t-test.
    """
    diverged = np.isfinite(row.first_non_finite_epoch) | ~np.isfinite(row.final["train"]["loss"])
    if diverged.any():
        return Diagnosis(DIVERGED, _where_diverged(row, diverged))
    failing = fails_to_learn(row)
    if p is None:
        p = _held_out_difference(row, baseline).p_value
    if failing.mean() >= MANY_SEEDS:
        return Diagnosis(NOT_LEARNING, "; ".join([_how_failing(row, failing), *_beside(row, baseline, p)[1:]]))
    texts = [*_beside(row, baseline, p), *([f"{_count(failing)} seeds not learning"] if failing.any() else [])]
    name = _of_a_learning_row(row, baseline, p)
    if name == OVERFITTING:
        texts.append(f"held-out loss ends {_rise(row).mean():.0%} above its lowest epoch")
    return Diagnosis(name, "; ".join(texts))


def skill(summary: Summary, split: str) -> np.ndarray:
    """Per seed, the share of the way from guessing to perfection on a split, (seeds,); NaN if guessing is perfect."""
    return _as_skill(summary, split, summary.final[split][summary.metric])


def held_out(summary: Summary) -> str | None:
    """The split that training data are compared with: validation, otherwise test; None if there is neither."""
    return next((split for split in ("validation", "test") if split in summary.final), None)


def fails_to_learn(row: Summary) -> np.ndarray:
    """Per seed, whether the training data are fitted no better than by guessing, (seeds,)."""
    return (skill(row, "train") < NO_SKILL) | _predicts_one_class(row)


def without_regularization(config: Mapping[str, Any]) -> dict[str, Any]:
    """What is left of a row's configuration without its name and without penalties, dropout and weight decay."""
    optimizer = {key: value for key, value in config["optimizer"].items() if key != "weight_decay"}
    if optimizer["name"] == "adamw":  # Adam with decoupled weight decay
        optimizer["name"] = "adam"
    kept = {key: value for key, value in config.items() if key not in {"row", "fingerprint", "regularizers"}}
    nets = {key: _unregularized(kept[key]) for key in ("layers", "keras") if key in kept}
    return {**kept, **nets, "optimizer": optimizer}


def _unregularized(part: Any) -> Any:
    """A net, or a part of one, without penalties; dropouts are gone from a chain, and in a graph have no rate."""
    if isinstance(part, list):
        return [_unregularized(one) for one in part if not (isinstance(one, dict) and "dropout" in one.get("type", ""))]
    if not isinstance(part, dict):
        return part
    gone = {"config"} if "dropout" in str(part.get("class_name")).lower() else set()
    penalties = {"regularized"} | {key for key in part if key.endswith("_regularizer")}
    return {key: _unregularized(value) for key, value in part.items() if key not in gone | penalties}


# --- labels


def _of_a_learning_row(row: Summary, baseline: Summary, p: float) -> str:
    ours, theirs = _mean_skill(row, "train"), _mean_skill(baseline, "train")
    if theirs >= NO_SKILL and ours < BARELY * theirs:
        return BARELY_LEARNING
    if p < 1 - LEVEL and ours < theirs and _held_out_difference(row, baseline).mean <= -MATTERS:
        same = without_regularization(row.config) == without_regularization(baseline.config)
        return OVER_REGULARIZED if same else UNDERFITTING
    if _overfits(row):
        return OVERFITTING
    return STILL_IMPROVING if _still_improves(row) else LEARNING


def _predicts_one_class(row: Summary) -> np.ndarray:
    if "train" not in row.top_class_share:
        return np.zeros(len(row.final["train"]["loss"]), bool)
    others_predicted = 1 - row.top_class_share["train"]
    return others_predicted < ONE_CLASS * (1 - row.guess["train"])


def _held_out_difference(row: Summary, baseline: Summary):
    """Held-out skill beside the baseline's, by seed pairs; all NaN without held-out data."""
    split = held_out(row)
    nothing = np.full(len(row.first_non_finite_epoch), np.nan)
    ours, theirs = (skill(summary, split) if split else nothing for summary in (row, baseline))
    return paired_difference(ours, theirs)


def _overfits(row: Summary) -> bool:
    split = held_out(row)
    if split is None or row.epochs[-1] < FEW_EPOCHS:
        return False
    gap = paired_difference(skill(row, "train"), skill(row, split))
    rises = _rise(row)
    return bool(
        gap.mean >= GAP
        and not gap.low <= 0
        and rises.mean() >= RISE
        and (rises >= RISE).mean() >= MANY_SEEDS
        and _rise_of(row.curve["val_data_loss"].mean(axis=0)) >= RISE
    )


def _rise(row: Summary) -> np.ndarray:
    """Per seed, how far the held-out data loss ends above its lowest epoch, as a share of it, (seeds,)."""
    return np.array([_rise_of(curve) for curve in row.curve["val_data_loss"]])


def _rise_of(curve: np.ndarray) -> float:
    lowest = curve.min()
    return float(curve[-1] / lowest - 1) if lowest > 0 else 0.0


def _still_improves(row: Summary) -> bool:
    last = row.epochs[-1]
    if last < FEW_EPOCHS:
        curve = row.curve["data_loss"].mean(axis=0)
        return len(curve) < 2 or _fall(curve, row.epochs, -2) >= FALL["few"]
    curve = row.curve["val_data_loss"].mean(axis=0)
    third = int(np.searchsorted(row.epochs, last - last // 3))
    return _fall(curve, row.epochs, third) >= FALL["many"]


def _fall(curve: np.ndarray, epochs: np.ndarray, start: int) -> float:
    """Share by which a loss falls from one epoch to the next, between a recorded epoch and the last one."""
    first, last = curve[start], curve[-1]
    steps = epochs[-1] - epochs[start]
    return float(1 - (last / first) ** (1 / steps)) if first > 0 and steps > 0 else 0.0


# --- evidence


def _beside(row: Summary, baseline: Summary, p: float) -> list[str]:
    """The figures that stand beside any label."""
    parts = [_fit(row), _beside_the_baseline(row, baseline, p), _stuck(row), _gap(row), _penalty(row), _modes(row)]
    return [part for part in [*parts, _units(row), _zeroed(row)] if part]


def _fit(row: Summary) -> str:
    split = held_out(row)
    texts = [f"{name} {_mean(row, name)}" for name in ("train", split) if name]
    return f"{row.metric}: {', '.join(texts)}"


def _beside_the_baseline(row: Summary, baseline: Summary, p: float) -> str:
    split = held_out(row)
    if split is None or row.row == baseline.row:
        return ""
    found = paired_difference(row.final[split][row.metric], baseline.final[split][row.metric])
    if not np.isfinite(found.low):
        return ""
    if not p < 1 - LEVEL:
        return f"{split} not told apart from the baseline"
    word = "better" if (found.mean > 0) == (row.metric == "accuracy") else "worse"
    return f"{split} {rounded(abs(found.mean)):.2g} {word} than the baseline"


def _gap(row: Summary) -> str:
    split = held_out(row)
    if split is None:
        return ""
    gap = paired_difference(skill(row, "train"), skill(row, split)).mean
    size = abs(paired_difference(row.final["train"][row.metric], row.final[split][row.metric]).mean)
    return f"gap {size:.2g}" if gap >= GAP else ""


def _penalty(row: Summary) -> str:
    first = describe(row.curve["penalty_share"][:, 0]).mean
    return f"penalty {first:.0%} of the loss in epoch {row.epochs[0]:.0f}" if first >= NOTABLE["penalty"] else ""


def _modes(row: Summary) -> str:
    """Training mode over the last epoch beside inference mode after it; they differ by dropout and batch normalization,
    and by what the weights learn in an epoch."""
    training = row.curve[row.metric][:, -1]
    added = describe(_as_skill(row, "train", training) - skill(row, "train")).mean
    if not abs(added) >= NOTABLE["mode"]:
        return ""
    samples = "augmented samples" if row.config.get("augmentation") else "samples"
    return f"{describe(training).mean:.3g} in training mode on the training {samples} over the last epoch"


def _units(row: Summary) -> str:
    """The layer with the most dead (relu) or saturated units."""
    layer, share = _largest(row.saturated_share)
    word = "dead" if _activations(row.config).get(layer) == "relu" else "saturated"
    return f"{share:.0%} of {layer} {word}" if share >= NOTABLE["units"] else ""


def _zeroed(row: Summary) -> str:
    """The kernel with the most weights next to zero."""
    path, share = _largest({path: share for path, share in row.zero_share.items() if path.endswith("/kernel")})
    return f"{share:.0%} of {path} zeroed" if share >= NOTABLE["zeroed"] else ""


def _stuck(row: Summary) -> str:
    split = held_out(row) or "train"
    return groups_text(row.final[split][row.metric])


def groups_text(values: np.ndarray) -> str:
    """The seeds that stand apart from the others, in words; nothing where the values are of one group."""
    alone = apart(values)
    if not alone.any():
        return ""
    few, most = np.sort(values[alone]), np.sort(values[~alone & np.isfinite(values)])
    return f"{_count(alone)} seeds {'ends' if len(few) == 1 else 'end'} at {_range(few)}, the others at {_range(most)}"


def _range(ordered: np.ndarray) -> str:
    ends = [f"{value:.3g}" for value in (ordered[0], ordered[-1])]
    return " to ".join(dict.fromkeys(ends))


def _largest(shares: Mapping[str, np.ndarray]) -> tuple[str, float]:
    """The name with the largest mean over the seeds."""
    means = {name: describe(share).mean for name, share in shares.items()}
    return max(means.items(), key=lambda item: np.nan_to_num(item[1]), default=("", np.nan))


def _activations(config: Mapping[str, Any]) -> dict[str, str | None]:
    """Activation by layer, which records name by type and number, those of a net of Keras' JSON as it does."""
    layers = config.get("layers")
    if layers is None:
        return {values["name"]: values.get("activation") for _, values in parts_of(config["keras"]) if "name" in values}
    counts: Counter[str] = Counter()
    named = {}
    for layer in layers:
        counts[layer["type"]] += 1
        named[f"{layer['type']}_{counts[layer['type']]}"] = layer.get("activation")
    return named


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


def _as_skill(summary: Summary, split: str, value: np.ndarray) -> np.ndarray:
    guess = summary.guess[split]
    with np.errstate(divide="ignore", invalid="ignore"):
        if summary.metric == "accuracy":
            result = (value - guess) / np.float64(1 - guess)
        else:
            result = 1 - value / np.float64(guess)
    return np.where(np.isfinite(result), result, np.nan)


def _mean_skill(summary: Summary, split: str) -> float:
    return describe(skill(summary, split)).mean


def _mean(summary: Summary, split: str) -> str:
    """The mean over the finite seeds, or their median where they fall into two groups."""
    values = summary.final[split][summary.metric]
    if apart(values).any():
        return f"median {median(values)[0]:.3g}"
    mean = describe(values).mean
    return f"{mean:.3g}" if np.isfinite(mean) else "not finite"


def _count(seeds: np.ndarray) -> str:
    return f"{int(seeds.sum())} of {seeds.size}"
