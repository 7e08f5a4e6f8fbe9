"""Rows over a Dask cluster: each goes to a worker that is free, comes back as the bytes of its record, and goes out
again when its worker, or the connection, is lost."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
import zipfile
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import cloudpickle
from distributed import Client, Future, get_worker

from stages.core.base import cores
from stages.core.base.errors import UserError
from stages.core.running import worker as stations
from stages.core.running.board import Board, State

TICK = 0.1  # seconds
LOOK = 1.0  # seconds between questions to the scheduler
ANSWER = 10  # seconds that a result may take from its worker
PACKAGES = ("tensorflow", "keras", "numpy")
SHARED = ("data", "build/checkpoints")
FOLDERS = ("REGBENCH_MIRROR",)  # variables that name a folder
CODE = ("stages", "conf")

Take = Callable[[Mapping[str, bytes]], Mapping[str, str]]
"""What becomes of records, by row: gives the rows that are refused, with the reason."""


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


class Outcome(NamedTuple):
    """The bytes of a row's record, or the log of its failure; neither where the connection was lost."""

    record: bytes | None
    log: str


class Fleet:
    """The workers of a cluster, made ready to train rows.

    Args:
        client: a client of the cluster.
        code: what `snapshot` gave.
    """

    def __init__(self, client: Client, code: bytes):
        self.client, self.name = client, f"regbench-{uuid.uuid4().hex[:8]}"
        for path in SHARED:
            Path(path).mkdir(parents=True, exist_ok=True)
        for module in (cores, stations):  # which need not be installed on the workers
            cloudpickle.register_pickle_by_value(module)
        shared = {path: str(Path(path).resolve()) for path in SHARED}
        folders = {name: str(Path(os.environ[name]).resolve()) for name in FOLDERS if name in os.environ}
        versions = {name: version(name) for name in PACKAGES}
        self.station = stations.Station(self.name, code, versions, shared, folders)
        self.scheduler = ""  # the one that has been told of the station, and makes every worker one that comes to it

    def close(self) -> None:
        """Stop what still runs and remove the copies of the code."""
        with suppress(Exception):  # of workers that are just closing, which does the same
            self.client.unregister_worker_plugin(self.name)

    def submit(self, row: str, configuration: bytes, gpu: bool, run: int) -> Future:
        """Have a row trained; the future's result is the bytes of its record."""
        return self.client.submit(
            lambda name, row, configuration: get_worker().plugins[name].train(row, configuration),
            self.name,
            row,
            configuration,
            key=f"{self.name}-{row}-{run}",
            resources={stations.ROW: 1} | ({stations.GPU: 1} if gpu else {}),
            pure=False,
        )

    def room(self, gpu: bool) -> int:
        """How many rows the workers can train at once; workers that come get ready for it meanwhile.

        Raises:
            UserError: there are workers, a GPU is needed, and none of them has one.
        """
        scheduler = self.client.scheduler_info(n_workers=-1)
        if scheduler["id"] != self.scheduler:
            self.client.register_plugin(self.station)
            self.scheduler = scheduler["id"]
        offers = [worker["resources"] for worker in scheduler["workers"].values()]
        ready = [offer for offer in offers if offer.get(stations.ROW)]
        able = [offer for offer in ready if not gpu or offer.get(stations.GPU)]
        if ready and not able:
            raise UserError(f"device: gpu is asked for, but none of the {len(ready)} workers sees one")
        return len(able)

    def places(self) -> dict[str, str]:
        """Address of the worker that has a task, by the task's key."""
        processing = self.client.processing().items()
        return {key: address.rpartition("//")[2] for address, keys in processing for key in keys}


def fan_out(
    fleet: Fleet,
    board: Board,
    configurations: Mapping[str, bytes],
    gpu: bool,
    retries: int,
    take: Take,
    interrupted: Callable[[], bool],
) -> dict[str, str]:
    """Train all queued rows of the board; gives the logs of those that failed.

    Args:
        fleet: the workers.
        board: says which rows, and is told what becomes of them.
        configurations: each row's resolved configuration.
        gpu: rows need a GPU.
        retries: how often a row is tried again after it has failed; a lost connection is no failure.
        take: given the records as they come.
        interrupted: the user has had enough.

    Raises:
        UserError: the cluster is gone, or cannot train these rows.
    """
    queue = deque(board.keys(State.QUEUED))
    failures: dict[str, list[str]] = {row: [] for row in queue}
    running: dict[str, Future] = {}
    room, looked = 0, 0.0
    while (queue or running) and not interrupted():
        time.sleep(TICK)
        if fleet.client.status == "closed":
            raise UserError("the connection to the cluster is lost; finished rows are kept, the same command goes on")
        if fleet.client.status == "running" and time.monotonic() - looked > LOOK:
            room, looked = look(fleet, board, running, gpu, room), time.monotonic()
        ended = {row: end for row, future in running.items() if (end := outcome(future))}
        for row in ended:
            del running[row]
        while queue and len(running) < room and fleet.client.status == "running":
            row = queue.popleft()
            running[row] = fleet.submit(row, configurations[row], gpu, len(failures[row]))
            board.start(row, "", time.monotonic())
        refused = take({row: end.record for row, end in ended.items() if end.record is not None})
        for row, end in ended.items():
            problem = refused.get(row, end.log)
            if end.record is not None and not problem:
                board.done(row, time.monotonic())
                continue
            failures[row] += [problem] if problem else []
            if len(failures[row]) > retries:
                board.fail(row, last_line(problem), time.monotonic())
            else:
                board.requeue(row, last_line(problem) or "the connection was lost", time.monotonic())
                queue.append(row)
    return {row: failures[row][-1] for row in board.keys(State.FAILED)}


def look(fleet: Fleet, board: Board, running: Mapping[str, Future], gpu: bool, room: int) -> int:
    """Enter where rows run; gives how many can run at once, or `room` while the scheduler does not answer."""
    try:
        room, places = fleet.room(gpu), fleet.places()
    except OSError:  # the connection comes back or is given up by the client
        return room
    for row, future in running.items():
        if future.key in places:
            board.place(row, places[future.key])
    return room


def outcome(future: Future) -> Outcome | None:
    """What became of a row; None while it is on its way."""
    if not future.done():
        return None
    try:
        return Outcome(*future.result(timeout=ANSWER))
    except TimeoutError:  # its worker has gone since, and Dask has it trained anew
        return None
    except CancelledError:
        return Outcome(None, "")
    except Exception as error:  # such as that its workers have died too often
        return Outcome(None, str(error))


def last_line(text: str) -> str:
    """What a log ends with."""
    return text.strip().rpartition("\n")[2]
