"""What runs on a Dask worker: a copy of the training code in a folder of its own, and one row at a time in it.

This module is sent to the workers by value: they need Dask and the packages that train, but neither this project nor a
shared file system.
"""

from __future__ import annotations

import contextlib
import io
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from distributed import WorkerPlugin

from stages.core.base.cores import CORES, gpus

ROW, GPU = "row", "GPU"  # Dask resources: a worker trains one row at a time; GPUs are those that it sees
LOG_BYTES = 4000

# A row's process ends when its standard input does, that is when the worker is gone for whatever reason.
TRAIN = """
import os, runpy, threading
def watch():
    os.read(0, 1)
    os._exit(1)
threading.Thread(target=watch, daemon=True).start()
runpy.run_module("stages.train", run_name="__main__", alter_sys=True)
"""


class Station(WorkerPlugin):
    """Makes a Dask worker one that trains rows.

    Args:
        name: of this run among those that use the same workers.
        code: the training code as a zip file.
        versions: packages that must be the same here, so that a row means the same everywhere.
        shared: folders of the driver, by their paths in a copy of the repository: used where they can be seen.
        environment: variables for the training, folders where they can be seen.
    """

    idempotent = True  # to register it again changes nothing where it is known

    def __init__(
        self,
        name: str,
        code: bytes,
        versions: dict[str, str],
        shared: dict[str, str],
        environment: dict[str, str],
    ):
        self.name, self.code, self.versions, self.shared, self.environment = name, code, versions, shared, environment
        self.processes: set[subprocess.Popen] = set()

    async def setup(self, worker: Any) -> None:
        """Unpack the code and offer the worker's resources."""
        self.cores, self.gpus = worker.state.nthreads, gpus(os.environ)
        if str(worker.name).isdigit() and len(self.gpus) > 1:  # neighbours on one machine: a GPU each
            self.gpus = [self.gpus[int(worker.name) % len(self.gpus)]]
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir=worker.local_directory))
        with zipfile.ZipFile(io.BytesIO(self.code)) as archive:
            archive.extractall(self.folder)
        own = Path(worker.local_directory).parent / "regbench-data"  # stays when the worker goes
        own.mkdir(exist_ok=True)
        for name, path in {"data": str(own), **_visible(self.shared)}.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).symlink_to(path)
        await worker.set_resources(**{ROW: 1, GPU: len(self.gpus)})

    async def teardown(self, worker: Any) -> None:
        """Stop what runs and remove the copy."""
        for process in list(self.processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def train(self, row: str, configuration: bytes) -> tuple[bytes | None, str]:
        """Train <study>/<row> as its resolved configuration says; gives its record's bytes, or None and the log."""
        for package, wanted in self.versions.items():
            if _version(package) != wanted:
                return None, f"{platform.node()} has {package} {_version(package)}, but {wanted} is needed"
        path = self.folder / "build/rows" / f"{row}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(configuration)
        environment = {**os.environ, CORES: str(self.cores), **_visible(self.environment)}
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(self.gpus)
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(
                [sys.executable, "-c", TRAIN, row],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self.processes.add(process)
            code = process.wait()
            self.processes.discard(process)
            assert process.stdin is not None
            process.stdin.close()
            log.seek(max(0, log.seek(0, io.SEEK_END) - LOG_BYTES))
            output = log.read().decode(errors="replace")
        if code:
            return None, f"exit code {code} on {platform.node()}\n{output}"
        return (self.folder / "results/runs" / f"{row}.json").read_bytes(), ""


def _visible(folders: dict[str, str]) -> dict[str, str]:
    return {name: folder for name, folder in folders.items() if Path(folder).is_dir()}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
