"""What a row names is Keras' own: some steps on the same batches as Keras' `train_on_batch`, or epochs of Keras' `fit`.

The other side is written with Keras' constructors, by hand, so that a wrong name or a lost argument shows. Weights are
compared as in test_sameness.py. Everything runs without XLA, which takes longer to compile than this to train.
"""

import numpy as np
import pytest

TOLERANCE = 1e-4
N, BATCH, STEPS = 24, 8, 3  # of optimizers twice as many steps: schedules and averages change with them

SHAPES = {"vector": [6], "sequence": [8, 3], "image": [6, 6, 2], "volume": [4, 4, 4, 1], "words": [5], "grey": [6, 6]}
HEAD = [{"type": "flatten"}, {"type": "dense", "units": 3, "activation": "softmax"}]
SOFTMAX = {"type": "dense", "units": 3, "activation": "softmax"}


def dataset(kind="vector", classes=3, targets=1):
    described = {"name": "t", "digest": None, "shape": SHAPES[kind], "classes": classes, "scale": None}
    return described | ({"targets": targets} if targets > 1 else {})


def samples(row, n=N):
    """Inputs and targets as a data set has them: class numbers (n,) or values."""
    random = np.random.default_rng(0)
    shape, classes, k = tuple(row.dataset.shape), row.dataset.classes, row.dataset.targets
    words = shape == tuple(SHAPES["words"])
    x = random.integers(0, 7, (n, *shape)) if words else random.normal(size=(n, *shape))
    y = random.normal(size=(n, k)) if classes is None else random.integers(0, classes, (n, k))
    return x.astype(np.float32), y.astype(np.float32) if classes is None or k > 1 else y[:, 0]


def ours(row, x, y, steps):
    """Initial and final weights of the engine's net after so many steps, and what it counted in each."""
    import tensorflow as tf

    from stages.core.training.net import Net

    net = Net(row)
    net.update = net._update
    encoded = net.task.encode(y)
    state, sums = net.state(), []
    start = [w.numpy() for w in state.weights + state.others]
    for step in range(steps):
        batch = np.arange(step * BATCH, (step + 1) * BATCH) % len(x)
        state, more = net.step(
            state, tf.constant(x[batch]), tf.constant(encoded[batch]), tf.ones(row.dataset.classes or 1)
        )
        sums.append([float(value) / BATCH for value in more])
    return start, [w.numpy() for w in state.weights + state.others], np.array(sums), encoded


def theirs(layers, shape, optimizer, loss, start, x, encoded, steps):
    """Keras' weights after the same steps, from the same initial ones; its loss in each."""
    import keras

    model = layers if isinstance(layers, keras.Model) else keras.Sequential([keras.Input(shape), *layers])
    model.compile(optimizer, loss, run_eagerly=True)
    variables = model.trainable_variables + model.non_trainable_variables
    for variable, value in zip(variables, start, strict=True):
        variable.assign(value)
    losses = []
    for step in range(steps):
        batch = np.arange(step * BATCH, (step + 1) * BATCH) % len(x)
        model.reset_metrics()
        losses.append(float(model.train_on_batch(x[batch], encoded[batch])))
    return [np.asarray(variable) for variable in variables], losses


def assert_alike(row, layers, optimizer, loss, steps=STEPS):
    x, y = samples(row)
    start, weights, sums, encoded = ours(row, x, y, steps)
    expected, losses = theirs(layers, row.dataset.shape, optimizer, loss, start, x, encoded, steps)
    moved = max(np.abs(a - b).max() for a, b in zip(start, expected, strict=True))
    assert moved > 50 * TOLERANCE  # so that standing still is no sameness
    for a, b in zip(weights, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=TOLERANCE * max(1.0, np.abs(b).max()), rtol=0)
    np.testing.assert_allclose(sums[:, 0] + sums[:, 1], losses, rtol=1e-3)


SGD = {"name": "sgd", "learning_rate": 0.1}

# --- layers: as a row has them, the shape of a sample, and as Keras' constructors -----------------------------------

LAYERS = {
    "conv1d": ("sequence", [{"type": "conv1d", "filters": 4, "kernel_size": 3, "activation": "relu"}],
               lambda k: [k.Conv1D(4, 3, activation="relu")]),
    "strides": ("image", [{"type": "conv2d", "filters": 3, "kernel_size": [3, 2], "strides": 2, "use_bias": False}],
                lambda k: [k.Conv2D(3, (3, 2), strides=2, use_bias=False)]),
    "dilated": ("image", [{"type": "conv2d", "filters": 3, "kernel_size": 2, "dilation_rate": 2, "padding": "same"}],
                lambda k: [k.Conv2D(3, 2, dilation_rate=2, padding="same")]),
    "separable": ("image", [{"type": "separable_conv2d", "filters": 3, "kernel_size": 3, "depth_multiplier": 2}],
                  lambda k: [k.SeparableConv2D(3, 3, depth_multiplier=2)]),
    "depthwise": ("image", [{"type": "depthwise_conv2d", "kernel_size": 3}], lambda k: [k.DepthwiseConv2D(3)]),
    "transposed": ("image", [{"type": "conv2d_transpose", "filters": 2, "kernel_size": 3, "strides": 2}],
                   lambda k: [k.Conv2DTranspose(2, 3, strides=2)]),
    "conv3d": ("volume", [{"type": "conv3d", "filters": 2, "kernel_size": 2}, {"type": "max_pooling3d"}],
               lambda k: [k.Conv3D(2, 2), k.MaxPooling3D()]),
    "grey images": ("grey", [{"type": "reshape", "target_shape": [6, 6, 1]},
                             {"type": "conv2d", "filters": 2, "kernel_size": 3}],
                    lambda k: [k.Reshape((6, 6, 1)), k.Conv2D(2, 3)]),
    "lstm": ("sequence", [{"type": "lstm", "units": 4, "return_sequences": True}, {"type": "gru", "units": 3}],
             lambda k: [k.LSTM(4, return_sequences=True), k.GRU(3)]),
    "rnn": ("sequence", [{"type": "bidirectional", "layer": {"type": "simple_rnn", "units": 3}}],
            lambda k: [k.Bidirectional(k.SimpleRNN(3))]),
    "embedding": ("words", [{"type": "embedding", "input_dim": 7, "output_dim": 3}], lambda k: [k.Embedding(7, 3)]),
    "attention": ("words", [{"type": "embedding", "input_dim": 7, "output_dim": 3, "mask_zero": True},
                            {"type": "lstm", "units": 4}],
                  lambda k: [k.Embedding(7, 3, mask_zero=True), k.LSTM(4)]),
    "layer norm": ("vector", [{"type": "dense", "units": 5}, {"type": "layer_normalization", "epsilon": 0.01}],
                   lambda k: [k.Dense(5), k.LayerNormalization(epsilon=0.01)]),
    "batch norm": ("vector", [{"type": "dense", "units": 5}, {"type": "batch_normalization", "momentum": 0.7}],
                   lambda k: [k.Dense(5), k.BatchNormalization(momentum=0.7)]),
    "group norm": ("image", [{"type": "group_normalization", "groups": 2}], lambda k: [k.GroupNormalization(2)]),
    "rms norm": ("vector", [{"type": "rms_normalization"}], lambda k: [k.RMSNormalization()]),
    "leaky relu": ("vector", [{"type": "dense", "units": 5}, {"type": "leaky_relu", "negative_slope": 0.2}],
                   lambda k: [k.Dense(5), k.LeakyReLU(negative_slope=0.2)]),
    "elu, prelu": ("vector", [{"type": "dense", "units": 5, "activation": "elu"}, {"type": "prelu"}],
                   lambda k: [k.Dense(5, activation="elu"), k.PReLU()]),
    "time distributed": ("sequence", [{"type": "time_distributed", "layer": {"type": "dense", "units": 2}}],
                         lambda k: [k.TimeDistributed(k.Dense(2))]),
    "zero padding": ("image", [{"type": "zero_padding2d", "padding": 1}, {"type": "cropping2d", "cropping": 2},
                               {"type": "up_sampling2d"}],
                     lambda k: [k.ZeroPadding2D(1), k.Cropping2D(2), k.UpSampling2D()]),
    **{f"{kind} {n}d": (shape, [{"type": f"{kind}_pooling{n}d", "pool_size": 2}],
                        lambda k, n=n, kind=kind: [getattr(k, f"{kind.title()}Pooling{n}D")(2)])
       for n, shape in ((1, "sequence"), (2, "image"), (3, "volume")) for kind in ("max", "average")},
    **{f"global {kind} {n}d": (shape, [{"type": f"global_{kind}_pooling{n}d"}],
                               lambda k, n=n, kind=kind: [getattr(k, f"Global{kind.title()}Pooling{n}D")()])
       for n, shape in ((1, "sequence"), (2, "image"), (3, "volume")) for kind in ("max", "average")},
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_layers(tensorflow, make_row, name):
    import keras

    kind, layers, reference = LAYERS[name]
    row = make_row(dataset=dataset(kind), layers=[*layers, *HEAD], optimizer=SGD)
    head = [keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")]
    assert_alike(
        row, [*reference(keras.layers), *head], keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy()
    )


# --- optimizers -----------------------------------------------------------------------------------------------------

EPSILON = {"epsilon": 1e-3}  # so that rounding errors of gradients near 0 are not blown up
SCHEDULES = {
    "cosine_decay": {"initial_learning_rate": 0.05, "decay_steps": 5},
    "exponential_decay": {"initial_learning_rate": 0.05, "decay_steps": 2, "decay_rate": 0.5},
    "piecewise_constant_decay": {"boundaries": [2, 4], "values": [0.1, 0.05, 0.01]},
}
OPTIMIZERS = {
    "nesterov": ("SGD", {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True}),
    "sgd weight decay, clipnorm": ("SGD", {"learning_rate": 0.3, "weight_decay": 0.05, "clipnorm": 0.1}),
    "global clipnorm": ("Adam", {"learning_rate": 0.02, "global_clipnorm": 0.1, **EPSILON}),
    "clipvalue": ("SGD", {"learning_rate": 0.3, "clipvalue": 0.01}),
    "adam weight decay": ("Adam", {"learning_rate": 0.02, "weight_decay": 0.05, **EPSILON}),
    "amsgrad": ("Adam", {"learning_rate": 0.02, "amsgrad": True, **EPSILON}),
    "centered": ("RMSprop", {"learning_rate": 0.02, "centered": True, "momentum": 0.5, **EPSILON}),
    **{name.lower(): (name, {"learning_rate": 0.02, **EPSILON})
       for name in ("Adam", "AdamW", "Adamax", "Nadam", "Adagrad", "Adadelta", "RMSprop", "Lamb")},
    "adadelta fast": ("Adadelta", {"learning_rate": 10.0, **EPSILON}),
    "adafactor": ("Adafactor", {"learning_rate": 0.02, "epsilon_1": 1e-3}),
    "ftrl": ("Ftrl", {"learning_rate": 0.1}),
    "lion": ("Lion", {"learning_rate": 0.02}),
    "muon": ("Muon", {"learning_rate": 0.02}),
    **{name: ("SGD", {"learning_rate": {"type": name, **arguments}}) for name, arguments in SCHEDULES.items()},
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(tensorflow, make_row, name):
    import keras

    kind, arguments = OPTIMIZERS[name]
    row = make_row(dataset=dataset(), layers=[SOFTMAX], optimizer={"name": kind.lower(), **arguments})
    rate = arguments["learning_rate"]
    if isinstance(rate, dict):
        schedule = "".join(word.title() for word in rate["type"].split("_"))
        rest = {key: value for key, value in rate.items() if key != "type"}
        arguments = {"learning_rate": getattr(keras.optimizers.schedules, schedule)(**rest)}
    optimizer = getattr(keras.optimizers, kind)(**arguments)
    layers = [keras.layers.Dense(3, activation="softmax")]
    assert_alike(row, layers, optimizer, "sparse_categorical_crossentropy", steps=2 * STEPS)


# --- losses ---------------------------------------------------------------------------------------------------------

LOSSES = {  # the loss, the last layer's units and activation, classes, targets
    "binary crossentropy": ("binary_crossentropy", 1, "sigmoid", 2, 1, lambda k: "binary_crossentropy"),
    "logits": ({"type": "binary_crossentropy", "from_logits": True}, 1, "linear", 2, 1,
               lambda k: k.BinaryCrossentropy(from_logits=True)),
    "labels": ({"type": "binary_crossentropy", "label_smoothing": 0.1}, 4, "sigmoid", 2, 4,
               lambda k: k.BinaryCrossentropy(label_smoothing=0.1)),
    "focal": ("binary_focal_crossentropy", 1, "sigmoid", 2, 1, lambda k: k.BinaryFocalCrossentropy()),
    "smoothing": ({"type": "categorical_crossentropy", "label_smoothing": 0.2}, 3, "softmax", 3, 1,
                  lambda k: k.CategoricalCrossentropy(label_smoothing=0.2)),
    "hinge": ("hinge", 1, "tanh", 2, 1, lambda k: k.Hinge()),
    "categorical hinge": ("categorical_hinge", 3, "linear", 3, 1, lambda k: k.CategoricalHinge()),
    "mae": ("mae", 2, "linear", None, 2, lambda k: "mae"),
    "huber": ({"type": "huber", "delta": 0.3}, 2, "linear", None, 2, lambda k: k.Huber(delta=0.3)),
    "log-cosh": ("log_cosh", 1, "linear", None, 1, lambda k: k.LogCosh()),
    "poisson": ("poisson", 3, "softplus", 3, 1, lambda k: k.Poisson()),
    "kl": ("kl_divergence", 3, "softmax", 3, 1, lambda k: k.KLDivergence()),
    "cosine": ("cosine_similarity", 3, "linear", None, 3, lambda k: k.CosineSimilarity()),
    "dice": ("dice", 3, "softmax", 3, 1, lambda k: k.Dice()),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_losses(tensorflow, make_row, name):
    import keras

    loss, units, activation, classes, targets, reference = LOSSES[name]
    row = make_row(
        dataset=dataset(classes=classes, targets=targets),
        layers=[{"type": "dense", "units": units, "activation": activation}],
        optimizer=SGD,
        training={"loss": loss, "batch_size": BATCH, "epochs": 2},
    )
    layers = [keras.layers.Dense(units, activation=activation)]
    assert_alike(row, layers, keras.optimizers.SGD(0.1), reference(keras.losses))


# --- regularizers, constraints, initializers, a graph ---------------------------------------------------------------

OBJECTS = {
    "of one layer": ({"kernel_regularizer": {"l1": 0.01, "l2": 0.02}},
                     lambda k: {"kernel_regularizer": k.regularizers.L1L2(0.01, 0.02)}),
    "by name": ({"bias_regularizer": "l2", "bias_initializer": "ones"},
                lambda k: {"bias_regularizer": k.regularizers.L2(0.01)}),
    "of outputs": ({"activity_regularizer": {"type": "l1", "l1": 0.05}},
                   lambda k: {"activity_regularizer": k.regularizers.L1(0.05)}),
    "orthogonal": ({"kernel_regularizer": {"type": "orthogonal_regularizer", "factor": 0.1, "mode": "columns"}},
                   lambda k: {"kernel_regularizer": k.regularizers.OrthogonalRegularizer(0.1, "columns")}),
    "max norm": ({"kernel_constraint": {"type": "max_norm", "max_value": 0.5}},
                 lambda k: {"kernel_constraint": k.constraints.MaxNorm(0.5)}),
    "unit norm": ({"kernel_constraint": "unit_norm", "bias_constraint": "non_neg"},
                  lambda k: {"kernel_constraint": k.constraints.UnitNorm(), "bias_constraint": k.constraints.NonNeg()}),
}  # fmt: skip


@pytest.mark.parametrize("name", OBJECTS)
def test_regularizers_and_constraints_of_one_layer(tensorflow, make_row, name):
    import keras

    arguments, reference = OBJECTS[name]
    row = make_row(dataset=dataset(), layers=[{"type": "dense", "units": 5, **arguments}, SOFTMAX], optimizer=SGD)
    layers = [keras.layers.Dense(5, **reference(keras)), keras.layers.Dense(3, activation="softmax")]
    assert_alike(row, layers, keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")


def branching():
    import keras

    inputs = keras.Input((6,))
    left = keras.layers.Dense(4, activation="relu", kernel_regularizer="l2")(inputs)
    right = keras.layers.Dense(4, activation="tanh", activity_regularizer=keras.regularizers.L1(0.01))(inputs)
    both = keras.layers.Concatenate()([keras.layers.Add()([left, right]), left])
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(both))


def test_a_graph_from_json(tensorflow, make_row):
    import json

    import keras

    from stages.core.training import models, nets

    model = branching()
    row = make_row(dataset=dataset(), layers=None, keras=json.loads(model.to_json()), optimizer=SGD)
    assert nets.check(row) == {"outputs": [3], "parameters": model.count_params()}
    assert_alike(row, model, keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    kernels = [models.build(row, seed).trainable_variables[0].numpy() for seed in (0, 0, 1)]
    assert np.array_equal(kernels[0], kernels[1]) and not np.array_equal(kernels[0], kernels[2])
    assert len(set(models.paths(model))) == len(model.trainable_variables)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("config", "layers", 1), {"module": "keras.layers", "class_name": "Lambda", "config": {"name": "x"}}),
        (("config", "layers", 1, "module"), "os"),
        (("config", "layers", 1, "registered_name"), "mine>Dense"),
        (("config", "layers", 1, "config", "activation"),
         {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}),
        (("module",), "builtins"),
    ],
)  # fmt: skip
def test_a_graph_cannot_run_code(tensorflow, make_row, path, value):
    import json

    from stages.core.training import nets

    net = json.loads(branching().to_json())
    place = net
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ValueError, match="not allowed"):
        nets.check(make_row(dataset=dataset(), layers=None, keras=net))


def test_a_penalty_that_the_engine_would_ignore_is_refused(tensorflow, make_row, monkeypatch):
    from stages.core.training import nets, penalties

    layer = {"type": "dense", "units": 5, "kernel_regularizer": {"type": "orthogonal_regularizer"}}
    row = make_row(dataset=dataset(), layers=[layer, SOFTMAX])
    assert nets.check(row)["outputs"] == [3]
    monkeypatch.setattr(penalties, "value", lambda regularizers, weights: 0.0)
    with pytest.raises(ValueError, match="regularizers: Keras' penalty"):
        nets.check(row)


# --- whole trainings: class weights, callbacks ----------------------------------------------------------------------

BUDGET = {"loss": "sparse_categorical_crossentropy", "batch_size": BATCH, "epochs": 12, "shuffle": False}
FITS = {
    "class weights": {"class_weight": {0: 3.0, 2: 0.2}},
    "early stopping": {"early_stopping": {"monitor": "val_loss", "patience": 1}},
    "best weights": {"early_stopping": {"monitor": "val_accuracy", "patience": 2, "restore_best_weights": True}},
    "plateau": {"reduce_lr_on_plateau": {"monitor": "val_loss", "factor": 0.3, "patience": 1, "min_delta": 0.05}},
}


@pytest.mark.parametrize("name", FITS)
def test_fit(tensorflow, make_row, name):
    """The engine's epochs against Keras' `fit` in the samples' own order, until it stops."""
    import keras

    from stages.core.training import engine as training

    row = make_row(
        dataset=dataset(),
        layers=[{"type": "dense", "units": 8, "activation": "relu"}, SOFTMAX],
        optimizer={"name": "sgd", "learning_rate": 0.5},
        training={"loss": "sparse_categorical_crossentropy", "batch_size": BATCH, "epochs": 12, "shuffle": False}
        | FITS[name],
    )
    (x, y), (x_test, y_test) = samples(row), samples(row, 31)
    x_test, y_test = x_test[N:], y_test[N:]
    engine = training.Engine(row, {"train": (x, y), "test": (x_test, y_test)}, "cpu")
    engine.net.update = engine.net._update
    for program in ("train", "evaluate"):
        setattr(engine.programs, program, tensorflow.function(getattr(engine.programs, f"_{program}"), autograph=False))
    progress = engine.start(0)
    start = [w.numpy() for w in progress.state.weights]
    while not engine.done(progress):
        engine.advance([progress])

    arguments = {key: value for key, value in FITS[name].items() if key == "class_weight"}
    callbacks = [keras.callbacks.EarlyStopping(**FITS[name].get("early_stopping", {"monitor": "loss", "patience": 99}))]
    if "reduce_lr_on_plateau" in FITS[name]:
        callbacks.append(keras.callbacks.ReduceLROnPlateau(**FITS[name]["reduce_lr_on_plateau"]))
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(3, "softmax")])
    model.set_weights(start)
    model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    history = model.fit(
        x,
        y,
        BATCH,
        epochs=12,
        shuffle=False,
        validation_data=(x_test, y_test),
        callbacks=callbacks,
        verbose=0,
        **arguments,
    )
    epochs = len(history.epoch)
    assert progress.epoch == epochs and progress.stopped == (epochs < 12)
    assert (epochs < 12) == ("early_stopping" in FITS[name])
    for a, b in zip(progress.state.weights, model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=TOLERANCE * max(1.0, np.abs(b).max()), rtol=0)
    for quantity in ("loss", "accuracy", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(progress.curve[quantity][:epochs], history.history[quantity], rtol=1e-3, atol=1e-6)
    assert progress.curve["epoch"] == list(range(1, 13))  # a stopped seed stays where it is
    if "reduce_lr_on_plateau" in FITS[name]:
        assert float(model.optimizer.learning_rate) < 0.4
        assert float(progress.state.optimizer[1]) == pytest.approx(float(model.optimizer.learning_rate))
