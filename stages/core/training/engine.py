"""The training engine: Keras' layers, losses and optimizers, epochs compiled whole, seeds side by side.

A program takes the whole state of a seed and the batch order of a chunk of epochs, and gives the state behind them:
Python does nothing per step. On a CPU every seed runs the same program in a thread of its own; on a GPU one program
carries all seeds along a leading axis (`tf.vectorized_map`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import tensorflow as tf

from stages.core.config.row import Row
from stages.core.training import evaluation, models, samples
from stages.core.training.callbacks import Callbacks
from stages.core.training.net import Net
from stages.core.training.samples import Samples
from stages.core.training.state import Progress, State, stack, unstack

Splits = Mapping[str, tuple[np.ndarray, np.ndarray]]

RECORDED_EPOCHS = 60  # at most about so many points of a curve are kept
CHUNK_SAMPLES = 2_000_000  # batch order handed over at once, so that memory does not grow with the epochs


def recorded_epochs(epochs: int) -> list[int]:
    """Epochs whose figures are kept: all up to RECORDED_EPOCHS, else the first ten, then evenly spaced to the last."""
    if epochs <= RECORDED_EPOCHS:
        return list(range(1, epochs + 1))
    return sorted({*range(1, 11), *np.linspace(10, epochs, RECORDED_EPOCHS - 9).round().astype(int).tolist()})


def batch_order(seed: int, epoch: int, n: int, shuffle: bool | str = True) -> np.ndarray:
    """The order of the n training samples in an epoch, int32 (n,): by seed and epoch alone, so that rows pair up.

    shuffle: as in a row; "once": every epoch has the first one's order.
    """
    if not shuffle:
        return np.arange(n, dtype=np.int32)
    epoch = 0 if shuffle == "once" else epoch
    return np.random.default_rng([models.derived_seed(seed, "order"), epoch]).permutation(n).astype(np.int32)


class Programs:
    """The compiled programs of all rows that differ only in what is handed in: coefficients, learning rate, samples.

    Args:
        row: one of them.
        ranges: where each split starts and stops among the samples.
        xla: whether XLA compiles them.
        lanes: seeds that one program carries.
    """

    def __init__(self, row: Row, ranges: Mapping[str, tuple[int, int]], xla: bool, lanes: int = 1):
        self.net = Net(row)
        self.saturation = evaluation.Saturation(self.net.model)
        self.augmentation, self.batch = row.augmentation, row.training.batch_size
        self.ranges, self.lanes = dict(ranges), lanes
        self.n = ranges["train"][1]
        longest = max(np.diff([0, *recorded_epochs(row.training.epochs)]))
        watched = bool(Callbacks(row.training))  # they look at every epoch
        self.chunk = 1 if watched else int(max(1, min(longest, CHUNK_SAMPLES // self.n)))
        total = max(stop for _, stop in ranges.values())
        self.full = min(evaluation.BATCH, total)  # XLA compiles full batches also where there is none
        self.train = tf.function(self._train, jit_compile=xla, autograph=False)
        self.evaluate = tf.function(self._evaluate, jit_compile=xla, autograph=False)
        self.probe = tf.function(self._probe, jit_compile=xla, autograph=False)
        self.hits = tf.function(self._hits, jit_compile=xla, autograph=False)

    def where(self, split: str, whole: bool = True) -> tuple[tf.Tensor, tf.Tensor, int]:
        """Where a split starts, its full evaluation batches (none if not `whole`: to compile alone) and the rest."""
        start, stop = self.ranges[split]
        batches, rest = divmod(stop - start, self.full)
        return tf.constant(start), tf.constant(batches if whole else 0), rest

    def _train(self, data: Samples, order: tf.Tensor, noise: tf.Tensor, state: State, count: tf.Tensor):
        """Train `count` epochs.

        Args:
            data: all samples.
            order: int32 ([lanes,] chunk, n), the samples' order in each epoch.
            noise: int32 ([lanes,] 2), seed of the augmentation, and 0.
            state: of the seeds.
            count: int32 (), at most chunk.

        Returns:
            The state behind them; means of data loss, penalty and metric, float32 ([lanes,] chunk, 3), 0 after `count`.
        """
        full, rest = self.n // self.batch, self.n % self.batch
        axis = () if self.lanes == 1 else (self.lanes,)

        def epoch(i, state, history):
            sums = tf.zeros((*axis, 3))
            shuffled = order[..., i, :]
            batches = tf.reshape(shuffled[..., : full * self.batch], (*axis, full, self.batch))
            if full:
                _, state, sums = tf.while_loop(
                    lambda j, *_: j < full,
                    lambda j, state, sums: (j + 1, *self._step(data, batches[..., j, :], noise, state, sums)),
                    [0, state, sums],
                )
            if rest:  # the partial last batch is trained on, as in Keras
                state, sums = self._step(data, shuffled[..., full * self.batch :], noise, state, sums)
            history = tf.tensor_scatter_nd_update(history, [[i]], [sums / self.n])
            return i + 1, state, history

        history = tf.zeros((self.chunk, *axis, 3))
        _, state, history = tf.while_loop(lambda i, *_: i < count, epoch, [0, state, history])
        return state, history if self.lanes == 1 else tf.transpose(history, [1, 0, 2])

    def _step(self, data: Samples, indices: tf.Tensor, noise: tf.Tensor, state: State, sums: tf.Tensor):
        """One step on the samples `indices` ([lanes,] B); `sums` ([lanes,] 3) grow by those of `Net.step`."""

        def of_one_seed(indices, noise, state, sums):
            inputs, targets = self.inputs(data, indices, noise, state.optimizer[0]), tf.gather(data.y, indices)
            state, more = self.net.step(state, inputs, targets, data.class_weight, data.unit)
            return state, sums + tf.stack(more)

        if self.lanes == 1:
            return of_one_seed(indices, noise, state, sums)
        return tf.vectorized_map(
            lambda args: of_one_seed(*args), (indices, noise, state, sums), fallback_to_while_loop=True
        )

    def inputs(self, data: Samples, indices: tf.Tensor, noise: tf.Tensor, iteration: tf.Tensor) -> tf.Tensor:
        """The samples `indices` (B,) as the net gets them in the step `iteration` (), float32 (B, *shape)."""
        inputs = _scaled(tf.gather(data.x, indices), data)
        if self.augmentation is None:
            return inputs
        from stages.core.training import augmentation

        return augmentation.augment(inputs, tf.stack([noise[0], tf.cast(iteration, tf.int32)]), self.augmentation)

    def _evaluate(self, data: Samples, state: State, start: tf.Tensor, batches: tf.Tensor, rest: int) -> tf.Tensor:
        """Sums of what `Net.evaluate` gives over a split, float32 ([lanes,] 3 + counted)."""

        def of_one_seed(state):
            def batch(begin, size):
                inputs = _scaled(evaluation.part(data.x, begin, size), data)
                return self.net.evaluate(state, inputs, evaluation.part(data.y, begin, size), data.unit)

            return evaluation.summed(batch, tf.zeros(3 + self.net.task.counted), start, batches, self.full, rest)

        return self._of_each(of_one_seed, state)

    def _probe(self, data: Samples, state: State, start: tf.Tensor, batches: tf.Tensor, rest: int) -> tf.Tensor:
        """Shares of saturated outputs on a split, float32 ([lanes,] layers)."""

        def inputs(begin, size):
            return _scaled(evaluation.part(data.x, begin, size), data)

        def of_one_seed(state):
            self.net.take(state.values)
            return self.saturation.shares(inputs, state, (start, batches, rest), self.full)

        return self._of_each(of_one_seed, state)

    def _hits(self, data: Samples, state: State, start: tf.Tensor, batches: tf.Tensor, rest: int) -> tf.Tensor:
        """Sums of what `Net.hits` gives over a split, float32 ([lanes,] 2, classes)."""

        def of_one_seed(state):
            def batch(begin, size):
                inputs = _scaled(evaluation.part(data.x, begin, size), data)
                return self.net.hits(state, inputs, evaluation.part(data.y, begin, size))

            zeros = tf.zeros((2, self.net.task.dataset.classes))
            return evaluation.summed(batch, zeros, start, batches, self.full, rest)

        return self._of_each(of_one_seed, state)

    def _of_each(self, measure: Callable[[State], tf.Tensor], state: State) -> tf.Tensor:
        return measure(state) if self.lanes == 1 else tf.map_fn(measure, state, fn_output_signature=tf.float32)


class Engine:
    """A row's training over its data.

    Args:
        row: the resolved row.
        splits: for train, and validation and test where they exist: x uint8 or float32 (n, *shape), not yet scaled;
            y class numbers or values (n,), or encoded as the loss wants them (n, k).
        device: "cpu" or "gpu".
        lanes: seeds that one program carries; 1 on a CPU.
        programs: of a row of the same shape, over splits of the same sizes; without, the engine makes its own.
    """

    def __init__(self, row: Row, splits: Splits, device: str, lanes: int = 1, programs: Programs | None = None):
        self.row, self.lanes = row, lanes
        # XLA's convolutions on a CPU are several times slower than TensorFlow's own.
        xla = device == "gpu" or not row.has_convolutions
        self.programs = programs or Programs(row, samples.ranges(splits), xla, lanes)
        self.net = self.programs.net
        self.data = samples.on_device(row, self.net.task, splits)
        self.recorded = recorded_epochs(row.training.epochs)

    def start(self, seed: int) -> Progress:
        """A seed before the first step."""
        return Progress(seed, Net(self.row, seed).state(), callbacks=Callbacks(self.row.training))

    def compile(self, pool: ThreadPoolExecutor) -> None:
        """Compile all programs in the pool, before the seeds train; what is compiled already is not compiled again.

        They are traced here, one by one: Keras' layers hold one call's activity penalties at a time, and programs that
        were traced side by side got each other's.
        """
        programs, state = self.programs, stack([self.start(0).state] * self.lanes)
        order = np.zeros((self.lanes, programs.chunk, programs.n), np.int32)
        calls = [(programs.train, self._training(order, np.zeros((self.lanes, 2), np.int32), state, 0))]
        for split in programs.ranges:
            calls.append((programs.evaluate, (self.data, state, *programs.where(split, whole=False))))
        if programs.saturation.names:
            where = programs.where(self.row.split.monitor, whole=False)
            calls.append((programs.probe, (self.data, state, *where)))
        compiling = []
        for program, arguments in calls:
            program.get_concrete_function(*arguments)
            compiling.append(pool.submit(program, *arguments))
        for call in compiling:
            call.result()

    def advance(self, progress: list[Progress]) -> None:
        """Train the given seeds (as many as `lanes`) to the next chunk's end, and record what is due there."""
        programs, training = self.programs, self.row.training
        epoch = max(p.epoch for p in progress)
        following = next(e for e in self.recorded if e > epoch)
        count = min(programs.chunk, following - epoch)
        order = np.zeros((self.lanes, programs.chunk, programs.n), np.int32)
        for lane, p in enumerate(progress):
            for i in range(count):
                order[lane, i] = batch_order(p.seed, epoch + i, programs.n, training.shuffle)
        noise = np.array([[models.derived_seed(p.seed, "augmentation"), 0] for p in progress], np.int32)
        state, history = programs.train(*self._training(order, noise, stack([p.state for p in progress]), count))
        histories = history.numpy().reshape(self.lanes, programs.chunk, 3)
        due = epoch + count == following
        monitored = self.evaluate(state, self.row.split.monitor) if due or progress[0].callbacks else None
        for lane, (p, after) in enumerate(zip(progress, unstack(state, self.lanes), strict=True)):
            if not p.stopped:
                p.state, p.epoch = after, epoch + count
                self._record(p, histories[lane, :count], monitored[lane] if monitored else None, due)

    def evaluate(self, state: State, split: str) -> list[dict[str, float]]:
        """Per lane, loss, data loss, penalty, metric and most predicted class's share on a split, in inference mode."""
        start, stop = self.programs.ranges[split]
        sums = self.programs.evaluate(self.data, state, *self.programs.where(split))
        return [self._figures(row, stop - start) for row in sums.numpy().reshape(self.lanes, -1)]

    def saturation(self, state: State) -> list[dict[str, float]]:
        """Per lane, the share of saturated outputs of each hidden activated layer on the monitored split."""
        names = self.programs.saturation.names
        if not names:
            return [{} for _ in range(self.lanes)]
        shares = self.programs.probe(self.data, state, *self.programs.where(self.row.split.monitor)).numpy()
        return [dict(zip(names, map(float, lane), strict=True)) for lane in shares.reshape(self.lanes, len(names))]

    def balanced_accuracy(self, state: State, split: str) -> list[float]:
        """Per lane, the mean over the classes that the split has of the share that is found."""
        hits = self.programs.hits(self.data, state, *self.programs.where(split)).numpy()
        return [float((found[n > 0] / n[n > 0]).mean()) for n, found in hits.reshape(self.lanes, 2, -1)]

    def done(self, p: Progress) -> bool:
        """Whether a seed has come to its end."""
        return p.stopped or p.epoch >= self.row.training.epochs

    def _training(self, order: np.ndarray, noise: np.ndarray, state: State, epochs: int) -> tuple:
        """What the training program is called with."""
        of_lanes = [tf.constant(value[0] if self.lanes == 1 else value) for value in (order, noise)]
        return self.data, *of_lanes, state, tf.constant(epochs)

    def _figures(self, sums: np.ndarray, n: int) -> dict[str, float]:
        data_loss, penalty, metric = (float(value) / n for value in sums[:3])
        figures = {"loss": data_loss + penalty, "data_loss": data_loss, "penalty": penalty, self.row.metric: metric}
        if self.row.dataset.classes is not None:
            figures["top_class_share"] = float(sums[3:].max()) / n
        return figures

    def _record(self, p: Progress, history: np.ndarray, monitored: dict[str, float] | None, due: bool) -> None:
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
        if p.callbacks:
            p.state, p.stopped = p.callbacks.after_epoch(p.epoch, point, p.state)
            if self.done(p):
                p.state = p.callbacks.at_end(p.state)
        for epoch in [e for e in self.recorded if e >= p.epoch] if p.stopped else [p.epoch] if due else []:
            for key, value in {**point, "epoch": epoch}.items():
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
        engine: the row's engine, compiled.
        seeds: which.
        threads: programs that run at once.
        resumed: seeds that had been on their way, to go on from there.
        after_chunk: called after every chunk of epochs, from the seed's own thread.
    """
    resumed = resumed or {}
    lanes = [seeds[i : i + engine.lanes] for i in range(0, len(seeds), engine.lanes)]

    def run(lane: Sequence[int]) -> list[dict[str, Any]]:
        progress = [resumed.get(seed) or engine.start(seed) for seed in lane]
        while not all(map(engine.done, progress)):
            engine.advance(progress)
            for p in progress:
                after_chunk(p)
        return finished(engine, progress)

    with ThreadPoolExecutor(threads) as pool:
        for part in pool.map(run, lanes):
            yield from part


def finished(engine: Engine, progress: list[Progress]) -> list[dict[str, Any]]:
    """What is recorded of each seed at its end."""
    state = stack([p.state for p in progress])
    splits = {split: engine.evaluate(state, split) for split in engine.programs.ranges}
    if engine.row.training.balanced:
        for split, of_lanes in splits.items():
            for figures, value in zip(of_lanes, engine.balanced_accuracy(state, split), strict=True):
                figures["balanced_accuracy"] = value
    saturation = engine.saturation(state)
    paths = models.paths(engine.net.model)
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
                **({"stopped_epoch": p.epoch} if p.stopped else {}),
            }
        )
    return records


def _scaled(inputs: tf.Tensor, data: Samples) -> tf.Tensor:
    """Inputs as the net gets them, float32."""
    return tf.cast(inputs, tf.float32) / data.scale
