"""`regbench why --save`: a case as a study, whose rows train as the search did; what cannot be kept is one line."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made import blobs, case, dense, layer, line

from stages.commands import why
from stages.core.base.errors import UserError
from stages.core.config import composition
from stages.core.config.dataset import PublishedDataset, Sheet
from stages.core.config.yaml import read_yaml
from stages.core.data import formats, splits
from stages.core.why import interventions, investigation, study
from stages.core.why.interventions import Change
from stages.core.why.search import Findings, Search, Tried
from stages.core.why.setup import Data
from stages.core.why.trial import Case, Outcome, Run

ROOT = Path(__file__).parents[2]
SCRIPT = """
import numpy as np
from keras import layers, Sequential
x = np.random.default_rng(0).normal(size=(80, 3))
y = (x[:, 0] > 0).astype(int)
model = Sequential([layers.Dense(8, activation="relu"), layers.Dense(1, activation="softmax")])
model.compile("adam", "binary_crossentropy")
model.fit(x, y, epochs=40, batch_size=8, validation_split=0.25)
"""
X, Y = blobs()
L2 = {"module": "keras.regularizers", "class_name": "L2", "config": {"l2": 0.01}, "registered_name": None}
INPUTS, SLOWER = Change("inputs"), Change("rate", 0.1)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project's configuration alone, and a folder in it from which the command is called."""
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "conf", folder / "conf")
    for name in ("params.yaml", "dvc.yaml", "stages/__init__.py", "stages/commands/cli.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    monkeypatch.delenv("REGBENCH_CALLED_FROM", raising=False)
    return folder


def rows_of(project, name="mycase"):
    """The study as the pipeline would compose it, and its data."""
    described = PublishedDataset.model_validate(read_yaml(project / f"conf/dataset/{name}.yaml"))
    content = (project / "data" / name / study.DATA).read_bytes()
    arrays = formats.read(described, {study.DATA: content})
    sheet = Sheet.model_validate({"digest": "0" * 64, "arrays": formats.describe(arrays)})
    params = composition.load_params(project / "params.yaml")
    composition.check_pipeline(project / "dvc.yaml", params["studies"])
    composition.check_files(project / "conf")
    declared, rows = composition.compose(project / "conf", name, params, lambda _: sheet, lambda _: "0" * 64)
    return declared, rows, arrays


def searched(made, rule=lambda kinds: 0.95 if "head" in kinds else 0.0):
    """What a search finds where `rule` gives the skill of a set of kinds of changes."""

    def run(trials, go_on):
        return [outcome(trial) for trial in trials]

    def outcome(trial):
        skill = rule({change.kind for change in trial.changes})
        runs = [Run(s, skill, None, 100, ((100, 0.5, skill),), True, False, 0.0) for s in trial.seeds]
        return Outcome(tuple(runs), asked_steps=100, step_seconds=1e-4)

    return Search(made, investigation.signs(made), run, investigation.Limits(300, 2)).go()


def kept(project, found, monkeypatch):
    """What the command says of a case that it keeps; it times no epoch, for which XLA would compile the net."""
    from stages.core.training import given

    monkeypatch.setattr(given, "seconds_per_epoch", lambda row, splits: 0.01)
    monkeypatch.chdir(project)
    return why.kept("mycase", Path("train.py"), found, "It does not learn.")


def files_of(project):
    """All but locks, which stay."""
    return {path: path.read_bytes() for path in project.rglob("*") if path.is_file() and path.parent.name != "locks"}


def test_the_command_keeps_a_script_whose_rows_then_train(tensorflow, project, monkeypatch, capsys):
    from plain import without_xla

    from stages.core.training import engine as training

    (project / "below/train.py").write_text(SCRIPT)
    monkeypatch.setattr(investigation, "investigate", lambda made, *_: searched(made))
    monkeypatch.setattr(sys, "argv", ["regbench why", "train.py", "--seed", "1", "--save", "mycase"])
    why.main()
    declared, rows, arrays = rows_of(project)
    assert (declared.baseline, declared.asked, declared.fixed) == ("fixed", "as_asked", "fixed")
    assert rows["fixed"].training.epochs == rows["as_asked"].training.epochs == 40
    parts = splits.split(arrays, rows["fixed"].split)
    assert [len(x) for x, _ in parts.values()] == [60, 20]
    assert np.array_equal(parts["validation"][1], (np.random.default_rng(0).normal(size=(80, 3))[60:, 0] > 0))

    def accuracy(row):
        engine = without_xla(training.Engine(rows[row], parts, "cpu"))
        progress = engine.start(0)
        while progress.epoch < rows[row].training.epochs:
            engine.advance([progress])
        return progress.curve["val_accuracy"][-1]

    assert accuracy("fixed") >= 0.9
    assert accuracy("as_asked") < 0.75
    said = capsys.readouterr().out
    assert said.index("It does not learn because of") < said.index("conf/study/mycase.yaml:")


PIXELS = np.random.default_rng(3).integers(0, 256, (60, 6, 6, 1))
PICTURES = Case(
    case([("Flatten", {}), dense(4, "relu"), dense(1, "sigmoid")], "binary_crossentropy", X, Y).setup,
    Data((PIXELS,), (Y[:60],)),
    case([dense(1)], "binary_crossentropy", X, Y).task,
)


def composed(project, monkeypatch, made, *changes):
    """The row of changes that make the net learn, and the row as asked."""
    repair = frozenset(changes)
    run = Run(0, 0.95, None, 100, ((100, 0.5, 0.95),), True, False, 0.0)
    kept(project, Findings(made, [], [*changes], {repair: Tried(repair, [run])}, repair=repair), monkeypatch)
    _, rows, arrays = rows_of(project)
    return rows["fixed"], rows["as_asked"], arrays


def test_pictures_are_scaled_by_a_layer_just_as_the_search_did(tensorflow, project, monkeypatch):
    import keras

    from stages.core.training import models

    setup = PICTURES.setup
    net = json.loads(json.dumps(setup.net))
    net["config"]["layers"][0] = layer("InputLayer", batch_shape=[None, None, None, 1], dtype="float32", name="input")
    made = replace(PICTURES, setup=replace(setup, net=net))
    fixed, asked, arrays = composed(project, monkeypatch, made, INPUTS)
    assert fixed.dataset == asked.dataset
    nets = [models.build(row, 0) for row in (fixed, asked)]
    _, scaled, _ = interventions.apply([INPUTS], made.setup, made.data, made.task)
    here, there = (np.asarray(net(x)) for net, x in zip(nets, (arrays.train_x[:60], scaled.x[0]), strict=True))
    np.testing.assert_allclose(here, there, atol=1e-5)
    assert np.ptp(here) > 0.01 and isinstance(nets[0].layers[0], keras.layers.Normalization)


def test_every_change_that_was_tried_is_a_row(tensorflow, project, monkeypatch):
    """Two changes together, and alone; a training with fewer samples than the script has keeps its number of steps."""
    layers = [
        dense(4, "sigmoid", kernel_regularizer=L2),
        ("Dropout", {"rate": 0.5}),
        dense(1, "relu"),
    ]
    x, y = line()
    made = case(layers, "mean_squared_error", 300 * x, 100 * y, optimizer="SGD", rate=0.5, epochs=3, batch=500)
    made = replace(made, setup=replace(made.setup, samples_each=10.0, shuffle=False))
    found = searched(made, lambda kinds: 0.95 if {"inputs", "targets"} <= kinds else 0.2 * ("inputs" in kinds))
    assert found.repair == {INPUTS, Change("targets")}
    kept(project, found, monkeypatch)
    _, rows, _ = rows_of(project)
    asked, fixed = rows["as_asked"], rows["fixed"]
    assert (asked.training.epochs, asked.training.batch_size, asked.training.shuffle) == (6, 90, False)
    assert (asked.dataset.scale, asked.dataset.target_scale) == (None, None)
    assert (fixed.dataset.scale, fixed.dataset.target_scale) == ("standard", "minmax")  # relu gives nothing below 0
    assert (rows["targets_scaled"].dataset.scale, rows["inputs_standardized"].dataset.scale) == (None, "standard")
    assert rows["learning_rate_0_05"].optimizer.learning_rate == pytest.approx(0.05)
    assert rows["gradients_clipped_to_norm_1_0"].optimizer.model_dump()["clipnorm"] == 1.0
    assert (rows["adam_0_001"].optimizer.name, asked.optimizer.name) == ("adam", "sgd")
    assert rows["samples_in_random_order"].training.shuffle is True
    assert rows["no_dropout"].dropout == 0 and asked.dropout == 0.5
    assert rows["batches_of_11"].training.batch_size == 11
    assert {"relu_in_the_hidden_layers", "no_regularizer", "a_wider_net"} <= set(rows)
    tried = {next(iter(changes)) for changes in found.tried if len(changes) == 1} - {Change("hold_out")}
    assert len(rows) == len(tried) + 2


def test_classes_and_validation_data(tensorflow, project, monkeypatch):
    x, y = blobs(classes=3)
    layers = [dense(3, "sigmoid")]
    more = {
        "class_weight": {0: 1.0, 2: 5.0},
        "loss_config": {"label_smoothing": 0.1},
        "held_out": (x[:9], np.eye(3)[y[:9]]),
    }
    made = case(layers, "categorical_crossentropy", x, np.eye(3)[y], **more)
    _, asked, arrays = composed(project, monkeypatch, made, Change("width"))
    assert (asked.dataset.classes, asked.split.size, len(arrays.train_x)) == (3, 9, 99)
    assert asked.training.class_weight == {0: 1.0, 2: 5.0} and asked.training.balanced
    assert asked.training.loss == {"type": "categorical_crossentropy", "label_smoothing": 0.1}


def odd(*layers, y=Y, **more):
    return case([dense(1, "softmax"), *layers], "binary_crossentropy", X, y, **more)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (odd(y=Y + 1), "train.py: no study can hold it: its labels are 1, 2, and a study's start from 0"),
        (odd(y=np.where(Y, "yes", "no")), "its inputs or its targets are text"),
        (odd(weights={"dense": [np.zeros(2)]}), "it starts from weights that a study does not have"),
        (replace(odd(), data=Data((X * np.nan,), (Y,))), "some of its numbers are missing or infinite"),
        (replace(odd(), data=Data((X, X), (Y,))), "more than one input or output"),
        (replace(odd(), data=Data((X,), (Y,), (), (), np.ones(90))), "its samples have weights"),
        (odd(("Lambda", {})), "train.py: .*Lambda"),
        (odd(y=np.arange(90) % 3), r"as_asked: layers: the last layer gives shape \[1\], but mycase needs \[3\]"),
    ],
)
def test_what_no_study_can_hold_is_one_line_and_leaves_nothing(tensorflow, project, monkeypatch, made, message):
    run = Run(0, 0.0, None, 1, (), True, False, 0.0)
    found = Findings(made, [], candidates=[SLOWER], tried={frozenset([SLOWER]): Tried(frozenset([SLOWER]), [run])})
    before = files_of(project)
    with pytest.raises(UserError, match=message) as refused:
        kept(project, found, monkeypatch)
    assert "\n" not in str(refused.value)
    assert files_of(project) == before


def test_a_large_case_and_one_without_a_change(tensorflow, project, monkeypatch):
    before = files_of(project)
    with pytest.raises(UserError, match="nothing to compare"):
        kept(project, Findings(odd(), []), monkeypatch)
    monkeypatch.setattr(study, "MOST_BYTES", 100)
    with pytest.raises(UserError, match="keeps 0 at most"):
        kept(project, searched(odd()), monkeypatch)
    assert files_of(project) == before


def test_the_place_is_looked_at_before_the_script_runs(project, tmp_path, monkeypatch):
    script = tmp_path / "train.py"
    script.write_text("open('ran', 'w')")
    for name, message in (("digits_comparison", "is there already"), ("../x", "small letters")):
        monkeypatch.setattr(sys, "argv", ["regbench why", str(script), "--save", name])
        with pytest.raises(UserError, match=message):
            why.main()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["regbench why", str(script), "--save", "mycase"])
    with pytest.raises(UserError, match="is in no regbench project"):
        why.main()
    assert not list(tmp_path.rglob("ran"))
