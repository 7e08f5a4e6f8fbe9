"""results/reliability.md: what was done to lose a result or to get a wrong one, and what came of it.

The file has a section for each of the two commands that write it, and each keeps the other's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from stages.core.base.files import write_atomically

REPORT = Path("results/reliability.md")
PACKAGES = ("dvc", "tensorflow", "keras", "numpy", "hypothesis")
TITLE = "# Reliability\n"
TORTURE, SOAK = "## Torture", "## Soak"


class Point(NamedTuple):
    """A promise, and the tests that hold it to account: a regular expression for the start of <file>::<name>."""

    promise: str
    tests: str


POINTS = {  # by number; the first point that a test belongs to counts it
    8: Point(
        "Results are the same bytes when trained again, on another number of cores and resumed from a checkpoint too.",
        r"test_reliability::test_(the_record|convolutions)_do|test_training::test_(the_same|seeds_side|fewer|shorter)",
    ),
    2: Point(
        "A full disk, a read-only folder or a missing permission is one line and an exit code that is not 0; the "
        "previous result is still there.",
        r"test_reliability::test_(a_full_disk|a_read_only|no_permission|a_row_that_finds)"
        r"|test_files::test_(a_write|what_(was_kept|a_user)|any_other)|test_training::test_a_seed_that_cannot_be_saved",
    ),
    6: Point(
        "Of two `dvc repro` at once one finishes, the other finishes, too, or says that one runs; results are right.",
        r"test_reliability::test_(of_two|a_second)|test_files::test_(the_next_process|a_living)",
    ),
    1: Point(
        "After a kill (SIGKILL) at any moment, of DVC alone or of all its processes, the next `make repro` ends with "
        "exactly the bytes of an undisturbed run; a row goes on from its last checkpoint.",
        r"test_reliability::test_(after_a_kill|a_killed|a_lock_file|a_download_killed)|test_files::"
        r"|test_training::test_(an_interrupted|a_checkpoint|a_damaged|seeds_resumed|seeds_of_one_program|two_runs)",
    ),
    3: Point(
        "No wrong, cut or endless download is ever accepted, each failure names address and digest; no archive writes "
        "outside its folder or without bounds.",
        r"test_download::|test_archives::",
    ),
    4: Point(
        "Any configuration ends in a valid row or in one line that names file, key and reason; none can run code.",
        r"test_config::|test_reliability::test_a_row_name",
    ),
    5: Point(
        "A record with a missing seed, of another configuration or other data, or edited by hand is refused and named.",
        r"test_records::",
    ),
    7: Point(
        "NaN, infinity, one seed, no variance or nothing but divergence pass through tables, figures, answers, "
        "overview, report and review without a crash or a false claim.",
        r"test_reliability::test_odd_numbers|test_training::test_a_nan",
    ),
    9: Point("Every package is pinned with its hashes.", r"test_reliability::test_every_package"),
}


class Case(NamedTuple):
    """One test: <file>::<name>, passed, failed or skipped, and what it says if it did not pass."""

    test: str
    outcome: str
    message: str = ""


def read(xml: str) -> tuple[list[Case], dict[str, str]]:
    """The tests in a report of pytest (JUnit's XML), and the figures that they recorded, by name."""
    root = ElementTree.fromstring(xml)
    figures = {found.get("name", ""): found.get("value", "") for found in root.iter("property")}
    return [_case(element) for element in root.iter("testcase")], figures


def sorted_into_points(cases: Sequence[Case]) -> dict[int, list[Case]]:
    """The tests of each point; those that belong to none are left out.

    Raises:
        ValueError: a point has no test that passed: its name has changed, or all of it was skipped.
    """
    points: dict[int, list[Case]] = {number: [] for number in sorted(POINTS)}
    for case in cases:
        number = next((number for number, point in POINTS.items() if re.match(point.tests, case.test)), None)
        if number is not None:
            points[number].append(case)
    for number, found in points.items():
        if not any(case.outcome == "passed" for case in found):
            raise ValueError(f"point {number} ({POINTS[number].promise}) was not tried")
    return points


def torture_section(
    points: Mapping[int, Sequence[Case]], figures: Mapping[str, str], facts: Mapping[str, str], command: str
) -> str:
    """Markdown of what was tried, all of which held.

    Args:
        points: what `sorted_into_points` gave, no test of it failed.
        figures: by name, which starts with its point's number.
        facts: what it ran on, by name.
        command: the command that does it again.
    """
    lines = [
        "What was done to lose a result or to get a wrong one. Everything ran in temporary copies of this repository,",
        "downloads from a server on the same machine. A test that fails stops the command, and nothing is written.",
        "",
        *(f"- {name}: {fact}" for name, fact in facts.items()),
        f"- command: `{command}`",
        "",
        "| point | promise | tried, and held |",
        "| ---: | --- | --- |",
        *(f"| {number} | {POINTS[number].promise} | {_tried(number, points[number], figures)} |" for number in points),
        "",
        *_skipped(points),
    ]
    return "\n".join(lines).rstrip() + "\n"


def with_section(text: str, heading: str, body: str) -> str:
    """`text`, results/reliability.md so far or empty, with the section under `heading` put in or replaced."""
    sections = dict(re.findall(r"(?ms)^(## [^\n]+)\n\n(.*?)(?=^## |\Z)", text)) | {heading: body}
    ordered = sorted(sections, key=[TORTURE, SOAK].index)
    return "\n".join([TITLE, *(f"{name}\n\n{sections[name].rstrip()}\n" for name in ordered)])


def publish(heading: str, section: str, full: bool) -> None:
    """Put a section into the report; one that is not of a full run is only shown."""
    if not full:
        print(f"{section}\nregbench: not a full run, so {REPORT} stays as it is")
        return
    before = REPORT.read_text(encoding="utf-8") if REPORT.is_file() else ""
    write_atomically(REPORT, with_section(before, heading, section))
    print(REPORT)


def _case(element: ElementTree.Element) -> Case:
    test = f"{element.get('classname', '').split('.')[1]}::{element.get('name')}"
    for kind, outcome in (("failure", "failed"), ("error", "failed"), ("skipped", "skipped")):
        found = element.find(kind)
        if found is not None:
            return Case(test, outcome, found.get("message", ""))
    return Case(test, "passed")


def _tried(number: int, cases: Sequence[Case], figures: Mapping[str, str]) -> str:
    passed = sum(case.outcome == "passed" for case in cases)
    own = [name for name in figures if name.partition(" ")[0] == str(number)]
    counted = [f"{name.partition(' ')[2]}: {figures[name]}" for name in own]
    return "; ".join([f"{passed} tests" if passed > 1 else "1 test", *counted])


def _skipped(points: Mapping[int, Sequence[Case]]) -> list[str]:
    skipped = [case for cases in points.values() for case in cases if case.outcome == "skipped"]
    return [f"- not tried here: `{case.test}`, {case.message}" for case in skipped]
