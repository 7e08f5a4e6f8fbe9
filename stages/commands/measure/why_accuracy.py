"""Measure how often `regbench why` is right on scripts with known faults: results/why.md.

    regbench why_accuracy [--only PATTERN] [--kept FILE [--finished]] [--patience N]

Each script is written to a file, recorded and searched as `regbench why` does. FILE keeps what was said, and gives
what it has. On a machine that others use, N lets a search take N times its minutes, while its own work stays below.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path

from stages.core.base import machine
from stages.core.base.errors import UserError, run
from stages.core.base.files import write_atomically
from stages.core.base.project import as_given
from stages.core.measure import why_accuracy, why_programs
from stages.core.measure.why_accuracy import Judged
from stages.core.measure.why_programs import Case

RESULT = Path("results/why.md")
MINUTES, CORES = 5.0, 2
BUSY = "; the search's own work, on a machine that others used"


def main() -> None:
    parser = argparse.ArgumentParser(
        "regbench why_accuracy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="*", metavar="PATTERN", help="scripts by name; writes no file")
    parser.add_argument("--kept", type=as_given, metavar="FILE", help="a JSON object a line")
    parser.add_argument("--finished", action="store_true", help="only the scripts that FILE has, and it says so")
    parser.add_argument("--patience", type=float, default=1.0, metavar="N")
    arguments = parser.parse_args()
    every = list(why_programs.programs())
    known = read(arguments.kept)
    cases = [case for case in every if fnmatch(case.name, arguments.only)]
    if arguments.finished:
        cases = [case for case in cases if case.name in known]
    judged = list(judge(cases, known, arguments.kept, arguments.patience))
    versions = ", ".join(f"{name} {version(name)}" for name in ("tensorflow", "keras", "scikit-learn"))
    made = {
        "Scripts": f"{len(judged)} of {len(every)}",
        "Budget": f"{MINUTES:g} minutes on {CORES} cores of {machine.processor()}",
        "Versions": versions,
        "Seconds": "from the start of the search, the script's own not counted" + BUSY * (arguments.patience > 1),
    }
    text = why_accuracy.to_markdown(judged, made)
    if arguments.only == "*":
        write_atomically(RESULT, text)
    print(text)


def read(kept: Path | None) -> dict[str, Judged]:
    """What a file keeps, by script."""
    lines = kept.read_text(encoding="utf-8").splitlines() if kept and kept.exists() else []
    return {one.name: one for one in map(Judged.from_json, lines)}


def judge(cases: list[Case], known: dict[str, Judged], kept: Path | None, patience: float) -> Iterator[Judged]:
    """What is said of each script; what is not known is added to the file."""
    for number, case in enumerate(cases, start=1):
        began = time.monotonic()
        one = known.get(case.name) or examined(case, patience)
        if kept and case.name not in known:
            with kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(one)) + "\n")
        print(f"{number} of {len(cases)}: {case.name}: {', '.join(one.causes[:3])} ({time.monotonic() - began:.0f} s)")
        yield one


def examined(case: Case, patience: float) -> Judged:
    """What `regbench why` says of a script."""
    from stages.core.why.investigation import examine
    from stages.core.why.record import record
    from stages.core.why.search import Limits

    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "train.py"
        script.write_text(case.text, encoding="utf-8")
        try:
            found = record(script)
        except UserError as error:
            raise UserError(f"{case.name}: {error}") from None
    limits = Limits(60 * MINUTES, min(CORES, os.cpu_count() or 1), patience=patience)
    said = examine(found, limits)
    return Judged(
        name=case.name,
        program=case.program,
        faults=case.faults,
        truth=case.causes,
        tuned=case.program in why_programs.TUNED,
        learns=said.learns,
        repaired=said.confirmed,
        changes=tuple(step.words for step in said.repair),
        causes=tuple(cause.name for cause in said.causes),
        skill=said.asked.mean if said.asked else None,
        seconds=said.seconds,
    )


if __name__ == "__main__":
    run(main)
