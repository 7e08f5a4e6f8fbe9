"""Signs of a fault that need no training: each says what is seen, what it would cause, and what would undo it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from stages.core.why import interventions
from stages.core.why import net as nets
from stages.core.why import task as tasks
from stages.core.why.interventions import Change, counted
from stages.core.why.record import Record
from stages.core.why.setup import Data, Setup, steps_in_epoch
from stages.core.why.task import Task

CERTAIN, LIKELY, POSSIBLE = 1.0, 0.6, 0.25
"""How surely a sign is a fault: it cannot work as it is; it seldom does; it often does no harm."""

RECKONED = ("data_unlearnable", "data_not_finite")
"""Causes that are no guess where their sign is certain: it is reckoned from the data."""


@dataclass(frozen=True)
class Symptom:
    """One sign."""

    cause: str  # one of interventions.CAUSES
    weight: float  # CERTAIN, LIKELY or POSSIBLE
    text: str  # what is seen, a sentence
    changes: tuple[Change, ...] = ()  # what would undo it

    @property
    def reckoned(self) -> bool:
        """Whether the data themselves show it, whatever an experiment finds."""
        return self.weight >= CERTAIN and self.cause in RECKONED


Look = Callable[[Setup, Data, Task], Iterator[Symptom]]

HEAD = (Change("head"),)

ONE_UNIT = {
    "categorical_crossentropy": "is 0, whatever the net says",
    "sparse_categorical_crossentropy": "knows class 0 only",
}
"""What becomes of a loss with one output unit."""

LINEAR = ("InputLayer", "Dense", "Activation", "BatchNormalization", *nets.SHAPE_LAYERS, *nets.DROPOUTS)
"""Layers behind which numbers are a linear function of the inputs, as long as they have no activation."""

KEEP_STEPS = (  # layers behind which a sequence has as many time steps as before, and wrappers of a recurrent layer
    *("InputLayer", "Masking", "Normalization", "Rescaling", "BatchNormalization", "LayerNormalization"),
    *("Dense", "TimeDistributed", "Activation", "Bidirectional", "Sequential", "Functional"),
    *nets.DROPOUTS,
)


def look(setup: Setup, data: Data, task: Task, record: Record | None = None) -> list[Symptom]:
    """All signs, the surest first."""
    found = [symptom for check in CHECKS for symptom in check(setup, data, task)]
    if record:
        found += [symptom for check in RECORD_CHECKS for symptom in check(record, task)]
    return sorted(found, key=lambda symptom: -symptom.weight)


# --- words ------------------------------------------------------------------------------------------------------------


def span(numbers: np.ndarray) -> str:
    """From the least to the most of the numbers that are finite: "0.5 to 12,000"."""
    finite = numbers[np.isfinite(numbers)].astype(np.float64)
    return " to ".join(f"{v:,.0f}" if abs(v) >= 1000 else f"{v:.3g}" for v in (finite.min(), finite.max()))


def percent(share: float) -> str:
    return f"{100 * share:.3g}%"


# --- the output, the loss and the labels ------------------------------------------------------------------------------


def _output(setup: Setup, data: Data, task: Task) -> Iterator[Symptom]:
    activation, units = nets.output_activation(setup.net), nets.output_units(setup.net)
    if not nets.tail(setup.net):
        return
    if units == 1 and activation == "softmax":
        yield Symptom("output_activation", CERTAIN, "softmax over a single unit is 1, whatever the input", HEAD)
        if task.kind == "classes":
            yield Symptom("output_units", CERTAIN, f"one output unit for {task.classes} classes", HEAD)
        return
    right = interventions.right_head(setup, task)
    wrong = interventions.wrong_parts(setup, task, data)
    if "output_units" in wrong and units:
        now = counted(units, "output unit")
        yield Symptom("output_units", CERTAIN, f"{now} where the targets need {right.units}", HEAD)
    if task.kind == "values" and activation in interventions.RANGES:
        yield from _bounded(setup, data, task, activation)
    elif "output_activation" in wrong:
        reaches = activation in ("sigmoid", "hard_sigmoid") and task.kind == "classes"
        apart = activation == "tanh" and set(task.names) == {-1, 1} and "entropy" not in setup.loss
        weight = POSSIBLE if apart or (reaches and setup.loss != "binary_crossentropy") else LIKELY
        now = "no activation" if activation == "linear" else activation
        yield Symptom("output_activation", weight, f"{now} at the output where {right.activation} belongs", HEAD)


def _bounded(setup: Setup, data: Data, task: Task, activation: str) -> Iterator[Symptom]:
    """An activation that gives only a part of the numbers, for a regression."""
    y = tasks.numbers(data.y[0])
    if (beyond := interventions.out_of_reach(activation, y)) > 0:
        y = y[np.isfinite(y)]
        share = "any" if beyond == 1 else percent(beyond) if beyond >= 0.005 else "a few"
        text = f"{activation} at the output cannot give {share} of the targets, {span(y)}"
        changes = (Change("head"), Change("targets"))
        yield Symptom("output_activation", CERTAIN if beyond > 0.1 else LIKELY, text, changes)
        if activation in interventions.SQUASHING:
            yield Symptom("target_scale", LIKELY, f"targets from {span(y)}", changes)
    elif activation in ("relu", "softmax"):
        weight = LIKELY if activation == "softmax" else POSSIBLE
        yield Symptom("output_activation", weight, f"{activation} at the output of a regression", HEAD)


def _loss(setup: Setup, data: Data, task: Task) -> Iterator[Symptom]:
    if not setup.loss:
        return
    activation = nets.output_activation(setup.net)
    loss = setup.loss
    if setup.from_logits and activation in ("softmax", "sigmoid"):
        text = f"from_logits=True behind a {activation}, which gives probabilities"
        yield Symptom("loss_function", LIKELY, text, HEAD)
        return
    elif activation == "linear" and not setup.from_logits and "entropy" in loss:
        text = f"{loss} takes probabilities, and the output has no activation (from_logits=True is not set)"
        yield Symptom("output_activation", LIKELY, text, HEAD)
    if "loss_function" not in interventions.wrong_parts(setup, task, data):
        return
    right = interventions.right_head(setup, task).loss
    if task.kind == "values":
        certain = "entropy" in loss and not 0 <= data.y[0].min() <= data.y[0].max() <= 1
        text = (
            f"{loss} is for targets from 0 to 1, these are {span(data.y[0])}" if certain else f"{loss} for a regression"
        )
        yield Symptom("loss_function", CERTAIN if certain else LIKELY, text, HEAD)
    elif loss in ONE_UNIT and nets.output_units(setup.net) == 1:
        yield Symptom("loss_function", CERTAIN, f"{loss} with one output unit {ONE_UNIT[loss]}", HEAD)
    elif loss == "sparse_categorical_crossentropy" and task.one_hot:
        yield Symptom("label_encoding", CERTAIN, f"{loss} wants class numbers, the labels are one-hot", HEAD)
    elif "categorical" in loss and not task.one_hot and "sparse" not in loss and task.kind != "labels":
        yield Symptom("label_encoding", CERTAIN, f"{loss} wants one-hot labels, these are class numbers", HEAD)
    else:
        slow = loss in interventions.REGRESSION_LOSSES
        weight = LIKELY if slow or task.kind == "labels" or loss == "binary_crossentropy" else CERTAIN
        if task.one_hot and loss == "binary_crossentropy" and activation in ("sigmoid", "softmax"):
            weight = POSSIBLE
        kinds = {"binary": "two classes", "classes": f"{task.classes} classes", "labels": "several labels a sample"}
        kind = kinds[task.kind]
        yield Symptom("loss_function", weight, f"{loss} for {kind}, where {right} belongs", HEAD)


def _labels(setup: Setup, data: Data, task: Task) -> Iterator[Symptom]:
    y = data.y[0]
    if y.dtype.kind in "US":
        yield Symptom("label_encoding", CERTAIN, "the labels are text", (Change("labels"), *HEAD))
        return
    if not task.is_classes or task.one_hot:
        return
    names = task.names
    if interventions.recoded(setup, task) and not interventions.labels_for_hinge(setup, task):
        entropy, word = "entropy" in setup.loss, "to" if len(names) > 2 else "and"
        wanted = f"{interventions.right_head(setup, task).loss} wants 0 {word} {task.classes - 1}"
        usual = wanted if entropy else f"0 {word} {task.classes - 1} are usual"
        text = f"labels are {names[0]:g} {word} {names[-1]:g}, where {usual}"
        yield Symptom("label_encoding", CERTAIN if entropy else POSSIBLE, text, (Change("labels"), *HEAD))
    if len(names) < 2:
        yield Symptom("data_unlearnable", CERTAIN, "all samples have the same label")


# --- data -------------------------------------------------------------------------------------------------------------


def _inputs(setup: Setup, data: Data, task: Task) -> Iterator[Symptom]:
    scale = (Change("inputs"),)
    for x in data.x:
        if x.dtype.kind in "USO" or interventions.fed_to_embedding(setup):
            continue
        numbers = np.asarray(x, np.float32)
        if not np.isfinite(numbers).all():
            share = float((~np.isfinite(numbers)).mean())
            text = (
                f"{percent(share)} of the inputs are missing or infinite"
                if share >= 1e-4
                else "some inputs are not finite"
            )
            yield Symptom("data_not_finite", CERTAIN, text, (Change("finite"),))
            numbers = numbers[np.isfinite(numbers)]
            if not numbers.size:
                continue
        if nets.scales_inputs(setup.net):
            continue
        most = float(np.abs(numbers).max())
        if most == 0:
            weight = CERTAIN if len(data.x) == 1 else POSSIBLE
            yield Symptom("data_unlearnable", weight, "all numbers of an input are 0")
        elif most > 20:
            weight = LIKELY if most >= 100 else POSSIBLE
            yield Symptom("input_scale", weight, f"inputs from {span(numbers)}, where about -1 to 1 is usual", scale)
        elif most < 0.05:
            text = f"inputs no larger than {most:.2g}"
            twice = " (divided by 255 twice?)" if abs(most * 255 - 1) < 0.2 else ""
            yield Symptom("input_scale", LIKELY, text + twice, scale)
        elif x.ndim == 2 and x.shape[1] > 1 and len(x) > 1:
            spread = numbers.reshape(x.shape).std(axis=0) if numbers.size == x.size else np.ones(1)
            spread = spread[spread > 0]
            if spread.size > 1 and spread.max() > 100 * spread.min() and not interventions.looks_like_image(x):
                text = f"columns of very different scale (deviations {span(spread)})"
                yield Symptom("input_scale", POSSIBLE, text, scale)


def _targets(setup: Setup, data: Data, task: Task) -> Iterator[Symptom]:
    if task.kind != "values":
        return
    y = tasks.numbers(data.y[0]).astype(np.float64)
    if not np.isfinite(y).all():
        yield Symptom("data_not_finite", CERTAIN, "some targets are missing or infinite", (Change("finite"),))
    known = np.ma.masked_invalid(y.reshape(len(y), -1))
    if not known.count():
        return
    most, spread = float(np.abs(known).max()), float(known.std(axis=0).filled(0).max())
    change = (Change("targets"),)
    if spread == 0:
        yield Symptom("data_unlearnable", CERTAIN, "every sample has the same targets")
    elif most > 20:
        weight = LIKELY if most >= 100 else POSSIBLE
        text = f"targets from {span(known.compressed())}, where about -1 to 1 is usual"
        yield Symptom("target_scale", weight, text, change)
    elif spread < 0.02:
        yield Symptom("target_scale", LIKELY, f"targets that differ by {spread:.2g} only", change)


def _order(setup: Setup, data: Data, task: Task) -> Iterator[Symptom]:
    if setup.shuffle or data.n < 10:
        held_out = data.y_held_out
        if task.is_classes and held_out and len(held_out[0]) >= 5:
            train = set(np.unique(tasks.class_numbers(task, data.y[0])).tolist())
            other = set(np.unique(tasks.class_numbers(task, held_out[0])).tolist())
            if len(other - train) or (len(other) == 1 and len(train) == 1):
                text = (
                    "the validation samples have classes that the training samples lack: samples stand class by class"
                )
                yield Symptom("data_order", CERTAIN, text, (Change("shuffle"),))
        return
    y = tasks.numbers(data.y[0]).reshape(data.n, -1)
    key = y.argmax(axis=1) if y.shape[1] > 1 else y[:, 0]
    changes = np.count_nonzero(np.diff(key))
    if task.is_classes and changes <= 3 * task.classes and data.n >= 10 * task.classes:
        text = "samples stand class by class and are not shuffled"
        yield Symptom("data_order", LIKELY, text, (Change("shuffle"),))


def _learnable(setup: Setup, data: Data, task: Task) -> Iterator[Symptom]:
    if (most := tasks.ceiling(task, data)) < 0.9:
        share = f"more than {math.ceil(round(100 * most, 6))}% of the way from guessing to perfect"
        text = f"equal inputs have different targets, so no net can come {share}"
        yield Symptom("data_unlearnable", CERTAIN if most < 0.2 else POSSIBLE, text)


def _one_step(setup: Setup, data: Data, task: Task) -> Iterator[Symptom]:
    """A recurrent layer whose samples are one time step long: of a single number there, memory was surely meant."""
    x = data.x[0]
    if len(data.x) > 1 or x.ndim not in (2, 3) or x.shape[1] != 1:
        return
    keeping = KEEP_STEPS if x.ndim == 3 else (*KEEP_STEPS, "Embedding")  # which makes steps of a row of numbers
    first = next((layer for layer in nets.layers(setup.net) if nets.kind(layer) not in keeping), None)
    words = x.ndim == 2 and not interventions.fed_to_embedding(setup)
    if first is None or words or nets.kind(first) not in nets.RECURRENT:
        return
    text = (
        f"each sample is a single time step, so within it there is nothing that the {nets.kind(first)} could remember "
        "(it takes samples × time steps × features)"
    )
    yield Symptom("data_unlearnable", LIKELY if x.size == data.n else POSSIBLE, text)


def _imbalance(setup: Setup, data: Data, task: Task) -> Iterator[Symptom]:
    if task.is_classes and not setup.class_weight and data.sample_weight is None:
        shares = np.bincount(tasks.class_numbers(task, data.y[0]), minlength=task.classes) / max(1, data.n)
        if 0.85 <= shares.max() < 1:
            text = f"{percent(min(shares.max(), 0.999))} of the samples are of one class"
            weight = LIKELY if shares.max() >= 0.9 else POSSIBLE
            yield Symptom("class_imbalance", weight, text, (Change("class_weight"),))


# --- the net ----------------------------------------------------------------------------------------------------------


def _hidden(setup: Setup, data: Data, task: Task) -> Iterator[Symptom]:
    hidden, activations = nets.hidden(setup.net), nets.hidden_activations(setup.net)
    dense = [layer for layer in hidden if nets.kind(layer) not in nets.RECURRENT]
    relu = (Change("activation", "relu"),)
    if dense and not activations:
        linear = all(nets.kind(layer) in LINEAR for layer in nets.layers(setup.net))
        text = "no hidden layer has an activation" + (": the net is linear" if linear else "")
        yield Symptom("hidden_activation_missing", LIKELY, text, relu)
    elif "softmax" in activations:
        yield Symptom("hidden_activation", LIKELY, "softmax in a hidden layer", relu)
    elif len(dense) >= 3 and set(activations) <= {"sigmoid", "hard_sigmoid"}:
        yield Symptom("vanishing_gradient", LIKELY, f"{len(dense)} hidden layers with sigmoid", relu)
    elif set(activations) <= {"sigmoid", "hard_sigmoid"} and activations:
        yield Symptom("hidden_activation", POSSIBLE, "sigmoid in the hidden layers", relu)
    widths = [(layer["config"].get(key), key[:-1]) for layer in hidden for key in ("units", "filters")]
    narrowest = min((width for width in widths if width[0]), default=None)
    if narrowest and narrowest[0] <= 4:
        yield Symptom("capacity_low", POSSIBLE, f"a hidden layer of {counted(*narrowest)}", (Change("width"),))
    if not hidden and nets.tail(setup.net):
        yield Symptom("capacity_low", POSSIBLE, "no hidden layer", (Change("width"),))


def _regularization(setup: Setup, data: Data, task: Task) -> Iterator[Symptom]:
    if rates := interventions.dropout_rates(setup.net):
        if max(rates) >= 0.8:
            yield Symptom("dropout_high", LIKELY, f"a dropout of {max(rates):g}", (Change("dropout"),))
        elif max(rates) >= 0.5 and len(rates) > 1:
            yield Symptom("dropout_high", POSSIBLE, f"{len(rates)} dropouts up to {max(rates):g}", (Change("dropout"),))
    chain = nets.tail(setup.net)
    if any(nets.kind(layer) in nets.DROPOUTS for layer in chain[1:]):
        yield Symptom("dropout_high", LIKELY, "dropout of the output itself", (Change("dropout"),))
    strengths = [
        float(value)
        for penalty in interventions.penalties(setup.net)
        for name, value in penalty["config"].items()
        if name in ("l1", "l2") and isinstance(value, int | float)
    ]
    if strengths and max(strengths) >= 0.005:
        weight = LIKELY if max(strengths) >= 0.05 else POSSIBLE
        yield Symptom("regularization_strong", weight, f"a penalty of {max(strengths):g}", (Change("penalty"),))


def _initial_weights(setup: Setup, data: Data, task: Task) -> Iterator[Symptom]:
    change = (Change("weights"),)
    for layer in nets.layers(setup.net):
        start = layer["config"].get("kernel_initializer")
        name = nets.name_of(start).lower()
        config = start.get("config") if isinstance(start, dict) and isinstance(start.get("config"), dict) else {}
        if name in ("zeros", "ones", "constant"):
            yield Symptom("weight_init", LIKELY, f"weights that all start as {name}", change)
            return
        if config.get("stddev", 0) >= 0.5 or config.get("maxval", 0) >= 0.5:
            wide = max(config.get("stddev", 0), config.get("maxval", 0))
            yield Symptom("weight_init", POSSIBLE, f"initial weights as wide as {wide:g}", change)
            return


def _batch_norm(setup: Setup, data: Data, task: Task) -> Iterator[Symptom]:
    if not nets.count(setup.net, "BatchNormalization"):
        return
    changes = (Change("batch_norm"), Change("batch_norm", 0.9))
    if min(setup.batch_size, data.n) <= 4:
        text = f"batch normalization over {counted(min(setup.batch_size, data.n), 'sample')}"
        yield Symptom("batch_norm", LIKELY, text, changes)
    elif setup.epochs * steps_in_epoch(setup, data.n) < 200:
        steps = setup.epochs * steps_in_epoch(setup, data.n)
        text = f"batch normalization, whose averages follow slowly, and {counted(steps, 'step')}"
        yield Symptom("batch_norm", POSSIBLE, text, changes)


def _frozen(setup: Setup, data: Data, task: Task) -> Iterator[Symptom]:
    weighty = [layer for layer in nets.layers(setup.net) if nets.has_weights(layer)]
    still = [layer for layer in weighty if not layer["config"].get("trainable", True)]
    if still:
        certain = len(still) == len(weighty)
        some = f"{len(still)} of {len(weighty)} layers {'does' if len(still) == 1 else 'do'} not train"
        text = "no layer trains" if certain else some
        yield Symptom("frozen_layers", CERTAIN if certain else POSSIBLE, text, (Change("thaw"),))


# --- training ---------------------------------------------------------------------------------------------------------


def _learning_rate(setup: Setup, data: Data, task: Task) -> Iterator[Symptom]:
    side = interventions.unusual_rate(setup)
    if side:
        low, high, _ = interventions.RATES[setup.optimizer["class_name"]]
        rate = setup.learning_rate
        far = rate <= low / 10 if side == "low" else rate >= 5 * high
        text = f"a learning rate of {rate:g} for {setup.optimizer['class_name']}"
        changes = tuple(Change("rate", factor) for factor in interventions.rates(setup))
        yield Symptom(f"learning_rate_{side}", LIKELY if far else POSSIBLE, text, changes)


def _budget(setup: Setup, data: Data, task: Task) -> Iterator[Symptom]:
    steps = setup.epochs * steps_in_epoch(setup, data.n)
    if steps < 500:
        longer = tuple(Change("epochs", epochs) for epochs in interventions.longer_epochs(setup, data))
        weight = LIKELY if steps < 100 else POSSIBLE
        yield Symptom("epochs_few", weight, f"{counted(steps, 'step')} in all", longer)
    if setup.batch_size >= data.n > 32:
        changes = tuple(Change("batch", size) for size in interventions.other_batches(setup, data))
        yield Symptom("batch_size", POSSIBLE, f"one batch of all {data.n} samples an epoch", changes)


# --- what only the script shows ---------------------------------------------------------------------------------------


def _metrics(record: Record, task: Task) -> Iterator[Symptom]:
    names = [metric.name for metric in (record.compiled.metrics or [[]])[0]]
    wrong = [name for name in names if task.kind == "values" and "accuracy" in name]
    wrong += [name for name in names if task.is_classes and name in ("mean_absolute_error", "mae")]
    if wrong:
        text = "means nothing for a regression" if task.kind == "values" else "says little about classes"
        yield Symptom("metric_only", LIKELY, f"{wrong[0]} {text}")


def _idle(record: Record, task: Task) -> Iterator[Symptom]:
    for idle in record.idle_regularizers:
        yield Symptom("penalty_without_effect", LIKELY, f"{idle.name} penalizes nothing: it was {idle.reason}")


CHECKS: tuple[Look, ...] = (
    _output,
    _loss,
    _labels,
    _inputs,
    _targets,
    _order,
    _learnable,
    _one_step,
    _imbalance,
    _hidden,
    _regularization,
    _initial_weights,
    _batch_norm,
    _frozen,
    _learning_rate,
    _budget,
)
RECORD_CHECKS = (_metrics, _idle)
