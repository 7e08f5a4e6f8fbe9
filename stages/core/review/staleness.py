"""What of the committed results is not up to date: what DVC says of every stage, and what the checks say of every file.

DVC compares files with dvc.lock, so it finds what was edited by hand or is older than what it is made from. The checks
make every text and figure anew in memory and compare: they find what somebody typed and then had DVC accept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

EDITED, MISSING = "edited by hand, or not written by dvc repro", "missing"
UNTRAINED, LEFT_OVER = "never trained", "belongs to no row"
CODE, SETTINGS = "the code or the packages that train have changed", "the configuration has changed"

MADE = {  # by stage: what it makes, in words, and where
    "aggregate": ("tables of {key}", ("results/tables/{key}",)),
    "plot": ("figures of {key}", ("results/figures/{key}/",)),
    "answers": ("answers", ("results/answers.",)),
    "overview": ("overview", ("results/overview.", "results/metrics.")),
    "curve": ("response curve {key}", ("results/curves/{key}.json",)),
    "grid": (
        "the grid over all nets",
        ("results/figures/grid/", *(f"results/tables/{name}." for name in ("grid", "responses", "tipping"))),
    ),
    "download": ("data sheets", ("results/datasets/",)),
}
NOT_COMMITTED = ("build/", "results/report.html")
NOTHING_COMMITTED = {"code", "compose", "keep", "report"}
"""Stages that make nothing that is committed: where dvc.lock alone is behind, every result may still be right."""
RUNS = "results/runs/"


@dataclass(frozen=True)
class Outdated:
    """A row, a file or what a stage makes; `why` is one of the words above, or a short text."""

    name: str
    why: str
    is_row: bool = False


def find(status: Mapping[str, Any], rows: Mapping[str, str], said: Iterable[str]) -> list[Outdated]:
    """All that is not up to date, what was edited by hand first; nothing is named twice.

    Args:
        status: what `dvc status --json` gives, composed anew.
        rows: by key (study/row), why it is stale, as `reason` says it.
        said: what the checks say, "<path>: <what is wrong>".
    """
    found = [item for stage, entries in status.items() for item in _of_stage(stage, entries, rows)]
    covered = tuple(_paths(status)) + tuple(item.name for item in found if not item.is_row)
    covered += tuple(f"{RUNS}{item.name}.json" for item in found if item.is_row)
    checks = (line.partition(": ") for line in said)
    found += [Outdated(path, text.partition(";")[0]) for path, _, text in checks if not path.startswith(covered)]
    order = (EDITED, MISSING, LEFT_OVER)
    rank = {why: place for place, why in enumerate(order)}
    return sorted(found, key=lambda item: rank.get(item.why, len(order)))


def reason(record: Mapping[str, Any] | None, row: Mapping[str, Any]) -> str:
    """Why a row is stale: the configuration of its record, None if it has none, and the row as it is configured now."""
    if record is None:
        return UNTRAINED
    changed = [key for key in {**record, **row} if record.get(key) != row.get(key)]
    if set(changed) <= {"fingerprint"}:
        return CODE
    return f"{SETTINGS} ({', '.join(key for key in changed if key != 'fingerprint')})"


def stale_rows(status: Iterable[str]) -> list[str]:
    """The rows among the stages of `dvc status`."""
    named = (_name(stage) for stage in status)
    return [key for group, key in named if group == "train"]


def _name(stage: str) -> tuple[str, str]:
    """`[<file>:]<group>[@<key>]` -> group, key."""
    group, _, key = stage.rpartition(":")[2].partition("@")
    return group, key


def _changed(entries: Iterable[Any], kind: str) -> dict[str, str]:
    return {path: state for entry in entries if isinstance(entry, dict) for path, state in entry.get(kind, {}).items()}


def _of_stage(stage: str, entries: list[Any], rows: Mapping[str, str]) -> Iterable[Outdated]:
    group, key = _name(stage)
    inputs = [*_changed(entries, "changed deps"), *(entry for entry in entries if isinstance(entry, str))]
    outputs = {
        path: state
        for path, state in _changed(entries, "changed outs").items()
        if not path.startswith(NOT_COMMITTED) and state in {"modified", "deleted"}
    }
    yield from (
        Outdated(path, EDITED if state == "modified" else MISSING)
        for path, state in outputs.items()
        if state == "modified" or not inputs
    )
    if inputs and group == "train":
        yield Outdated(key, rows.get(key, SETTINGS), is_row=True)
    elif inputs and group not in NOTHING_COMMITTED:
        yield Outdated(MADE[group][0].format(key=key) if group in MADE else f"stage {stage}", _older(inputs))


def _older(inputs: list[str]) -> str:
    """What a stage's results are older than, in a few words that several stages may share."""
    named = [path for path in inputs if not path.startswith(("build/", "results/"))]
    if any(path.startswith("build/code/") for path in inputs):
        return "older than the code or the packages that make them"
    if not named:
        return "older than the rows, records or tables that they are made from"
    more = f" and {len(named) - 2} more" if len(named) > 3 else ""
    return f"older than {', '.join(named[: 2 if more else 3])}{more}"


def _paths(status: Mapping[str, Any]) -> Iterable[str]:
    """Beginnings of the paths that the stages make of which DVC says something."""
    for stage in status:
        group, key = _name(stage)
        yield from (path.format(key=key) for path in MADE.get(group, ("", ()))[1])
