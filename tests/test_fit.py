"""Rows that only Keras' own `fit` can train: the weights and figures of a `fit` by hand, on the same batches."""

import contextlib
import json

import numpy as np
import pytest

from stages import compose
from stages.core.config import code
from stages.core.records import recording, records

N, BATCH, EPOCHS = 37, 8, 3
LAYERS = [
    {"type": "dense", "units": 8, "activation": "relu", "regularized": True},
    {"type": "dense", "units": 3, "activation": "softmax"},
]
NONE, L2 = {"l1": 0.0, "l2": 0.0}, {"l1": 0.0, "l2": 0.02}
OPTIMIZERS = {
    "averages": ("SGD", {"learning_rate": 0.5, "use_ema": True, "ema_momentum": 0.8}),
    "averages that stay": ("SGD", {"learning_rate": 0.5, "use_ema": True, "ema_overwrite_frequency": 4}),
    "accumulation": ("Adam", {"learning_rate": 0.05, "gradient_accumulation_steps": 2}),
    "loss scale": ("RMSprop", {"learning_rate": 0.05, "loss_scale_factor": 8.0}),
    "schedule-free": ("ScheduleFreeAdamW", {"learning_rate": 0.05}),
}


@pytest.fixture
def fit_row(make_row):
    def make(name="averages", **training):
        kind, arguments = OPTIMIZERS[name]
        snake = {"ScheduleFreeAdamW": "schedule_free_adam_w", "RMSprop": "rmsprop"}.get(kind, kind.lower())
        return make_row(
            layers=LAYERS,
            dataset={"name": "t", "digest": "0" * 64, "shape": [6], "classes": 3, "scale": 2.0},
            regularizers={"kernel": L2, "bias": NONE, "activity": NONE},
            optimizer={"name": snake, **arguments},
            training={
                "loss": {"type": "sparse_categorical_crossentropy"},
                "batch_size": BATCH,
                "epochs": EPOCHS,
                "class_weight": {1: 3.0},
                **training,
            },
            seeds=2 if name == "averages" else 1,
        )

    return make


@pytest.fixture(scope="module")
def samples():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(N + 11, 6)).astype(np.float32), random.integers(0, 3, N + 11)
    return {"train": (x[:N], y[:N]), "test": (x[N:], y[N:])}


@pytest.fixture
def record(tensorflow, samples, tmp_path, monkeypatch):
    """What stage train writes of a row, in this process, which has TensorFlow already."""
    monkeypatch.setattr(recording.runtime, "prepare", lambda *_: "cpu")
    monkeypatch.setattr(recording.preload, "tensorflow", contextlib.nullcontext)
    monkeypatch.setattr(recording.programs, "take", lambda *_: False)
    monkeypatch.setattr(recording, "load", lambda row: samples)
    monkeypatch.setattr(recording, "CHECKPOINT_SECONDS", -1)
    return lambda row, folder=tmp_path: recording.record(row, "test/test", folder, {})


def by_hand(row, name, samples, seed):
    """Keras' weights and history of one `fit` an epoch order, from the engine's initial weights."""
    import keras

    from stages.core.training import models
    from stages.core.training.engine import batch_order

    kind, arguments = OPTIMIZERS[name]
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(8, "relu", kernel_regularizer=keras.regularizers.L2(0.02)),
         keras.layers.Dense(3, "softmax")]
    )  # fmt: skip
    model.set_weights(models.build(row, seed).get_weights())
    optimizer = getattr(keras.optimizers, kind)(**arguments)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    (x, y), (x_test, y_test) = samples["train"], samples["test"]

    def batches():
        for epoch in range(EPOCHS):
            order = batch_order(seed, epoch, N)
            for i in range(0, N, BATCH):
                batch = order[i : i + BATCH]
                yield x[batch] / 2, y[batch], np.where(y[batch] == 1, 3.0, 1.0)

    history = model.fit(
        batches(), epochs=EPOCHS, steps_per_epoch=-(-N // BATCH), verbose=0,
        validation_data=(x_test / 2, y_test),
    ).history  # fmt: skip
    return model, history


def some_long(names, short):
    return [pytest.param(name, marks=[] if name in short else [pytest.mark.long]) for name in names]


@pytest.mark.parametrize("name", some_long(OPTIMIZERS, {"averages", "accumulation", "schedule-free"}))
def test_the_record_is_what_fit_gives(fit_row, record, samples, name):
    row = fit_row(name)
    made = json.loads(records.to_json(record(row)))
    assert made["trained_by"] == "keras fit"
    for seed, part in enumerate(made["seeds"]):
        model, history = by_hand(row, name, samples, seed)
        for theirs, ours in (("loss",) * 2, ("accuracy",) * 2, ("val_loss",) * 2, ("val_accuracy",) * 2):
            np.testing.assert_allclose(part["curve"][ours], history[theirs], rtol=1e-3, atol=1e-4)
        kernels = [np.linalg.norm(w) for w in model.get_weights()[::2]]
        np.testing.assert_allclose([part["weight_norms"][f"dense_{i}/kernel"] for i in (1, 2)], kernels, rtol=1e-4)
        loss, accuracy = model.evaluate(samples["test"][0] / 2, samples["test"][1], verbose=0)
        np.testing.assert_allclose(part["final"]["test"]["loss"], loss, rtol=1e-3)
        np.testing.assert_allclose(part["final"]["test"]["accuracy"], accuracy, rtol=1e-3)
        np.testing.assert_allclose(
            np.add(part["curve"]["data_loss"], part["curve"]["penalty"]), part["curve"]["loss"], rtol=1e-5
        )
        assert min(part["curve"]["penalty"]) > 0.001


def test_it_goes_on_from_a_checkpoint_with_the_same_bits(fit_row, record, tmp_path, monkeypatch):
    row = fit_row()
    whole = records.to_json(record(row, tmp_path / "a"))
    write, written = recording.write_atomically, []

    def interrupt(path, content):
        write(path, content)
        written.append(path)
        if len(written) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(recording, "write_atomically", interrupt)
    with pytest.raises(KeyboardInterrupt):
        record(row, tmp_path / "b")
    assert records.to_json(record(row, tmp_path / "b")) == whole


def test_only_such_rows_depend_on_it_and_compose_says_so(fit_row, make_row, capsys):
    fit, other = fit_row(), make_row()
    assert code.parts(fit.model_dump()) == ["all", "fit"]
    assert code.parts(other.model_dump()) == ["all"]
    digests = code.digests(*code.read(), code.TRAIN)
    assert digests["fit"] != digests["all"]
    compose.say_slow({"s": {"a": fit, "b": other}})
    assert capsys.readouterr().out == "s/a: only Keras' own fit can train this; it is slower than other rows\n"
