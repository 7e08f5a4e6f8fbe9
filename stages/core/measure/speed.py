"""What `regbench speed` runs, how its figures are reckoned, and how they are laid out.

A *contestant* is one way to train a row; a *process* is one contestant run once, from its start to its end. Contestants
run in turn (A B C A B C ...), and every ratio is taken within one such round, so that whatever slows the machine for a
while slows both of its sides.
"""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

from stages.core.config.row import Row
from stages.core.data.splits import Splits

STAGE, ENGINE = "stage", "engine"
CONTESTANTS = {
    STAGE: "the stage as `dvc repro` runs it, record included, with no program compiled beforehand",
    ENGINE: "the same engine, its training alone timed: compiled and run once before the clock starts",
    "fit": "(a) `model.fit` as the document writes it, one seed after another; timed without each seed's first epoch",
    "fit_tuned": "(b) `model.fit` tuned: scaled data in memory, batches gathered and prefetched by `tf.data`, "
    "`steps_per_execution=100`, `jit_compile=True` for nets of dense layers alone, the engine's augmentation",
    "jax": "(c) Keras' own layers and optimizer on JAX: `vmap` over the seeds, `lax.scan` over steps and epochs; "
    "nets of dense layers; timed without the first call",
}
RIVALS = ("fit", "fit_tuned", "jax")
RECORDED = 60  # epochs of which the engine records figures, about


class Plan(NamedTuple):
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
    seed. matrix_rate: of the machine, operations a second.
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


Turn = Mapping[str, Measurement]  # one round of one row, by contestant


class Budget(NamedTuple):
    """A row as its study wants it; `samples`: training samples."""

    seeds: int
    epochs: int
    samples: int


def tasks(plan: Plan, budget: Budget, rivals: Sequence[str], whole: bool) -> list[Task]:
    """The processes of one round, in turn; `whole`: stage and `model.fit` run the row's budget on all samples."""
    sizes = {STAGE: (budget.seeds, plan.stage), **dict.fromkeys((ENGINE, "jax"), (budget.seeds, plan.together))}
    sizes |= {"fit": (1, plan.alone), "fit_tuned": (1, plan.alone)}
    samples = dict.fromkeys(sizes, plan.samples)
    if whole:
        sizes |= dict.fromkeys((STAGE, "fit"), (budget.seeds, budget.epochs))
        samples |= dict.fromkeys((STAGE, "fit"))
    names = [name for name in (STAGE, ENGINE, *rivals) if sizes[name][1]]
    return [Task(name, plan.row, *sizes[name], samples[name]) for name in names]


def operations(products: Sequence[int], training: float, monitored: float) -> float:
    """Floating-point operations of so many training and monitored samples.

    Args:
        products: multiply-adds of each layer in a prediction of one sample, M in all and m in the first. Training makes
            M for the prediction, M for the gradients of the kernels, and M - m for the gradients of the layers' inputs,
            which the first does not need; a multiply-add is two operations. Nothing else is counted.
    """
    total = sum(products)
    return 2.0 * (training * (3 * total - products[0]) + monitored * total)


def training_ratio(turn: Turn, contestant: str) -> float | None:
    """How many times longer than the engine `contestant` takes for an epoch of a seed, in the same round."""
    return _ratio(_epoch_seconds(turn, contestant), _epoch_seconds(turn, ENGINE))


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
    return _ratio(row_seconds(turn, contestant, budget), row_seconds(turn, STAGE, budget))


def matrix_share(turn: Turn) -> float | None:
    """The part of the machine's float32 matrix rate that the engine's training reached."""
    one = turn.get(ENGINE)
    return None if one is None else _ratio(_ratio(one.operations, one.epoch_seconds), one.matrix_rate)


def _epoch_seconds(turn: Turn, contestant: str) -> float | None:
    """The stage does not time its training; the engine, run beside it, does."""
    one = turn.get(ENGINE if contestant == STAGE else contestant)
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


def to_csv(measurements: Iterable[Measurement]) -> str:
    """A line for each process."""
    rows = [asdict(one) for one in measurements]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def to_markdown(
    measurements: Sequence[Measurement], budgets: Mapping[str, Budget], machine: Mapping[str, str], command: str
) -> str:
    """The report.

    Args:
        measurements: all processes.
        budgets: of every row.
        machine: what it was measured on, by name.
        command: the command that does it again.
    """
    rounds: dict[str, dict[int, dict[str, Measurement]]] = {}
    for one in measurements:
        rounds.setdefault(one.row, {}).setdefault(one.round, {})[one.contestant] = one
    there = {one.contestant for one in measurements}
    rivals = [name for name in RIVALS if name in there]
    facts = {**machine, "rounds": str(1 + max(one.round for one in measurements)), "command": f"`{command}`"}

    def line(row: str) -> list[str]:
        turns, budget = list(rounds[row].values()), budgets[row]
        return [
            f"`{row}`",
            spread(_epoch_seconds(turn, ENGINE) for turn in turns),
            *(spread(training_ratio(turn, name) for turn in turns) for name in rivals),
            spread((matrix_share(turn) for turn in turns), lambda share: f"{100 * share:.0f} %"),
            f"{budget.seeds} × {budget.epochs}",
            spread(row_seconds(turn, STAGE, budget) for turn in turns),
            spread((turn[STAGE].peak_bytes / 2**30 for turn in turns if STAGE in turn), lambda size: f"{size:.2f}"),
            *(spread(row_ratio(turn, name, budget) for turn in turns) for name in rivals),
        ]

    header = ["row", "engine, s", *(f"{name} / engine" for name in rivals), "share of matrix rate"]
    header += ["seeds × epochs", "stage, s", "stage, GiB", *(f"{name} / stage" for name in rivals)]
    cells = [header, ["---", *["---:"] * (len(header) - 1)], *map(line, rounds)]
    return "\n".join(
        [
            INTRODUCTION,
            *(f"- {name}: {value}" for name, value in facts.items()),
            "",
            *(f"| {' | '.join(row)} |" for row in cells),
            "",
            *(f"- `{name}`: {text}." for name, text in CONTESTANTS.items() if name in there),
        ]
    ) + "\n"  # fmt: skip


INTRODUCTION = """\
# Speed

Read the ratios: the seconds belong to this machine and to what else it did at the time. Each contestant ran as a
process of its own, in turn; a ratio is taken within one round; a figure is the median over the rounds, with the
smallest and the largest in brackets. The csv beside this file has every process.

*Engine*: seconds for one epoch of one seed, compiled and warm, and how many times longer the others take. *Share of the
matrix rate*: multiply-adds of the layers, forward and backward, by what NumPy reaches with products of two 2048 × 2048
float32 matrices on all cores. *Stage*: the whole process at the row's own seeds and epochs; what ran for fewer is
reckoned: what it spent outside training once, and the measured training time for every seed and epoch.
"""


def spread(values: Iterable[float | None], text: Callable[[float], str] = lambda number: f"{number:.3g}") -> str:
    """The median of the values that there are, with the smallest and the largest; nothing without any."""
    there = [value for value in values if value is not None]
    if not there:
        return ""
    low, high = text(min(there)), text(max(there))
    return text(statistics.median(there)) + (f" ({low}–{high})" if low != high else "")
