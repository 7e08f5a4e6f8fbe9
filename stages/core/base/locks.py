"""One process at a time for one piece of work in this folder: the next waits and says so.

DVC keeps two of its own runs apart, but a stage whose DVC was killed goes on without it and would meet the next run.
"""

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LOCKS = Path("build/locks")
TICK = 0.05  # seconds


@contextmanager
def held(work: str) -> Iterator[bool]:
    """Hold `work` (such as "train digits_comparison/none"), and give whether another process had it before.

    The operating system frees what a process held when it dies.
    """
    from filelock import FileLock, Timeout

    LOCKS.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^\w-]+", ".", work)
    lock = FileLock(LOCKS / f"{name}.lock")
    waited = False
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"regbench: {work}: another process is working on it; waiting", file=sys.stderr, flush=True)
        lock.acquire()
        waited = True
    try:
        yield waited
    finally:
        lock.release()


@contextmanager
def turn(places: int | None) -> Iterator[None]:
    """Hold one of so many places in this folder, once there is one; None: there is no end of places."""
    if places is None:
        yield
        return
    from filelock import FileLock

    LOCKS.mkdir(parents=True, exist_ok=True)
    locks = [FileLock(LOCKS / f"turn.{place}.lock") for place in range(places)]
    while not any(map(_taken, locks)):
        time.sleep(TICK)
    try:
        yield
    finally:
        for lock in locks:
            lock.release()


def _taken(lock: Any) -> bool:
    from filelock import Timeout

    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def in_turn(main: Callable[[], None]) -> Callable[[], None]:
    """`main` of a stage, holding the stage and what it is called with (as <name> or, by DVC, as <stage>@<name>)."""

    def run() -> None:
        with held(" ".join([Path(sys.argv[0]).stem, *(argument.rpartition("@")[2] for argument in sys.argv[1:])])):
            main()

    return run
