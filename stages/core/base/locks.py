"""One process at a time for one piece of work in this folder: the next waits and says so.

DVC keeps two of its own runs apart, but a stage whose DVC was killed goes on without it and would meet the next run.
"""

import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCKS = Path("build/locks")
NAMELESS = 10.0  # seconds after which a lock's file that names nobody is left over
LOOK = 1.0  # seconds between looks at whether a lock's holder lives


@contextmanager
def held(work: str) -> Iterator[bool]:
    """Hold `work` (such as "train digits_comparison/none"), and give whether another process had it before.

    The operating system frees what a process held when it dies. Where a file system has no such locks, the file itself
    is the lock and stays: it names its holder, and one whose holder is dead is removed.
    """
    from filelock import FileLock, SoftFileLock, Timeout

    LOCKS.mkdir(parents=True, exist_ok=True)
    path = LOCKS / f"{re.sub(r'[^A-Za-z0-9_-]+', '.', work)}.lock"
    lock = FileLock(path)
    waited = False
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not (isinstance(lock, SoftFileLock) and _is_dead(path)):
            print(f"regbench: {work}: {_holder(path)} is working on it; waiting", file=sys.stderr, flush=True)
            waited = True
        while not lock.is_locked:
            if isinstance(lock, SoftFileLock) and _is_dead(path):
                path.unlink(missing_ok=True)
            with suppress(Timeout):
                lock.acquire(timeout=LOOK)
    try:
        with suppress(OSError):  # on a full disk the lock holds all the same, only without its holder's name
            path.write_text(_name(), encoding="utf-8")  # the file stays the same, only what is in it changes
        yield waited
    finally:
        with suppress(OSError):
            path.write_text("", encoding="utf-8")
        lock.release()


def _name() -> str:
    """This process: host, number and time of start, which together no other has."""
    return f"{platform.node()} {os.getpid()} {_started(os.getpid())}"


def _started(process: int) -> str:
    """When a process began, in the system's own unit; nothing where there is none, or where that cannot be told."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _read(path: Path) -> list[str]:
    with suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace").split()
    return []


def _holder(path: Path) -> str:
    named = _read(path)
    return f"process {named[1]} on {named[0]}" if len(named) == 3 and named[1].isdecimal() else "another process"


def _is_dead(path: Path) -> bool:
    """Whether the lock's file names a process of this host that is no more, or long since nobody."""
    named = _read(path)
    if not named:
        with suppress(OSError):
            return time.time() - path.stat().st_mtime > NAMELESS
    return (
        len(named) == 3 and named[0] == platform.node() and named[1].isdecimal() and _started(int(named[1])) != named[2]
    )


def in_turn(main: Callable[[], None]) -> Callable[[], None]:
    """`main` of a stage, holding the stage and what it is called with (as <name> or, by DVC, as <stage>@<name>)."""

    def run() -> None:
        with held(" ".join([Path(sys.argv[0]).stem, *(argument.rpartition("@")[2] for argument in sys.argv[1:])])):
            main()

    return run
