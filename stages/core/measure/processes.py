"""A process timed from outside, with its memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from stages.core.base.errors import UserError

MAXRSS = 1 if sys.platform == "darwin" else 1024  # bytes, as getrusage counts there


class Run(NamedTuple):
    """What a process printed, its seconds, and the most memory that it or one of its own processes had."""

    output: str
    seconds: float
    peak_bytes: int


def run(command: Sequence[str], folder: Path | None = None, environment: Mapping[str, str] | None = None) -> Run:
    """Run a command to its end, with `environment` added to this process's.

    Raises:
        UserError: its exit code is not 0.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **(environment or {})}, stdout=output, stderr=errors
        )
        _, status, usage = os.wait4(process.pid, 0)  # of all ways to wait, the one that tells this process's memory
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            last = errors.read().decode(errors="replace").strip().splitlines()[-1:]
            raise UserError(f"`{' '.join(command[1:])}` failed: {''.join(last) or process.returncode}")
        return Run(output.read().decode(errors="replace"), seconds, usage.ru_maxrss * MAXRSS)
