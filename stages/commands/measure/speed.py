"""How fast the engine is next to Keras and JAX: results/speed.md and .csv.

    regbench speed [--rounds N] [--device gpu]
        Every model, each on a part of its budget.
    regbench speed --only STUDY[/ROW] [--seeds S] [--epochs E] [--rounds N] [--device gpu]
        One row, the stage and `model.fit` in full (or for S seeds and E epochs); writes results/speed_<study>.*.
    regbench speed --scaling
        Time and memory as seeds, samples and rows grow; writes results/scaling.*.
    regbench speed run CONTESTANT STUDY/ROW --seeds S --epochs E [--samples N] [--device gpu]
        One process; its last line is what it measured, as JSON.

With --device gpu the sameness with Keras is checked on the GPU first, and the files are speed_gpu.* and so on.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from stages.core.base.errors import UserError
from stages.core.base.files import write_atomically
from stages.core.config.row import Row, load_row
from stages.core.config.yaml import read_yaml
from stages.core.data import splits, store
from stages.core.data.splits import Splits
from stages.core.measure import scaling, speed
from stages.core.training import programs, runtime

ROWS, DATA, CONF, RESULTS = Path("build/rows"), Path("data"), Path("conf"), Path("results")
ROUNDS, ROUNDS_IN_FULL = 3, 1
SAME = 1e-4  # as tests/test_sameness.py reckons it
SAME_BATCHES = 5.5
MATRIX, PRODUCTS = 2048, 8
WITHOUT_JAX = (
    "(c) is missing: it needs JAX (the extra `speed`; on a GPU with its CUDA plugin) and a net of dense layers"
)
PACKAGES = ("tensorflow", "keras", "numpy", "jax")


def main() -> None:
    if sys.argv[1:2] == ["run"]:
        print(json.dumps(contestant(_run_arguments(sys.argv[2:]))))
        return
    arguments = _arguments(sys.argv[1:])
    if arguments.scaling:
        scale()
    else:
        compare(arguments)


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="regbench speed")
    parser.add_argument("--only", metavar="STUDY[/ROW]")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--scaling", action="store_true")
    arguments = parser.parse_args(words)
    if arguments.scaling and len(words) > 1:
        raise UserError("--scaling goes with nothing else")
    if (arguments.seeds or arguments.epochs) and not arguments.only:
        raise UserError("--seeds and --epochs go with --only")
    if min(arguments.seeds or 1, arguments.rounds or 1) < 1 or (arguments.epochs or 2) < 2:
        raise UserError("--seeds and --rounds are at least 1, --epochs at least 2 (the first one is not timed)")
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
    plans = [_plan(arguments.only)] if arguments.only else list(speed.PLANS)
    rounds = arguments.rounds or (ROUNDS_IN_FULL if arguments.only else ROUNDS)
    budgets, measurements = {}, []
    for plan in plans:
        row = _row(plan.row)
        _say(f"{plan.row}: data")
        samples = _answer("data", plan.row, arguments.device)["samples"]
        budgets[plan.row] = speed.Budget(arguments.seeds or row.seeds, arguments.epochs or row.training.epochs, samples)
        if arguments.device == "gpu":
            _check_sameness(row, plan.row)
        rivals = [name for name in speed.RIVALS if name != "jax" or _jax_can(row, arguments.device)]
        for turn in range(rounds):
            tasks = speed.tasks(plan, row.seeds, rivals)
            if arguments.only:
                tasks = speed.whole_tasks(plan, *budgets[plan.row][:2], rivals)
            for task in tasks:
                _say(f"{plan.row}: round {turn + 1} of {rounds}, {task.contestant}")
                measurements.append(_measure(task, turn, samples, arguments.device))
    lines = speed.summarize(measurements, budgets)
    machine = _machine(arguments.device)
    notes = [f"command: `{' '.join(['regbench speed', *sys.argv[1:]])}`"]
    if not any(one.contestant == "jax" for one in measurements):
        notes.append(WITHOUT_JAX)
    text = speed.to_markdown(lines, measurements, budgets, machine, notes)
    name = "_".join(["speed", *([plans[0].row.split("/")[0]] if arguments.only else [])])
    name += "_gpu" if arguments.device == "gpu" else ""
    write_atomically(RESULTS / f"{name}.csv", speed.to_csv(lines, machine))
    write_atomically(RESULTS / f"{name}.md", text)
    print(text)


def scale() -> None:
    """Measure how time and memory grow, and write the report and its figure."""
    row = speed.PLANS[0].row
    total = _answer("data", row, "cpu")["samples"]

    def engine(seeds: int, samples: int) -> tuple[float, int]:
        _say(f"{seeds} seeds, {samples} samples")
        one = _measure(speed.Task("engine", row, seeds, scaling.EPOCHS, samples), 0, total, "cpu")
        return one.epoch_seconds * seeds, one.peak_bytes

    measured = {
        "seeds": [scaling.Point(n, *engine(n, scaling.SEEDS_SAMPLES)) for n in scaling.SEEDS],
        "samples": [scaling.Point(n, *engine(scaling.SAMPLES_SEEDS, n)) for n in scaling.SAMPLES if n <= total],
        "rows": [scaling.Point(n, *_compose(n)) for n in scaling.ROWS],
    }
    from stages.core.figures import (
        draw as figures,  # a process begins with the peak memory of its parent, which so stays small
    )

    text = scaling.to_markdown(measured, _machine("cpu"), row)
    write_atomically(RESULTS / "scaling.csv", scaling.to_csv(measured))
    write_atomically(RESULTS / "scaling.svg", figures.to_svg(scaling.draw(measured), "scaling"))
    write_atomically(RESULTS / "scaling.md", text)
    print(text)


def _compose(rows: int) -> tuple[float, int]:
    """Seconds and peak memory of `compose` with one study of so many rows, in a folder of its own."""
    _say(f"{rows} rows")
    root, study = Path.cwd(), "digits_comparison"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in ("stages", "requirements.lock", "dvc.yaml"):
            (folder / name).symlink_to(root / name)
        shutil.copytree(root / CONF, folder / CONF)
        text = read_yaml(CONF / "study" / f"{study}.yaml")
        names = [text["baseline"], *(f"row_{i}" for i in range(1, rows))]
        text["rows"] = {
            f"{study}/{name}": {"label": name, "overrides": [f"kernel.l2={i}e-6"]} for i, name in enumerate(names)
        }
        _write_yaml(folder / CONF / "study" / f"{study}.yaml", text, header="# @package _global_\n")
        params = read_yaml(Path("params.yaml"))
        _write_yaml(folder / "params.yaml", params | {"studies": {study: {"dataset": "digits", "seeds": 1}}})
        command = [sys.executable, "-m", "stages.compose"]
        _, seconds, peak = _process(command, "cpu", folder, {"PYTHONPATH": str(root)}, answers=False)
    return seconds, peak


def _write_yaml(path: Path, data: dict[str, Any], header: str = "") -> None:
    write_atomically(path, header + OmegaConf.to_yaml(OmegaConf.create(data)))


def _plan(only: str) -> speed.Plan:
    study, _, row = only.partition("/")
    for plan in speed.PLANS:
        if plan.row.startswith(f"{study}/"):
            return replace(plan, row=f"{study}/{row}") if row else plan
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
    return all(layer.type in {"flatten", "dense", "dropout"} for layer in row.layers)


def _check_sameness(row: Row, key: str) -> None:
    _say(f"{key}: sameness")
    n = int(SAME_BATCHES * row.training.batch_size)
    found = _answer("sameness", key, "gpu", "--samples", str(n))["difference"]
    if not found < SAME:  # NaN is no sameness
        raise UserError(f"{key}: on this GPU weights differ from Keras' by {found:.1e}, more than {SAME:.0e}")


def _answer(name: str, key: str, device: str, *options: str) -> dict[str, Any]:
    """What `run` prints in a process of its own."""
    return _process(_run_command(name, key, device, *options), device)[0]


def _run_command(name: str, key: str, device: str, *options: str) -> list[str]:
    return [sys.executable, "-m", "stages.commands.cli", "speed", "run", name, key, "--device", device, *options]


def _measure(task: speed.Task, turn: int, samples: int, device: str) -> speed.Measurement:
    if task.contestant in speed.STAGES:
        answer, seconds, peak = _stage(task, device)
    else:
        options = ["--seeds", str(task.seeds), "--epochs", str(task.epochs)]
        if task.samples:
            options += ["--samples", str(task.samples)]
        answer, seconds, peak = _process(_run_command(task.contestant, task.row, device, *options), device)
    return speed.Measurement(
        round=turn,
        contestant=task.contestant,
        row=task.row,
        seeds=task.seeds,
        epochs=task.epochs,
        samples=task.samples or samples,
        process_seconds=seconds,
        peak_bytes=peak,
        **answer,
    )


def _stage(task: speed.Task, device: str) -> tuple[dict[str, Any], float, int]:
    """The stage itself, in a folder of its own, so that no result of the pipeline is touched; only the first time
    without the compiled programs."""
    root = Path.cwd()
    compiled = root / "build/speed"
    if task.contestant == "stage":
        shutil.rmtree(compiled, ignore_errors=True)
    compiled.mkdir(parents=True, exist_ok=True)
    row = _row(task.row)
    budget = row.training.model_copy(update={"epochs": task.epochs})
    row = row.model_copy(update={"seeds": task.seeds, "device": device, "training": budget})
    with tempfile.TemporaryDirectory() as folder:
        for name in (DATA, CONF):
            (Path(folder) / name).symlink_to(root / name)
        (Path(folder) / programs.ARCHIVES).parent.mkdir()
        (Path(folder) / programs.ARCHIVES).symlink_to(compiled)
        _write_yaml(Path(folder) / ROWS / f"{task.row}.yaml", row.model_dump())
        command = [sys.executable, "-m", "stages.train", task.row]
        _, seconds, peak = _process(command, device, Path(folder), {"PYTHONPATH": str(root)}, answers=False)
    return {}, seconds, peak


def _process(
    command: list[str],
    device: str,
    folder: Path | None = None,
    environment: dict[str, str] | None = None,
    answers: bool = True,
) -> tuple[dict[str, Any], float, int]:
    """Run a command: the JSON of its last line, its seconds, and its peak memory in bytes."""
    hidden = {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"} if device == "cpu" else {}
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **hidden, **(environment or {})}, stdout=output, stderr=errors
        )
        _, status, usage = os.wait4(process.pid, 0)  # of all ways to wait, the one that tells this process's memory
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            last = errors.read().decode(errors="replace").strip().splitlines()[-1:]
            raise UserError(f"`{' '.join(command[1:])}` failed: {''.join(last) or process.returncode}")
        answer = json.loads(output.read().decode().splitlines()[-1]) if answers else {}
    return answer, seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _machine(device: str) -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    machine = {"processor": _processor(), "cores": str(os.cpu_count()), "system": platform.system()}
    machine["versions"] = ", ".join(f"{name} {number}" for name, number in versions.items())
    return machine | ({"gpu": _gpu()} if device == "gpu" else {})


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _gpu() -> str:
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown (no nvidia-smi)"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# --- one process


def contestant(arguments: argparse.Namespace) -> dict[str, Any]:
    """What one contestant measures of itself, by the names of `benchmark.Measurement`."""
    row = _row(arguments.row).model_copy(update={"seeds": arguments.seeds, "device": arguments.device})
    if arguments.contestant != "jax":
        sys.modules.setdefault("jax", None)  # TensorFlow imports it if it is there, a cost that is not Keras'
    begun = time.perf_counter()
    train = PROGRAMS[arguments.contestant](row)
    imported = time.perf_counter()
    mirror = os.environ.get("REGBENCH_MIRROR")
    arrays = store.load(store.published(row.dataset.name), DATA, Path(mirror) if mirror else None, sys.stderr.isatty())
    samples = speed.part(splits.split(arrays, row.split), arguments.samples)
    loaded = time.perf_counter()
    parts = {"import_seconds": imported - begun, "data_seconds": loaded - imported}
    return train(samples, arguments.epochs) | (parts if arguments.contestant == "engine" else {})


Program = Callable[[Splits, int], dict[str, Any]]  # samples and epochs


def _data(row: Row) -> Program:
    return lambda samples, epochs: {"samples": len(samples["train"][0])}


def _sameness(row: Row) -> Program:
    device = runtime.prepare(row.device, 1, row.has_convolutions)
    from stages.core.measure import keras_fit

    return lambda samples, epochs: {"difference": keras_fit.difference(row, samples, device)}


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
    from stages.core.training import engine as training

    def train(samples: Splits, epochs: int) -> dict[str, Any]:
        begun = time.perf_counter()
        engine = training.Engine(row, samples, device, lanes=row.seeds if device == "gpu" else 1)
        groups = [
            [training.Progress(seed, engine.start(seed)) for seed in range(first, min(first + engine.lanes, row.seeds))]
            for first in range(0, row.seeds, engine.lanes)
        ]
        engine.advance([training.Progress(one.seed, one.state) for one in groups[0]])  # compiles; its result is dropped
        compiled = time.perf_counter()

        def advance(group: list[training.Progress]) -> None:
            while group[0].epoch < epochs:
                engine.advance(group)

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(advance, groups))
        seconds = time.perf_counter() - compiled
        trained = groups[0][0]
        monitored = len(samples[row.split.monitor][0]) * len(trained.curve["epoch"]) / trained.epoch
        return {
            "epoch_seconds": seconds / (row.seeds * trained.epoch),
            "operations": speed.operations(row, len(samples["train"][0]), monitored),
            "matrix_rate": _matrix_rate(device),
            "compile_seconds": compiled - begun,
        }

    return train


PROGRAMS = {
    "data": _data, "sameness": _sameness, "engine": _engine, "fit": _fit, "fit_tuned": _fit_tuned, "jax": _jax,
}  # fmt: skip


def _matrix_rate(device: str) -> float:
    """Operations a second in products of two float32 matrices: numpy's on all cores, or TensorFlow's on the GPU."""
    matrix = np.random.default_rng(0).random((MATRIX, MATRIX), np.float32)
    multiply = partial(np.matmul, matrix, matrix)
    if device == "gpu":
        from stages.core.measure import keras_fit

        multiply = keras_fit.squarer(matrix)
    seconds = []
    for _ in range(PRODUCTS):
        begun = time.perf_counter()
        multiply()
        seconds.append(time.perf_counter() - begun)
    return 2 * MATRIX**3 / statistics.median(seconds)
