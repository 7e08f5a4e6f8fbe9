"""Stage train: build/rows/<study>/<row>.yaml -> results/runs/<study>/<row>.json, all seeds of one row.

    python -m stages.train <study>/<row>

A long row leaves a checkpoint now and then under build/checkpoints/; the next run of the same row goes on from there,
with the same bits as if it had not been interrupted.
"""

import hashlib
import os
import shutil
import signal
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stages.core import datasets, datastore, preprocessing, progress, records, runtime
from stages.core.errors import UserError, run
from stages.core.files import write_atomically
from stages.core.schema import load_row

CHECKPOINT_SECONDS = 30


def main() -> None:
    if len(sys.argv) != 2:
        raise UserError("usage: python -m stages.train <study>/<row>")
    key = sys.argv[1]
    path = Path("build/rows") / f"{key}.yaml"
    if not path.is_file():
        raise UserError(f"{path}: no such row; `dvc repro compose` writes the rows that conf/study/ declares")
    row = load_row(path)
    if f"{row.study}/{row.row}" != key:
        raise UserError(f"{path}: is the row {row.study}/{row.row}; `dvc repro compose` writes it anew")
    mirror = os.environ.get("REGBENCH_MIRROR")
    threads = runtime.workers(row.seeds, os.cpu_count() or 1)
    device = runtime.prepare(row.device, threads, row.has_convolutions)
    from stages.core import training  # only now: TensorFlow is set up before it is used

    arrays = datastore.load(row.dataset, Path("data"), Path(mirror) if mirror else None, sys.stderr.isatty())
    samples = preprocessing.split(arrays, row.split)
    engine = training.Engine(row, samples, device, lanes=row.seeds if device == "gpu" else 1)
    folder = Path("build/checkpoints") / key / hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once; Python would first let the seeds train on
    seeds = train(engine, key, folder, threads)
    record = {
        "study": row.study,
        "row": row.row,
        "config": row.model_dump(),
        "data": {
            "dataset": row.dataset.name,
            "digest": datasets.digest(arrays),
            "samples": {name: len(x) for name, (x, _) in samples.items()},
            "guess": preprocessing.guess(samples, row.dataset.classes),
        },
        "versions": {name: version(name) for name in ("tensorflow", "keras", "numpy")},
        "device": device,
        "parameters": engine.model.count_params(),
        "seeds": seeds,
    }
    write_atomically(Path("results/runs") / f"{key}.json", records.to_json(record))
    shutil.rmtree(folder.parent, ignore_errors=True)


def train(engine: Any, key: str, folder: Path, threads: int) -> list[dict[str, Any]]:
    """Train all seeds of the row `key`, from the checkpoints in `folder` on, and leave new ones there now and then."""
    from stages.core import checkpoints, training

    n_seeds = engine.row.seeds
    resumed = {
        seed: checkpoints.from_bytes(file.read_bytes(), engine.start(seed))
        for seed in range(n_seeds)
        if (file := folder / f"{seed}.npz").is_file()
    }
    if engine.lanes > 1 and (len(resumed) < n_seeds or len({done.epoch for done in resumed.values()}) > 1):
        resumed = {}  # one program carries all seeds from the same epoch on
    saved = dict.fromkeys(range(0, n_seeds, engine.lanes), time.monotonic())
    due = dict.fromkeys(saved, False)
    with progress.bar(key, n_seeds * engine.row.training.epochs) as bar:

        def after_chunk(done: training.Progress) -> None:
            bar(done.seed, done.epoch, f"seed {done.seed}")
            first = done.seed - done.seed % engine.lanes
            if done.seed == first:  # the seeds that one program carries are saved together
                due[first] = time.monotonic() - saved[first] > CHECKPOINT_SECONDS
                saved[first] = time.monotonic() if due[first] else saved[first]
            if due[first]:
                write_atomically(folder / f"{done.seed}.npz", checkpoints.to_bytes(done))

        return list(training.train(engine, n_seeds, threads, resumed, after_chunk))


if __name__ == "__main__":
    run(main)
