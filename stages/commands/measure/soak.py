"""The pipeline run again and again: do memory, temporary files or DVC's cache grow? results/reliability.md says.

    regbench soak [--minutes M]

It runs in a temporary clone of the last commit, with a DVC cache of its own, for M minutes (60), and then a few times
in turn with a fresh clone. A run of less than half an hour only shows its table.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from stages.core.base import machine
from stages.core.base.errors import UserError
from stages.core.base.files import write_atomically
from stages.core.measure import reliability, soak

STUDY = "digits_comparison"
TRAINED = ("none", "kernel_l2_1e-3")
LAP = [*(f"train@{STUDY}/{row}" for row in TRAINED), f"aggregate@{STUDY}", f"plot@{STUDY}", "answers", "report"]
WHAT = f"a forced `dvc repro` of compose, {len(TRAINED)} rows of {STUDY}, its tables and figures, answers and report"
MINUTES, LEAST_MINUTES, TICK = 60.0, 30.0, 0.5
COMPARED = 5  # laps at the end, each with one in a fresh clone
MEBIBYTE = 1 << 20
MAXRSS = 1 if sys.platform == "darwin" else 1024  # bytes, as getrusage counts there
PACKAGES = ("dvc", "tensorflow", "keras", "numpy")
REPORT = Path("results/reliability.md")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory(prefix="regbench-soak-") as folder:
        places = _clone(Path(folder) / "a")
        laps, begun = [], time.monotonic()
        while time.monotonic() - begun < minutes * 60:
            laps.append(_lap(*places))
            shown = ", ".join(f"{name} {value:,.0f}" for name, value in laps[-1].items())
            print(f"lap {len(laps)}, {(time.monotonic() - begun) / 60:.0f} min: {shown}", file=sys.stderr, flush=True)
        taken = (time.monotonic() - begun) / 60
        fresh_places = _clone(Path(folder) / "b")  # as long a path: DVC keeps paths
        _lap(*fresh_places)  # in which caches fill
        old, fresh = zip(*((_lap(*places), _lap(*fresh_places)) for _ in range(COMPARED)), strict=True)
    try:
        found = soak.trends(laps, old, fresh)
    except ValueError as error:
        raise UserError(f"{error}; give it more --minutes") from None
    section = soak.to_markdown(found, machine.describe(PACKAGES), len(laps), taken, WHAT)
    if minutes < LEAST_MINUTES:
        print(f"{section}\nregbench: less than {LEAST_MINUTES:.0f} minutes, so {REPORT} stays as it is")
    else:
        before = REPORT.read_text(encoding="utf-8") if REPORT.is_file() else ""
        write_atomically(REPORT, reliability.with_section(before, reliability.SOAK, section))
        print(REPORT)
    growing = [trend.name for trend in found if trend.grows]
    if growing:
        raise UserError(f"it grows: {', '.join(growing)}")


def _clone(folder: Path) -> tuple[Path, dict[str, str]]:
    """The last commit, cloned, and an environment in which all that is kept or temporary lies in `folder`."""
    clone = folder / "regbench"
    folder.mkdir()
    subprocess.run(["git", "clone", "--quiet", ".", str(clone)], check=True)
    for name in ("tmp", "dvc"):
        (folder / name).mkdir()
    places = {"TMPDIR": str(folder / "tmp"), "DVC_SITE_CACHE_DIR": str(folder / "dvc")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return clone, os.environ | places | {"PATH": path}


def _lap(clone: Path, environment: Mapping[str, str]) -> dict[str, float]:
    """Run the lap; what it needed at most, and what it left behind."""
    command = [sys.executable, "-m", "dvc", "repro", "--force", "--single-item", "compose", *LAP]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, cwd=clone, env=environment, stdout=output, stderr=subprocess.STDOUT)
        with _peak(process.pid) as peak:
            _, status, usage = os.wait4(process.pid, 0)  # its memory: the most that any process of the lap had
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        if process.returncode:
            raise UserError(f"`dvc repro` failed:\n{output.read().decode(errors='replace')}")
    folder = clone.parent
    measured = {
        "memory of DVC, MiB": peak[0] / MEBIBYTE,
        "memory of the largest process, MiB": usage.ru_maxrss * MAXRSS / MEBIBYTE,
        "temporary files": _count(folder / "tmp"),
        "temporary files, bytes": _size(folder / "tmp"),
        "DVC's cache, files": _count(clone / ".dvc/cache"),
        "DVC's cache, bytes": _size(clone / ".dvc/cache"),
        "DVC's other files, bytes": _size(clone / ".dvc/tmp") + _size(folder / "dvc"),
        "workspace, files": _count(clone / "build") + _count(clone / "results") + _count(clone / "data"),
        "workspace, bytes": _size(clone / "build") + _size(clone / "results") + _size(clone / "data"),
    }
    return {name: float(value) for name, value in measured.items()}


@contextmanager
def _peak(number: int) -> Iterator[list[int]]:
    """While it lasts, the largest resident memory of a process, in bytes, looked at now and then."""
    peak, over = [0], threading.Event()

    def watch() -> None:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(number)
            while not over.wait(TICK):
                peak[0] = max(peak[0], process.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


def _count(folder: Path) -> int:
    return len(_files(folder))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in _files(folder))
