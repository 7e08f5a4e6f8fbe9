"""What a change does to what is said: verdicts of claims, diagnoses of rows, and which rows beat their baseline."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LEVEL = 0.05
BETTER, WORSE, NEITHER = "better than the baseline", "worse than the baseline", "no clear difference from the baseline"
GONE, NEW = "gone", "new"

CLAIM = re.compile(r"^- (?P<claim>.*?) \*\*(?P<verdict>[A-Z][^*]*)\.\*\*")
HEADING = re.compile(r"^## (.*)")
FIGURES = re.compile(r"\[?[-+−]?\d[\d.,]*(e-?\d+)?\]?")


@dataclass(frozen=True)
class Turn:
    """Something said of a study that is said otherwise now. `about`: a row or a claim."""

    study: str
    kind: str
    about: str
    before: str
    after: str


def of_tables(study: str, before: Sequence[Mapping[str, str]], after: Sequence[Mapping[str, str]], higher: bool):
    """Rows of a study that got another diagnosis, or became better or worse than their baseline; as `Turn`s.

    Args:
        study: its name.
        before, after: lines of the study's table, as its CSV has them. A row that only one of them has is left out.
        higher: whether a higher metric is the better one.
    """
    old = {line["row"]: line for line in before}
    turns = []
    for line in after:
        was = old.get(line["row"])
        if was is None:
            continue
        pairs = (
            ("diagnosis", was.get("diagnosis", ""), line.get("diagnosis", "")),
            ("beside its baseline", _beside_baseline(was, higher), _beside_baseline(line, higher)),
        )
        turns += [Turn(study, kind, line["row"], *pair) for kind, *pair in pairs if pair[0] != pair[1]]
    return turns


def of_answers(before: str, after: str) -> list[Turn]:
    """Claims whose verdict changed, and claims that came or went, from two texts of results/answers.md.

    A claim is known by its words: figures in it may change.
    """
    old, new = _verdicts(before), _verdicts(after)
    turns = []
    for key in dict.fromkeys([*new, *old]):
        was, now = old.get(key), new.get(key)
        if (was and was[1]) != (now and now[1]):
            claim = (now or was)[0]
            turns.append(Turn(key[0], "verdict", claim, was[1] if was else NEW, now[1] if now else GONE))
    return turns


def _beside_baseline(line: Mapping[str, str], higher: bool) -> str:
    p, difference = _number(line.get("p_holm")), _number(line.get("difference"))
    if p is None or difference is None or p >= LEVEL:
        return NEITHER
    return BETTER if (difference > 0) == higher else WORSE


def _number(text: str | None) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def _verdicts(text: str) -> dict[tuple[str, str], tuple[str, str]]:
    """(Title of the study, the claim without its figures) -> the claim, its verdict."""
    title, found = "", {}
    for line in text.splitlines():
        if heading := HEADING.match(line):
            title = heading[1]
        elif claim := CLAIM.match(line):
            words = " ".join(FIGURES.sub("", claim["claim"]).split())
            found[title, words] = (claim["claim"], claim["verdict"])
    return found
