"""`make speed`: its arithmetic, its report, and that every comparison program trains what the engine trains."""

import csv
import io
import resource
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from test_sameness import OPTIMIZERS

from stages.commands.measure import speed
from stages.core.base.errors import UserError
from stages.core.measure import scaling
from stages.core.measure import speed as benchmark
from stages.core.measure.speed import Budget, Measurement, Plan

N = 37
LAYERS = [
    {"type": "flatten"},
    {"type": "dense", "units": 12, "activation": "tanh", "regularized": True},
    {"type": "dense", "units": 4, "activation": "softmax"},
]
PENALTIES = {place: {"l1": 0.003, "l2": 0.02} for place in ("kernel", "bias", "activity")}
DIGITS = {"name": "digits", "shape": [8, 8], "classes": 10, "scale": 16.0}
IMAGES = {"name": "t", "shape": [6, 6, 3], "classes": 4, "scale": 255.0}


def samples(row):
    random = np.random.default_rng(0)
    if row.dataset.scale is None:
        x = random.normal(size=(N, *row.dataset.shape)).astype(np.float32)
    else:
        x = random.integers(0, 256, (N, *row.dataset.shape)).astype(np.uint8)
    y = random.integers(0, row.dataset.classes, N) if row.dataset.classes else random.normal(size=N).astype(np.float32)
    return {"train": (x, y), "test": (x[:11], y[:11])}


def engine_losses(row, seeds):
    from stages.core.training import engine as training

    engine = training.Engine(row, samples(row), "cpu")
    losses = []
    for seed in range(seeds):
        progress = training.Progress(seed, engine.start(seed))
        while progress.epoch < row.training.epochs:
            engine.advance([progress])
        losses.append(progress.curve["loss"])
    return losses


def measurement(contestant, turn=0, seeds=1, epochs=3, process=20.0, epoch=4.0, samples=100, **more):
    return Measurement(
        round=turn, contestant=contestant, row="study/row", seeds=seeds, epochs=epochs, samples=samples,
        process_seconds=process, peak_bytes=2**30, epoch_seconds=epoch, **more,
    )  # fmt: skip


# --- arithmetic


def test_training_ratios_pair_up_within_a_round():
    """A machine that is three times slower in one round changes no ratio."""
    runs = [
        measurement(name, turn, epoch=seconds * slow)
        for turn, slow in enumerate([1.0, 3.0, 1.0])
        for name, seconds in [("engine", 0.5), ("fit", 4.0)]
    ]
    _, fit = benchmark.summarize(runs, {"study/row": Budget(10, 10, 100)})
    assert fit.training_ratio == (8.0, 8.0, 8.0)
    assert fit.epoch_seconds == (4.0, 4.0, 12.0)
    assert fit.rounds == 3


def test_a_whole_row_that_ran_in_full_is_the_measured_process():
    turn = {
        "stage": measurement("stage", seeds=10, epochs=10, process=50.0, epoch=None),
        "engine": measurement("engine", seeds=10, epochs=3, epoch=0.4),
        "fit": measurement("fit", seeds=10, epochs=10, process=430.0, epoch=4.2),
    }
    budget = Budget(10, 10, 100)
    assert benchmark.row_seconds(turn, "stage", budget) == 50.0
    assert benchmark.row_ratio(turn, "fit", budget) == 430.0 / 50.0
    assert benchmark.outside_share(turn, "stage", budget) == pytest.approx(0.2)
    stage, _, fit = benchmark.summarize(turn.values(), {"study/row": budget})
    assert stage.row_seconds_are == fit.row_seconds_are == "measured"


def test_a_whole_row_is_reckoned_from_what_is_spent_once_and_what_every_seed_and_epoch_takes():
    turn = {"fit": measurement("fit", seeds=1, epochs=3, process=20.0, epoch=4.0)}
    assert benchmark.row_seconds(turn, "fit", Budget(10, 10, 100)) == 8.0 + 100 * 4.0
    (line,) = benchmark.summarize(turn.values(), {"study/row": Budget(10, 10, 100)})
    assert line.row_seconds_are == "reckoned"
    assert line.row_ratio is None  # there is no stage to hold it against
    assert benchmark.row_seconds(turn, "fit", Budget(10, 10, 101)) is None  # it saw only a part of the samples


def test_operations_of_dense_layers_and_convolutions(make_row):
    dense = 2 * (3 * (6 * 16 + 16 * 4) - 6 * 16)
    assert benchmark.operations(make_row(), 1, 0) == dense
    assert benchmark.operations(make_row(), 5, 2) == 5 * dense + 2 * 2 * (6 * 16 + 16 * 4)
    convolution = {"type": "conv2d", "filters": 5, "kernel_size": 3, "padding": "valid", "activation": "relu"}
    last = {"type": "dense", "units": 4, "activation": "softmax"}
    row = make_row(dataset=IMAGES, layers=[convolution, {"type": "flatten"}, last])
    m = 4 * 4 * 5 * (3 * 3 * 3)
    assert benchmark.operations(row, 1, 0) == 2 * (2 * m + 3 * (4 * 4 * 5 * 4))


def test_matrix_share():
    one = measurement("engine", epoch=2.0, operations=80e9, matrix_rate=100e9)
    assert benchmark.matrix_share(one) == pytest.approx(0.4)
    assert benchmark.matrix_share(measurement("fit")) is None


def test_part_takes_the_same_share_of_every_split():
    x = np.arange(100)
    splits = benchmark.part({"train": (x, x), "test": (x[:30], x[:30])}, 20)
    assert {name: len(part[0]) for name, part in splits.items()} == {"train": 20, "test": 6}
    assert len(benchmark.part(splits, None)["train"][0]) == 20


def test_a_round_runs_every_contestant_once():
    plan = Plan("study/row", stage=5, together=3, alone=2)
    training = benchmark.tasks(replace(plan, stage=0), 10, ["fit", "jax"])
    assert [(t.contestant, t.seeds, t.epochs) for t in training] == [("engine", 10, 3), ("fit", 1, 2), ("jax", 10, 3)]
    stages = [("stage", 10, 5), ("stage_again", 10, 5)]
    whole_round = benchmark.tasks(plan, 10, ["fit", "jax"])
    assert [(t.contestant, t.seeds, t.epochs) for t in whole_round[:2]] == stages
    assert whole_round[2:] == training
    whole = benchmark.whole_tasks(plan, 10, 7, ["fit", "jax"])
    assert [(t.contestant, t.seeds, t.epochs) for t in whole[:3]] == [
        ("stage", 10, 7), ("stage_again", 10, 7), ("fit", 10, 7),
    ]  # fmt: skip
    assert [t.contestant for t in whole[3:]] == ["engine", "jax"]


# --- report


def run_speed(monkeypatch, tmp_path, make_row, *words):
    """`speed` with processes that answer at once."""

    def measure(task, turn, samples, device):
        engine = {"operations": 1e9, "matrix_rate": 1e10, "import_seconds": 2.0} if task.contestant == "engine" else {}
        epoch = {"stage": None, "stage_again": None, "engine": 0.5, "jax": 0.75}.get(task.contestant, 6.0)
        seconds = (5 if task.contestant == "stage_again" else 10) + task.seeds * task.epochs * (epoch or 0.5)
        return replace(
            measurement(task.contestant, turn, task.seeds, task.epochs, seconds, epoch, task.samples or samples),
            row=task.row, **engine,
        )  # fmt: skip

    monkeypatch.setattr(speed, "_measure", measure)
    monkeypatch.setattr(speed, "_answer", lambda *_: {"samples": 60000, "difference": 1e-6})
    monkeypatch.setattr(speed, "_row", lambda key: make_row(seeds=10))
    monkeypatch.setattr(speed, "_jax_can", lambda row, device: True)
    monkeypatch.setattr(speed, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["speed", *words])
    speed.main()
    (table,) = tmp_path.glob("*.csv")
    lines = list(csv.DictReader(io.StringIO(table.read_text())))
    return table.with_suffix(".md").read_text(), {(line["row"], line["contestant"]): line for line in lines}, table.stem


def test_all_models_by_default(monkeypatch, tmp_path, make_row):
    text, lines, name = run_speed(monkeypatch, tmp_path, make_row)
    assert name == "speed"
    assert {row for row, _ in lines} == {plan.row for plan in benchmark.PLANS}
    fit = lines["mnist_comparison/kernel_l2_1e-4", "fit"]
    assert (fit["training_ratio"], fit["rounds"], fit["row_seconds_are"]) == ("12", "3", "reckoned")
    assert fit["processor"] and fit["cores"] and "keras" in fit["versions"]
    assert fit["processor"] in text and "≈" in text and "20 %" in text


def test_one_row_in_full(monkeypatch, tmp_path, make_row):
    _, lines, name = run_speed(monkeypatch, tmp_path, make_row, "--only", "mnist_comparison/none", "--epochs", "10")
    assert name == "speed_mnist_comparison"
    fit = lines["mnist_comparison/none", "fit"]
    assert (fit["seeds"], fit["epochs"], fit["row_seconds_are"]) == ("10", "10", "measured")
    assert float(fit["row_ratio"]) == pytest.approx(610 / 60, rel=1e-5)
    assert float(lines["mnist_comparison/none", "stage"]["outside_share"]) == pytest.approx(10 / 60, rel=1e-5)
    assert float(lines["mnist_comparison/none", "stage_again"]["outside_share"]) == pytest.approx(5 / 55, rel=1e-5)


def test_on_a_gpu_sameness_comes_first_and_files_have_their_own_name(monkeypatch, tmp_path, make_row):
    *_, name = run_speed(monkeypatch, tmp_path, make_row, "--only", "kin8nm_regression", "--device", "gpu")
    assert name == "speed_kin8nm_regression_gpu"
    monkeypatch.setattr(speed, "_answer", lambda *_: {"difference": float("nan")})
    with pytest.raises(UserError, match="differ from Keras"):
        speed._check_sameness(make_row(), "study/row")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "mnist"], "no such study; known: mnist_comparison"),
        (["--seeds", "3"], "go with --only"),
        (["--only", "mnist_comparison", "--epochs", "1"], "at least 2"),
    ],
)
def test_mistakes_are_one_line(monkeypatch, words, message):
    monkeypatch.setattr(sys, "argv", ["speed", *words])
    with pytest.raises(UserError, match=message):
        speed.main()


# --- scaling


def points(*seconds):
    return [scaling.Point(2**i, value, 2**20 * (100 + 2**i)) for i, value in enumerate(seconds)]


def test_where_growth_becomes_linear():
    assert scaling.slopes(points(1.0, 1.0, 2.0, 8.0)) == [0, 1, 2]
    assert scaling.linear_from(points(1.0, 1.0, 2.0, 4.0)) == 2
    assert scaling.linear_from(points(1.0, 2.0, 4.0)) == 1
    assert scaling.linear_from(points(1.0, 2.0, 2.0)) is None
    assert scaling.growth(points(1.0, 1.0, 2.0)) == (0.5, 2**20)


def test_scaling_is_written_with_its_figure(monkeypatch, tmp_path):
    def measure(task, turn, samples, device):
        return measurement("engine", seeds=task.seeds, epoch=1e-5 * task.samples)

    monkeypatch.setattr(speed, "_measure", measure)
    monkeypatch.setattr(speed, "_answer", lambda *_: {"samples": 60000})
    monkeypatch.setattr(speed, "_compose", lambda rows: (2 + 0.1 * rows, 2**27))
    monkeypatch.setattr(speed, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["speed", "--scaling"])
    speed.main()
    figure = (tmp_path / "scaling.svg").read_bytes()
    text = (tmp_path / "scaling.md").read_text()
    assert "Linear from 1 on" in text and "Linear from 3,750 on" in text and "| 64 | 3.84 | 1.00 |" in text
    assert (tmp_path / "scaling.csv").read_text().count("\n") == 18
    speed.main()
    assert (tmp_path / "scaling.svg").read_bytes() == figure


# --- processes


def test_a_process_is_timed_from_outside_and_its_own_memory_counted():
    code = "import json, time; x = bytearray(200 * 2**20); time.sleep(0.2); print('noise'); print(json.dumps({'a': 1}))"
    answer, seconds, peak = speed._process([sys.executable, "-c", code], "cpu")
    assert answer == {"a": 1}
    assert 0.2 < seconds < 20
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # what a process inherits of its parent's peak
    assert 200 * 2**20 < peak < 300 * 2**20 + start


def test_a_process_that_fails_is_one_line():
    with pytest.raises(UserError, match=r"failed: .*too bad"):
        speed._process([sys.executable, "-c", "raise SystemExit('first\\ntoo bad')"], "cpu")


def test_the_stage_runs_in_a_folder_of_its_own(monkeypatch, make_row):
    layers = [*LAYERS[:2], {"type": "dense", "units": 10, "activation": "softmax"}]
    split = {"validation": "none", "size": None, "random_state": None, "monitor": "test"}
    monkeypatch.setattr(speed, "_row", lambda key: make_row(dataset=DIGITS, layers=layers, split=split))
    left = Path("build/speed/left")
    for name, stays in (("stage_again", True), ("stage", False)):
        left.parent.mkdir(parents=True, exist_ok=True)
        left.touch()
        run = speed._measure(benchmark.Task(name, "test/test", seeds=2, epochs=2), 0, 1437, "cpu")
        assert run.process_seconds > 0.5 and run.peak_bytes > 100 * 2**20
        assert left.exists() == stays
        assert list(left.parent.glob("*.zip"))


# --- comparison programs


@pytest.mark.parametrize(("rival", "optimizer"), [("fit", "rmsprop"), ("fit_tuned", "adam")])
def test_keras_programs_train_what_the_engine_trains(tensorflow, make_row, rival, optimizer):
    """With the whole data set in a batch their order does not matter: the losses of all epochs are the engine's."""
    from stages.core.measure import keras_fit

    row = make_row(
        layers=LAYERS,
        regularizers=PENALTIES,
        optimizer=OPTIMIZERS[optimizer],
        training={"loss": "categorical_crossentropy", "batch_size": N, "epochs": 4},
    )
    trained = getattr(keras_fit, rival)(row, samples(row), 2, 4)
    np.testing.assert_allclose(trained.losses, engine_losses(row, 2), rtol=1e-5)
    assert trained.epoch_seconds > 0


@pytest.mark.filterwarnings("ignore:.*scipy.ndimage:DeprecationWarning")  # ImageDataGenerator's own
@pytest.mark.parametrize("rival", ["fit", "fit_tuned"])
def test_keras_programs_train_on_every_sample_and_augment(tensorflow, make_row, rival):
    """Steps too small to matter show the initial loss over all samples; augmentation changes it, by a little."""
    from stages.core.measure import keras_fit

    row = make_row(
        dataset=IMAGES,
        layers=LAYERS,
        optimizer=OPTIMIZERS["sgd"] | {"learning_rate": 1e-9},
        training={"loss": "sparse_categorical_crossentropy", "batch_size": 8, "epochs": 2},
    )
    ((expected, _),) = engine_losses(row, 1)
    ((first, _),) = getattr(keras_fit, rival)(row, samples(row), 1, 2).losses
    assert first == pytest.approx(expected, rel=1e-5)
    ranges = {"rotation": 15.0, "width_shift": 0.1, "height_shift": 0.1, "horizontal_flip": True}
    moved = type(row).model_validate(row.model_dump() | {"augmentation": ranges})
    ((first, second),) = getattr(keras_fit, rival)(moved, samples(row), 1, 2).losses
    assert first != second
    assert first == pytest.approx(expected, rel=0.5) and first != pytest.approx(expected, rel=1e-5)


def test_the_sameness_check_sees_another_optimizer(tensorflow, make_row, monkeypatch):
    from stages.core.measure import keras_fit

    row = make_row()
    assert keras_fit.difference(row, samples(row), "cpu") < speed.SAME
    other = make_row(optimizer=OPTIMIZERS["adam"] | {"learning_rate": 0.0013})
    right = keras_fit.optimizer
    monkeypatch.setattr(keras_fit, "optimizer", lambda row: right(other))
    assert keras_fit.difference(row, samples(row), "cpu") > speed.SAME


if find_spec("jax"):  # an extra of its own, for this comparison alone

    def jax_losses(row, seeds):
        """The JAX program from Keras' initial weights in the engine's batch order."""
        import jax

        from stages.core.measure import jax_fit
        from stages.core.training import engine as training
        from stages.core.training import models

        states = []
        for seed in range(seeds):
            weights = iter([np.asarray(v) for v in models.build(row, seed).trainable_variables])
            params = list(zip(weights, weights, strict=True))
            states.append(jax_fit.state_of(row, params, jax.random.key(seed)))
        state = jax.tree.map(lambda *leaves: jax.numpy.stack(leaves), *states)
        data = {name: jax_fit._on_device(row, *split) for name, split in samples(row).items()}
        epochs = range(row.training.epochs)
        order = np.array([[training.batch_order(seed, epoch, N) for epoch in epochs] for seed in range(seeds)])
        return jax_fit.program(row)(state, data["train"], data["test"], order)[1]

    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    def test_jax_trains_what_the_engine_trains(tensorflow, make_row, optimizer):
        row = make_row(layers=LAYERS, regularizers=PENALTIES, optimizer=OPTIMIZERS[optimizer])
        np.testing.assert_allclose(jax_losses(row, 2), engine_losses(row, 2), rtol=1e-3)

    def test_jax_regression(tensorflow, make_row):
        table = {"name": "t", "shape": [6], "classes": None, "scale": None}
        layers = [*LAYERS[:2], {"type": "dense", "units": 1, "activation": "linear"}]
        training = {"loss": "mean_squared_error", "batch_size": 8, "epochs": 3}
        row = make_row(dataset=table, layers=layers, training=training)
        np.testing.assert_allclose(jax_losses(row, 2), engine_losses(row, 2), rtol=1e-4)

    def test_jax_learns_with_dropout(make_row):
        from stages.core.measure import jax_fit

        layers = [*LAYERS[:2], {"type": "dropout", "rate": 0.3}, LAYERS[2]]
        trained = jax_fit.train(make_row(layers=layers), samples(make_row()), 2, 20)
        assert np.array(trained.losses).shape == (2, 20)
        assert all(losses[-1] < losses[0] for losses in trained.losses)
        assert trained.epoch_seconds > 0
