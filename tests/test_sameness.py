"""The engine is the same mathematics as Keras: after some epochs its weights are those of Keras' own `train_on_batch`.

Both add the same float32 products in other orders, so each step differs by about 2^-23 of a weight's update; Adam and
RMSprop divide by the gradient's size, which turns a rounding error of a gradient near 0 into one of the step's own
size. Over the 15 steps here 1e-4 of the largest weight is far above that, and far below what a wrong formula gives
(checked by `test_a_wrong_formula_would_be_seen`).

XLA takes seconds to compile a row, so few rows run as a training runs them; the others, and Keras, run the same
operations without it.
"""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TOLERANCE = 1e-4
N = 37  # 4 batches of 8 and a partial one of 5

OPTIMIZERS = {
    "sgd": {"name": "sgd", "learning_rate": 0.05, "momentum": 0.0},
    "momentum": {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9},
    "rmsprop": {"name": "rmsprop", "learning_rate": 0.002, "rho": 0.9, "momentum": 0.0, "epsilon": 1e-5},
    "rmsprop_momentum": {"name": "rmsprop", "learning_rate": 0.002, "rho": 0.9, "momentum": 0.8, "epsilon": 1e-5},
    "adam": {"name": "adam", "learning_rate": 0.002, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-5},
    "adamw": {
        "name": "adamw", "learning_rate": 0.002, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-5, "weight_decay": 0.05,
    },
}  # fmt: skip
COMPILED = ("adam", "rmsprop_momentum")
PENALTIES = {"none": (0.0, 0.0), "l1": (0.01, 0.0), "l2": (0.0, 0.02), "l1_l2": (0.01, 0.02)}
PLACES = ("kernel", "bias", "activity")
KINDS = ("l1", "l2", "l1_l2")
SQUARE = [KINDS, KINDS[1:] + KINDS[:1], KINDS[2:] + KINDS[:2]]  # every kind once on every place
NORMALIZED = [
    {"type": "dense", "units": 12, "activation": "relu", "regularized": True},
    {"type": "batch_normalization"},
    {"type": "dense", "units": 4, "activation": "softmax"},
]
CONVOLUTIONS = [
    {"type": "conv2d", "filters": 4, "kernel_size": 3, "padding": "same", "activation": "relu", "regularized": True},
    {"type": "batch_normalization"},
    {"type": "max_pooling2d", "pool_size": 2},
    {"type": "flatten"},
    {"type": "dense", "units": 8, "activation": "sigmoid", "regularized": True},
    {"type": "batch_normalization"},
    {"type": "dense", "units": 4, "activation": "softmax"},
]
IMAGES = {"name": "t", "shape": [6, 6, 3], "classes": 4, "scale": 255.0}


def samples(row, n=N):
    random = np.random.default_rng(0)
    shape = tuple(row.dataset.shape)
    if row.dataset.scale is None:
        x = random.normal(size=(n, *shape)).astype(np.float32)
    else:
        x = random.integers(0, 256, (n, *shape)).astype(np.uint8)
    y = random.integers(0, row.dataset.classes, n) if row.dataset.classes else random.normal(size=n).astype(np.float32)
    return {"train": (x, y), "test": (x[:11], y[:11])}


def build_engine(row, lanes=1, xla=True):
    """An engine; with XLA, what evaluates is compiled where several seeds share a program, else in test_training."""
    from plain import evaluated_without_xla, without_xla

    from stages.core.training import engine as training

    engine = training.Engine(row, samples(row), "cpu", lanes)
    if not xla:
        return without_xla(engine)
    return evaluated_without_xla(engine) if lanes == 1 else engine


def trained(engine, seeds):
    """Weights of `seeds` after the row's epochs, and the seeds' progress."""
    progress = [engine.start(seed) for seed in seeds]
    while progress[0].epoch < engine.row.training.epochs:
        engine.advance(progress)
    return [[np.asarray(w) for w in p.state.weights + p.state.others] for p in progress], progress


def engine_weights(row, xla=True):
    (weights,), (progress,) = trained(build_engine(row, xla=xla), [0])
    return weights, progress


def keras_weights(row, seed=0):
    """The row as a document would write it: compile, train_on_batch on the same batches, Keras' own everything."""
    from stages.core.training import engine as training
    from stages.core.training import models, optimizers

    model = models.build(row, seed)
    metric = "mae" if row.dataset.classes is None else "accuracy"
    model.compile(optimizers.keras_optimizer(row.optimizer), row.training.loss, metrics=[metric], run_eagerly=True)
    x, y = samples(row)["train"]
    x = x.astype(np.float32) if row.dataset.scale is None else (x / row.dataset.scale).astype(np.float32)
    if row.training.loss != "sparse_categorical_crossentropy":
        y = np.eye(row.dataset.classes, dtype=np.float32)[y] if row.dataset.classes else y[:, None]
    for epoch in range(row.training.epochs):
        order = training.batch_order(seed, epoch, len(x))
        logs = dict.fromkeys(("loss", metric), 0.0)  # means over the epoch, as `fit` prints them
        for start in range(0, len(x), row.training.batch_size):
            batch = order[start : start + row.training.batch_size]
            model.reset_metrics()
            for name, value in model.train_on_batch(x[batch], y[batch], return_dict=True).items():
                logs[name] += float(value) * len(batch) / len(x)
    return [np.asarray(v) for v in model.trainable_variables + model.non_trainable_variables], logs


def assert_same(ours, keras):
    for a, b in zip(ours, keras, strict=True):
        np.testing.assert_allclose(a, b, atol=TOLERANCE * max(1.0, np.abs(b).max()), rtol=0)


def penalized(**kinds):
    """Regularizers of a row: for each place the kind of its penalty, none by default."""
    names = {place: kinds.get(place, "none") for place in PLACES}
    return {place: dict(zip(("l1", "l2"), PENALTIES[kind], strict=True)) for place, kind in names.items()}


def assert_trained_alike(row, xla):
    ours, progress = engine_weights(row, xla=xla)
    keras, logs = keras_weights(row)
    assert_same(ours, keras)
    assert progress.curve["loss"][-1] == pytest.approx(logs["loss"], rel=1e-3)
    assert progress.curve["accuracy"][-1] == pytest.approx(logs["accuracy"], abs=1e-6)


def combinations():
    """Every optimizer with every line of the square; by default each once, and every penalty on every place.

    That one is also compiled by XLA, by default of the two optimizers with most to get wrong.
    """
    for (i, optimizer), (j, kinds) in itertools.product(enumerate(OPTIMIZERS), enumerate(SQUARE)):
        once = i % len(SQUARE) == j
        for xla in (False, True) if once else (False,):
            by_default = once and xla == (optimizer in COMPILED)
            marks = [] if by_default else [pytest.mark.long]
            name = f"{optimizer}-{'-'.join(kinds)}{'-xla' * xla}"
            yield pytest.param(optimizer, kinds, xla, id=name, marks=marks)


@pytest.mark.parametrize(("optimizer", "kinds", "xla"), list(combinations()))
def test_every_optimizer_with_every_kind_of_penalty_on_every_place(tensorflow, make_row, optimizer, kinds, xla):
    regularizers = penalized(**dict(zip(PLACES, kinds, strict=True)))
    row = make_row(layers=NORMALIZED, optimizer=OPTIMIZERS[optimizer], regularizers=regularizers)
    assert_trained_alike(row, xla)


@pytest.mark.parametrize("penalties", [{}, *({place: "l1_l2"} for place in PLACES)], ids=str)
def test_no_penalty_and_penalties_on_one_place(tensorflow, make_row, penalties):
    assert_trained_alike(make_row(optimizer=OPTIMIZERS["sgd"], regularizers=penalized(**penalties)), xla=False)


@pytest.mark.parametrize("optimizer", [pytest.param("momentum", marks=pytest.mark.long), "adam"])
def test_batch_norm_and_convolutions(tensorflow, make_row, optimizer):
    row = make_row(
        dataset=IMAGES,
        layers=CONVOLUTIONS,
        optimizer=OPTIMIZERS[optimizer],
        regularizers=penalized(kernel="l2"),
        training={"loss": "categorical_crossentropy", "batch_size": 8, "epochs": 3},
    )
    ours, _ = engine_weights(row)
    assert_same(ours, keras_weights(row)[0])


def test_regression_and_mse_on_one_hot(tensorflow, make_row):
    table = {"name": "t", "shape": [6], "classes": None, "scale": None}
    layers = [
        {"type": "dense", "units": 5, "activation": "tanh"},
        {"type": "dense", "units": 1, "activation": "linear"},
    ]
    budget = {"loss": "mean_squared_error", "batch_size": 8, "epochs": 3}
    for row in (make_row(dataset=table, layers=layers, training=budget), make_row(training=budget)):
        ours, progress = engine_weights(row, xla=False)
        keras, logs = keras_weights(row)
        assert_same(ours, keras)
        assert progress.curve[row.metric][-1] == pytest.approx(logs[row.metric], rel=1e-4)


@settings(max_examples=3, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_net(tensorflow, make_row, data):
    """Depth, widths, activations, penalties on all places at once, optimizer and batch size drawn at random."""
    dense = st.fixed_dictionaries(
        {
            "type": st.just("dense"),
            "units": st.integers(1, 9),
            "activation": st.sampled_from(["relu", "sigmoid", "tanh", "linear"]),
            "regularized": st.booleans(),
        }
    )
    hidden = data.draw(st.lists(dense, max_size=3))
    coefficient = st.sampled_from([0.0, 1e-4, 0.03])
    penalty = st.fixed_dictionaries({"l1": coefficient, "l2": coefficient})
    penalties = penalized()
    if any(layer["regularized"] for layer in hidden):
        penalties = {place: data.draw(penalty) for place in PLACES}
    row = make_row(
        layers=[*hidden, {"type": "dense", "units": 4, "activation": "softmax"}],
        regularizers=penalties,
        optimizer=OPTIMIZERS[data.draw(st.sampled_from(sorted(OPTIMIZERS)))],
        training={
            "loss": data.draw(st.sampled_from(["sparse_categorical_crossentropy", "categorical_crossentropy"])),
            "batch_size": data.draw(st.integers(3, 40)),
            "epochs": 2,
        },
    )
    ours, _ = engine_weights(row, xla=False)
    assert_same(ours, keras_weights(row)[0])


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.lists(st.integers(1, 70), min_size=1, max_size=3), st.sampled_from(KINDS), st.integers(0, 2**31))
def test_a_penalty_is_the_sum_over_all_of_a_weight(shape, kind, seed):
    import tensorflow as tf

    from stages.core.training import penalties

    w = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    l1, l2 = PENALTIES[kind]
    regularizers = [penalties.L1L2(l1, l2), None]
    exact = l1 * np.abs(w.astype(np.float64)).sum() + l2 * (w.astype(np.float64) ** 2).sum()
    weights = [tf.constant(w), tf.constant(w)]
    assert float(penalties.value(regularizers, weights)) == pytest.approx(exact, rel=1e-6)
    assert float(regularizers[0](w)) == pytest.approx(exact, rel=1e-5)
    gradient, none = penalties.gradients(regularizers, weights)
    np.testing.assert_allclose(gradient, l1 * np.sign(w) + 2 * l2 * w, rtol=1e-6)
    assert none is None


@pytest.mark.parametrize("wrong", [{"epsilon": 1e-3}, {"beta_2": 0.99}, {"learning_rate": 0.0021}])
def test_a_wrong_formula_would_be_seen(tensorflow, make_row, wrong):
    ours, _ = engine_weights(make_row(optimizer=OPTIMIZERS["adam"] | wrong), xla=False)
    with pytest.raises(AssertionError):
        assert_same(ours, keras_weights(make_row(optimizer=OPTIMIZERS["adam"]))[0])


@pytest.mark.parametrize(("convolutions", "xla"), [pytest.param(True, False, marks=pytest.mark.long), (False, True)])
def test_seeds_on_one_axis_equal_seeds_one_by_one(tensorflow, make_row, convolutions, xla):
    row = make_row(
        regularizers=penalized(kernel="l1_l2"), **({"dataset": IMAGES, "layers": CONVOLUTIONS} if convolutions else {})
    )
    together, progress = trained(build_engine(row, lanes=3, xla=xla), range(3))
    single = build_engine(row, xla=False)
    for seed, (ours, p) in enumerate(zip(together, progress, strict=True)):
        (alone,), (q,) = trained(single, [seed])
        assert_same(ours, alone)
        assert p.curve["val_accuracy"] == pytest.approx(q.curve["val_accuracy"], abs=1e-6)


def test_dropout_by_its_rate_scaling_and_independence(tensorflow, make_row):
    """One dense layer of ones behind dropout shows the mask itself: its rate, its scaling, no two alike."""
    from stages.core.training import models

    rate, units = 0.3, 4000
    layers = [
        {"type": "dropout", "rate": rate},
        {"type": "dense", "units": 4, "activation": "softmax"},
    ]
    dataset = {"name": "t", "shape": [units], "classes": 4, "scale": None}
    row = make_row(layers=layers, dataset=dataset)
    masks = []
    for seed in (0, 1):
        model = models.build(row, seed)
        state = [v.value for v in model.non_trainable_variables]
        for _ in range(2):
            out, state = model.layers[0].stateless_call([], state, np.ones((1, units), np.float32), training=True)
            masks.append(np.asarray(out)[0])
    for mask in masks:
        values = np.unique(mask)
        np.testing.assert_allclose(values, [0, 1 / (1 - rate)], rtol=1e-6)
        assert (mask == 0).mean() == pytest.approx(rate, abs=5 * (rate * (1 - rate) / units) ** 0.5)
    for a, b in itertools.combinations(masks, 2):  # other seeds, other steps: independent masks
        assert np.corrcoef(a, b)[0, 1] == pytest.approx(0, abs=5 / units**0.5)


def test_dropout_moves_on_inside_the_compiled_program(tensorflow, make_row):
    """The dropout seeds come back advanced by one draw for each step, as in Keras."""
    layers = [
        {"type": "dense", "units": 8, "activation": "relu"},
        {"type": "dropout", "rate": 0.5},
        {"type": "dense", "units": 4, "activation": "softmax"},
    ]
    row = make_row(layers=layers)
    ours, _ = engine_weights(row)
    keras, _ = keras_weights(row)
    np.testing.assert_array_equal(ours[-1], keras[-1])
    assert ours[-1][1] == 15
