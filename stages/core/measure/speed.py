"""What `make speed` runs, how its figures are reckoned, and how they are laid out.

A *contestant* is one way to train a row; a *process* is one contestant run once, from its start to its end. Contestants
run in turn (A B C A B C ...), and every ratio is taken within one such round, so that whatever slows the machine for a
while slows both of its sides.
"""

import csv
import io
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

from stages.core.config.row import Conv2D, Dense, Row, output_shape
from stages.core.data.splits import Splits

CONTESTANTS = {
    "stage": "the stage as `dvc repro` runs it, `python -m stages.train <study>/<row>`, record included",
    "stage_again": "the same once more, as a second row of this shape would: it finds the compiled programs",
    "engine": "the same engine, its training alone timed: programs compiled and run once before the clock starts",
    "fit": "(a) `model.fit` as the document writes it, one seed after another; timed without each seed's first epoch",
    "fit_tuned": "(b) `model.fit` tuned, otherwise like (a): scaled data held in memory, batches gathered and "
    "prefetched by `tf.data`, `steps_per_execution=100`, `jit_compile=True` for nets of dense "
    "layers alone (on a CPU it slows convolutions and Keras' dropout down), augmentation as in the engine",
    "jax": "(c) JAX, written plainly: `vmap` over the seeds, `lax.scan` over steps and epochs, all of it jitted; nets "
    "without convolutions; timed without the first call",
}
RIVALS = ("fit", "fit_tuned", "jax")
RECORDED = 60  # epochs of which the engine records figures, about
STAGES = ("stage", "stage_again")
SIDE_BY_SIDE = (*STAGES, "engine", "jax")


@dataclass(frozen=True)
class Plan:
    """How much of a row is run where its own budget would take too long.

    row: `<study>/<row>`. stage: epochs of the whole stage, 0 leaves it out. together: epochs for contestants that train
    all seeds side by side. alone: epochs for those that train one after another, here one. samples: training samples,
    None for all.
    """

    row: str
    stage: int
    together: int
    alone: int
    samples: int | None = None


PLANS = (
    Plan("mnist_comparison/kernel_l2_1e-4", stage=10, together=3, alone=3),
    Plan("mnist_collapse/l2_1e-4_dropout_50", stage=10, together=10, alone=4),
    Plan("cifar10_small/l2_1e-2", stage=0, together=2, alone=3, samples=1600),
    Plan("cifar10_deep/l2_1e-2", stage=0, together=2, alone=3, samples=1600),
    Plan("kin8nm_regression/l2_1e-3", stage=100, together=100, alone=50),
    Plan("mnist_first_chapter/sigmoid_softmax_mse_lr_3", stage=3, together=3, alone=2),
)


class Task(NamedTuple):
    """One process: which contestant trains which row, for how many seeds, epochs and training samples (None: all)."""

    contestant: str
    row: str
    seeds: int
    epochs: int
    samples: int | None = None


class Trained(NamedTuple):
    """What a comparison program gives back.

    epoch_seconds: a seed's training time for one epoch, warm; of seeds side by side the time of all, divided by their
    number. losses: mean training loss, penalty included, by seed and epoch.
    """

    epoch_seconds: float
    losses: list[list[float]]


@dataclass(frozen=True)
class Measurement:
    """One process; None where its contestant does not measure it.

    samples: training samples. epoch_seconds: as in `Trained`. operations: floating-point operations of one epoch of one
    seed. matrix_rate: of the machine, operations a second. The other seconds are parts of the process.
    """

    round: int
    contestant: str
    row: str
    seeds: int
    epochs: int
    samples: int
    process_seconds: float
    peak_bytes: int
    epoch_seconds: float | None = None
    operations: float | None = None
    matrix_rate: float | None = None
    import_seconds: float | None = None
    data_seconds: float | None = None
    compile_seconds: float | None = None


Turn = Mapping[str, Measurement]  # one round of one row, by contestant


class Budget(NamedTuple):
    """A row as its study wants it; `samples`: training samples."""

    seeds: int
    epochs: int
    samples: int


class Spread(NamedTuple):
    """A median with the smallest and the largest value."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Line:
    """One contestant on one row, over its rounds; None where there is no such figure.

    training_ratio: its `epoch_seconds` by the engine's. row_seconds: the whole process at the row's own seeds and
    epochs, `measured` or `reckoned` (see `row_seconds`). row_ratio: this by the stage's. outside_share: the part of
    `row_seconds` that is not training. matrix_share: the part of the machine's float32 matrix rate that training
    reaches.
    """

    row: str
    contestant: str
    seeds: int
    epochs: int
    samples: int
    rounds: int
    epoch_seconds: Spread | None
    training_ratio: Spread | None
    process_seconds: Spread
    row_seconds: Spread | None
    row_seconds_are: str
    row_ratio: Spread | None
    outside_share: Spread | None
    matrix_share: Spread | None
    peak_bytes: int


def tasks(plan: Plan, seeds: int, rivals: Sequence[str]) -> list[Task]:
    """The processes of one round, in turn.

    Args:
        plan: how much to run.
        seeds: of the row.
        rivals: names of the comparison programs that can train it.
    """
    stage = [Task(name, plan.row, seeds, plan.stage) for name in STAGES] if plan.stage else []
    sizes = {name: (seeds, plan.together) if name in SIDE_BY_SIDE else (1, plan.alone) for name in ("engine", *rivals)}
    return stage + [Task(name, plan.row, *size, plan.samples) for name, size in sizes.items()]


def whole_tasks(plan: Plan, seeds: int, epochs: int, rivals: Sequence[str]) -> list[Task]:
    """The same, but stage and `model.fit` as whole processes of `seeds` and `epochs` on all samples."""
    training = tasks(replace(plan, stage=0), seeds, [name for name in rivals if name != "fit"])
    return [Task(name, plan.row, seeds, epochs) for name in (*STAGES, "fit")] + training


def operations(row: Row, training: float, monitored: float) -> float:
    """Floating-point operations of so many training and monitored samples.

    In a prediction a dense layer makes inputs x units multiply-adds, a convolution k² x channels x filters for each
    pixel of its output: M in all layers together. Training makes M for the prediction, M for the gradients of the
    kernels, and M - m for the gradients of the layers' inputs, which the first of them (m) does not need. A
    multiply-add is two operations: 2 (3M - m) for a training sample, 2M for a monitored one. Activations, penalties
    and the optimizer are not counted.
    """
    products: list[int] = []
    shape = list(row.dataset.shape)
    for layer in row.layers:
        inputs, shape = shape, output_shape([layer], shape)
        if isinstance(layer, Dense):
            products.append(inputs[0] * layer.units)
        elif isinstance(layer, Conv2D):
            products.append(layer.kernel_size**2 * inputs[2] * shape[2] * shape[0] * shape[1])
    total = sum(products)
    return 2.0 * (training * (3 * total - products[0]) + monitored * total)


def spread(values: Iterable[float | None]) -> Spread | None:
    """Of the values that there are; None without any."""
    there = [value for value in values if value is not None]
    return Spread(statistics.median(there), min(there), max(there)) if there else None


def training_ratio(turn: Turn, contestant: str) -> float | None:
    """How many times longer than the engine `contestant` takes for an epoch of a seed, in the same round."""
    return _ratio(_epoch_seconds(turn, contestant), _epoch_seconds(turn, "engine"))


def row_seconds(turn: Turn, contestant: str, budget: Budget) -> float | None:
    """Seconds of the whole process at the row's own seeds and epochs.

    What the process spent outside training happens once, the training once for each seed and epoch:
    (process - s·e·t) + S·E·t, with s seeds and e epochs run, S and E the row's own, and t the warm `epoch_seconds`.
    With s = S and e = E this is the measured process itself. What `model.fit` compiles anew for each seed counts
    once, in its favour. None if it ran on a part of the samples.
    """
    one, epoch = turn.get(contestant), _epoch_seconds(turn, contestant)
    if one is None or epoch is None or one.samples != budget.samples:
        return None
    return one.process_seconds + (budget.seeds * budget.epochs - one.seeds * one.epochs) * epoch


def row_ratio(turn: Turn, contestant: str, budget: Budget) -> float | None:
    """How many times longer than the stage `contestant` takes for the whole row, in the same round."""
    return _ratio(row_seconds(turn, contestant, budget), row_seconds(turn, "stage", budget))


def outside_share(turn: Turn, contestant: str, budget: Budget) -> float | None:
    """The part of a whole row's seconds that is not training: imports, data, compilation, the record."""
    whole, epoch = row_seconds(turn, contestant, budget), _epoch_seconds(turn, contestant)
    return None if whole is None else 1 - budget.seeds * budget.epochs * epoch / whole


def matrix_share(one: Measurement) -> float | None:
    """The part of the machine's float32 matrix rate that training reached."""
    rate = _ratio(one.operations, one.epoch_seconds)
    return _ratio(rate, one.matrix_rate)


def summarize(measurements: Iterable[Measurement], budgets: Mapping[str, Budget]) -> list[Line]:
    """A line for each row and contestant, in the order in which they first ran."""
    turns: dict[tuple[str, int], dict[str, Measurement]] = {}
    for one in measurements:
        turns.setdefault((one.row, one.round), {})[one.contestant] = one
    pairs = {(row, name): None for (row, _), turn in turns.items() for name in turn}
    return [
        _line(name, [turn for (other, _), turn in turns.items() if other == row and name in turn], budgets[row])
        for row, name in pairs
    ]


def _line(name: str, turns: Sequence[Turn], budget: Budget) -> Line:
    runs = [turn[name] for turn in turns]
    one = runs[0]
    whole = spread(row_seconds(turn, name, budget) for turn in turns)
    measured = (one.seeds, one.epochs) == (budget.seeds, budget.epochs)
    return Line(
        row=one.row,
        contestant=name,
        seeds=one.seeds,
        epochs=one.epochs,
        samples=one.samples,
        rounds=len(runs),
        epoch_seconds=spread(run.epoch_seconds for run in runs),
        training_ratio=spread(training_ratio(turn, name) for turn in turns) if name in RIVALS else None,
        process_seconds=spread(run.process_seconds for run in runs),
        row_seconds=whole if name != "engine" else None,
        row_seconds_are="" if whole is None or name == "engine" else "measured" if measured else "reckoned",
        row_ratio=spread(row_ratio(turn, name, budget) for turn in turns) if name in RIVALS else None,
        outside_share=spread(outside_share(turn, name, budget) for turn in turns) if name in STAGES else None,
        matrix_share=spread(map(matrix_share, runs)),
        peak_bytes=max(run.peak_bytes for run in runs),
    )


def _epoch_seconds(turn: Turn, contestant: str) -> float | None:
    """The stage does not time its training; the engine, run beside it, does."""
    one = turn.get("engine" if contestant in STAGES else contestant)
    return None if one is None else one.epoch_seconds


def _ratio(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a / b


def evaluation_interval(row: Row) -> int:
    """Epochs between evaluations of the monitored split, about as often as the engine records them."""
    return max(1, row.training.epochs // RECORDED)


def part(splits: Splits, samples: int | None) -> Splits:
    """The first `samples` training samples and the same share of the other splits; None: all."""
    if samples is None:
        return splits
    share = min(1.0, samples / len(splits["train"][0]))
    return {name: (x[: math.ceil(share * len(x))], y[: math.ceil(share * len(y))]) for name, (x, y) in splits.items()}


def to_csv(lines: Iterable[Line], machine: Mapping[str, str]) -> str:
    """A line for each row and contestant; a spread takes three columns; what was measured on stands on every line."""
    rows = [_flat(line) | machine for line in lines]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _flat(line: Line) -> dict[str, object]:
    values: dict[str, object] = {}
    for field in fields(line):
        value = getattr(line, field.name)
        if field.type in (Spread, Spread | None):
            numbers = ["" if number is None else f"{number:.6g}" for number in value or (None, None, None)]
            values |= dict(zip((field.name, f"{field.name}_low", f"{field.name}_high"), numbers, strict=True))
        else:
            values[field.name] = value
    return values


def to_markdown(
    lines: Sequence[Line],
    measurements: Sequence[Measurement],
    budgets: Mapping[str, Budget],
    machine: Mapping[str, str],
    notes: Sequence[str],
) -> str:
    """The report.

    Args:
        lines: what `summarize` made of `measurements`.
        measurements: all processes, for what the summary leaves out.
        budgets: of every row.
        machine: what it was measured on, by name.
        notes: what else a reader has to know, a line each.
    """
    by_row: dict[str, dict[str, Line]] = {}
    for line in lines:
        by_row.setdefault(line.row, {})[line.contestant] = line
    rate = spread(one.matrix_rate for one in measurements)
    facts = machine | ({} if rate is None else {"float32 matrix rate": f"{_spread(_scaled(rate, 1e-9))} GFLOP/s"})
    rivals = [name for name in RIVALS if any(name in contestants for contestants in by_row.values())]
    whole = {row: of for row, of in by_row.items() if "stage" in of and of["stage"].row_seconds}
    sections = [
        INTRODUCTION,
        *(f"- {name}: {value}" for name, value in facts.items()),
        *(f"- {note}" for note in notes),
        "\n## Training\n",
        TRAINING,
        *_table(
            ["row", "engine, s", *(f"{MARKS[name]} / engine" for name in rivals), "share of matrix rate"],
            [
                [
                    f"`{row}`",
                    _spread(of["engine"].epoch_seconds),
                    *(_spread(of[name].training_ratio) if name in of else "" for name in rivals),
                    _spread(of["engine"].matrix_share, _percent),
                ]
                for row, of in by_row.items()
            ],
        ),
    ]
    if whole:
        sections += [
            "\n## Whole process\n",
            WHOLE,
            *_table(
                ["row", "seeds × epochs", "stage, s", "GiB", *(f"{MARKS[name]} / stage" for name in rivals), "outside",
                 "outside, again"],
                [
                    [
                        f"`{row}`",
                        f"{budgets[row].seeds} × {budgets[row].epochs}",
                        _about(of["stage"].row_seconds, of["stage"]),
                        f"{of['stage'].peak_bytes / 2**30:.2f}",
                        *(_about(of[name].row_ratio, of[name], of["stage"]) if name in of else "" for name in rivals),
                        *(_spread(of[name].outside_share, _percent) if name in of else "" for name in STAGES),
                    ]
                    for row, of in whole.items()
                ],
            ),
        ]  # fmt: skip
    sections += [
        "\n## Start-up\n",
        "Medians of the engine's processes, in seconds. Compile: the programs are traced, compiled and run once.\n",
        *_table(
            ["row", "import TensorFlow and Keras", "load the data", "compile"],
            [
                [f"`{row}`", *(_seconds(measurements, row, name) for name in ("import", "data", "compile"))]
                for row in by_row
            ],
        ),
        "\n## What was run\n",
        *(f"- `{name}`: {text}." for name, text in CONTESTANTS.items() if any(name in of for of in by_row.values())),
        "",
        *_table(
            ["row", "contestant", "seeds", "epochs", "training samples", "processes", "s per process",
             "s per epoch and seed", "peak, GiB"],
            [
                [
                    f"`{line.row}`",
                    f"`{line.contestant}`",
                    str(line.seeds),
                    str(line.epochs),
                    str(line.samples),
                    str(line.rounds),
                    _spread(line.process_seconds),
                    _spread(line.epoch_seconds),
                    f"{line.peak_bytes / 2**30:.2f}",
                ]
                for line in lines
            ],
        ),
    ]  # fmt: skip
    return "\n".join(sections) + "\n"


MARKS = {"fit": "(a) `fit`", "fit_tuned": "(b) tuned `fit`", "jax": "(c) JAX"}
INTRODUCTION = """\
# Speed

Read the ratios: the seconds belong to this machine and to what else it did at the time. Each contestant ran as a
process of its own, in turn (A B C A B C ...); a ratio is taken within one round; a figure is the median over the
rounds, with the smallest and the largest in brackets where there is more than one.
"""
TRAINING = """\
Seconds for one epoch of one seed, compiled and warm, and how many times longer the others take. (a) evaluates where the
document does, the others the study's monitored split, at up to about 60 epochs of a row. The share counts
the multiply-adds of layers, forward and backward, and nothing else, as if the rest took no time; the matrix rate is
that of products of two 2048 × 2048 float32 matrices on all cores, timed in the same processes.
"""
WHOLE = """\
The process from its start to its end, for these seeds and epochs. Without a mark both processes ran in full. With ≈ at
least one ran for fewer seeds or epochs, and its time is reckoned: what it spent outside training once, and the measured
training time for every seed and epoch (what `fit` compiles anew for every seed counts once, in its favour). GiB: the
stage's peak memory. Outside: the share of the stage that is not training: imports, data, compilation, final evaluation,
record; the training time is that of the engine's own processes. Again: a second row of this shape, whose programs are
compiled already.
"""


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def _spread(value: Spread | None, text: Callable[[float], str] = lambda number: f"{number:.3g}") -> str:
    if value is None:
        return ""
    return text(value.median) + ("" if value.low == value.high else f" ({text(value.low)}–{text(value.high)})")


def _about(value: Spread | None, *lines: Line) -> str:
    """Marked if one of the lines was not run in full."""
    mark = "≈ " if any(line.row_seconds_are == "reckoned" for line in lines) else ""
    return mark + _spread(value) if value else ""


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _scaled(value: Spread, factor: float) -> Spread:
    return Spread(*(factor * number for number in value))


def _seconds(measurements: Iterable[Measurement], row: str, name: str) -> str:
    return _spread(spread(getattr(one, f"{name}_seconds") for one in measurements if one.row == row))
