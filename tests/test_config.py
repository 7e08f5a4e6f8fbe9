"""Composition: every row of every study is valid, and every mistake in conf/ or params.yaml ends in one line.

The fuzz test tries 25 broken studies, and REGBENCH_FUZZ of them in `make torture`.
"""

import copy
import math
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from stages import compose
from stages.core.base.errors import UserError
from stages.core.config import code, composition
from stages.core.config.dataset import Sheet
from stages.core.config.row import Row, load_row
from stages.core.config.yaml import read_yaml

ROOT = Path(__file__).parent.parent
SHEET = Sheet(digest="0" * 64, arrays={"train_x": {"shape": [1437, 8, 8]}, "test_x": {"shape": [360, 8, 8]}})
STUDIES = sorted(path.stem for path in (ROOT / "conf/study").glob("*.yaml"))
FUZZ_EXAMPLES = int(os.environ.get("REGBENCH_FUZZ", "25"))

GROUPS = {  # few files, because they are read often
    "dataset": ["digits", "kin8nm"],
    "model": ["mnist_comparison", "kin8nm"],
    "optimizer": ["adam", "sgd"],
    "regularizer": ["none", "l2", "l1_l2"],
}
PARAMS = """\
device: auto
cifar10: cifar10_jpeg
studies:
  demo: {dataset: digits, seeds: 2}
"""
PIPELINE = """\
vars:
  - conf/study/demo.yaml:rows
stages: {}
"""
STUDY = """\
# @package _global_
defaults:
  - /dataset: ???
  - /model: mnist_comparison
  - /optimizer: adam
  - /regularizer@kernel: none
  - /regularizer@bias: none
  - /regularizer@activity: none
  - _self_
title: A title
question: Why?
claim: Because.
source: A page
figure_title: A figure
headings: {label: Row, reported: Reported}
metric: test.accuracy
baseline: none
reported_logs:
  run: {epochs: [1, 2], loss: [2.0, 1.0], accuracy: [0.1, 0.2], val_loss: [2.0, 1.0], val_accuracy: [0.1, 0.2]}
split: {validation: none, size: null, random_state: null, monitor: test}
augmentation: null
training: {loss: sparse_categorical_crossentropy, batch_size: 32, epochs: 10}
rows:
  demo/l2:
    label: some
    overrides: ["regularizer@kernel=l2", "kernel.l2=0.001"]
  demo/none:
    label: nothing
    reported: 0.9
    reported_log: run
"""
ROWS = STUDY[STUDY.index("rows:\n  demo") :]
DEMO, MODEL, ADAM, DIGITS = (
    "conf/study/demo.yaml",
    "conf/model/mnist_comparison.yaml",
    "conf/optimizer/adam.yaml",
    "conf/dataset/digits.yaml",
)


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A folder with some of this repository's groups and one study of two rows, as compose's working directory."""
    write_workspace(tmp_path)
    monkeypatch.chdir(tmp_path)
    without_digests(monkeypatch)
    return tmp_path


def without_digests(monkeypatch):
    """The code that runs is the same in all of these tests, and its digests take longest of all that compose does."""
    monkeypatch.setattr(code, "digests", lambda *_: {})
    monkeypatch.setattr(code, "fingerprint", lambda *_: "0" * 64)
    monkeypatch.setattr(code, "curve", lambda *_: "0" * 64)


def write_workspace(folder):
    for group, names in GROUPS.items():
        (folder / "conf" / group).mkdir(parents=True)
        for name in names:
            shutil.copy(ROOT / "conf" / group / f"{name}.yaml", folder / "conf" / group)
    (folder / "conf/study").mkdir()
    (folder / "results/datasets").mkdir(parents=True)
    for name in GROUPS["dataset"]:
        shutil.copy(ROOT / "results/datasets" / f"{name}.json", folder / "results/datasets")
    for name, text in {"params.yaml": PARAMS, "dvc.yaml": PIPELINE, DEMO: STUDY}.items():
        (folder / name).write_text(text, encoding="utf-8")


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {path}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def refused(*words):
    """What compose says of a mistake: one line that has all of `words`; nothing is written."""
    with pytest.raises(UserError) as error:
        compose.main()
    message = str(error.value)
    assert message.isprintable(), message
    for word in words:
        assert word in message
    assert not Path("build").exists()


def sheet(dataset):
    return Sheet.model_validate_json((ROOT / "results/datasets" / f"{dataset}.json").read_text())


def with_overrides(workspace, *overrides):
    edit(workspace / DEMO, '["regularizer@kernel=l2", "kernel.l2=0.001"]', str(list(overrides)))


# --- what is right --------------------------------------------------------------------------------------------------


def all_but_one_long():
    """test_report.py composes all that is selected, and so does whoever makes or checks results."""
    return [pytest.param(name, marks=[] if name == "digits_comparison" else [pytest.mark.long]) for name in STUDIES]


@pytest.mark.parametrize("study", all_but_one_long())
def test_every_row_composes(study):
    params = composition.load_params(ROOT / "params.yaml")
    values = "validation.mae" in (ROOT / "conf/study" / f"{study}.yaml").read_text(encoding="utf-8")
    params["studies"].setdefault(study, {"dataset": "kin8nm" if values else "cifar10_jpeg", "seeds": 3})  # not selected
    declared, rows = composition.compose(ROOT / "conf", study, params, sheet, lambda row: "0" * 64)
    written = read_yaml(ROOT / "conf/study" / f"{study}.yaml")["rows"]
    assert [f"{study}/{name}" for name in rows] == list(written)
    assert all(row.seeds == params["studies"][study]["seeds"] for row in rows.values())
    assert all(row.dataset.name == params["studies"][study]["dataset"] for row in rows.values())
    assert rows[declared.baseline].regularizers.any is False


def test_files_of_this_repository_are_data_and_the_pipeline_knows_every_selected_study():
    composition.check_files(ROOT / "conf")
    composition.check_pipeline(ROOT / "dvc.yaml", composition.load_params(ROOT / "params.yaml")["studies"])


def test_a_resolved_row_reads_back_equal(workspace):
    compose.main()
    _, rows = composition.compose(
        Path("conf"),
        "demo",
        composition.load_params(Path("params.yaml")),
        compose.read_sheet,
        lambda row: "0" * 64,
    )
    row = load_row(Path("build/rows/demo/l2.yaml"))
    assert row == rows["l2"]
    assert row.regularizers.kernel.l2 == 0.001
    assert row.optimizer.epsilon == 1e-7
    assert row.layers[1].activation == "relu"


def test_hydra_is_left_as_it_was(workspace):
    compose.main()
    assert not GlobalHydra.instance().is_initialized()
    edit(workspace / DEMO, "epochs: 10", "epochs: 0")
    with pytest.raises(UserError):
        compose.main()
    assert not GlobalHydra.instance().is_initialized()


# --- what is wrong: file, text, its replacement, and words of the message ---------------------------------------------

MISTAKES = {
    # a study and its rows
    "unknown key of a study": (DEMO, "\ntitle:", "\ntitel:", ["titel", "unknown key"]),
    "a study cannot set the seeds": (DEMO, "baseline:", "seeds: 3\nbaseline:", ["seeds", "unknown key"]),
    "a study cannot set the layers": (DEMO, "baseline:", "layers: []\nbaseline:", ["layers", "unknown key"]),
    "a study cannot set Hydra": (DEMO, "baseline:", "hydra: {searchpath: [pkg://os]}\nbaseline:", ["hydra"]),
    "key with a line break": (DEMO, "\ntitle:", '\n"ti\\ntle":', ["ti tle", "unknown key"]),
    "title is no text": (DEMO, "title: A title", "title: [1]", ["title"]),
    "unknown metric": (DEMO, "test.accuracy", "test.precision", ["metric", "test.precision"]),
    "metric of regression": (DEMO, "test.accuracy", "train.mae", ["row l2", "metric", "accuracy"]),
    "metric of absent samples": (DEMO, "test.accuracy", "validation.accuracy", ["row l2", "metric", "validation"]),
    "unknown row as fixed": (DEMO, "baseline: none", "baseline: none\nfixed: nothing", ["fixed", "nothing"]),
    "unknown baseline": (DEMO, "baseline: none", "baseline: nothing", ["baseline", "nothing"]),
    "no rows": (DEMO, ROWS, "rows: {}\n", ["rows", "at least one row"]),
    "rows missing": (DEMO, ROWS, "", ["rows", "at least one row"]),
    "rows as a list": (DEMO, ROWS, "rows: [demo/none]\n", ["rows"]),
    "two rows of one name": (DEMO, "demo/l2:", "demo/none:", ["demo/none", "duplicate key"]),
    "row of another study": (DEMO, "demo/l2:", "other/l2:", ["row other/l2"]),
    "row without its study": (DEMO, "demo/l2:", "l2:", ["row l2"]),
    "row in capitals": (DEMO, "demo/l2:", "demo/L2:", ["row demo/L2"]),
    "row with a dot": (DEMO, "demo/l2:", "demo/l2.0:", ["row demo/l2.0"]),
    "row with a path": (DEMO, "demo/l2:", "demo/../l2:", ["row demo/../l2"]),
    "row without name": (DEMO, "demo/l2:", "demo/:", ["row demo/"]),
    "empty row": (DEMO, "demo/l2:", "demo/l1:\n  demo/l2:", ["rows.l1"]),
    "unknown key of a row": (DEMO, "label: some", "label: some\n    labl: x", ["rows.l2.labl"]),
    "row without label": (DEMO, "label: some\n    ", "", ["rows.l2.label"]),
    "empty label": (DEMO, "label: some", "label: ''", ["rows.l2.label"]),
    "reported as text": (DEMO, "reported: 0.9", "reported: '0.9'", ["rows.none.reported", "'0.9'"]),
    "reported in percent": (DEMO, "reported: 0.9", "reported: 97.7", ["rows.none.reported", "97.7"]),
    "reported is NaN": (DEMO, "reported: 0.9", "reported: .nan", ["rows.none.reported", "nan"]),
    "unknown log": (DEMO, "reported_log: run", "reported_log: walk", ["row none", "reported_log", "walk"]),
    "log with a gap": (DEMO, "loss: [2.0, 1.0], accuracy", "loss: [2.0], accuracy", ["reported_logs.run"]),
    "log of falling epochs": (DEMO, "epochs: [1, 2]", "epochs: [2, 1]", ["reported_logs.run", "epochs"]),
    "log in percent": (DEMO, "accuracy: [0.1, 0.2], val_loss", "accuracy: [10, 20], val_loss", ["accuracy"]),
    # budget, split, augmentation
    "zero epochs": (DEMO, "epochs: 10", "epochs: 0", ["row l2", "training.epochs"]),
    "epochs as a float": (DEMO, "epochs: 10", "epochs: 10.0", ["training.epochs", "10.0"]),
    "epochs as text": (DEMO, "epochs: 10", "epochs: ten", ["training.epochs", "ten"]),
    "epochs as yes": (DEMO, "epochs: 10", "epochs: true", ["training.epochs", "True"]),
    "batch of none": (DEMO, "batch_size: 32", "batch_size: 0", ["training.batch_size"]),
    "unknown key of the budget": (DEMO, "epochs: 10", "epochs: 10, patience: 3", ["training.patience"]),
    "no budget": (DEMO, "training: {loss", "training: null #", ["row l2", "training"]),
    "unknown loss": (DEMO, "loss: sparse_cat", "loss: sparce_cat", ["training.loss"]),
    "no split": (DEMO, "split: {", "split: null # {", ["row l2", "split"]),
    "validation without size": (DEMO, "validation: none", "validation: tail", ["split", "size"]),
    "monitored samples that are not there": (DEMO, "monitor: test", "monitor: validation", ["split", "monitor"]),
    "share of 1": (DEMO, "validation: none, size: null", "validation: tail, size: 1.0", ["split.size"]),
    "negative size": (DEMO, "validation: none, size: null", "validation: tail, size: -5", ["split.size"]),
    "random without state": (DEMO, "validation: none, size: null", "validation: random, size: 9", ["random_state"]),
    "augmentation of grey images": (
        DEMO,
        "augmentation: null",
        "augmentation: {rotation: 5, width_shift: 0, height_shift: 0, horizontal_flip: true}",
        ["augmentation", "digits"],
    ),
    "shift in pixels": (
        DEMO,
        "augmentation: null",
        "augmentation: {rotation: 5, width_shift: 2, height_shift: 0, horizontal_flip: true}",
        ["augmentation.width_shift"],
    ),
    # code
    "_target_ in a study": (DEMO, "baseline:", "_target_: os.system\nbaseline:", ["_target_", "data"]),
    "_target_ in a model": (MODEL, "- {type: flatten}", "- {type: flatten, _target_: os.system}", ["_target_", MODEL]),
    "resolver in a study": (DEMO, "title: A title", "title: ${oc.env:HOME}", ["title", "resolvers"]),
    "resolver in the defaults": (DEMO, "/optimizer: adam", "/optimizer: ${oc.env:HOME}", ["defaults.2", "resolvers"]),
    "Hydra's resolver": (DEMO, "epochs: 10", "epochs: '${hydra:job.num}'", ["training.epochs", "resolvers"]),
    "resolver by a reference": (DEMO, "epochs: 10", "epochs: '${${metric}:HOME}'", ["training.epochs", "resolvers"]),
    "resolver in a model": (MODEL, "activation: relu", "activation: ${oc.env:HOME}", [MODEL, "activation"]),
    "object in YAML": (DEMO, "title: A title", "title: !!python/object/apply:os.system [ls]", ["python/object"]),
    # groups
    "unknown group option": (DEMO, "/optimizer: adam", "/optimizer: adem", ["row l2", "optimizer/adem"]),
    "unknown group": (DEMO, "/optimizer: adam", "/optimiser: adam", ["row l2", "optimiser"]),
    "unknown layer": (MODEL, "type: flatten", "type: flaten", ["layers.0", "flaten"]),
    "unknown activation": (MODEL, "activation: relu", "activation: relo", ["layers.1", "activation", "relo"]),
    "unknown key of a layer": (MODEL, "units: 128", "units: 128, unit: 3", ["layers.1", "unit"]),
    "unknown setting of a model": (MODEL, "activation: relu", "activation: relu\nrate: 0.1", ["model.rate"]),
    "units as text": (MODEL, "units: 128", "units: many", ["layers.1", "units", "many"]),
    "no units": (MODEL, "units: 128", "units: 0", ["layers.1", "units"]),
    "layer that needs a vector": (MODEL, "  - {type: flatten}\n", "", ["layers", "flatten"]),
    "layer that needs images": (
        MODEL,
        "- {type: flatten}",
        "- {type: max_pooling2d, pool_size: 2}\n  - {type: flatten}",
        ["layers.0", "ndim=4"],
    ),
    "outputs that are not the classes": (MODEL, "units: 10", "units: 11", ["layers", "[11]", "[10]"]),
    "near names of a layer": (MODEL, "type: flatten", "type: flaten", ["did you mean flatten"]),
    "near names of an argument": (MODEL, "units: 128", "unit: 128", ["layers.1", "unit:", "did you mean units"]),
    "near names of an optimizer": (ADAM, "name: adam", "name: adma", ["optimizer", "did you mean adam"]),
    "layer that runs code": (MODEL, "type: flatten", "type: lambda, function: x", ["layers.0", "lambda"]),
    "initializer that Keras has not": (
        MODEL,
        "units: 128, ",
        "units: 128, bias_initializer: {type: l3}, ",
        ["layers.1", "bias_initializer", "l3"],
    ),
    "regularized by row and by itself": (
        MODEL,
        "units: 128, ",
        "units: 128, kernel_regularizer: l2, ",
        ["layers.1", "kernel_regularizer", "regularized: true"],
    ),
    "schedule without its arguments": (ADAM, "0.001", "{type: cosine_decay}", ["optimizer", "initial_learning_rate"]),
    "patience of what is not measured": (
        DEMO,
        "epochs: 10",
        "epochs: 10, early_stopping: {monitor: val_f1}",
        ["training.early_stopping", "val_f1", "val_loss"],
    ),
    "unknown argument of a callback": (
        DEMO,
        "epochs: 10",
        "epochs: 10, early_stopping: {patient: 3}",
        ["training.early_stopping", "patient", "did you mean patience"],
    ),
    "weight of a class that is not there": (
        DEMO, "epochs: 10", "epochs: 10, class_weight: {10: 2.0}", ["class_weight", "10", "digits"]
    ),
    "file of a net that is not there": (MODEL, "layers:", "keras: net.json\nlayers:", ["model.keras", "net.json"]),
    "dropout of everything": (MODEL, "- {type: flatten}", "- {type: dropout, rate: 1.0}", ["layers.0", "rate"]),
    "no layers": (MODEL, "layers:", "layers: []\nlayer:", ["layer"]),
    "layers as text": (MODEL, (ROOT / MODEL).read_text(encoding="utf-8"), "layers: dense\n", ["layers", "dense"]),
    "model without layers": (MODEL, (ROOT / MODEL).read_text(encoding="utf-8"), "{}\n", ["layers"]),
    "model that is a list": (MODEL, (ROOT / MODEL).read_text(encoding="utf-8"), "[1, 2]\n", [MODEL, "mapping"]),
    "model that is text": (MODEL, (ROOT / MODEL).read_text(encoding="utf-8"), "'a", [MODEL]),
    "penalties on no layer": (MODEL, ", regularized: true", "", ["row l2", "regularizers"]),
    "unknown regularizer key": ("conf/regularizer/none.yaml", "l2: 0.0", "l2: 0.0\nl3: 1.0", ["regularizers", "l3"]),
    "unknown optimizer": (ADAM, "name: adam", "name: adem", ["optimizer", "adem"]),
    "unknown key of an optimizer": (ADAM, "beta_1", "beta1", ["optimizer", "beta"]),
    "learning rate 0": (ADAM, "learning_rate: 0.001", "learning_rate: 0", ["optimizer", "learning_rate"]),
    "learning rate as text": (ADAM, "learning_rate: 0.001", "learning_rate: fast", ["learning_rate", "fast"]),
    "beta of 1": (ADAM, "beta_1: 0.9", "beta_1: 1.0", ["optimizer", "beta_1"]),
    "optimizer that is no YAML": (ADAM, "name: adam", "name: {adam", [ADAM]),
    "dataset under another name": (DIGITS, "name: digits", "name: mnist", ["dataset.name", "digits"]),
    "dataset without title": (DIGITS, "title: ", "titel: ", ["dataset.title"]),
    "dataset with a key too many": (DIGITS, "scale: 16", "scale: 16\nmean: 3", ["dataset.mean"]),
    "division by 0": (DIGITS, "scale: 16", "scale: 0", ["dataset.scale"]),
    "files that are none": (DIGITS, "files: []", "files: none", ["dataset.files"]),
    "file without digest": (DIGITS, "files: []", "files: [{name: x, urls: []}]", ["dataset.files.0.sha256"]),
    "file that is text": (DIGITS, "files: []", "files: [x]", ["dataset.files.0"]),
    # params.yaml
    "seeds 0": ("params.yaml", "seeds: 2", "seeds: 0", ["studies.demo.seeds"]),
    "negative seeds": ("params.yaml", "seeds: 2", "seeds: -2", ["studies.demo.seeds", "-2"]),
    "seeds as a float": ("params.yaml", "seeds: 2", "seeds: 2.0", ["studies.demo.seeds", "2.0"]),
    "seeds as a list": ("params.yaml", "seeds: 2", "seeds: [1, 2]", ["studies.demo.seeds"]),
    "no dataset": ("params.yaml", "dataset: digits, ", "", ["studies.demo.dataset"]),
    "unknown dataset": ("params.yaml", "dataset: digits", "dataset: digit", ["demo.dataset", "digit", "kin8nm"]),
    "dataset by a resolver": ("params.yaml", "dataset: digits", "dataset: '${oc.env:HOME}'", ["studies.demo.dataset"]),
    "two datasets": ("params.yaml", "dataset: digits", "dataset: 'digits,mnist'", ["studies.demo.dataset"]),
    "dataset with overrides": ("params.yaml", "dataset: digits", "dataset: digits +a=1", ["studies.demo.dataset"]),
    "unknown key of a selection": ("params.yaml", "seeds: 2", "seeds: 2, seed: 1", ["studies.demo.seed"]),
    "unknown key of params": ("params.yaml", "device:", "devices: 2\ndevice:", ["devices"]),
    "unknown device": ("params.yaml", "device: auto", "device: tpu", ["device", "tpu"]),
    "no device": ("params.yaml", "device: auto\n", "", ["device"]),
    "unknown study": ("params.yaml", "  demo:", "  dem:", ["dem"]),
    "study outside the folder": ("params.yaml", "  demo:", "  ../model/kin8nm:", ["../model/kin8nm"]),
    "no study": ("params.yaml", "  demo: {dataset: digits, seeds: 2}", "  {}", ["studies"]),
    "studies as a list": ("params.yaml", "  demo: {dataset: digits, seeds: 2}", "  [demo]", ["studies"]),
    "params that are no YAML": ("params.yaml", "studies:", "studies: [", []),
    "study that the pipeline lacks": ("dvc.yaml", "demo.yaml", "other.yaml", ["vars", DEMO]),
}  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new", "words"), MISTAKES.values(), ids=MISTAKES)
def test_mistake(workspace, file, old, new, words):
    edit(workspace / file, old, new)
    named = file if file in ("params.yaml", "dvc.yaml", DEMO) else ""  # mistakes of a group show in the study's rows
    refused(named, *words)


def test_metric_of_samples_that_a_table_does_not_have(workspace):
    edit(workspace / "params.yaml", "dataset: digits", "dataset: kin8nm")
    edit(workspace / DEMO, "/model: mnist_comparison", "/model: kin8nm")
    edit(workspace / DEMO, "sparse_categorical_crossentropy", "mean_squared_error")
    edit(workspace / DEMO, "test.accuracy", "train.mae")
    edit(workspace / DEMO, "reported: 0.9\n", "reported: 90.0\n")
    refused(DEMO, "row l2", "split.monitor", "test")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "device"),
        (b"title: \xff", "utf-8"),
        (b"a: \x00", "#x0000"),
        (b"just text", "params.yaml"),
        (b"3", "type"),
        (b"a: !!int x", "invalid literal"),
        (b"a: !!bool x", "x"),
        (b"[" * 400, "params.yaml"),
        (b"? [1, 2]\n: 3", "params.yaml"),
    ],
)
def test_files_that_are_no_mappings_in_yaml(workspace, content, word):
    (workspace / "params.yaml").write_bytes(content)
    refused("params.yaml", word)


def test_missing_params(workspace):
    (workspace / "params.yaml").unlink()
    refused("params.yaml", "No such file")


# --- overrides ------------------------------------------------------------------------------------------------------

ABUSES = [
    "+foo=1",
    "++foo=1",
    "~model",
    "~split",
    "~optimizer.beta_1",
    "+model.layers=[]",
    "hydra.run.dir=/tmp",
    "hydra/launcher=basic",
    "+hydra.foo=1",
    "hydra.searchpath=[pkg://antigravity]",
    "study=other",
    "title=other",
    "rows={}",
    "metric=test.mae",
    "baseline=l2",
    "defaults=[]",
    "seeds=3",
    "device=gpu",
    "dataset=mnist",
    "dataset=digits",
    "dataset.name=mnist",
    "dataset=digits,mnist",
    "kernel.l2=0.1,0.2",
    "kernel.l2=choice(0.1,0.2)",
    "kernel.l2=range(1,3)",
    "kernel=glob(*)",
    "kernel.l2=-0.1",
    "kernel.l2=nan",
    "kernel.l2=inf",
    "kernel.l2=1e400",
    "kernel.l2=true",
    "kernel.l2=null",
    "kernel.l2='0.1'",
    "kernel.l2=",
    "kernel.l2",
    "kernel.l3=0.1",
    "kernel=l2",
    "kernel=[1]",
    "kernel={l1: 0.1}}",
    "regularizer@kernel=l3",
    "regularizer@kernel=null",
    "regularizer@kernal=l2",
    "regularizer=l2",
    "/regularizer@kernel=l2",
    "regularizer/l2@kernel=l2",
    "model=none",
    "model=null",
    "model=../optimizer/adam",
    "model=kin8nm",
    "model.activation=swoosh",
    "model.activation=${oc.env:HOME}",
    "model.activation=${hydra:job.name}",
    "model.activation=${model.activation}",
    "model.activation=${nothing}",
    "model.activation=${",
    "model.activation='\n'",
    "model.layers.0.type=dense",
    "model.layers=3",
    "model.layers=[]",
    "model.drop=0.5",
    "model._target_=os.system",
    "model={_target_: os.system}",
    "model=${oc.env:HOME}",
    "optimizer=${model.activation}",
    "optimizer=adagrad",
    "optimizer=null",
    "optimizer.name=sgd",
    "optimizer.learning_rate=-1",
    "optimizer.momentum=0.9",
    "training.epochs=0",
    "training.epochs=1.5",
    "training=null",
    "split.size=0.5",
    "augmentation.rotation=3",
    "",
    "=",
    " ",
    "a\nb",
    "💥",
]


@pytest.mark.parametrize("override", ABUSES)
def test_override_abuse(workspace, override):
    with_overrides(workspace, override)
    refused(DEMO, "l2")


def test_a_key_that_is_set_twice(workspace):
    with_overrides(workspace, "kernel.l2=0.1", "++kernel.l2=0.2")
    refused(DEMO, "row l2", "kernel.l2 is set twice")


def test_overrides_that_are_no_texts(workspace):
    with_overrides(workspace, 3)
    refused(DEMO, "rows.l2.overrides.0")


@pytest.mark.parametrize(
    "override", ["optimizer=sgd", "model.activation=tanh", "dataset.scale=1.0", "regularizer@bias=l1_l2", "bias.l1=1"]
)
def test_overrides_that_are_right(workspace, override):
    with_overrides(workspace, override)
    compose.main()
    assert load_row(Path("build/rows/demo/l2.yaml")) != load_row(Path("build/rows/demo/none.yaml"))


# --- fuzz -----------------------------------------------------------------------------------------------------------

NUMBERS = st.sampled_from([0, 1, -1, 2, 10**30, 0.5, -0.5, 1e-4, 1e308, math.nan, math.inf, -math.inf, True, False])
WORDS = st.sampled_from(
    ["", "none", "relu", "???", "_target_", "${metric}", "${oc.env:HOME}", "${", "0.1", "l2", "a\nb", "null", "../x"]
)
JUNK = st.recursive(
    st.none() | NUMBERS | WORDS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS | st.text(max_size=8), inner, max_size=2),
    max_leaves=4,
)
KEYS = [
    "kernel.l2", "kernel", "bias.l1", "regularizer@activity", "regularizer@kernel", "model", "model.activation",
    "model.layers", "optimizer", "optimizer.name", "optimizer.learning_rate", "optimizer.beta_1", "training.epochs",
    "training.loss", "split.validation", "split.size", "split", "augmentation", "dataset", "dataset.scale",
    "dataset.shape", "dataset.classes", "dataset.files", "hydra.run.dir", "title", "rows", "foo",
]  # fmt: skip
VALUES = [
    "0", "1", "0.1", "-1", "1e-4", "nan", "inf", "null", "true", "", "l2", "l1_l2", "none", "adamw", "sgd", "relu",
    "tanh", "tail", "mean_squared_error", "mnist_collapse", "kin8nm", "[]", "[8,8]", "{}", "{l1: 1}", "${metric}",
    "${oc.env:HOME}", "'a'", '"', "a,b", "choice(1,2)", "{", "\\", "[{type: flatten}]",
]  # fmt: skip
OVERRIDE = st.builds(
    lambda sign, key, between, value: f"{sign}{key}{between}{value}",
    st.sampled_from(["", "", "", "", "+", "++", "~"]),
    st.sampled_from(KEYS),
    st.sampled_from(["=", "=", "=", "=", "", ":"]),
    st.sampled_from(VALUES),
)
PLAUSIBLE = st.one_of(  # overrides of the right form, with values that are sometimes wrong
    st.builds("{}.l1={}".format, st.sampled_from(["kernel", "bias", "activity"]), NUMBERS),
    st.builds("kernel.l2={!r}".format, st.floats(-0.1, 1)),
    st.builds("optimizer.learning_rate={!r}".format, st.floats(-0.1, 10)),
    st.builds("optimizer.beta_1={!r}".format, st.floats(0, 1.1)),
    st.builds("training.{}={}".format, st.sampled_from(["epochs", "batch_size"]), st.integers(-1, 500)),
    st.builds("dataset.scale={}".format, NUMBERS),
    st.builds("model.activation={}".format, st.sampled_from(["relu", "tanh", "linear", "softmax", "elu"])),
    st.builds("split={{validation: {}, size: {}, random_state: {}}}".format,
              st.sampled_from(["tail", "random"]), NUMBERS, st.sampled_from(["null", 0, 7])),
    st.sampled_from(["optimizer=sgd", "optimizer=adam", "regularizer@bias=l2", "regularizer@activity=l1_l2"]),
)  # fmt: skip


def places(value, path=()):
    """The paths of all entries of nested mappings and lists."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, child in entries for found in [(*path, key), *places(child, (*path, key))]]


@st.composite
def broken_studies(draw):
    """The study with up to three entries removed, replaced, renamed or joined by others, and with other overrides."""
    study = yaml.safe_load(STUDY)
    kind = draw(st.sampled_from([PLAUSIBLE, PLAUSIBLE, OVERRIDE | st.text(max_size=12), None]))
    if kind is not None:
        study["rows"]["demo/l2"]["overrides"] = draw(st.lists(kind, max_size=3))
    for _ in range(draw(st.sampled_from([0, 0, 1, 2, 3]) if kind is not None else st.integers(1, 3))):
        *path, last = draw(st.sampled_from(places(study)))
        parent = study
        for key in path:
            parent = parent[key]
        kind = draw(st.sampled_from(["remove", "replace", "replace", "rename", "add"]))
        if kind == "add" and isinstance(parent, dict):
            parent[draw(WORDS | st.text(max_size=8))] = draw(JUNK)
        elif kind == "rename" and isinstance(parent, dict):
            parent[draw(WORDS | st.text(max_size=8))] = parent.pop(last)
        elif kind == "remove":
            del parent[last]
        else:
            parent[last] = draw(JUNK)
        if not places(study):
            break
    return study


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory, record_testsuite_property):
    """A workspace, and how many studies were tried in it, by what became of them."""
    folder = tmp_path_factory.mktemp("fuzz")
    write_workspace(folder)
    outcomes = Counter()
    yield folder, outcomes
    for outcome, count in outcomes.items():
        record_testsuite_property(f"4 fuzzed configurations {outcome}", count)


@settings(
    max_examples=FUZZ_EXAMPLES,
    deadline=None,
    derandomize=FUZZ_EXAMPLES == 25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(study=broken_studies())
def test_any_study_is_valid_or_refused_in_one_line(fuzzed, study):
    folder, outcomes = fuzzed
    path = folder / DEMO
    text = "# @package _global_\n" + yaml.safe_dump(study, allow_unicode=True, sort_keys=False)
    path.write_text(text, encoding="utf-8")
    params = {"device": "cpu", "studies": {"demo": {"dataset": "digits", "seeds": 2}}}
    try:
        composition.check_files(folder / "conf")
        _, rows = composition.compose(
            folder / "conf", "demo", copy.deepcopy(params), lambda _: SHEET, lambda row: "0" * 64
        )
        compose.net_facts(path, rows)
    except UserError as error:
        message = str(error)
        assert "\n" not in message
        assert len(message.splitlines()) == 1
        assert "demo.yaml" in message
        event("refused")
        outcomes["refused in one line"] += 1
        return
    event("valid")
    outcomes["valid"] += 1
    assert rows
    for row in rows.values():
        assert_sensible(row)


def assert_sensible(row: Row):
    """What no accepted row may lack, said without the schema."""
    values = row.model_dump()
    assert all(math.isfinite(v) for v in numbers(values))
    assert all(v >= 0 for part in values["regularizers"].values() for v in part.values())
    assert values["dataset"]["name"] == "digits"
    assert values["dataset"]["classes"] == 10 or values["dataset"]["classes"] is None
    assert values["training"]["epochs"] >= 1
    assert values["training"]["batch_size"] >= 1
    assert values["optimizer"]["learning_rate"] > 0
    assert values["layers"][-1]["units"] == (values["dataset"]["classes"] or 1)
    for layer in values["layers"]:
        assert layer["type"] in {"flatten", "dense", "dropout"}
        assert 0 <= layer.get("rate", 0) < 1
        assert layer.get("activation", "relu") in {"relu", "tanh", "sigmoid", "linear", "softmax", "elu"}
    assert values["split"]["monitor"] == "test" or values["split"]["validation"] != "none"
    assert yaml.safe_load(composition.to_yaml(values)).keys() == values.keys()


def numbers(value):
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = [value] if isinstance(value, int | float) else []
    return own + [number for child in children for number in numbers(child)]
