"""What makes a row start sooner changes nothing else: compiled programs on disk, TensorFlow's library ahead of time."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import small

from stages.core.base import cores, errors
from stages.core.config.row import load_row
from stages.core.training import programs, runtime

ROOT = Path(__file__).parent.parent
ROW = "digits_comparison/kernel_l2_1e-3"
NONE, SOME, MORE = ({"l1": 0.0, "l2": value} for value in (0.0, 0.1, 0.2))


def penalized(make_row, kernel, **changes):
    return make_row(regularizers={"kernel": kernel, "bias": NONE, "activity": NONE}, **changes)


def test_rows_of_one_shape_have_one_name(make_row):
    def adam(rate):
        return {"name": "adam", "learning_rate": rate, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}

    name = programs.shape(penalized(make_row, SOME, optimizer=adam(0.1)), 2, {})
    alike = penalized(make_row, MORE, optimizer=adam(0.2), row="other", study="other", seeds=5)
    assert programs.shape(alike, 2, {}) == name
    others = [
        penalized(make_row, NONE, optimizer=adam(0.1)),
        penalized(make_row, SOME, optimizer=adam(0.1), fingerprint="1" * 64),
        penalized(make_row, SOME, optimizer=adam(0.1) | {"beta_1": 0.8}),
    ]
    assert name not in {programs.shape(other, 2, {}) for other in others}
    assert programs.shape(alike, 3, {}) != name
    assert programs.shape(alike, 2, {"XLA_FLAGS": "--xla_cpu_enable_fast_math=true"}) != name


def filled(folder, **content):
    folder.mkdir()
    for name, program in content.items():
        (folder / f"{name}.pb").write_bytes(program)
    return folder


def test_programs_come_back_as_they_were(tmp_path):
    archive, folder = tmp_path / "a/shape.zip", tmp_path / "taken"
    programs.keep(filled(tmp_path / "first", one=b"1" * 1000, two=b"2"), archive)
    assert programs.take(archive, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"one.pb": b"1" * 1000, "two.pb": b"2"}
    before = archive.stat().st_ino
    programs.keep(folder, archive)
    assert archive.stat().st_ino == before  # nothing is new
    (folder / "three.pb").write_bytes(b"3")
    programs.keep(folder, archive)
    assert programs.take(archive, folder) and (folder / "three.pb").read_bytes() == b"3"


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-30], lambda content: content.replace(b"1111", b"1101", 1)]
)
def test_a_damaged_archive_is_not_used(tmp_path, damage):
    archive, folder = tmp_path / "shape.zip", tmp_path / "taken"
    programs.keep(filled(tmp_path / "first", one=b"1" * 1000), archive)
    archive.write_bytes(damage(archive.read_bytes()))
    assert not programs.take(archive, folder)
    assert not folder.exists() and not archive.exists()
    assert programs.take(archive, folder) and list(folder.iterdir()) == []


def test_a_folder_that_tensorflow_could_not_be_told_of_is_not_used(tmp_path):
    assert not programs.take(tmp_path / "shape.zip", tmp_path / "a b/taken")


def test_an_archive_of_too_many_programs_starts_anew(tmp_path):
    archive, folder = tmp_path / "shape.zip", filled(tmp_path / "first", one=b"1")
    programs.keep(folder, archive)
    for number in range(programs.MOST_PROGRAMS):
        (folder / f"{number}.pb").write_bytes(b"1")
    programs.keep(folder, archive)
    assert not archive.exists()


def test_the_archive_that_was_used_longest_ago_makes_room(tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "MOST", 2)
    folder = filled(tmp_path / "first", one=b"1")
    for age, name in ((300, "a"), (200, "b")):
        programs.keep(folder, tmp_path / f"{name}.zip")
        os.utime(tmp_path / f"{name}.zip", (0, age))
    assert programs.take(tmp_path / "b.zip", tmp_path / "taken")
    programs.keep(folder, tmp_path / "c.zip")
    assert sorted(path.name for path in tmp_path.glob("*.zip")) == ["b.zip", "c.zip"]


def largest(archive):
    with zipfile.ZipFile(archive) as inside:
        return max(inside.infolist(), key=lambda member: member.file_size)


@pytest.mark.long
def test_a_row_with_programs_of_its_shape_has_the_same_record(small_repository, tmp_path):
    """They are those of the row beside it; a damaged archive is made anew."""
    folder = small.duplicate(small_repository, tmp_path / "regbench")
    record = folder / f"results/runs/{ROW}.json"
    expected = record.read_bytes()
    row = load_row(folder / f"build/rows/{ROW}.yaml")
    threads = runtime.workers(row.seeds, cores.available({}))
    environment: dict[str, str] = {}
    runtime.isolate(environment)
    archive = folder / programs.ARCHIVES / f"{programs.shape(row, threads, environment)}.zip"
    training = largest(archive)
    train = (sys.executable, "-m", "stages.train", ROW)
    os.utime(archive, (0, 0))
    small.forget(folder, ROW)
    small.run(folder, *train)
    assert record.read_bytes() == expected
    assert archive.stat().st_mtime > 0
    assert (largest(archive).filename, largest(archive).CRC) == (training.filename, training.CRC)  # it was found
    archive.write_bytes(b"no archive")
    small.forget(folder, ROW)
    assert small.run(folder, *train) == ""  # and TensorFlow says nothing of it
    assert record.read_bytes() == expected
    small.forget(folder, ROW)
    small.run(folder, *train)
    assert largest(archive).filename == training.filename
    assert list(folder.glob("build/checkpoints/*/*")) == []


@pytest.mark.parametrize(
    ("message", "line"),
    [("build/x.pb; No space left on device", "No space left on device; TensorFlow"), ("OOM", "not enough memory")],
)
def test_a_disk_without_room_for_a_program_is_not_taken_for_too_little_memory(message, line):
    class ResourceExhaustedError(Exception):  # TensorFlow's, of both
        pass

    def main():
        raise ResourceExhaustedError(message)

    with pytest.raises(SystemExit, match=f"^regbench: {line}"):
        errors.run(main)


def test_the_library_is_loaded_while_something_else_is_done_and_only_its_own_words_are_lost():
    code = """
import sys
import zipfile
from pathlib import Path
from stages.core.training import preload
with preload.tensorflow():
    print("our own", file=sys.stderr, flush=True)
print(preload.LIBRARY.split(".")[0] in Path("/proc/self/maps").read_text(), "tensorflow" in sys.modules)
try:
    with preload.tensorflow():
        raise ValueError("what went wrong")
except ValueError as error:
    print(error, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True False\n"
    assert done.stderr == "our own\nwhat went wrong\n"
