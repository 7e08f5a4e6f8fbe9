"""What an edit makes stale, as DVC says, and what becomes of the rows: in a copy with one study of digits."""

import json

import pytest
from small import NAME, ROWS, duplicate, edit, ran, run

ALL = {f"train@{NAME}/{row}" for row in ROWS}
RECORD = f"results/runs/{NAME}/none.json"
RECORDS = "stages/core/records"


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


def long(*values):
    return pytest.param(*values, marks=pytest.mark.long)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (f"{RECORDS}/recording.py", r'"parameters": ', '"parameter": '),
        long(f"{RECORDS}/recording.py", r"\[seeds\[seed\] for seed in range\(row.seeds\)\]", "[*seeds.values()]"),
        long(f"{RECORDS}/records.py", r"^SIGNIFICANT_DIGITS = 7", "SIGNIFICANT_DIGITS = 6"),
        long("stages/core/config/row.py", r"(def metric\(self\).*\n(?:.*\n)*?        return )", r"\1 '' or "),
        long("stages/core/training/checkpoints.py", r"progress\.curve, ", "{}, "),
        long("stages/core/base/files.py", r"file\.write\(data\)", "file.write(data[:-1])"),
        ("requirements.lock", r"^numpy==[\w.]+", "numpy==9.9.9"),
        long("requirements.lock", r"^keras==[\w.]+", "keras==9.9.9"),
    ],
)
def test_what_can_change_a_record_makes_every_row_stale(workspace, file, old, new):
    edit(workspace / file, old, new)
    assert stale(workspace) >= ALL
    restore(workspace)


@pytest.mark.parametrize(
    ("package", "stages"),
    [
        long("matplotlib", {"plot"}),
        long("seaborn", {"plot"}),
        long("scipy", {"aggregate"}),
        ("pandas", {"aggregate", "plot"}),
    ],
)
def test_a_version_that_can_change_a_table_or_a_figure_makes_those_stale(workspace, package, stages):
    edit(workspace / "requirements.lock", rf"^{package}==[\w.]+", f"{package}==9.9.9")
    found = stale(workspace)
    assert {f"{stage}@{NAME}" for stage in stages} <= found
    assert not found & ALL
    restore(workspace)


def test_nothing_trains_for_a_comment_a_helper_a_field_with_a_default_or_another_version_of_a_decoder(workspace):
    for name in ("training/models", "data/archives", "records/records", "config/row"):
        edit(workspace / f"stages/core/{name}.py", r'\A"""', '"""Another docstring. ')
        append(workspace / f"stages/core/{name}.py", "\n\n# A comment.\ndef nobody_calls_it(x):\n    return x + 1\n")
    edit(
        workspace / "stages/core/config/row.py",
        r"^    fingerprint: Sha256$",
        "    fingerprint: Sha256\n    new: int = 0",
    )
    assert not stale(workspace) & (ALL | {f"aggregate@{NAME}", f"plot@{NAME}"})
    edit(workspace / "requirements.lock", r"^pillow==[\w.]+", "pillow==9.9.9")
    assert not stale(workspace) & ALL  # the data sheet names its reader, and a table its data
    restore(workspace)


def test_a_sentence_of_an_answer_makes_answers_and_report_stale_and_no_table(workspace):
    edit(workspace / "stages/core/results/general.py", r"does harm that", "does any harm that")
    found = stale(workspace)
    assert found >= {"answers", "overview", "report"}
    assert not found & (ALL | {f"aggregate@{NAME}", f"plot@{NAME}"})
    restore(workspace)


def test_a_training_refuses_code_that_its_row_was_not_composed_with(workspace):
    before = (workspace / RECORD).read_bytes()
    engine = workspace / "stages/core/training/engine.py"
    append(engine, "\n\nCHUNK_SAMPLES = 10**6\n")
    output = run(workspace, "python", "-m", "stages.train", f"{NAME}/none", expect=1)
    assert output.count("\n") == 1 and "composed with other training code" in output
    assert (workspace / RECORD).read_bytes() == before
    restore(workspace)
    # Edited while it trains: found before anything is written.
    (workspace / RECORD).unlink()
    edit(workspace / f"{RECORDS}/recording.py", r"^def load\(", "def nobody():\n    pass\n\n\ndef load(")
    training = (
        "import pathlib, sys; from stages import train; from stages.core.records import recording;"
        "real = recording.record;"
        "edit = lambda: pathlib.Path('stages/core/training/engine.py').open('a').write('\\nCHUNK_SAMPLES = 10**6\\n');"
        "recording.record = lambda *a: (edit(), real(*a))[1];"
        f"sys.argv = ['train', '{NAME}/none']; from stages.core.base.errors import run as r; r(train.main)"
    )
    output = run(workspace, "python", "-c", training, expect=1)
    assert "composed with other training code" in output
    restored = workspace / RECORD
    assert restored.read_bytes() == before  # what DVC had removed is put back
    restore(workspace)


def test_adopt_keeps_records_where_no_number_changed_and_leaves_the_others_stale(workspace):
    """The penalties' code changes all rows' fingerprints, and the numbers of the row with L2 alone."""
    penalties = workspace / "stages/core/training/penalties.py"
    changed = "values = [(1.01 if regularizer.terms == [tf.square] else 1) * regularizer(w)"
    edit(penalties, r"values = \[regularizer\(w\)", changed)
    output = run(workspace, "python", "-m", "stages.commands.cli", "adopt", expect=1)
    first, other, differing = "kernel_l1_1e-3", "none", "kernel_l2_1e-3"
    last = output.splitlines()[-1]
    assert differing in last and first not in last and other not in last
    assert stale(workspace) & ALL == {f"train@{NAME}/{differing}"}
    assert "seeds 0 and 1" in record(workspace, f"results/runs/{NAME}/{first}.json")["adopted"]["checked"]
    assert "seed 0" in record(workspace, f"results/runs/{NAME}/{other}.json")["adopted"]["checked"]
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


def test_more_seeds_train_the_new_ones_alone(workspace):
    before = record(workspace)["seeds"]
    edit(workspace / "params.yaml", r"seeds: 2", "seeds: 3")
    compose(workspace)
    output = run(workspace, "dvc", "repro", "--single-item", f"train@{NAME}/none")
    after = record(workspace)["seeds"]
    assert after[:2] == before and [seed["seed"] for seed in after] == [0, 1, 2]
    assert f"{NAME}/none: seeds 2 train, seeds 0, 1 stay" in output
