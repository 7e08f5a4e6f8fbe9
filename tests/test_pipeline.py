"""The real pipeline, `dvc repro` and all, in a copy of this repository on a small study of scikit-learn's digits."""

import csv
import json
import re
import shutil
import subprocess
import sys

import pytest
from small import NAME, ROWS, STUDY, commit, duplicate, edit, environment, only_rows, ran, repository, run

from stages import aggregate
from stages.core.base.errors import UserError


@pytest.fixture(scope="module")
def workspace(small_repository, tmp_path_factory):
    return duplicate(small_repository, tmp_path_factory.mktemp("pipeline") / "regbench")


def measured(folder):
    """Mean and standard deviation, as text, of each row of the table."""
    with (folder / "results/tables/digits_comparison.csv").open(encoding="utf-8", newline="") as file:
        return {row["row"]: (row["mean"], row["sd"]) for row in csv.DictReader(file)}


def test_tables_and_figures_are_there(workspace):
    assert list(measured(workspace)) == list(ROWS)
    assert "no regularizer" in (workspace / "results/tables/digits_comparison.md").read_text(encoding="utf-8")
    assert len(list((workspace / "results/figures/digits_comparison").glob("*.svg"))) == 1


@pytest.mark.long
def test_one_repro_from_nothing_writes_the_same_bytes(small_repository, tmp_path):
    folder = repository(tmp_path / "regbench")
    run(folder, "dvc", "repro")
    written = [path.relative_to(folder) for path in (folder / "results").rglob("*") if path.is_file()]
    assert len([path for path in written if path.parts[1] == "runs"]) == len(ROWS)
    assert [path for path in written if (folder / path).read_bytes() != (small_repository / path).read_bytes()] == []


def test_nothing_to_do_the_second_time_and_in_a_fresh_clone(workspace, tmp_path):
    assert ran(workspace) == []
    windows = ["--config", "core.autocrlf=true"]  # line ends would be others there
    run(tmp_path, "git", "clone", "--quiet", *windows, str(workspace), "clone")
    shutil.copytree(workspace / "build/nets", tmp_path / "clone/build/nets")  # or TensorFlow builds each net anew
    # What they write is not in Git; neither is the folder that the grid draws nothing into here.
    assert sorted(ran(tmp_path / "clone")) == ["code", "compose", "grid", "keep", "report"]
    assert run(tmp_path / "clone", "git", "status", "--porcelain") == ""


def test_only_what_changed_runs_again(workspace):
    """A coefficient, a title, a size in all figures, and what no number comes from in modules that train."""
    edit(workspace / STUDY, r"kernel\.l2=0\.001", "kernel.l2=0.3")
    edit(workspace / STUDY, r"^figure_title: .*", "figure_title: Another title")
    edit(workspace / "stages/core/figures/style.py", r'"font\.size": \d+', '"font.size": 12')
    for module in ("training/engine", "training/models"):
        edit(workspace / f"stages/core/{module}.py", r'\A"""', '"""Another docstring. ')
        edit(workspace / f"stages/core/{module}.py", r"\Z", "# A comment.\n")
    before = measured(workspace)
    of_study = {f"train@{NAME}/kernel_l2_1e-3", f"aggregate@{NAME}", f"plot@{NAME}"}
    stages = ran(workspace, "overview", f"plot@{NAME}")
    assert set(stages) == of_study | {"code", "compose", "grid", "overview"} and len(stages) == 7
    after = measured(workspace)
    assert [name for name in before if before[name] != after[name]] == ["kernel_l2_1e-3"]
    changes = json.loads(run(workspace, "dvc", "metrics", "diff", "--json"))["results/metrics.json"]
    assert set(changes) == {"digits_comparison.kernel_l2_1e-3"}
    figure = workspace / "results/figures/digits_comparison/differences.svg"
    assert "Another title" in figure.read_text(encoding="utf-8")
    commit(workspace)


def test_a_number_edited_by_hand_is_refused_even_if_dvc_was_told_that_it_belongs_there(workspace, monkeypatch):
    monkeypatch.chdir(workspace)
    monkeypatch.setattr(sys, "argv", ["aggregate", "--check"])
    aggregate.main()
    table = workspace / "results/tables/digits_comparison_seeds.csv"
    edit(table, r"^(digits_comparison,none,0,accuracy),[\d.]+", r"\1,0.5")
    run(workspace, "dvc", "commit", "--force", "--no-relink", "aggregate@digits_comparison")
    with pytest.raises(
        UserError, match=rf"^{table.relative_to(workspace)}: line 2 is not what the records give"
    ) as error:
        aggregate.main()
    assert "\n" not in str(error.value)
    run(workspace, "git", "checkout", "--quiet", "--", ".")


@pytest.mark.long
def test_what_a_message_tells_to_run_helps(workspace):
    """Also where DVC was told that a record is of a row that it is not of, and `dvc repro` finds nothing to do."""
    checks = {name: ("python", "-m", f"stages.{name}", "--check") for name in ("aggregate", "answers")}

    def helped(check):
        commands = re.findall(r"`(dvc [^`]+)`", run(workspace, *check, expect=1))
        assert commands
        for command in commands:
            run(workspace, *command.split())
            run(workspace, "dvc", "repro")
            if subprocess.run(check, cwd=workspace, env=environment(workspace), check=False).returncode == 0:
                return command
        raise AssertionError(commands)

    (workspace / f"results/tables/{NAME}_curves.csv").unlink()
    assert helped(checks["answers"]) == f"dvc repro aggregate@{NAME}"
    edit(workspace / "results/answers.md", r"^#", "##")
    run(workspace, "dvc", "commit", "--force", "answers")
    assert helped(checks["answers"]) == "dvc repro --single-item --force answers"
    edit(workspace / STUDY, r"kernel\.l2=0\.\d+", "kernel.l2=0.02")
    run(workspace, "dvc", "repro", "compose")
    run(workspace, "dvc", "commit", "--force")
    assert helped(checks["aggregate"]) == f"dvc repro --single-item --force train@{NAME}/kernel_l2_1e-3"
    assert ran(workspace) == []
    commit(workspace)


@pytest.mark.long
def test_a_row_that_goes_leaves_the_table_and_its_record_is_an_error(workspace):
    only_rows(workspace / STUDY, ROWS[:2])
    output = run(workspace, "dvc", "repro", expect=255)
    assert "kernel_l2_1e-3" in output
    assert "Traceback" not in output
    assert list(measured(workspace)) == list(ROWS)  # the previous table is still there
    (workspace / "results/runs/digits_comparison/kernel_l2_1e-3.json").unlink()
    assert not [stage for stage in ran(workspace) if stage.startswith("train@")]
    assert list(measured(workspace)) == list(ROWS[:2])
    run(workspace, "git", "checkout", "--quiet", "--", ".")


def test_a_mistake_stops_the_run_before_anything_trains(workspace):
    edit(workspace / STUDY, r"kernel\.l1=0\.001", "kernel.l1=-0.001")
    output = run(workspace, "dvc", "repro", expect=255)
    assert "row kernel_l1_1e-3: regularizers.kernel.l1" in output
    assert "Running stage 'train@" not in output
    assert "Traceback" not in output
    run(workspace, "git", "checkout", "--quiet", "--", ".")
