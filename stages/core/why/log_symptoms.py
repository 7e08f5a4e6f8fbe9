"""What a training log shows, in words that say no more than it does.

`symptoms` gives the words that hold for one log, the gravest first. A log shows symptoms, never a cause: where two
causes print the same numbers the word names what is seen, and the symptom says what else it may be. The thresholds were
chosen on logs of nets with known faults; how often the words are right on other nets is in results/log_accuracy.md.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stages.core.why.logs import TrainingLog

DIVERGED = "diverged"
CHANCE = "at chance"
CONSTANT = "constant output"
METRIC_STILL = "loss falls, metric does not"
PENALTY = "penalty in the loss"
TRAINING_WORSE = "training worse than validation"
INFERENCE_WORSE = "inference far worse than training"
OVERFITTING = "overfitting"
IMPROVING = "still improving"
RATE_HIGH = "learning rate too high"
RATE_LOW = "learning rate too low"
NO_MEANING = "metric without meaning"
NEGATIVE = "negative loss"
ZERO = "loss of zero"
HEALTHY = "healthy"
NOTHING = "nothing to see"

WORDS = (DIVERGED, NEGATIVE, ZERO, NO_MEANING, CHANCE, CONSTANT, METRIC_STILL, INFERENCE_WORSE, RATE_HIGH, RATE_LOW)
WORDS += (PENALTY, OVERFITTING, TRAINING_WORSE, IMPROVING, HEALTHY, NOTHING)
"""All words, in the order in which a log's are told."""

HARMLESS = (TRAINING_WORSE, PENALTY, IMPROVING, HEALTHY, NOTHING)
"""Words that name no fault: how a loss is made up or measured, or that training may go on."""


@dataclass(frozen=True)
class Symptom:
    """One of WORDS, and what a reader needs to act on it."""

    word: str
    evidence: str  # the numbers it rests on, a sentence
    first: str  # what to try or check first
    unknown: str  # what the log cannot tell


# Thresholds, in the order of the rules.
EXPLODES = 10.0  # times its lowest value, when it ends far above its first too
MEANINGLESS_LOSS = 30.0  # no crossentropy is larger
MEANINGLESS_ACCURACY = 0.05
CHANCE_LOSS = 0.97  # of ln K
CHANCE_SHARE = 0.3  # how far an accuracy may be from 1/K, as a share of it
CONSTANT_LOSS = 0.8  # of what a constant answer costs at least
STILL_FALL, STILL_METRIC = 0.2, 0.01  # share of the loss, of the samples
INFERENCE_RATIO, INFERENCE_JUMP, INFERENCE_ALONE = 3.0, 0.3, 10.0  # held-out / training loss; change of its logarithm
RATE_UP, RATE_ROUGH, RATE_NET = 0.3, 0.05, 0.3  # share of epochs in which the loss rises; changes of its logarithm
RATE_START = 5.0  # first loss / later loss of a net that then stands still
LOW_MONOTONE, LOW_FALL, LOW_STRAIGHT = 0.8, 0.2, 0.3  # share of epochs; change of the logarithm; share of it in the end
LOSS_PER_ERROR = 5.5  # crossentropy / share of wrong answers, at the end
FIRST_LOSS_PER_ERROR = 5.0  # the same in the first epoch
EXCESS, EXCESS_RATIO = 1.02, 2.4  # loss / the same without penalties; squared error / squared absolute error
OVERFIT_RISE, OVERFIT_EPOCHS, OVERFIT_TAIL = 1.05, 5, 0.2
WORSE_LOSS, WORSE_ACCURACY = 1.15, 0.005
IMPROVING_SHORT, IMPROVING_LONG = 0.01, 0.02  # share of the loss that an epoch takes off


# --- a log, looked at -----------------------------------------------------------------------------------------------

_ACCURACY = re.compile(r"(?!top)(?:\w*_)?(?:acc|accuracy)(?:_\d+)?")
_SQUARED = re.compile(r"(?:\w+_)?(?:mse|mean_squared_error)(?:_\d+)?")
_ABSOLUTE = re.compile(r"(?:\w+_)?(?:mae|mean_absolute_error)(?:_\d+)?")
_CROSSENTROPY = re.compile(r"(?:\w+_)?(?:binary_|categorical_|sparse_categorical_)?crossentropy(?:_\d+)?")


class View:
    """A log's columns by what they mean; arrays are float64 of the epochs in which they are finite, (n,) or empty."""

    def __init__(self, log: TrainingLog) -> None:
        self.log = log
        self.epochs = log.epochs
        self.loss, self.val_loss = self._finite("loss"), self._finite("val_loss")
        own = [name for name in log.columns if not name.startswith("val_")]
        several = sum(name.endswith("_loss") for name in own) > 1  # outputs: their accuracies do not explain their sum
        self.accuracy_name = None if several else _first(own, _ACCURACY)
        self.accuracy, self.val_accuracy = self._both(self.accuracy_name)
        self.squared, self.val_squared = self._both(None if several else _first(own, _SQUARED))
        self.absolute_name = None if several else _first(own, _ABSOLUTE)
        self.absolute, self.val_absolute = self._both(self.absolute_name)
        self.crossentropy, self.val_crossentropy = self._both(None if several else _first(own, _CROSSENTROPY))

    def _finite(self, name: str | None) -> np.ndarray:
        values = self.log.columns.get(name or "", np.empty(0))
        return values[np.isfinite(values)]

    def _both(self, name: str | None) -> tuple[np.ndarray, np.ndarray]:
        return self._finite(name), self._finite(f"val_{name}")

    @property
    def span(self) -> str:
        """The epochs, in words."""
        first, last = int(self.epochs[0]), int(self.epochs[-1])
        return f"epoch {first}" if first == last else f"epochs {first} to {last}"


def _first(names: list[str], pattern: re.Pattern[str]) -> str | None:
    return next((name for name in names if pattern.fullmatch(name)), None)


def _end(values: np.ndarray) -> float:
    """Mean of the last third, of three epochs at least where there are six."""
    return float(values[-max(1, len(values) // 3, 3 if len(values) >= 6 else 1) :].mean())


def _number(value: float) -> str:
    return f"{value:.4g}"


def _to(values: np.ndarray) -> str:
    """First and last value."""
    return _number(values[0]) if len(values) == 1 else f"{_number(values[0])} → {_number(values[-1])}"


# --- rules ----------------------------------------------------------------------------------------------------------


def symptoms(log: TrainingLog) -> list[Symptom]:
    """The words that hold for a log, the gravest first; HEALTHY or NOTHING where none does."""
    view = View(log)
    found = {symptom.word: symptom for rule in RULES if (symptom := rule(view))}
    for word, others in HIDES.items():
        if word in found:
            found = {other: symptom for other, symptom in found.items() if other not in others}
    if not found:
        found = {NOTHING: _nothing(view)} if (healthy := _healthy(view)) is None else {HEALTHY: healthy}
    return [found[word] for word in WORDS if word in found]


def _diverged(view: View) -> Symptom | None:
    text = _not_finite(view, "loss") or _not_finite(view, "val_loss") or _explosion(view.loss)
    if not text:
        return None
    if len(view.accuracy) > 1 and _still(view.accuracy) and view.accuracy[-1] < 0.9 and len(view.loss) == 0:
        text += f" The accuracy of {_number(view.accuracy[-1])} is what NaN outputs give: the share of the first class."
    return Symptom(
        DIVERGED,
        text,
        "A learning rate ten times smaller; inputs and targets scaled to about -1 to 1; `clipnorm=1` in the optimizer.",
        "Whether steps are too large, the data are, or a NaN is in the data: `np.isfinite(x).all()` tells the last.",
    )


def _not_finite(view: View, name: str) -> str:
    if name not in view.log.columns:
        return ""
    bad = view.log.printed[name] & ~np.isfinite(view.log.columns[name])
    if not bad.any():
        return ""
    first = int(bad.argmax())
    before = view.log.columns[name][:first]
    finite = before[np.isfinite(before)]
    came_from = f", after {_number(finite[-1])}" if finite.size else ""
    return f"`{name}` is {view.log.columns[name][first]} from epoch {view.epochs[first]} on{came_from}."


def _explosion(loss: np.ndarray) -> str:
    if len(loss) < 2 or loss.min() <= 0:
        return ""
    lowest = int(loss.argmin())
    if loss[-1] < EXPLODES * loss[lowest] or loss[-1] < EXPLODES * loss[0] / 3:
        return ""
    return f"The training loss grows from {_number(loss[lowest])} to {_number(loss[-1])}."


def _negative(view: View) -> Symptom | None:
    values = np.concatenate([view.loss, view.val_loss])
    if not (values < 0).any():
        return None
    return Symptom(
        NEGATIVE,
        f"The loss falls to {_number(values.min())}. Crossentropies and errors are never below 0.",
        "Look at the labels: binary crossentropy needs 0 and 1 (not -1 and 1, not 1 and 2) and a sigmoid before it.",
        "Whether the loss is one that may be negative: cosine similarity, a log-likelihood, one of your own.",
    )


def _zero(view: View) -> Symptom | None:
    loss, accuracy = view.loss, view.accuracy
    if not len(loss) or not (loss == 0).any() or (len(accuracy) and accuracy[-1] > 0.99 and loss[0] > 0):
        return None
    beside = f" beside an accuracy of {_number(accuracy[-1])}" if len(accuracy) else ""
    return Symptom(
        ZERO,
        f"The loss is exactly 0 in {(loss == 0).sum()} of {len(loss)} epochs{beside}: nothing is left to learn.",
        "Look at the output: one unit with softmax is always 1. Two classes need one sigmoid unit or two softmax units.",
        "Whether the targets are all the same, or part of the inputs.",
    )


def _no_meaning(view: View) -> Symptom | None:
    """An accuracy of a regression: near 0 and still, while the loss says something else."""
    accuracy, loss = np.concatenate([view.accuracy, view.val_accuracy]), view.loss
    if len(view.accuracy) < 2 or len(loss) < 2:
        return None
    huge = float(np.median(loss)) > MEANINGLESS_LOSS
    falls = loss[-1] < (1 - STILL_FALL) * loss[0] and np.ptp(view.accuracy) <= 0.02
    if not (accuracy.max() <= MEANINGLESS_ACCURACY and (falls or huge or view.accuracy.max() == 0)):
        return None
    return Symptom(
        NO_MEANING,
        f"The accuracy is {_number(accuracy.max())} at most while the loss goes {_to(loss)}: of a regression, accuracy "
        "only counts the targets that are met to the last digit.",
        "Leave accuracy out and watch the mean absolute error, beside that of always answering the mean of the targets.",
        "Whether this is a regression. With classes, so low an accuracy means labels and outputs that do not fit.",
    )


def _chance(view: View) -> Symptom | None:
    """No better than guessing: an accuracy that stays near 1/K beside a loss of ln K or more."""
    if not len(view.accuracy) or not len(view.loss):
        return _chance_by_loss(view)
    level, cost = _end(view.accuracy), _cost(view)
    classes = _classes(level, cost)
    sure = classes and abs(cost / np.log(classes) - 1) < 0.01
    if not classes or not all(
        _flat(accuracy, 0.35 if sure else 0.1) for accuracy in (view.accuracy, view.val_accuracy)
    ):
        return None
    if len(view.val_accuracy) and not 0.4 <= _end(view.val_accuracy) * classes <= 1.6:
        return None
    if len(view.loss) < 3 and not (classes in ROUND and cost <= 1.6 * np.log(classes)):
        return None  # one epoch of a net that learns many classes looks the same
    beside = f" ({_number(view.val_accuracy[-1])} on validation samples)" if len(view.val_accuracy) else ""
    if cost >= CHANCE_LOSS * np.log(classes):
        guess = f"ln {classes} = {np.log(classes):.4f}"
    else:
        guess = f"{(classes - 1) / classes**2:.4f} as squared error"
    return Symptom(
        CHANCE,
        f"Over {view.span} the accuracy stays near {_number(level)}{beside} and the loss ends at {_number(cost)}. Guessing "
        f"among {classes} classes gives {_number(1 / classes)} and {guess}.",
        "Take regularizers and dropout away, scale the inputs to about 0 to 1 (once), and try learning rates ten times "
        "smaller and larger: one change at a time.",
        "The reason. Inputs too small or too large, the learning rate, a penalty or dropout too strong, dead units and "
        "shuffled labels all print this.",
    )


ROUND = {2, 3, 9, 10, 11, 100, 1000}
"""Numbers of classes that people have, give or take the noise of an accuracy."""


def _cost(view: View) -> float:
    """What the net's answers cost at the end: on validation samples, where dropout is off, if there are any."""
    return min(_end(view.loss), _end(view.val_loss) if len(view.val_loss) else np.inf)


def _classes(level: float, cost: float) -> int:
    """The number of classes among which guessing gives this accuracy and this loss; 0 if none does."""
    if not 0 < level <= 0.65:
        return 0
    usual = min((2, 3, 4, 5, 10, 100, 1000), key=lambda classes: abs(np.log(level * classes)))
    for classes in (round(float(np.exp(min(cost, 10)))), usual, round(1 / level)):
        if classes < 2 or abs(level * classes - 1) > (CHANCE_SHARE if classes > 2 else CHANCE_SHARE / 2):
            continue
        squared = (classes - 1) / classes**2
        if cost >= CHANCE_LOSS * np.log(classes) or abs(cost / squared - 1) < 0.05:
            return classes
    return 0


def _chance_by_loss(view: View) -> Symptom | None:
    """Without an accuracy: a loss that stays at ln K to the third digit."""
    values = np.concatenate([view.loss, view.val_loss])
    if len(view.loss) < 3 or len(view.squared) or len(view.absolute):
        return None
    for classes in (2, 3, 4, 5, 10, 20, 100, 1000):
        if (np.abs(values / np.log(classes) - 1) < 0.003).all():
            return Symptom(
                CHANCE,
                f"The loss stays between {_number(values.min())} and {_number(values.max())}; guessing among {classes} "
                f"classes costs ln {classes} = {np.log(classes):.4f}.",
                "Print the accuracy too, scale the inputs to about 0 to 1, and try learning rates ten times smaller and "
                "larger.",
                "Whether there are that many classes, and why nothing is learnt.",
            )
    return None


def _flat(accuracy: np.ndarray, share: float) -> bool:
    """Whether it does not rise from its first epochs to its last, by more than a share of itself."""
    if len(accuracy) < 3:
        return True
    begin, end = accuracy[: max(1, len(accuracy) // 3)].mean(), _end(accuracy)
    return bool(end - min(begin, accuracy[0]) <= max(0.02, share * end))


def _constant(view: View) -> Symptom | None:
    """Accuracies that only a net with one answer for all samples has: not a sample more or less, at a high loss."""
    accuracy, held_out = view.accuracy, view.val_accuracy
    if len(accuracy) < 3 or not len(view.loss) or not 0 < accuracy[-1] < 1:
        return None
    shown = held_out if len(held_out) == len(accuracy) else accuracy
    tail = slice(-max(3, (len(shown) + 1) // 2), None)
    share = float(shown[-1])
    if not 0 < share < 1:
        return None
    least = -share * np.log(share) - (1 - share) * np.log(1 - share)  # of a crossentropy, for any constant answer
    in_turn = shown is held_out and _one_class_then_another(view)
    if in_turn:
        how = f"takes {len(np.unique(held_out))} values in {len(held_out)} epochs"
    elif _still(shown) and np.ptp(accuracy) <= 0.02:
        how = f"is {_number(share)} in every epoch"
    elif _still(shown[tail]) and np.ptp(accuracy[tail]) <= 0.003 and _cost(view) >= CONSTANT_LOSS * least:
        how = f"is {_number(share)} in the last {len(shown[tail])} epochs"
    else:
        return None
    if not in_turn and (_end(accuracy) > share + 0.03 or _cost(view) < 0.5 * least):
        return None
    return Symptom(
        CONSTANT,
        f"The {'validation ' if shown is held_out else ''}accuracy {how}, to the last digit, at a loss of "
        f"{_number(_cost(view))}: the net gives one answer for all samples, or nearly so.",
        "Count what it predicts (`np.unique(model.predict(x).argmax(1), return_counts=True)`), and compare with the "
        "labels.",
        "The reason. Classes of very different size, dead units, a penalty or dropout too strong, inputs or a learning "
        "rate too small or too large all end there.",
    )


def _still(values: np.ndarray) -> bool:
    """Whether it does not change by one sample of ten thousand."""
    return bool(np.ptp(values) <= 1e-4)


def _one_class_then_another(view: View) -> bool:
    """At chance, with few different accuracies: the shares of the classes that are answered in turn."""
    values = np.unique(view.val_accuracy)
    few = len(values) <= max(2, len(view.val_accuracy) // 4) and len(view.val_accuracy) >= 6
    return few and _chance(view) is not None


def _metric_still(view: View) -> Symptom | None:
    accuracy, loss = view.accuracy, view.loss
    if len(accuracy) < 5 or len(loss) < 5 or accuracy[-1] > 0.97:
        return None
    falls, moves = 1 - _end(loss) / loss[0], abs(_end(accuracy) - accuracy[0])
    if falls < STILL_FALL or moves > STILL_METRIC or np.ptp(accuracy) > 3 * STILL_METRIC:
        return None
    if len(view.val_accuracy) >= 5 and np.ptp(view.val_accuracy) > 5 * STILL_METRIC:
        return None
    return Symptom(
        METRIC_STILL,
        f"Over {view.span} the loss falls by {falls:.0%} ({_to(loss)}) and the accuracy goes {_to(accuracy)}.",
        "Print a few predictions beside their labels: does the metric read them as you mean (threshold, labels one-hot or "
        "not, logits)? For two classes: one sigmoid unit, `binary_crossentropy`, `binary_accuracy`.",
        "Whether the part of the loss that falls is the data's at all: a penalty falls too.",
    )


def _penalty(view: View) -> Symptom | None:
    for text in (_excess(view), _above_accuracy(view)):
        if text:
            return Symptom(
                PENALTY,
                text,
                "Compare accuracies or errors, not losses, of nets with different penalties; `sum(model.losses)` is the "
                "penalty's part. If the net learns too little, divide the coefficient by ten.",
                "How much of it the penalty is. Class weights, label smoothing, a second output or unscaled inputs raise a "
                "loss too.",
            )
    return None


def _excess(view: View) -> str:
    """A loss above the same loss printed as a metric, which has no penalty."""
    loss = view.loss
    for name, values in (("crossentropy", view.crossentropy), ("mean squared error", view.squared)):
        if not len(loss) or len(values) != len(loss):
            continue
        # A loss of absolute errors is never above the root of the squared ones.
        other = view.absolute if len(view.absolute) == len(loss) else np.sqrt(values) if values is view.squared else 0
        if (loss > EXCESS * other).any() and _end(loss) > EXCESS * _end(values) and (loss > values).all():
            part = 1 - _end(values) / _end(loss)
            return (
                f"The loss ends at {_number(loss[-1])}, the {name} at {_number(values[-1])}: {part:.0%} of the loss is not "
                "the data's."
            )
    return _above_absolute(view)


def _above_absolute(view: View) -> str:
    loss, absolute = view.loss, view.absolute
    if not len(loss) or len(absolute) != len(loss) or len(view.squared) or (loss < 1.01 * absolute**2).any():
        return ""
    both = [(loss, absolute), (view.val_loss, view.val_absolute)][
        : 1 + (len(view.val_loss) == len(view.val_absolute) > 0)
    ]
    if np.allclose(loss, absolute, rtol=0.02) or any(
        _end(a / np.maximum(b, 1e-12) ** 2) < EXCESS_RATIO for a, b in both
    ):
        return ""
    return (
        f"The loss ends at {_number(loss[-1])} beside a mean absolute error of {_number(absolute[-1])}; the mean squared "
        f"error for that is near {_number(1.6 * absolute[-1] ** 2)}."
    )


def _above_accuracy(view: View) -> str:
    """A loss far above what so good an accuracy costs."""
    accuracy, loss = view.accuracy, view.loss
    if not len(accuracy) or len(accuracy) != len(loss):
        return ""
    ratio = loss / np.maximum(1 - accuracy, 0.01)
    if _end(ratio) > LOSS_PER_ERROR and _end(loss) > 0.1:
        return (
            f"The loss ends at {_number(loss[-1])} beside an accuracy of {_number(accuracy[-1])}; crossentropy alone is "
            f"seldom above {_number(LOSS_PER_ERROR * max(1 - accuracy[-1], 0.01))} there."
        )
    if len(loss) > 1 and ratio[0] > FIRST_LOSS_PER_ERROR and _end(ratio) > 0.6 * FIRST_LOSS_PER_ERROR:
        return (
            f"The loss starts at {_number(loss[0])} beside an accuracy of {_number(accuracy[0])}, more than guessing costs, "
            f"and falls ({_to(loss)}) by more than the accuracy explains ({_to(accuracy)})."
        )
    return ""


def _inference_worse(view: View) -> Symptom | None:
    """Held-out losses that are far above the training's from the start, or jump: as batch norm's statistics do."""
    loss, held_out = view.loss, view.val_loss
    if not len(held_out) and len(loss) and np.isfinite(view.log.evaluated.get("loss", np.nan)):
        loss, held_out = loss[-1:], np.array([view.log.evaluated["loss"]])
    if not len(loss) or len(held_out) != len(loss) or min(loss.min(), held_out.min()) <= 0:
        return None
    ratio = held_out / loss
    if len(loss) == 1:
        gap = view.accuracy[-1] - view.val_accuracy[-1] if len(view.val_accuracy) and len(view.accuracy) else 1.0
        holds, how = ratio[0] >= INFERENCE_ALONE and gap > 0.2, "after one epoch"
    else:
        early = float(np.median(ratio[: (len(ratio) + 1) // 2]))
        jump = float(np.median(np.abs(np.diff(np.log(held_out)))))
        jumps = jump >= INFERENCE_JUMP and float(np.median(ratio)) >= INFERENCE_RATIO
        holds = early >= INFERENCE_RATIO or jumps
        how = f"changing {np.exp(jump):.1f} times from epoch to epoch" if jumps else f"from the start ({_to(held_out)})"
    if not holds:
        return None
    worst = int(ratio.argmax())
    return Symptom(
        INFERENCE_WORSE,
        f"Held out, the loss is {_number(held_out[worst])} where it is {_number(loss[worst])} in training, {how}.",
        "`model.evaluate` the training samples. If they are bad there too it is batch norm: `momentum=0.9`, larger batches, "
        "or more steps.",
        "Whether there is a batch norm at all: very few training samples, or held-out samples that are prepared otherwise, "
        "print the same.",
    )


def _rate_high(view: View) -> Symptom | None:
    loss = view.loss
    if len(loss) < 4 or loss.min() <= 0:
        return None
    steps = np.diff(np.log(loss))
    rough = float(np.median(np.abs(steps)))
    shaken = (steps > 0).mean() >= RATE_UP and rough >= RATE_ROUGH and np.log(loss[0] / _end(loss)) < RATE_NET
    thrown = loss[0] > RATE_START * _end(loss) and _chance(view) is not None
    if not (shaken or thrown):
        return None
    if thrown:
        text = f"The first epoch costs {_number(loss[0])}, then the loss stands near {_number(_end(loss))}, which is chance."
    else:
        text = (
            f"The training loss rises in {int((steps > 0).sum())} of {len(steps)} epochs, changes by {np.expm1(rough):.0%} in "
            f"a typical one, and comes from {_number(loss[0])} to {_number(loss[-1])}."
        )
    return Symptom(
        RATE_HIGH,
        text,
        "A learning rate ten times smaller, and inputs scaled to about 0 to 1.",
        "Whether the rate is to blame: unscaled inputs, very small batches and dropout shake a loss too.",
    )


def _rate_low(view: View) -> Symptom | None:
    loss = view.loss
    if len(loss) < 4 or loss.min() <= 0:
        return None
    steps, total = np.diff(np.log(loss)), float(np.log(loss[0] / loss[-1]))
    if (steps <= 0).mean() < LOW_MONOTONE or not 0 < total < LOW_FALL:
        return None
    if np.log(loss[len(loss) // 2] / loss[-1]) < LOW_STRAIGHT * total:
        return None  # levels off
    return Symptom(
        RATE_LOW,
        f"The training loss falls steadily, but by {-np.expm1(-total):.1%} in {len(loss)} epochs ({_to(loss)}), and does not "
        "level off.",
        "A learning rate ten times larger, then a hundred times.",
        "Whether the rate is to blame: inputs far too small, saturated units and a strong penalty slow a net as much.",
    )


def _overfitting(view: View) -> Symptom | None:
    held_out, loss = view.val_loss, view.loss
    if len(held_out) < OVERFIT_EPOCHS or len(loss) != len(held_out) or held_out.min() <= 0:
        return None
    smooth = np.convolve(held_out, np.ones(3) / 3, "valid")
    lowest = int(smooth.argmin())
    rise, left = float(np.log(smooth[-1] / smooth[lowest])), len(smooth) - 1 - lowest
    noise = float(np.median(np.abs(np.diff(np.log(held_out)))))
    if rise < max(np.log(OVERFIT_RISE), noise) or left < max(2, OVERFIT_TAIL * len(held_out)):
        return None
    if loss[-3:].mean() >= loss[lowest : lowest + 3].mean() or loss[-1] >= smooth[-1]:
        return None
    epoch = lowest + 1  # the middle of its three
    return Symptom(
        OVERFITTING,
        f"From epoch {view.epochs[-len(held_out) :][epoch]} on the validation loss rises by {np.expm1(rise):.0%} "
        f"({_number(held_out[epoch])} → {_number(held_out[-1])}) while the training loss falls ({_number(loss[epoch])} → "
        f"{_number(loss[-1])}).",
        "Stop there (`EarlyStopping(restore_best_weights=True)`); then more data, a smaller net, dropout or a penalty.",
        "Whether it costs accuracy: a rising loss beside a steady accuracy is a net that is too sure of itself.",
    )


def _training_worse(view: View) -> Symptom | None:
    """Worse than validation by more than the mean over an epoch explains."""
    loss, held_out = view.loss, view.val_loss
    if not len(loss) or len(loss) != len(held_out) or min(loss.min(), held_out.min()) <= 0:
        return None
    late = slice(len(loss) // 2, None)
    # The mean over the *next* epoch is of weights after those that were validated.
    following = loss[1:] / held_out[:-1] if len(loss) > 2 else loss / held_out
    if np.median(loss[late] / held_out[late]) < WORSE_LOSS or (following[len(loss) // 2 - 1 :] > 1).mean() < 0.8:
        return None
    accuracies = ""
    if len(view.accuracy) == len(view.val_accuracy) == len(loss):
        if np.median((view.val_accuracy - view.accuracy)[late]) < WORSE_ACCURACY:
            return None
        accuracies = f", the accuracies {_number(view.accuracy[-1])} and {_number(view.val_accuracy[-1])}"
    return Symptom(
        TRAINING_WORSE,
        f"In epoch {view.epochs[-1]} the training loss is {_number(loss[-1])}, the validation loss {_number(held_out[-1])}"
        f"{accuracies}; so it is in most epochs.",
        "Nothing, as a rule: training figures are means over an epoch, with dropout on. `model.evaluate` the training "
        "samples to compare. If the net learns too little, halve the dropout.",
        "Whether it is dropout, other noise, the mean over the epoch, or validation samples that are easier.",
    )


def _improving(view: View) -> Symptom | None:
    """Short trainings by their training loss, longer ones by the held-out loss over the last third, as for rows."""
    if len(view.loss) < 2:
        return None
    short = len(view.loss) < 5
    values = view.loss if short or not len(view.val_loss) else view.val_loss
    last = values[-2:] if short else values[-max(4, len(values) // 3) :]
    if last.min() <= 0 or (len(view.accuracy) and view.accuracy[-1] > 0.995):
        return None
    x, y = np.arange(len(last)), np.log(last)
    slope, at = np.polyfit(x, y, 1)
    rest = float(np.std(y - slope * x - at))
    if -slope < (IMPROVING_SHORT if short else IMPROVING_LONG) or -slope * (len(last) - 1) < 2 * rest:
        return None
    return Symptom(
        IMPROVING,
        f"The {'training' if values is view.loss else 'validation'} loss still falls by {-np.expm1(slope):.1%} an epoch at "
        f"the end ({_to(last)} in {len(last)} epochs).",
        "More epochs; then compare.",
        "Where it would end.",
    )


def _healthy(view: View) -> Symptom | None:
    loss = view.loss
    if len(loss) < 3:
        return None
    falls = 1 - _end(loss) / loss[0] if loss[0] > 0 else 0.0
    rises = _end(view.accuracy) - view.accuracy[0] if len(view.accuracy) else 0.0
    if falls < 0.1 and rises < 0.05:
        return None
    accuracy = f", accuracy {_to(view.accuracy)}" if len(view.accuracy) else ""
    held_out = f"; validation loss {_to(view.val_loss)}" if len(view.val_loss) else ""
    return Symptom(
        HEALTHY,
        f"Over {view.span} the loss goes {_to(loss)}{accuracy}{held_out}.",
        "Nothing that the log asks for.",
        "Whether the net could do better: compare with a simple model on the same data.",
    )


def _nothing(view: View) -> Symptom:
    epochs = "one epoch" if len(view.epochs) == 1 else f"{len(view.epochs)} epochs"
    loss = f" (loss {_to(view.loss)})" if len(view.loss) else ", and it has no loss"
    return Symptom(
        NOTHING,
        f"In {epochs} the log shows no clear symptom{loss}.",
        "Train longer, with validation data and an accuracy or error as metric, and look at the new log.",
        "Nearly everything.",
    )


RULES: tuple[Callable[[View], Symptom | None], ...] = (
    *(
        _diverged,
        _negative,
        _zero,
        _no_meaning,
        _chance,
        _constant,
        _metric_still,
        _inference_worse,
        _rate_high,
        _rate_low,
    ),
    *(_penalty, _overfitting, _training_worse, _improving),
)
HIDES = {
    DIVERGED: {*WORDS} - {DIVERGED, NEGATIVE},
    NEGATIVE: {*WORDS} - {DIVERGED, NEGATIVE},
    ZERO: {*WORDS} - {ZERO, CONSTANT},
    NO_MEANING: {CHANCE, CONSTANT, METRIC_STILL, PENALTY},
    CHANCE: {OVERFITTING, IMPROVING, INFERENCE_WORSE, TRAINING_WORSE},
    CONSTANT: {OVERFITTING, IMPROVING, INFERENCE_WORSE, TRAINING_WORSE},
    INFERENCE_WORSE: {OVERFITTING},
    RATE_LOW: {IMPROVING},
}
"""What a word takes the sense from."""
