"""The console command, from any folder, on any system; and what a package of the project holds."""

import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import psutil
import pytest

from stages.commands import cli, why
from stages.core.base.errors import UserError

ROOT = Path(__file__).parent.parent


def regbench(folder, *arguments, expect=0, python=(sys.executable, "-m", "stages.commands.cli")):
    """What the installed command says in a folder: this code is found from anywhere, as if it were installed."""
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    done = subprocess.run(
        [*python, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def project(tmp_path):
    """What makes a folder a project."""
    for name in ("conf/study", "stages/commands/measure", "somewhere/below"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("params.yaml", "dvc.yaml", "stages/__init__.py"):
        (tmp_path / name).touch()
    (tmp_path / "stages/commands/cli.py").write_bytes((ROOT / "stages/commands/cli.py").read_bytes())
    return tmp_path


def test_help_lists_every_command_and_loads_none(tmp_path):
    modules = cli.commands()
    files = {*(ROOT / "stages/commands").glob("[a-z]*.py"), *(ROOT / "stages/commands/measure").glob("[a-z]*.py")}
    assert set(modules) == {path.stem for path in files} - {"cli"}
    loaded = "import sys; from stages.commands import cli; cli.main(); print(sorted(sys.modules))"
    said = regbench(tmp_path, "--help", python=(sys.executable, "-c", loaded))
    for name in modules:
        assert f"\n  {name} " in said
    assert "numpy" not in said and "stages.commands.review" not in said
    assert all(line[12:].strip() for line in said.splitlines() if line.startswith("  "))  # each says what it does


def test_every_command_has_a_main_and_help(tmp_path):
    for name, module in cli.commands().items():
        source = (ROOT / Path(*module.split("."))).with_suffix(".py").read_text(encoding="utf-8")
        assert "\ndef main() -> None:" in source, name
    assert regbench(tmp_path, "review", "--help").startswith("usage: regbench review ")


def test_outside_a_project_it_says_so_in_one_line(tmp_path):
    said = regbench(tmp_path, "mend", expect=1)
    assert said.startswith(f"regbench: {tmp_path}: is in no regbench project;") and said.count("\n") == 1


def test_in_a_folder_that_is_gone_it_says_so_in_one_line(tmp_path, monkeypatch, capsys):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setattr(sys, "argv", ["regbench", "mend"])
    with pytest.raises(SystemExit, match="regbench: the current folder is gone"):
        cli.main()
    monkeypatch.chdir(tmp_path)


def test_a_terminal_without_arrows_and_closed_streams(tmp_path):
    (tmp_path / "log.csv").write_text("epoch,loss\n" + "".join(f"{i},0.{60 - i}\n" for i in range(9)), encoding="utf-8")
    regbench_in_ascii = (sys.executable, "-c", "import os, sys; os.environ['PYTHONIOENCODING'] = 'ascii';"
        "os.execv(sys.executable, [sys.executable, '-m', 'stages.commands.cli', *sys.argv[1:]])")  # fmt: skip
    assert r"0.6 \u2192 0.52" in regbench(tmp_path, "why", "--log", "log.csv", python=regbench_in_ascii)
    for closed, said in ((0, "standard input is closed"), (1, "standard output is closed")):
        code = f"import os, sys; os.close({closed}); os.execv(sys.executable, [sys.executable, '-m', *sys.argv[1:]])"
        python = (sys.executable, "-c", code, "stages.commands.cli")
        assert said in regbench(tmp_path, "why", "--log", "-", python=python, expect=1)


@pytest.mark.parametrize("options", [("--minutes", "nan"), ("--minutes", "inf"), ("--seed", "-1")])
def test_a_time_that_never_ends_is_none(monkeypatch, options):
    monkeypatch.setattr(sys, "argv", ["regbench why", "train.py", *options])
    with pytest.raises(UserError, match=options[0]):
        why.main()


def test_a_script_ends_with_the_command_that_runs_it(tmp_path):
    fake, script = tmp_path / "python", tmp_path / "train.py"
    fake.write_text("#!/bin/sh\necho $$ > number.part && mv number.part number && exec sleep 60\n", encoding="utf-8")
    fake.chmod(0o700)
    script.touch()
    command = [sys.executable, "-m", "stages.commands.cli", "why", str(script), "--python", str(fake)]
    with subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}) as running:
        while running.poll() is None and not (tmp_path / "number").exists():
            time.sleep(0.05)
        running.terminate()
        assert running.wait(20) == 128 + signal.SIGTERM
    assert not psutil.pid_exists(int((tmp_path / "number").read_text()))


def test_an_unknown_command_is_one_line(project):
    assert regbench(ROOT, "mand", expect=1) == "regbench: mand: no such command; `regbench --help` lists them\n"


def test_below_a_project_its_own_code_runs_in_its_folder(project):
    (project / "stages/core").symlink_to(ROOT / "stages/core")
    (project / "stages/commands/newer.py").write_text(
        "import os, sys\nfrom stages.core.base.project import as_given\n"
        "def main():\n    print(os.getcwd(), sys.argv, as_given('file'))\n"
    )
    below = project / "somewhere/below"
    assert regbench(below, "newer", "x") == f"{project} ['regbench newer', 'x'] {below}/file\n"


def test_a_python_without_the_packages_is_told_what_is_missing():
    bare = (sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); import stages.compose")
    said = regbench(ROOT, expect=1, python=bare)
    assert "lacks the packages of requirements.lock" in said and said.count("\n") == 1


def test_what_only_reads_needs_no_unix():
    """On Windows there is no fcntl; TensorFlow's process groups and signals are met only where something is run."""
    names = ["stages.report", "stages.aggregate", "stages.commands.review", "stages.commands.readme"]
    names += [module for name, module in cli.commands().items() if name == "why"]
    blocked = "import sys; sys.modules |= dict.fromkeys(('fcntl', 'resource', 'pwd', 'grp', 'termios'))\n"
    regbench(ROOT, python=(sys.executable, "-c", blocked + "\n".join(f"import {name}" for name in names)))


def test_a_folder_from_a_zip_file_is_told_what_it_lacks(tmp_path):
    for name in ("params.yaml", "dvc.yaml", "conf", "stages"):
        (tmp_path / name).symlink_to(ROOT / name)
    said = regbench(tmp_path, "repro", expect=1)
    assert said.count("\n") == 1 and "`git init`" in said


def test_a_row_whose_name_is_a_path_never_reaches_dvc(tmp_path):
    for name in ("params.yaml", "dvc.yaml", "stages"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".git").mkdir()
    (tmp_path / "conf/study").mkdir(parents=True)
    (tmp_path / "conf/study/mine.yaml").write_text("rows: {mine/../../metrics: {}}\n", encoding="utf-8")
    assert "row mine/../../metrics: write it as mine/<name>" in regbench(tmp_path, "repro", expect=1)


def test_a_wheel_holds_the_code_and_its_templates(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    copy = [str(path.relative_to(ROOT)) for path in (ROOT / "stages").rglob("*")]
    copy = [name for name in copy if "__pycache__" not in name and not name.endswith(".md")]
    for name in ("pyproject.toml", "README.md", "LICENSE", *copy):  # a build leaves files beside its sources
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([*command, "--wheel-dir", str(tmp_path), str(tmp_path)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        scripts = next(archive.read(name).decode() for name in names if name.endswith("entry_points.txt"))
    assert {name for name in copy if (ROOT / name).is_file()} <= names
    assert "regbench = stages.commands.cli:main" in scripts
