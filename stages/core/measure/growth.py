"""How the pipeline's own cost grows with the number of rows: what is built to measure it, its table and its figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

ROWS = (10, 50, 200, 400, 1000, 2000)
STUDY_ROWS = 400  # at most, in a study
SEEDS = 10
STALE = 20  # rows that are trained again, beside one, to see what one more costs
CURVE_EPOCHS = 30
WEIGHTS = ("dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias")

ONE, MANY = "one dvc.yaml", "one dvc.yaml a study"


class Measure(NamedTuple):
    """Something that is timed: its title, its unit, and the limit that it must keep at so many rows in a layout."""

    title: str
    unit: str
    limit: tuple[float, int] | None


MEASURES = {
    "compose": Measure("`compose`", "seconds", None),
    "tables": Measure("`aggregate`, all studies one by one", "seconds", (20, 2000)),
    "no-op": Measure("`dvc repro` with nothing to do", "seconds", (4, 200)),
    "jobs": Measure("`make repro JOBS=2`, each row", "seconds a row", None),
    "fanout": Measure("`make fanout`, 2 workers, each row", "seconds a row", (3, 2000)),
    "review": Measure("`make review`", "seconds", None),
}


class Point(NamedTuple):
    """What `measure` took at `rows` rows in a layout, in its unit."""

    measure: str
    layout: str
    rows: int
    value: float


def study_names(rows: int) -> dict[str, list[str]]:
    """Names of the studies that so many rows make, and of each one's rows."""
    names: dict[str, list[str]] = {}
    for number in range(rows):
        names.setdefault(f"study_{number // STUDY_ROWS:02}", []).append(f"row_{number % STUDY_ROWS:03}")
    return names


def study(template: Mapping[str, Any], name: str, rows: Sequence[str]) -> dict[str, Any]:
    """A study of small differences: conf/study/<template>.yaml with other rows, the first one the baseline."""
    overrides = [[f"kernel.l2={number}e-6"] if number else [] for number in range(len(rows))]
    labelled = {
        f"{name}/{row}": {"label": row, "overrides": values} for row, values in zip(rows, overrides, strict=True)
    }
    return {**template, "baseline": rows[0], "rows": labelled}


def pipelines(template: Mapping[str, Any], studies: Sequence[str], layout: str) -> dict[str, dict[str, Any]]:
    """The files of the pipeline by path, up to the tables.

    Args:
        template: this repository's dvc.yaml.
        studies: which it has instead of its own.
        layout: ONE or MANY.
    """
    stages = {name: template["stages"][name] for name in ("download", "compose", "train", "keep", "aggregate")}
    stages["download"] = {**stages["download"], "foreach": ["digits"]}
    root = {"vars": [f"conf/study/{name}.yaml:rows" for name in studies], "stages": stages}
    if layout == ONE:
        return {"dvc.yaml": root}
    files = {"dvc.yaml": {**root, "stages": {name: stages[name] for name in ("download", "compose", "keep")}}}
    for name in studies:
        aggregate = {"foreach": {name: {"dataset": "digits"}}, "do": {**stages["aggregate"]["do"], "wdir": "../.."}}
        train = {**stages["train"], "do": {**stages["train"]["do"], "wdir": "../.."}}
        files[f"studies/{name}/dvc.yaml"] = {
            "vars": [f"../../conf/study/{name}.yaml:rows"],
            "stages": {"train": train, "aggregate": aggregate},
        }
    return files


def made_up_record(row: Mapping[str, Any], sheet: Mapping[str, Any]) -> dict[str, Any]:
    """A record with the parts of a real one and numbers drawn at random, the same ones for the same row.

    Args:
        row: a resolved row of a classification study, all of build/rows/<study>/<row>.yaml.
        sheet: the sheet of its data set, which has test samples.
    """
    random = np.random.default_rng(crc32(f"{row['study']}/{row['row']}".encode()))
    sizes = {name: array["shape"][0] for name, array in sheet["arrays"].items()}
    splits = {"train": sizes["train_x"], "test": sizes["test_x"]}
    epochs = min(row["training"]["epochs"], CURVE_EPOCHS)
    return {
        "study": row["study"],
        "row": row["row"],
        "config": row,
        "data": {
            "dataset": row["dataset"]["name"],
            "digest": sheet["digest"],
            "samples": splits,
            "guess": dict.fromkeys(splits, 0.1),
        },
        "versions": {},
        "device": "cpu",
        "parameters": 1,
        "seeds": [
            {
                "seed": seed,
                "curve": {"epoch": list(range(1, epochs + 1))} | _curve(random, epochs),
                "final": {split: _quantities(random) for split in splits},
                "first_non_finite_epoch": None,
                "weight_norms": dict(zip(WEIGHTS, random.random(len(WEIGHTS)), strict=True)),
                "top_class_share": dict.fromkeys(splits, 0.1),
            }
            for seed in range(row["seeds"])
        ],
    }


def at_limit(points: Sequence[Point], measure: str) -> dict[str, float]:
    """By layout, the value that a measure's limit speaks of; without those that were not measured."""
    limit = MEASURES[measure].limit
    return {p.layout: p.value for p in points if limit and p.measure == measure and p.rows == limit[1]}


def to_csv(points: Sequence[Point]) -> str:
    """Columns measure, layout, rows, value; a line for each point."""
    lines = [f"{p.measure},{p.layout},{p.rows},{p.value:.6g}" for p in points]
    return "\n".join(["measure,layout,rows,value", *lines]) + "\n"


def to_markdown(points: Sequence[Point], machine: Mapping[str, str]) -> str:
    """The report."""
    parts = [
        "# Growth\n",
        "What the pipeline itself costs as rows grow, drawn in [growth.svg](growth.svg). Studies have "
        f"up to {STUDY_ROWS} rows, of {SEEDS} seeds each. Records are made up and training only copies one: what is "
        "timed is everything but training. What each row costs: the time of the whole command with "
        f"{STALE + 1} stale rows, or all where there are fewer, less that with one, divided by the rows more. "
        "Seconds belong to this machine and to what else it did at the time.\n",
        *(f"- {name}: {value}" for name, value in machine.items()),
    ]
    for name, measure in MEASURES.items():
        layouts = list(dict.fromkeys(p.layout for p in points if p.measure == name))
        rows = sorted({p.rows for p in points if p.measure == name})
        if not rows:
            continue
        values = {(p.layout, p.rows): f"{p.value:.2f}" for p in points if p.measure == name}
        headings = [""] if layouts == [""] else layouts
        parts += [
            f"\n## {measure.title}\n",
            f"| rows | {' | '.join(f'{heading}, {measure.unit}'.lstrip(', ') for heading in headings)} |",
            f"| --- |{' --- |' * len(layouts)}",
            *(f"| {n:,} | {' | '.join(values.get((layout, n), '') for layout in layouts)} |" for n in rows),
        ]
        for layout, value in at_limit(points, name).items():
            most, n = measure.limit
            said = "kept" if value < most else "**not kept**"
            parts.append(f"\nTarget{f' ({layout})' if layout else ''}: less than {most:g} at {n:,} rows: {said}.")
    return "\n".join(parts) + "\n"


def draw(points: Sequence[Point]) -> Any:
    """A matplotlib figure: each measure against rows, a line a layout, its target as a cross."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6.5), layout="constrained", label="Cost of the pipeline itself against rows")
    styles = {"": ("o-", "#0072b2"), MANY: ("o-", "#0072b2"), ONE: ("s--", "#d55e00")}
    rows = sorted({p.rows for p in points})
    for axes, (name, measure) in zip(figure.subplots(2, 3).flat, MEASURES.items(), strict=True):
        for layout in dict.fromkeys(p.layout for p in points if p.measure == name):
            line = [p for p in points if (p.measure, p.layout) == (name, layout)]
            marker, colour = styles[layout]
            axes.plot([p.rows for p in line], [p.value for p in line], marker, color=colour, label=layout or None)
        if measure.limit:
            axes.plot(measure.limit[1], measure.limit[0], "x", color="#6e6e6e", label="target: below")
        axes.set_xscale("log")
        axes.set_xticks(rows, [f"{n:,}" for n in rows], fontsize="small")
        axes.minorticks_off()
        axes.set_xlim(0.8 * rows[0], 1.25 * rows[-1])
        axes.set_ylim(bottom=0)
        axes.set_title(measure.title.replace("`", ""))
        axes.set_ylabel(measure.unit)
        axes.set_xlabel("rows")
        if axes.get_legend_handles_labels()[1]:
            axes.legend(frameon=False, loc="upper left")
    return figure


def _quantities(random: np.random.Generator, n: int | None = None) -> dict[str, Any]:
    data_loss, penalty, accuracy = random.random(n), random.random(n), random.random(n)
    return {"loss": data_loss + penalty, "data_loss": data_loss, "penalty": penalty, "accuracy": accuracy}


def _curve(random: np.random.Generator, epochs: int) -> dict[str, Any]:
    monitored = _quantities(random, epochs)
    del monitored["penalty"]
    return _quantities(random, epochs) | {f"val_{name}": values for name, values in monitored.items()}
