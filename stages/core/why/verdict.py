"""Findings in plain words: for the terminal, for programs, and for a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from textwrap import wrap
from typing import Any

import numpy as np
from scipy import stats

from stages.core.results.statistics import LEVEL, describe, holm, paired_difference
from stages.core.why import interventions
from stages.core.why.causes import UNLEARNABLE, Cause, causes_of, guesses, ordered, rank
from stages.core.why.edits import Edit, as_diff
from stages.core.why.interventions import CAUSES, Change
from stages.core.why.search import GAIN, MOST_CHANGES, SOMETHING, Changes, Findings, Tried
from stages.core.why.symptoms import Symptom

MEASURES = {
    "binary": "balanced accuracy",
    "classes": "balanced accuracy",
    "labels": "balanced accuracy of each label",
    "values": "R²",
}
TAKEN_OUT = (Change("dropout"), Change("penalty"), Change("batch_norm"))
"""Changes that take something out of the net: what learns with it still there acquits it."""

NOT_THE_REASON = "What these change is not the reason (the repair does without them, and alone none of them helps)"
NO_HELP = "Alone none of these helps"


@dataclass(frozen=True)
class Skill:
    """Skill over seeds: 0 as by guessing, 1 perfect."""

    values: list[float]
    mean: float
    low: float | None  # 95 % interval of the mean
    high: float | None


@dataclass(frozen=True)
class Line:
    """A set of changes in the table."""

    changes: str
    single: bool
    skill: Skill
    difference: float | None  # from as asked, over the seeds in common
    low: float | None
    high: float | None
    p_value: float | None  # Holm-adjusted over the table


@dataclass(frozen=True)
class Step:
    """A change of the repair."""

    kind: str
    value: Any
    words: str
    cause: str


@dataclass(frozen=True)
class Verdict:
    """What is said of a script."""

    script: str
    learns: bool | None  # as asked; None: cannot be told
    sentence: str
    causes: list[Cause]
    repair: list[Step]
    confirmed: bool  # with seeds that the search did not use, by more than noise
    diff: list[Edit]
    measure: str  # what skill is made of
    asked: Skill | None
    fixed: Skill | None
    difference: Line | None  # fixed against asked, with the confirming seeds
    attainable: float | None
    reference: str | None
    table: list[Line]
    no_matter: list[str]  # not the reason, by what was seen
    no_help: list[str]  # of no help alone; whether beside others, nobody looked
    not_tried: list[str]
    signs: list[str]
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def verdict(found: Findings, script: str, diff: list[Edit], notes: list[str]) -> Verdict:
    """What the findings say; `notes` is what the record has to tell besides."""
    causes = rank(found)
    asked, fixed, difference, confirmed = _compared(found)
    words = _words(found)
    told = found.repair if confirmed or not found.learns else None  # a net that learns needs none that is unsure
    repair = sorted(told or (), key=lambda c: interventions.ORDER[c.kind])
    steps = [Step(c.kind, c.value, words(c), _cause_of(c, found, causes)) for c in repair]
    idle = _idle(found)
    acquitted = [change for change in idle if _acquitted(change, found, causes)]
    return Verdict(
        script=script,
        learns=False if found.learns is None and _impossible(found) else found.learns,
        sentence=_sentence(found, causes, steps, asked, fixed, difference),
        causes=causes,
        repair=steps,
        confirmed=confirmed,
        diff=diff if steps else [],
        measure=MEASURES[found.case.task.kind],
        asked=asked,
        fixed=fixed,
        difference=difference,
        attainable=found.attainable or None,
        reference=found.reference and f"{found.reference.name}, cross-validated skill {found.reference.skill:.2f}",
        table=_table(found, words),
        no_matter=[words(change) for change in idle if change in acquitted],
        no_help=[words(change) for change in idle if change not in acquitted],
        not_tried=_not_tried(found, words),
        signs=[symptom.text for symptom in found.symptoms],
        notes=notes + _notes(found),
        seconds=round(found.seconds, 1),
    )


def of_stand_ins(said: Verdict, own: Sequence[str]) -> Verdict:
    """The verdict where Keras' usual loss or optimizer stood in for the script's `own`: that these learn says less."""
    if not own or not said.learns or said.repair:
        return said
    names = " and ".join(own)
    sentence = (
        f"With Keras' usual one in the place of the script's own {names} it learns (skill {said.asked.mean:.2f}); "
        "whether it does as asked was not tried. If it does not, look there first."
    )
    kinds = ["loss_function" if name.startswith("loss") else "optimizer_choice" for name in own]
    causes = [Cause(kind, 0.0, False, f"the script's own {name}") for kind, name in zip(kinds, own, strict=True)]
    return replace(said, learns=None, sentence=sentence, causes=[*causes, *said.causes])


def _cause_of(change: Change, found: Findings, causes: list[Cause]) -> str:
    """What a change of the repair shows: of several causes the one that is ranked first."""
    shown = ordered(causes_of(change, found))
    return next((cause.name for cause in causes if cause.name in shown), shown[0])


def untried(script: str, reason: str, notes: list[str], signs: Sequence[Symptom] = ()) -> Verdict:
    """The verdict on a script with which no experiment can be made."""
    causes = guesses(signs)
    return Verdict(
        script=script,
        learns=None,
        sentence=f"I cannot tell: {reason}, so no change could be tried.{_guess(causes)}",
        causes=causes,
        repair=[],
        confirmed=False,
        diff=[],
        measure="",
        asked=None,
        fixed=None,
        difference=None,
        attainable=None,
        reference=None,
        table=[],
        no_matter=[],
        no_help=[],
        not_tried=[],
        signs=[symptom.text for symptom in signs],
        notes=notes,
    )


def _words(found: Findings) -> Callable[[Change], str]:
    case = found.case
    return lambda change: interventions.say(change, case.setup, case.data, case.task)


def summary(values: np.ndarray) -> Skill:
    """Mean with its t interval."""
    sample = describe(values)
    low = high = None
    if sample.n >= 2 and sample.sd > 0:
        low, high = (float(v) for v in stats.t.interval(LEVEL, sample.n - 1, sample.mean, sample.sd / sample.n**0.5))
    return Skill([round(float(v), 4) for v in values], round(sample.mean, 4), low, high)


def _compared(found: Findings) -> tuple[Skill | None, Skill | None, Line | None, bool]:
    """As asked and as fixed: by the confirming seeds where there are any."""
    confirmed = found.confirmation
    if confirmed is None:
        return (summary(found.asked.skills) if found.asked.runs else None), None, None, False
    fixed = summary(confirmed.fixed.skills) if confirmed.fixed.runs else None
    asked = summary(confirmed.asked.skills) if confirmed.asked.runs else None
    d = confirmed.difference
    if fixed is None:
        return asked or (summary(found.asked.skills) if found.asked.runs else None), None, None, False
    line = Line("", False, fixed, _known(d.mean), _known(d.low), _known(d.high), confirmed.p_value)
    return asked, fixed, line, confirmed.certain


def _known(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


def _table(found: Findings, words: Callable[[Change], str]) -> list[Line]:
    """Every set of changes that was trained, the fewest changes first, then the best."""
    tried = [tried for tried in found.cures if tried.runs]
    pairs = [_paired(t, found.asked) for t in tried]
    adjusted = holm([d.p_value for d in pairs])
    lines = [
        Line(
            together(t.changes, words),
            len(t.changes - found.first) <= 1,
            summary(t.skills),
            _known(d.mean),
            _known(d.low),
            _known(d.high),
            _known(p),
        )
        for t, d, p in zip(tried, pairs, adjusted, strict=True)
    ]
    order = sorted(range(len(tried)), key=lambda k: (len(tried[k].changes), -tried[k].skill))
    return [lines[k] for k in order]


def _paired(tried: Tried, asked: Tried):
    common = {run.seed for run in tried.runs} & {run.seed for run in asked.runs}
    pick = [[run.skill if run.finite else 0.0 for run in t.runs if run.seed in common] for t in (tried, asked)]
    return paired_difference(*pick)


def together(changes: Changes, words: Callable[[Change], str]) -> str:
    """Changes in words, in the order in which they are made."""
    return ", ".join(words(c) for c in sorted(changes, key=lambda c: interventions.ORDER[c.kind]))


def _idle(found: Findings) -> list[Change]:
    """Single changes that were tried and alone add nothing, unless the repair needs them."""
    if found.learns is not False:
        return []
    needed = {change.kind for change in found.repair or ()}
    idle = [c for c in found.candidates if c.kind not in needed and c not in found.first]
    return [change for change in idle if _adds_nothing(change, found.first, found)]


def _acquitted(change: Change, found: Findings, causes: list[Cause]) -> bool:
    """Whether what was seen shows that a change which adds nothing alone is not the reason.

    The net learns without it, and it adds nothing beside the rest of the repair, whichever part is left out: so it
    does not stand in for one. What the repair leaves in the net and no sign speaks of was seen beside all of it.
    """
    if not (found.repair and found.confirmation and found.confirmation.certain):
        return False
    case = found.case
    shown = interventions.causes(change, case.setup, case.data, case.task)
    if any(cause.name in shown for cause in causes):
        return False
    if change in TAKEN_OUT and not any(symptom.cause in shown for symptom in found.symptoms):
        return True
    parts = found.repair - found.first
    return all(_adds_nothing(change, found.repair - {part}, found) for part in parts)


def _adds_nothing(change: Change, beside: Changes, found: Findings) -> bool:
    """Whether a change was tried beside others, and the net was no better than with these, nor were a few seeds."""
    without, with_it = found.tried.get(beside), found.tried.get(beside | {change})
    if with_it is None or not with_it.runs or without is None or not (without.runs or without.error):
        return False
    gains = with_it.skill - without.skill, np.mean(with_it.skills) - np.mean(without.skills if without.runs else 0.0)
    return max(gains) < GAIN / 2


def _not_tried(found: Findings, words: Callable[[Change], str]) -> list[str]:
    if found.learns and not found.repair:
        return []
    missing: dict[str | None, list[str]] = {}  # changes by why they were not tried
    for change in found.candidates:
        tried = found.beside_first(change)
        if tried is None or not tried.runs:
            reason = tried and (tried.error or tried.lost)
            if reason and reason == found.asked.error:
                reason = "stopped by the same error"
            missing.setdefault(reason, []).append(words(change))
    if found.shortened:
        more = f"more than {found.shortened} of the {found.asked.asked_steps} steps that the script asks for"
        missing.setdefault(None, []).append(more)
    return [f"{', '.join(names)} ({reason})" if reason else "; ".join(names) for reason, names in missing.items()]


def _notes(found: Findings) -> list[str]:
    notes = []
    skills = found.asked.skills
    if len(skills) > 1 and skills.max() >= SOMETHING and skills.min() < 0.5 * skills.max():
        low = int((skills < 0.5 * skills.max()).sum())
        notes.append(f"As asked, {low} of {len(skills)} seeds learn much less than the best one.")
    if found.interrupted:
        notes.append("Interrupted: this is what was known so far.")
    held_out = found.asked.held_out
    if found.learns and held_out is not None and held_out < 0.3 * found.asked.skill:
        notes.append(f"On its validation data it is hardly better than guessing (skill {held_out:.2f}).")
    return notes


def _sentence(
    found: Findings,
    causes: list[Cause],
    steps: list[Step],
    asked: Skill | None,
    fixed: Skill | None,
    difference: Line | None,
) -> str:
    """The verdict in a sentence or two."""
    if found.confirmation and found.confirmation.certain:
        return _repaired(found, causes, steps, asked, fixed, difference)
    if found.asked.error:
        return f"It does not train: {found.asked.error.rstrip('.')}.{_guess(causes)}"
    if found.learns:
        remark = f" Yet {causes[0].text}." if causes else ""
        return f"It learns: no fault found (skill {found.asked.skill:.2f}{_part(found)}).{remark}"
    if nothing := _nothing_to_learn(found):
        return nothing
    if found.learns is None:
        return f"I cannot tell: {_not_known(found)}.{_guess(causes)}"
    return _not_repaired(found, causes, steps)


def _not_repaired(found: Findings, causes: list[Cause], steps: list[Step]) -> str:
    change = " and ".join(step.words for step in steps)
    maybe = f" What helped most, but not surely: {change}." if steps else ""
    if found.by_luck(found.all_asked):
        some = f"It learns in {_of(found, found.all_asked)} runs only, by chance"
        return f"{some}, and no repair of up to three changes surely does better.{maybe}{_guess(causes)}"
    if steps and found.confirmation.difference.n < 2:
        seems = f"with {change} it seems to (skill {found.tried[found.repair].skill:.2f})"
        return f"It does not learn; {seems}, and there was no time to try that again with fresh seeds.{_seen(found)}"
    told = _seen(found) + (maybe or _together(found))
    return f"It does not learn, and no repair of up to three changes was found.{told}{_guess(causes)}"


def _together(found: Findings) -> str:
    """What makes the net learn as a whole, where there was no time to find which of it is needed."""
    least = max(found.reach, found.asked.skill + GAIN)
    several = [tried for tried in found.cures if len(tried.changes - found.first) > MOST_CHANGES]
    whole = [tried for tried in several if tried.runs and tried.skill >= least]
    if not whole:
        return ""
    best = min(whole, key=lambda tried: (len(tried.changes), -tried.skill, sorted(map(str, tried.changes))))
    words, order = _words(found), sorted(best.changes, key=lambda change: interventions.ORDER[change.kind])
    return (
        f" Together these {len(order)} make it learn (skill {best.skill:.2f}, not tried again with fresh seeds), and "
        f"which of them are needed was not found: {'; '.join(map(words, order))}."
    )


def _repaired(
    found: Findings,
    causes: list[Cause],
    steps: list[Step],
    asked: Skill | None,
    fixed: Skill,
    difference: Line,
) -> str:
    change = " and ".join(step.words for step in steps)
    seeds = f"{len(fixed.values)} fresh seeds"
    if not asked:
        stops = f"It does not train: {found.asked.error.rstrip('.')}."
        return f"{stops} With {change} it does (skill {fixed.mean:.2f}, {seeds})."
    p_value = f"p {difference.p_value:.2g}" if difference.p_value >= 0.001 else "p < 0.001"
    measured = f"skill {asked.mean:.2f} as asked, {fixed.mean:.2f} with it{_part(found)}; {seeds}, {p_value}"
    luck = found.by_luck(found.all_asked)
    if luck:
        tested = found.confirmation.asked.skills, found.confirmation.fixed.skills
        counts = " as asked, ".join(_of(found, skills) for skills in tested)
        measured = f"of the fresh seeds {counts} with it learn{_part(found)}; {p_value}"
    if found.learns:
        return f"It learns, and does better with {change} ({measured})."
    if found.learns is None:
        return f"I cannot tell: there was no time for all of its steps; with {change} it learns faster ({measured})."
    needed = {step.cause for step in steps}
    named = [CAUSES[cause.name] for cause in causes if cause.name in needed] or [CAUSES[causes[0].name]]
    reliably = " reliably" if luck else ""
    because = f"It does not learn{reliably} because of {_listed(named)}: with {change} it does ({measured})."
    return because + _seen(found)


def _seen(found: Findings) -> str:
    """What somebody who runs the script sees of most seeds: losses that are NaN, or one answer for all samples."""
    runs = [*found.asked.runs, *(found.confirmation.asked.runs if found.confirmation else ())]
    for said, seen in (
        ("As asked the loss becomes NaN or infinite", [not run.finite for run in runs]),
        ("As asked the net gives one answer for all samples", [run.finite and run.one_answer for run in runs]),
    ):
        if 2 * sum(seen) > len(runs):
            return f" {said} ({sum(seen)} of {len(runs)} seeds)."
    return ""


def _of(found: Findings, skills: np.ndarray) -> str:
    """How many of some seeds learn."""
    return f"{int((skills >= found.reach).sum())} of {len(skills)}"


def _part(found: Findings) -> str:
    """How much of the training was looked at, where the time was too short for all of it."""
    return f" in {found.shortened} of its {found.asked.asked_steps} steps" if found.shortened else ""


def _listed(words: list[str]) -> str:
    """ "a, b and c"."""
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def _nothing_to_learn(found: Findings) -> str:
    """That the data do not allow it; empty if they do, or nobody knows."""
    if not found.asked.runs:
        return ""
    if _impossible(found):
        return f"It does not learn, and with these data it hardly could: {'; '.join(_data_signs(found))}."
    perhaps = "".join(f" A possible reason: {text}." for text in _data_signs(found))
    if found.by_heart and found.asked.skill >= SOMETHING:
        return (
            f"It learns at most by heart (skill {found.asked.skill:.2f} on its training samples): on samples that "
            "it was not trained on, neither it nor anything that was tried nor scikit-learn is surely better than "
            f"guessing.{perhaps}"
        )
    if found.by_heart:
        return (
            "It does not learn, and these data may not allow it: on samples that they were not trained on, neither "
            "scikit-learn's models nor any net that was looked at here is surely better than guessing."
            f"{_seen(found)}{perhaps}"
        )
    if found.attainable < SOMETHING and found.reference:
        return (
            "It does not learn, and these data may not allow it: the best of scikit-learn's models reaches a skill of "
            f"{found.reference.skill:.2f}, and no change here does better.{_seen(found)}{perhaps}"
        )
    return ""


def _impossible(found: Findings) -> bool:
    """Whether it learns nothing, and by what is reckoned from the data no net could."""
    certain = any(symptom.cause == UNLEARNABLE and symptom.reckoned for symptom in found.symptoms)
    return bool(certain and found.asked.runs and found.asked.skill < SOMETHING)


def _data_signs(found: Findings) -> list[str]:
    """What speaks for data from which the targets cannot be learnt, the surest first."""
    return [symptom.text for symptom in found.symptoms if symptom.cause == UNLEARNABLE]


def _guess(causes: list[Cause]) -> str:
    if not causes:
        return ""
    how = "measured in the data" if causes[0].measured else "a guess"
    return f" The likeliest cause, {how}: {CAUSES[causes[0].name]} ({causes[0].text})."


def _not_known(found: Findings) -> str:
    if not found.asked.runs:
        return found.asked.lost or "the time was too short to train it as asked"
    if found.shortened:
        return (
            f"in {found.shortened} of its {found.asked.asked_steps} steps it learns little, and more take too long here"
        )
    return "it learns nothing, and neither does anything that was tried"


def to_text(v: Verdict) -> str:
    """The verdict for a terminal."""
    parts = [v.sentence]
    if v.causes and not (v.learns and not v.repair):
        parts.append("Causes, the likeliest first:")
        for cause in v.causes[:5]:
            parts.append(f"  {cause.name} ({'measured' if cause.measured else 'a guess'}): {cause.text}")
    if v.diff:
        heading = "The change:" if v.confirmed else "What helped most, but not surely:"
        parts += ["", heading, *(f"  {line}" for line in as_diff(v.diff).splitlines())]
    if v.asked or v.fixed:
        parts.append("")
        parts.append(f"Skill ({v.measure} on training samples; 0 is guessing, 1 perfect), every seed:")
        parts += [
            f"  {name:9} {_values(skill)}" for name, skill in (("as asked", v.asked), ("as fixed", v.fixed)) if skill
        ]
    if v.reference:
        parts.append(f"For comparison: scikit-learn's {v.reference}.")
    if v.table and not (v.learns and not v.repair):
        parts += ["", *_rows(v.table)]
    if v.no_matter:
        parts += ["", f"{NOT_THE_REASON}: {'; '.join(v.no_matter)}."]
    if v.no_help:
        parts += ["", f"{NO_HELP}: {'; '.join(v.no_help)}."]
    if v.not_tried:
        parts.append("Not tried: " + "; ".join(v.not_tried) + ".")
    parts += v.notes
    return "\n".join(parts) + "\n"


def _values(skill: Skill) -> str:
    return " ".join(f"{value:.2f}" for value in skill.values)


def _rows(table: list[Line], most: int = 20) -> list[str]:
    rows = [f"{'change':62} {'skill':>6} {'difference [95 %]':>24} {'p':>6}"]
    for line in table[:most]:
        interval = f" [{line.low:+.2f}, {line.high:+.2f}]" if line.low is not None else ""
        difference = f"{line.difference:+.2f}{interval}" if line.difference is not None else "–"
        p_value = "–" if line.p_value is None else "<0.001" if line.p_value < 0.001 else f"{line.p_value:.2g}"
        *above, words = wrap(line.changes, 62, subsequent_indent="  ", break_long_words=False)
        rows += [*above, f"{words:62} {line.skill.mean:6.2f} {difference:>24} {p_value:>6}"]
    if len(table) > most:
        rows.append(f"… and {len(table) - most} more sets of changes")
    return rows
