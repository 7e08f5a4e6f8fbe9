"""Processes that train trials, one a core: what hangs is ended, what dies gives an answer."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import multiprocessing
import os
import pickle
import tempfile
import time
from collections import deque
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.connection import wait
from pathlib import Path
from types import TracebackType
from typing import Any

from stages.core.why.trial import Case, Outcome, Trial

GRACE = 8.0
"""Seconds that a worker may take beyond a trial's end before it is ended."""

PATIENCE = 6.0
"""How much longer than its seconds of work a trial may take on a busy machine."""


def load_tensorflow_once(context: Any) -> None:
    """Start the process that workers are forked from: it has loaded TensorFlow and run nothing with it.

    What TensorFlow writes to stderr while it loads, which no setting silences, goes nowhere.
    """
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow")
    context.set_forkserver_preload(["stages.core.why.trainer"])
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        forkserver.ensure_running()
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


def _always() -> bool:
    return True


class Workers:
    """Trains trials side by side; a context manager.

    Args:
        cores: processes.
        deadline: `time.monotonic()` after which nothing trains any more.
    """

    def __init__(self, case: Case, cores: int, deadline: float):
        self.deadline = deadline
        self.folder = tempfile.TemporaryDirectory(prefix="regbench-why-")
        self.case = Path(self.folder.name) / "case.pickle"
        self.case.write_bytes(pickle.dumps(case, protocol=5))
        self.context = multiprocessing.get_context("forkserver")
        load_tensorflow_once(self.context)
        self.members = [self._start() for _ in range(cores)]
        self.seconds = 0.0  # of work, in all processes
        self.ready: set[int] = set()  # workers that have loaded TensorFlow

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        for process, pipe in self.members:
            process.kill()
            process.join()
            pipe.close()
        self.folder.cleanup()

    def _start(self) -> tuple[Any, Any]:
        here, there = self.context.Pipe()
        process = self.context.Process(target=serve, args=(self.case, there), daemon=True)
        process.start()
        there.close()
        return process, here

    def run(self, trials: list[Trial], go_on: Callable[[], bool] = _always) -> list[Outcome | None]:
        """The outcome of every trial, in their order; None for one that was not begun.

        No more are begun when `go_on` says so, or the deadline comes. A trial whose process dies is lost.
        """
        waiting = deque(enumerate(trials))
        outcomes: list[Outcome | None] = [None] * len(trials)
        busy: dict[int, tuple[int, float]] = {}  # trial's place and time limit, by worker

        def finish(worker: int, outcome: Outcome) -> None:
            place, _ = busy.pop(worker)
            outcomes[place] = outcome

        def more() -> bool:
            return bool(waiting) and time.monotonic() < self.deadline - 1 and go_on()

        while more() or busy:
            for worker in self.ready - busy.keys():
                if more():
                    place, trial = waiting.popleft()
                    until = min(time.monotonic() + PATIENCE * trial.seconds, self.deadline)
                    with contextlib.suppress(OSError):  # a worker that died is found below
                        self.members[worker][1].send((trial, until))
                    busy[worker] = place, until
            pipes = {pipe: worker for worker, (_, pipe) in enumerate(self.members)}
            for pipe in wait([p for p, w in pipes.items() if w in busy or w not in self.ready], timeout=0.5):
                worker = pipes[pipe]
                try:
                    outcome = pipe.recv()
                    self.seconds += outcome.seconds if outcome else 0.0
                except (EOFError, OSError):
                    outcome = Outcome(lost="its process ended, perhaps for lack of memory")
                    self._restart(worker)
                if worker in busy:
                    finish(worker, outcome)
                else:
                    self.ready.add(worker)
            for worker, (_, until) in list(busy.items()):
                if time.monotonic() > until + (GRACE if until < self.deadline else 0.5 * GRACE):
                    finish(worker, Outcome(lost="it took too long"))
                    self._restart(worker)
        return outcomes

    def _restart(self, worker: int) -> None:
        process, pipe = self.members[worker]
        process.kill()
        process.join()
        pipe.close()
        self.members[worker] = self._start()
        self.ready.discard(worker)


def serve(case: Path, pipe: Any) -> None:
    """What a worker does: train each trial that comes, until the pipe closes."""
    import logging
    import signal
    import warnings

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    from stages.core.training import runtime

    runtime.prepare("cpu", 1, convolutions=True)
    warnings.simplefilter("ignore")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    from stages.core.why import trainer

    start: Case = pickle.loads(case.read_bytes())
    with contextlib.suppress(EOFError, OSError):  # the parent is gone, or has enough
        pipe.send(None)
        while True:
            trial, until = pipe.recv()
            pipe.send(trainer.outcome(start, trial, until))
            give_back_memory()


def give_back_memory() -> None:
    """What a trial no longer needs goes back to the system, where the C library keeps it and can be asked to."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
