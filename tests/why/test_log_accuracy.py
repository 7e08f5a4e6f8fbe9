"""Precision, recall and false alarms of the words for logs are counted as they are defined."""

from stages.core.measure.log_accuracy import Judgement, false_alarms, scores, to_markdown
from stages.core.why.log_advice import CHANCE, CONSTANT, DIVERGED, HEALTHY, IMPROVING, NOTHING


def judgement(truth, said, judged=(CHANCE, CONSTANT, DIVERGED, IMPROVING)):
    return Judgement(frozenset(truth), frozenset(said), frozenset(judged))


JUDGEMENTS = [
    judgement({CHANCE}, {CHANCE, CONSTANT}),
    judgement({CHANCE}, {NOTHING}),
    judgement({DIVERGED}, {DIVERGED}),
    judgement({DIVERGED}, {DIVERGED, CHANCE}, judged={DIVERGED}),  # whether it is at chance is not known
    judgement(set(), {HEALTHY}),
    judgement(set(), {IMPROVING}),  # harmless
    judgement(set(), {CHANCE}),
]


def test_counts():
    counted = {score.word: (score.right, score.wrong, score.missed) for score in scores(JUDGEMENTS)}
    assert counted[CHANCE] == (1, 1, 1)
    assert counted[CONSTANT] == (0, 1, 0)
    assert counted[DIVERGED] == (2, 0, 0)
    assert not {HEALTHY, NOTHING} & set(counted)


def test_false_alarms_are_faults_said_of_healthy_trainings():
    assert false_alarms(JUDGEMENTS) == (3, 1, 2)


def test_the_table_has_both_and_no_share_of_nothing():
    text = to_markdown(JUDGEMENTS, {"Versions": "x 1"})
    assert "| at chance | 2 | 2 | 0.50 | 0.50 |" in text
    assert "| constant output | 0 | 1 | 0.00 | – |" in text
    assert "**Healthy logs called ill: 1 of 3.**" in text
