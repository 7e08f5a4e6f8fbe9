"""Training on tiny data: the same bits every time, whole through interruptions, NaN included, and Keras' own figures.

Compiling takes much longer than training here, so one engine serves most tests.
"""

import contextlib
import dataclasses
import json
import math
import re
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from stages import train as stage
from stages.core.base.errors import UserError
from stages.core.records import recording, records
from stages.core.training import progress, runtime

LAYERS = [
    {"type": "dense", "units": 9, "activation": "relu", "regularized": True},
    {"type": "batch_normalization"},
    {"type": "dropout", "rate": 0.4},
    {"type": "dense", "units": 7, "activation": "tanh", "regularized": True},
    {"type": "dense", "units": 4, "activation": "softmax"},
]
PENALTIES = {
    "kernel": {"l1": 0.001, "l2": 0.01},
    "bias": {"l1": 0.0, "l2": 0.01},
    "activity": {"l1": 0.0, "l2": 0.01},
}
SEEDS, EPOCHS = 3, 15  # of 15 epochs 14 are recorded here: chunks of one epoch, and one of two


def budget(epochs, loss="sparse_categorical_crossentropy"):
    return {"loss": loss, "batch_size": 8, "epochs": epochs}


def samples(n=37, n_test=11):
    random = np.random.default_rng(1)
    x, y = random.normal(size=(n + n_test, 6)).astype(np.float32), random.integers(0, 4, n + n_test)
    return {"train": (x[:n], y[:n]), "test": (x[n:], y[n:])}


def state_bytes(state):
    import tensorflow as tf

    return [np.asarray(leaf).tobytes() for leaf in tf.nest.flatten(state)]


def engine_paths(engine):
    from stages.core.training import models

    return models.paths(engine.net.model)


@pytest.fixture(scope="module", autouse=True)
def recorded(tensorflow):
    """So few epochs are recorded here that a short training has a chunk of two; gives how many there usually are."""
    from stages.core.training import engine as training

    usual = training.RECORDED_EPOCHS
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "RECORDED_EPOCHS", EPOCHS - 1)
        yield usual


@pytest.fixture(scope="module")
def row(make_row):
    return make_row(seeds=SEEDS, layers=LAYERS, regularizers=PENALTIES, training=budget(EPOCHS))


@pytest.fixture(scope="module")
def engine(tensorflow, row):
    from stages.core.training import engine as training

    return training.Engine(row, samples(), "cpu")


@pytest.fixture(scope="module")
def trained(engine):
    """The seeds' parts of the record, and every seed's state behind every chunk."""
    return followed(engine, threads=1)


def compiled(engine):
    with ThreadPoolExecutor(2) as pool:
        engine.compile(pool)
    return engine


def followed(engine, threads=1, **arguments):
    from stages.core.training import engine as training

    states = {}

    def note(done):
        states[done.seed, done.epoch] = state_bytes(done.state)

    compiled(engine)
    seeds = list(training.train(engine, range(SEEDS), threads, after_chunk=note, **arguments))
    return records.to_text(seeds), states


# --- the same bits --------------------------------------------------------------------------------------------------


def test_the_same_row_gives_the_same_bytes(engine, row, trained):
    """By a program that is traced and compiled anew to train, but not to evaluate: half of the time."""
    from stages.core.training import engine as training

    again = training.Engine(row, samples(), "cpu")
    again.programs.evaluate, again.programs.probe = engine.programs.evaluate, engine.programs.probe
    assert followed(again) == trained


@pytest.mark.parametrize("threads", [2, 3])
def test_seeds_side_by_side_give_the_same_bytes(engine, trained, threads):
    assert followed(engine, threads) == trained


def test_seeds_differ(trained):
    first, second, third = json.loads(trained[0])
    assert first["curve"]["loss"] != second["curve"]["loss"] != third["curve"]["loss"]


def test_fewer_seeds_are_the_first_ones(engine, trained):
    from stages.core.training import engine as training

    assert records.to_text(list(training.train(engine, range(2), 1))) == records.to_text(json.loads(trained[0])[:2])


@pytest.mark.long
def test_a_checkpoint_behind_every_chunk_changes_no_bit(engine, trained):
    """Each chunk goes on from what the file of the one before gives back: resuming after any of them is the same."""
    from stages.core.training import checkpoints

    states, last = {}, {}
    with pytest.raises(ValueError, match="is of seed 1"):
        checkpoints.from_bytes(checkpoints.to_bytes(engine.start(1)), engine.start(0))
    for seed in range(SEEDS):
        done = engine.start(seed)
        while done.epoch < EPOCHS:
            engine.advance([done])
            content = checkpoints.to_bytes(done)
            done = checkpoints.from_bytes(content, engine.start(seed))
            assert checkpoints.to_bytes(done) == content
            states[seed, done.epoch] = state_bytes(done.state)
        last[seed] = done
    assert states == trained[1]
    text, none = followed(engine, resumed=last)
    assert (text, none) == (trained[0], {})


@pytest.mark.parametrize("epochs", [[1, 0, 15], [10, 14, 12]])
def test_seeds_resumed_at_different_epochs(engine, trained, epochs):

    resumed = {}
    for seed, epoch in enumerate(epochs):
        resumed[seed] = engine.start(seed)
        while resumed[seed].epoch < epoch:
            engine.advance([resumed[seed]])
    text, states = followed(engine, threads=2, resumed=resumed)
    assert text == trained[0]
    assert states.items() < trained[1].items()


def test_shorter_chunks_are_the_same_training(engine, row, trained, monkeypatch):
    """Another program, which may add in another order, of the same epochs."""
    from plain import without_xla

    from stages.core.training import engine as training

    monkeypatch.setattr(training, "CHUNK_SAMPLES", 40)
    single = without_xla(training.Engine(row, samples(), "cpu"))
    assert (engine.programs.chunk, single.programs.chunk) == (2, 1)
    (ours,), (theirs, *_) = list(training.train(single, range(1), 1)), json.loads(trained[0])
    assert ours["curve"].keys() == theirs["curve"].keys()
    for name, column in ours["curve"].items():
        np.testing.assert_allclose(column, theirs["curve"][name], rtol=1e-4)


# --- the stage around it ----------------------------------------------------------------------------------------------


@pytest.fixture
def train_stage(engine, tmp_path, monkeypatch):
    """The stage's own part of a training, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda threads=1: records.to_text(
        recording._train(engine, "test/test", list(range(SEEDS)), tmp_path / "saved", threads)
    )


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_seen_and_changes_no_bit(train_stage, trained, monkeypatch, capsys, terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(progress, "LOG_SECONDS", -1)
    assert train_stage(threads=2) == trained[0]
    shown = capsys.readouterr().err
    assert "test/test: " in shown
    if terminal:
        assert f"{SEEDS * EPOCHS}/{SEEDS * EPOCHS}" in shown
        assert "\r" in shown
    else:
        lines = shown.splitlines()
        assert len(lines) == SEEDS * (EPOCHS - 1)
        assert lines[-1].startswith(f"test/test: {SEEDS * EPOCHS}/{SEEDS * EPOCHS} epochs in ")


def test_a_log_gets_a_line_now_and_then_only(train_stage, capsys):
    train_stage()
    assert capsys.readouterr().err == ""  # it took less than LOG_SECONDS


@pytest.mark.parametrize(
    "chunk", [pytest.param(1, marks=pytest.mark.long), 6, pytest.param(23, marks=pytest.mark.long), 41]
)
def test_an_interrupted_training_goes_on_where_it_was(train_stage, trained, tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(recording, "CHECKPOINT_SECONDS", -1)
    write, written = recording.write_atomically, []

    def interrupt(path, content):
        write(path, content)
        written.append(path)
        if len(written) == chunk:
            raise KeyboardInterrupt

    monkeypatch.setattr(recording, "write_atomically", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train_stage()
    assert sorted((tmp_path / "saved").iterdir()) == sorted(set(written))
    assert train_stage() == trained[0]
    assert len(written) == SEEDS * (EPOCHS - 1)  # what was done is not done again


@pytest.mark.parametrize("damage", ["cut", "empty", "a byte", "other"])
def test_a_damaged_checkpoint_starts_its_seed_anew_and_says_so(engine, train_stage, trained, tmp_path, capsys, damage):
    from stages.core.training import checkpoints

    done = engine.start(1)
    engine.advance([done])
    content = bytearray(checkpoints.to_bytes(done))
    changed = {"cut": content[:-100], "empty": b"", "other": b"<html>"}
    content[len(content) // 2] ^= 1
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved/1.npz").write_bytes(changed.get(damage, content))
    assert train_stage() == trained[0]
    assert capsys.readouterr().err.endswith("saved/1.npz: the checkpoint is damaged; seed 1 starts anew\n")


def test_any_damage_of_a_checkpoint_is_harmless_or_seen(engine):
    from stages.core.training import checkpoints

    done = engine.start(1)
    engine.advance([done])
    content = checkpoints.to_bytes(done)
    states = []
    for place in range(0, len(content), 797):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        with contextlib.suppress(ValueError):
            states.append(checkpoints.to_bytes(checkpoints.from_bytes(bytes(damaged), engine.start(0))))
    assert set(states) <= {content}


def test_a_seed_that_cannot_be_saved_ends_the_others_and_names_the_file(train_stage, tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "CHECKPOINT_SECONDS", -1)
    (tmp_path / "saved/1.npz").mkdir(parents=True)
    epochs, second_is_there = {0: 0, 1: 0}, threading.Event()

    def advance(seed, epoch, note):
        epochs[seed] = epoch
        if seed == 1:
            second_is_there.set()
        else:
            second_is_there.wait(10)
            time.sleep(0.02)  # as long as the other needs to fail

    monkeypatch.setattr(progress, "bar", lambda *_: contextlib.nullcontext(advance))
    with pytest.raises(OSError, match=r"saved/1\.npz"):
        train_stage(threads=2)
    assert epochs[0] < EPOCHS
    assert epochs[1] == 1
    assert 2 not in epochs


@pytest.mark.long
def test_seeds_of_one_program_are_saved_and_resumed_together(engine, tmp_path, monkeypatch):
    """As on a GPU, where one program carries all seeds: they can only go on from the same epoch."""
    from stages.core.training import engine as training

    lanes = SimpleNamespace(row=engine.row, lanes=SEEDS, start=engine.start)
    clock = iter(range(0, 10**6, 7))
    monkeypatch.setattr(recording.time, "monotonic", lambda: next(clock))
    seen = []

    def fake_train(engine, seeds, threads, resumed, after_chunk):
        seen.append({seed: done.epoch for seed, done in resumed.items()})
        for epoch in range(1, 20):
            for seed in seeds:
                after_chunk(dataclasses.replace(engine.start(seed), epoch=epoch))
        return []

    monkeypatch.setattr(training, "train", fake_train)
    monkeypatch.setattr(recording.progress, "time", SimpleNamespace(monotonic=lambda: 0))
    recording._train(lanes, "test/test", list(range(SEEDS)), tmp_path, 1)
    recording._train(lanes, "test/test", list(range(SEEDS)), tmp_path, 1)
    assert len(set(seen[1].values())) == 1
    assert list(seen[1]) == list(range(SEEDS))
    (tmp_path / "1.npz").unlink()
    recording._train(lanes, "test/test", list(range(SEEDS)), tmp_path, 1)
    assert seen[2] == {}


def test_adopt_compares_one_row_whole_and_the_beginning_of_the_others(make_row, tmp_path, monkeypatch):
    """Of the first row seeds 0 and 1 to their end, of the others the first recorded epoch of seed 0."""
    from plain import without_xla

    from stages.commands import adopt
    from stages.core.config.composition import to_yaml

    engine = recording.engine
    monkeypatch.setattr(recording, "engine", lambda *given, **lanes: without_xla(engine(*given, **lanes)))
    monkeypatch.setattr(recording, "load", lambda row: samples())
    monkeypatch.setattr(recording.runtime, "prepare", lambda *_: "cpu")
    monkeypatch.setattr(recording.preload, "tensorflow", contextlib.nullcontext)
    monkeypatch.setattr(recording.programs, "take", lambda *_: False)
    monkeypatch.chdir(tmp_path)
    dataset = {"name": "t", "digest": "0" * 64, "shape": [6], "classes": 4, "scale": None}
    rows = {f"test/{name}": make_row(row=name, dataset=dataset, seeds=3, training=budget(2)) for name in "abc"}
    text = records.to_json(recording.record(rows["test/a"], "test/a", tmp_path / "saved", {}))

    def write(key, seed, epoch):
        """The row, and its record with another loss of a seed in an epoch."""
        made = json.loads(text) | {"row": rows[key].row, "config": rows[key].model_dump()}
        del made["checksum"]
        made["seeds"][seed]["curve"]["loss"][epoch - 1] *= 1.00001
        for path, content in (
            (adopt.ROWS / f"{key}.yaml", to_yaml(made["config"])),
            (adopt.RUNS / f"{key}.json", records.to_json(made)),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")

    write("test/a", seed=2, epoch=1)
    write("test/b", seed=0, epoch=2)
    write("test/c", seed=0, epoch=1)
    assert list(adopt.check([*rows])) == [("test/a", True), ("test/b", True), ("test/c", False)]
    write("test/a", seed=1, epoch=2)
    assert list(adopt.check(["test/a"])) == [("test/a", False)]


@pytest.mark.parametrize("arguments", [[], ["a/b", "c"], ["no/such"], ["../../params"]])
def test_a_row_that_is_not_there(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    with pytest.raises(UserError):
        stage.main()


def test_a_row_under_another_name(tmp_path, monkeypatch, row):
    from stages.core.config.composition import to_yaml

    monkeypatch.chdir(tmp_path)
    (tmp_path / "build/rows/test").mkdir(parents=True)
    (tmp_path / "build/rows/test/other.yaml").write_text(to_yaml(row.model_dump()), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["train", "test/other"])
    with pytest.raises(UserError, match="test/test"):
        stage.main()


def test_a_gpu_that_is_not_there(tensorflow, monkeypatch):
    if tensorflow.config.list_physical_devices("GPU"):
        pytest.skip("there is one")
    monkeypatch.setenv("XLA_FLAGS", "")  # restored at the end
    for pool in ("intra", "inter"):  # TensorFlow is under way in this process, and takes no other number of threads
        monkeypatch.setattr(tensorflow.config.threading, f"set_{pool}_op_parallelism_threads", lambda threads: None)
    with pytest.raises(UserError, match="device: gpu"):
        runtime.prepare("gpu", threads=2, convolutions=False)
    assert runtime.prepare("auto", threads=2, convolutions=False) == "cpu"


@pytest.mark.parametrize(
    ("seeds", "cores", "expected"), [(10, 2, 2), (10, 1, 1), (10, 4, 5), (3, 2, 3), (1, 8, 1), (10, 64, 10)]
)
def test_workers(seeds, cores, expected):
    assert runtime.workers(seeds, cores) == expected


def test_programs_are_compiled_before_a_seed_trains_and_never_again(tensorflow, make_row):
    from plain import without_xla

    from stages.core.training import engine as training

    row = make_row(seeds=SEEDS, regularizers=PENALTIES, training=budget(EPOCHS))
    engine = without_xla(training.Engine(row, samples(n=40, n_test=40), "cpu"))
    programs = engine.programs.train, engine.programs.evaluate, engine.programs.probe
    compiled(engine)
    counts = [program.experimental_get_tracing_count() for program in programs]
    assert counts == [1, 1, 1]  # splits of one size are evaluated by one program
    followed(engine)
    assert [program.experimental_get_tracing_count() for program in programs] == counts


def test_programs_are_traced_one_by_one(tensorflow, make_row, monkeypatch):
    """Keras' layers hold one call's activity penalties at a time: traced side by side, programs got each other's."""
    import keras
    from plain import without_xla

    from stages.core.training import engine as training

    row = make_row(regularizers=PENALTIES)
    engine = without_xla(training.Engine(row, samples(), "cpu"))
    traced, inside, call = [], threading.Lock(), keras.layers.Dense.call

    def slow(layer, inputs, training=None):
        alone = inside.acquire(blocking=False)
        traced.append(alone)
        time.sleep(0.02)
        if alone:
            inside.release()
        return call(layer, inputs, training=training)

    monkeypatch.setattr(keras.layers.Dense, "call", slow)
    compiled(engine)
    assert all(traced)
    assert len(traced) > 3 * len(row.layers)  # training, evaluation and the probe were traced


def test_rows_that_differ_in_coefficients_alone_have_the_same_programs(tensorflow, make_row):
    """Then XLA need not compile them again; another kind of penalty is another program."""
    from stages.core.training import engine as training

    def program(rate, kernel, activity):
        zero = {"l1": 0.0, "l2": 0.0}
        row = make_row(
            optimizer={"name": "sgd", "learning_rate": rate, "momentum": 0.0},
            regularizers={"kernel": kernel, "bias": zero, "activity": activity},
        )
        engine = training.Engine(row, samples(), "cpu")
        order, noise = np.zeros((1, engine.programs.chunk, 37), np.int32), np.zeros((1, 2), np.int32)
        arguments = engine._training(order, noise, engine.start(0).state, 1)
        program = engine.programs.train.experimental_get_compiler_ir(*arguments)(stage="hlo")
        return re.sub(r"_\d+", "_", program)  # functions are numbered on and on

    first = program(0.1, {"l1": 1e-3, "l2": 1e-2}, {"l1": 0.0, "l2": 1e-4})
    assert program(0.2, {"l1": 1e-2, "l2": 3e-3}, {"l1": 0.0, "l2": 2e-4}) == first
    assert program(0.1, {"l1": 0.0, "l2": 1e-2}, {"l1": 0.0, "l2": 1e-4}) != first


# --- what rows share --------------------------------------------------------------------------------------------------


def test_rows_that_differ_in_regularization_start_from_the_same_weights(tensorflow, make_row, row):
    from stages.core.training import models

    plain = make_row(layers=[layer for layer in LAYERS if layer["type"] != "dropout"])
    for seed in (0, 1):
        ours, theirs = (models.build(any_row, seed).trainable_variables for any_row in (row, plain))
        assert [v.path.split("/")[-2:] for v in ours] == [v.path.split("/")[-2:] for v in theirs]
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)
    kernels = [models.build(row, seed).layers[0].kernel for seed in (0, 1)]
    assert np.abs(np.asarray(kernels[0]) - np.asarray(kernels[1])).max() > 0.1


def test_rows_that_differ_in_regularization_get_the_same_batches(tensorflow, make_row, monkeypatch):
    from stages.core.training import engine as training

    asked = []
    order = training.batch_order
    monkeypatch.setattr(training, "batch_order", lambda *args: asked.append(args) or order(*args))
    for any_row in (make_row(layers=LAYERS, regularizers=PENALTIES), make_row(layers=LAYERS[-1:])):
        engine = training.Engine(any_row, samples(), "cpu")
        engine.programs.train = lambda data, order, noise, state, count: (state, tensorflow.zeros((1, 3)))
        engine.evaluate = lambda state, split: [dict.fromkeys(("loss", "data_loss", "penalty", "accuracy"), 0.0)]
        for seed in range(2):
            done = engine.start(seed)
            while done.epoch < 3:
                engine.advance([done])
    half = len(asked) // 2
    assert asked[:half] == asked[half:] == [(seed, epoch, 37, True) for seed in range(2) for epoch in range(3)]


def test_batch_order(tensorflow):
    from stages.core.training import engine as training

    orders = [training.batch_order(seed, epoch, 1000) for seed in range(3) for epoch in range(3)]
    for order in orders:
        assert order.dtype == np.int32
        np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    assert len({order.tobytes() for order in orders}) == 9
    assert training.batch_order(0, 0, 8).tolist() == training.batch_order(0, 0, 8).tolist()


# --- figures --------------------------------------------------------------------------------------------------------


def test_recorded_epochs(recorded, monkeypatch):
    from stages.core.training import engine as training
    from stages.core.training.engine import recorded_epochs

    monkeypatch.setattr(training, "RECORDED_EPOCHS", recorded)
    assert recorded_epochs(1) == [1]
    assert recorded_epochs(60) == list(range(1, 61))
    for epochs in (61, 100, 1000, 10**6):
        kept = recorded_epochs(epochs)
        gaps = np.diff(kept[9:])
        assert kept[:10] == list(range(1, 11))
        assert kept[-1] == epochs
        assert len(kept) == 60
        assert gaps.min() >= 1
        assert gaps.max() - gaps.min() <= 1
        assert all(type(epoch) is int for epoch in kept)


def test_record_is_whole(trained, row):
    for seed, part in enumerate(json.loads(trained[0])):
        assert part["seed"] == seed
        assert part["first_non_finite_epoch"] is None
        curve = part["curve"]
        assert {len(column) for column in curve.values()} == {EPOCHS - 1}
        np.testing.assert_allclose(curve["loss"], np.add(curve["data_loss"], curve["penalty"]), rtol=1e-6)
        assert set(part["final"]) == set(part["top_class_share"]) == {"train", "test"}
        assert part["final"]["test"]["loss"] == curve["val_loss"][-1]
        assert part["final"]["test"]["accuracy"] == curve["val_accuracy"][-1]
        assert set(part["saturated_share"]) == {"dense_1", "dense_2"}
        shapes = {"dense_1/kernel", "batch_normalization_1/gamma", "dense_3/bias"}
        assert shapes <= set(part["weight_norms"]) == set(part["weight_sd"]) == set(part["zero_share"])


def test_figures_are_keras_figures(engine, row):
    """Loss with penalties, and accuracy, of all splits: Keras' `evaluate` with the same weights in one batch."""
    from stages.core.training import models

    done = engine.start(0)
    while done.epoch < 12:
        engine.advance([done])
    model = models.build(row, seed=3)
    for variable, value in zip(model.trainable_variables, done.state.weights, strict=True):
        variable.assign(value)
    for variable, value in zip(model.non_trainable_variables, done.state.others, strict=True):
        variable.assign(value)
    model.compile(loss=row.training.loss, metrics=["accuracy"], jit_compile=False)
    for split, (x, y) in samples().items():
        keras = model.evaluate(x, y, batch_size=len(x), verbose=0, return_dict=True)
        (ours,) = engine.evaluate(done.state, split)
        assert ours["loss"] == pytest.approx(keras["loss"], rel=1e-5)
        assert ours["penalty"] > 0
        assert ours["loss"] == pytest.approx(ours["data_loss"] + ours["penalty"])
        assert ours["accuracy"] == pytest.approx(keras["accuracy"], abs=1e-6)
        shares = np.bincount(model.predict(x, verbose=0).argmax(-1)) / len(x)
        assert ours["top_class_share"] == pytest.approx(shares.max(), abs=1e-6)
    assert done.curve["val_loss"][-1] == engine.evaluate(done.state, "test")[0]["loss"]


def test_a_nan_is_a_result(tensorflow, make_row):
    """Linear layers with a learning rate that overflows: the row goes on to its last epoch and its record is JSON."""
    from stages.core.training import engine as training

    linear = [{"type": "dense", "units": units, "activation": "linear"} for units in (5, 4)]
    sgd = {"name": "sgd", "learning_rate": 3.0, "momentum": 0.0}
    diverging = make_row(layers=linear, optimizer=sgd, training=budget(9, "mean_squared_error"))
    data = samples()
    seeds = list(training.train(training.Engine(diverging, data, "cpu"), range(2), 1))
    text = records.to_json({"seeds": seeds})
    assert "NaN" not in text
    assert "Infinity" not in text
    for part in json.loads(text)["seeds"]:
        curve, first = part["curve"], part["first_non_finite_epoch"]
        assert curve["epoch"] == list(range(1, 10))
        assert 1 <= first <= 9
        assert all(value is not None for value in curve["loss"][: first - 1])
        assert all(value is None for value in curve["loss"][first - 1 :])
        for split, (_, y) in data.items():
            assert part["final"][split]["loss"] is None
            assert part["final"][split]["accuracy"] == pytest.approx((y == 0).mean(), abs=1e-6)  # as Keras says
            assert part["top_class_share"][split] == 1
        assert part["weight_norms"]["dense_1/kernel"] is None


def test_saturated_shares_of_known_weights(tensorflow, make_row):
    """Biases put units where they are wanted; samples in two batches, of which one revives a relu unit."""
    from stages.core.training import engine as training
    from stages.core.training import evaluation

    layers = [{"type": "dense", "units": 4, "activation": name} for name in ("sigmoid", "tanh", "relu", "softmax")]
    n = evaluation.BATCH + 10
    x = np.zeros((n, 6), np.float32)
    x[-1] = 1
    data = {"train": (x[:20], np.zeros(20, int)), "test": (x, np.zeros(n, int))}
    engine = training.Engine(make_row(layers=layers, training=budget(1)), data, "cpu")
    state = engine.start(0).state
    kernels = [np.zeros(w.shape, np.float32) for w in state.weights]
    weights = dict(zip(engine_paths(engine), kernels, strict=True))
    weights["dense_1/bias"][:] = [10, -10, 4, 0]  # of a sigmoid: 1, 0, 0.982 (not yet), 0.5
    weights["dense_1/kernel"][0, 3] = 10  # the last sample saturates the fourth unit, too
    weights["dense_2/bias"][:] = [3, -3, 2, 0]  # of a tanh: 0.995, -0.995, 0.964 (not yet), 0
    weights["dense_3/bias"][:] = [1, 0, -1, -0.5]  # of a relu: alive, dead, dead,
    weights["dense_2/kernel"][3, 3] = 0.2
    weights["dense_3/kernel"][3, 3] = 4  # and alive in the last sample: tanh(0.2) > 0.5 / 4, tanh(0.1) is not
    state = state._replace(weights=[tensorflow.constant(w) for w in kernels])
    (shares,) = engine.saturation(state)
    assert list(shares) == ["dense_1", "dense_2", "dense_3"]
    assert shares["dense_1"] == pytest.approx((2 * n + 1) / (4 * n))
    assert shares["dense_2"] == pytest.approx(0.5)
    assert shares["dense_3"] == pytest.approx(0.5)
    assert math.tanh(0.1) < 0.5 / 4 < math.tanh(0.2)
