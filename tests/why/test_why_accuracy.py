"""Scripts with known faults, and how a verdict on them is scored."""

import ast
import json
from collections import Counter
from dataclasses import asdict

from stages.core.measure import why_programs
from stages.core.measure.why_accuracy import Judged, mistakes, precision, score, to_markdown
from stages.core.why.interventions import CAUSES

CASES = list(why_programs.programs())


def judged(**settings):
    usual = {
        "name": "moons_slow",
        "program": "moons",
        "faults": ("slow",),
        "truth": ("learning_rate_low",),
        "tuned": True,
    }
    said = {
        "learns": False,
        "repaired": True,
        "changes": ("x",),
        "causes": ("learning_rate_low",),
        "skill": 0.0,
        "seconds": 9.0,
    }
    return Judged(**{**usual, **said, **settings})


HEALTHY = {"name": "moons", "faults": (), "truth": (), "learns": True, "repaired": False, "causes": ()}


def test_there_are_enough_scripts_and_each_is_another():
    assert sum(not case.faults for case in CASES) >= 20
    assert sum(bool(case.faults) for case in CASES) >= 60
    assert len({case.text for case in CASES}) == len({case.name for case in CASES}) == len(CASES)
    kinds = Counter(kind for case in CASES for kind in case.faults)
    assert set(kinds) == set(why_programs.FAULTS)
    assert min(kinds.values()) >= 2


def test_every_script_is_python_and_every_truth_a_cause():
    for case in CASES:
        ast.parse(case.text)
        assert set(case.causes) <= set(CAUSES), case.name


def test_a_fault_is_seen_in_the_script():
    healthy = {case.name: case.text for case in CASES if not case.faults}
    for case in CASES:
        assert not case.faults or case.text != healthy[case.program], case.name


def test_scores():
    some = [
        judged(),
        judged(causes=("input_scale", "learning_rate_low")),
        judged(causes=("input_scale",), repaired=False),
        judged(truth=("data_unlearnable",), causes=("data_unlearnable",), repaired=False),
        judged(learns=True, repaired=False, causes=()),
    ]
    found = score("all", some)
    assert (found.scripts, found.curable, found.repaired, found.first, found.among, found.harmless) == (
        4,
        3,
        2,
        2,
        3,
        1,
    )
    assert precision(some) == {"data_unlearnable": (1, 1), "input_scale": (2, 0), "learning_rate_low": (1, 1)}
    assert mistakes(some) == some[1:3]


def test_false_alarms_are_mistakes():
    alarm, better, fine = (
        judged(**{**HEALTHY, "learns": False}),
        judged(**{**HEALTHY, "repaired": True}),
        judged(**HEALTHY),
    )
    assert mistakes([alarm, better, fine]) == [alarm, better]
    text = to_markdown([alarm, better, fine, judged()], {"Budget": "5 minutes"})
    assert "Of 3 scripts that learn, 1 were said not to; for 1 something better was found." in text


def test_what_is_kept_comes_back():
    assert Judged.from_json(json.dumps(asdict(judged()))) == judged()
