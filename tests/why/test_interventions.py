"""Single changes: what each does to setup and data, and that the script's own stay as they are."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from made import blobs, case, dense, line

from stages.core.why import net as nets
from stages.core.why.interventions import CAUSES, Change, apply, candidates, causes, everything, listed, rates, say
from stages.core.why.setup import some

X, Y = blobs()
XV, YV = line()
L2 = {"module": "keras.regularizers", "class_name": "L2", "config": {"l2": 0.5}}
BCE, MSE = "binary_crossentropy", "mean_squared_error"
FAULTY = case(
    [
        dense(4, "sigmoid", kernel_regularizer=L2),
        ("BatchNormalization", {"momentum": 0.99}),
        ("Dropout", {"rate": 0.9}),
        dense(4, "relu", trainable=False),
        dense(1, "softmax"),
    ],
    MSE,
    100 * X,
    Y + 1,
    optimizer="SGD",
    rate=1e-5,
    shuffle=False,
)
VALUES = case([dense(16, "relu"), dense(1, "sigmoid")], MSE, XV, 50 * YV + 300)


def changed(made, *changes):
    return apply(changes, made.setup, made.data, made.task)


@pytest.mark.parametrize(
    ("optimizer", "rate", "first"),
    [("Adagrad", 1.0, 0.05), ("Adam", 0.1, 0.01), ("SGD", 0.1, 0.1), ("SGD", 0.01, 10.0), ("Adam", 0.001, 10.0)],
)
def test_a_high_learning_rate_is_lowered_first(optimizer, rate, first):
    made = case([dense(1)], MSE, XV, YV, optimizer=optimizer, rate=rate)
    assert rates(made.setup)[0] == pytest.approx(first)


def test_targets_that_an_output_cannot_give_are_first_the_outputs_fault():
    targets = Change("targets")
    assert causes(targets, VALUES.setup, VALUES.data, VALUES.task) == ("output_activation", "target_scale")
    head, data, task = changed(VALUES, Change("head"))
    assert causes(targets, head, data, task) == ("target_scale",)


def test_an_autoencoder_keeps_its_targets_and_a_right_output_stays():
    x = np.random.default_rng(0).uniform(0, 1, (40, 2)).astype(np.float32)
    made = case([dense(8, "relu"), dense(2, "sigmoid")], BCE, x, x)
    assert Change("targets") not in candidates(made.setup, made.data, made.task)
    assert Change("head") not in everything(made.setup, made.data, made.task)


RECURRENT = case([("LSTM", {"units": 4, "activation": "tanh"}), dense(1)], MSE, X[:, :, None], Y + XV[:, 0])


@pytest.mark.parametrize("made", [FAULTY, VALUES, RECURRENT])
def test_every_candidate_changes_something_and_leaves_the_script_as_it_is(made):
    before = pickle.dumps(made)
    for change in candidates(made.setup, made.data, made.task):
        setup, data, _ = changed(made, change)
        same_data = all(
            np.array_equal(a, b) for a, b in zip((*data.x, *data.y), (*made.data.x, *made.data.y), strict=True)
        )
        assert setup != made.setup or not same_data, change
        assert set(causes(change, made.setup, made.data, made.task)) <= set(CAUSES), change
        assert say(change, made.setup, made.data, made.task)
    assert pickle.dumps(made) == before


@pytest.mark.parametrize(
    ("layers", "change", "words"),
    [
        ([dense(1)], Change("width"), "a hidden layer of 32 units"),
        ([dense(4), dense(1)], Change("width"), "a wider net"),
        ([dense(1)], Change("batch", 23), "batches of 23 in place of 60 (twice as many steps)"),
        ([dense(1)], Change("batch", 32), "batches of 32 in place of 60 (1.5 times as many steps)"),
        ([dense(1)], Change("class_weight"), "every class weighted to count the same"),
        ([dense(1)], Change("thaw"), "all layers trainable"),
        ([dense(1)], Change("epochs", 5000), "5,000 epochs in place of 50"),
        (
            [dense(3, "softmax")],
            Change("head"),
            "1 output unit, sigmoid at the output, loss binary_crossentropy and labels from 0",
        ),
    ],
)
def test_a_change_is_said_as_it_is(layers, change, words):
    made = case(layers, MSE, X, 2 * Y - 1, batch=60)
    made = replace(made, task=replace(made.task, kind="binary", classes=2, names=(-1, 1)))
    assert say(change, made.setup, made.data, made.task) == words


def test_what_has_an_and_is_parted_by_semicolons():
    assert (listed(["a"]), listed(["a", "b", "c"])) == ("a", "a, b and c")
    assert listed(["a and b", "c", "d"]) == "a and b; c; and d"


def test_the_order_of_changes_does_not_matter():
    every = everything(FAULTY.setup, FAULTY.data, FAULTY.task)
    one, other = changed(FAULTY, *every), changed(FAULTY, *reversed(every))
    assert one[0] == other[0]
    assert np.array_equal(one[1].y[0], other[1].y[0])


@pytest.mark.parametrize(
    ("activation", "loss", "x", "y", "expected"),
    [
        ("softmax", "hinge", X, Y, (1, "sigmoid", BCE, [0, 1])),
        ("softmax", MSE, X, 2 * Y - 1, (1, "sigmoid", BCE, [0, 1])),
        ("softmax", BCE, X, np.where(Y == 1, "a", "b"), (1, "sigmoid", BCE, [0, 1])),
        ("sigmoid", BCE, XV, YV, (1, "linear", MSE, None)),
        ("sigmoid", "mean_absolute_error", XV, YV, (1, "linear", "mean_absolute_error", None)),
        (
            "sigmoid",
            "sparse_categorical_crossentropy",
            X,
            Y + (X[:, 0] > 1) + 1,
            (3, "softmax", "sparse_categorical_crossentropy", [0, 1, 2]),
        ),
        ("sigmoid", BCE, X, np.eye(4)[Y], (4, "softmax", "categorical_crossentropy", None)),
    ],
)
def test_the_head_is_what_the_targets_need(activation, loss, x, y, expected):
    units, last, right, labels = expected
    setup, data, _ = changed(case([dense(8, "relu"), dense(1, activation)], loss, x, y), Change("head"))
    assert (nets.output_units(setup.net), nets.output_activation(setup.net), setup.loss) == (units, last, right)
    assert labels is None or np.unique(data.y[0]).tolist() == labels


def test_an_activation_layer_behind_the_output_is_the_one_that_changes():
    made = case([dense(8, "relu"), dense(1), ("Activation", {"activation": "softmax"})], BCE, X, Y)
    setup, _, _ = changed(made, Change("head"))
    assert [nets.activation(layer) for layer in nets.tail(setup.net)] == ["linear", "sigmoid"]


def test_inputs_are_standardized_by_column_and_the_held_out_ones_by_the_same_numbers():
    x = X * [1000, 1] + [0, 50]
    made = case([dense(8, "relu"), dense(1, "sigmoid")], BCE, x[:60], Y[:60], held_out=(x[60:], Y[60:]))
    _, data, _ = changed(made, Change("inputs"))
    np.testing.assert_allclose(data.x[0].mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(data.x[0].std(axis=0), 1, atol=1e-4)
    expected = (x[60:] - x[:60].mean(axis=0)) / x[:60].std(axis=0)
    np.testing.assert_allclose(data.x_held_out[0], expected, rtol=1e-3, atol=1e-3)


def test_targets_are_scaled_into_what_the_output_can_give():
    _, data, _ = changed(VALUES, Change("targets"))
    assert (data.y[0].min(), data.y[0].max()) == (0, 1)  # the output is a sigmoid
    _, data, _ = changed(VALUES, Change("head"), Change("targets"))
    np.testing.assert_allclose([data.y[0].mean(), data.y[0].std()], [0, 1], atol=1e-4)


def test_what_is_taken_off_is_off():
    setup, _, _ = changed(FAULTY, Change("dropout"), Change("penalty"), Change("batch_norm"), Change("thaw"))
    kinds = [nets.kind(layer) for layer in nets.layers(setup.net)]
    assert "BatchNormalization" not in kinds
    configs = [layer["config"] for layer in nets.layers(setup.net)]
    assert all(not config.get("kernel_regularizer") and config.get("trainable", True) for config in configs)
    assert [config["rate"] for config in configs if "rate" in config] == [0.0]


def test_hidden_layers_get_the_activation_and_the_output_does_not():
    made = case([dense(8), dense(8, "sigmoid"), dense(1, "sigmoid")], BCE, X, Y)
    setup, _, _ = changed(made, Change("activation", "relu"))
    assert nets.hidden_activations(setup.net) == ["relu", "relu"]
    assert nets.output_activation(setup.net) == "sigmoid"
    assert causes(Change("activation", "relu"), made.setup, made.data, made.task) == ("hidden_activation",)
    deep = case([dense(8, "sigmoid")] * 3 + [dense(1, "sigmoid")], BCE, X, Y)
    assert causes(Change("activation", "relu"), deep.setup, deep.data, deep.task) == ("vanishing_gradient",)


def test_a_net_without_hidden_layers_gets_one():
    setup, _, _ = changed(case([dense(1, "sigmoid")], BCE, X, Y), Change("width"))
    assert len(nets.hidden(setup.net)) == 1


def test_held_out_samples_are_mixed_with_the_others_when_they_stand_in_order():
    x, y = X[np.argsort(Y)], np.sort(Y)
    made = case([dense(8, "relu"), dense(1, "sigmoid")], BCE, x[:70], y[:70], held_out=(x[70:], y[70:]))
    setup, data, _ = changed(made, Change("shuffle"))
    assert setup.shuffle
    assert set(np.unique(data.y_held_out[0])) == {0, 1}
    assert sorted([*data.y[0], *data.y_held_out[0]]) == sorted(Y)


def test_what_is_held_out_is_mended_by_the_numbers_of_the_training_data():
    held_out = np.array([[np.nan, 5.0], [7.0, 5.0]]), np.array([1.0, np.nan])
    x, y = np.array([[2.0, 1.0], [4.0, 1.0]]), np.array([0.0, 1.0])
    _, data, _ = changed(case([dense(1)], MSE, x, y, held_out=held_out), Change("finite"))
    assert data.x_held_out[0].tolist() == [[3.0, 5.0]] and data.y_held_out[0].tolist() == [1.0]


def test_missing_numbers_are_filled_in_and_samples_without_a_target_go():
    x, y = XV.copy(), YV.copy()
    x[0, 0], y[1] = np.nan, np.inf
    _, data, _ = changed(case([dense(1)], MSE, x, y), Change("finite"))
    assert np.isfinite(data.x[0]).all()
    assert np.isfinite(data.y[0]).all()
    assert len(data.y[0]) == len(y) - 1


def test_text_labels_become_numbers_where_the_head_is_right():
    made = case([dense(8, "relu"), dense(1, "sigmoid")], BCE, X, np.where(Y == 1, "yes", "no"))
    assert Change("labels") in candidates(made.setup, made.data, made.task)
    assert Change("head") not in candidates(made.setup, made.data, made.task)
    _, data, task = changed(made, Change("labels"))
    assert np.array_equal(data.y[0], Y)
    assert task.names == (0, 1)


@pytest.mark.parametrize(("units", "activation", "other"), [(3, "softmax", "labels"), (1, "sigmoid", "head")])
def test_where_only_the_labels_are_amiss_they_are_the_only_change(units, activation, other):
    """In everything at once they are numbered from 0 all the same, and once."""
    x, y = blobs(classes=3)
    made = case([dense(8, "relu"), dense(units, activation)], "sparse_categorical_crossentropy", x, y + 1)
    kinds = [change.kind for change in candidates(made.setup, made.data, made.task)]
    assert "labels" in kinds and ("head" in kinds) == (other == "head")
    every = everything(made.setup, made.data, made.task)
    assert {change.kind for change in every} & {"head", "labels"} == {other}
    assert np.array_equal(changed(made, *every)[1].y[0].astype(int).ravel(), y)


def test_an_autoencoder_is_narrow_on_purpose():
    made = case([dense(2, "relu"), dense(2)], MSE, X, X.astype(np.float32))
    assert Change("width") not in candidates(made.setup, made.data, made.task)


def test_of_many_samples_some_are_looked_at_of_every_class():
    for n in (5000, 6000, 8000):
        place = some(n, 2000)
        assert len(np.unique(place)) == 2000 and (np.diff(place) > 0).all()
        assert set(np.arange(n)[place] % 4) == {0, 1, 2, 3}
    assert np.arange(7)[some(7, 2000)].tolist() == list(range(7))


def test_the_outputs_of_a_net_with_several_are_no_hidden_layers():
    made = case([dense(4, "relu"), dense(3, "softmax"), dense(1)], "mean_squared_error", X, Y)
    net = {**made.setup.net, "class_name": "Functional"}
    net["config"]["output_layers"] = [["dense_1", 0, 0], ["dense_2", 0, 0]]
    setup = made.setup.with_net(net)
    for change, after in ((Change("width"), [32, 3, 1]), (Change("activation", "tanh"), ["tanh", "softmax", "linear"])):
        changed, _, _ = apply([change], setup, made.data, made.task)
        key = "units" if change.kind == "width" else "activation"
        assert [layer["config"][key] for layer in changed.net["config"]["layers"][1:]] == after


def two_outputs():
    """A net whose outputs, "kind" and "size", stand on one hidden layer; the second behind an activation layer."""
    made = case([dense(3, "relu")], "categorical_crossentropy", X, np.eye(3)[Y])
    first, hidden = made.setup.net["config"]["layers"]
    layers = [first, {**hidden, "config": {**hidden["config"], "units": 8}}]
    for name, kind, config, source in (
        ("kind", "Dense", {"units": 3, "activation": "relu"}, "dense_0"),
        ("wide", "Dense", {"units": 1, "activation": "linear"}, "dense_0"),
        ("size", "Activation", {"activation": "linear"}, "wide"),
    ):
        tensor = {"class_name": "__keras_tensor__", "config": {"keras_history": [source, 0, 0]}}
        node = {"args": [tensor], "kwargs": {}}
        layers.append({"class_name": kind, "name": name, "config": {"name": name, **config}, "inbound_nodes": [node]})
    config = {"name": "net", "layers": layers, "output_layers": [["kind", 0, 0], ["size", 0, 0]]}
    losses = ({"name": "categorical_crossentropy", "config": {}}, {"name": MSE, "config": {}})
    setup = replace(made.setup, net={"class_name": "Functional", "config": config}, losses=losses)
    return replace(made, setup=setup, data=replace(made.data, y=(*made.data.y, XV[:, :1])))


def test_of_several_outputs_the_first_ones_head_is_changed_and_the_others_are_none_of_the_hidden_layers():
    made = two_outputs()
    assert Change("head") in candidates(made.setup, made.data, made.task)
    setup, data, _ = changed(made, Change("head"), Change("width"), Change("activation", "tanh"))
    config = {layer["config"]["name"]: layer["config"] for layer in nets.layers(setup.net)}
    assert (config["kind"]["units"], config["kind"]["activation"]) == (3, "softmax")
    assert (config["dense_0"]["units"], config["dense_0"]["activation"]) == (32, "tanh")
    assert (config["wide"]["units"], config["wide"]["activation"]) == (1, "linear")
    assert (config["size"]["activation"], setup.losses[1]["name"], len(data.y)) == ("linear", MSE, 2)


def test_a_head_that_is_only_unusual_is_blamed_for_what_it_has_otherwise():
    relu = case([dense(16, "relu"), dense(1, "relu")], MSE, XV, XV[:, 0] ** 2)
    assert causes(Change("head"), relu.setup, relu.data, relu.task) == ("output_activation",)
