"""The training engine: Keras' layers, losses and regularizers, epochs compiled whole, seeds side by side.

A program takes the whole state of a seed (weights, batch statistics, dropout seeds, optimizer slots, step) and the
batch order of a chunk of epochs, and gives the state behind them: Python does nothing per step. On a CPU every seed
runs the same program in a thread of its own; on a GPU one program carries all seeds along a leading axis
(`tf.vectorized_map`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from stages.core.config.row import Row
from stages.core.training import models, optimizers, penalties

Samples = dict[str, tuple[np.ndarray, np.ndarray]]

RECORDED_EPOCHS = 60  # at most about so many points of a curve are kept
CHUNK_SAMPLES = 2_000_000  # batch order handed over at once, so that memory does not grow with the epochs
EVALUATION_BATCH = 500


class State(NamedTuple):
    """All that changes while a seed trains; every leaf a tensor, on a GPU with a leading seeds axis."""

    weights: list
    others: list  # batch statistics and dropout seeds: Keras' non-trainable variables
    slots: list  # per weight, the optimizer's arrays
    step: Any  # float32 scalar: optimizer steps made


@dataclass
class Progress:
    """A seed on its way: its state after `epoch` epochs and what was recorded; enough to go on from, bit for bit."""

    seed: int
    state: State
    epoch: int = 0
    curve: dict[str, list[float]] = field(default_factory=dict)
    first_non_finite_epoch: int | None = None


def recorded_epochs(epochs: int) -> list[int]:
    """Epochs whose figures are kept: all up to RECORDED_EPOCHS, else the first ten, then evenly spaced to the last."""
    if epochs <= RECORDED_EPOCHS:
        return list(range(1, epochs + 1))
    return sorted({*range(1, 11), *np.linspace(10, epochs, RECORDED_EPOCHS - 9).round().astype(int).tolist()})


def batch_order(seed: int, epoch: int, n: int) -> np.ndarray:
    """The order of the n training samples in an epoch, int32 (n,): by seed and epoch alone, so that rows pair up."""
    return np.random.default_rng([models.derived_seed(seed, "order"), epoch]).permutation(n).astype(np.int32)


class Engine:
    """A row's compiled programs over its data.

    Args:
        row: the resolved row.
        samples: for train, and validation and test where they exist: x uint8 or float32 (n, *shape), not yet scaled;
            y int64 (n,) class numbers or float32 (n,) values.
        device: "cpu" or "gpu".
        lanes: seeds that one program carries; 1 on a CPU.
    """

    def __init__(self, row: Row, samples: Samples, device: str, lanes: int = 1):
        self.row, self.lanes = row, lanes
        # XLA's convolutions on a CPU are several times slower than TensorFlow's own.
        self.xla = device == "gpu" or not row.has_convolutions
        self.model = models.build(row, 0, penalties.L1L2)
        self.loss = keras.losses.get(row.training.loss)  # per sample
        self.regularizers = [v.regularizer for v in self.model.trainable_variables]
        self.rate = tf.constant(row.optimizer.learning_rate)
        # All splits lie in one array on the device; a split is a range of it.
        starts = np.cumsum([0, *(len(x) for x, _ in samples.values())])
        self.ranges = {name: (int(a), int(b)) for name, a, b in zip(samples, starts, starts[1:], strict=False)}
        self.x = tf.constant(np.concatenate([x for x, _ in samples.values()]))
        self.y = tf.constant(np.concatenate([self._targets(y) for _, y in samples.values()]))
        self.evaluation_batch = min(EVALUATION_BATCH, len(self.x))  # XLA compiles full batches also where there is none
        # A run-time value: by a constant XLA would multiply with its reciprocal, which rounds differently from x / 255.
        self.scale = None if row.dataset.scale is None else tf.constant(row.dataset.scale, tf.float32)
        self.recorded = recorded_epochs(row.training.epochs)
        n = self.ranges["train"][1]
        longest = max(b - a for a, b in zip([0, *self.recorded], self.recorded, strict=False))
        self.chunk = max(1, min(longest, CHUNK_SAMPLES // n))
        # XLA turns what is done to each weight into one pass over it, also inside a program that is not XLA's.
        self._update = tf.function(self._updated, jit_compile=True, autograph=False)
        self._run = tf.function(self._chunk, jit_compile=self.xla, autograph=False)
        self._evaluate = tf.function(self._evaluation, jit_compile=self.xla, autograph=False)
        self._probe = tf.function(self._saturation, jit_compile=self.xla, autograph=False)

    def start(self, seed: int) -> State:
        """The state before the first step: the initial weights of `seed`."""
        model = models.build(self.row, seed)
        weights = [tf.convert_to_tensor(v.value) for v in model.trainable_variables]
        others = [tf.convert_to_tensor(v.value) for v in model.non_trainable_variables]
        slots = [[tf.zeros_like(w)] * optimizers.n_slots(self.row.optimizer) for w in weights]
        return State(weights, others, slots, tf.constant(0.0))

    def compile(self, pool: ThreadPoolExecutor) -> None:
        """Compile all programs in the pool, before the seeds train.

        They are traced here, one by one: Keras' layers hold one call's activity penalties at a time, and programs that
        were traced side by side got each other's.
        """
        state = _stack([self.start(0)] * self.lanes, self.lanes)
        shape = (self.lanes, self.chunk, self.ranges["train"][1])
        order, noise = np.zeros(shape, np.int32), np.zeros((self.lanes, 2), np.int32)
        calls = [(self._run, self._training(order, noise, state, 0))]
        for split in self.ranges:
            calls.append((self._evaluate, (self.x, self.y, state, *self._batches(split, whole=False))))
        if self._hidden():
            calls.append((self._probe, (self.x, state, *self._batches(self.row.split.monitor, whole=False))))
        compiling = []
        for program, arguments in calls:
            program.get_concrete_function(*arguments)
            compiling.append(pool.submit(program, *arguments))
        for call in compiling:
            call.result()

    def advance(self, progress: list[Progress]) -> None:
        """Train the given seeds (as many as `lanes`) to the next chunk's end, and record what is due there."""
        epoch = progress[0].epoch
        following = next(e for e in self.recorded if e > epoch)
        count = min(self.chunk, following - epoch)
        seeds = [p.seed for p in progress]
        order = np.zeros((self.lanes, self.chunk, self.ranges["train"][1]), np.int32)
        for lane, seed in enumerate(seeds):
            for i in range(count):
                order[lane, i] = batch_order(seed, epoch + i, order.shape[-1])
        noise = np.array([[models.derived_seed(seed, "augmentation"), 0] for seed in seeds], np.int32)
        state = _stack([p.state for p in progress], self.lanes)
        state, history = self._run(*self._training(order, noise, state, count))
        histories = history.numpy().reshape(self.lanes, self.chunk, 3)
        monitored = None
        if epoch + count == following:
            monitored = self.evaluate(state, self.row.split.monitor)
        for lane, p in enumerate(progress):
            p.state, p.epoch = _lane(state, lane, self.lanes), epoch + count
            self._record(p, histories[lane, :count], monitored[lane] if monitored else None)

    def evaluate(self, state: State, split: str) -> list[dict[str, float]]:
        """Per lane, loss, data loss, penalty, metric and most predicted class's share on a split, in inference mode."""
        start, stop = self.ranges[split]
        sums = self._evaluate(self.x, self.y, state, *self._batches(split))
        return [self._figures(row, stop - start) for row in sums.numpy().reshape(self.lanes, -1)]

    def saturation(self, state: State) -> list[dict[str, float]]:
        """Per lane, the share of saturated outputs of each hidden activated layer on the monitored split.

        Sigmoid and tanh: outputs within 0.01 of a limit. Relu: units (or channels) that are 0 for every sample.
        """
        names = [layer.name for layer in self._hidden()]
        if not names:
            return [{} for _ in range(self.lanes)]
        shares = (
            self._probe(self.x, state, *self._batches(self.row.split.monitor)).numpy().reshape(self.lanes, len(names))
        )
        return [dict(zip(names, map(float, lane), strict=True)) for lane in shares]

    def _training(self, order: np.ndarray, noise: np.ndarray, state: State, epochs: int) -> tuple:
        """What the training program is called with."""
        of_lanes = [tf.constant(value[0] if self.lanes == 1 else value) for value in (order, noise)]
        return self.x, self.y, *of_lanes, state, tf.constant(epochs)

    # --- compiled parts

    def _chunk(self, x, y, order, noise, state: State, count):
        n, batch = self.ranges["train"][1], self.row.training.batch_size
        full, rest = n // batch, n % batch

        def epoch(i, state, history):
            sums = tf.zeros((*self._lane_shape(), 3))
            shuffled = order[..., i, :]
            batches = tf.reshape(shuffled[..., : full * batch], (*self._lane_shape(), full, batch))
            if full:
                _, state, sums = tf.while_loop(
                    lambda j, *_: j < full,
                    lambda j, state, sums: (j + 1, *self._step(x, y, batches[..., j, :], noise, state, sums)),
                    [0, state, sums],
                )
            if rest:  # the partial last batch is trained on, as in Keras
                state, sums = self._step(x, y, shuffled[..., full * batch :], noise, state, sums)
            history = tf.tensor_scatter_nd_update(history, [[i]], [sums / n])
            return i + 1, state, history

        history = tf.zeros((self.chunk, *self._lane_shape(), 3))
        _, state, history = tf.while_loop(lambda i, *_: i < count, epoch, [0, state, history])
        return state, history if self.lanes == 1 else tf.transpose(history, [1, 0, 2])

    def _step(self, x, y, indices, noise, state, sums):
        step = self._step_of_one_seed
        if self.lanes == 1:
            return step(x, y, indices, noise, state, sums)
        return tf.vectorized_map(
            lambda args: step(x, y, *args), (indices, noise, state, sums), fallback_to_while_loop=True
        )

    def _step_of_one_seed(self, x, y, indices, noise, state, sums):
        inputs, targets = self._scaled(tf.gather(x, indices)), tf.gather(y, indices)
        if self.row.augmentation is not None:
            from stages.core.training import augmentation

            seed = tf.stack([noise[0], tf.cast(state.step, tf.int32)])
            inputs = augmentation.augment(inputs, seed, self.row.augmentation)
        with tf.GradientTape() as tape:
            tape.watch(state.weights)
            outputs, others, losses = self.model.stateless_call(
                state.weights, state.others, inputs, training=True, return_losses=True
            )
            data_loss = tf.reduce_mean(self.loss(targets, outputs))
            # Keras lists the layers' own losses, which are the activity penalties, before those of the weights.
            activity = losses[: len(losses) - sum(r is not None for r in self.regularizers)]
            loss = tf.add_n([data_loss, *activity])
        gradients = tape.gradient(loss, state.weights)
        weights, slots, penalty = self._update(state.weights, state.slots, gradients, state.step)
        size = float(indices.shape[-1])
        penalty = tf.add_n([penalty, *activity])
        sums += tf.stack([data_loss * size, penalty * size, tf.reduce_sum(self._metric(targets, outputs))])
        return State(weights, others, slots, state.step + 1), sums

    def _updated(self, weights, slots, gradients, step):
        """New weights and slots by the gradients of the loss without the weights' penalties, and those penalties."""
        gradients = [
            gradient if extra is None else gradient + extra
            for gradient, extra in zip(gradients, penalties.gradients(self.regularizers, weights), strict=True)
        ]
        new = optimizers.apply(self.row.optimizer, self.rate, weights, slots, gradients, step)
        return *new, penalties.value(self.regularizers, weights)

    def _evaluation(self, x, y, state: State, start, batches, rest: int):
        def batch(begin, size, state):
            inputs, targets = self._scaled(_range(x, begin, size)), _range(y, begin, size)
            outputs, _, losses = self.model.stateless_call(
                state.weights, state.others, inputs, training=False, return_losses=True
            )
            penalty = tf.add_n(losses) if losses else tf.constant(0.0)
            figures = [
                tf.reduce_sum(self.loss(targets, outputs)),
                penalty * size,
                tf.reduce_sum(self._metric(targets, outputs)),
            ]
            predicted = tf.reduce_sum(tf.one_hot(_predicted_class(outputs), outputs.shape[-1]), 0)
            return tf.concat([tf.stack(figures), predicted], 0)

        def of_one_seed(state):
            zeros = tf.zeros(3 + self.model.output_shape[-1])
            return _summed(lambda *where: batch(*where, state), zeros, start, batches, self.evaluation_batch, rest)  # type: ignore[call-arg]

        if self.lanes == 1:
            return of_one_seed(state)
        return tf.map_fn(of_one_seed, state, fn_output_signature=tf.float32)

    def _saturation(self, x, state, start, batches, rest: int):
        hidden = self._hidden()
        probe = keras.Model(self.model.inputs, [layer.output for layer in hidden])
        kept = {v.path for v in probe.variables}
        wanted = [v.path in kept for v in self.model.trainable_variables]
        others = [v.path in kept for v in self.model.non_trainable_variables]

        def batch(begin, size, state):
            weights = [w for w, keep in zip(state.weights, wanted, strict=True) if keep]
            rest = [w for w, keep in zip(state.others, others, strict=True) if keep]
            outputs, _ = probe.stateless_call(weights, rest, self._scaled(_range(x, begin, size)), training=False)
            return [_saturated(layer, out) for layer, out in zip(hidden, tf.nest.flatten(outputs), strict=True)]

        def of_one_seed(state):
            zeros = [tf.zeros(layer.output.shape[-1:] if _is_relu(layer) else ()) for layer in hidden]
            sums = _summed(lambda *where: batch(*where, state), zeros, start, batches, self.evaluation_batch, rest)  # type: ignore[call-arg]
            n = tf.cast(batches * self.evaluation_batch + rest, tf.float32)
            return tf.stack([_saturated_share(layer, s, n) for layer, s in zip(hidden, sums, strict=True)])

        if self.lanes == 1:
            return of_one_seed(state)
        return tf.map_fn(of_one_seed, state, fn_output_signature=tf.float32)

    # --- small parts

    def _hidden(self) -> list[keras.Layer]:
        weighted = [layer for layer in self.model.layers if hasattr(layer, "activation")]
        return [layer for layer in weighted[:-1] if layer.activation.__name__ in {"relu", "sigmoid", "tanh"}]

    def _batches(self, split: str, whole: bool = True) -> tuple[tf.Tensor, tf.Tensor, int]:
        """Where a split starts, its full evaluation batches (none if not `whole`: to compile alone) and the rest.

        Splits with the same rest share a program.
        """
        start, stop = self.ranges[split]
        batches, rest = divmod(stop - start, self.evaluation_batch)
        return tf.constant(start), tf.constant(batches if whole else 0), rest

    def _lane_shape(self) -> tuple[int, ...]:
        return () if self.lanes == 1 else (self.lanes,)

    def _scaled(self, inputs):
        """Inputs stay as the data set has them, images as bytes, and are scaled by the batch: less memory."""
        inputs = tf.cast(inputs, tf.float32)
        return inputs if self.scale is None else inputs / self.scale

    def _targets(self, y: np.ndarray) -> np.ndarray:
        if self.row.dataset.classes is None:
            return y.astype(np.float32)[:, None]
        if self.row.training.loss == "sparse_categorical_crossentropy":
            return y.astype(np.int32)
        return np.eye(self.row.dataset.classes, dtype=np.float32)[y]

    def _metric(self, targets, outputs):
        """Per sample: 1 if the class is right (Keras' accuracy), or the absolute error averaged over the outputs."""
        if self.row.dataset.classes is None:
            return tf.reduce_mean(tf.abs(targets - outputs), -1)
        classes = targets if targets.dtype == tf.int32 else tf.argmax(targets, -1, tf.int32)
        return tf.cast(tf.equal(classes, _predicted_class(outputs)), tf.float32)

    def _figures(self, sums: np.ndarray, n: int) -> dict[str, float]:
        data_loss, penalty, metric = (float(value) / n for value in sums[:3])
        figures = {"loss": data_loss + penalty, "data_loss": data_loss, "penalty": penalty, self.row.metric: metric}
        if self.row.dataset.classes is not None:
            figures["top_class_share"] = float(sums[3:].max()) / n
        return figures

    def _record(self, p: Progress, history: np.ndarray, monitored: dict[str, float] | None) -> None:
        """`history`: (epochs, 3) means of data loss, penalty and metric; the last is recorded with `monitored`."""
        finite = np.isfinite(history[:, :2].sum(1))
        if p.first_non_finite_epoch is None and not finite.all():
            p.first_non_finite_epoch = p.epoch - len(history) + 1 + int(np.argmin(finite))
        if monitored is None:
            return
        data_loss, penalty, metric = map(float, history[-1])
        point = {
            "epoch": p.epoch,
            "loss": data_loss + penalty,
            "data_loss": data_loss,
            "penalty": penalty,
            self.row.metric: metric,
            "val_loss": monitored["loss"],
            "val_data_loss": monitored["data_loss"],
            f"val_{self.row.metric}": monitored[self.row.metric],
        }
        for key, value in point.items():
            p.curve.setdefault(key, []).append(value)


def train(
    engine: Engine,
    seeds: Sequence[int],
    threads: int,
    resumed: dict[int, Progress] | None = None,
    after_chunk: Callable[[Progress], None] = lambda progress: None,
) -> Iterator[dict[str, Any]]:
    """Train seeds and give each one's part of the run record, in order.

    Args:
        engine: the row's engine.
        seeds: which.
        threads: programs that run at once.
        resumed: seeds that had been on their way, to go on from there.
        after_chunk: called after every chunk of epochs, from the seed's own thread.
    """
    resumed = resumed or {}
    lanes = [seeds[i : i + engine.lanes] for i in range(0, len(seeds), engine.lanes)]

    def run(lane: Sequence[int]) -> list[dict[str, Any]]:
        progress = [resumed.get(seed) or Progress(seed, engine.start(seed)) for seed in lane]
        while progress[0].epoch < engine.row.training.epochs:
            engine.advance(progress)
            for p in progress:
                after_chunk(p)
        return _finished(engine, progress)

    with ThreadPoolExecutor(threads) as pool:
        engine.compile(pool)
        for part in pool.map(run, lanes):
            yield from part


def _finished(engine: Engine, progress: list[Progress]) -> list[dict[str, Any]]:
    state = _stack([p.state for p in progress], engine.lanes)
    splits = {split: engine.evaluate(state, split) for split in engine.ranges}
    saturation = engine.saturation(state)
    paths = [
        v.path.split("/", 1)[1] if v.path.startswith("sequential") else v.path for v in engine.model.trainable_variables
    ]
    records = []
    for lane, p in enumerate(progress):
        final = {split: dict(figures[lane]) for split, figures in splits.items()}
        shares = {
            split: figures.pop("top_class_share") for split, figures in final.items() if "top_class_share" in figures
        }
        weights = dict(zip(paths, (np.asarray(w) for w in p.state.weights), strict=True))
        records.append(
            {
                "seed": p.seed,
                "curve": p.curve,
                "final": final,
                "first_non_finite_epoch": p.first_non_finite_epoch,
                "weight_norms": {path: float(np.linalg.norm(w.astype(np.float64))) for path, w in weights.items()},
                "weight_sd": {path: float(w.astype(np.float64).std()) for path, w in weights.items()},
                "zero_share": {path: float((np.abs(w) < 1e-3).mean()) for path, w in weights.items()},
                "saturated_share": saturation[lane],
                **({"top_class_share": shares} if shares else {}),
            }
        )
    return records


def _predicted_class(outputs):
    """The most likely class; of outputs that are all NaN class 0, as Keras on a CPU (XLA by itself says another)."""
    return tf.argmax(tf.where(tf.math.is_nan(outputs), -np.inf, outputs), -1, tf.int32)


def _range(values, begin, size: int):
    return tf.slice(values, [begin] + [0] * (len(values.shape) - 1), [size, *values.shape[1:]])


def _summed(batch, zeros, start, batches, full: int, rest: int):
    """Sums of what `batch(begin, size)` gives, shaped like `zeros`, over `batches` of size `full` and one of `rest`."""

    def add(sums, begin, size):
        return tf.nest.map_structure(tf.add, sums, batch(begin, size))

    # The loop carries `begin`: XLA would compile anew for every `start` that it knows where a slice begins.
    begin, sums = tf.while_loop(
        lambda begin, _: begin < start + batches * full,
        lambda begin, sums: (begin + full, add(sums, begin, full)),
        [start, zeros],
    )
    return add(sums, begin, rest) if rest else sums


def _is_relu(layer: keras.Layer) -> bool:
    return layer.activation.__name__ == "relu"


def _saturated(layer: keras.Layer, outputs):
    """What `_saturated_share` turns into a share, summed over a batch: per unit (relu) or over all units (others)."""
    axes = list(range(len(outputs.shape) - 1))
    if _is_relu(layer):
        return tf.reduce_sum(tf.cast(outputs > 0, tf.float32), axes)
    low = 0.0 if layer.activation.__name__ == "sigmoid" else -1.0
    limits = tf.cast((outputs < low + 0.01) | (outputs > 0.99), tf.float32)
    return tf.reduce_sum(tf.reduce_mean(limits, axes[1:] + [len(axes)]))  # noqa: RUF005


def _saturated_share(layer: keras.Layer, sums, n):
    if _is_relu(layer):
        return tf.reduce_mean(tf.cast(sums <= 0, tf.float32))
    return sums / n


def _stack(states: list[State], lanes: int) -> State:
    return states[0] if lanes == 1 else tf.nest.map_structure(lambda *leaves: tf.stack(leaves), *states)


def _lane(state: State, lane: int, lanes: int) -> State:
    return state if lanes == 1 else tf.nest.map_structure(lambda leaf: leaf[lane], state)
