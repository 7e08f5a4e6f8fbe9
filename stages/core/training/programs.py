"""Compiled programs on disk, so that rows of one shape have them compiled once: build/programs/<shape>.zip.

TensorFlow keeps XLA's programs in a folder by itself, but takes a damaged file for a sound one and removes none. So
every training has a folder of its own, filled from an archive that is checked, and replaced whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import zipfile
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path

from stages.core.base.files import write_atomically
from stages.core.config.row import Row

ARCHIVES = Path("build/programs")
MOST = 100  # archives; the one that was used longest ago makes room
MOST_PROGRAMS = 20  # of an archive, which then starts anew: TensorFlow numbers functions, and smaller ones now and then
# get another number and are compiled again
FLAGS, OURS = "TF_XLA_FLAGS", "--tf_xla_persistent_cache_directory"
COMPILER = ("XLA_FLAGS", FLAGS)


def shape(row: Row, threads: int, environment: Mapping[str, str]) -> str:
    """A name for what decides a row's programs; rows that differ in coefficients or learning rate alone share it.

    Args:
        row: the resolved row.
        threads: programs that run at once; XLA compiles for a pool of so many threads.
        environment: where the compiler's settings are.
    """
    compiler = [threads, _instructions(), *(environment.get(name, "") for name in COMPILER)]
    return hashlib.sha256(json.dumps([row.shape(), compiler], sort_keys=True).encode()).hexdigest()[:16]


def use(folder: Path, environment: MutableMapping[str, str]) -> None:
    """Have TensorFlow, which is not imported yet, look for programs in `folder` and put new ones there."""
    environment[FLAGS] = f"{environment.get(FLAGS, '')} {OURS}={folder.resolve()}".strip()


def take(archive: Path, folder: Path) -> bool:
    """Make `folder` one with the programs of `archive`, if there is one.

    False: go without, as the archive is damaged (and removed), the disk refuses, or TensorFlow's flags cannot name the
    folder.
    """
    if any(character.isspace() for character in str(folder.resolve())):
        return False
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if archive.is_file():
            with zipfile.ZipFile(archive) as programs:
                programs.extractall(folder)  # which checks each one's CRC-32
            os.utime(archive)
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        return False
    except Exception:  # the reader raises a dozen kinds on bytes that are not what they should be
        shutil.rmtree(folder, ignore_errors=True)
        archive.unlink(missing_ok=True)
        return False
    return True


def keep(folder: Path, archive: Path) -> None:
    """Make `archive` one of all programs in `folder`, if it lacks any; a disk that is full keeps none."""
    programs = {path.name: path.read_bytes() for path in sorted(folder.glob("*.pb"))}
    with suppress(OSError):
        if len(programs) > MOST_PROGRAMS:
            archive.unlink(missing_ok=True)
        elif programs and set(programs) != set(_names(archive)):
            write_atomically(archive, _zipped(programs))
            for old in sorted(archive.parent.glob("*.zip"), key=lambda path: path.stat().st_mtime)[:-MOST]:
                old.unlink(missing_ok=True)


def _names(archive: Path) -> list[str]:
    try:
        with zipfile.ZipFile(archive) as programs:
            return programs.namelist()
    except (FileNotFoundError, zipfile.BadZipFile):
        return []


def _zipped(programs: Mapping[str, bytes]) -> bytes:
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, program in programs.items():
            archive.writestr(name, program)
    return content.getvalue()


def _instructions() -> str:
    """What the processor understands: a program made for another one could not run."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    features = [line for line in lines if line.startswith(("flags", "Features"))]
    return features[0] if features else f"{platform.machine()} {platform.processor()}"
