"""`regbench try`: rows from overrides, trained now beside the study's baseline; nothing is kept."""

import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from stages.core.base.errors import UserError
from stages.core.config.composition import variants
from stages.core.records import recording, records
from stages.core.results.trials import sparkline
from stages.core.training import runtime

ROOT = Path(__file__).parent.parent
BASELINE = "results/runs/digits_comparison/none.json"
NEEDED = ("conf", "stages", "params.yaml", "dvc.yaml", "requirements.lock", "results/datasets")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """What `try` needs of this repository, and a record of the baseline with other figures than a training gives."""
    folder = tmp_path_factory.mktemp("try")
    for name in NEEDED:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    record = records.load_json((ROOT / BASELINE).read_bytes(), BASELINE)
    del record["checksum"]
    for seed in record["seeds"]:
        seed["final"]["test"]["accuracy"] = 0.51 + seed["seed"] / 100
    (folder / BASELINE).parent.mkdir(parents=True)
    (folder / BASELINE).write_text(records.to_json(record), encoding="utf-8")
    return folder


def tried(project, *arguments):
    command = [sys.executable, "-m", "stages.commands.cli", "try", *arguments]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(project.parent), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def call(project, monkeypatch, *arguments):
    """The command in this process, where TensorFlow may be under way."""
    monkeypatch.chdir(project)
    monkeypatch.setenv("TF_XLA_FLAGS", "")  # restored at the end
    monkeypatch.setattr(runtime, "prepare", lambda *_: "cpu")
    monkeypatch.setattr(sys, "argv", ["try", *arguments])
    import_module("stages.commands.try").main()


def refused(project, monkeypatch, *arguments):
    """What the command complains of, on one line."""
    with pytest.raises(UserError) as refusal:
        call(project, monkeypatch, *arguments)
    said = str(refusal.value)
    assert "\n" not in said
    return said


def long(*values):
    return pytest.param(*values, marks=pytest.mark.long)


def files(folder):
    return {path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}


OVERRIDES = ("digits_comparison", "kernel.l1=1e-3,100", "training.epochs=4", "--seeds", "2")


def test_values_of_an_override_make_a_small_table_and_nothing_is_kept(project, tensorflow, monkeypatch, capsys):
    """Without XLA, which takes most of the time."""
    from plain import without_xla

    before, engine = files(project), recording.engine
    monkeypatch.setattr(recording, "engine", lambda *given, **lanes: without_xla(engine(*given, **lanes)))
    monkeypatch.setattr(recording.programs, "take", lambda *_: False)
    call(project, monkeypatch, *OVERRIDES)
    assert files(project) == before
    assert_small_table(capsys.readouterr().out)


@pytest.mark.long
def test_the_same_by_the_command(project):
    before = files(project)
    said = tried(project, *OVERRIDES)
    assert files(project) == before
    assert_small_table(said)


def assert_small_table(said):
    table, *blocks = said.split("\n\n")
    heading, *lines = table.splitlines()
    assert heading.startswith("row") and "test accuracy, mean ± sd (n)" in heading and "diagnosis" in heading
    assert [line.split("  ")[0] for line in lines] == [
        "no regularizer",
        "kernel.l1=0.001 training.epochs=4",
        "kernel.l1=100 training.epochs=4",
    ]
    assert "0.515" in lines[0] and "(2)" in lines[0]  # of the record, as far as it has the seeds
    assert "(2)" in lines[1] and "not learning" in lines[2]
    assert len(blocks) == 3 and "guessing gives" in blocks[2]
    assert blocks[1].splitlines()[1].split()[0] == "accuracy" and len(blocks[1].splitlines()[1].split()[1]) == 4


def test_a_named_regularization_is_an_override_and_a_wrong_layer_is_one_line(project, tensorflow, monkeypatch):
    said = refused(project, monkeypatch, "digits_comparison", "regularization=foo")
    assert "foo" in said
    named = ("regularization=dropout_20", "model.activation=foo")
    said = refused(project, monkeypatch, "digits_comparison", *named, "--seeds", "1")
    assert "layers.1 (dense)" in said and "foo" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["digits_comparison", "kernel.l2=-1"], ["regularizers.kernel.l2", "-1"]),
        long(["digits_comparison", "kernel.l3=1"], ["l3"]),
        long(["digits_comparison", "seeds=4"], ["seeds=4", "must set a value of"]),
        long(["digits_comparison", "kernel.l2"], ["kernel.l2", "is no override"]),
        long(["nowhere"], ["nowhere", "digits_comparison"]),
        (["digits_comparison", "--seeds", "0"], ["--seeds 0"]),
    ],
)
def test_a_mistake_is_one_line(project, monkeypatch, arguments, words):
    said = refused(project, monkeypatch, *arguments)
    assert all(word in said for word in words)


def test_combinations_of_values():
    assert variants(["a=1,2", "b=3", "c=x,y"]) == [
        ["a=1", "b=3", "c=x"],
        ["a=1", "b=3", "c=y"],
        ["a=2", "b=3", "c=x"],
        ["a=2", "b=3", "c=y"],
    ]
    assert variants(["+training.early_stopping={monitor: val_loss, patience: 3}"]) == [
        ["+training.early_stopping={monitor: val_loss, patience: 3}"]
    ]
    with pytest.raises(UserError, match="is no override"):
        variants(["a"])


def test_a_sparkline_is_as_high_as_the_values_and_marks_what_is_not_finite():
    assert sparkline(np.array([0.0, 0.5, 1.0, np.nan]), 0, 1) == "▁▅█×"
    assert len(sparkline(np.linspace(0, 1, 1000), 0, 1)) == 60
    assert sparkline(np.array([0.3, 0.3]), 0.3, 0.3) == "██"
