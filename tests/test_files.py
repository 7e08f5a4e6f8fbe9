"""Files that are whole or absent, and work that one process does at a time."""

import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stages.core.base import errors
from stages.core.base.files import keep, put_back, write_atomically
from stages.core.base.locks import held
from stages.core.running import lockfile

ROOT = Path(__file__).parent.parent
PATIENCE = 600  # seconds that anything may take on a busy machine


def python(folder, code, **options):
    """A Python process in `folder` that can import this repository."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", code], cwd=folder, env=environment, text=True, **options)


@pytest.fixture
def small_files():
    """No file may grow beyond 100 kB, as on a disk with a quota."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


def test_a_write_that_fails_leaves_the_previous_file_and_names_it(tmp_path, small_files):
    path = tmp_path / "new" / "file"
    write_atomically(path, "before")
    with pytest.raises(OSError, match="new/file"):
        write_atomically(path, bytes(200_000))
    assert [file.name for file in path.parent.iterdir()] == ["file"]
    assert path.read_text() == "before"


def test_a_write_into_what_is_no_folder_names_the_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file/in/it"):
        write_atomically(tmp_path / "file" / "in" / "it", "x")


def test_a_killed_writer_leaves_the_previous_file_and_the_next_one_cleans_up(tmp_path):
    path = tmp_path / "file"
    path.write_text("before")
    code = "import os, sys; from stages.core.base import files; os.fsync = lambda _: os.kill(os.getpid(), 9)"
    assert python(tmp_path, f"{code}; files.write_atomically('file', 'after')").wait() == -signal.SIGKILL
    (leftover,) = tmp_path.glob(".file.*.tmp")
    assert path.read_text() == "before"
    write_atomically(tmp_path / "other", "x")
    assert leftover.exists()
    write_atomically(path, "after")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "other"]


def test_a_living_writer_keeps_its_temporary_file(tmp_path):
    code = "import os; from stages.core.base import files; os.fsync = lambda _: (print(flush=True), input())"
    with python(
        tmp_path, f"{code}; files.write_atomically('file', 'first')", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        writer.stdout.readline()
        write_atomically(tmp_path / "file", "second")
        assert len(list(tmp_path.glob(".file.*.tmp"))) == 1
        writer.communicate("\n")
    assert writer.returncode == 0
    assert (tmp_path / "file").read_text() == "first"


def test_git_and_dvc_ignore_what_a_killed_writer_leaves():
    assert "*.tmp" in (ROOT / ".gitignore").read_text().splitlines()
    assert ".*.tmp" in (ROOT / ".dvcignore").read_text().splitlines()


def test_what_was_kept_comes_back_only_if_it_is_gone(tmp_path):
    path, copy = tmp_path / "results" / "file", tmp_path / "build" / "file"
    put_back(path, copy)
    assert not path.exists()
    write_atomically(path, "first")
    keep(path, copy)
    put_back(path, copy)
    write_atomically(path, "second")
    put_back(path, copy)
    assert path.read_text() == "second"
    path.unlink()
    put_back(path, copy)
    assert path.read_text() == "first"


def test_the_next_process_waits_for_the_end_of_the_first_even_if_it_is_killed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with held("train a/b") as waited:
        assert not waited
    hold = "with held('train a/b'):\n  print(flush=True); input()"
    code = f"from stages.core.base.locks import held\n{hold}"
    with python(tmp_path, code, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        first.stdout.readline()
        with held("train a/c") as waited:
            assert not waited
        second = python(tmp_path, "from stages.core.base.locks import held\nwith held('train a/b') as w: print(w)",
                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
        assert re.fullmatch(
            r"regbench: train a/b: process \d+ on \S+ is working on it; waiting\n", second.stderr.readline()
        )
        assert second.poll() is None
        first.kill()
    assert second.communicate(timeout=PATIENCE)[0] == "True\n"


# --- the end of a command -------------------------------------------------------------------------------------------


class ResourceExhaustedError(Exception):
    """What TensorFlow raises without memory has this name."""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (errors.UserError("what is wrong"), "regbench: what is wrong"),
        (OSError(28, "No space left on device", "results/a"), "regbench: results/a: No space left on device"),
        (MemoryError(), "regbench: not enough memory; "),
        (ResourceExhaustedError("OOM when\nallocating"), "regbench: not enough memory; "),
    ],
)
def test_what_a_user_can_put_right_is_one_line(error, line):
    def main():
        raise error

    with pytest.raises(SystemExit) as end:
        errors.run(main)
    assert str(end.value).startswith(line)
    assert "\n" not in str(end.value)


def test_ctrl_c_is_one_line(capsys):
    def main():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as end:
        errors.run(main)
    assert (end.value.code, capsys.readouterr().err) == (130, "regbench: interrupted\n")


def test_any_other_error_is_shown_in_full():
    with pytest.raises(ZeroDivisionError):
        errors.run(lambda: 1 / 0)


# --- dvc.lock -------------------------------------------------------------------------------------------------------


def test_a_part_of_a_lock_file_passes_only_if_nothing_in_it_is_wrong():
    """Cut anywhere: what passes ends between two stages or two outputs of one, so that DVC sees what is missing."""
    text = (ROOT / "dvc.lock").read_text(encoding="utf-8")
    text = text[: text.index("\n  train@", len(text) // 4) + 1]  # a part of it will do
    assert lockfile.is_whole(text)
    whole = yaml.safe_load(text)["stages"]
    line_ends = [match.end() for match in re.finditer("\n", text)]
    passed = [text[:end] for end in {*range(1, len(text), 101), *line_ends[::3]} if lockfile.is_whole(text[:end])]
    assert len(passed) > 3
    for part in passed:
        for name, stage in yaml.safe_load(part)["stages"].items():
            outs = stage.pop("outs")
            assert stage == {key: value for key, value in whole[name].items() if key != "outs"}
            assert outs == whole[name]["outs"][: len(outs)]


@pytest.mark.parametrize(
    "text", ["", "\n", "schema: '2.0'\n", "stages: {}\n", "- 1\n", "a: [\n", "schema: '2.0'\nstages:\n"]
)
def test_other_files_are_no_lock_files(text):
    assert not lockfile.is_whole(text)
