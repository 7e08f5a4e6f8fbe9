"""The workers of a Dask cluster as a fleet: a row goes out as its resolved configuration and comes back as the bytes of
its record, and goes out again when its worker, or the connection, is lost."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from io import BytesIO
from pathlib import Path

import cloudpickle
from distributed import Client, Future, get_worker

from stages.core.base import cores
from stages.core.base.errors import UserError
from stages.core.base.files import write_atomically
from stages.core.config.dataset import Sheet
from stages.core.config.validation import validate
from stages.core.config.yaml import read_resolved
from stages.core.records import records
from stages.core.running import dvc, worker
from stages.core.running.driver import record_of

ROWS = Path("build/rows")
LOOK = 1.0  # seconds between questions to the scheduler
PACKAGES = ("tensorflow", "keras", "numpy")
SHARED = ("data", "build/checkpoints")
FOLDERS = ("REGBENCH_MIRROR",)  # variables that name a folder
CODE = ("stages", "conf", "requirements.lock")


def snapshot() -> bytes:
    """The training code as it is in this folder now, uncommitted and new files included, as a zip file.

    What Git ignores is left out. Neither the index nor a branch is touched.

    Raises:
        UserError: this is no Git repository.
    """
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *CODE]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    if listed.returncode:
        raise UserError(f"`git ls-files` failed: {' '.join(listed.stderr.split())}")
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(set(filter(None, listed.stdout.split("\0")))):
            if Path(name).is_file():  # a file that is deleted is still in the index
                archive.write(name)
    return content.getvalue()


class Workers:
    """The workers of a cluster, made ready to train rows.

    Args:
        client: a client of the cluster.
        stages: the rows, with DVC's names for their stages.
        code: what `snapshot` gave.
        gpu: rows need a GPU.
    """

    def __init__(self, client: Client, stages: Mapping[str, str], code: bytes, gpu: bool):
        self.client, self.stages, self.gpu, self.name = client, stages, gpu, f"regbench-{uuid.uuid4().hex[:8]}"
        for path in SHARED:
            Path(path).mkdir(parents=True, exist_ok=True)
        for module in (cores, worker):  # which need not be installed on the workers
            cloudpickle.register_pickle_by_value(module)
        shared = {path: str(Path(path).resolve()) for path in SHARED}
        folders = {name: str(Path(os.environ[name]).resolve()) for name in FOLDERS if name in os.environ}
        versions = {name: version(name) for name in PACKAGES}
        self.station = worker.Station(self.name, code, versions, shared, folders)
        self.scheduler = ""  # the one that has been told of the station, and makes every worker one that comes to it
        self.looked, self.seen = -LOOK, (0, dict[str, str]())

    def close(self) -> None:
        """Stop what still runs, and remove the copies of the code."""
        with suppress(Exception):  # of workers that are just closing, which does the same
            self.client.unregister_worker_plugin(self.name)

    def look(self) -> tuple[int, Mapping[str, str]]:
        """As of a moment ago; workers that come get ready meanwhile. No room while the connection is interrupted."""
        if self.client.status == "closed":
            raise UserError("the connection to the cluster is lost; finished rows are kept, the same command goes on")
        if self.client.status != "running":
            return 0, {}
        if time.monotonic() - self.looked > LOOK:
            with suppress(OSError):  # the connection comes back or is given up by the client
                self.seen = self._room(), self._places()
            self.looked = time.monotonic()
        return self.seen

    def submit(self, row: str, failures: int) -> Future:
        return self.client.submit(
            lambda name, row, configuration: get_worker().plugins[name].train(row, configuration),  # type: ignore
            self.name,
            row,
            (ROWS / f"{row}.yaml").read_bytes(),
            key=f"{self.name}-{row}-{failures}",
            resources={worker.ROW: 1} | ({worker.GPU: 1} if self.gpu else {}),
            pure=False,
        )

    def take(self, records: Mapping[str, bytes]) -> Mapping[str, str]:
        refused = {}
        for row, content in records.items():
            try:
                check(row, content)
            except UserError as error:
                refused[row] = str(error)
            else:
                write_atomically(record_of(row), content)
        if good := [self.stages[row] for row in records if row not in refused]:
            dvc.commit(good)
        return refused

    def _room(self) -> int:
        scheduler = self.client.scheduler_info(n_workers=-1)
        if scheduler["id"] != self.scheduler:
            self.client.register_plugin(self.station)
            self.scheduler = scheduler["id"]
        offers = [found["resources"] for found in scheduler["workers"].values()]
        ready = [offer for offer in offers if offer.get(worker.ROW)]
        able = [offer for offer in ready if not self.gpu or offer.get(worker.GPU)]
        if ready and not able:
            raise UserError(f"device: gpu is asked for, but none of the {len(ready)} workers sees one")
        return len(able)

    def _places(self) -> dict[str, str]:
        """Address of the worker that has a row, by row."""
        mine = f"{self.name}-"
        return {
            key.removeprefix(mine).rpartition("-")[0]: address.rpartition("//")[2]
            for address, keys in self.client.processing().items()
            for key in keys
            if key.startswith(mine)
        }


def check(row: str, content: bytes) -> None:
    """Refuse a record that is not of the row as it is configured now.

    Raises:
        UserError: it is not, or it is no record.
    """
    config = read_resolved(ROWS / f"{row}.yaml")
    path = Path("results/datasets") / f"{config['dataset']['name']}.json"
    sheet = validate(Sheet, records.load_json(path.read_bytes(), str(path)), str(path))
    where = f"the record of {row}"
    records.check(records.parse(content, where), config, sheet, where)
