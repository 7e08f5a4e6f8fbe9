"""How often `regbench why` is right: known causes found, repairs confirmed, healthy scripts left alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

TOP = 3


@dataclass(frozen=True)
class Judged:
    """A script with known faults, and what was said of it."""

    name: str
    program: str
    faults: tuple[str, ...]  # kinds of why_programs.FAULTS; empty: it learns
    truth: tuple[str, ...]  # causes that name a fault
    tuned: bool  # of the data and nets that thresholds were chosen on
    learns: bool | None
    repaired: bool  # confirmed with fresh seeds
    changes: tuple[str, ...]  # of the repair, in words
    causes: tuple[str, ...]  # as named, the likeliest first
    skill: float | None  # as asked
    seconds: float

    @classmethod
    def from_json(cls, line: str) -> Judged:
        """From its fields as a JSON object."""
        fields: dict[str, Any] = json.loads(line)
        return cls(**{key: _tuple(value) for key, value in fields.items()})

    @property
    def rank(self) -> int | None:
        """Place of the first cause that names a fault, from 1."""
        places = [place for place, cause in enumerate(self.causes, 1) if cause in self.truth]
        return places[0] if places else None

    @property
    def curable(self) -> bool:
        """Whether there is a fault that a change of the setup can undo."""
        return bool(self.truth) and "data_unlearnable" not in self.truth

    @property
    def harmless(self) -> bool:
        """A faulty script that learns all the same."""
        return bool(self.truth) and bool(self.learns) and not self.repaired


@dataclass(frozen=True)
class Score:
    """Of some scripts: how many, and of how many it holds."""

    name: str
    scripts: int
    curable: int
    repaired: int
    first: int  # a known cause is named first
    among: int  # … among the first TOP
    harmless: int  # learn all the same
    seconds: float  # median


def score(name: str, judged: Iterable[Judged]) -> Score:
    """Scripts that learn in spite of their fault are counted apart: nothing is to be found in them."""
    every = list(judged)
    faulty = [one for one in every if not one.harmless]
    ranks = [one.rank for one in faulty if one.rank]
    curable = [one for one in faulty if one.curable]
    return Score(
        name,
        len(faulty),
        len(curable),
        sum(one.repaired for one in curable),
        sum(rank == 1 for rank in ranks),
        sum(rank <= TOP for rank in ranks),
        len(every) - len(faulty),
        median(one.seconds for one in every) if every else 0.0,
    )


def precision(judged: Sequence[Judged]) -> dict[str, tuple[int, int]]:
    """By cause: how often it was named first, and how often rightly; over all scripts, healthy ones too."""
    named: dict[str, tuple[int, int]] = {}
    for one in judged:
        if one.causes and not (one.learns and not one.repaired):
            times, right = named.get(one.causes[0], (0, 0))
            named[one.causes[0]] = times + 1, right + (one.causes[0] in one.truth)
    return dict(sorted(named.items()))


def mistakes(judged: Sequence[Judged]) -> list[Judged]:
    """Healthy scripts called faulty, and faulty ones without a repair or whose cause is not named first."""
    wrong = []
    for one in judged:
        if not one.truth:
            if one.learns is not True or one.repaired:
                wrong.append(one)
        elif not one.harmless and (one.rank != 1 or (one.curable and not one.repaired)):
            wrong.append(one)
    return wrong


def to_markdown(judged: Sequence[Judged], made: Mapping[str, str]) -> str:
    """The tables.

    Args:
        made: how they were made, as words by heading.
    """
    healthy = [one for one in judged if not one.truth]
    faulty = [one for one in judged if one.truth]
    called = sum(one.learns is not True for one in healthy)
    better = sum(one.learns is True and one.repaired for one in healthy)
    lines = [
        "# How often `regbench why` is right",
        "",
        "Small scripts made by changing one or two things in scripts that learn (stages/core/measure/why_programs.py),",
        "each examined as `regbench why` does. Made by `regbench why_accuracy`.",
        "",
        *(f"* {heading}: {words}" for heading, words in made.items()),
        "",
        f"Of {len(healthy)} scripts that learn, {called} were said not to; for {better} something better was found.",
        "",
        "| scripts | faulty | repaired | cause first | among first 3 | learn all the same | seconds (median) |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    groups = [
        ("all", faulty),
        ("data and nets that it was tuned on", [one for one in faulty if one.tuned]),
        ("other data and nets", [one for one in faulty if not one.tuned]),
        ("one fault", [one for one in faulty if len(one.faults) == 1]),
        ("two faults", [one for one in faulty if len(one.faults) == 2]),
    ]
    kinds = sorted({one.faults[0] for one in faulty if len(one.faults) == 1})
    groups += [(f"`{kind}`", [one for one in faulty if one.faults == (kind,)]) for kind in kinds]
    lines += [_line(score(name, some)) for name, some in groups if some]
    lines += ["", "| cause named first | times | rightly |", "| --- | ---: | ---: |"]
    lines += [f"| `{cause}` | {times} | {right} |" for cause, (times, right) in precision(judged).items()]
    if wrong := mistakes(judged):
        lines += ["", "## What it gets wrong", "", "| script | faults | said | repair | skill as asked |"]
        lines += ["| --- | --- | --- | --- | ---: |", *(_mistake(one) for one in wrong)]
    return "\n".join(lines) + "\n"


def _line(s: Score) -> str:
    repaired = f"{s.repaired} of {s.curable}" if s.curable else "–"
    return f"| {s.name} | {s.scripts} | {repaired} | {s.first} | {s.among} | {s.harmless} | {s.seconds:.0f} |"


def _mistake(one: Judged) -> str:
    learns = {True: "learns", False: "does not learn", None: "cannot tell"}[one.learns]
    said = f"{learns}: {', '.join(one.causes[:TOP])}" if one.causes else learns
    skill = "–" if one.skill is None else f"{one.skill:.2f}"
    repair = ", ".join(one.changes) if one.repaired else "none"
    return f"| {one.name} | {', '.join(one.faults) or 'none'} | {said} | {repair} | {skill} |"


def _tuple(value: Any) -> Any:
    """A list, which JSON has in place of a tuple, as one."""
    return tuple(value) if isinstance(value, list) else value
