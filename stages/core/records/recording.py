"""From a resolved row to its run record: data, training, and what of an earlier record of the row stays.

Nothing is imported of TensorFlow before `record` has set it up.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stages.core.base import cores
from stages.core.base.errors import UserError
from stages.core.base.files import write_atomically
from stages.core.config import code
from stages.core.config.row import Row
from stages.core.data import formats, splits, store
from stages.core.records import records
from stages.core.training import preload, programs, progress, runtime

CHECKPOINT_SECONDS = 30
PACKAGES = ("tensorflow", "keras", "numpy")


def check_code(row: Row) -> None:
    """Refuse to train, or to write, when the folder no longer has the code that `row` was composed with.

    Raises:
        UserError: the code is another, or packages are not those of requirements.lock.
    """
    sources, versions = code.read()
    if code.fingerprint(row.model_dump(), code.digests(sources, versions, code.TRAIN)) != row.fingerprint:
        raise UserError(
            f"{row.study}/{row.row} was composed with other training code than stages/ has now; nothing was written. "
            "Run `dvc repro` again, and leave stages/ as it is meanwhile"
        )
    code.check_installed(versions, PACKAGES)


def trained(row: Row, path: Path) -> bool:
    """Whether `path` is a sound record of `row` as it is configured now."""
    return [seed["seed"] for seed in finished(row, path).get("seeds", [])] == list(range(row.seeds))


def finished(row: Row, path: Path) -> dict[str, Any]:
    """The record at `path` if it is a sound one of `row`, be it with other seeds; otherwise nothing."""
    try:
        content = path.read_bytes()
        config = records.parse(content, str(path)).config
    except (OSError, UserError):
        return {}
    wanted = json.loads(records.to_text(row.model_dump()))
    return records.load_json(content, str(path)) if {**config, "seeds": row.seeds} == wanted else {}


def record(row: Row, key: str, folder: Path, earlier: Mapping[str, Any]) -> dict[str, Any]:
    """The run record of `row`. `folder`: where its checkpoints are; `earlier`: a record of it whose seeds stay."""
    runtime.isolate(os.environ)
    by_fit = row.optimizer.needs_fit
    threads = 1 if by_fit else runtime.workers(row.seeds, cores.available(os.environ))
    archive, compiled = programs.ARCHIVES / f"{programs.shape(row, threads, os.environ)}.zip", folder / "programs"
    if not cores.gpus(os.environ) and programs.take(archive, compiled):  # tried on CPUs alone
        programs.use(compiled, os.environ)
    with preload.tensorflow():
        samples = load(row)
    device = runtime.prepare(row.device, threads, row.has_convolutions or by_fit)
    kept = {seed["seed"]: seed for seed in earlier.get("seeds", []) if earlier["device"] == device}
    missing = [seed for seed in range(row.seeds) if seed not in kept]
    if kept:
        print(f"{key}: seeds {_listed(missing)} train, seeds {_listed(kept)} stay")
    trainer = engine(row, samples, device, lanes=len(missing) if device == "gpu" else 1)
    with ThreadPoolExecutor(threads) as pool:
        trainer.compile(pool)
    new = _train(trainer, key, missing, folder, threads)
    programs.keep(compiled, archive)
    seeds = kept | {seed["seed"]: seed for seed in new}
    return {
        "study": row.study,
        "row": row.row,
        "config": row.model_dump(),
        "data": {
            "dataset": row.dataset.name,
            "digest": row.dataset.digest,
            "samples": {name: len(x) for name, (x, _) in samples.items()},
            "guess": splits.guess(samples, row.dataset.classes),
        },
        "versions": {name: version(name) for name in PACKAGES},
        "device": device,
        **({"trained_by": "keras fit"} if by_fit else {}),
        "parameters": trainer.net.model.count_params(),
        "seeds": [seeds[seed] for seed in range(row.seeds)],
    }


def engine(row: Row, samples: splits.Splits, device: str, lanes: int = 1) -> Any:
    """What trains the row; TensorFlow is set up."""
    if row.optimizer.needs_fit:
        from stages.core.training import fit

        return fit.KerasFit(row, samples, device)
    from stages.core.training import engine as training

    return training.Engine(row, samples, device, lanes)


def load(row: Row) -> splits.Splits:
    """The row's samples by split; data that are not those that it was composed for are refused."""
    mirror = os.environ.get("REGBENCH_MIRROR")
    described = store.published(row.dataset.name)
    arrays = store.load(described, Path("data"), Path(mirror) if mirror else None, sys.stderr.isatty())
    if formats.digest(arrays) != row.dataset.digest:
        raise UserError(
            f"{row.dataset.name}: these are not the data that results/datasets/{row.dataset.name}.json describes; "
            "run `dvc repro`, which describes them anew"
        )
    return splits.split(formats.reshaped(arrays, row.dataset.shape), row.split)


def _listed(seeds: Iterable[int]) -> str:
    return ", ".join(map(str, seeds)) or "none"


def _train(engine: Any, key: str, seeds: list[int], folder: Path, threads: int) -> list[dict[str, Any]]:
    """Train `seeds` of the row `key`, from the checkpoints in `folder` on, and leave new ones there now and then."""
    from stages.core.training import checkpoints
    from stages.core.training import engine as training

    resumed = {}
    for seed in seeds:
        file = folder / f"{seed}.npz"
        if file.is_file():
            try:
                resumed[seed] = checkpoints.from_bytes(file.read_bytes(), engine.start(seed))
            except ValueError as error:
                print(f"regbench: {file}: {error}; seed {seed} starts anew", file=sys.stderr)
    if engine.lanes > 1 and (len(resumed) < len(seeds) or len({done.epoch for done in resumed.values()}) > 1):
        resumed = {}  # one program carries all seeds from the same epoch on
    first = {seed: seeds[i - i % engine.lanes] for i, seed in enumerate(seeds)}  # of those that one program carries
    saved = dict.fromkeys(first.values(), time.monotonic())
    due = dict.fromkeys(saved, False)
    failures: list[BaseException] = []
    with progress.bar(key, len(seeds) * engine.row.training.epochs) as bar:

        def after_chunk(done: training.Progress) -> None:
            if failures:  # without one seed there is no record: the others need not go on to their ends
                raise failures[0]
            bar(done.seed, done.epoch, f"seed {done.seed}")
            together = first[done.seed]
            if done.seed == together:  # they are saved together
                due[together] = time.monotonic() - saved[together] > CHECKPOINT_SECONDS
                saved[together] = time.monotonic() if due[together] else saved[together]
            if due[together]:
                try:
                    write_atomically(folder / f"{done.seed}.npz", checkpoints.to_bytes(done))
                except BaseException as error:
                    failures.append(error)
                    raise

        return list(training.train(engine, seeds, threads, resumed, after_chunk))
