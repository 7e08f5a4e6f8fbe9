"""What is asked of DVC in this folder, through its public commands alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from stages.core.base.errors import UserError
from stages.core.config import composition
from stages.core.config.yaml import read_yaml
from stages.core.running import lockfile

QUIET_LOAD = """
import sys
sys.excepthook = lambda kind, *rest: None if kind is KeyboardInterrupt else sys.__excepthook__(kind, *rest)
from dvc.cli import main
sys.exit(main(sys.argv[1:]))
"""
DVC = (sys.executable, "-c", QUIET_LOAD)
"""`python -m dvc`, but that Ctrl-C while it loads, before it looks out for that, is no traceback."""
LOGS = Path("build/logs")
LAST_LINES = 12


def environment(**more: str) -> dict[str, str]:
    """Of a command that DVC runs: `python` is the one that runs now."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}", **more}


def check() -> None:
    """Refuse a folder that DVC cannot work in, such as one from a zip file, or would do harm in.

    Raises:
        UserError: Git does not know it, or a row's name is none.
    """
    folder = Path.cwd()
    if not any((above / ".git").exists() for above in (folder, *folder.parents)):
        raise UserError(f"{folder}: is no Git repository, which DVC needs; `git init` makes it one, or clone regbench")
    composition.check_row_names(Path("conf"))


def repro(*targets: str) -> int:
    """`dvc repro` of everything or of some stages, its output as usual; gives its exit code.

    Raises:
        UserError: as of `check`.
    """
    check()
    return subprocess.run([*DVC, "repro", *targets], env=environment(), check=False).returncode


def mend() -> None:
    """Put right what a kill has left of DVC's own files, and say so."""
    for line in lockfile.mend():
        print(f"regbench: {line}", file=sys.stderr)


def stale_rows() -> dict[str, str]:
    """The rows, <study>/<row>, that `dvc repro` would train, with DVC's names for their stages.

    What they need is brought up to date first.

    Raises:
        UserError: that failed, or DVC cannot tell.
    """
    if repro("compose", "download"):
        raise UserError("`dvc repro compose download` failed, see above; nothing was trained")
    return rows_of(status())


def status() -> dict[str, list]:
    """What DVC says of every stage that is not up to date; empty if all are.

    Raises:
        UserError: DVC cannot tell.
    """
    done = subprocess.run([*DVC, "status", "--json"], env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"`dvc status` failed: {' '.join(done.stderr.split())}")
    return json.loads(done.stdout)


def quietly(module: str, *arguments: str) -> list[str]:
    """Run a stage or a command of this project for what it complains of, a line each; none if it does not.

    Raises:
        UserError: it failed in another way than by complaining.
    """
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    if not done.returncode:
        return []
    lines = [line.removeprefix("regbench: ") for line in done.stderr.splitlines() if line.startswith("regbench: ")]
    if not lines:
        raise UserError(f"`python -m {module}` failed: {last_lines(done.stderr)}")
    return lines


def compose() -> list[str]:
    """Compose the rows as they are configured now, outside of DVC: dvc.lock stays as it is; gives what is wrong."""
    return quietly("stages.code") or quietly("stages.compose")


def rows_of(status: Iterable[str]) -> dict[str, str]:
    """The rows among stages as `dvc status --json` names them, [<file>:]train@<study>/<row>, in the same order."""
    parts = ((stage.rpartition(":")[2], stage) for stage in status)
    return {name.removeprefix("train@"): stage for name, stage in parts if name.startswith("train@")}


def commit(stages: Iterable[str]) -> None:
    """Tell DVC that the files which lie there now are the results of these stages.

    Raises:
        UserError: DVC refused.
    """
    command = [*DVC, "--wait-for-lock", "commit", "--force", *stages]
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, check=False, start_new_session=True
    )
    if done.returncode:
        raise UserError(f"`dvc commit` failed: {' '.join(done.stderr.split())}")


def conclude(n_rows: int, failed: Mapping[str, str], interrupted: bool) -> None:
    """After the rows have run: bring the rest up to date, as far as the rows that failed let it.

    Args:
        n_rows: how many ran.
        failed: the last lines of the log of each row that failed.
        interrupted: the user pressed Ctrl-C; nothing more is run.

    Raises:
        UserError: not everything is up to date now.
    """
    for row, lines in failed.items():
        print(f"\n--- {row} failed:\n{lines}", file=sys.stderr)
    if interrupted:
        mend()  # a DVC may have been stopped while it wrote
        raise UserError("interrupted; finished rows are kept, and the same command goes on from here")
    if not failed:
        if repro():
            raise UserError("`dvc repro` failed, see above")
        return
    studies = set(read_yaml(Path("params.yaml"))["studies"]) - {row.partition("/")[0] for row in failed}
    if studies:
        repro("--keep-going", *(f"plot@{study}" for study in sorted(studies)))
    raise UserError(f"{len(failed)} of {n_rows} rows failed: {', '.join(failed)}; their logs are in {LOGS}/")


def log_of(row: str) -> Path:
    """Where the output of a row's training goes."""
    return LOGS / f"{row}.log"


def last_lines(text: str) -> str:
    """The end of a log."""
    return "\n".join(text.strip().splitlines()[-LAST_LINES:])


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """While it lasts, Ctrl-C and requests to end are only noted, so that nothing is left half done; tells of them."""
    noted = []
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda number, frame: noted.append(number)) for number in signals}
    try:
        yield lambda: bool(noted)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
