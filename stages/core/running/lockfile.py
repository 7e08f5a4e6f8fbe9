"""DVC's own files, dvc.lock and .dvc/tmp/rwlock: it writes them in place, so a kill can leave a part of one.

DVC then refuses to start. A dvc.lock that is cut off becomes the last commit's again: what was trained since comes from
DVC's run-cache, nothing trains twice.
"""

import json
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from stages.core.base.files import write_atomically

LOCK, RWLOCK = Path("dvc.lock"), Path(".dvc/tmp/rwlock")
WRITING_SECONDS = 1  # a DVC that lives has its file complete by then


def mend() -> list[str]:
    """Put right what is cut off; gives a line about each such file."""
    said = []
    if _cut_off(LOCK, is_whole):
        committed = subprocess.run(["git", "show", f"HEAD:./{LOCK}"], capture_output=True, check=False)
        if committed.returncode == 0:
            write_atomically(LOCK, committed.stdout)
            said.append(f"{LOCK} was cut off; it is the last commit's again")
        else:
            LOCK.unlink()
            said.append(f"{LOCK} was cut off and no commit has it; removed")
    if _cut_off(RWLOCK, _is_json):
        RWLOCK.unlink()
        said.append(f"{RWLOCK} was cut off; removed")
    return said


def stages(text: str) -> dict[str, str]:
    """The text of each stage in a dvc.lock, by the stage's name."""
    body = text.partition("\nstages:\n")[2]
    blocks = re.split(r"(?m)^(?=  [^\s:])", body)[1:]
    return {next(iter(_load(block))): block for block in blocks}


def merged(base: str, ours: str, theirs: str) -> str:
    """A dvc.lock of two sides: a stage of the side that changed it, ours where both did; theirs that are new last."""
    texts = [stages(text) for text in (base, ours, theirs)]
    was, we, they = texts
    kept = {}
    for name in dict.fromkeys([*we, *they]):
        mine, other = we.get(name), they.get(name)
        chosen = other if mine == was.get(name) else mine
        if chosen is not None:
            kept[name] = chosen
    return with_stages(ours, kept)


def with_stages(text: str, kept: Mapping[str, str]) -> str:
    """The dvc.lock `text` with these stages in place of its own."""
    return text.partition("\nstages:")[0] + "\nstages:" + ("\n" + "".join(kept.values()) if kept else " {}\n")


def outputs(block: str) -> dict[str, str]:
    """Digests of the files that a stage's block names, dependencies and outputs, by path."""
    [stage] = _load(block).values()
    return {entry["path"]: entry["md5"] for part in ("deps", "outs") for entry in stage.get(part) or ()}


def _load(text: str) -> Any:
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def is_whole(text: str) -> bool:
    """Whether `text` is a dvc.lock that was written to its end.

    A part that ends between two stages, or two outputs of one, passes: DVC then brings the stages that it lacks up to
    date.
    """
    if not text.endswith("\n"):
        return False
    try:
        lock = _load(text)
    except yaml.YAMLError:
        return False
    stages = lock.get("stages") if isinstance(lock, dict) else None
    return isinstance(stages, dict) and "schema" in lock and all(map(_is_whole_stage, stages.values()))


def _is_whole_stage(stage: Any) -> bool:
    if not isinstance(stage, dict) or "cmd" not in stage or not stage.get("outs"):
        return False
    return all(_is_whole_entry(entry) for part in ("deps", "outs") for entry in stage.get(part) or ())


def _is_whole_entry(entry: Any) -> bool:
    folder = isinstance(entry, dict) and str(entry.get("md5")).endswith(".dir")
    return isinstance(entry, dict) and {"path", "md5", "size", *(["nfiles"] if folder else [])} <= entry.keys()


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
