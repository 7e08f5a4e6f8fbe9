"""A repair as changes of the user's own lines."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from made import case, dense

from stages.core.why import edits
from stages.core.why.edits import Edit, as_diff, with_argument
from stages.core.why.interventions import CAUSES, Change, apply
from stages.core.why.record import Source
from stages.core.why.setup import Data
from stages.core.why.trial import Case

ADAM = Change("optimizer", ("Adam", 0.001))
GAPS = np.array([[1.0, np.nan], [3.0, 10.0], [np.inf, 30.0], [9.0, 20.0], [5.0, 40.0], [4.0, 40.0]], np.float32)
VALUES = np.array([3.0, -7.0, 40.0, 11.0, 8.0, 2.0], np.float32)


@pytest.mark.parametrize(
    ("call", "key", "value", "expected"),
    [
        ("Dense(1, activation='softmax')", "activation", "'sigmoid'", "Dense(1, activation='sigmoid')"),
        ("Dense(1, 'softmax')", "activation", "'sigmoid'", "Dense(1, 'sigmoid')"),
        ("Dense(1)", "activation", "'sigmoid'", "Dense(1, activation='sigmoid')"),
        ("layers.Dense(units = 1)", "units", "3", "layers.Dense(units = 3)"),
        ("Dense(output_dim=1, init='uniform')", "units", "3", "Dense(output_dim=3, init='uniform')"),
        ("Activation('softmax')", "activation", "'sigmoid'", "Activation('sigmoid')"),
        ("Dropout(0.9)", "rate", "0.0", "Dropout(0.0)"),
        ("Dense(8, W_regularizer=l2(0.1))", "kernel_regularizer", "None", "Dense(8, W_regularizer=None)"),
        ("BatchNormalization()", "momentum", "0.9", "BatchNormalization(momentum=0.9)"),
        ("model.fit(x, y, nb_epoch=10)", "epochs", "50", "model.fit(x, y, nb_epoch=50)"),
        ("model.compile('sgd', 'mse')", "loss", "'mae'", "model.compile('sgd', 'mae')"),
        (
            "Dense(\n    1,  # ünits\n    activation='relu',\n)",
            "activation",
            "None",
            "Dense(\n    1,  # ünits\n    activation=None,\n)",
        ),
        ("Dense(8,)", "activation", "'relu'", "Dense(8, activation='relu')"),
        ("layers.LeakyReLU(0.1)", "", "tf.keras.layers.Activation", "tf.keras.layers.Activation()"),
        ("model", "activation", "'relu'", "model"),
        ("model.fit(x, y, 32, 100)", "epochs", "500", "model.fit(x, y, 32, 500)"),
        ("model.fit(x, y, 32, 100)", "batch_size", "8", "model.fit(x, y, 8, 100)"),
        ("model.fit_generator(flow, 10, 5)", "epochs", "50", "model.fit_generator(flow, 10, 50)"),
        ("model.fit(x, y, **words)", "epochs", "50", "model.fit(x, y, **words)"),
        ("model.fit(*both)", "epochs", "50", "model.fit(*both)"),
        ("model.fit((x), (y))", "epochs", "50", "model.fit((x), (y), epochs=50)"),
        (
            "model.fit(\n    x, y, epochs=10,  # ten\n)",
            "batch_size",
            "32",
            "model.fit(\n    x, y, epochs=10, batch_size=32  # ten\n)",
        ),
        (
            "model.fit(\n    x, y, epochs=10  # ten, (as before)\n)",
            "batch_size",
            "32",
            "model.fit(\n    x, y, epochs=10, batch_size=32  # ten, (as before)\n)",
        ),
        (
            "net.compile('mse', optimizer=SGD())",
            "optimizer",
            "keras.optimizers.Adam(learning_rate=1)",
            "net.compile('mse', optimizer=keras.optimizers.Adam(learning_rate=1))",
        ),
        ("Dense(1", "activation", "'relu'", "Dense(1"),
    ],
)
def test_one_argument_of_a_call_is_set(call, key, value, expected):
    assert with_argument(call, key, value) == expected


@pytest.mark.parametrize(
    ("call", "change", "expected"),
    [
        ("net.compile(SGD(lr=9, decay=0.1), 'mse')", Change("rate", 0.1), "net.compile(SGD(lr=0.9, decay=0.0), 'mse')"),
        ("net.compile('mse', optimizer=k.SGD(9))", Change("rate", 0.1), "net.compile('mse', optimizer=k.SGD(0.9))"),
        (
            "net.compile(SGD(lr=9, momentum=m, clipvalue=5.0))",
            Change("clip", 1.0),
            "net.compile(SGD(lr=9, momentum=m, clipvalue=None, clipnorm=1.0))",
        ),
        (
            "net.compile('sgd')",
            Change("clip", 1.0),
            "net.compile(SGD(learning_rate=9, momentum=0.8, nesterov=True, clipnorm=1.0))",
        ),
        (
            "net.compile(sgd, 'mse')",
            ADAM,
            "# in place of sgd\nnet.compile(optimizers.Adam(learning_rate=0.001), 'mse')",
        ),
        ("net.compile(SGD(lr=9))", ADAM, "net.compile(optimizers.Adam(learning_rate=0.001))"),
    ],
)
def test_an_optimizer_keeps_its_settings(call, change, expected):
    made = case([dense(1)], "mean_squared_error", np.eye(4), VALUES[:4], optimizer="SGD", rate=9.0)
    schedule = {"class_name": "InverseTimeDecay", "config": {"initial_learning_rate": 9.0}}
    given = {"learning_rate": schedule if "decay" in call else 9.0, "momentum": 0.8, "nesterov": True, "clipvalue": 5.0}
    made.setup.optimizer["config"].update(given, name="SGD", weight_decay=None, epsilon=1e-7)
    names = {"SGD": "keras.src.optimizers.sgd.SGD", "optimizers": "keras.optimizers"}
    record = script_of("model.fit(x, y)", np.eye(4), VALUES[:4], names=names.items())
    record.compiled.at = source(call, call)
    (edit,) = edits.edits(record, made, [change])
    assert edit.after == expected


def test_a_diff_names_the_file_and_the_line():
    found = [
        Edit("/home/me/train.py", 7, "", "x = x / 2"),
        Edit("/home/me/train.py", 11, "model.add(\n    Dense(1))", "model.add(\n    Dense(3))"),
        Edit("/home/me/train.py", 11, "", "print(1)"),
        Edit(None, 0, "", "# new layer: Dense(units=32)"),
        Edit(None, 0, "", "# new layer: Dense(units=8)"),
    ]
    assert as_diff(found).splitlines() == [
        "train.py:7",
        "  + x = x / 2",
        "train.py:11",
        "  -     Dense(1))",
        "  +     Dense(3))",
        "  + print(1)",
        "to add",
        "  + # new layer: Dense(units=32)",
        "  + # new layer: Dense(units=8)",
    ]


def source(text, call, line=1, begins=True):
    return Source(file="s.py", line=line, end=line + text.count("\n"), begins=begins, text=text, call=call)


def facts(array, name="in"):
    numbers = array if array.dtype.kind in "iuf" else np.zeros(1)
    return SimpleNamespace(name=name, shape=list(array.shape[1:]), finite=bool(np.isfinite(numbers).all()))


def samples(x, y, origin="arrays", weight=None):
    return SimpleNamespace(
        x=[x], y=[y], inputs=[facts(x)], targets=[facts(y)], origin=origin, sample_weight=weight, samples=None
    )


def script_of(
    call,
    x,
    y,
    held=None,
    *,
    text=None,
    begins=True,
    origin="arrays",
    split=None,
    once=True,
    turns=1,
    weight=None,
    names=(("np", "numpy"),),
):
    """A record of a script that ends in this call."""
    at = source(text or call, call, begins=begins)
    return SimpleNamespace(
        fit=SimpleNamespace(at=at, method=call.partition("(")[0].rpartition(".")[2], once=once, turns=turns),
        compiled=SimpleNamespace(at=source("net.compile('sgd', 'mse')", "net.compile('sgd', 'mse')", line=0)),
        train=samples(x, y, origin, weight),
        validation=held and samples(*held, origin="split" if split else "arrays"),
        validation_split=split,
        layers=[],
        names=dict(names),
    )


def ran(code, names):
    """What a script that consists of these lines gives to `fit`: x, y, the held-out ones, its other words.

    `names` are those that it has, and has at its end.
    """
    given = []

    def fit(x, y, validation_data=None, **words):
        given.append((x, y, *(validation_data or (None, None)), words))

    for name, value in {"np": np, "model": SimpleNamespace(fit=fit)}.items():
        names.setdefault(name, value)
    exec(code, names)
    return given[-1]


def turned_back(code, names, outputs):
    """What the comment on predictions makes of a net's outputs, by the numbers that the script has at its end."""
    (said,) = re.findall(r"# predictions: (.*)", code)
    return eval(said.replace("model.predict(…)", "outputs"), {**names, "outputs": outputs})


def changed(record, made, changes):
    """The script as the edits leave it; they are one hunk."""
    (edit,) = edits.edits(record, made, changes)
    assert edit.after
    return edit.after if edit.before else f"{edit.after}\n{record.fit.at.text}"


SEQUENCES = np.arange(36, dtype=np.float32).reshape(6, 3, 2) ** 2
FLAT = np.random.default_rng(0).uniform(0, 255, (6, 120)) * (np.arange(120) > 3)
CALLS = {
    "names": ("model.fit(x, y, validation_data=(u, v))", {}),
    "attributes": ("model.fit(me.x, me.y, epochs=2, validation_data=(me.u, me.v))", {}),
    "parts": ("model.fit(x[:], all['y'], validation_data=(np.array(u), v[:]))", {}),
    "words": ("model.fit(y=y, batch_size=4, x=x, validation_data=[u, v])", {}),
    "pair": ("model.fit(x, y, validation_data=pair)", {}),
    "returned": (
        "model.fit(me.x, y, validation_data=(u, v))",
        {"text": "h = model.fit(me.x, y, validation_data=(u, v))"},
    ),
    "loop": ("model.fit(x, y, validation_data=(u, v))", {"once": False}),
}


@pytest.mark.parametrize("form", CALLS)
@pytest.mark.parametrize(
    ("kinds", "x", "y"),
    [
        ("finite", GAPS, VALUES),
        ("finite", GAPS, np.where(VALUES == 40, np.nan, VALUES)),
        ("finite inputs", GAPS, VALUES),
        ("inputs", SEQUENCES, VALUES),
        ("inputs targets", FLAT, np.stack([VALUES, VALUES**2], axis=1)),
        ("inputs", np.array([[1, 5], [2, 5], [4, 5], [8, 5], [3, 5], [9, 5]]), VALUES),
    ],
)
def test_the_diff_does_to_the_data_what_was_tried(form, kinds, x, y):
    call, more = CALLS[form]
    held = (x[1:5] * 2, np.nan_to_num(y)[1:5] - 1)
    made = case([dense(4, "relu"), dense(1)], "mean_squared_error", x.reshape(6, -1), y)
    made = Case(made.setup, Data((x,), (y,), (held[0],), (held[1],)), made.task)
    changes = tuple(Change(kind) for kind in kinds.split())
    tried = apply(changes, made.setup, made.data, made.task)[1]
    record = script_of(call, x, y, held, **more)
    me = SimpleNamespace(x=x.tolist(), y=y, u=held[0], v=held[1])
    names = {"x": x, "y": y, "u": held[0], "v": held[1], "me": me, "all": {"y": y}, "pair": held}
    code = changed(record, made, changes)
    given = ran(code, names)
    for got, wanted in zip(given, (tried.x[0], tried.y[0], tried.x_held_out[0], tried.y_held_out[0]), strict=False):
        assert np.asarray(got) == pytest.approx(wanted, rel=1e-4, abs=1e-5)
    if "inputs" in kinds:  # other samples can be scaled by the numbers that the script then has
        mean, std = names["x_mean"], names["x_std"]
        filled = np.where(np.isfinite(held[0]), held[0], names.get("x_fill", 0))
        assert (filled - mean) / std == pytest.approx(tried.x_held_out[0], rel=1e-4, abs=1e-5)
    if "targets" in kinds:
        assert turned_back(code, names, tried.y_held_out[0]) == pytest.approx(held[1], rel=1e-4)
    if not record.fit.once:  # a second turn gives fit the same
        again = ran(code, {name: names[name] for name in ("x", "y", "u", "v")})
        assert np.array_equal(again[0], given[0]) and np.array_equal(again[1], given[1])


@pytest.mark.parametrize("output", ["linear", "sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("head", [(), (Change("head"),)])
def test_targets_go_where_the_output_can_follow(output, head):
    made = case([dense(4, "relu"), dense(1, output)], "mean_squared_error", np.eye(6), VALUES)
    changes = (Change("targets"), *head)
    tried = apply(changes, made.setup, made.data, made.task)[1].y[0]
    lines = [edit for edit in edits.edits(script_of("model.fit(x, y)", np.eye(6), VALUES), made, changes) if edit.file]
    names = {"x": np.eye(6), "y": VALUES}
    given = ran(f"{lines[-1].after}\nmodel.fit(x, y)", names)
    assert given[1] == pytest.approx(tried, abs=1e-5)
    assert turned_back(lines[-1].after, names, tried[:, None]) == pytest.approx(VALUES[:, None], rel=1e-4)


@pytest.mark.parametrize("form", CALLS)
@pytest.mark.parametrize("classes", [(1, 2, 5), ("a", "b", "c")])
def test_held_out_labels_are_numbered_as_those_in_training(form, classes):
    y, v = np.array(classes)[[0, 1, 2, 0, 1, 2]], np.array(classes)[[2, 1, 2]]
    x, u = np.eye(6, dtype=np.float32), np.eye(6, dtype=np.float32)[:3]
    made = case([dense(3, "softmax")], "sparse_categorical_crossentropy", x, y, held_out=(u, v))
    me = SimpleNamespace(x=x, y=y, u=u, v=v)
    names = {"x": x, "y": y, "u": u, "v": v, "me": me, "all": {"y": y}, "pair": (u, v)}
    record = script_of(CALLS[form][0], x, y, (u, v), **CALLS[form][1])
    code = changed(record, made, [Change("labels")])
    _, y_given, _, v_given, _ = ran(code, names)
    assert y_given.tolist() == [0, 1, 2, 0, 1, 2] and v_given.tolist() == [2, 1, 2]
    assert turned_back(code, names, np.eye(3)[[1, 0, 2]]).tolist() == [classes[1], classes[0], classes[2]]


@pytest.mark.parametrize(("logits", "outputs"), [(False, [[0.2], [0.8]]), (True, [[-0.2], [0.2]])])
def test_predictions_of_one_unit_are_turned_back_into_the_scripts_labels(logits, outputs):
    x, y = np.eye(6, dtype=np.float32), np.array([1, 2, 1, 2, 1, 2])
    config = {"from_logits": True} if logits else {}
    made = case([dense(1, "linear" if logits else "sigmoid")], "binary_crossentropy", x, y, loss_config=config)
    names = {"x": x, "y": y}
    code = changed(script_of("model.fit(x, y)", x, y), made, [Change("labels")])
    assert ran(code, names)[1].tolist() == [0, 1, 0, 1, 0, 1]
    assert turned_back(code, names, np.array(outputs)).tolist() == [1, 2]


def test_a_share_that_is_held_out_has_no_part_in_the_numbers():
    x = np.array([[1.0], [3.0], [1.0], [3.0], [100.0]], np.float32)
    made = case([dense(1)], "mean_squared_error", x[:4], VALUES[:4], held_out=(x[4:], VALUES[4:5]))
    held = (x[4:], VALUES[4:5])
    record = script_of("model.fit(x, y, validation_split=0.2)", x[:4], VALUES[:4], held, split=0.2)
    given = ran(changed(record, made, [Change("inputs")]), {"x": x, "y": VALUES[:5]})
    assert given[0].ravel() == pytest.approx([-1, 1, -1, 1, 98])


def test_what_is_shuffled_stays_together_and_held_out_samples_are_mixed_in():
    x, y = np.arange(8, dtype=np.float32)[:, None], np.arange(8) * 10.0
    made = case([dense(1)], "mean_squared_error", x[:6], y[:6], held_out=(x[6:], y[6:]))
    record = script_of("model.fit(x, y, validation_data=(u, v))", x[:6], y[:6], (x[6:], y[6:]))
    np.random.seed(3)
    names = {"x": x[:6], "y": y[:6], "u": x[6:], "v": y[6:]}
    first, second, third, fourth, _ = ran(changed(record, made, [Change("shuffle")]), names)
    assert len(first) == 6 and (first[:, 0] * 10 == second).all() and (third[:, 0] * 10 == fourth).all()
    assert sorted([*first[:, 0], *third[:, 0]]) == list(range(8)) and third[:, 0].tolist() != [6, 7]


def test_each_of_several_inputs_is_scaled_by_its_own_numbers():
    two = np.array([[1.0], [3.0]], np.float32), np.array([[5.0, 2.0], [5.0, 4.0]], np.float32)
    made = case([dense(1)], "mean_squared_error", two[0], VALUES[:2])
    made = Case(made.setup, Data(two, (VALUES[:2],)), made.task)
    for call in ("model.fit([a, all['b']], y)", "model.fit({'right': all['b'], 'left': a}, y)"):
        record = script_of(call, two[0], VALUES[:2])
        record.train.x, record.train.inputs = list(two), [facts(two[0], "left"), facts(two[1], "right")]
        names = {"a": two[0], "all": {"b": two[1]}, "y": VALUES[:2]}
        given = ran(changed(record, made, [Change("inputs")]), names)[0]
        first, second = given if isinstance(given, list) else (given["left"], given["right"])
        assert first.tolist() == [[-1], [1]] and second.tolist() == [[0, -1], [0, 1]]


def test_an_autoencoders_targets_stay_when_its_inputs_are_scaled():
    x = np.array([[1.0, 2.0], [3.0, 8.0], [5.0, 2.0]], np.float32)
    made = case([dense(2)], "mean_squared_error", x, x)
    given = ran(changed(script_of("model.fit(x, x)", x, x), made, [Change("inputs")]), {"x": x})
    assert given[0].mean() == pytest.approx(0, abs=1e-6) and given[1].tolist() == x.tolist()


@pytest.mark.parametrize(
    ("call", "more"),
    [
        ("model.fit(batches, epochs=3)", {"origin": "generator"}),
        ("model.fit(matrix, y)", {"origin": "sparse"}),
        ("model.train_on_batch(x[a:b], y[a:b])", {"origin": "batches"}),
        ("model.fit(x, y)", {"text": "    model.fit(x, y)", "begins": False}),
        ("model.fit(x, y)", {"text": "for h in [model.fit(x, y)]:"}),
        ("model.fit(x[t], y[t])", {"text": "for t in parts: model.fit(x[t], y[t])"}),
        ("model.fit(x[t], y[t])", {"text": "h = [model.fit(x[t], y[t]) for t in parts]"}),
        ("model.fit(*both)", {}),
        ("cross_val_score(model, x, y)", {}),
    ],
)
def test_where_no_line_can_do_it_a_comment_says_what_to_do(call, more):
    made = case([dense(1)], "mean_squared_error", GAPS, VALUES)
    record = script_of(call, GAPS, VALUES, (GAPS, VALUES), **more)
    (edit,) = edits.edits(record, made, [Change("finite"), Change("inputs"), Change("targets")])
    assert edit.before == "" and (edit.file is None) == (not record.fit.at.begins)
    assert all(line.strip().startswith("#") for line in edit.after.splitlines())
    for word in ("column's mean", "standardized", "mean 0", "validation"):
        assert word in edit.after


def test_a_script_without_the_names_of_a_line_gets_them():
    made = case([dense(1)], "mean_squared_error", GAPS, VALUES)
    code = changed(script_of("model.fit(x, y)", GAPS, VALUES, names=()), made, [Change("finite")])
    assert "import numpy as np" in code.splitlines()
    assert ran(code, {"np": None, "x": GAPS, "y": VALUES})[0][2, 0] == pytest.approx(4.4)
    for names, wanted in (
        ({"keras": "keras"}, "keras.optimizers.Adam(learning_rate=0.001)"),
        ({"tf": "tensorflow"}, "tf.keras.optimizers.Adam(learning_rate=0.001)"),
        ({"optimizers": "keras._tf_keras.keras.optimizers"}, "optimizers.Adam(learning_rate=0.001)"),
        ({"Adam": "keras.src.optimizers.adam.Adam"}, "Adam(learning_rate=0.001)"),
    ):
        record = script_of("model.fit(x, y)", GAPS, VALUES, names=names.items())
        (edit,) = edits.edits(record, case([dense(1)], "mse", GAPS, VALUES, optimizer="SGD"), [ADAM])
        assert edit.after == f"net.compile({wanted}, 'mse')"
    record = script_of("model.fit(x, y)", GAPS, VALUES, names=())
    (edit,) = edits.edits(record, case([dense(1)], "mse", GAPS, VALUES, optimizer="SGD"), [ADAM])
    assert edit.after.splitlines()[0] == "import keras"


def test_calls_on_one_line_are_changed_together_and_none_in_silence():
    made = case([dense(4, "tanh"), dense(1)], "mean_squared_error", np.eye(2), VALUES[:2])
    record = script_of("model.fit(x, y)", np.eye(2), VALUES[:2])
    text = "net = Sequential([Dense(4, 'tanh'), Dense(1, 'tanh')])"
    names = [layer["config"]["name"] for layer in made.setup.net["config"]["layers"][1:]]
    calls = [source(text, "Dense(4, 'tanh')"), source(text, "Dense(1, 'tanh')")]
    record.layers = [SimpleNamespace(name=name, at=at) for name, at in zip(names, calls, strict=True)]
    changes = [Change("activation", "relu"), Change("output", "sigmoid")]
    (edit,) = edits.edits(record, made, changes)
    assert edit.after == "net = Sequential([Dense(4, 'relu'), Dense(1, 'sigmoid')])"
    record.layers[0].at = source("hidden = make(4)(x)", None)
    hidden, output = edits.edits(record, made, changes)
    assert "activation='relu'" in hidden.after and "sigmoid" in output.after


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("model.train_on_batch(x, y)", "# in place of the loop over train_on_batch: model.fit(…, epochs=500)"),
        ("cross_val_score(model, x, y)", "model.fit(…, epochs=500)"),
    ],
)
def test_what_is_no_call_of_fit_gets_none_of_its_arguments(call, said):
    made = case([dense(1)], "mean_squared_error", GAPS, VALUES)
    (edit,) = edits.edits(script_of(call, GAPS, VALUES), made, [Change("epochs", 500)])
    assert edit.file is None and edit.after == said


def layers_of(record, made, *calls):
    """Tell a record that these calls made the net's layers, in their order."""
    names = [layer["config"]["name"] for layer in made.setup.net["config"]["layers"][1:]]
    record.layers = [
        SimpleNamespace(name=name, at=source(f"net.add({call})", call, line))
        for line, (name, call) in enumerate(zip(names, calls, strict=True), 1)
    ]
    return record


def test_a_layer_that_goes_and_one_of_another_class():
    made = case(
        [dense(4), ("LeakyReLU", {}), ("BatchNormalization", {}), dense(1)], "mean_squared_error", np.eye(2), VALUES[:2]
    )
    calls = "Dense(4)", "LeakyReLU(0.3)", "BatchNormalization()", "Dense(1)"
    changes = [Change("batch_norm"), Change("activation", "relu")]
    for names, known in (
        ({"layers": "keras.layers"}, "layers.Activation"),
        ({"Activation": "keras.src.layers.activations.activation.Activation"}, "Activation"),
        ({}, "keras.layers.Activation"),
    ):
        record = layers_of(script_of("model.fit(x, y)", np.eye(2), VALUES[:2], names=names.items()), made, *calls)
        leaky, norm = edits.edits(record, made, changes)
        assert leaky.after.splitlines() == ["import keras"] * (not names) + [f"net.add({known}(activation='relu'))"]
        assert norm.before == "" and norm.after == "# line 3, take this layer away: BatchNormalization()"


def test_layers_that_do_not_train_are_told_where_that_is_said():
    frozen = {"trainable": False}
    made = case([dense(4, **frozen), dense(4, **frozen), dense(1)], "mean_squared_error", np.eye(2), VALUES[:2])
    calls = "Dense(4, trainable=False)", "Dense(4)", "Dense(1)"
    record = layers_of(script_of("net.fit(x, y)", np.eye(2), VALUES[:2]), made, *calls)
    first, note = edits.edits(record, made, [Change("thaw")])
    assert first.after == "net.add(Dense(4, trainable=True))"
    assert note.file is None and "net.trainable = True" in note.after


def test_epochs_of_a_call_in_a_loop_are_those_of_one_turn():
    made = case([dense(1)], "mean_squared_error", np.eye(2), VALUES[:2], epochs=80)
    record = script_of("model.fit(x, y, epochs=2)", np.eye(2), VALUES[:2], once=False, turns=40)
    edit, note = edits.edits(record, made, [Change("epochs", 500)])
    assert edit.after == "model.fit(x, y, epochs=13)" and "40 times" in note.after and "520 in all" in note.after


def test_a_generators_batches_are_no_argument_of_fit():
    made = case([dense(1)], "mean_squared_error", np.eye(2), VALUES[:2])
    record = script_of("model.fit(batches, epochs=50)", np.eye(2), VALUES[:2], origin="generator")
    edit, note = edits.edits(record, made, [Change("batch", 8), Change("epochs", 500)])
    assert edit.after == "model.fit(batches, epochs=500)"
    assert note.file is None and note.after == "# where the batches are made: batch_size=8"


def test_every_cause_is_documented():
    text = (Path(edits.__file__).parent / "README.md").read_text(encoding="utf-8")
    assert [name for name in CAUSES if f"| `{name}` | {CAUSES[name]} |" not in text] == []
