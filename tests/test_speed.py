"""`make speed`: its arithmetic, its report, and that every comparison program trains what the engine trains."""

import csv
import io
import json
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
from stages.core.measure import processes
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
    from plain import without_xla

    from stages.core.training import engine as training

    engine = without_xla(training.Engine(row, samples(row), "cpu"))
    losses = []
    for seed in range(seeds):
        progress = engine.start(seed)
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


def report(turns):
    """The cells of the only row of a report, by column."""
    text = benchmark.to_markdown(turns, {"study/row": Budget(10, 10, 100)}, {"cores": "2"}, "regbench speed")
    header, _, cells = ([cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if "|" in line)
    assert "- cores: 2" in text
    return dict(zip(header, cells, strict=True))


def test_training_ratios_pair_up_within_a_round():
    """A machine that is three times slower in one round changes no ratio."""
    runs = [
        measurement(name, turn, epoch=seconds * slow)
        for turn, slow in enumerate([1.0, 3.0, 1.0])
        for name, seconds in [("engine", 0.5), ("fit", 4.0)]
    ]
    cells = report(runs)
    assert cells["fit / engine"] == "8"
    assert cells["engine, s"] == "0.5 (0.5–1.5)"
    assert cells["fit / stage"] == cells["stage, s"] == ""  # there is no stage


def test_a_whole_row_that_ran_in_full_is_the_measured_process():
    turn = [
        measurement("stage", seeds=10, epochs=10, process=50.0, epoch=None),
        measurement("engine", seeds=10, epochs=3, epoch=0.4),
        measurement("fit", seeds=10, epochs=10, process=430.0, epoch=4.2),
    ]
    cells = report(turn)
    assert (cells["stage, s"], cells["fit / stage"], cells["stage, GiB"]) == ("50", "8.6", "1.00")


def test_a_whole_row_is_reckoned_from_what_is_spent_once_and_what_every_seed_and_epoch_takes():
    turn = {"fit": measurement("fit", seeds=1, epochs=3, process=20.0, epoch=4.0)}
    assert benchmark.row_seconds(turn, "fit", Budget(10, 10, 100)) == 8.0 + 100 * 4.0
    assert benchmark.row_ratio(turn, "fit", Budget(10, 10, 100)) is None  # there is no stage to hold it against
    assert benchmark.row_seconds(turn, "fit", Budget(10, 10, 101)) is None  # it saw only a part of the samples


def test_operations_of_dense_layers_and_convolutions(tensorflow, make_row):
    from stages.core.measure import peers

    assert peers.products(make_row()) == [6 * 16, 16 * 4]
    convolution = {"type": "conv2d", "filters": 5, "kernel_size": 3, "padding": "valid", "activation": "relu"}
    last = {"type": "dense", "units": 4, "activation": "softmax"}
    row = make_row(dataset=IMAGES, layers=[convolution, {"type": "flatten"}, last])
    assert peers.products(row) == [4 * 4 * 5 * (3 * 3 * 3), 4 * 4 * 5 * 4]
    assert benchmark.operations([96, 64], 1, 0) == 2 * (3 * (96 + 64) - 96)
    assert benchmark.operations([96, 64], 5, 2) == 5 * 2 * (3 * 160 - 96) + 2 * 2 * 160


def test_matrix_share():
    one = measurement("engine", epoch=2.0, operations=80e9, matrix_rate=100e9)
    assert benchmark.matrix_share({"engine": one}) == pytest.approx(0.4)
    assert benchmark.matrix_share({"engine": measurement("engine")}) is None


def test_part_takes_the_same_share_of_every_split():
    x = np.arange(100)
    splits = benchmark.part({"train": (x, x), "test": (x[:30], x[:30])}, 20)
    assert {name: len(part[0]) for name, part in splits.items()} == {"train": 20, "test": 6}
    assert len(benchmark.part(splits, None)["train"][0]) == 20


def test_a_round_runs_every_contestant_once():
    plan, budget = Plan("study/row", stage=5, together=3, alone=2, samples=50), Budget(10, 7, 100)
    tasks = benchmark.tasks(plan, budget, ["fit", "jax"], whole=False)
    assert [task._replace(row="") for task in tasks] == [
        ("stage", "", 10, 5, 50), ("engine", "", 10, 3, 50), ("fit", "", 1, 2, 50), ("jax", "", 10, 3, 50),
    ]  # fmt: skip
    whole = benchmark.tasks(plan._replace(stage=0), budget, ["fit"], whole=True)
    assert [task[0::2] for task in whole] == [("stage", 10, None), ("engine", 10, 50), ("fit", 10, None)]
    assert [task.contestant for task in benchmark.tasks(plan._replace(stage=0), budget, [], whole=False)] == ["engine"]


# --- report


def run_speed(monkeypatch, tmp_path, make_row, *words):
    """`speed` with processes that answer at once."""

    def measure(task, turn, samples, device):
        engine = {"operations": 1e9, "matrix_rate": 1e10} if task.contestant == "engine" else {}
        epoch = {"stage": None, "engine": 0.5, "jax": 0.75}.get(task.contestant, 6.0)
        seconds = 10 + task.seeds * task.epochs * (epoch or 0.5)
        return replace(
            measurement(task.contestant, turn, task.seeds, task.epochs, seconds, epoch, task.samples or samples),
            row=task.row, **engine,
        )  # fmt: skip

    monkeypatch.setattr(speed, "_measure", measure)
    monkeypatch.setattr(speed, "_answer", lambda *_: ({"samples": 60000}, None))
    monkeypatch.setattr(speed, "_row", lambda key: make_row(seeds=10))
    monkeypatch.setattr(speed, "_jax_can", lambda row, device: True)
    monkeypatch.setattr(speed, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["speed", *words])
    speed.main()
    (table,) = tmp_path.glob("*.csv")
    return table.with_suffix(".md").read_text(), list(csv.DictReader(io.StringIO(table.read_text()))), table.stem


def test_all_models_by_default(monkeypatch, tmp_path, make_row):
    text, lines, name = run_speed(monkeypatch, tmp_path, make_row)
    assert name == "speed"
    assert {line["row"] for line in lines} == {plan.row for plan in benchmark.PLANS}
    assert {line["round"] for line in lines} == {"0", "1", "2"}
    shown = next(line for line in text.splitlines() if line.startswith("| `mnist_comparison/"))
    assert "| 0.5 | 12 | 12 | 1.5 | 20 % | 10 × 3 |" in shown
    assert "processor" in text and "command: `regbench speed`" in text


def test_one_row_in_full_has_files_of_its_own_and_a_gpu_too(monkeypatch, tmp_path, make_row):
    words = ("--only", "mnist_comparison/none", "--device", "gpu")
    _, lines, name = run_speed(monkeypatch, tmp_path, make_row, *words)
    assert name == "speed_mnist_comparison_gpu"
    assert [(line["contestant"], line["seeds"]) for line in lines][:3] == [
        ("stage", "10"),
        ("engine", "10"),
        ("fit", "10"),
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--only", "mnist"], "no such study; known: mnist_comparison"), (["--rounds", "0"], "at least 1")],
)
def test_mistakes_are_one_line(monkeypatch, words, message):
    monkeypatch.setattr(sys, "argv", ["speed", *words])
    with pytest.raises(UserError, match=message):
        speed.main()


# --- processes


def test_a_process_is_timed_from_outside_and_its_own_memory_counted():
    code = "import time; x = bytearray(200 * 2**20); time.sleep(0.2); print('said')"
    done = processes.run([sys.executable, "-c", code])
    assert done.output == "said\n"
    assert 0.2 < done.seconds < 120
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # what a process inherits of its parent's peak
    assert 200 * 2**20 < done.peak_bytes < 300 * 2**20 + start


def test_a_process_that_fails_is_one_line():
    with pytest.raises(UserError, match=r"failed: .*too bad"):
        processes.run([sys.executable, "-c", "raise SystemExit('first\\ntoo bad')"])


@pytest.mark.parametrize("contestant", ["stage", "engine"])
def test_stage_and_engine_run_beside_the_results(contestant):
    """Of digits, as composed; the stage in a folder of its own."""
    if not Path("build/rows/digits_comparison/none.yaml").is_file():
        pytest.skip("needs `dvc repro compose`")
    record = Path("results/runs/digits_comparison/none.json")
    before = record.read_bytes()
    one = speed._measure(benchmark.Task(contestant, "digits_comparison/none", seeds=2, epochs=2), 0, 1437, "cpu")
    assert one.process_seconds > 0.5 and one.peak_bytes > 100 * 2**20
    assert (one.epoch_seconds is None) == (contestant == "stage")
    assert record.read_bytes() == before


# --- comparison programs


@pytest.mark.parametrize(
    ("rival", "optimizer", "seeds"),
    [pytest.param("fit", "rmsprop", 2, marks=pytest.mark.long), ("fit_tuned", "adam", 1)],
)
def test_keras_programs_train_what_the_engine_trains(tensorflow, make_row, rival, optimizer, seeds):
    """With the whole data set in a batch their order does not matter: the losses of all epochs are the engine's."""
    from stages.core.measure import keras_fit

    row = make_row(
        layers=LAYERS,
        regularizers=PENALTIES,
        optimizer=OPTIMIZERS[optimizer],
        training={"loss": "categorical_crossentropy", "batch_size": N, "epochs": 4},
    )
    trained = getattr(keras_fit, rival)(row, samples(row), seeds, 4)
    np.testing.assert_allclose(trained.losses, engine_losses(row, seeds), rtol=1e-5)
    assert trained.epoch_seconds > 0


@pytest.mark.filterwarnings("ignore:.*scipy.ndimage:DeprecationWarning")  # ImageDataGenerator's own
@pytest.mark.parametrize("rival", ["fit", pytest.param("fit_tuned", marks=pytest.mark.long)])
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


JAX = """
import sys, json, keras, numpy as np
sys.path.insert(0, "tests")
from stages.core.config.row import Row
from stages.core.measure import jax_fit
from stages.core.training import engine
row = Row.model_validate_json(sys.argv[1])
x, y = np.load(sys.argv[2])["x"], np.load(sys.argv[2])["y"]
samples = jax_fit.peers.arrays(row, {"train": (x, y)})["train"]
data = tuple(np.asarray(array, np.float32) for array in samples)
seeds, epochs = range(row.seeds), range(row.training.epochs)
order = np.array([[engine.batch_order(seed, epoch, len(x)) for epoch in epochs] for seed in seeds])
print(json.dumps(jax_fit.program(row)(jax_fit.start(row, row.seeds), data, data, order)[1].tolist()))
"""


@pytest.mark.skipif(find_spec("jax") is None, reason="JAX is an extra of its own, for this comparison alone")
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_jax_trains_what_the_engine_trains(tensorflow, make_row, tmp_path, optimizer):
    """From Keras' initial weights in the engine's batch order, in a process with Keras' JAX backend."""
    training = {"loss": "categorical_crossentropy", "batch_size": 8, "epochs": 3}
    row = make_row(layers=LAYERS, regularizers=PENALTIES, optimizer=OPTIMIZERS[optimizer], training=training)
    x, y = samples(row)["train"]
    np.savez(tmp_path / "data.npz", x=x, y=y)
    done = processes.run(
        [sys.executable, "-c", JAX, row.model_dump_json(), str(tmp_path / "data.npz")],
        environment={"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
    )
    np.testing.assert_allclose(json.loads(done.output.splitlines()[-1]), engine_losses(row, 2), rtol=1e-3)
