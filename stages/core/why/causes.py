"""Causes, ranked by evidence: what the repair changed and by how much, and signs that need no training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from stages.core.why import interventions
from stages.core.why.interventions import Change
from stages.core.why.search import GAIN, NOTHING, PRIOR, SOMETHING, Changes, Findings, gain_of, helps_alone
from stages.core.why.symptoms import CERTAIN, LIKELY, Symptom

HEAD_CAUSES = ("output_activation", "output_units", "loss_function", "label_encoding")
UNLEARNABLE = "data_unlearnable"
NO_EXPERIMENT = ("metric_only", "penalty_without_effect", UNLEARNABLE)
"""Causes that no change of the setup shows."""

DIVERGES = 0.4
"""Evidence of a change with which the loss does not become NaN."""

LEAST = 0.3
"""Evidence below which a cause is not named."""

DEAD = 0.5
"""Share of relu units that are 0 for every sample from which on these are blamed."""

MEASURED, HELPS, CANNOT, GUESS = "measured", "helps alone", "cannot work", "a guess"
"""How a cause is known: a change that the repair needs shows it, or it is reckoned from the data; a change that is not
in the repair makes every seed better; its sign cannot work as it is; otherwise."""


@dataclass(frozen=True)
class Cause:
    """A cause, and why it is named."""

    name: str  # one of interventions.CAUSES
    evidence: float  # for the order alone
    how: str  # it is known: MEASURED, HELPS, CANNOT or GUESS
    text: str


def rank(found: Findings) -> list[Cause]:
    """Causes, the likeliest first; none where the net learns and nothing was found that makes it learn better.

    Without what is changed before all else nothing trains, so it comes first.
    """
    causes = _remarks(found) if found.learns and not _confirmed(found) else _all(found)
    first = {name for change in found.first for name in causes_of(change, found)}
    return sorted(causes, key=lambda cause: (cause.name not in first, -cause.evidence))


def guesses(signs: Iterable[Symptom]) -> list[Cause]:
    """What signs alone speak for, where nothing could be tried."""
    strongest: dict[str, Symptom] = {}
    for symptom in sorted(signs, key=lambda symptom: -symptom.weight):
        if symptom.weight >= LIKELY:
            strongest.setdefault(symptom.cause, symptom)
    return [Cause(symptom.cause, symptom.weight, _how(symptom), symptom.text) for symptom in strongest.values()]


def _how(symptom: Symptom) -> str:
    return MEASURED if symptom.reckoned else CANNOT if symptom.weight >= CERTAIN else GUESS


def _confirmed(found: Findings) -> bool:
    return bool(found.repair and found.confirmation and found.confirmation.certain)


def _remarks(found: Findings) -> list[Cause]:
    """What a net that learns should be told all the same."""
    least = {"metric_only": LIKELY, "penalty_without_effect": LIKELY, "data_order": CERTAIN}
    told = [s for s in found.symptoms if s.weight >= least.get(s.cause, np.inf)]
    return [Cause(symptom.cause, symptom.weight, GUESS, symptom.text) for symptom in told]


def _all(found: Findings) -> list[Cause]:
    evidence: dict[str, float] = {}
    texts: dict[str, list[str]] = {}
    helps: dict[str, list[str]] = {}
    signed = {symptom.cause for symptom in found.symptoms}
    how = {s.cause: _how(s) for s in reversed(found.symptoms) if not (_confirmed(found) and _stands(s, found))}
    how |= {s.cause: MEASURED for s in found.symptoms if s.reckoned}

    def add(name: str, weight: float, text: str = "") -> None:
        evidence[name] = evidence.get(name, 0.0) + weight
        if text and text not in texts.setdefault(name, []):
            texts[name].append(text)

    case = found.case
    say = (case.setup, case.data, case.task)
    for change in found.repair or ():
        effect = effect_of(change, found)
        for place, name in enumerate(ordered(causes_of(change, found))):
            text = f"changed in the repair: {interventions.say(change, *say)}"
            add(name, (0.6 + 0.4 * effect) * 0.9**place, text if place == 0 or name not in signed else "")
            if _confirmed(found):
                how[name] = MEASURED
    for symptom, weight in _weighed(found):
        add(symptom.cause, weight, symptom.text)
    for change in found.candidates:
        if change not in (found.repair or ()) and (gain := gain_of(change, found)) >= GAIN:
            name = ordered(shown_alone(change, found))[0]
            add(name, 0.5 * gain / max(found.attainable, gain))
            words = f"{interventions.say(change, *say)} (skill {found.beside_first(change).skill:.2f})"
            helps.setdefault(name, []).append(words)
            if helps_alone(change, found) and how.get(name) != MEASURED:
                how[name] = HELPS
    for name, words in helps.items():
        texts.setdefault(name, []).append(f"alone it helped{', too' if found.repair else ''}: {' or '.join(words)}")
    for name, words in _calming(found).items():
        told = [word for word in words if not any(word in text for text in helps.get(name, []))]
        text = f"the loss becomes NaN or infinite as asked, and not with {' or '.join(told)}" if told else ""
        add(name, DIVERGES, text)
    if found.reference and (found.by_heart or found.attainable < SOMETHING):
        visible = found.asked.diverges  # then that is the first thing to mend, and to tell
        add(UNLEARNABLE, LEAST if visible else 2.0, f"scikit-learn ({found.reference.name}) finds nothing either")
    causes = [Cause(n, e, how.get(n, GUESS), "; ".join(texts.get(n, [n]))) for n, e in evidence.items()]
    return [cause for cause in causes if cause.evidence >= LEAST] or sorted(causes, key=lambda c: -c.evidence)[:1]


def _stands(symptom: Symptom, found: Findings) -> bool:
    """Whether the repair leaves what a sign speaks of as it is."""
    return bool(symptom.changes) and found.repair.isdisjoint(symptom.changes)


def _calming(found: Findings) -> dict[str, list[str]]:
    """By cause, single changes with which the loss stays finite where as asked it seldom does."""
    if not (found.beside_first() or found.asked).diverges:
        return {}
    case, calming = found.case, {}
    for change in found.candidates:
        tried = found.beside_first(change)
        if change in (found.repair or found.first) or not tried or not all(run.finite for run in tried.runs):
            continue
        name = ordered(shown_alone(change, found))[0]
        calming.setdefault(name, []).append(interventions.say(change, case.setup, case.data, case.task))
    return calming


def causes_of(change: Change, found: Findings) -> tuple[str, ...]:
    """What a change of the repair shows, the others' output being there: targets scaled for another one show less."""
    case = found.case
    output = [c for c in found.repair or () if c.kind in ("head", "output") and c != change]
    setup, _, _ = interventions.apply(output, case.setup, case.data, case.task)
    return _as_seen(interventions.causes(change, setup, case.data, case.task), found)


def shown_alone(change: Change, found: Findings) -> tuple[str, ...]:
    """What a change shows if it helps the net as asked."""
    case = found.case
    return _as_seen(interventions.causes(change, case.setup, case.data, case.task), found)


def _as_seen(names: tuple[str, ...], found: Findings) -> tuple[str, ...]:
    """Relu units are blamed where many were seen to be dead, and the activation as such otherwise."""
    return tuple("hidden_activation" if n == "dead_relu" and found.asked.dead < DEAD else n for n in names)


def ordered(names: tuple[str, ...]) -> list[str]:
    """Causes of a head, what is mostly to blame first."""
    return sorted(names, key=lambda name: HEAD_CAUSES.index(name) if name in HEAD_CAUSES else 0)


def _weighed(found: Findings) -> Iterator[tuple[Symptom, float]]:
    """The strongest sign of each cause with what it weighs; of data that cannot be learnt the others too, for 0."""
    heard = set()
    for symptom in sorted(found.symptoms, key=lambda symptom: -symptom.weight):
        if symptom.cause not in heard or symptom.cause == UNLEARNABLE:
            yield symptom, 0.0 if symptom.cause in heard else _sign(symptom, found)
        heard.add(symptom.cause)


def _sign(symptom: Symptom, found: Findings) -> float:
    """What a sign weighs: less if its cure was tried and is not needed."""
    weight = 0.9 if symptom.weight >= CERTAIN else 0.45 if symptom.weight >= LIKELY else 0.1
    if symptom.cause == UNLEARNABLE and symptom.weight < CERTAIN and _confirmed(found):
        return 0.0  # it was learnt
    if symptom.weight >= CERTAIN or symptom.cause in NO_EXPERIMENT or not _confirmed(found):
        return weight
    needed = any(change in found.repair for change in symptom.changes)
    helps = any(gain_of(change, found) >= GAIN for change in symptom.changes)
    return weight if needed or helps else weight * (0.6 if symptom.cause in HEAD_CAUSES else 0.4)


def effect_of(change: Change, found: Findings) -> float:
    """Share of the repair's skill that is lost without a change, 0 to 1; by its prior where that was not tried."""
    repair: Changes = found.repair or NOTHING
    whole, without = found.tried.get(repair), found.tried.get(repair - {change})
    if len(repair) == 1 or change in found.first or not whole or not whole.skill:
        return 1.0
    if without and (without.runs or without.error):
        return min(1.0, max(0.0, (whole.skill - without.skill) / whole.skill))
    return PRIOR.get(change.kind, 0.05) * 2
