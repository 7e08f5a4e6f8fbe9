"""What an edit makes stale, and what becomes of the rows: by the digests of this code, and in a copy by what DVC says.

A copy has one study of digits.
"""

import json
import re
import signal
import sys
from contextlib import nullcontext
from functools import cache

import pytest
from small import NAME, ROWS, duplicate, edit, environment, ran, run

from stages import train
from stages.commands import adopt
from stages.core.base.errors import UserError
from stages.core.config import code, fingerprint
from stages.core.records import recording

ALL = {f"train@{NAME}/{row}" for row in ROWS}
RECORD = f"results/runs/{NAME}/none.json"


@pytest.fixture(scope="module")
def workspace(small_repository, tmp_path_factory):
    return duplicate(small_repository, tmp_path_factory.mktemp("stale") / "regbench")


def compose(folder):
    """Bring up to date what compose and download write: build/ and the data sheets."""
    written = "from stages import code, compose, download; import sys; sys.argv = ['stage']"
    run(folder, "python", "-c", f"{written}; [stage.main() for stage in (code, download, compose)]")


def stale(folder):
    """The stages that are not up to date, once what is composed is."""
    compose(folder)
    return set(json.loads(run(folder, "dvc", "status", "--json")))


def restore(folder):
    run(folder, "git", "checkout", "--quiet", "--", ".")
    run(folder, "git", "clean", "--quiet", "--force", "-d", "--", "results", "stages")


def append(path, text):
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def record(folder, path=RECORD):
    return json.loads((folder / path).read_text(encoding="utf-8"))


def digests(sources, lock):
    """Of the stages that train, reckon and draw."""
    versions = fingerprint.locked_versions(lock)
    return {stage: code.digests(sources, versions, stage)["all"] for stage in ("train", "aggregate", "plot")}


@cache
def unedited():
    sources, _ = code.read()
    lock = (code.ROOT / "requirements.lock").read_text(encoding="utf-8")
    return sources, lock, digests(sources, lock)


def replaced(text, old, new):
    text, count = re.subn(old, new, text, flags=re.MULTILINE)
    assert count, f"{old} is not there"
    return text


def changed(sources, lock):
    """The stages that run other code, or under other packages."""
    return {stage for stage, digest in digests(sources, lock).items() if digest != unedited()[2][stage]}


# --- by the digests -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("records.recording", r'"parameters": ', '"parameter": '),
        ("records.recording", r"\[seeds\[seed\] for seed in range\(row.seeds\)\]", "[*seeds.values()]"),
        ("records.records", r"^SIGNIFICANT_DIGITS = 7", "SIGNIFICANT_DIGITS = 6"),
        ("config.row", r"(def metric\(self\).*\n(?:.*\n)*?        return )", r"\1 '' or "),
        ("training.checkpoints", r"progress\.curve, ", "{}, "),
        ("training.penalties", r"values = \[regularizer\(w\)", "values = [1.01 * regularizer(w)"),
        ("base.files", r"file\.write\(data\)", "file.write(data[:-1])"),
    ],
)
def test_code_that_can_change_a_record_is_part_of_every_row(module, old, new):
    sources, lock, _ = unedited()
    name = f"stages.core.{module}"
    assert "train" in changed({**sources, name: replaced(sources[name], old, new)}, lock)


@pytest.mark.parametrize(
    ("package", "stages"),
    [
        ("numpy", {"train", "aggregate", "plot"}),
        ("keras", {"train"}),
        ("matplotlib", {"plot"}),
        ("seaborn", {"plot"}),
        ("scipy", {"aggregate", "plot"}),
        ("pandas", {"aggregate", "plot"}),
        ("pillow", set()),  # the data sheet names its reader
    ],
)
def test_a_version_counts_where_it_can_change_what_is_written(package, stages):
    sources, lock, _ = unedited()
    assert changed(sources, replaced(lock, rf"^{package}==[\w.]+", f"{package}==9.9.9")) == stages


def test_the_style_of_the_figures_is_part_of_the_plots_alone():
    sources, lock, _ = unedited()
    name = "stages.core.figures.style"
    assert changed({**sources, name: replaced(sources[name], r'"font\.size": \d+', '"font.size": 12')}, lock) == {
        "plot"
    }


def train_here(workspace, monkeypatch):
    """Stage train of one row in this process."""
    read = code.read
    monkeypatch.setattr(code, "read", lambda: read(workspace))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["train", f"{NAME}/none"])
    monkeypatch.chdir(workspace)
    train.main()


# --- by DVC ---------------------------------------------------------------------------------------------------------


def test_a_training_refuses_code_that_its_row_was_not_composed_with(workspace, monkeypatch):
    before = (workspace / RECORD).read_bytes()
    engine = workspace / "stages/core/training/engine.py"
    append(engine, "\n\nCHUNK_SAMPLES = 10**6\n")
    output = run(workspace, "python", "-m", "stages.train", f"{NAME}/none", expect=1)
    assert output.count("\n") == 1 and "composed with other training code" in output
    assert (workspace / RECORD).read_bytes() == before
    restore(workspace)
    # Edited while it trains: found before anything is written.
    made = record(workspace)
    del made["checksum"]
    trained = []

    def trains_while_somebody_edits(row, key, folder, earlier):
        append(engine, "\n\nCHUNK_SAMPLES = 10**6\n")
        trained.append(key)
        return made

    monkeypatch.setattr(recording, "record", trains_while_somebody_edits)
    (workspace / RECORD).unlink()
    with pytest.raises(UserError, match="composed with other training code"):
        train_here(workspace, monkeypatch)
    assert trained == [f"{NAME}/none"]
    assert (workspace / RECORD).read_bytes() == before  # what DVC had removed is put back
    restore(workspace)


def more_seeds(workspace):
    edit(workspace / f"build/rows/{NAME}/none.yaml", r"^seeds: 2$", "seeds: 3")
    return record(workspace)["seeds"]


def assert_more_seeds(workspace, before, output):
    after = record(workspace)["seeds"]
    assert after[:2] == before and [seed["seed"] for seed in after] == [0, 1, 2]
    assert f"{NAME}/none: seeds 2 train, seeds 0, 1 stay" in output
    restore(workspace)


def test_more_seeds_train_the_new_ones_alone(workspace, tensorflow, monkeypatch, capsys):
    """In this process, which has TensorFlow already, and without XLA; DVC has removed the record."""
    from plain import without_xla

    before = more_seeds(workspace)
    (workspace / RECORD).unlink()
    engine = recording.engine
    monkeypatch.setattr(recording, "engine", lambda *given, **lanes: without_xla(engine(*given, **lanes)))
    monkeypatch.setattr(recording.runtime, "prepare", lambda *_: "cpu")
    monkeypatch.setattr(recording.preload, "tensorflow", nullcontext)
    monkeypatch.setattr(recording.programs, "take", lambda *_: False)
    train_here(workspace, monkeypatch)
    assert_more_seeds(workspace, before, capsys.readouterr().out)


@pytest.mark.long
def test_more_seeds_by_dvc(workspace):
    compose(workspace)
    before = more_seeds(workspace)
    assert_more_seeds(workspace, before, run(workspace, "dvc", "repro", "--single-item", f"train@{NAME}/none"))


@pytest.mark.long
def test_other_code_and_other_packages_make_stages_stale(workspace):
    """Of the training all rows; of the tables and figures those, here by a package that trains nothing.

    By the digests that is asked above, and that DVC sees other code when rows are adopted, below.
    """
    edit(workspace / "stages/core/records/recording.py", r'"parameters": ', '"parameter": ')
    edit(workspace / "requirements.lock", r"^pandas==[\w.]+", "pandas==9.9.9")
    assert stale(workspace) >= ALL | {f"aggregate@{NAME}", f"plot@{NAME}"}
    restore(workspace)


def test_nothing_trains_for_a_comment_a_helper_a_field_with_a_default_or_a_sentence_of_an_answer(workspace):
    for name in ("training/models", "data/archives", "records/records", "config/row"):
        edit(workspace / f"stages/core/{name}.py", r'\A"""', '"""Another docstring. ')
        append(workspace / f"stages/core/{name}.py", "\n\n# A comment.\ndef nobody_calls_it(x):\n    return x + 1\n")
    edit(
        workspace / "stages/core/config/row.py",
        r"^    fingerprint: Sha256$",
        "    fingerprint: Sha256\n    new: int = 0",
    )
    edit(workspace / "stages/core/results/general.py", r"does harm that", "does any harm that")
    found = stale(workspace)
    assert found >= {"answers", "overview", "report"}
    assert not found & (ALL | {f"aggregate@{NAME}", f"plot@{NAME}"})
    restore(workspace)


FIRST, OTHER, DIFFERING = "kernel_l1_1e-3", "none", "kernel_l2_1e-3"
PENALTIES = "stages/core/training/penalties.py"


def assert_adopted(workspace, stages):
    assert set(stages) & ALL == {f"train@{NAME}/{DIFFERING}"}
    assert "seeds 0 and 1" in record(workspace, f"results/runs/{NAME}/{FIRST}.json")["adopted"]["checked"]
    assert "seed 0" in record(workspace, f"results/runs/{NAME}/{OTHER}.json")["adopted"]["checked"]


def test_adopt_keeps_records_where_no_number_changed_and_leaves_the_others_stale(workspace, monkeypatch):
    """The penalties' code changes all rows' fingerprints; the numbers of the row with L2 are told to be others."""
    edit(workspace / PENALTIES, r"values = \[regularizer\(w\)", "values = [1 * regularizer(w)")
    for name, value in environment(workspace).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(workspace)
    monkeypatch.setattr(sys, "argv", ["adopt"])
    monkeypatch.setattr(adopt, "checked", lambda keys: [(key, not key.endswith(DIFFERING)) for key in keys])
    with pytest.raises(UserError, match=rf"^1 rows gave other numbers and stay stale: {NAME}/{DIFFERING}$"):
        adopt.main()
    assert_adopted(workspace, json.loads(run(workspace, "dvc", "status", "--json")))
    restore(workspace)


@pytest.mark.long
def test_adopt_trains_and_sees_which_numbers_changed(workspace):
    """The penalties' code changes all rows' fingerprints, and the numbers of the row with L2 alone."""
    changed = "values = [(1.01 if regularizer.terms == [tf.square] else 1) * regularizer(w)"
    edit(workspace / PENALTIES, r"values = \[regularizer\(w\)", changed)
    output = run(workspace, "python", "-m", "stages.commands.cli", "adopt", expect=1)
    last = output.splitlines()[-1]
    assert DIFFERING in last and FIRST not in last and OTHER not in last
    assert_adopted(workspace, stale(workspace))
    restore(workspace)


@pytest.mark.long
def test_other_arrays_train_the_rows_that_use_them_and_a_reader_that_gives_the_same_trains_none(workspace):
    reader = workspace / "stages/core/data/formats.py"
    edit(reader, r"x, y = digits\.images\.astype\(np\.uint8\)", "x, y = digits.images.copy().astype(np.uint8)")
    assert not stale(workspace) & ALL
    edit(reader, r"cut = int\(len\(x\) \* 0\.8\)", "cut = int(len(x) * 0.7)")
    assert {stage for stage in ran(workspace) if stage.startswith("train@")} == ALL
    assert record(workspace)["data"]["samples"]["train"] == 1257
    restore(workspace)
