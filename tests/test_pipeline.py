"""The real pipeline, `dvc repro` and all, in a copy of this repository on a small study of scikit-learn's digits."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STUDY = "conf/study/digits_comparison.yaml"
KEPT_ROWS = ("none", "kernel_l1_1e-3", "kernel_l2_1e-3")


def run(folder, *command, expect=0):
    """Output of a command in `folder`, whose exit code must be as expected; tools of this test's own environment."""
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    git = {f"GIT_{who}_{what}": "t@t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {"PATH": path, "HOME": str(folder.parent), "LC_ALL": "C.UTF-8", **git}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + done.stderr


def ran(folder, expect=0):
    """The stages that `dvc repro` ran."""
    return re.findall(r"Running stage '(.+)':", run(folder, "dvc", "repro", expect=expect))


def edit(path, pattern, replacement):
    text, count = re.subn(pattern, replacement, path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert count, f"{pattern} is not in {path}"
    path.write_text(text, encoding="utf-8")


def only_rows(path, names):
    head, rows = path.read_text(encoding="utf-8").split("rows:\n")
    blocks = re.split(r"(?m)^(?=  digits_comparison/)", rows)[1:]
    kept = [block for block in blocks if block.split(":")[0].split("/")[1] in names]
    path.write_text(f"{head}rows:\n{''.join(kept)}", encoding="utf-8")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A copy with one study of three rows, two seeds and two epochs, trained once."""
    folder = tmp_path_factory.mktemp("pipeline") / "regbench"
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in tracked:
        if not name.startswith(("results/", "dvc.lock")) and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    edit(folder / "params.yaml", r"^(  (?!digits)\w+: \{.*\}\n)", "")
    edit(folder / "params.yaml", r"(digits_comparison: .*seeds:) \d+", r"\1 2")
    edit(folder / "dvc.yaml", r"^(  - conf/study/(?!digits).*\n)", "")
    edit(folder / "dvc.yaml", r"foreach: \[.*\]", "foreach: [digits]")
    edit(folder / STUDY, r"epochs: 10", "epochs: 2")
    only_rows(folder / STUDY, KEPT_ROWS)
    run(folder, "git", "init", "--quiet")
    assert trained(ran(folder)) == list(KEPT_ROWS)
    commit(folder)
    return folder


def commit(folder):
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", "x")


def trained(stages):
    return [stage.removeprefix("train@digits_comparison/") for stage in stages if stage.startswith("train@")]


def measured(folder):
    """Mean and standard deviation, as text, of each row of the table."""
    with (folder / "results/tables/digits_comparison.csv").open(encoding="utf-8", newline="") as file:
        return {row["row"]: (row["mean"], row["sd"]) for row in csv.DictReader(file)}


def test_tables_and_figures_are_there(workspace):
    assert list(measured(workspace)) == list(KEPT_ROWS)
    assert "no regularizer" in (workspace / "results/tables/digits_comparison.md").read_text(encoding="utf-8")
    assert len(list((workspace / "results/figures/digits_comparison").glob("*.svg"))) >= 2


def test_nothing_to_do_the_second_time_and_in_a_fresh_clone(workspace, tmp_path):
    assert ran(workspace) == []
    run(tmp_path, "git", "clone", "--quiet", str(workspace), "clone")
    assert ran(tmp_path / "clone") == ["compose", "report"]  # the page is not in Git
    assert run(tmp_path / "clone", "git", "status", "--porcelain") == ""


def test_only_what_changed_runs_again(workspace):
    edit(workspace / STUDY, r"kernel\.l2=0\.001", "kernel.l2=0.3")
    before = measured(workspace)
    assert trained(ran(workspace)) == ["kernel_l2_1e-3"]
    after = measured(workspace)
    assert [name for name in before if before[name] != after[name]] == ["kernel_l2_1e-3"]
    changes = json.loads(run(workspace, "dvc", "metrics", "diff", "--json"))["results/metrics.json"]
    assert set(changes) == {"digits_comparison.kernel_l2_1e-3"}
    commit(workspace)

    edit(workspace / STUDY, r"^figure_title: .*", "figure_title: Another title")
    stages = ran(workspace)
    assert trained(stages) == []
    assert "plot@digits_comparison" in stages
    figure = workspace / "results/figures/digits_comparison/differences.svg"
    assert "Another title" in figure.read_text(encoding="utf-8")
    commit(workspace)

    edit(workspace / "stages/core/figure_style.py", r'"font\.size": \d+', '"font.size": 12')
    stages = ran(workspace)
    assert {"plot@digits_comparison", "overview"} <= set(stages)
    assert not [stage for stage in stages if stage.startswith(("compose", "train", "aggregate"))]
    commit(workspace)

    for module in ("training", "models"):
        edit(workspace / f"stages/core/{module}.py", r'\A"""', '"""Another docstring. ')
        edit(workspace / f"stages/core/{module}.py", r"\Z", "# A comment.\n")
    assert ran(workspace) == ["compose"]
    commit(workspace)


def test_a_number_edited_by_hand_is_refused_even_if_dvc_was_told_that_it_belongs_there(workspace):
    check = (sys.executable, "-m", "stages.aggregate", "--check")
    run(workspace, *check)
    table = workspace / "results/tables/digits_comparison_seeds.csv"
    edit(table, r"^(digits_comparison,none,0,accuracy),[\d.]+", r"\1,0.5")
    run(workspace, "dvc", "commit", "--force", "--no-relink", "aggregate@digits_comparison")
    output = run(workspace, *check, expect=1)
    assert output.startswith(f"regbench: {table.relative_to(workspace)}: line 2 is not what the records give")
    assert output.count("\n") == 1
    run(workspace, "git", "checkout", "--quiet", "--", ".")


def test_a_row_that_goes_leaves_the_table_and_its_record_is_an_error(workspace):
    only_rows(workspace / STUDY, KEPT_ROWS[:2])
    output = run(workspace, "dvc", "repro", expect=255)
    assert "kernel_l2_1e-3" in output
    assert "Traceback" not in output
    (workspace / "results/runs/digits_comparison/kernel_l2_1e-3.json").unlink()
    assert trained(ran(workspace)) == []
    assert list(measured(workspace)) == list(KEPT_ROWS[:2])
    run(workspace, "git", "checkout", "--quiet", "--", ".")


def test_a_mistake_stops_the_run_before_anything_trains(workspace):
    edit(workspace / STUDY, r"kernel\.l1=0\.001", "kernel.l1=-0.001")
    output = run(workspace, "dvc", "repro", expect=255)
    assert "row kernel_l1_1e-3: regularizers.kernel.l1" in output
    assert "Running stage 'train@" not in output
    assert "Traceback" not in output
    run(workspace, "git", "checkout", "--quiet", "--", ".")
