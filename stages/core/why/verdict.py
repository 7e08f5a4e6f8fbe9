"""Findings in plain words: for the terminal, for programs, and for a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from textwrap import wrap
from typing import Any

import numpy as np
from scipy import stats

from stages.core.results.statistics import LEVEL, PairedDifference, describe, holm, paired_difference
from stages.core.why import interventions
from stages.core.why.causes import (
    CANNOT,
    GUESS,
    HELPS,
    MEASURED,
    UNLEARNABLE,
    Cause,
    causes_of,
    guesses,
    ordered,
    rank,
    shown_alone,
)
from stages.core.why.edits import Edit, as_diff
from stages.core.why.interventions import CAUSES, Change, counted, listed
from stages.core.why.net import output_activation
from stages.core.why.search import GAIN, MOST_CHANGES, SOMETHING, Changes, Findings, Tried, gain_of, helps_alone
from stages.core.why.symptoms import Symptom

MEASURES = {
    "binary": "balanced accuracy above chance",
    "classes": "balanced accuracy above chance",
    "labels": "balanced accuracy of each label, above chance",
    "values": "R²",
}
TAKEN_OUT = (Change("dropout"), Change("penalty"), Change("batch_norm"))
"""Changes that take something out of the net: what learns with it still there acquits it."""

NOT_THE_REASON = (
    "Not the reason (the repair works without changing these, and changing one of them alone does not help)"
)
NO_HELP = "Changing one of these alone does not help"
AS_ASKED = "as asked"
NO_TIME = "a larger `--minutes` gives more time"

LIKELIEST = {  # by how it is known
    MEASURED: "The likeliest cause, measured in the data",
    HELPS: "The likeliest cause, since to mend it helps alone",
    CANNOT: "The likeliest cause, which cannot work",
    GUESS: "The likeliest cause, a guess",
}


@dataclass(frozen=True)
class Skill:
    """Skill over seeds: 0 as by guessing, 1 perfect."""

    values: list[float]
    median: float
    mean: float
    low: float | None  # 95 % interval of the mean
    high: float | None


@dataclass(frozen=True)
class Line:
    """A set of changes in the table, or what they are compared with."""

    changes: str
    single: bool
    skill: Skill
    difference: float | None  # from as asked, over the seeds in common
    low: float | None  # of the 95 % interval, from three seeds on
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
    acquitted = {change for change in idle if _acquitted(change, found, causes)}
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
        reference=found.reference
        and f"scikit-learn's {found.reference.name}, on samples held out: {found.reference.skill:.2f}",
        table=_table(found, words),
        no_matter=interventions.nouns(acquitted, found.case.setup),
        no_help=interventions.nouns(set(idle) - acquitted, found.case.setup),
        not_tried=_not_tried(found, words),
        signs=[symptom.text for symptom in found.symptoms],
        notes=notes + _notes(found),
        seconds=round(found.seconds, 1),
    )


def of_stand_ins(said: Verdict, own: Sequence[str]) -> Verdict:
    """The verdict where Keras' usual loss or optimizer stood in for the script's `own`: that these learn says less."""
    if not own:
        return said
    usual = f"With Keras' usual one in place of the script's own {listed(list(own))}"
    if not said.learns or said.repair:
        return replace(said, sentence=f"{usual}: {said.sentence}")
    sentence = (
        f"{usual} it learns (skill {said.asked.median:.2f}); "
        "whether it does as asked was not tried. If it does not, look there first."
    )
    kinds = ["loss_function" if name.startswith("loss") else "optimizer_choice" for name in own]
    causes = [Cause(kind, 0.0, GUESS, f"the script's own {name}") for kind, name in zip(kinds, own, strict=True)]
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
    """Median, and mean with its t interval within what skill can be."""
    sample = describe(values)
    low = high = None
    if sample.n >= 2 and sample.sd > 0:
        interval = stats.t.interval(LEVEL, sample.n - 1, sample.mean, sample.sd / sample.n**0.5)
        low, high = (round(float(v), 4) for v in np.clip(interval, 0, 1))
    middle = round(float(np.median(values)), 4)
    return Skill([round(float(v), 4) for v in values], middle, round(sample.mean, 4), low, high)


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
    line = Line("", False, fixed, _known(d.mean), *_interval(d), confirmed.p_value)
    return asked, fixed, line, confirmed.certain


def _known(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


def _interval(d: PairedDifference) -> tuple[float | None, float | None]:
    """Of a difference of skills, which is no larger than 1; none of two seeds, whose own skills say more."""
    return (None, None) if d.n < 3 else tuple(_known(np.clip(end, -1, 1)) for end in (d.low, d.high))


def _table(found: Findings, words: Callable[[Change], str]) -> list[Line]:
    """As asked, then every set of changes that was trained, the fewest changes first, then the best."""
    tried = [tried for tried in found.cures if tried.runs]
    pairs = [_paired(t, found.asked) for t in tried]
    adjusted = holm([d.p_value for d in pairs])
    lines = [
        Line(
            together(t.changes, words) + _cut(t, found),
            len(t.changes - found.first) <= 1,
            summary(t.skills),
            _known(d.mean),
            *_interval(d),
            _known(p),
        )
        for t, d, p in zip(tried, pairs, adjusted, strict=True)
    ]
    order = sorted(range(len(tried)), key=lambda k: (len(tried[k].changes), -tried[k].skill))
    asked = [Line(AS_ASKED, False, summary(found.asked.skills), None, None, None, None)] if found.asked.runs else []
    return asked + [lines[k] for k in order]


def _cut(tried: Tried, found: Findings) -> str:
    """How many of its steps were trained, where these are not all and not as many as those as asked."""
    if not tried.cut or tried.steps == found.shortened:
        return ""
    return f" ({tried.steps:,} of its {tried.asked_steps:,} steps)"


def _paired(tried: Tried, asked: Tried):
    common = {run.seed for run in tried.runs} & {run.seed for run in asked.runs}
    pick = [[run.skill if run.finite else 0.0 for run in t.runs if run.seed in common] for t in (tried, asked)]
    return paired_difference(*pick)


def together(changes: Changes, words: Callable[[Change], str]) -> str:
    """Changes in words, in the order in which they are made."""
    return " + ".join(words(c) for c in sorted(changes, key=lambda c: interventions.ORDER[c.kind]))


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
    if any(other.kind == change.kind and gain_of(other, found) >= GAIN / 2 for other in found.candidates):
        return False
    shown = shown_alone(change, found)
    if any(cause.name in shown or (change.kind == "rate" and "learning_rate" in cause.name) for cause in causes):
        return False
    if change in TAKEN_OUT and not any(symptom.cause in shown for symptom in found.symptoms):
        return True
    parts = found.repair - found.first
    return all(_adds_nothing(change, found.repair - {part}, found) for part in parts)


def _adds_nothing(change: Change, beside: Changes, found: Findings) -> bool:
    """Whether a change was tried beside others, and the net was no better than with these, nor were a few seeds.

    Of a training that was cut short where the script's own was not, nothing follows.
    """
    without, with_it = found.tried.get(beside), found.tried.get(beside | {change})
    if with_it is None or not with_it.runs or without is None or not (without.runs or without.error):
        return False
    if with_it.cut and not found.shortened:
        return False
    gains = with_it.skill - without.skill, np.mean(with_it.skills) - np.mean(without.skills if without.runs else 0.0)
    return max(gains) < GAIN / 2


def _not_tried(found: Findings, words: Callable[[Change], str]) -> list[str]:
    """What was not tried or not trained to the end, with the reason in brackets."""
    if found.learns and not found.repair:
        return []
    unlearnable = any(symptom.cause == UNLEARNABLE and symptom.reckoned for symptom in found.symptoms)
    ended = found.interrupted or found.by_heart or unlearnable  # then it was not the time that was short
    late = None if ended else NO_TIME
    missing: dict[str | None, list[str]] = {}  # changes by why they were not tried
    for change in found.candidates:
        tried = found.beside_first(change)
        if tried is None or not tried.runs:
            reason = tried and (tried.error or tried.lost)
            if reason and reason == found.asked.error:
                reason = "stopped by the same error"
            missing.setdefault(reason or late, []).append(words(change))
    cut = [
        c for c in found.candidates if (tried := found.beside_first(c)) and tried.cut and c not in (found.repair or ())
    ]
    if found.shortened:
        more = f"more than {found.shortened:,} of the {found.asked.asked_steps:,} steps that the script asks for"
        missing.setdefault(late, []).append(more)
    elif cut:
        missing[f"not all of their steps; {NO_TIME}"] = [words(change) for change in cut]
    return [f"{'; '.join(names)}{f' ({reason})' if reason else ''}" for reason, names in missing.items()]


def _notes(found: Findings) -> list[str]:
    notes = []
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
        return _no_fault(found) + (f" Yet {causes[0].text}." if causes else "")
    if nothing := _nothing_to_learn(found, causes):
        return nothing
    if found.learns is None:
        return f"I cannot tell: {_not_known(found)}.{_guess(causes)}"
    return _not_repaired(found, causes, steps)


def _no_fault(found: Findings) -> str:
    skill, every = f"skill {found.asked.skill:.2f}{_part(found)}", found.all_asked
    if found.by_luck(every):
        worst = f"no fault found, but the worst run reaches only {every.min():.2f}"
        return f"It learns in {_of(found, every)} runs (median {skill}): {worst}."
    return f"It learns: no fault found ({skill})."


def _not_repaired(found: Findings, causes: list[Cause], steps: list[Step]) -> str:
    change = listed([step.words for step in steps])
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
    change = listed([step.words for step in steps])
    seeds = f"{len(fixed.values)} fresh seeds"
    if not asked:
        stops = f"It does not train: {found.asked.error.rstrip('.')}."
        return f"{stops} With {change} it does (skill {fixed.median:.2f}, {seeds})."
    p_value = f"p = {difference.p_value:.2g}" if difference.p_value >= 0.001 else "p < 0.001"
    trained = _part(found) or _cut(found.confirmation.fixed, found)
    measured = f"skill {asked.median:.2f} as asked, {fixed.median:.2f} with it{trained}; {seeds}, {p_value}"
    luck = found.by_luck(found.all_asked)
    if luck:
        n = min(len(asked.values), len(fixed.values))
        before, after = (sum(value >= found.reach for value in skill.values[:n]) for skill in (asked, fixed))
        measured = f"of {n} fresh seeds, {before} learn as asked and {after} with it{trained}; {p_value}"
    if found.learns:
        return f"It learns, and does better with {change} ({measured})."
    if found.learns is None:
        return f"I cannot tell: there was no time for all of its steps; with {change} it learns faster ({measured})."
    needed = {step.cause for step in steps}
    named = [cause.name for cause in causes if cause.name in needed] or [causes[0].name]
    words = listed([_in_words(name, found, steps) for name in named])
    reliably = " reliably" if luck else ""
    because = f"It does not learn{reliably} because of {words}: with {change} it does ({measured})."
    return because + _enough_alone(found) + _seen(found)


def _in_words(name: str, found: Findings, steps: list[Step]) -> str:
    """A cause; of an output that the repair leaves as it is, what the repair changes."""
    kinds = {step.kind for step in steps}
    if name == "output_activation" and "targets" in kinds and kinds.isdisjoint(("head", "output")):
        return f"targets that {output_activation(found.case.setup.net)} at the output cannot give"
    return CAUSES[name]


def _enough_alone(found: Findings, most: int = 3) -> str:
    """Other single changes that seem to do as well: then the cause is one of several that can be mended."""
    others = [c for c in found.candidates if c not in found.repair and helps_alone(c, found)]
    tries = [(change, found.beside_first(change)) for change in others]
    enough = [
        (c, tried.skill) for c, tried in tries if tried.skill >= found.reach and tried.changes not in found.refuted
    ]
    best = sorted(enough, key=lambda pair: -pair[1])[:most]
    words = _words(found)
    said = listed([f"{words(change)} ({skill:.2f})" for change, skill in best])
    return f" Alone enough in a first look, too: {said}." if best else ""


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
    return f" in {found.shortened:,} of its {found.asked.asked_steps:,} steps" if found.shortened else ""


def _nothing_to_learn(found: Findings, causes: list[Cause]) -> str:
    """That the data do not allow it; empty if they do, or nobody knows."""
    if not found.asked.runs:
        return ""
    if _impossible(found):
        signs = "; ".join(_data_signs(found))
        others = [cause for cause in causes if cause.name != UNLEARNABLE]
        return f"It does not learn, and from these data there is little to learn: {signs}.{_guess(others)}"
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
    return f" {LIKELIEST[causes[0].how]}: {CAUSES[causes[0].name]} ({causes[0].text})."


def _not_known(found: Findings) -> str:
    if not found.asked.runs:
        return found.asked.lost or "the time was too short to train it as asked"
    if found.shortened:
        return f"{_part(found).strip()} it learns little, and more take too long here; {NO_TIME}"
    return "it learns nothing, and neither does anything that was tried"


def to_text(v: Verdict) -> str:
    """The verdict for a terminal."""
    parts = [v.sentence]
    if v.causes and faulty(v):
        parts.append("Causes, the likeliest first:")
        parts += [f"  {CAUSES[cause.name]} ({cause.name}, {cause.how}): {cause.text}" for cause in v.causes[:5]]
    if v.diff:
        parts += ["", f"{change_heading(v)}:", *(f"  {line}" for line in as_diff(v.diff).splitlines())]
    if v.asked or v.fixed:
        parts.append("")
        parts.append(f"Skill ({v.measure} on training samples; 0 is guessing, 1 perfect), every seed:")
        parts += [
            f"  {name:9} {_values(skill)}" for name, skill in ((AS_ASKED, v.asked), ("as fixed", v.fixed)) if skill
        ]
    if v.reference:
        parts.append(f"For comparison: {v.reference}.")
    if len(v.table) > 1 and faulty(v):
        parts += ["", table_heading(v), *_rows(v.table)]
    if v.no_matter:
        parts += ["", f"{NOT_THE_REASON}: {'; '.join(v.no_matter)}."]
    if v.no_help:
        parts += ["", f"{NO_HELP}: {'; '.join(v.no_help)}."]
    parts += [f"Not tried: {item}." for item in v.not_tried]
    parts += v.notes
    return "\n".join(parts) + "\n"


def faulty(v: Verdict) -> bool:
    """Whether there is something to mend, so that causes and what was tried are told."""
    return not (v.learns and not v.repair)


def change_heading(v: Verdict) -> str:
    return "The change" if v.confirmed else "What helped most, but not surely"


def table_heading(v: Verdict) -> str:
    """What the table is made of, as the numbers above it are others."""
    least, *more = sorted({len(line.skill.values) for line in v.table})
    seeds = f"{least} {'to' if more[1:] else 'or'} {more[-1]} seeds" if more else counted(least, "seed")
    again = "; the repair was tried again with the fresh seeds above" if v.difference else ""
    return f"A first look, with {seeds} each (median skill){again}. –: all seeds alike, or too few."


def signed(value: float) -> str:
    """A difference, without a minus before 0.00."""
    return f"{round(value, 2) + 0.0:+.2f}"


def interval(line: Line) -> str:
    """The interval of a difference; of two seeds that differ, both; else empty."""
    if line.low is not None:
        return f"[{signed(line.low)}, {signed(line.high)}]"
    alike = len(line.skill.values) != 2 or line.skill.low is None or line.difference is None
    return "" if alike else f"({_values(line.skill, ' and ')})"


def probability(line: Line) -> str:
    """The p of a difference, a dash where none can be told."""
    if line.difference is None:
        return ""
    p = line.p_value
    return "–" if p is None else "<0.001" if p < 0.001 else f"{p:.2g}"


def _values(skill: Skill, between: str = " ") -> str:
    return between.join(f"{value:.2f}" for value in skill.values)


def _rows(table: list[Line], most: int = 20) -> list[str]:
    rows = [f"{'change':62} {'skill':>6} {'difference [95 %]':>24} {'p':>6}"]
    for line in table[:most]:
        difference = "" if line.difference is None else f"{signed(line.difference)} {interval(line)}".strip()
        *above, words = wrap(line.changes, 62, subsequent_indent="  ", break_long_words=False)
        rows += [*above, f"{words:62} {line.skill.median:6.2f} {difference:>24} {probability(line):>6}".rstrip()]
    if len(table) > most:
        rows.append(f"… and {len(table) - most} more sets of changes")
    return rows
