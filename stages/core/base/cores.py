"""Cores and GPUs that a process may use, and a row's share of them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

from stages.core.base.errors import UserError

CORES = "REGBENCH_CORES"
"""Environment variable: how many cores a row may use; its results do not depend on it."""

LEAST = 2  # TensorFlow's pool has two threads at least, and one without work takes time from the one that has some


def available(environment: Mapping[str, str]) -> int:
    """Cores for one row: what REGBENCH_CORES says, else those that the operating system lets this process run on.

    Raises:
        UserError: REGBENCH_CORES is no positive whole number.
    """
    told = environment.get(CORES, "").strip()
    if told and (not told.isdecimal() or int(told) < 1):
        raise UserError(f"{CORES}={told}: must be a whole number, 1 or more")
    if told:
        return int(told)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def at_once(cores: int, jobs: int, gpus: int) -> int:
    """How many of `jobs` rows train at once: one a GPU, or a row for LEAST cores.

    Rows that train on the same two cores together need longer than one after the other.
    """
    return min(jobs, gpus or max(1, cores // LEAST))


def share(cores: int, at_once: int, waiting: int) -> int:
    """Cores for a row that starts while `waiting` others still queue and `at_once` rows train at once.

    The last rows may each use every core, so that none idles when the rows beside them end first.
    """
    return cores if waiting < at_once else -(-cores // at_once)


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
