"""The pipeline run again and again: does anything grow? results/reliability.md says.

    regbench soak [--minutes M]

It runs in a temporary clone of the last commit, with a DVC cache of its own, for M minutes (60), and then a few times
in turn with a fresh clone. A run of less than half an hour only shows its table.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

from stages.core.base import machine
from stages.core.base.errors import UserError
from stages.core.measure import processes, reliability, soak
from stages.core.training.programs import ARCHIVES

STUDY = "digits_comparison"
TRAINED = ("none", "kernel_l2_1e-3")
LAP = [*(f"train@{STUDY}/{row}" for row in TRAINED), f"aggregate@{STUDY}", f"plot@{STUDY}", "answers", "report"]
WHAT = f"a forced `dvc repro` of code, compose, {len(TRAINED)} rows of {STUDY}, their table, figures, answers, report"
MINUTES, LEAST_MINUTES = 60.0, 30.0
COMPARED = 5  # laps at the end, each with one in a fresh clone
MEBIBYTE = 1 << 20
FOLDERS = {  # whose files are counted, below the clone's parent
    "temporary": ("tmp",),
    "DVC's cache": ("regbench/.dvc/cache",),
    "DVC's other": ("regbench/.dvc/tmp", "dvc"),
    "workspace": ("regbench/build", "regbench/results", "regbench/data"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory(prefix="regbench-soak-") as folder:
        places = clone(Path(folder) / "a")
        laps, begun = [lap(*places)], time.monotonic()
        while time.monotonic() - begun < minutes * 60:
            laps.append(lap(*places))
            shown = ", ".join(f"{name} {value:,.0f}" for name, value in laps[-1].items())
            print(f"lap {len(laps)}, {(time.monotonic() - begun) / 60:.0f} min: {shown}", file=sys.stderr, flush=True)
        taken = (time.monotonic() - begun) / 60
        fresh_places = clone(Path(folder) / "b")  # as long a path: DVC keeps paths
        lap(*fresh_places)  # in which caches fill
        old, fresh = zip(*((lap(*places), lap(*fresh_places)) for _ in range(COMPARED)), strict=True)
    found = soak.compare(laps[0], old, fresh)
    section = soak.to_markdown(found, machine.describe(reliability.PACKAGES), len(laps), taken, WHAT)
    reliability.publish(reliability.SOAK, section, full=minutes >= LEAST_MINUTES)
    if growing := [one.name for one in found if one.grows]:
        raise UserError(f"it grows: {', '.join(growing)}")


def clone(folder: Path) -> tuple[Path, dict[str, str]]:
    """The last commit, cloned, and an environment in which all that is kept or temporary lies in `folder`."""
    folder.mkdir()
    subprocess.run(["git", "clone", "--quiet", ".", str(folder / "regbench")], check=True)
    for name in ("tmp", "dvc"):
        (folder / name).mkdir()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    places = {"TMPDIR": str(folder / "tmp"), "DVC_SITE_CACHE_DIR": str(folder / "dvc"), "PATH": path}
    return folder / "regbench", places


def lap(folder: Path, environment: Mapping[str, str]) -> dict[str, float]:
    """Run the lap; the most memory that any of its processes had, and what it left behind: files, and in
    build/programs, which fill up and start anew, the compiled programs."""
    command = [sys.executable, "-m", "dvc", "repro", "--force", "--single-item", "code", "compose", *LAP]
    measured = {"memory of the largest process, MiB": processes.run(command, folder, environment).peak_bytes / MEBIBYTE}
    for name, below in FOLDERS.items():
        found = [path for one in below for path in (folder.parent / one).rglob("*") if path.is_file()]
        files = [path for path in found if path.parent != folder / ARCHIVES]
        sizes = [path.stat().st_size for path in files if not path.is_symlink()]
        measured |= {f"{name}, files": float(len(sizes)), f"{name}, bytes": float(sum(sizes))}
    return measured | {soak.PROGRAMS: float(max(map(_programs, (folder / ARCHIVES).glob("*.zip")), default=0))}


def _programs(path: Path) -> int:
    with zipfile.ZipFile(path) as archive:
        return len(archive.namelist())
