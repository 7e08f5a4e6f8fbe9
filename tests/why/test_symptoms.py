"""What shows without training: each sign where it belongs, and none in a net that is as it should be."""

import numpy as np
import pytest
from made import blobs, case, dense, line

from stages.core.why import symptoms
from stages.core.why.interventions import CAUSES
from stages.core.why.symptoms import CERTAIN, LIKELY, POSSIBLE

X, Y = blobs()
X3, Y3 = blobs(classes=3)
XV, YV = line()
ONE_HOT = np.eye(3)[Y3]
HIDDEN = dense(16, "relu")
SIGMOID, SOFTMAX3, LINEAR = dense(1, "sigmoid"), dense(3, "softmax"), dense(1)
BCE, CCE, SPARSE, MSE = (
    "binary_crossentropy",
    "categorical_crossentropy",
    "sparse_categorical_crossentropy",
    "mean_squared_error",
)
L2 = {"module": "keras.regularizers", "class_name": "L2", "config": {"l2": 0.5}}
ZEROS = {"module": "keras.initializers", "class_name": "Zeros", "config": {}}
HOLED = X.copy()
HOLED[3, 1] = np.nan


def found(*arguments, **settings):
    made = case(*arguments, epochs=settings.pop("epochs", 300), **settings)
    return {s.cause: s.weight for s in symptoms.look(made.setup, made.data, made.task)}


@pytest.mark.parametrize(
    "arguments",
    [
        ([HIDDEN, SIGMOID], BCE, X, Y),
        ([HIDDEN, dense(2, "softmax")], SPARSE, X, Y),
        ([HIDDEN, dense(1)], BCE, X, Y, {"loss_config": {"from_logits": True}}),
        ([HIDDEN, dense(1, "tanh")], "hinge", X, 2 * Y - 1),
        ([HIDDEN, SOFTMAX3], SPARSE, X3, Y3),
        ([HIDDEN, SOFTMAX3], CCE, X3, ONE_HOT),
        ([HIDDEN, LINEAR], MSE, XV, YV),
        ([HIDDEN, LINEAR], "mean_absolute_error", XV, YV),
        ([HIDDEN, dense(2, "sigmoid")], BCE, X, np.stack([Y, X[:, 0] > 0.2], axis=1).astype(int)),
        ([HIDDEN, dense(2, "sigmoid")], BCE, np.clip(X, 0, 1), np.clip(X, 0, 1)),  # an autoencoder
    ],
)
def test_nothing_is_said_of_a_net_that_fits_its_task(arguments):
    *arguments, settings = (*arguments, {}) if not isinstance(arguments[-1], dict) else arguments
    assert found(*arguments, **settings) == {}


@pytest.mark.parametrize(
    ("cause", "weight", "arguments", "settings"),
    [
        ("output_activation", CERTAIN, ([HIDDEN, dense(1, "softmax")], BCE, X, Y), {}),
        ("output_activation", CERTAIN, ([HIDDEN, dense(1, "softmax")], MSE, XV, YV), {}),
        ("output_activation", CERTAIN, ([HIDDEN, dense(1, "sigmoid")], MSE, XV, 9 * YV), {}),
        ("output_activation", CERTAIN, ([HIDDEN, dense(1), ("Activation", {"activation": "softmax"})], BCE, X, Y), {}),
        ("output_activation", LIKELY, ([HIDDEN, dense(1, "relu")], BCE, X, Y), {}),
        ("output_activation", LIKELY, ([HIDDEN, dense(1)], BCE, X, Y), {}),
        ("output_units", CERTAIN, ([HIDDEN, dense(1, "sigmoid")], SPARSE, X3, Y3), {}),
        ("loss_function", CERTAIN, ([HIDDEN, SIGMOID], CCE, X, Y), {}),
        ("loss_function", LIKELY, ([HIDDEN, SIGMOID], MSE, X, Y), {}),
        ("loss_function", CERTAIN, ([HIDDEN, LINEAR], BCE, XV, YV), {}),
        ("loss_function", LIKELY, ([HIDDEN, SOFTMAX3], SPARSE, X3, Y3), {"loss_config": {"from_logits": True}}),
        ("label_encoding", CERTAIN, ([HIDDEN, SOFTMAX3], SPARSE, X3, ONE_HOT), {}),
        ("label_encoding", CERTAIN, ([HIDDEN, SOFTMAX3], CCE, X3, Y3), {}),
        ("label_encoding", CERTAIN, ([HIDDEN, SIGMOID], BCE, X, 2 * Y - 1), {}),
        ("label_encoding", CERTAIN, ([HIDDEN, SIGMOID], BCE, X, np.where(Y == 1, "cat", "dog")), {}),
        ("label_encoding", CERTAIN, ([HIDDEN, SOFTMAX3], SPARSE, X3, Y3 + 1), {}),
        ("input_scale", LIKELY, ([HIDDEN, SIGMOID], BCE, X * 255, Y), {}),
        ("input_scale", LIKELY, ([HIDDEN, SIGMOID], BCE, X / 6e4, Y), {}),
        ("target_scale", LIKELY, ([HIDDEN, LINEAR], MSE, XV, YV * 1e5), {}),
        ("data_not_finite", CERTAIN, ([HIDDEN, SIGMOID], BCE, HOLED, Y), {}),
        ("data_unlearnable", CERTAIN, ([HIDDEN, SIGMOID], BCE, np.zeros_like(X), Y), {}),
        ("data_unlearnable", CERTAIN, ([HIDDEN, LINEAR], MSE, XV, 0 * YV), {}),
        ("data_order", LIKELY, ([HIDDEN, SOFTMAX3], SPARSE, X3, np.sort(Y3)), {"shuffle": False}),
        (
            "data_order",
            CERTAIN,
            ([HIDDEN, SOFTMAX3], SPARSE, X3[Y3 < 2], Y3[Y3 < 2]),
            {"held_out": (X3[Y3 == 2], Y3[Y3 == 2])},
        ),
        ("hidden_activation_missing", LIKELY, ([dense(16), SIGMOID], BCE, X, Y), {}),
        ("hidden_activation", LIKELY, ([dense(16, "softmax"), SIGMOID], BCE, X, Y), {}),
        ("vanishing_gradient", LIKELY, ([dense(16, "sigmoid")] * 4 + [SIGMOID], BCE, X, Y), {}),
        ("capacity_low", POSSIBLE, ([dense(2, "relu"), SIGMOID], BCE, X, Y), {}),
        ("dropout_high", LIKELY, ([HIDDEN, ("Dropout", {"rate": 0.9}), SIGMOID], BCE, X, Y), {}),
        ("dropout_high", LIKELY, ([HIDDEN, SIGMOID, ("Dropout", {"rate": 0.2})], BCE, X, Y), {}),
        ("regularization_strong", LIKELY, ([dense(16, "relu", kernel_regularizer=L2), SIGMOID], BCE, X, Y), {}),
        ("weight_init", LIKELY, ([dense(16, "relu", kernel_initializer=ZEROS), SIGMOID], BCE, X, Y), {}),
        (
            "frozen_layers",
            CERTAIN,
            ([dense(16, "relu", trainable=False), dense(1, "sigmoid", trainable=False)], BCE, X, Y),
            {},
        ),
        ("batch_norm", LIKELY, ([HIDDEN, ("BatchNormalization", {}), SIGMOID], BCE, X, Y), {"batch": 2}),
        ("learning_rate_low", LIKELY, ([HIDDEN, SIGMOID], BCE, X, Y), {"rate": 1e-7}),
        ("learning_rate_high", LIKELY, ([HIDDEN, SIGMOID], BCE, X, Y), {"rate": 3.0}),
        ("epochs_few", LIKELY, ([HIDDEN, SIGMOID], BCE, X, Y), {"epochs": 1}),
        ("batch_size", POSSIBLE, ([HIDDEN, SIGMOID], BCE, X, Y), {"batch": 500, "epochs": 600}),
    ],
)
def test_a_fault_shows(cause, weight, arguments, settings):
    assert cause in CAUSES
    assert found(*arguments, **settings).get(cause) == weight


LARGE = np.linspace(-97543.2, -1.23456, 90)


@pytest.mark.parametrize(
    ("cause", "arguments", "text"),
    [
        (
            "label_encoding",
            ([HIDDEN, dense(1, "softmax")], BCE, X3, Y3 + 1),
            f"labels are 1 to 3, where {SPARSE} wants 0 to 2",
        ),
        ("label_encoding", ([HIDDEN, SIGMOID], BCE, X, 2 * Y - 1), f"labels are -1 and 1, where {BCE} wants 0 and 1"),
        ("label_encoding", ([HIDDEN, SIGMOID], MSE, X, 2 * Y - 1), "labels are -1 and 1, where 0 and 1 are usual"),
        ("loss_function", ([HIDDEN, SIGMOID], CCE, X, Y), f"{CCE} with one output unit is 0, whatever the net says"),
        ("loss_function", ([HIDDEN, SIGMOID], SPARSE, X, Y), f"{SPARSE} with one output unit knows class 0 only"),
        ("loss_function", ([HIDDEN, LINEAR], BCE, XV, YV * 1e4), f"{BCE} is for targets from 0 to 1, these are"),
        ("loss_function", ([HIDDEN, SIGMOID], "poisson", XV, YV), "poisson for a regression"),
        ("output_activation", ([HIDDEN, dense(1)], MSE, X3, ONE_HOT), "no activation at the output where softmax"),
        ("output_activation", ([HIDDEN, SIGMOID], MSE, XV, YV + 99), "sigmoid at the output cannot give any of the"),
        (
            "output_activation",
            ([HIDDEN, SIGMOID], MSE, np.zeros((500, 2)), np.linspace(0, 1.001, 500)),
            "sigmoid at the output cannot give a few of the targets, 0 to 1",
        ),
        (
            "input_scale",
            ([HIDDEN, SIGMOID], BCE, LARGE[:, None], Y),
            "inputs from -97,543 to -1.23, where about -1 to 1",
        ),
        ("target_scale", ([HIDDEN, LINEAR], MSE, XV, LARGE), "targets from -97,543 to -1.23, where about -1 to 1"),
        (
            "class_imbalance",
            ([HIDDEN, SIGMOID], BCE, np.zeros((5000, 2)), np.arange(5000) == 7),
            "99.9% of the samples are of one class",
        ),
        (
            "hidden_activation_missing",
            ([dense(16), SIGMOID], BCE, X, Y),
            "no hidden layer has an activation: the net is",
        ),
        ("capacity_low", ([dense(1, "relu"), SIGMOID], BCE, X, Y), "a hidden layer of 1 unit"),
        (
            "frozen_layers",
            ([dense(16, "relu", trainable=False), SIGMOID], BCE, X, Y),
            "1 of 2 layers does not train",
        ),
    ],
)
def test_a_fault_is_said_as_it_is(cause, arguments, text):
    made = case(*arguments, epochs=300)
    said = [sign.text for sign in symptoms.look(made.setup, made.data, made.task) if sign.cause == cause]
    assert any(sign == text or sign.startswith(text) for sign in said), said


def test_a_tanh_for_labels_of_minus_one_and_one_is_no_likely_fault():
    assert found([HIDDEN, dense(1, "tanh")], MSE, X, 2 * Y - 1)["output_activation"] == POSSIBLE
    assert found([HIDDEN, dense(1, "tanh")], BCE, X, 2 * Y - 1)["output_activation"] == LIKELY


def test_behind_a_pooling_a_net_without_activations_is_not_called_linear():
    layers = [("Conv1D", {"filters": 16, "kernel_size": 1}), ("GlobalMaxPooling1D", {}), dense(1)]
    made = case(layers, MSE, np.zeros((90, 3, 1)), YV)
    said = [s.text for s in symptoms.look(made.setup, made.data, made.task) if s.cause == "hidden_activation_missing"]
    assert said == ["no hidden layer has an activation"]


def test_equal_inputs_with_other_targets_bound_what_can_be_learnt():
    x = np.repeat([[0.0, 1.0], [1.0, 0.0]], 20, axis=0)
    y = np.tile([0, 1], 20)
    assert found([HIDDEN, SIGMOID], BCE, x, y)["data_unlearnable"] == CERTAIN


NUMBERS = np.random.default_rng(3).normal(size=(90, 1, 1))
RNN = ("SimpleRNN", {"units": 4, "activation": "tanh"})
BOTH_WAYS = ("Bidirectional", {"layer": {"class_name": "LSTM", "config": {"units": 4, "activation": "tanh"}}})


@pytest.mark.parametrize(
    ("layers", "x", "weight"),
    [
        ([RNN, LINEAR], NUMBERS, LIKELY),
        ([("Masking", {}), BOTH_WAYS, LINEAR], NUMBERS, LIKELY),
        ([RNN, LINEAR], np.repeat(NUMBERS, 3, axis=2), POSSIBLE),  # works, as a dense layer does
        ([("Embedding", {"input_dim": 9, "output_dim": 4}), RNN, LINEAR], np.arange(90)[:, None], LIKELY),
        ([RNN, LINEAR], np.repeat(NUMBERS, 3, axis=1), None),
        ([("Reshape", {"target_shape": [3, 1]}), RNN, LINEAR], np.repeat(NUMBERS, 3, axis=2), None),
        ([dense(4, "relu"), LINEAR], NUMBERS, None),
    ],
)
def test_a_recurrent_layer_has_nothing_to_remember_of_a_single_time_step(layers, x, weight):
    assert found(layers, MSE, x, YV).get("data_unlearnable") == weight


def test_a_softmax_over_the_batch_is_none_over_the_classes():
    made = case([dense(3), ("Softmax", {"axis": 0})], CCE, X3, ONE_HOT)
    found = symptoms.look(made.setup, made.data, made.task)
    assert [sign.text for sign in found if sign.cause == "output_activation"] == [
        "softmax over the batch at the output where softmax belongs"
    ]


def test_logits_asked_for_behind_a_softmax_are_the_only_thing_said_of_its_loss():
    made = case([dense(3, "softmax")], SPARSE, X3, Y3, loss_config={"from_logits": True})
    found = symptoms.look(made.setup, made.data, made.task)
    said = [sign.text for sign in found if sign.cause == "loss_function"]
    assert said == ["from_logits=True behind a softmax, which gives probabilities"]
