"""Comparison programs in Keras: `model.fit` as the documents write it, and tuned as well as Keras allows.

They know nothing of the engine but its models' initial weights, so that all train the same net.
"""

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stages.core.config.row import Row
from stages.core.data.splits import Splits
from stages.core.measure.speed import Trained, evaluation_interval
from stages.core.training import augmentation, models
from stages.core.training import engine as training

# What the documents write; where they write nothing, Keras shows its progress bar.
VERBOSE = {"mnist_collapse": 2, "kin8nm_regression": 2, "mnist_first_chapter": 2}
TUNED_STEPS = 100  # per call
TUNED_EVALUATION_BATCH = 500

Fit = Callable[[keras.Model, int, list[keras.callbacks.Callback]], Any]


def fit(row: Row, samples: Splits, seeds: int, epochs: int) -> Trained:
    """`model.fit` as the document writes it: arrays in memory, divided by the scale; images through ImageDataGenerator.

    With a validation split it is given as `validation_data`, with a test split the model is evaluated on it at the end.
    """
    data = {name: (_scaled(row, x), targets(row, y)) for name, (x, y) in samples.items()}
    x, y = data["train"]
    batch = row.training.batch_size
    how = {"epochs": epochs, "validation_data": data.get("validation"), "verbose": VERBOSE.get(row.study, "auto")}

    def train(model: keras.Model, seed: int, callbacks: list) -> Any:
        if row.augmentation is None:
            history = model.fit(x, y, batch_size=batch, callbacks=callbacks, **how)
        else:
            history = model.fit(_generator(row).flow(x, y, batch_size=batch), callbacks=callbacks, **how)
        if row.split.monitor == "test":
            model.evaluate(*data["test"], verbose=0)
        return history

    return _each_seed(row, seeds, {}, train)


def fit_tuned(row: Row, samples: Splits, seeds: int, epochs: int) -> Trained:
    """`model.fit` with what Keras offers to make it fast; it evaluates what the engine evaluates, as often."""
    data = {name: (_scaled(row, x).astype(np.float32), targets(row, y)) for name, (x, y) in samples.items()}
    monitored = tf.data.Dataset.from_tensor_slices(data[row.split.monitor]).batch(TUNED_EVALUATION_BATCH).cache()

    def train(model: keras.Model, seed: int, callbacks: list) -> Any:
        batches = _batches(row, *data["train"], seed)
        how = {"validation_data": monitored, "validation_freq": evaluation_interval(row), "shuffle": False}
        return model.fit(batches, epochs=epochs, verbose=0, callbacks=callbacks, **how)

    # On a CPU XLA slows convolutions down several times, and Keras' dropout tenfold.
    plain = all(layer.type in {"flatten", "dense"} or getattr(layer, "rate", None) == 0 for layer in row.layers)
    xla = True if plain else "auto"
    return _each_seed(row, seeds, {"jit_compile": xla, "steps_per_execution": TUNED_STEPS}, train)


def document_model(row: Row, seed: int) -> keras.Sequential:
    """The row's model with Keras' own dropout, not compiled."""
    layers = [
        keras.layers.Dropout(layer.rate, seed=seed) if isinstance(layer, keras.layers.Dropout) else layer
        for layer in models.build(row, seed).layers
    ]
    return keras.Sequential([keras.Input(row.dataset.shape), *layers])


def optimizer(row: Row) -> keras.optimizers.Optimizer:
    """Keras' optimizer with the row's values."""
    kinds = {"sgd": keras.optimizers.SGD, "rmsprop": keras.optimizers.RMSprop}
    kinds |= {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}
    values = row.optimizer.model_dump()
    return kinds[values.pop("name")](**values)


def targets(row: Row, y: np.ndarray) -> np.ndarray:
    """Class numbers as they are or one-hot, as the loss wants them; values (n,) as (n, 1)."""
    if row.dataset.classes is None:
        return y[:, None]
    return y if row.training.loss.startswith("sparse") else keras.utils.to_categorical(y, row.dataset.classes)


def squarer(matrix: np.ndarray) -> Callable[[], None]:
    """A function that multiplies `matrix` with itself on TensorFlow's device, and waits for the product."""
    there = tf.constant(matrix)
    return lambda: np.asarray(tf.matmul(there, there)[0, 0])


def _each_seed(row: Row, seeds: int, compiled: dict[str, Any], train: Fit) -> Trained:
    """Train the seeds one after another; each one's first epoch, in which Keras compiles, is not timed."""
    seconds, losses = [], []
    for seed in range(seeds):
        model = document_model(row, seed)
        model.compile(optimizer=optimizer(row), loss=row.training.loss, metrics=[row.metric], **compiled)
        ends: list[float] = []
        clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_, ends=ends: ends.append(time.perf_counter()))
        history = train(model, seed, [clock])
        seconds += np.diff(ends).tolist()
        losses.append(history.history["loss"])
    return Trained(float(np.mean(seconds)), losses)


def _scaled(row: Row, x: np.ndarray) -> np.ndarray:
    return x if row.dataset.scale is None else x / row.dataset.scale


def _generator(row: Row) -> Any:
    from tensorflow.keras.preprocessing.image import ImageDataGenerator  # where Keras 3 still has it

    ranges = row.augmentation
    return ImageDataGenerator(
        rotation_range=ranges.rotation,
        width_shift_range=ranges.width_shift,
        height_shift_range=ranges.height_shift,
        horizontal_flip=ranges.horizontal_flip,
        fill_mode="nearest",
    )


def _batches(row: Row, x: np.ndarray, y: np.ndarray, seed: int) -> tf.data.Dataset:
    """An epoch's shuffled batches: indices are shuffled and whole batches gathered, faster than sample by sample."""
    inputs, outputs = tf.constant(x), tf.constant(y)
    indices = tf.data.Dataset.range(len(x)).shuffle(len(x), seed=seed).batch(row.training.batch_size)
    batches = indices.map(lambda i: (tf.gather(inputs, i), tf.gather(outputs, i)), tf.data.AUTOTUNE)
    if row.augmentation is not None:
        batches = batches.map(lambda images, y: (_augmented(row, images), y), tf.data.AUTOTUNE)
    return batches.prefetch(tf.data.AUTOTUNE)


def _augmented(row: Row, images: tf.Tensor) -> tf.Tensor:
    seed = tf.random.uniform((2,), maxval=tf.int32.max, dtype=tf.int32)
    return augmentation.augment(images, seed, row.augmentation)


def difference(row: Row, samples: Splits, device: str) -> float:
    """How far the engine's weights are from those of Keras' own `train_on_batch` after an epoch on the same batches.

    Two seeds, both on one axis in the engine. Dropout and augmentation, which draw other numbers, are left out; the
    optimizer's epsilon is at least 1e-5, so that it does not magnify the rounding of gradients near 0. On a GPU both
    multiply in full float32. Gives the largest difference, by the largest weight of its array where that is above 1.
    """
    tf.config.experimental.enable_tensor_float_32_execution(False)
    plain = {"augmentation": None, "layers": [layer for layer in row.layers if layer.type != "dropout"]}
    if row.optimizer.name != "sgd":
        plain["optimizer"] = row.optimizer.model_copy(update={"epsilon": max(row.optimizer.epsilon, 1e-5)})
    row = row.model_copy(update=plain)
    engine = training.Engine(row, samples, device, lanes=2)
    progress = [training.Progress(seed, engine.start(seed)) for seed in range(2)]
    engine.advance(progress)
    return max(
        float(np.abs(np.asarray(ours) - theirs).max() / max(1.0, np.abs(theirs).max()))
        for one in progress
        for ours, theirs in zip(one.state.weights, _trained_on_batches(row, samples, one.seed), strict=True)
    )


def _trained_on_batches(row: Row, samples: Splits, seed: int) -> list[np.ndarray]:
    """Keras' weights after one epoch in the engine's batch order."""
    model = models.build(row, seed)
    model.compile(optimizer=optimizer(row), loss=row.training.loss, jit_compile=False)
    x, y = samples["train"]
    inputs, outputs = _scaled(row, x).astype(np.float32), targets(row, y)
    order = training.batch_order(seed, 0, len(x))
    for begin in range(0, len(x), row.training.batch_size):
        batch = order[begin : begin + row.training.batch_size]
        model.train_on_batch(inputs[batch], outputs[batch])
    return [np.asarray(v) for v in model.trainable_variables]
