"""Stage train: build/rows/<study>/<row>.yaml -> results/runs/<study>/<row>.json, all seeds of one row.

    python -m stages.train <study>/<row>

A long row leaves a checkpoint now and then under build/checkpoints/; the next run of the same row goes on from there,
with the same bits as if it had not been interrupted.
"""

import hashlib
import os
import shutil
import sys
import time
from importlib.metadata import version
from pathlib import Path

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
    mirror = os.environ.get("REGBENCH_MIRROR")
    threads = runtime.workers(row.seeds, os.cpu_count() or 1)
    device = runtime.prepare(row.device, threads, row.has_convolutions)
    from stages.core import checkpoints, training  # only now: TensorFlow is set up before it is used

    arrays = datastore.load(row.dataset, Path("data"), Path(mirror) if mirror else None, sys.stderr.isatty())
    samples = preprocessing.split(arrays, row.split)
    engine = training.Engine(row, samples, device, lanes=row.seeds if device == "gpu" else 1)
    folder = Path("build/checkpoints") / key / hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    saved = {seed: time.monotonic() for seed in range(row.seeds)}
    with progress.bar(key, row.seeds * row.training.epochs) as bar:

        def after_chunk(done: training.Progress) -> None:
            bar(done.seed, done.epoch, f"seed {done.seed}")
            if time.monotonic() - saved[done.seed] > CHECKPOINT_SECONDS:
                write_atomically(folder / f"{done.seed}.npz", checkpoints.to_bytes(done))
                saved[done.seed] = time.monotonic()

        resumed = {
            seed: checkpoints.from_bytes(file.read_bytes(), engine.start(seed))
            for seed in range(row.seeds)
            if (file := folder / f"{seed}.npz").is_file()
        }
        seeds = list(training.train(engine, row.seeds, threads, resumed, after_chunk))
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


if __name__ == "__main__":
    run(main)
