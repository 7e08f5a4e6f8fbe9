"""Small nets with known faults, trained by plain Keras, to try the words for training logs on.

`recipes` draws what to train; `train` trains one and gathers what its log does not show, by looking into the net, by
evaluating it on many held-out samples, by training it longer and at other learning rates; `truth` makes words of that.
The kinds "tuning" and "test" share no data set, net or seed: thresholds are chosen on the one and judged on the other.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from sklearn import datasets

from stages.core.why.log_advice import (
    CHANCE,
    CONSTANT,
    DIVERGED,
    HEALTHY,
    IMPROVING,
    INFERENCE_WORSE,
    METRIC_STILL,
    NEGATIVE,
    NO_MEANING,
    OVERFITTING,
    PENALTY,
    RATE_HIGH,
    RATE_LOW,
    SATURATED,
    TRAINING_WORSE,
    ZERO,
)
from stages.core.why.log_symptoms import RULES

Kind = Literal["tuning", "test"]
Array = np.ndarray

BIG_GAIN = 0.1
"""Gain in skill, from 0 for guessing to 1, that makes another learning rate the cure, when it doubles the skill too."""


TINY_RATE = 1e-4
"""Below it a rate a hundred times as high may be too low still, so a thousand times is tried."""


@dataclass(frozen=True)
class Task:
    """A data set in three parts: what `fit` trains on, what it validates on, and what only the truth is made of."""

    name: str
    classes: int  # 0: regression
    train: tuple[Array, Array]
    validation: tuple[Array, Array]
    held_out: tuple[Array, Array]


@dataclass(frozen=True)
class Recipe:
    """What to train."""

    pattern: str  # what the recipe is meant to show; the truth is measured
    task: str
    seed: int
    hidden: tuple[int, ...] = (32,)
    activation: str = "relu"
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    batch: int = 32
    epochs: int = 20
    dropout: float = 0.0
    l2: float = 0.0
    l1: float = 0.0
    batch_norm: bool = False
    samples: int = 600
    noise: float = 0.0  # share of training and validation labels that are drawn at random
    input_scale: float = 1.0  # of standardized inputs
    head: Literal["fit", "softmax of one unit", "wrong labels"] = "fit"  # output and loss for the task
    metric: str = "accuracy"
    target_scale: float = 1.0  # of standardized targets
    validate: bool = True


@dataclass(frozen=True)
class Example:
    """A training: its log, and what its log does not show."""

    recipe: Recipe
    columns: dict[str, list[float]]
    facts: dict[str, float]


# --- data -----------------------------------------------------------------------------------------------------------


def _small(load: Callable[..., Any]) -> Callable[[int], tuple[Array, Array]]:
    return lambda seed: load(return_X_y=True)


def _classes(seed: int, **how: Any) -> tuple[Array, Array]:
    return datasets.make_classification(8000, random_state=seed, **how)


def _hastie(seed: int) -> tuple[Array, Array]:
    x, y = datasets.make_hastie_10_2(8000, random_state=seed)
    return x, (y > 0).astype(int)


_quantiles = datasets.make_gaussian_quantiles
TASKS: dict[Kind, dict[str, tuple[int, Callable[[int], tuple[Array, Array]]]]] = {
    "tuning": {
        "digits": (10, _small(datasets.load_digits)),
        "breast_cancer": (2, _small(datasets.load_breast_cancer)),
        "moons": (2, lambda seed: datasets.make_moons(8000, noise=0.25, random_state=seed)),
        "blobs": (6, lambda seed: datasets.make_blobs(8000, 8, centers=6, cluster_std=4.0, random_state=seed)),
        "diabetes": (0, _small(datasets.load_diabetes)),
        "friedman1": (0, lambda seed: datasets.make_friedman1(8000, 10, noise=1.0, random_state=seed)),
        "linear": (0, lambda seed: datasets.make_regression(8000, 12, n_informative=8, noise=20, random_state=seed)),
        "wine": (3, _small(datasets.load_wine)),
        "circles": (2, lambda seed: datasets.make_circles(8000, noise=0.15, factor=0.5, random_state=seed)),
        "clusters": (5, lambda seed: _classes(seed, n_features=20, n_informative=12, n_classes=5, class_sep=1.5)),
        "skewed": (2, lambda seed: _classes(seed, n_features=12, n_informative=6, weights=[0.8])),
        "quantiles": (4, lambda seed: _quantiles(n_samples=8000, n_features=4, n_classes=4, random_state=seed)),
        "friedman2": (0, lambda seed: datasets.make_friedman2(8000, noise=50.0, random_state=seed)),
        "friedman3": (0, lambda seed: datasets.make_friedman3(8000, noise=0.1, random_state=seed)),
    },
    "test": {
        "iris": (3, _small(datasets.load_iris)),
        "hastie": (2, _hastie),
        "three": (3, lambda seed: _classes(seed, n_features=10, n_informative=5, n_classes=3, class_sep=2.0)),
        "eight": (8, lambda seed: _classes(seed, n_features=16, n_informative=10, n_classes=8, class_sep=2.5)),
        "sparse": (0, lambda seed: datasets.make_sparse_uncorrelated(8000, 8, random_state=seed)),
        "s_curve": (0, lambda seed: datasets.make_s_curve(8000, noise=0.1, random_state=seed)),
        "swiss_roll": (0, lambda seed: datasets.make_swiss_roll(8000, noise=0.5, random_state=seed)),
    },
}  # fmt: skip


def _task(kind: Kind, recipe: Recipe) -> Task:
    """Standardized data, split at random; the validation samples are a quarter as many as the training samples."""
    classes, make = TASKS[kind][recipe.task]
    rng = np.random.default_rng(recipe.seed)
    x, y = make(recipe.seed)
    order = rng.permutation(len(x))
    x, y = x[order], y[order]
    samples = min(recipe.samples, len(x) // 2)
    x = (x - x[:samples].mean(0)) / (x[:samples].std(0) + 1e-9) * recipe.input_scale
    if classes:
        y = y.astype("int32")
    else:
        y = ((y - y[:samples].mean()) / y[:samples].std() * recipe.target_scale).astype("float32")
    ends = samples, samples + samples // 4
    given = y.copy()
    wrong = rng.random(len(y)) < recipe.noise
    given[wrong] = rng.permutation(y)[wrong]
    x = x.astype("float32")
    train, validation = (x[: ends[0]], given[: ends[0]]), (x[ends[0] : ends[1]], given[ends[0] : ends[1]])
    return Task(recipe.task, classes, train, validation, (x[ends[1] :][:2000], y[ends[1] :][:2000]))


# --- nets -----------------------------------------------------------------------------------------------------------


def _net(recipe: Recipe, task: Task) -> keras.Model:
    penalty = keras.regularizers.L1L2(recipe.l1, recipe.l2) if recipe.l1 or recipe.l2 else None
    layers: list[Any] = [keras.layers.Input(task.train[0].shape[1:])]
    for width in recipe.hidden:
        layers.append(keras.layers.Dense(width, activation=recipe.activation, kernel_regularizer=penalty))
        layers += [keras.layers.BatchNormalization()] if recipe.batch_norm else []
        layers += [keras.layers.Dropout(recipe.dropout)] if recipe.dropout else []
    if not task.classes:
        layers.append(keras.layers.Dense(1))
    elif recipe.head == "softmax of one unit":
        layers.append(keras.layers.Dense(1, activation="softmax"))
    elif task.classes == 2:
        layers.append(keras.layers.Dense(1, activation="sigmoid"))
    else:
        layers.append(keras.layers.Dense(task.classes, activation="softmax"))
    return keras.Sequential(layers)


def _loss(recipe: Recipe, task: Task) -> str:
    if not task.classes:
        return "mse"
    if recipe.head == "wrong labels" or task.classes == 2:
        return "binary_crossentropy"
    return "sparse_categorical_crossentropy"


def _labels(recipe: Recipe, task: Task, y: Array) -> Array:
    """Labels as the recipe's script would give them; the wrong ones are -1 and 1, or 1 and 2."""
    if recipe.head == "wrong labels":
        return (2 * y - 1 if recipe.seed % 2 else y + 1).astype("float32")
    return y


# --- training and the truth -----------------------------------------------------------------------------------------


class _Watch(keras.callbacks.Callback):
    """What a log does not show, after every epoch, in inference mode and without penalties."""

    def __init__(self, predict: Callable[[Array], Array], recipe: Recipe, task: Task) -> None:
        super().__init__()
        self.predict, self.recipe, self.task = predict, recipe, task
        self.train_loss: list[float] = []
        self.held_out_loss: list[float] = []
        self.penalty: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        for values, (x, y) in ((self.train_loss, self.task.train), (self.held_out_loss, self.task.held_out)):
            values.append(_data_loss(self.predict(x), y, self.task.classes))
        self.penalty.append(float(sum(map(float, self.model.losses))))


def _data_loss(predicted: Array, y: Array, classes: int) -> float:
    """Mean squared error, or crossentropy in nats."""
    if not classes:
        return float(np.mean((predicted[:, 0] - y) ** 2))
    if predicted.shape[1] == 1:
        predicted = np.hstack([1 - predicted, predicted])
    return float(-np.log(np.clip(predicted[np.arange(len(y)), y], 1e-7, 1)).mean())


def _decided(predicted: Array) -> Array:
    return (predicted[:, 0] > 0.5).astype(int) if predicted.shape[1] == 1 else predicted.argmax(1)


def _skill(predicted: Array, y: Array, classes: int) -> float:
    """0 for the best constant answer, 1 for none wrong; NaN counts as -1."""
    if not np.isfinite(predicted).all():
        return -1.0
    if not classes:
        return float(1 - np.mean((predicted[:, 0] - y) ** 2) / np.var(y))
    guess = np.bincount(y).max() / len(y)
    return float(((_decided(predicted) == y).mean() - guess) / (1 - guess))


def one_thread() -> None:
    """Nets this small lose time on threads; call before anything is trained."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def train(kind: Kind, recipe: Recipe) -> Example:
    """Train one net and find out what is true of it."""
    keras.utils.set_random_seed(recipe.seed)
    task = _task(kind, recipe)
    model = _net(recipe, task)
    optimizer = {"class_name": recipe.optimizer, "config": {"learning_rate": recipe.learning_rate}}
    model.compile(keras.optimizers.get(optimizer), _loss(recipe, task), metrics=[recipe.metric], steps_per_execution=8)
    model.optimizer.build(model.trainable_variables)
    predict, go_on, start = _predictor(model), _trainer(model, recipe, task), model.get_weights()
    watch = _Watch(predict, recipe, task)
    (x_val, y_val) = task.validation
    history = model.fit(
        _batches(recipe, task),
        epochs=recipe.epochs,
        verbose=0,
        validation_data=(x_val, _labels(recipe, task, y_val)) if recipe.validate else None,
        validation_batch_size=len(y_val),
        callbacks=[watch],
    ).history
    facts = _facts(model, predict, watch, history, task)
    go_on(recipe.epochs)
    held_out = predict(task.held_out[0])
    facts["longer_held_out_loss"] = _data_loss(held_out, task.held_out[1], task.classes)
    facts["longer_held_out_skill"] = _skill(held_out, task.held_out[1], task.classes)
    factors = {"lower": 0.1, "lowest": 0.01, "higher": 10.0, "highest": 100.0}
    if recipe.learning_rate < TINY_RATE:
        factors["highest"] = 1000.0
    for name, factor in factors.items():
        model.set_weights(start)
        for variable in model.optimizer.variables:
            variable.assign(tf.zeros_like(variable))
        model.optimizer.learning_rate = recipe.learning_rate * factor
        go_on(recipe.epochs)
        facts[f"skill_{name}"] = _skill(predict(task.train[0]), task.train[1], task.classes)
    columns = {name: [float(value) for value in values] for name, values in history.items()}
    return Example(recipe, columns, facts)


def _batches(recipe: Recipe, task: Task) -> tf.data.Dataset:
    """Training samples, shuffled anew in every epoch: `fit` on arrays would not, once a seed is set."""
    x, y = task.train
    samples = tf.data.Dataset.from_tensor_slices((x, _labels(recipe, task, y)))
    return samples.shuffle(len(x), seed=recipe.seed, reshuffle_each_iteration=True).batch(recipe.batch)


def _predictor(model: keras.Model) -> Callable[[Array], Array]:
    forward = tf.function(lambda x: model(x, training=False), reduce_retracing=True)
    return lambda x: np.asarray(forward(tf.constant(x)))


def _trainer(model: keras.Model, recipe: Recipe, task: Task) -> Callable[[int], None]:
    """Trains the model for so many epochs more, without a log: Keras' own steps, compiled as one program."""
    loss, weights = keras.losses.get(_loss(recipe, task)), model.trainable_variables

    @tf.function
    def run(batches: tf.data.Dataset) -> None:
        for x, y in batches:
            with tf.GradientTape() as tape:
                value = tf.reduce_mean(loss(y[:, None], model(x, training=True))) + sum(model.losses, 0.0)
            model.optimizer.apply(tape.gradient(value, weights), weights)

    return lambda epochs: run(_batches(recipe, task).repeat(epochs))


def _facts(model: keras.Model, predict: Callable, watch: _Watch, history: dict, task: Task) -> dict[str, float]:
    x, y = task.train
    predicted = predict(x)
    finite = bool(np.isfinite(predicted).all())
    training_mode = _training_mode(model, x) if finite else predicted
    smooth = _smooth(watch.held_out_loss)
    lowest = int(np.argmin(smooth)) if finite else 0
    return {
        "finite": float(finite and np.isfinite(watch.penalty[-1])),
        "skill": _skill(predicted, y, task.classes),
        "held_out_skill": _skill(predict(task.held_out[0]), task.held_out[1], task.classes),
        "top_class": float(np.bincount(_decided(predicted)).max() / len(y)) if finite and task.classes else 0.0,
        "spread": float(predicted.std() / (y.std() or 1)) if finite and not task.classes else 1.0,
        "train_loss": watch.train_loss[-1],
        "first_train_loss": watch.train_loss[0],
        "training_mode_loss": _data_loss(training_mode, y, task.classes) if finite else np.nan,
        "held_out_loss": watch.held_out_loss[-1],
        "rise": float(smooth[-1] / smooth[lowest]) if finite else 1.0,
        "train_fall": float(_smooth(watch.train_loss)[-1] / _smooth(watch.train_loss)[lowest]) if finite else 1.0,
        "penalty_share": _share(watch.penalty[-1], watch.train_loss[-1]) if finite else 0.0,
        "first_penalty_share": _share(watch.penalty[0], watch.train_loss[0]) if finite else 0.0,
        "worst_inference": float(np.median(np.array(watch.train_loss) / np.array(history["loss"]))) if finite else 1.0,
    }


def _share(part: float, other: float) -> float:
    return part / (part + other) if part else 0.0


def _smooth(values: list[float]) -> Array:
    """Means of three epochs from the second on, (epochs - 2,); fewer than five values as they are."""
    return np.convolve(values, np.ones(3) / 3, "valid") if len(values) >= 5 else np.array(values)


def _training_mode(model: keras.Model, x: Array) -> Array:
    """Predictions of one pass in training mode; moving statistics are put back."""
    weights = model.get_weights()
    predicted = np.asarray(model(x, training=True))
    model.set_weights(weights)
    return predicted


def judged(recipe: Recipe) -> set[str]:
    """The words that can be judged: of a net with the wrong output or labels only what is wrong is known, and outputs
    that saturate cost more than a limit in Keras 2 alone."""
    return set(RULES) - {SATURATED} if recipe.head == "fit" else _HEADLESS


_HEADLESS = {DIVERGED, NEGATIVE, ZERO, NO_MEANING, METRIC_STILL}


def truth(example: Example) -> set[str]:
    """The words that are true, whether the log can show them or not."""
    recipe, facts, loss = example.recipe, example.facts, np.array(example.columns["loss"])
    classes = next(tasks[recipe.task][0] for tasks in TASKS.values() if recipe.task in tasks)
    finite = bool(facts["finite"]) and bool(np.isfinite(loss).all())
    words = {
        DIVERGED: not finite,
        NEGATIVE: bool((loss < 0).any()),
        ZERO: bool((loss == 0).any()),
        NO_MEANING: finite and not classes and recipe.metric == "accuracy",
        METRIC_STILL: recipe.head == "softmax of one unit",
    }
    if finite and recipe.head == "fit":
        words |= _of_a_sound_head(recipe, classes, facts, example.columns)
    return {word for word, holds in words.items() if holds}


def _of_a_sound_head(
    recipe: Recipe, classes: int, facts: dict[str, float], columns: dict[str, list[float]]
) -> dict[str, bool]:
    skill, inference = facts["skill"], max(facts["train_loss"], facts["held_out_loss"])
    lower = max(facts["skill_lower"], facts["skill_lowest"])
    higher = max(facts["skill_higher"], facts["skill_highest"])
    batch_norm = recipe.batch_norm and facts["worst_inference"] > 2
    near_guessing = bool(classes) and abs(columns["accuracy"][-1] * classes - 1) < (0.15 if classes == 2 else 0.3)
    data_loss = columns["loss"][-1] * (1 - facts["penalty_share"])
    overfits = recipe.epochs >= 5 and facts["rise"] >= 1.05 and facts["train_fall"] < 0.95
    gains = facts["longer_held_out_skill"] - facts["held_out_skill"] >= 0.005
    return {
        CHANCE: near_guessing and skill < 0.05,
        CONSTANT: facts["top_class"] > 0.995 or facts["spread"] < 0.01,
        PENALTY: facts["penalty_share"] >= 0.25 or facts["first_penalty_share"] >= 0.5,
        TRAINING_WORSE: recipe.dropout > 0 and data_loss > 1.1 * inference,
        INFERENCE_WORSE: batch_norm,
        OVERFITTING: overfits and not batch_norm,
        IMPROVING: skill >= 0.05 and gains and facts["longer_held_out_loss"] < 0.95 * facts["held_out_loss"],
        RATE_HIGH: lower - skill >= BIG_GAIN and lower >= max(higher, 2 * skill),
        RATE_LOW: higher - skill >= BIG_GAIN and higher >= max(lower, 2 * skill),
    }


def from_lines(text: str) -> dict[Recipe, Example]:
    """Trainings that were kept, a JSON object a line; lines that are none, or of an older recipe, are left out."""
    examples = {}
    for line in text.splitlines():
        try:
            kept = json.loads(line)
            recipe = Recipe(**{**kept["recipe"], "hidden": tuple(kept["recipe"]["hidden"])})
        except (ValueError, TypeError):
            continue
        examples[recipe] = Example(recipe, kept["columns"], kept["facts"])
    return examples


# --- what to train --------------------------------------------------------------------------------------------------


def recipes(kind: Kind, count: int, seed: int = 0) -> Iterator[Recipe]:
    """`count` recipes of each pattern, and twelve times as many healthy ones, half of which turn out not to be."""
    for number, (pattern, draw) in enumerate(PATTERNS.items()):
        for i in range(count * (12 if pattern == HEALTHY else 1)):
            own = 1_000_000 * seed + 200_000 * (kind == "test") + 1000 * number + i
            yield draw(_common(kind, pattern, np.random.default_rng(own), own), np.random.default_rng(own + 7))


def _common(kind: Kind, pattern: str, rng: np.random.Generator, seed: int) -> Recipe:
    """A sound net: the tasks and the widths of the two kinds differ."""
    names = list(TASKS[kind])
    widths = {"tuning": (16, 24, 32, 48, 64, 100), "test": (20, 40, 80)}[kind]
    task = names[rng.integers(len(names))]
    hidden = tuple(int(rng.choice(widths)) for _ in range(rng.integers(1, 4)))
    classes = TASKS[kind][task][0]
    return Recipe(
        **{"pattern": pattern, "task": task, "seed": seed, "hidden": hidden},
        activation=str(rng.choice({"tuning": ["relu", "tanh", "elu"], "test": ["relu", "selu", "swish"]}[kind])),
        optimizer=str(rng.choice({"tuning": ["adam", "rmsprop", "nadam"], "test": ["adam", "adamax", "adamw"]}[kind])),
        learning_rate=float(rng.choice([1e-3, 2e-3, 3e-3])),
        batch=int(rng.choice([16, 32])),
        epochs=int(rng.integers(8, 25)),
        samples=int(rng.choice([500, 800, 1200])),
        metric="accuracy" if classes else str(rng.choice(["mae", "mse"])),
        validate=bool(rng.random() < 0.85),
    )


def _of_classes(recipe: Recipe, binary: bool = False) -> Recipe:
    kind: Kind = "test" if recipe.task in TASKS["test"] else "tuning"
    fitting = [name for name, (classes, _) in TASKS[kind].items() if (classes == 2 if binary else classes > 0)]
    return replace(recipe, task=fitting[recipe.seed % len(fitting)], metric="accuracy")


def _regression(recipe: Recipe) -> Recipe:
    kind: Kind = "test" if recipe.task in TASKS["test"] else "tuning"
    fitting = [name for name, (classes, _) in TASKS[kind].items() if classes == 0]
    return replace(recipe, task=fitting[recipe.seed % len(fitting)])


def _diverged(recipe: Recipe, rng: np.random.Generator) -> Recipe:
    rate, scale = 10.0 ** rng.uniform(-0.5, 1.5), 10.0 ** rng.uniform(1, 2.5)
    return replace(_regression(recipe), optimizer="sgd", learning_rate=rate, input_scale=scale, activation="relu")


def _chance(recipe: Recipe, rng: np.random.Generator) -> Recipe:
    ways: list[dict[str, Any]] = [
        {"input_scale": 1e-4, "activation": "sigmoid", "optimizer": "sgd", "learning_rate": 0.01},
        {"l2": 0.5, "activation": "sigmoid"},
        {"l2": 1.0},
        {"dropout": 0.98},
        {"hidden": (16,) * 6, "activation": "sigmoid", "optimizer": "sgd", "learning_rate": 0.01},
        {"optimizer": "adam", "learning_rate": 3.0, "activation": "relu", "hidden": (32, 32, 32)},
    ]
    return replace(_of_classes(recipe), **ways[rng.integers(len(ways))])


def _constant(recipe: Recipe, rng: np.random.Generator) -> Recipe:
    ways: list[dict[str, Any]] = [
        {"l1": 0.1},
        {"optimizer": "sgd", "learning_rate": 1e-3, "activation": "sigmoid", "hidden": (16, 16, 16)},
        {"optimizer": "sgd", "learning_rate": 3.0, "activation": "relu", "hidden": (32, 32)},
    ]
    return replace(_of_classes(recipe, binary=bool(rng.random() < 0.5)), **ways[rng.integers(len(ways))])


def _metric_still(recipe: Recipe, rng: np.random.Generator) -> Recipe:
    return replace(_of_classes(recipe, binary=True), head="softmax of one unit")


def _penalty(recipe: Recipe, rng: np.random.Generator) -> Recipe:
    kind = (
        {"l2": float(10 ** rng.uniform(-3, -1.3))} if rng.random() < 0.6 else {"l1": float(10 ** rng.uniform(-3.5, -2))}
    )
    return replace(recipe, **kind)


def _dropout(recipe: Recipe, rng: np.random.Generator) -> Recipe:
    return replace(recipe, dropout=float(rng.uniform(0.3, 0.8)), validate=True)


def _batch_norm(recipe: Recipe, rng: np.random.Generator) -> Recipe:
    """Few steps, in which the moving statistics do not arrive."""
    return replace(
        _of_classes(recipe),
        samples=int(rng.choice([64, 128, 200])),
        batch=32,
        epochs=int(rng.integers(4, 12)),
        hidden=(64, 64, 64),
        batch_norm=True,
        learning_rate=float(rng.choice([3e-3, 1e-2])),
        input_scale=float(rng.choice([5, 20, 50])),
        validate=True,
    )


def _overfitting(recipe: Recipe, rng: np.random.Generator) -> Recipe:
    small = {"samples": int(rng.choice([100, 200, 400])), "noise": float(rng.choice([0, 0.1, 0.3]))}
    return replace(recipe, epochs=int(rng.integers(20, 50)), hidden=(128, 128), batch=16, validate=True, **small)


def _improving(recipe: Recipe, rng: np.random.Generator) -> Recipe:
    return replace(recipe, learning_rate=float(10 ** rng.uniform(-4.3, -3.3)), epochs=int(rng.integers(3, 15)))


def _too_high(recipe: Recipe, rng: np.random.Generator) -> Recipe:
    if rng.random() < 0.5:
        return replace(recipe, optimizer="sgd", learning_rate=float(10 ** rng.uniform(0, 0.8)))
    return replace(recipe, learning_rate=float(10 ** rng.uniform(-1.3, 0.3)))


def _too_low(recipe: Recipe, rng: np.random.Generator) -> Recipe:
    if rng.random() < 0.5:
        return replace(recipe, optimizer="sgd", learning_rate=float(10 ** rng.uniform(-5, -3.5)))
    return replace(recipe, learning_rate=float(10 ** rng.uniform(-6.5, -5)))


def _no_meaning(recipe: Recipe, rng: np.random.Generator) -> Recipe:
    return replace(_regression(recipe), metric="accuracy", target_scale=float(rng.choice([1, 1, 70])), epochs=30)


def _negative(recipe: Recipe, rng: np.random.Generator) -> Recipe:
    return replace(_of_classes(recipe, binary=True), head="wrong labels")


def _healthy(recipe: Recipe, rng: np.random.Generator) -> Recipe:
    """Many samples for a small net, and epochs enough."""
    return replace(
        recipe,
        hidden=recipe.hidden[:2] if max(recipe.hidden) < 40 else (recipe.hidden[0] // 4,),
        epochs=int(rng.integers(15, 31)),
        samples=1500,
        batch=32,
        learning_rate=float(rng.choice([3e-3, 5e-3])),
        dropout=float(rng.choice([0, 0, 0, 0.05])),
    )


PATTERNS: dict[str, Callable[[Recipe, np.random.Generator], Recipe]] = {
    HEALTHY: _healthy,
    DIVERGED: _diverged,
    CHANCE: _chance,
    CONSTANT: _constant,
    METRIC_STILL: _metric_still,
    PENALTY: _penalty,
    TRAINING_WORSE: _dropout,
    INFERENCE_WORSE: _batch_norm,
    OVERFITTING: _overfitting,
    IMPROVING: _improving,
    RATE_HIGH: _too_high,
    RATE_LOW: _too_low,
    NO_MEANING: _no_meaning,
    NEGATIVE: _negative,
}
