"""Stage compose: what it writes changes when, and only when, something that counts changes."""

import hashlib
import shutil
from pathlib import Path

import pytest
from test_config import DEMO, ROOT, edit, with_overrides, without_digests, write_workspace

from stages import compose
from stages.core.base.errors import UserError
from stages.core.config.yaml import read_yaml

IMAGES = """\
  demo/plain:
    label: no transforms
    overrides: ["augmentation=null"]
"""
TRANSFORMS = "{rotation: 15.0, width_shift: 0.1, height_shift: 0.1, horizontal_flip: true}"


@pytest.fixture(scope="module")
def composed(tmp_path_factory):
    """Compose's working directory: some groups and one study of two rows; composed once."""
    folder = tmp_path_factory.mktemp("composed")
    write_workspace(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        without_digests(patch)
        compose.main()
    return folder


@pytest.fixture
def workspace(composed, tmp_path, monkeypatch):
    """A copy of it."""
    shutil.copytree(composed, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    without_digests(monkeypatch)
    return tmp_path


def written(folder="build"):
    """The files that other stages read: not build/nets, where what Keras said of a net is kept."""
    files = (path for path in sorted(Path(folder).rglob("*")) if path.is_file() and "nets" not in path.parts)
    return {str(path): path.read_bytes() for path in files}


def changed():
    """The files that composing anew adds, changes or removes."""
    before = written()
    compose.main()
    after = written()
    return sorted(Path(name).stem for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def test_files(workspace):
    assert list(written()) == [
        "build/answers/demo.yaml",
        "build/answers/grid.yaml",
        "build/grid.yaml",
        "build/rows/demo/l2.yaml",
        "build/rows/demo/none.yaml",
        "build/studies/demo.yaml",
    ]


def test_composing_again_changes_nothing(workspace):
    assert changed() == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("label: some", "label: another"),
        ("figure_title: A", "figure_title: The"),
        ("reported: 0.9", "reported: 0.8"),
        ("question: Why?", "question: Why 'ever'? 為什麼"),
        ("loss: [2.0, 1.0], acc", "loss: [2.5, 1.0], acc"),
    ],
)
def test_what_is_only_shown_changes_no_row(workspace, old, new):
    edit(workspace / DEMO, old, new)
    assert changed() == ["demo"]


def test_dataset_title_and_addresses_change_no_row(workspace):
    edit(workspace / "conf/dataset/digits.yaml", "title: ", "title: some ")
    assert changed() == ["demo"]


def test_one_coefficient_changes_one_row(workspace):
    edit(workspace / DEMO, "kernel.l2=0.001", "kernel.l2=0.002")
    assert changed() == ["demo", "l2"]  # demo: its digest of the row


def test_what_rows_share_changes_all_rows(workspace):
    edit(workspace / DEMO, "epochs: 10", "epochs: 11")
    assert changed() == ["demo", "l2", "none"]


def test_another_spelling_of_a_number_changes_nothing(workspace):
    edit(workspace / DEMO, "kernel.l2=0.001", "kernel.l2=1e-3")
    assert changed() == []


def test_a_new_row_changes_no_other_and_a_removed_one_leaves_nothing(workspace):
    edit(workspace / DEMO, "  demo/none:", "  demo/new: {label: new, overrides: [model.activation=tanh]}\n  demo/none:")
    assert changed() == ["demo", "new"]
    edit(workspace / DEMO, "  demo/new: {label: new, overrides: [model.activation=tanh]}\n", "")
    assert changed() == ["demo", "new"]
    assert list(written("build/rows")) == ["build/rows/demo/l2.yaml", "build/rows/demo/none.yaml"]


def test_a_deselected_study_leaves_nothing(workspace):
    text = (workspace / DEMO).read_text(encoding="utf-8").replace("demo/", "other/")
    (workspace / "conf/study/other.yaml").write_text(text, encoding="utf-8")
    edit(workspace / "dvc.yaml", "vars:\n", "vars:\n  - conf/study/other.yaml:rows\n")
    edit(workspace / "params.yaml", "  demo: {dataset: digits, seeds: 2}", "  other: {dataset: digits, seeds: 2}")
    compose.main()
    assert list(written()) == [
        "build/answers/grid.yaml",
        "build/answers/other.yaml",
        "build/grid.yaml",
        "build/rows/other/l2.yaml",
        "build/rows/other/none.yaml",
        "build/studies/other.yaml",
    ]


# --- mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (DEMO, "kernel.l2=0.001", "kernel.l2=-1"),
        ("conf/dataset/digits.yaml", "title: ", "titel: "),
        ("params.yaml", "seeds: 2", "seeds: 0"),
        ("dvc.yaml", "demo.yaml", "other.yaml"),
    ],
)
def test_a_mistake_leaves_the_previous_build(workspace, file, old, new):
    before = written()
    edit(workspace / file, old, new)
    with pytest.raises(UserError):
        compose.main()
    assert written() == before


def test_a_mistake_in_the_last_study_writes_nothing_of_the_first(workspace):
    text = (workspace / DEMO).read_text(encoding="utf-8").replace("demo/", "other/")
    (workspace / "conf/study/other.yaml").write_text(text.replace("epochs: 10", "epochs: 0"), encoding="utf-8")
    edit(workspace / DEMO, "epochs: 10", "epochs: 11")
    edit(workspace / "dvc.yaml", "vars:\n", "vars:\n  - conf/study/other.yaml:rows\n")
    edit(workspace / "params.yaml", "seeds: 2}", "seeds: 2}\n  other: {dataset: digits, seeds: 2}")
    before = written()
    with pytest.raises(UserError, match=r"conf/study/other.yaml: row l2: training.epochs"):
        compose.main()
    assert written() == before


# --- what a study's file says ---------------------------------------------------------------------------------------


def test_study_file(workspace):
    study = read_yaml(Path("build/studies/demo.yaml"))
    assert (study["name"], study["dataset"], study["n_seeds"]) == ("demo", "digits", 2)
    assert study["higher_is_better"] is True
    assert list(study["rows"]) == ["l2", "none"]
    for name, row in study["rows"].items():
        assert row["config_digest"] == hashlib.sha256(Path(f"build/rows/demo/{name}.yaml").read_bytes()).hexdigest()
    assert study["rows"]["l2"]["regularizers"] == {"kernel": {"l2": 0.001}}
    assert study["rows"]["none"]["reported"] == 0.9


@pytest.mark.parametrize(
    ("overrides", "regularizer", "context"),
    [
        (["model.activation=tanh"], "none", "model.activation=tanh"),
        (["regularizer@bias=l1_l2"], "bias l1_l2", ""),
        (["regularizer@kernel=l2", "regularizer@activity=l2", "optimizer=sgd"], "mixed", "optimizer=sgd"),
        (["regularizer@kernel=l2", "kernel.l2=0.0"], "none", ""),
    ],
)
def test_kind_of_regularization_and_context(workspace, overrides, regularizer, context):
    with_overrides(workspace, *overrides)
    compose.main()
    row = read_yaml(Path("build/studies/demo.yaml"))["rows"]["l2"]
    assert (row["regularizer"], row["context"], row["dropout"]) == (regularizer, context, 0.0)


@pytest.mark.parametrize(("overrides", "regularizer"), [([], "kernel l2"), (["model.dropout=0.2"], "mixed")])
def test_a_dropout_that_all_rows_share_is_part_of_the_model(workspace, overrides, regularizer):
    """`demo/none` has the model's dropout of 0.5."""
    shutil.copy(ROOT / "conf/model/mnist_collapse.yaml", workspace / "conf/model")
    edit(workspace / DEMO, "/model: mnist_comparison", "/model: mnist_collapse")
    with_overrides(workspace, "regularizer@kernel=l2", *overrides)
    compose.main()
    assert read_yaml(Path("build/studies/demo.yaml"))["rows"]["l2"]["regularizer"] == regularizer
