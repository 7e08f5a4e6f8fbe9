"""Cores and GPUs that a process may use, and a row's share of them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

from stages.core.errors import UserError

CORES = "REGBENCH_CORES"
"""Environment variable: how many cores a row may use; its results do not depend on it."""

LEAST = 2  # TensorFlow's pool has two threads at least, and one without work takes time from the one that has some


def available(environment: Mapping[str, str]) -> int:
    """Cores for one row: what REGBENCH_CORES says, else those that the operating system lets this process run on.

    Raises:
        UserError: REGBENCH_CORES is no positive whole number.
    """
    told = environment.get(CORES, "").strip()
    if told:
        if not told.isdecimal() or int(told) < 1:
            raise UserError(f"{CORES}={told}: must be a number of cores, 1 or more")
        return int(told)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share(cores: int, jobs: int, waiting: int) -> int:
    """Cores for a row that starts while `waiting` others still queue and `jobs` rows run at once.

    The last `jobs` rows may each use every core, so that none idles when the rows beside them end first. A row gets
    LEAST where there are as many, even if rows then share them.
    """
    return cores if waiting < jobs else max(-(-cores // jobs), min(LEAST, cores))


def gpus(environment: Mapping[str, str]) -> list[str]:
    """The GPUs that may be used, as CUDA_VISIBLE_DEVICES names them; empty where there are none."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name.strip() not in {"", "-1"}]
    try:
        listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return [str(number) for number, _ in enumerate(listed.splitlines())]
