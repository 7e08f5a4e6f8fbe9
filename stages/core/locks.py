"""One process at a time for one piece of work in this folder: the next waits and says so.

DVC keeps two of its own runs apart, but a stage whose DVC was killed goes on without it and would meet the next run.
"""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LOCKS = Path("build/locks")


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
        print(f"regbench: {work}: another process is at it; waiting for its end", file=sys.stderr, flush=True)
        lock.acquire()
        waited = True
    try:
        yield waited
    finally:
        lock.release()


def in_turn(main: Callable[[], None]) -> Callable[[], None]:
    """`main` of a stage, holding the stage and what it is called with (as <name> or, by DVC, as <stage>@<name>)."""

    def run() -> None:
        with held(" ".join([Path(sys.argv[0]).stem, *(argument.rpartition("@")[2] for argument in sys.argv[1:])])):
            main()

    return run
