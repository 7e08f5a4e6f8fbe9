"""`model.fit` as the documents write it, and tuned as well as Keras allows; and the engine, timed beside them."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stages.core.config.row import Row
from stages.core.data.splits import Splits
from stages.core.measure import peers
from stages.core.measure.speed import Trained, evaluation_interval
from stages.core.records import recording
from stages.core.training import augmentation
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
    data = peers.arrays(row, samples)
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
    data = {name: (x.astype(np.float32), y) for name, (x, y) in peers.arrays(row, samples).items()}
    monitored = tf.data.Dataset.from_tensor_slices(data[row.split.monitor]).batch(TUNED_EVALUATION_BATCH).cache()

    def train(model: keras.Model, seed: int, callbacks: list) -> Any:
        batches = _batches(row, *data["train"], seed)
        how = {"validation_data": monitored, "validation_freq": evaluation_interval(row), "shuffle": False}
        return model.fit(batches, epochs=epochs, verbose=0, callbacks=callbacks, **how)

    # On a CPU XLA slows convolutions down several times, and Keras' dropout tenfold.
    plain = all(layer.type in {"flatten", "dense"} or getattr(layer, "rate", None) == 0 for layer in row.layers or [])
    xla = True if plain else "auto"
    return _each_seed(row, seeds, {"jit_compile": xla, "steps_per_execution": TUNED_STEPS}, train)


def _each_seed(row: Row, seeds: int, compiled: dict[str, Any], train: Fit) -> Trained:
    """Train the seeds one after another; each one's first epoch, in which Keras compiles, is not timed."""
    seconds, losses = [], []
    for seed in range(seeds):
        model = peers.document_model(row, seed)
        model.compile(optimizer=peers.optimizer(row), loss=row.training.loss, metrics=[row.metric], **compiled)
        ends: list[float] = []
        clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_, ends=ends: ends.append(time.perf_counter()))
        history = train(model, seed, [clock])
        seconds += np.diff(ends).tolist()
        losses.append(history.history["loss"])
    return Trained(float(np.mean(seconds)), losses)


def _generator(row: Row) -> Any:
    from tensorflow.keras.preprocessing.image import ImageDataGenerator  # where Keras 3 still has it

    ranges = row.augmentation
    assert ranges is not None
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
    assert row.augmentation is not None
    seed = tf.random.uniform((2,), maxval=tf.int32.max, dtype=tf.int32)
    return augmentation.augment(images, seed, row.augmentation)  # type: ignore[arg-type]


def engine_seconds(row: Row, samples: Splits, epochs: int, device: str, threads: int) -> tuple[float, float]:
    """Seconds of the engine for an epoch of a seed, compiled and run once before; and the share of epochs evaluated."""
    engine = recording.engine(row, samples, device, lanes=row.seeds if device == "gpu" else 1)
    groups = [
        [engine.start(seed) for seed in range(first, min(first + engine.lanes, row.seeds))]
        for first in range(0, row.seeds, engine.lanes)
    ]
    engine.advance([engine.start(one.seed) for one in groups[0]])  # compiles; its result is dropped

    def advance(group: list[training.Progress]) -> None:
        while group[0].epoch < epochs:
            engine.advance(group)

    begun = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(advance, groups))
    trained = groups[0][0]
    seconds = (time.perf_counter() - begun) / (row.seeds * trained.epoch)
    return seconds, len(trained.curve["epoch"]) / trained.epoch
