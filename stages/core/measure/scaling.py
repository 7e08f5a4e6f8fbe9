"""How time and memory grow with seeds, samples and rows: what is measured for it, its table and its figure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

SEEDS = (1, 2, 4, 8, 16, 32, 64)
SEEDS_SAMPLES = 6000  # training samples while seeds grow
SAMPLES = (3750, 7500, 15000, 30000, 60000)
SAMPLES_SEEDS = 4
ROWS = (1, 10, 50, 100, 200)
EPOCHS = 10  # short epochs are timed together, which evens the machine's other work out
LINEAR = 0.1  # a slope within so much of 1 counts as linear


class Point(NamedTuple):
    """`seconds` and `peak_bytes` at `n` of what the axis counts."""

    n: int
    seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class Axis:
    """One quantity that grows, what is timed meanwhile, and why it is not linear everywhere."""

    name: str
    timed: str
    why: str


AXES = (
    Axis(
        "seeds",
        f"an epoch of all seeds, {SEEDS_SAMPLES:,} training samples each",
        "Seeds run side by side, one a core: another seed costs little while a core is free, and time follows the "
        "number of seeds once every core has work. Memory starts from TensorFlow and the data, which are there once; a "
        "seed adds its weights, the optimizer's arrays and its batch order.",
    ),
    Axis(
        "samples",
        f"an epoch of {SAMPLES_SEEDS} seeds together",
        "An epoch costs a call and the reading of its figures whatever its length, which shows only in short epochs. "
        "Memory: TensorFlow first, then the data, held once as the data set has them, and each seed's batch order.",
    ),
    Axis(
        "rows",
        "`compose`, which checks all rows; each row then trains in a process of its own, so n rows take n times one "
        "row's time and the memory of one",
        "Starting Python and Hydra comes first; after that every row costs the same.",
    ),
)


def slopes(points: Sequence[Point]) -> list[float]:
    """Between neighbours, log(time ratio) / log(n ratio): 1 is linear, 0 is no growth; one fewer than points."""
    return [math.log(b.seconds / a.seconds) / math.log(b.n / a.n) for a, b in pairwise(points)]


def linear_from(points: Sequence[Point]) -> int | None:
    """The n from which on time is linear up to the last point; None if it is not even there."""
    first = None
    for point, slope in zip(reversed(points[:-1]), reversed(slopes(points)), strict=True):
        if abs(slope - 1) > LINEAR:
            break
        first = point.n
    return first


def growth(points: Sequence[Point]) -> tuple[float, float]:
    """Seconds and bytes that one more adds, between the last two points."""
    a, b = points[-2:]
    return (b.seconds - a.seconds) / (b.n - a.n), (b.peak_bytes - a.peak_bytes) / (b.n - a.n)


def to_csv(measured: dict[str, Sequence[Point]]) -> str:
    """Columns axis, n, seconds, peak_bytes; a line for each point."""
    lines = [f"{axis},{p.n},{p.seconds:.6g},{p.peak_bytes}" for axis, points in measured.items() for p in points]
    return "\n".join(["axis,n,seconds,peak_bytes", *lines]) + "\n"


def to_markdown(measured: dict[str, Sequence[Point]], machine: dict[str, str], row: str) -> str:
    """The report; `measured`: points by axis, at least two on each; `row`: which one was trained."""
    parts = [
        "# Scaling\n",
        f"How time and peak memory grow, on `{row}`; drawn in [scaling.svg](scaling.svg). Slope: that "
        f"of log time over log n between a line and the one above; 1 is linear, {LINEAR} off still counts as linear.\n",
        *(f"- {name}: {value}" for name, value in machine.items()),
    ]
    for axis in AXES:
        points = measured[axis.name]
        begin, (seconds, size) = linear_from(points), growth(points)
        parts += [
            f"\n## {axis.name.capitalize()}\n",
            f"Timed: {axis.timed}.\n",
            f"| {axis.name} | seconds | slope | peak, GiB |\n| --- | --- | --- | --- |",
            *(
                f"| {p.n:,} | {p.seconds:.3g} | {slope} | {p.peak_bytes / 2**30:.2f} |"
                for p, slope in zip(points, ["", *(f"{s:.2f}" for s in slopes(points))], strict=True)
            ),
            f"\n{'Not linear at the end' if begin is None else f'Linear from {begin:,} on'}; at the end one more adds "
            f"{seconds:.2g} s and {size / 2**20:.2g} MiB. {axis.why}",
        ]
    return "\n".join(parts) + "\n"


def draw(measured: dict[str, Sequence[Point]]) -> Any:
    """A matplotlib figure: time above memory for each axis; the dashed line is linear growth through the last point."""
    # Only now: a process begins with the peak memory of the one that starts it, so what measures stays small.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6), layout="constrained", label="Time and memory against seeds, samples and rows")
    axes = figure.subplots(2, len(AXES))
    for (upper, lower), axis in zip(axes.T, AXES, strict=True):
        points = measured[axis.name]
        n = [p.n for p in points]
        upper.loglog(n, [p.seconds for p in points], "o-", color="#0072b2")
        last = points[-1]
        upper.loglog(n, [last.seconds * value / last.n for value in n], "--", color="#6e6e6e", label="linear")
        lower.semilogx(n, [p.peak_bytes / 2**30 for p in points], "s-", color="#d55e00")
        lower.set_ylim(0, 1.15 * max(p.peak_bytes for p in points) / 2**30)
        for panel in (upper, lower):
            panel.set_xticks(n, [f"{value:,}" for value in n], rotation=90)
            panel.minorticks_off()
        upper.yaxis.set_major_formatter(lambda value, _: f"{value:g}")  # a format string would be read as mathematics
        upper.legend(frameon=False)
        lower.set_xlabel(axis.name)
    axes[0, 0].set_ylabel("seconds")
    axes[1, 0].set_ylabel("peak memory, GiB")
    return figure
