"""Why a script's network does not learn: the part of `regbench why` that trains."""

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from stages.core.base.errors import UserError
from stages.core.base.files import write_atomically
from stages.core.why.edits import edits
from stages.core.why.interventions import apply
from stages.core.why.investigation import case_of, investigate, signs
from stages.core.why.record import Record, record
from stages.core.why.search import Findings, Limits
from stages.core.why.verdict import Verdict, to_text, untried, verdict

TEMPLATE = Path(__file__).parent.parent / "templates/why.html"
MOST_CORES = 4  # each process of the search takes about 0.5 GiB
LEAST_SECONDS = 30.0


@dataclass(frozen=True)
class Options:
    """What the user asks for."""

    script: Path
    arguments: list[str]
    minutes: float
    seed: int
    python: str
    fit: str | None
    json_file: str | None
    html_file: str | None


def main(options: Options) -> None:
    """Record the script, search for a repair, and tell.

    Raises:
        UserError: the script cannot be recorded.
    """
    began = time.monotonic()
    tell = Progress()
    tell(f"{options.script}: running it up to its fit")
    fit = int(options.fit) if options.fit and options.fit.isdigit() else options.fit
    found = record(options.script, options.arguments, python=options.python, fit=fit, seconds=60 * options.minutes)
    seconds = max(LEAST_SECONDS, 60 * options.minutes - (time.monotonic() - began))
    answer = examine(found, Limits(seconds, min(MOST_CORES, len(os.sched_getaffinity(0))), options.seed), tell)
    tell.end()
    print(to_text(answer), end="")
    if options.json_file:
        write_atomically(options.json_file, json.dumps(answer.as_json(), indent=2, ensure_ascii=False) + "\n")
    if options.html_file:
        from stages.core.why.page import page  # matplotlib takes a second

        write_atomically(options.html_file, page(answer, TEMPLATE.read_text(encoding="utf-8")))


def examine(found: Record, limits: Limits, tell) -> Verdict:
    """The verdict on a recorded script."""
    notes = [*found.notes, *(f"Read as today's Keras writes it: {words}." for words in found.translated)]
    notes += [f"Left out in the experiment: {name}." for name in found.left_out]
    notes += [f"Data that could not be fetched: {name} stood in." for name in found.stand_ins]
    if reason := cannot_be_tried(found):
        return untried(found.script, reason, notes)
    case = case_of(found)
    findings = investigate(case, signs(case, found), limits, tell)
    return verdict(findings, found.script, diff_of(found, findings), notes)


def cannot_be_tried(found: Record) -> str | None:
    """Why no experiment can be made with a record; None: it can."""
    if found.custom or not found.model_json:
        return f"{', '.join(found.custom) or 'the net'} cannot be built outside the script"
    if not found.train.y:
        return "the script gives no targets"
    if len(found.train.x[0]) < 2:
        return "there is one sample only"
    return None


def diff_of(found: Record, findings: Findings) -> list:
    """The repair as changes of the script's lines."""
    if not findings.repair:
        return []
    case = findings.case
    after, _, _ = apply(findings.repair, case.setup, case.data, case.task)
    return edits(found, case.setup, after, findings.repair)


class Progress:
    """What goes on, on one line of a terminal's stderr; silent elsewhere."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.shown = sys.stderr.isatty()

    def __call__(self, line: str) -> None:
        if self.shown:
            print(f"\r\033[K{time.monotonic() - self.began:4.0f} s  {line}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self.shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def checked(script: str) -> Path:
    """The script's path.

    Raises:
        UserError: there is no such file.
    """
    path = Path(script)
    if not path.is_file():
        raise UserError(f"{script}: no such file")
    return path
