"""Stale rows side by side: each goes to a place that is free and comes back as its record or the log of its failure."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from stages.core.base.files import write_atomically
from stages.core.running import dvc
from stages.core.running.board import Board, State, shown

TICK = 0.1  # seconds
ANSWER = 10  # seconds that a result may take from its place


class Outcome(NamedTuple):
    """The bytes of a row's record, or the log of its failure; neither where the connection was lost."""

    record: bytes | None
    log: str


class Fleet(Protocol):
    """Places where rows train: those of this machine or the workers of a cluster."""

    def look(self) -> tuple[int, Mapping[str, str]]:
        """How many rows can run at once just now, and by row where it runs, as far as that is known.

        Raises:
            UserError: they are gone for good, or cannot train these rows.
        """

    def submit(self, row: str, failures: int) -> Any:
        """Have a row trained that has failed so often; gives a future of an `Outcome`: `done()`, `result(timeout=)`."""

    def take(self, records: Mapping[str, bytes]) -> Mapping[str, str]:
        """Make records, by row, results of this folder; gives those that are refused, with the reason."""

    def close(self) -> None:
        """Stop what still runs."""


def run(stages: Mapping[str, str], fleet: AbstractContextManager[Fleet], retries: int) -> None:
    """Train the rows and bring the rest up to date.

    Args:
        stages: the rows, with DVC's names for their stages.
        fleet: gives the places.
        retries: how often a row is tried again after it has failed; a lost connection is no failure.

    Raises:
        UserError: not everything is up to date now.
    """
    failed: Mapping[str, str] = {}
    stopped = False
    if stages:
        with fleet as places, dvc.interruptible() as interrupted, shown(stages) as board:
            try:
                failed = fan_out(places, board, retries, interrupted)
            finally:
                places.close()
            stopped = interrupted()
    for row, log in failed.items():
        write_atomically(dvc.log_of(row), log)
    dvc.conclude(len(stages), {row: dvc.last_lines(log) for row, log in failed.items()}, stopped)


def fan_out(fleet: Fleet, board: Board, retries: int, interrupted: Callable[[], bool]) -> dict[str, str]:
    """Train all queued rows of the board, which is told what becomes of them; gives the logs of those that failed."""
    queue = deque(board.keys(State.QUEUED))
    failures: dict[str, list[str]] = {row: [] for row in queue}
    running: dict[str, Any] = {}
    while (queue or running) and not interrupted():
        time.sleep(TICK)
        room, where = fleet.look()
        for row in running.keys() & where.keys():
            board.place(row, where[row])
        ended = {row: end for row, future in running.items() if (end := outcome(future))}
        for row in ended:
            del running[row]
        while queue and len(running) < room:
            row = queue.popleft()
            running[row] = fleet.submit(row, len(failures[row]))
            board.start(row, "", time.monotonic())
        refused = fleet.take({row: end.record for row, end in ended.items() if end.record is not None})
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


def outcome(future: Any) -> Outcome | None:
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


def record_of(row: str) -> Path:
    """Where the record of <study>/<row> lies."""
    return Path("results/runs") / f"{row}.json"
