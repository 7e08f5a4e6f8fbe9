"""What a training log shows, in words that say no more than it does.

`symptoms` gives the words that hold for one log, the gravest first. A log shows symptoms, never a cause: where two
causes print the same numbers the word names what is seen, and the symptom says what else it may be. The thresholds were
chosen on logs of nets with known faults; `regbench log_accuracy` measures how often the words are right on other nets.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stages.core.why.log_advice import (
    ADVICE,
    CHANCE,
    CONSTANT,
    DIVERGED,
    HEALTHY,
    IMPROVING,
    INFERENCE_WORSE,
    METRIC_STILL,
    NEGATIVE,
    NO_MEANING,
    NOTHING,
    OVERFITTING,
    PENALTY,
    RATE_HIGH,
    RATE_LOW,
    SATURATED,
    TRAINING_WORSE,
    ZERO,
)
from stages.core.why.logs import TrainingLog


@dataclass(frozen=True)
class Symptom:
    """A word, and what a reader needs to act on it."""

    word: str
    evidence: str  # the numbers it rests on, a sentence
    first: str  # what to try or check first
    unknown: str  # what the log cannot tell


# Thresholds, in the order of the rules.
EXPLODES = 10.0  # times its lowest value, when it ends far above its first too
NEARLY_ZERO, SATURATED_COST = 2e-7, 16.0  # Keras 2 cuts probabilities off at 1e-7, which is 1.19e-7 in float32
MEANINGLESS_ACCURACY = 0.05
MEANINGLESS_CHEAP, MEANINGLESS_LOSS = 0.2, 30.0  # no crossentropy is smaller or larger beside such an accuracy
CHANCE_LOSS = 0.96  # of ln K
CHANCE_SHARE, CHANCE_HALF = 0.3, 0.12  # how far an accuracy may be from 1/K, as a share of it, and from a half
CONSTANT_LOSS = 0.8  # of what a constant answer costs at least
CONSTANT_EPOCHS = 6  # in which the held-out accuracy alone tells, as dropout shakes the training's
STILL_FALL, STILL_METRIC = 0.2, 0.01  # share of the loss, of the samples
INFERENCE_RATIO, INFERENCE_JUMP, INFERENCE_ALONE = 3.0, 0.3, 10.0  # held-out / training loss; change of its logarithm
INFERENCE_FIRST, INFERENCE_GAP = 2.0, 0.1  # the same in the first epoch; between the accuracies
RATE_UP, RATE_ROUGH, RATE_NET = 0.4, 0.05, 0.3  # share of epochs in which the loss rises; changes of its logarithm
RATE_ALONE = 0.1  # the same change where no validation loss confirms it
RATE_EPOCHS = 6  # fewer shake by accident
RATE_START = 5.0  # first loss / later loss of a net that then stands still
RATE_RESTLESS, RATE_RISES = 1.004, 0.3  # of ln K; share of epochs in which the validation loss rises
LOW_MONOTONE, LOW_FALL, LOW_STRAIGHT = 0.8, 0.2, 0.3  # share of epochs; change of the logarithm; share of it in the end
LOW_ACCURACY = 0.15  # rise
LOSS_PER_ERROR = 5.5  # crossentropy / share of wrong answers, at the end
LOSS_PER_ERROR_ALONE = 15.0  # the same of a log too short to show that the loss has levelled off
FIRST_LOSS_PER_ERROR = 5.0  # the same in the first epoch
RIGHT_COST = float(np.log(1000))  # of a right answer, at most: that of a net that hardly prefers it among 1000 classes
EXCESS, EXCESS_RATIO, EXCESS_HELD_OUT = (
    1.02,
    2.4,
    1.9,
)  # loss / the same without penalties; squared error / squared absolute error
OVERFIT_RISE, OVERFIT_FALL = 1.1, 0.95  # of the validation loss from its lowest on; of the training loss meanwhile
OVERFIT_NOISE = 3.0  # times a typical change: the lowest of many epochs and a last one lie 2 apart by accident
OVERFIT_EPOCHS, OVERFIT_TAIL, OVERFIT_WRONG = 5, 0.2, 3  # epochs; share of them; wrong answers that carry a rise
WORSE_LOSS, WORSE_SHORT, WORSE_CLEAR = 1.15, 1.05, 1.3  # beside a better accuracy; in one or two epochs; alone
WORSE_ACCURACY = 0.02
IMPROVING_SHORT, IMPROVING_LONG = 0.01, 0.02  # share of the loss that an epoch takes off
HEALTHY_FALL, HEALTHY_HELD_OUT = 0.15, 0.05  # share of the first epoch's loss


# --- a log, looked at -----------------------------------------------------------------------------------------------

_ACCURACY = re.compile(r"(?!top)(?:\w*_)?(?:acc|accuracy)(?:_\d+)?")
_SQUARED = re.compile(r"(?:\w+_)?(?:mse|mean_squared_error)(?:_\d+)?")
_ABSOLUTE = re.compile(r"(?:\w+_)?(?:mae|mean_absolute_error)(?:_\d+)?")
_CROSSENTROPY = re.compile(r"(?:\w+_)?(?:binary_|categorical_|sparse_categorical_)?crossentropy(?:_\d+)?")


class View:
    """A log's columns by what they mean, float64, (n,) for the n epochs in which the losses are finite, or empty."""

    def __init__(self, log: TrainingLog) -> None:
        self.log = log
        self.rows = np.ones(len(log.epochs), bool)
        for name in ("loss", "val_loss"):
            finite = np.isfinite(log.columns.get(name, np.empty(0)))
            if finite.any():
                self.rows &= finite
        self.epochs = log.epochs[self.rows]
        self.loss, self.val_loss = self._both("loss")
        own = [name for name in log.columns if not name.startswith("val_")]
        if sum(name.endswith("_loss") for name in own) > 1:
            own = []  # several outputs: the metric of one does not explain the sum of their losses
        self.accuracy_name, self.absolute_name = _first(own, _ACCURACY), _first(own, _ABSOLUTE)
        self.accuracy, self.val_accuracy = self._both(self.accuracy_name)
        self.absolute, self.val_absolute = self._both(self.absolute_name)
        self.squared, _ = self._both(_first(own, _SQUARED))
        self.crossentropy, _ = self._both(_first(own, _CROSSENTROPY))

    def _both(self, name: str | None) -> tuple[np.ndarray, np.ndarray]:
        """A column of training and the same of validation."""
        return self._column(name), self._column(f"val_{name}")

    def _column(self, name: str | None) -> np.ndarray:
        values = self.log.columns.get(name or "", np.full(len(self.rows), np.nan))[self.rows]
        return values if np.isfinite(values).all() else np.empty(0)

    @property
    def span(self) -> str:
        """The epochs, as a sentence begins."""
        first, last = int(self.epochs[0]), int(self.epochs[-1])
        return f"In epoch {first}" if first == last else f"Over epochs {first} to {last}"


def _first(names: list[str], pattern: re.Pattern[str]) -> str | None:
    return next((name for name in names if pattern.fullmatch(name)), None)


def _end(values: np.ndarray) -> float:
    """Mean of the last third, of three epochs at least where there are six."""
    return float(values[-max(1, len(values) // 3, 3 if len(values) >= 6 else 1) :].mean())


def _to(values: np.ndarray) -> str:
    """First and last value."""
    return f"{values[0]:.4g}" if len(values) == 1 else f"{values[0]:.4g} → {values[-1]:.4g}"


# --- rules ----------------------------------------------------------------------------------------------------------


def symptoms(log: TrainingLog) -> list[Symptom]:
    """The words that hold for a log, the gravest first; HEALTHY or NOTHING where none does."""
    view = View(log)
    with np.errstate(all="ignore"):  # a log may hold any number
        found = {word: evidence for word, rule in RULES.items() if (evidence := rule(view))}
        for word, others in HIDES.items():
            if word in found:
                found = {other: evidence for other, evidence in found.items() if other not in others}
        if not found:
            healthy = _healthy(view)
            found = {HEALTHY: healthy} if healthy else {NOTHING: _nothing(view)}
    return [Symptom(word, found[word], *advice) for word, advice in ADVICE.items() if word in found]


def _diverged(view: View) -> str:
    text = _not_finite(view, "loss") or _not_finite(view, "val_loss") or _explosion(view.loss)
    if not text:
        return ""
    accuracy = view.log.columns.get(view.accuracy_name or "", np.empty(0))
    if len(accuracy) > 1 and _still(accuracy) and 0 < accuracy[-1] < 0.9:
        text += f" The accuracy of {accuracy[-1]:.4g} is what NaN gives: the share of the first class."
    return text


def _not_finite(view: View, name: str) -> str:
    if name not in view.log.columns:
        return ""
    bad = view.log.printed[name] & ~np.isfinite(view.log.columns[name])
    if not bad.any():
        return ""
    first = int(bad.argmax())
    before = view.log.columns[name][:first]
    finite = before[np.isfinite(before)]
    came_from = f", after {finite[-1]:.4g}" if finite.size else ""
    return f"`{name}` is {view.log.columns[name][first]} from epoch {view.log.epochs[first]} on{came_from}."


def _explosion(loss: np.ndarray) -> str:
    if len(loss) < 2 or loss.min() <= 0:
        return ""
    lowest = int(loss.argmin())
    if loss[-1] < EXPLODES * loss[lowest] or loss[-1] < EXPLODES * loss[0] / 3:
        return ""
    return f"The training loss grows from {loss[lowest]:.4g} to {loss[-1]:.4g}."


def _negative(view: View) -> str:
    values = np.concatenate([view.loss, view.val_loss])
    if not (values < 0).any():
        return ""
    return f"The loss falls to {values.min():.4g}. Crossentropies and errors are never below 0."


def _zero(view: View) -> str:
    """Exactly 0, or what is left of it where Keras keeps probabilities 1e-7 away from 0 and 1."""
    loss, accuracy = view.loss, view.accuracy
    zero = (loss >= 0) & (loss < NEARLY_ZERO)
    if not zero.any() or (len(accuracy) and accuracy[-1] > 0.99 and not zero[0]):
        return ""
    beside = f" beside an accuracy of {accuracy[-1]:.4g}" if len(accuracy) else ""
    return f"The loss is {_to(loss[zero])} in {zero.sum()} of {len(loss)} epochs{beside}: nothing is left to learn."


def _saturated(view: View) -> str:
    """Every wrong answer costs the most that Keras counts, -ln 1e-7: probabilities are 0 and 1."""
    accuracy, loss = view.accuracy, view.loss
    if not len(accuracy) or not len(loss) or _end(accuracy) > 0.95:
        return ""
    each = _end(loss / np.maximum(1 - accuracy, 1e-9))
    if abs(each / SATURATED_COST - 1) > 0.02:
        return ""
    return (
        f"The loss of {loss[-1]:.4g} beside {1 - accuracy[-1]:.2%} wrong answers is {each:.1f} for each: the most that "
        "Keras counts (-ln 1e-7), so the net is sure of every answer, right or wrong."
    )


def _no_meaning(view: View) -> str:
    """An accuracy of a regression: near 0 and still, while the loss says something else."""
    accuracy, loss = np.concatenate([view.accuracy, view.val_accuracy]), view.loss
    if len(view.accuracy) < 2 or len(loss) < 2:
        return ""
    typical = float(np.median(loss))
    falls = loss[-1] < (1 - STILL_FALL) * loss[0] and np.ptp(view.accuracy) <= 0.02
    # An answer that is wrong has less than half of the probability on the right class and costs ln 2 at least.
    cheap = typical < MEANINGLESS_CHEAP and not _classes(_end(view.accuracy), _cost(view))
    odd = falls or cheap or typical > MEANINGLESS_LOSS or view.accuracy.max() == 0
    if accuracy.max() > MEANINGLESS_ACCURACY or not odd:
        return ""
    return (
        f"The accuracy is {accuracy.max():.4g} at most while the loss goes {_to(loss)}: of a regression, accuracy "
        "only counts the targets that are met to the last digit."
    )


def _chance(view: View) -> str:
    """No better than guessing: an accuracy that stays near 1/K beside a loss of ln K or more."""
    if not len(view.accuracy) or not len(view.loss):
        return _chance_by_loss(view)
    level, cost = _end(view.accuracy), _cost(view)
    classes = _classes(level, cost)
    if not classes:
        return ""
    rise = 0.35 if abs(cost / np.log(classes) - 1) < 0.01 else 0.1
    if not _flat(view.accuracy, rise) or not _flat(view.val_accuracy, rise):
        return ""
    if len(view.val_accuracy) and not 0.4 <= _end(view.val_accuracy) * classes <= 1.6:
        return ""
    if len(view.loss) < 3 and not (classes in ROUND and cost <= 1.6 * np.log(classes)):
        return ""  # one epoch of a net that learns many classes looks the same
    beside = f" ({view.val_accuracy[-1]:.4g} on validation samples)" if len(view.val_accuracy) else ""
    stays, ends = ("is", "is") if len(view.loss) == 1 else ("stays", "ends")
    if cost >= CHANCE_LOSS * np.log(classes):
        guess = f"ln {classes} = {np.log(classes):.4f}"
    else:
        guess = f"{(classes - 1) / classes**2:.4f} as squared error"
    return (
        f"{view.span} the accuracy {stays} near {level:.4g}{beside} and the loss {ends} at {cost:.4g}. Guessing "
        f"among {classes} classes gives {1 / classes:.4g} and {guess}."
    )


ROUND = {2, 3, 9, 10, 11, 100, 1000}
"""Numbers of classes that people have, give or take the noise of an accuracy."""


def _cost(view: View) -> float:
    """What the net's answers cost at the end: on validation samples, where dropout is off, if there are any."""
    return min(_end(view.loss), _end(view.val_loss) if len(view.val_loss) else np.inf)


def _classes(level: float, cost: float) -> int:
    """The number of classes among which guessing gives this accuracy and this loss; 0 if none does."""
    if not 1e-4 < level <= 0.65:
        return 0
    usual = min((2, 3, 4, 5, 10, 100, 1000), key=lambda classes: abs(np.log(level * classes)))
    for classes in (round(float(np.exp(min(cost, 10)))), usual, round(1 / level)):
        if classes < 2 or abs(level * classes - 1) > (CHANCE_SHARE if classes > 2 else CHANCE_HALF):
            continue
        squared = (classes - 1) / classes**2
        if cost >= CHANCE_LOSS * np.log(classes) or abs(cost / squared - 1) < 0.05:
            return classes
    return 0


def _chance_by_loss(view: View) -> str:
    """Without an accuracy: a loss that stays at ln K to the third digit."""
    values = np.concatenate([view.loss, view.val_loss])
    if len(view.loss) < 3 or len(view.squared) or len(view.absolute):
        return ""
    for classes in (2, 3, 4, 5, 10, 20, 100, 1000):
        if (np.abs(values / np.log(classes) - 1) < 0.003).all():
            return (
                f"The loss stays between {values.min():.4g} and {values.max():.4g}; guessing among {classes} "
                f"classes costs ln {classes} = {np.log(classes):.4f}."
            )
    return ""


def _flat(accuracy: np.ndarray, share: float) -> bool:
    """Whether it rises by no more than a share of itself from its first epochs to its last, and was never far above."""
    if len(accuracy) < 3:
        return True
    if accuracy[1:].max() > 1.35 * _end(accuracy) + 0.02:
        return False
    begin, end = accuracy[: max(1, len(accuracy) // 3)].mean(), _end(accuracy)
    return bool(end - min(begin, accuracy[0]) <= max(0.02, share * end))


def _constant(view: View) -> str:
    """Accuracies that only a net with one answer for all samples has: not a sample more or less, at a high loss."""
    accuracy, held_out = view.accuracy, view.val_accuracy
    if len(accuracy) < 3 or not len(view.loss) or not 0 < accuracy[-1] < 1:
        return ""
    shown = held_out if len(held_out) else accuracy
    tail = slice(-max(3, (len(shown) + 1) // 2), None)
    share = float(shown[-1])
    if not 0 < share < 1:
        return ""
    least = -share * np.log(share) - (1 - share) * np.log(1 - share)  # of a crossentropy, for any constant answer
    in_turn = shown is held_out and _one_class_then_another(view)
    if in_turn:
        how = f"takes {len(np.unique(held_out))} values in {len(held_out)} epochs"
    elif _still(shown) and np.ptp(accuracy) <= 0.02:
        how = f"is {share:.4g} in every epoch"
    elif (
        _still(shown[tail])
        and _cost(view) >= CONSTANT_LOSS * least
        and (np.ptp(accuracy[tail]) <= 0.003 or (shown is held_out and len(shown[tail]) >= CONSTANT_EPOCHS))
    ):
        how = f"is {share:.4g} in the last {len(shown[tail])} epochs"
    else:
        return ""
    if _frozen(view, least):
        return ""  # the accuracy stays because the answers do, whatever they are
    learns = _end(accuracy) > share + 0.03 and not _still(accuracy)
    if not in_turn and (learns or _cost(view) < 0.5 * least):
        return ""
    return (
        f"The {'validation ' if shown is held_out else ''}accuracy {how}, to the last digit, at a loss of "
        f"{_cost(view):.4g}: the net gives one answer for all samples, or nearly so."
    )


def _still(values: np.ndarray) -> bool:
    """Whether it does not change by one sample of ten thousand."""
    return bool(np.ptp(values) <= 1e-4)


def _frozen(view: View, least: float) -> bool:
    """Whether nothing moves, at a cost of neither a constant answer nor equal probabilities nor sure wrong answers."""
    classes = _classes(_end(view.accuracy), _cost(view)) or 2
    guess, cost = np.log(classes), _cost(view)
    still = abs(view.loss[-1] / view.loss[0] - 1) < 0.01
    return bool(still and 1.03 * least < cost < 2 * max(guess, least) and abs(cost / guess - 1) >= 0.01)


def _one_class_then_another(view: View) -> bool:
    """At chance, with few different accuracies: the shares of the classes that are answered in turn."""
    values = np.unique(view.val_accuracy)
    few = len(values) <= max(2, len(view.val_accuracy) // 4) and len(view.val_accuracy) >= 6
    return few and bool(_chance(view))


def _metric_still(view: View) -> str:
    accuracy, loss = view.accuracy, view.loss
    if min(len(accuracy), len(loss)) < 5 or accuracy[-1] > 0.97:
        return ""
    falls, moves = 1 - _end(loss) / loss[0], abs(_end(accuracy) - accuracy[0])
    if falls < STILL_FALL or moves > STILL_METRIC or np.ptp(accuracy) > 3 * STILL_METRIC:
        return ""
    if len(view.val_accuracy) and np.ptp(view.val_accuracy) > 5 * STILL_METRIC:
        return ""
    return f"{view.span} the loss falls by {falls:.0%} ({_to(loss)}) and the accuracy goes {_to(accuracy)}."


def _penalty(view: View) -> str:
    return _excess(view) or _above_absolute(view) or _above_accuracy(view)


def _excess(view: View) -> str:
    """A loss above the same loss printed as a metric, which has no penalty. Beside an accuracy, squared errors say
    nothing: the loss will be a crossentropy."""
    loss, squared = view.loss, np.empty(0) if len(view.accuracy) else view.squared
    for name, values in (("crossentropy", view.crossentropy), ("mean squared error", squared)):
        if not len(loss) or not len(values):
            continue
        # A loss of absolute errors is never above the root of the squared ones.
        other = view.absolute if len(view.absolute) else np.sqrt(values) if values is squared else 0
        if (loss > EXCESS * other).any() and _end(loss) > EXCESS * _end(values) and (loss > values).all():
            part = 1 - _end(values) / _end(loss)
            return (
                f"The loss ends at {loss[-1]:.4g}, the {name} at {values[-1]:.4g}: {part:.0%} of the loss is not "
                "the data's."
            )
    return ""


def _above_absolute(view: View) -> str:
    """A squared loss that is too large for the mean absolute error beside it, in training and held out."""
    loss, absolute = view.loss, view.absolute
    if not len(absolute) or not len(loss) or len(view.squared) or len(view.accuracy):
        return ""
    if (loss < absolute**2).any() or np.allclose(loss, absolute, rtol=0.02):
        return ""
    if _end(loss / np.maximum(absolute, 1e-12) ** 2) < EXCESS_RATIO:
        return ""
    held_out, val_absolute = view.val_loss, view.val_absolute
    if len(held_out) and len(val_absolute) and _end(held_out / np.maximum(val_absolute, 1e-12) ** 2) < EXCESS_HELD_OUT:
        return ""
    return (
        f"The loss ends at {loss[-1]:.4g} beside a mean absolute error of {absolute[-1]:.4g}; the mean squared "
        f"error for that is near {1.6 * absolute[-1] ** 2:.4g}."
    )


def _above_accuracy(view: View) -> str:
    """A loss far above what so good an accuracy costs."""
    accuracy, loss = view.accuracy, view.loss
    if not len(accuracy) or not len(loss) or _no_meaning(view):
        return ""
    ratio = loss / np.maximum(1 - accuracy, 0.01)
    held_out = np.inf  # of a penalty, the validation loss tells too
    if len(view.val_accuracy) and len(view.val_loss):
        held_out = _end(view.val_loss / np.maximum(1 - view.val_accuracy, 0.01))
    if _end(ratio) > _usual_ratio(loss) and held_out > 4 and _end(loss) > 0.1:
        return (
            f"The loss ends at {loss[-1]:.4g} beside an accuracy of {accuracy[-1]:.4g}; crossentropy alone is "
            f"seldom above {LOSS_PER_ERROR * max(1 - accuracy[-1], 0.01):.4g} there."
        )
    most = SATURATED_COST * (1 - accuracy[0]) + RIGHT_COST * accuracy[0]
    if len(loss) > 2 and accuracy[0] > 0.1 and loss[0] > most and loss[0] > loss[1] > loss[2]:
        return (
            f"The loss starts at {loss[0]:.4g} beside an accuracy of {accuracy[0]:.4g}, where crossentropy alone is "
            f"{most:.4g} at most, and falls ({_to(loss)})."
        )
    if len(loss) > 1 and ratio[0] > FIRST_LOSS_PER_ERROR and min(_end(ratio), held_out) > 3:
        return (
            f"The loss starts at {loss[0]:.4g} beside an accuracy of {accuracy[0]:.4g}, more than guessing costs, "
            f"and falls ({_to(loss)}) by more than the accuracy explains ({_to(accuracy)})."
        )
    return ""


def _usual_ratio(loss: np.ndarray) -> float:
    """Loss per wrong answer above which crossentropy alone seldom ends. While a net is unsure of its right answers each
    of these costs up to ln K, so a loss that goes on falling shows nothing."""
    if len(loss) < 3:
        return LOSS_PER_ERROR_ALONE
    return np.inf if _falls_on(loss) else LOSS_PER_ERROR


def _falls_on(loss: np.ndarray) -> bool:
    """Whether it falls by more than IMPROVING_LONG an epoch over its last third."""
    last = loss[-max(3, len(loss) // 3) :]
    return bool(last.min() > 0 and -np.polyfit(np.arange(len(last)), np.log(last), 1)[0] > IMPROVING_LONG)


def _inference_worse(view: View) -> str:
    """Held-out losses that are far above the training's from the start, or jump: as batch norm's statistics do."""
    loss, held_out = view.loss, view.val_loss
    if not len(held_out) and len(loss) and np.isfinite(view.log.evaluated.get("loss", np.nan)):
        loss, held_out = loss[-1:], np.array([view.log.evaluated["loss"]])
    if not len(loss) or not len(held_out) or min(loss.min(), held_out.min()) <= 0:
        return ""
    ratio = held_out / loss
    if len(loss) == 1:
        gap = view.accuracy[-1] - view.val_accuracy[-1] if len(view.val_accuracy) and len(view.accuracy) else 1.0
        holds, how = ratio[0] >= INFERENCE_ALONE and gap > 0.2, "after one epoch"
    else:
        jump = float(np.median(np.abs(np.diff(np.log(held_out)))))
        jumps = jump >= INFERENCE_JUMP and float(np.median(ratio)) >= INFERENCE_RATIO
        gap = view.accuracy - view.val_accuracy if len(view.accuracy) and len(view.val_accuracy) else np.ones(1)
        early = ratio[0] >= INFERENCE_FIRST and float(np.median(ratio)) >= INFERENCE_RATIO
        holds = (early or jumps) and float(np.median(gap)) > INFERENCE_GAP
        how = f"changing {np.exp(jump):.1f} times from epoch to epoch" if jumps else f"from the start ({_to(held_out)})"
    if not holds:
        return ""
    worst = int(ratio.argmax())
    return f"Held out, the loss is {held_out[worst]:.4g} where it is {loss[worst]:.4g} in training, {how}."


def _rate_high(view: View) -> str:
    loss = view.loss
    if len(loss) < 4 or loss.min() <= 0:
        return ""
    if loss[0] > RATE_START * _end(loss) and _chance(view):
        return f"The first epoch costs {loss[0]:.4g}, then the loss stands near {_end(loss):.4g}, which is chance."
    if _restless_at_chance(view):
        return (
            f"The net is at chance, and the validation loss goes up and down between {view.val_loss.min():.4g} and "
            f"{view.val_loss.max():.4g}, above what guessing costs."
        )
    steps, half = np.diff(np.log(loss)), len(loss) // 2
    rough, net = float(np.median(np.abs(steps))), float(np.log(np.median(loss[:half]) / np.median(loss[half:])))
    if (
        len(loss) < RATE_EPOCHS
        or (steps > 0).mean() < RATE_UP
        or rough < (RATE_ROUGH if _shakes(view.val_loss) else RATE_ALONE)
        or (len(view.val_loss) and not _shakes(view.val_loss))  # dropout shakes the training's alone
        or net > RATE_NET
        or (view.accuracy > 0.97).any()
    ):
        return ""
    return (
        f"The training loss rises in {(steps > 0).sum()} of {len(steps)} epochs, changes by {np.expm1(rough):.0%} in a "
        f"typical one, and comes from {loss[0]:.4g} to {loss[-1]:.4g}."
    )


def _shakes(held_out: np.ndarray) -> bool:
    """Whether a validation loss changes as much from epoch to epoch as the training loss at a high rate."""
    return bool(len(held_out) > 1 and held_out.min() > 0 and np.median(np.abs(np.diff(np.log(held_out)))) >= RATE_ROUGH)


def _restless_at_chance(view: View) -> bool:
    """A net that stands still for want of gradient costs ln K on validation samples; one thrown about costs more."""
    if len(view.val_loss) < 5 or not _chance(view):
        return False
    guess = np.log(_classes(_end(view.accuracy), _cost(view)))
    return bool(np.median(view.val_loss) > RATE_RESTLESS * guess and (np.diff(view.val_loss) > 0).mean() >= RATE_RISES)


def _rate_low(view: View) -> str:
    loss, held_out = view.loss, view.val_loss
    if len(loss) < 4 or loss.min() <= 0 or view.epochs[0] > 1:  # the end of a training is slow at any rate
        return ""
    if len(held_out) and (held_out[-1] >= held_out[0] or (np.diff(held_out) <= 0).mean() < LOW_MONOTONE):
        return ""
    steps, total = np.diff(np.log(loss)), float(np.log(loss[0] / loss[-1]))
    if (steps <= 0).mean() < LOW_MONOTONE or not 0 < total < LOW_FALL:
        return ""
    if np.log(loss[len(loss) // 2] / loss[-1]) < LOW_STRAIGHT * total:
        return ""  # levels off
    if len(view.accuracy) and view.accuracy[-1] - view.accuracy[0] > LOW_ACCURACY:
        return ""
    return (
        f"The training loss falls steadily, but by {-np.expm1(-total):.1%} in {len(loss)} epochs ({_to(loss)}), and "
        "does not level off."
    )


def _overfitting(view: View) -> str:
    held_out, loss = view.val_loss, view.loss
    if len(held_out) < OVERFIT_EPOCHS or not len(loss) or held_out.min() <= 0:
        return ""
    smooth = np.convolve(held_out, np.ones(3) / 3, "valid")
    lowest = int(smooth.argmin())
    rise, left = float(np.log(smooth[-1] / smooth[lowest])), len(smooth) - 1 - lowest
    noise = float(np.median(np.abs(np.diff(np.log(held_out)))))
    if rise < max(np.log(OVERFIT_RISE), OVERFIT_NOISE * noise) or left < max(2, OVERFIT_TAIL * len(held_out)):
        return ""
    if held_out[-3:].min() <= smooth[lowest] or held_out[-1] <= loss[-1]:
        return ""  # it comes back
    if loss[-3:].mean() >= OVERFIT_FALL * loss[lowest : lowest + 3].mean():
        return ""
    if _wrong_answers(view.val_accuracy) < OVERFIT_WRONG:
        return ""  # a rise that so few samples carry would not be found on others
    epoch = lowest + 1  # the middle of its three
    return (
        f"From epoch {view.epochs[epoch]} on the validation loss rises by {np.expm1(rise):.0%} "
        f"({_to(held_out[epoch:])}) while the training loss falls ({_to(loss[epoch:])})."
    )


def _wrong_answers(held_out: np.ndarray) -> float:
    """Wrong answers in the end on a small validation set, infinite where its size does not show: accuracies are
    multiples of one over it, and these are told apart from others by four printed digits up to a hundred."""
    if len(np.unique(held_out)) < 3:
        return np.inf
    for size in range(2, 100):
        if (np.abs(held_out * size - np.round(held_out * size)) <= 6e-5 * size).all():
            return float((1 - held_out[-3:].mean()) * size)
    return np.inf


def _training_worse(view: View) -> str:
    """Worse than validation by more than the mean over an epoch explains."""
    loss, held_out = view.loss, view.val_loss
    if not len(loss) or not len(held_out) or min(loss.min(), held_out.min()) <= 0:
        return ""
    late = slice(len(loss) // 2, None)
    both = len(view.accuracy) and len(view.val_accuracy)
    gap = float(np.median((view.val_accuracy - view.accuracy)[late])) if both else 0.0
    least = WORSE_CLEAR if gap < WORSE_ACCURACY else WORSE_LOSS if len(loss) > 2 else WORSE_SHORT
    if np.median(loss[late] / held_out[late]) < least or gap < 0:
        return ""
    # The mean over the *next* epoch is of weights after those that were validated.
    if len(loss) > 2 and (loss[1:] > held_out[:-1])[len(loss) // 2 - 1 :].mean() < 0.8:
        return ""
    accuracies = f", the accuracies {view.accuracy[-1]:.4g} and {view.val_accuracy[-1]:.4g}" if both else ""
    return (
        f"In epoch {view.epochs[-1]} the training loss is {loss[-1]:.4g}, the validation loss {held_out[-1]:.4g}"
        f"{accuracies}{'; most epochs are like it' if len(loss) > 2 else ''}."
    )


def _improving(view: View) -> str:
    """Short trainings by their training loss, longer ones by the held-out loss over the last third, as for rows."""
    if len(view.loss) < 2:
        return ""
    short = len(view.loss) < 5
    values = view.loss if short or not len(view.val_loss) else view.val_loss
    last = values[-2:] if short else values[-max(4, len(values) // 3) :]
    if values.min() <= 0 or (len(view.accuracy) and view.accuracy[-1] > 0.995):
        return ""
    epochs = view.epochs[-len(last) :]  # a log may leave some out
    slope, span = float(np.polyfit(epochs, np.log(last), 1)[0]), int(epochs[-1] - epochs[0])
    noise = float(np.median(np.abs(np.diff(np.log(values[len(values) // 2 :]), 2)))) if len(values) >= 5 else 0.0
    if -slope < (IMPROVING_SHORT if short else IMPROVING_LONG) or -slope * span < 2 * noise:
        return ""
    return (
        f"The {'training' if values is view.loss else 'validation'} loss still falls by {-np.expm1(slope):.1%} an "
        f"epoch at the end ({_to(last)} in {span + 1} epochs)."
    )


def _healthy(view: View) -> str:
    """Nothing else is said, training gets somewhere, and so does validation."""
    loss, held_out = view.loss, view.val_loss
    if len(loss) < 3 or not _gets_somewhere(loss, view.accuracy, HEALTHY_FALL):
        return ""
    near = not len(view.val_accuracy) and _end(held_out) < 1.3 * _end(loss) if len(held_out) else True
    if not near and not _gets_somewhere(held_out, view.val_accuracy, HEALTHY_HELD_OUT):
        return ""
    accuracy = f", accuracy {_to(view.accuracy)}" if len(view.accuracy) else ""
    validation = f"; validation loss {_to(held_out)}" if len(held_out) else ""
    return f"{view.span} the loss goes {_to(loss)}{accuracy}{validation}."


def _gets_somewhere(loss: np.ndarray, accuracy: np.ndarray, least: float) -> bool:
    """The loss falls by a share, or the accuracy rises or is high."""
    if len(accuracy) and (_end(accuracy) >= 0.8 or _end(accuracy) - accuracy[0] >= 0.1):
        return True
    return bool(loss[0] > 0 and 1 - _end(loss) / loss[0] >= least)


def _nothing(view: View) -> str:
    epochs = "one epoch" if len(view.epochs) == 1 else f"{len(view.epochs)} epochs"
    loss = f" (loss {_to(view.loss)})" if len(view.loss) else ", and it has no loss"
    return f"In {epochs} the log shows no clear symptom{loss}."


RULES: dict[str, Callable[[View], str]] = {
    DIVERGED: _diverged,
    NEGATIVE: _negative,
    ZERO: _zero,
    SATURATED: _saturated,
    NO_MEANING: _no_meaning,
    CHANCE: _chance,
    CONSTANT: _constant,
    METRIC_STILL: _metric_still,
    INFERENCE_WORSE: _inference_worse,
    RATE_HIGH: _rate_high,
    RATE_LOW: _rate_low,
    PENALTY: _penalty,
    OVERFITTING: _overfitting,
    TRAINING_WORSE: _training_worse,
    IMPROVING: _improving,
}
"""Word → the evidence for it, "" where it does not hold."""

HIDES = {
    DIVERGED: {*RULES} - {DIVERGED, NEGATIVE},
    NEGATIVE: {*RULES} - {DIVERGED, NEGATIVE},
    ZERO: {*RULES} - {ZERO, CONSTANT},
    SATURATED: {PENALTY, METRIC_STILL, RATE_HIGH, RATE_LOW, OVERFITTING, IMPROVING, TRAINING_WORSE},
    NO_MEANING: {SATURATED, CHANCE, CONSTANT, METRIC_STILL},
    CHANCE: {METRIC_STILL, OVERFITTING, IMPROVING, INFERENCE_WORSE, TRAINING_WORSE},
    CONSTANT: {OVERFITTING, IMPROVING, INFERENCE_WORSE, TRAINING_WORSE},
    INFERENCE_WORSE: {OVERFITTING},
    RATE_HIGH: {IMPROVING, TRAINING_WORSE},
    RATE_LOW: {IMPROVING},
}
"""What a word takes the sense from."""
