"""What `make verify`, `make torture` and `make soak` conclude from what they see."""

import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_records import a_config, a_record

from stages.core.measure import reliability, soak, verification
from stages.core.records import records

ACCURACY = np.array([0.94, 0.95, 0.96, 0.95, 0.94])


def a_row(test=ACCURACY, **options):
    record = a_record(a_config(seeds=len(test)), test=test, **options)
    return records.load_json(records.to_json(record), "record")


def diverged(record, seeds):
    record = copy.deepcopy(record)
    for seed in seeds:
        record["seeds"][seed]["first_non_finite_epoch"] = 2
        for figures in record["seeds"][seed]["final"].values():
            figures.update(dict.fromkeys(figures))
    return record


# --- verify ----------------------------------------------------------------------------------------------------------


def test_a_row_that_gives_the_same_numbers_is_identical_whatever_trained_it():
    fresh = a_row() | {"versions": {"numpy": "3"}, "device": "gpu"}
    verdict = verification.compare("a/b", a_row(), fresh)
    assert (verdict.word, verdict.inside) == ("identical", True)


def test_other_seeds_would_be_inside_the_tolerance_and_the_last_digit_makes_the_difference():
    verdict = verification.compare("a/b", a_row(), a_row(ACCURACY[::-1] + 1e-6))
    assert (verdict.word, verdict.inside) == ("inside the tolerance", True)


@pytest.mark.parametrize(("shift", "inside"), [(0.015, True), (0.06, False), (-0.06, False)])
def test_means_may_differ_as_those_of_other_seeds_would(shift, inside):
    """s = 0.0084, t(0.9995, 8) = 5.04: 0.0267, and 1/50 for a test sample."""
    verdict = verification.compare("a/b", a_row(), a_row(ACCURACY + shift))
    (test,) = [difference for difference in verdict.differences if difference.split == "test"]
    assert test.tolerance == pytest.approx(5.0413 * ACCURACY.std(ddof=1) * np.sqrt(2 / 5) + 1 / 50, rel=1e-4)
    assert verdict.inside is inside
    assert verdict.word == ("inside the tolerance" if inside else "DIFFERENT")


def test_without_spread_one_sample_may_differ():
    flat = np.full(3, 0.9)
    assert verification.compare("a/b", a_row(flat), a_row(flat + 0.019)).inside
    assert not verification.compare("a/b", a_row(flat), a_row(flat + 0.03)).inside
    one = flat[:1]
    assert verification.compare("a/b", a_row(one), a_row(one + 0.019)).inside
    assert not verification.compare("a/b", a_row(one), a_row(one + 0.03)).inside


def test_seeds_that_all_diverge_must_do_so_again():
    whole, none, some = a_row(), diverged(a_row(), range(5)), diverged(a_row(), [1, 3])
    assert verification.compare("a/b", none, none).identical
    assert not verification.compare("a/b", none, whole).inside
    assert not verification.compare("a/b", whole, some).inside
    assert verification.compare("a/b", some, whole).inside
    assert not verification.compare("a/b", some, none).inside


def test_the_table_shows_the_split_that_comes_closest():
    verdicts = [
        verification.compare("a/b", a_row(), a_row(ACCURACY + 0.06)),
        verification.compare("a/c", diverged(a_row(), range(5)), diverged(a_row(), range(5))),
    ]
    lines = verification.to_markdown(verdicts).splitlines()
    assert lines[2].startswith("| a/b | DIFFERENT | test | 0.9480 | +0.06 | ")
    assert lines[3].startswith("| a/c | identical | ")


# --- torture ---------------------------------------------------------------------------------------------------------

TESTS = """
import pytest
def test_good(): pass
def test_bad(): assert False
@pytest.mark.skip(reason="no disk")
def test_ugly(): pass
def test_counted(record_testsuite_property): record_testsuite_property("1 kills", 7)
class TestThese:
    def test_more(self): pass
@pytest.fixture
def broken(): raise ValueError
def test_erring(broken): pass
"""


def test_what_pytest_reports_is_read(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_some.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "--junitxml=report.xml", "-p", "no:cacheprovider", "tests/test_some.py"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    cases, figures = reliability.read((tmp_path / "report.xml").read_text())
    assert figures == {"1 kills": "7"}
    assert {case.test.removeprefix("test_some::test_"): case.outcome for case in cases} == {
        "good": "passed", "bad": "failed", "ugly": "skipped", "counted": "passed", "more": "passed", "erring": "failed",
    }  # fmt: skip
    assert [case.message for case in cases if case.outcome == "skipped"] == ["no disk"]


def some_cases():
    names = {
        1: ["test_reliability::test_after_a_kill_the_next[0]", "test_files::test_a_killed_writer"],
        2: ["test_reliability::test_a_full_disk_is"],
        3: ["test_download::test_a", "test_archives::test_b"],
        4: ["test_config::test_any"],
        5: ["test_records::test_a"],
        6: ["test_reliability::test_of_two_repros"],
        7: ["test_reliability::test_odd_numbers"],
        8: ["test_reliability::test_the_record_does_not_depend"],
        9: ["test_reliability::test_every_package"],
    }
    return {number: [reliability.Case(name, "passed") for name in found] for number, found in names.items()}


def test_tests_are_sorted_into_points_and_none_is_without():
    points = some_cases()
    cases = [case for found in points.values() for case in found]
    assert reliability.sorted_into_points([*cases, reliability.Case("test_other::test_x", "passed")]) == points
    with pytest.raises(ValueError, match=r"point 5 \(A record"):
        reliability.sorted_into_points([case for case in cases if "records" not in case.test])
    skipped = [case._replace(outcome="skipped") if "full_disk" in case.test else case for case in cases]
    with pytest.raises(ValueError, match="point 2 "):
        reliability.sorted_into_points(skipped)


def test_every_point_has_tests_of_that_name():
    found = []
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        lines = path.read_text(encoding="utf-8").splitlines()
        found += [f"{path.stem}::{line.split('(')[0][4:]}" for line in lines if line.startswith("def test_")]
    points = reliability.sorted_into_points([reliability.Case(name, "passed") for name in found])
    unsorted = {name for name in found if name.startswith("test_reliability::")}
    unsorted -= {case.test for cases in points.values() for case in cases}
    assert unsorted == set()


def test_the_section_tells_what_was_tried_and_what_was_not():
    points = some_cases()
    points[2].append(reliability.Case("test_reliability::test_a_read_only", "skipped", "no right"))
    figures = {"1 killed in train": "6", "4 configurations": "2000"}
    section = reliability.torture_section(points, figures, {"cores": "2"}, "python -m x --kills 30")
    lines = section.splitlines()
    assert "- cores: 2" in lines and "- command: `python -m x --kills 30`" in lines
    assert next(line for line in lines if line.startswith("| 1 |")).endswith("| 2 tests; killed in train: 6 |")
    assert next(line for line in lines if line.startswith("| 2 |")).endswith("| 1 test |")
    assert lines[-1] == "- not tried here: `test_reliability::test_a_read_only`, no right"


def test_each_command_replaces_its_own_section_alone():
    both = reliability.with_section("", reliability.SOAK, "soaked\n\n### a\n")
    both = reliability.with_section(both, reliability.TORTURE, "tortured\n")
    assert both == "# Reliability\n\n## Torture\n\ntortured\n\n## Soak\n\nsoaked\n\n### a\n"
    assert reliability.with_section(both, reliability.TORTURE, "tortured\n") == both
    assert reliability.with_section(both, reliability.TORTURE, "again") == both.replace("tortured", "again")


# --- soak ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "fresh", "grows"),
    [
        ([140, 141, 142, 143, 144], [100, 101, 99, 100, 102], True),
        ([140, 141, 142, 143, 101], [100, 101, 99, 100, 102], False),  # once as small as in a fresh clone
        ([1000005, 1000006], [1000000, 1000001], False),  # surely, but by nothing
        ([90, 91], [100, 101], False),
        ([100, 100], [100, 100], False),
        ([3, 3], [0, 0], True),
    ],
)
def test_growth_is_told_from_noise(old, fresh, grows):
    (found,) = soak.compare({"files": 0.0}, *([{"files": value} for value in laps] for laps in (old, fresh)))
    assert found.grows is grows


@pytest.mark.parametrize(("old", "grows"), [([soak.MOST_PROGRAMS] * 2, False), ([9, soak.MOST_PROGRAMS + 1], True)])
def test_what_has_a_limit_grows_beyond_it_only(old, grows):
    laps = ([{soak.PROGRAMS: float(value)} for value in values] for values in (old, [3, 3]))
    (found,) = soak.compare({soak.PROGRAMS: 3.0}, *laps)
    assert found.grows is grows
    text = soak.to_markdown([found], {}, 9, 61.0, "a run")
    assert f"| {'**grows**' if grows else 'bounded, by 20'} |" in text


def test_the_verdict_names_what_grows():
    old, fresh = [{"memory": 100.0, "files": 25.0 + lap} for lap in range(5)], [{"memory": 100.0, "files": 10.0}] * 5
    text = soak.to_markdown(soak.compare({"memory": 99.0, "files": 9.0}, old, fresh), {"cores": "2"}, 20, 61.0, "a run")
    assert "- verdict: **growing**: files" in text
    assert "| memory | 99 | 100 | 100 | bounded |" in text
    assert "| files | 9 | 25–29 | 10 | **grows** |" in text
    calm = soak.to_markdown(soak.compare({"files": 9.0}, fresh, fresh), {}, 9, 61.0, "a run")
    assert "- verdict: **bounded**: nothing grows" in calm
