"""How fast the engine is next to Keras and JAX: results/speed.md and .csv.

    regbench speed [--rounds N] [--device gpu]
        Every model, each on a part of its budget.
    regbench speed --only STUDY[/ROW] [--rounds N] [--device gpu]
        One row, the stage and `model.fit` in full; writes results/speed_<study>.*.
    regbench speed run CONTESTANT STUDY/ROW --seeds S --epochs E [--samples N] [--device gpu]
        One process; its last line is what it measured, as JSON.

With --device gpu the files are speed_gpu.* and so on.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from stages.core.base import machine
from stages.core.base.errors import UserError
from stages.core.base.files import write_atomically
from stages.core.config.row import Row, load_row
from stages.core.data.splits import Splits
from stages.core.measure import processes, speed
from stages.core.records import recording
from stages.core.training import runtime

ROWS, RESULTS = Path("build/rows"), Path("results")
ROUNDS, ROUNDS_IN_FULL = 3, 1
MATRIX, PRODUCTS = 2048, 8
PACKAGES = ("tensorflow", "keras", "numpy", "jax")
DENSE = {"flatten", "dense", "dropout"}  # the layers of nets that JAX is given


def main() -> None:
    if sys.argv[1:2] == ["run"]:
        print(json.dumps(contestant(_run_arguments(sys.argv[2:]))))
    else:
        compare(_arguments())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="STUDY[/ROW]")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    arguments = parser.parse_args()
    if arguments.rounds is not None and arguments.rounds < 1:
        raise UserError("--rounds is at least 1")
    return arguments


def _run_arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="regbench speed run")
    parser.add_argument("contestant", choices=PROGRAMS)
    parser.add_argument("row")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--samples", type=int)
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    return parser.parse_args(words)


# --- all of it: one process after another


def compare(arguments: argparse.Namespace) -> None:
    """Run the contestants in turn and write what they measured."""
    device, whole = arguments.device, bool(arguments.only)
    plans = [_plan(arguments.only)] if whole else speed.PLANS
    budgets, measurements = {}, []
    for plan in plans:
        row = _row(plan.row)
        samples = _answer(speed.Task("data", plan.row, 1, 1), device)[0]["samples"]
        budgets[plan.row] = speed.Budget(row.seeds, row.training.epochs, samples)
        rivals = [name for name in speed.RIVALS if name != "jax" or _jax_can(row, device)]
        for turn in range(arguments.rounds or (ROUNDS_IN_FULL if whole else ROUNDS)):
            for task in speed.tasks(plan, budgets[plan.row], rivals, whole):
                print(f"{plan.row}: round {turn + 1}, {task.contestant}", file=sys.stderr, flush=True)
                measurements.append(_measure(task, turn, samples, device))
    facts = machine.describe(PACKAGES) | ({"gpu": machine.gpu()} if device == "gpu" else {})
    text = speed.to_markdown(measurements, budgets, facts, " ".join(["regbench speed", *sys.argv[1:]]))
    name = "_".join(
        ["speed", *([plans[0].row.partition("/")[0]] if whole else []), *(["gpu"] if device == "gpu" else [])]
    )
    write_atomically(RESULTS / f"{name}.csv", speed.to_csv(measurements))
    write_atomically(RESULTS / f"{name}.md", text)
    print(text)


def _plan(only: str) -> speed.Plan:
    study, _, row = only.partition("/")
    for plan in speed.PLANS:
        if plan.row.startswith(f"{study}/"):
            return plan._replace(row=f"{study}/{row}") if row else plan
    raise UserError(f"--only {only}: no such study; known: {', '.join(p.row.split('/')[0] for p in speed.PLANS)}")


def _row(key: str) -> Row:
    path = ROWS / f"{key}.yaml"
    if not path.is_file():
        raise UserError(f"{path}: no such row; `dvc repro compose` writes the rows that conf/study/ declares")
    return load_row(path)


def _jax_can(row: Row, device: str) -> bool:
    plugins = ("jax_cuda12_plugin", "jax_cuda13_plugin")
    if find_spec("jax") is None or (device == "gpu" and not any(map(find_spec, plugins))):
        return False
    return all(layer.type in DENSE for layer in row.layers or [])


def _measure(task: speed.Task, turn: int, samples: int, device: str) -> speed.Measurement:
    answer, done = ({}, _stage(task, device)) if task.contestant == speed.STAGE else _answer(task, device)
    size = task._asdict() | {"samples": task.samples or samples}
    return speed.Measurement(
        round=turn, **size, process_seconds=done.seconds, peak_bytes=done.peak_bytes, **answer
    )  # fmt: skip


def _answer(task: speed.Task, device: str) -> tuple[dict[str, Any], processes.Run]:
    """What `run` says in a process of its own."""
    command = [sys.executable, "-m", "stages.commands.cli", "speed", "run", task.contestant, task.row]
    command += ["--seeds", str(task.seeds), "--epochs", str(task.epochs), "--device", device]
    command += ["--samples", str(task.samples)] if task.samples else []
    backend = {"KERAS_BACKEND": "jax"} if task.contestant == "jax" else {}
    done = processes.run(command, None, _hidden(device) | backend)
    return json.loads(done.output.splitlines()[-1]), done


def _stage(task: speed.Task, device: str) -> processes.Run:
    """The stage itself, in a folder of its own, so that no result of the pipeline is touched."""
    row = _row(task.row)
    budget = row.training.model_copy(update={"epochs": task.epochs})
    row = row.model_copy(update={"seeds": task.seeds, "device": device, "training": budget})
    with tempfile.TemporaryDirectory() as folder:
        for name in ("data", "conf"):
            (Path(folder) / name).symlink_to(Path(name).resolve())
        text = OmegaConf.to_yaml(OmegaConf.create(row.model_dump()))
        write_atomically(Path(folder) / ROWS / f"{task.row}.yaml", text)
        command = [sys.executable, "-m", "stages.train", task.row]
        return processes.run(command, Path(folder), _hidden(device) | {"PYTHONPATH": str(Path.cwd())})


def _hidden(device: str) -> dict[str, str]:
    return {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"} if device == "cpu" else {}


# --- one process

Program = Callable[[Splits, int], dict[str, Any]]  # samples and epochs -> what it measured


def contestant(arguments: argparse.Namespace) -> dict[str, Any]:
    """What one contestant measures of itself, by the names of `speed.Measurement`."""
    row = _row(arguments.row).model_copy(update={"seeds": arguments.seeds, "device": arguments.device})
    if arguments.contestant != "jax":
        sys.modules.setdefault("jax", None)  # type: ignore[arg-type] # TensorFlow would import it, at Keras' cost
    train = PROGRAMS[arguments.contestant](row)
    return train(speed.part(recording.load(row), arguments.samples), arguments.epochs)


def _data(row: Row) -> Program:
    return lambda samples, epochs: {"samples": len(samples["train"][0])}


def _fit(row: Row) -> Program:
    from stages.core.measure import keras_fit

    return lambda samples, epochs: _timed(keras_fit.fit(row, samples, row.seeds, epochs))


def _fit_tuned(row: Row) -> Program:
    from stages.core.measure import keras_fit

    return lambda samples, epochs: _timed(keras_fit.fit_tuned(row, samples, row.seeds, epochs))


def _jax(row: Row) -> Program:
    from stages.core.measure import jax_fit

    return lambda samples, epochs: _timed(jax_fit.train(row, samples, row.seeds, epochs))


def _timed(trained: speed.Trained) -> dict[str, Any]:
    return {"epoch_seconds": trained.epoch_seconds}


def _engine(row: Row) -> Program:
    threads = runtime.workers(row.seeds, os.cpu_count() or 1)
    device = runtime.prepare(row.device, threads, row.has_convolutions)
    from stages.core.measure import keras_fit, peers

    def train(samples: Splits, epochs: int) -> dict[str, Any]:
        seconds, recorded = keras_fit.engine_seconds(row, samples, epochs, device, threads)
        monitored = len(samples[row.split.monitor][0]) * recorded
        products = peers.products(row)
        return {
            "epoch_seconds": seconds,
            "operations": speed.operations(products, len(samples["train"][0]), monitored),
            "matrix_rate": matrix_rate(),
        }

    return train


PROGRAMS = {"data": _data, "engine": _engine, "fit": _fit, "fit_tuned": _fit_tuned, "jax": _jax}


def matrix_rate() -> float:
    """Operations a second in NumPy's products of two float32 matrices, on all cores."""
    matrix, seconds = np.random.default_rng(0).random((MATRIX, MATRIX), np.float32), []
    for _ in range(PRODUCTS):
        begun = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - begun)
    return 2 * MATRIX**3 / statistics.median(seconds)
