"""Merges of branches with results, with the real Git and the real DVC in copies of the small repository."""

import re
import shutil
import subprocess
from functools import partial

import pytest
import small

from stages.core.records import records
from stages.core.results import readme
from stages.core.running import lockfile

RUNS = f"results/runs/{small.NAME}"
ROW = '  {study}/{name}: {{label: "{name}", overrides: ["regularizer@kernel=l2", "kernel.l2={value}"]}}\n'


@pytest.fixture
def repository(small_repository, tmp_path):
    """A copy with a `main` branch; its Git knows how generated files merge."""
    folder = small.duplicate(small_repository, tmp_path / "regbench")
    small.run(folder, "python", "-m", "stages.commands.cli", "merge", "install")
    small.run(folder, "git", "branch", "--force", "main")
    return folder


def add_row(folder, name, value, last=True):
    """A row in conf/, at the end or first: rows added at one place are for a person to merge."""
    path = folder / small.STUDY
    row = ROW.format(study=small.NAME, name=name, value=value)
    text = path.read_text(encoding="utf-8")
    path.write_text(text + row if last else text.replace("rows:\n", f"rows:\n{row}"), encoding="utf-8")


def repro(folder):
    """What `make repro` does; gives the stages that ran."""
    mended = small.run(folder, "python", "-m", "stages.commands.cli", "mend")
    return mended, small.ran(folder)


def branch(folder, name, change):
    """A branch off main on which `change` was made and everything was brought up to date."""
    small.run(folder, "git", "checkout", "--quiet", "-B", name, "main")
    change()
    small.ran(folder)
    small.run(folder, "python", "-m", "stages.commands.cli", "readme")
    small.commit(folder)


def merge(folder, other, expect=0):
    """Paths that `git merge` leaves in conflict."""
    small.run(folder, "git", "merge", "--no-edit", other, expect=expect)
    return small.run(folder, "git", "diff", "--name-only", "--diff-filter=U").split()


def trained(stages):
    return [stage for stage in stages if stage.startswith("train@")]


def is_up_to_date(folder):
    small.run(folder, "python", "-m", "stages.commands.cli", "readme")
    small.commit(folder)
    small.run(folder, "python", "-m", "stages.commands.cli", "review", "HEAD")


@pytest.mark.long
def test_rows_added_on_both_sides_and_one_changed_conflict_in_no_file_and_train_nothing(repository):
    def one():
        add_row(repository, "kernel_l2_1e-2", 0.01)
        small.edit(repository / small.STUDY, "kernel.l1=0.001", "kernel.l1=0.002")

    branch(repository, "one", one)
    changed = small.run(repository, "git", "diff", "--numstat", "main").splitlines()
    branch(repository, "two", lambda: add_row(repository, "kernel_l2_1e-1", 0.1, last=False))
    assert merge(repository, "one") == []
    _, ran = repro(repository)
    assert trained(ran) == [] and f"aggregate@{small.NAME}" in ran
    is_up_to_date(repository)
    table = (repository / f"results/tables/{small.NAME}.csv").read_text(encoding="utf-8")
    assert re.findall(r"(?m)^digits_comparison,(\w[\w-]*)", table)[0] == "kernel_l2_1e-1"
    assert "kernel_l2_1e-2" in table
    lines = {path: int(n) for n, _, path in (line.split("\t") for line in changed) if n != "-"}
    asked = ["git", "check-attr", "linguist-generated", "--", *lines]
    generated = small.run(repository, *asked).splitlines()
    read = sum(lines[line.split(": ")[0]] for line in generated if line.endswith("unspecified"))
    assert 3 <= read < 120
    assert max(lines[path] for path in lines if path.startswith("results/runs/")) < 60


@pytest.mark.long
def test_the_same_row_changed_on_both_sides_keeps_the_record_of_the_side_that_is_chosen(repository):
    branch(repository, "one", lambda: small.edit(repository / small.STUDY, "kernel.l2=0.001", "kernel.l2=0.002"))
    branch(repository, "two", lambda: small.edit(repository / small.STUDY, "kernel.l2=0.001", "kernel.l2=0.003"))
    assert merge(repository, "one", expect=1) == [small.STUDY]
    small.run(repository, "git", "checkout", "--theirs", "--", small.STUDY)
    mended, ran = repro(repository)
    assert trained(ran) == []
    assert "1 rows have their records" in mended
    record = records.parse((repository / RUNS / "kernel_l2_1e-3.json").read_bytes(), "record")
    assert record.config["regularizers"]["kernel"]["l2"] == 0.002
    is_up_to_date(repository)


@pytest.mark.long
def test_a_clone_that_was_told_nothing_is_resolved_by_mend(repository):
    for name in ("lock", "readme", "ours"):
        small.run(repository, "git", "config", "--unset", f"merge.regbench-{name}.driver")
    branch(repository, "one", lambda: add_row(repository, "kernel_l2_1e-2", 0.01))
    branch(repository, "two", lambda: add_row(repository, "kernel_l2_1e-1", 0.1, last=False))
    assert "dvc.lock" in merge(repository, "one", expect=1)
    small.run(repository, "git", "checkout", "--ours", "README.md")
    mended, ran = repro(repository)
    assert "cut off" not in mended
    assert trained(ran) == []
    is_up_to_date(repository)


@pytest.mark.long
def test_a_renamed_row_keeps_its_record(repository):
    small.edit(repository / small.STUDY, "digits_comparison/kernel_l2_1e-3:", "digits_comparison/l2:")
    _, ran = repro(repository)
    assert trained(ran) == [] and not (repository / RUNS / "kernel_l2_1e-3.json").exists()
    assert "train@digits_comparison/kernel_l2_1e-3" not in (repository / "dvc.lock").read_text(encoding="utf-8")
    is_up_to_date(repository)
    renamed = (repository / RUNS / "l2.json").read_bytes()
    small.run(repository, "dvc", "repro", "--single-item", "--force", "train@digits_comparison/l2")
    assert (repository / RUNS / "l2.json").read_bytes() == renamed  # as if it had been trained under this name


@pytest.mark.long
def test_a_study_renamed_on_one_side_and_a_row_added_to_it_on_the_other(repository):
    new = "conf/study/digits.yaml"

    def rename():
        small.run(repository, "git", "mv", small.STUDY, new)
        for path in (new, "params.yaml", "dvc.yaml"):
            small.edit(repository / path, "digits_comparison", "digits")
        for folder in ("tables", "figures"):
            shutil.rmtree(repository / "results" / folder)
        mended, ran = repro(repository)
        assert trained(ran) == [] and "3 rows have their records" in mended

    branch(repository, "one", lambda: add_row(repository, "kernel_l2_1e-2", 0.01))
    branch(repository, "two", rename)
    mine = (repository / new).read_text(encoding="utf-8")
    subprocess.run(["git", "merge", "--no-edit", "one"], cwd=repository, env=small.environment(repository), check=False)
    row = ROW.format(study="digits", name="kernel_l2_1e-2", value=0.01)
    (repository / new).write_text(mine + row, encoding="utf-8")  # as a person resolves it
    _, ran = repro(repository)
    assert trained(ran) == []
    assert not (repository / RUNS).exists() or list((repository / RUNS).iterdir()) == []
    is_up_to_date(repository)


# --- dvc.lock and the README as text


def lock(**stages):
    blocks = (
        f"  {name}:\n    cmd: x\n    outs:\n    - path: {name}\n      md5: {md5}\n" for name, md5 in stages.items()
    )
    return "schema: '2.0'\nstages:\n" + "".join(blocks)


def test_stages_merge_one_by_one():
    base = lock(a="1", b="1", c="1", d="1", e="1")
    ours = lock(a="2", b="1", d="2", e="1", x="1")
    theirs = lock(a="1", b="3", c="1", d="3", y="1")
    assert lockfile.merged(base, ours, theirs) == lock(a="2", b="3", d="2", x="1", y="1")


def test_long_names_and_no_stage_at_all():
    name = "train@s/" + "x" * 140
    text = f"schema: '2.0'\nstages:\n  ? {name}\n  : cmd: x\n    outs:\n    - path: p\n      md5: m\n  b:\n    cmd: y\n"
    assert list(lockfile.stages(text)) == [name, "b"]
    assert lockfile.merged(lock(a="1"), text, lock(a="1")) == text
    assert lockfile.merged(lock(a="1"), "schema: '2.0'\nstages: {}\n", lock(a="1")) == "schema: '2.0'\nstages: {}\n"


def test_a_readme_takes_the_others_overview():
    page = "a\n{begin}\n{text}\n{end}\nb\n"
    marks = {"begin": readme.BEGIN, "end": readme.END}
    ours, theirs = page.format(text="ours", **marks), page.format(text="theirs", **marks).replace("b\n", "c\n")
    assert readme.with_overview_of(theirs, ours) == page.format(text="ours", **marks).replace("b\n", "c\n")
    assert readme.with_overview_of("no mark", ours) == "no mark"


def test_git_merges_generated_files_of_two_branches(tmp_path):
    """The real Git on files as the pipeline leaves them; what it then makes anew is the matter of the tests above."""
    run = partial(small.run, tmp_path)
    page = f"{{title}}\n\n{readme.BEGIN}\n{{number}}\n{readme.END}\n"

    def write(readme, table, **stages):
        (tmp_path / "dvc.lock").write_text(lock(**stages), encoding="utf-8")
        (tmp_path / "README.md").write_text(page.format(**readme), encoding="utf-8")
        (tmp_path / "results/overview.csv").write_text(table, encoding="utf-8")

    run("git", "init", "--quiet", "--initial-branch=main")
    for name in ("dvc.yaml", "params.yaml", "stages"):
        (tmp_path / name).symlink_to(small.ROOT / name)
    shutil.copy(small.ROOT / ".gitattributes", tmp_path)
    (tmp_path / "results").mkdir()
    write({"title": "a", "number": 1}, "1\n", a="1", b="1")
    run("python", "-m", "stages.commands.cli", "merge", "install")
    small.commit(tmp_path)
    run("git", "checkout", "--quiet", "-b", "other")
    write({"title": "another title", "number": 2}, "2\n", a="2", b="1", x="1")
    small.commit(tmp_path)
    run("git", "checkout", "--quiet", "main")
    write({"title": "a", "number": 3}, "3\n", a="1", b="3", y="1")
    small.commit(tmp_path)
    assert merge(tmp_path, "other") == []
    assert (tmp_path / "dvc.lock").read_text(encoding="utf-8") == lock(a="2", b="3", y="1", x="1")
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == page.format(title="another title", number=3)
    assert (tmp_path / "results/overview.csv").read_text(encoding="utf-8") == "3\n"
    assert run("git", "status", "--porcelain") == ""
