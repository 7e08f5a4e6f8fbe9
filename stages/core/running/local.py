"""Rows side by side on this machine: each under a `dvc repro` of its own, with its share of the cores and a GPU."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue

from stages.core.base import cores
from stages.core.running import dvc
from stages.core.running.driver import Outcome, record_of

TICK = 0.1  # seconds
GRACE = 10  # seconds that a row has to end after Ctrl-C


class Local:
    """A fleet of places on this machine.

    Args:
        stages: the rows, with DVC's names for their stages.
        places: how many rows train at once.
        n_cores: of all places together.
        gpus: of all places together, as CUDA_VISIBLE_DEVICES names them.
    """

    def __init__(self, stages: Mapping[str, str], places: int, n_cores: int, gpus: Sequence[str]):
        self.stages, self.places, self.n_cores, self.waiting = stages, places, n_cores, len(stages)
        self.pool = ThreadPoolExecutor(places)
        self.processes: dict[str, subprocess.Popen] = {}
        self.gpus: SimpleQueue[str] = SimpleQueue()  # those that are free; a row takes one where there are several
        for place in range(places if len(gpus) > 1 else 0):
            self.gpus.put(gpus[place % len(gpus)])
        self.one_each = len(gpus) > 1

    def close(self) -> None:
        """End what runs and all that it has started: as Ctrl-C would, and by force what is left after a while."""
        self.pool.shutdown(wait=False, cancel_futures=True)
        for number in (signal.SIGINT, signal.SIGKILL):
            for process in self.processes.values():
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
            deadline = time.monotonic() + GRACE
            while any(process.poll() is None for process in self.processes.values()) and time.monotonic() < deadline:
                time.sleep(TICK)
        self.pool.shutdown()

    def look(self) -> tuple[int, Mapping[str, str]]:
        return self.places, {}

    def submit(self, row: str, failures: int) -> Future[Outcome]:
        self.waiting -= 1
        return self.pool.submit(self._train, row, cores.share(self.n_cores, self.places, self.waiting))

    def take(self, records: Mapping[str, bytes]) -> Mapping[str, str]:
        return {}  # DVC has them already

    def _train(self, row: str, share: int) -> Outcome:
        environment = {cores.CORES: str(share)}
        if self.one_each:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus.get()
        log = dvc.log_of(row)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self.processes[row] = process = subprocess.Popen(
                [*dvc.DVC, "--wait-for-lock", "repro", "--single-item", self.stages[row]],
                env=dvc.environment(**environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a group of its own, so that all of it can be stopped
            )
        code = process.wait()
        del self.processes[row]
        if self.one_each:
            self.gpus.put(environment["CUDA_VISIBLE_DEVICES"])
        if code:
            return Outcome(None, log.read_text(errors="replace") or f"exit code {code}")
        return Outcome(record_of(row).read_bytes(), "")
