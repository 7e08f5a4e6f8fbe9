"""Stage train: build/rows/<study>/<row>.yaml -> results/runs/<study>/<row>.json, all seeds of one row.

    python -m stages.train <study>/<row>

A long row leaves a checkpoint now and then under build/checkpoints/; the next run of the same row goes on from there,
with the same bits as if it had not been interrupted. Of two runs of a row at once the second waits and takes the first
one's record. DVC removes a record before it runs the stage; it is put back until the new one is complete.
"""

import hashlib
import json
import os
import shutil
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stages.core.base import locks
from stages.core.base.errors import UserError, run
from stages.core.base.files import keep, put_back, write_atomically
from stages.core.config.row import Row, load_row
from stages.core.data import formats, splits, store
from stages.core.records import records
from stages.core.running import cores
from stages.core.training import preload, programs, progress, runtime

CHECKPOINT_SECONDS = 30


def main() -> None:
    if len(sys.argv) != 2:
        raise UserError("usage: python -m stages.train <study>/<row>")
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once; Python would first let the seeds train on
    key = sys.argv[1].rpartition("@")[2]  # DVC gives the stage's name
    path = Path("build/rows") / f"{key}.yaml"
    if not path.is_file():
        raise UserError(f"{path}: no such row; `dvc repro compose` writes the rows that conf/study/ declares")
    row = load_row(path)
    if f"{row.study}/{row.row}" != key:
        raise UserError(f"{path}: is the row {row.study}/{row.row}; `dvc repro compose` writes it anew")
    record, previous = Path("results/runs") / f"{key}.json", Path("build/records") / f"{key}.json"
    checkpoints = Path("build/checkpoints") / key
    with locks.held(f"train {key}") as waited:
        if waited and trained(row, record):
            print(f"{record}: trained by the other process")
            return
        put_back(record, previous)
        version_of_row = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        write_atomically(record, records.to_json(train_row(row, key, checkpoints / version_of_row)))
        keep(record, previous)
        shutil.rmtree(checkpoints, ignore_errors=True)


def trained(row: Row, path: Path) -> bool:
    """Whether `path` is a sound record of `row` as it is configured now."""
    try:
        return records.parse(path.read_bytes(), str(path)).config == json.loads(records.to_text(row.model_dump()))
    except (OSError, UserError):
        return False


def train_row(row: Row, key: str, folder: Path) -> dict[str, Any]:
    """The run record of `row`; `folder`: where its checkpoints are."""
    mirror = os.environ.get("REGBENCH_MIRROR")
    threads = runtime.workers(row.seeds, cores.available(os.environ))
    archive, compiled = programs.ARCHIVES / f"{programs.shape(row, threads, os.environ)}.zip", folder / "programs"
    if not cores.gpus(os.environ) and programs.take(archive, compiled):  # tried on CPUs alone
        programs.use(compiled, os.environ)
    with preload.tensorflow():
        arrays = store.load(row.dataset, Path("data"), Path(mirror) if mirror else None, sys.stderr.isatty())
    device = runtime.prepare(row.device, threads, row.has_convolutions)
    from stages.core.training import engine as training  # only now: TensorFlow is set up before it is used

    samples = splits.split(arrays, row.split)
    engine = training.Engine(row, samples, device, lanes=row.seeds if device == "gpu" else 1)
    with ThreadPoolExecutor(threads) as pool:
        engine.compile(pool)
    with locks.turn(cores.turns(os.environ)):
        seeds = train(engine, key, folder, threads)
    programs.keep(compiled, archive)
    return {
        "study": row.study,
        "row": row.row,
        "config": row.model_dump(),
        "data": {
            "dataset": row.dataset.name,
            "digest": formats.digest(arrays),
            "samples": {name: len(x) for name, (x, _) in samples.items()},
            "guess": splits.guess(samples, row.dataset.classes),
        },
        "versions": {name: version(name) for name in ("tensorflow", "keras", "numpy")},
        "device": device,
        "parameters": engine.model.count_params(),
        "seeds": seeds,
    }


def train(engine: Any, key: str, folder: Path, threads: int) -> list[dict[str, Any]]:
    """Train all seeds of the row `key`, from the checkpoints in `folder` on, and leave new ones there now and then."""
    from stages.core.training import checkpoints
    from stages.core.training import engine as training

    n_seeds = engine.row.seeds
    resumed = {}
    for seed in range(n_seeds):
        file = folder / f"{seed}.npz"
        if file.is_file():
            try:
                resumed[seed] = checkpoints.from_bytes(file.read_bytes(), engine.start(seed))
            except ValueError as error:
                print(f"regbench: {file}: {error}; seed {seed} starts anew", file=sys.stderr)
    if engine.lanes > 1 and (len(resumed) < n_seeds or len({done.epoch for done in resumed.values()}) > 1):
        resumed = {}  # one program carries all seeds from the same epoch on
    saved = dict.fromkeys(range(0, n_seeds, engine.lanes), time.monotonic())
    due = dict.fromkeys(saved, False)
    failures: list[BaseException] = []
    with progress.bar(key, n_seeds * engine.row.training.epochs) as bar:

        def after_chunk(done: training.Progress) -> None:
            if failures:  # without one seed there is no record: the others need not go on to their ends
                raise failures[0]
            bar(done.seed, done.epoch, f"seed {done.seed}")
            first = done.seed - done.seed % engine.lanes
            if done.seed == first:  # the seeds that one program carries are saved together
                due[first] = time.monotonic() - saved[first] > CHECKPOINT_SECONDS
                saved[first] = time.monotonic() if due[first] else saved[first]
            if due[first]:
                try:
                    write_atomically(folder / f"{done.seed}.npz", checkpoints.to_bytes(done))
                except BaseException as error:
                    failures.append(error)
                    raise

        return list(training.train(engine, n_seeds, threads, resumed, after_chunk))


if __name__ == "__main__":
    run(main)
    sys.stdout.flush()
    os._exit(0)  # all is written; to take TensorFlow apart, module by module, takes Python half a second
