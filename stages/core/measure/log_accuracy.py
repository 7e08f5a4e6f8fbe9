"""How often the words for a training log are right: precision and recall, and false alarms on healthy logs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stages.core.why.log_advice import ADVICE, HARMLESS, HEALTHY, NOTHING

NEVER_CLAIMED = {HEALTHY, NOTHING}
"""Words that say that nothing is wrong."""


@dataclass(frozen=True)
class Judgement:
    """What is true of a training and what its log was said to show, of the words that can be judged on it."""

    truth: frozenset[str]
    said: frozenset[str]
    judged: frozenset[str]


@dataclass(frozen=True)
class Score:
    """Of one word, in trainings."""

    word: str
    right: int  # said and true
    wrong: int  # said and not true
    missed: int  # true and not said


def scores(judgements: Sequence[Judgement]) -> list[Score]:
    """One score a word that claims something, in the order in which words are told."""
    result = []
    for word in ADVICE:
        if word in NEVER_CLAIMED:
            continue
        known = [one for one in judgements if word in one.judged]
        right = sum(word in one.said and word in one.truth for one in known)
        wrong = sum(word in one.said and word not in one.truth for one in known)
        missed = sum(word not in one.said and word in one.truth for one in known)
        result.append(Score(word, right, wrong, missed))
    return result


def false_alarms(judgements: Sequence[Judgement]) -> tuple[int, int, int]:
    """Trainings of which no fault is true, those of them that are called ill, and those of which any word is said."""
    healthy = [one for one in judgements if not one.truth - set(HARMLESS)]
    ill = sum(bool(one.said - set(HARMLESS)) for one in healthy)
    spoken = sum(bool(one.said - NEVER_CLAIMED) for one in healthy)
    return len(healthy), ill, spoken


def to_markdown(judgements: Sequence[Judgement], made: Mapping[str, str]) -> str:
    """The table, and how it came about.

    Args:
        made: what the trainings are, as words by heading.
    """
    healthy, ill, spoken = false_alarms(judgements)
    lines = [
        "# How often `regbench why --log` is right\n",
        f"{len(judgements)} trainings by plain Keras, written as logs in all formats, on data sets and nets other than "
        "those on which the thresholds were chosen. What is true of a training was measured apart from its log: on "
        "held-out samples that the log does not know, by looking into the net, by training it longer and at other "
        "learning rates.\n",
        *(f"- {name}: {value}" for name, value in made.items()),
        "",
        f"**Healthy logs called ill: {ill} of {healthy}.** {_harmless()} are no faults; with them, something was said "
        f"of {spoken}.\n",
        "| Word | True of | Said of | Precision | Recall |",
        "| --- | ---: | ---: | ---: | ---: |",
        *(_row(score) for score in scores(judgements)),
        "",
        _healthy(judgements),
        "",
        "Precision: share of the trainings of which the word is said, of which it is true. Recall: share of those of "
        "which it is true, of which it is said. Much cannot be seen in a log: a net without validation data overfits "
        "unseen, a penalty is printed beside nothing that it could be compared with, and a better learning rate exists "
        "that nothing points to.",
    ]
    return "\n".join(lines) + "\n"


def _healthy(judgements: Sequence[Judgement]) -> str:
    said = [one for one in judgements if HEALTHY in one.said]
    right = sum(not one.truth - set(HARMLESS) for one in said)
    return (
        f"`{HEALTHY}` was said of {len(said)}; no fault was true of {right} of these. It means that the "
        "log shows nothing, not that nothing is there."
    )


def _harmless() -> str:
    words = [word for word in HARMLESS if word not in NEVER_CLAIMED]
    return f"{', '.join(words[:-1])} and {words[-1]}".capitalize()


def _row(score: Score) -> str:
    said, true = score.right + score.wrong, score.right + score.missed
    return f"| {score.word} | {true} | {said} | {_share(score.right, said)} | {_share(score.right, true)} |"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2f}" if whole else "–"
