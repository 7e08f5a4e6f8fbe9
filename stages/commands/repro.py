"""`dvc repro` with several rows at once on this machine.

    regbench repro --jobs N

Each stale row trains under a `dvc repro` of its own, with its share of the cores and, where there are several, a GPU;
the output goes to build/logs/<study>/<row>.log. Where N rows would have less than two cores or one GPU each, some start
up and wait while the others train. One `dvc repro` then makes tables and figures. A row that fails does not stop the
others. After Ctrl-C the same command goes on, long rows from their last checkpoint.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from stages.core.base import cores
from stages.core.base.errors import UserError
from stages.core.config.yaml import read_yaml
from stages.core.running import dvc
from stages.core.running.board import Board, State, shown

TICK = 0.1  # seconds
GRACE = 10  # seconds that a row has to end after Ctrl-C


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, required=True, help="rows that train at once; 1 is plain `dvc repro`")
    jobs = parser.parse_args().jobs
    if jobs < 1:
        raise UserError(f"--jobs {jobs}: must be 1 or more")
    if jobs == 1:
        sys.exit(dvc.repro())
    stages = dvc.stale_rows()
    gpus = [] if read_yaml(Path("params.yaml"))["device"] == "cpu" else cores.gpus(os.environ)
    with dvc.interruptible() as interrupted, shown(stages) as board:
        side_by_side(board, stages, jobs, cores.available(os.environ), gpus, interrupted)
        stopped = interrupted()
    failed = {key: board.rows[key].note for key in board.keys(State.FAILED)}
    logs = {key: dvc.last_lines(dvc.log_of(key).read_text(errors="replace")) for key in failed}
    dvc.conclude(len(stages), logs, stopped)


def side_by_side(
    board: Board,
    stages: dict[str, str],
    jobs: int,
    n_cores: int,
    gpus: list[str],
    interrupted: Callable[[], bool],
) -> None:
    """Train the rows of the board, `jobs` at once, until all have ended or the user interrupts."""
    queue = deque(board.keys(State.QUEUED))
    at_once = cores.at_once(n_cores, jobs, len(gpus))
    slots: list[subprocess.Popen | None] = [None] * jobs
    running: dict[int, str] = {}
    try:
        while (queue or running) and not interrupted():
            for slot in range(jobs):
                if slot in running and slots[slot].poll() is not None:
                    finish(board, running.pop(slot), slots[slot].returncode)
                if slot not in running and queue:
                    running[slot] = queue.popleft()
                    share = {
                        cores.CORES: str(cores.share(n_cores, at_once, waiting=len(queue))),
                        cores.TURNS: str(at_once),
                    }
                    if len(gpus) > 1:
                        share["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
                    slots[slot] = start(running[slot], stages[running[slot]], share)
                    board.start(running[slot], f"job {slot + 1}", time.monotonic())
            time.sleep(TICK)
    finally:
        stop([slots[slot] for slot in running])


def start(row: str, stage: str, share: dict[str, str]) -> subprocess.Popen:
    """Begin to train a row, in a process group of its own so that all of it can be stopped."""
    log = dvc.log_of(row)
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [*dvc.DVC, "--wait-for-lock", "repro", "--single-item", stage]
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            env=dvc.environment(**share),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def finish(board: Board, row: str, code: int) -> None:
    """Enter how a row's process ended."""
    if code == 0:
        board.done(row, time.monotonic())
    else:
        board.fail(row, f"exit code {code}", time.monotonic())


def stop(processes: list[subprocess.Popen]) -> None:
    """End processes and all that they have started: as Ctrl-C would, and by force what is left after a while."""
    for number in (signal.SIGINT, signal.SIGKILL):
        for process in processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        deadline = time.monotonic() + GRACE
        while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
            time.sleep(TICK)
