"""Records that DVC does not know of, though they are those of the rows: after a merge, a rename, or a lost dvc.lock.

A record holds its row's whole configuration, so whether it is the row's can be seen from the two alone. DVC, which
compares digests in dvc.lock, would train such a row again.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stages.core.base.errors import UserError
from stages.core.base.files import write_atomically
from stages.core.config.validation import validate
from stages.core.config.yaml import read_resolved
from stages.core.records import records
from stages.core.running import dvc, lockfile

RUNS, ROWS, SHEETS, LOCK = Path("results/runs"), Path("build/rows"), Path("results/datasets"), lockfile.LOCK
GRID = Path("results/grid.yaml")  # the rows of the grid that no study has
DRIVERS = {  # by their names in .gitattributes
    "regbench-lock": "{regbench} merge lock %O %A %B",
    "regbench-readme": "{regbench} merge readme %O %A %B",
    "regbench-ours": "true",
}


def mend() -> None:
    """All that can be put right before a run, and a line about each thing that was."""
    install()
    for step in (resolve, lockfile.mend, settle):
        for line in step():
            print(f"regbench: {line}", file=sys.stderr)


def install() -> None:
    """Tell Git of this clone how generated files merge; nothing happens where there is no Git."""
    regbench = f"{shlex.quote(sys.executable)} -m stages.commands.cli"
    for name, command in DRIVERS.items():
        _git("config", f"merge.{name}.driver", command.format(regbench=regbench))


def resolve() -> list[str]:
    """End what Git left in conflict among generated files where it was not told how they merge; lines about it.

    dvc.lock merges by its stages; of a result that both sides changed ours stays, for `settle` and DVC to replace.
    """
    said = []
    if LOCK.is_file() and "\n<<<<<<< " in LOCK.read_text(encoding="utf-8"):
        base, ours, theirs = (_git("show", f":{side}:./{LOCK}") for side in (1, 2, 3))
        write_atomically(LOCK, lockfile.merged(*((text or b"").decode() for text in (base, ours, theirs))))
        _git("add", str(LOCK))
        said.append(f"{LOCK} was in conflict; merged stage by stage")
    listed = (_git("diff", "--name-only", "--diff-filter=U", "-z", "--", "results") or b"").decode()
    paths = list(filter(None, listed.split("\0")))
    for path in paths:
        if not any(_git("checkout", f"--{side}", "--", path, fails=True) is not None for side in ("ours", "theirs")):
            Path(path).unlink(missing_ok=True)
        _git("add", "--all", "--", path)
    if paths:
        said.append(f"{len(paths)} files in results/ were in conflict; ours for the moment")
    return said


def settle() -> list[str]:
    """Have DVC take every record that is the one of a row which it takes for stale; a line about each kind.

    A record of the other side of a merge, or of a row that was renamed since, is put where it belongs first.
    """
    declared = _declared()
    if not _disturbed(declared) or dvc.compose():
        return []
    stale, found, renamed = dvc.rows_of(dvc.status()), {}, set()
    for key in stale:
        row = read_resolved(ROWS / f"{key}.yaml")
        for path, content in _candidates(key, declared):
            text = _as_record_of(row, content)
            if text is not None:
                write_atomically(RUNS / f"{key}.json", text)
                found[key] = stale[key]
                renamed |= {path} - {RUNS / f"{key}.json"}
                break
    if found:
        dvc.commit(found.values())
    for path in renamed:
        path.unlink(missing_ok=True)
    said = [f"{len(found)} rows have their records, of which dvc.lock knew nothing: {_listed(found)}"] if found else []
    return said + _without_the_dead(declared)


def _without_the_dead(declared: set[str]) -> list[str]:
    """Take stages that dvc.yaml does not have any more out of dvc.lock."""
    text = LOCK.read_text(encoding="utf-8") if LOCK.is_file() else ""
    known = lockfile.stages(text)
    if {name.partition("@")[2] for name in known if name.startswith("train@")} <= declared:
        return []
    listed = subprocess.run(
        [*dvc.DVC, "stage", "list", "--name-only"], env=dvc.environment(), capture_output=True, text=True, check=False
    )
    alive = {line.strip() for line in listed.stdout.splitlines()}
    dead = known.keys() - alive
    if listed.returncode or not dead:
        return []
    write_atomically(LOCK, lockfile.with_stages(text, {name: block for name, block in known.items() if name in alive}))
    return [f"{len(dead)} stages that are gone left {LOCK}: {_listed(sorted(dead))}"]


def _declared() -> set[str]:
    """The rows of the studies that params.yaml selects, as far as these files can be read."""
    try:
        studies = read_resolved(Path("params.yaml")).get("studies") or {}
        files = [*(Path("conf/study") / f"{study}.yaml" for study in studies), GRID]
        rows = [read_resolved(file).get("rows") or {} for file in files if file.is_file()]
    except (UserError, AttributeError):
        return set()  # compose says what is wrong with them
    return {str(key) for of_study in rows for key in of_study}


def _disturbed(declared: set[str]) -> bool:
    """Whether there may be something to settle; where there is not, this must cost nothing."""
    if not declared:
        return False
    blocks = lockfile.stages(LOCK.read_text(encoding="utf-8")) if LOCK.is_file() else {}
    trained = {name.partition("@")[2]: block for name, block in blocks.items() if name.startswith("train@")}
    digests = {path: md5 for block in trained.values() for path, md5 in lockfile.outputs(block).items()}
    files = {path.as_posix(): hashlib.md5(path.read_bytes()).hexdigest() for path in RUNS.glob("*/*.json")}
    keys = {path.removeprefix(f"{RUNS.as_posix()}/").removesuffix(".json") for path in files}
    return (
        any(digests.get(path) != md5 for path, md5 in files.items()) or not trained.keys() | keys <= declared
    ) or bool(_sides())


def _sides() -> list[str]:
    """The commits of a merge that is going on or was just made; none otherwise."""
    for sides in (("HEAD", "MERGE_HEAD"), ("HEAD^1", "HEAD^2")):
        if all(_git("rev-parse", "--verify", "--quiet", side, fails=True) for side in sides):
            return list(sides)
    return []


def _candidates(key: str, declared: set[str]) -> Iterable[tuple[Path, bytes]]:
    """Texts that may be the row's record, with the file that each is in or belongs in."""
    path = RUNS / f"{key}.json"
    if path.is_file():
        yield path, path.read_bytes()
    for side in _sides():
        content = _git("show", f"{side}:./{path.as_posix()}", fails=True)
        if content:
            yield path, content
    for other in sorted(RUNS.glob("*/*.json")):
        if f"{other.parent.name}/{other.stem}" not in declared:
            yield other, other.read_bytes()


def _as_record_of(row: Mapping[str, Any], content: bytes) -> str | None:
    """The record under the row's name, which changes no number, if it is the record of the row as it is now."""
    where = f"{row['study']}/{row['row']}"
    sheet_path = SHEETS / f"{row['dataset']['name']}.json"
    try:
        record = records.parse(content, where)
        text = content.decode()
        if (record.study, record.row) != (row["study"], row["row"]):
            text = _renamed(json.loads(content), row)
        sheet = validate(records.Sheet, records.load_json(sheet_path.read_bytes(), str(sheet_path)), str(sheet_path))
        records.check(records.parse(text, where), row, sheet, where)
    except (OSError, UserError):
        return None
    return text


def _renamed(data: dict[str, Any], row: Mapping[str, Any]) -> str:
    names = {"study": row["study"], "row": row["row"]}
    content = {key: value for key, value in data.items() if key != "checksum"}
    return records.to_json({**content, **names, "config": {**data["config"], **names}})


def _git(*arguments: str, fails: bool = False) -> bytes | None:
    """What Git answers; where it fails, or is not there, nothing: None if `fails`, as it may, otherwise no bytes."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        return None if fails else b""
    return done.stdout if not done.returncode else None if fails else b""


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
