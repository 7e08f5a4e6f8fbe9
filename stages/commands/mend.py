"""Put right what a kill can leave of DVC's own files; `make repro` does so first.

    python -m stages.commands.mend

DVC writes dvc.lock and .dvc/tmp/rwlock in place and, once it was killed while it did, refuses to start. A dvc.lock that
is cut off becomes the last commit's again: what was trained since comes from DVC's run-cache, nothing trains twice.
"""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from stages.core import lockfile
from stages.core.errors import run
from stages.core.files import write_atomically

LOCK, RWLOCK = Path("dvc.lock"), Path(".dvc/tmp/rwlock")
WRITING_SECONDS = 1  # a DVC that lives has its file complete by then


def main() -> None:
    if _cut_off(LOCK, lockfile.is_whole):
        committed = subprocess.run(["git", "show", f"HEAD:./{LOCK}"], capture_output=True, check=False)
        if committed.returncode == 0:
            write_atomically(LOCK, committed.stdout)
            print(f"regbench: {LOCK} was cut off; it is the last commit's again")
        else:
            LOCK.unlink()
            print(f"regbench: {LOCK} was cut off and no commit has it; removed")
    if _cut_off(RWLOCK, _is_json):
        RWLOCK.unlink()
        print(f"regbench: {RWLOCK} was cut off; removed")


def _cut_off(path: Path, is_whole: Callable[[str], bool]) -> bool:
    """Whether only a part of the file is there, now and in a moment: DVC may be writing it."""
    for seconds in (0, WRITING_SECONDS):
        time.sleep(seconds)
        if not path.is_file() or is_whole(path.read_text(encoding="utf-8", errors="replace")):
            return False
    return True


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


if __name__ == "__main__":
    run(main)
