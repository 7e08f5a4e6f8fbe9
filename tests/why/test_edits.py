"""A repair as changes of the user's own lines."""

import ast
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from made import case, dense

from stages.core.why import edits
from stages.core.why.edits import Edit, as_diff, optimizer_source, with_argument
from stages.core.why.interventions import CAUSES, Change, apply


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
        ("BatchNormalization()", "", "'Activation'", "Activation()"),
        ("keras.layers.BatchNormalization(axis=-1)", "", "'Activation'", "keras.layers.Activation()"),
        ("model", "activation", "'relu'", "model"),
        (
            "net.compile(tf.keras.optimizers.SGD(lr=9), 'mse')",
            "optimizer",
            "keras.optimizers.SGD(learning_rate=1)",
            "net.compile(tf.keras.optimizers.SGD(learning_rate=1), 'mse')",
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


def test_a_changed_optimizer_keeps_what_is_not_the_default():
    made = case([dense(1)], "mean_squared_error", [[0.0, 1.0]] * 4, [0.0, 1.0, 2.0, 3.0], optimizer="SGD", rate=10.0)
    setup, _, _ = apply([Change("rate", 0.1), Change("clip", 1.0)], made.setup, made.data, made.task)
    source = optimizer_source(setup)
    assert source == "keras.optimizers.SGD(learning_rate=1, clipnorm=1.0)"
    ast.parse(source)


def test_a_diff_names_the_file_and_the_line():
    found = [
        Edit("/home/me/train.py", 7, "", "x = x / 2"),
        Edit("/home/me/train.py", 11, "model.add(\n    Dense(1))", "model.add(\n    Dense(3))"),
        Edit(None, 0, "", "# new layer: Dense(units=32)"),
    ]
    assert as_diff(found).splitlines() == [
        "train.py:7",
        "  + x = x / 2",
        "train.py:11",
        "  -     Dense(1))",
        "  +     Dense(3))",
        "to add",
        "  + # new layer: Dense(units=32)",
    ]


@pytest.mark.parametrize("output", ["linear", "sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("head", [(), (Change("head"),)])
def test_lines_for_the_targets_do_what_was_tried(output, head):
    y = np.array([3.0, -7.0, 40.0, 11.0], np.float32)
    made = case([dense(4, "relu"), dense(1, output)], "mean_squared_error", np.eye(4), y)
    changes = (Change("targets"), *head)
    tried = apply(changes, made.setup, made.data, made.task)[1].y[0]
    script = SimpleNamespace(fit=SimpleNamespace(at=None), train=SimpleNamespace(targets=[]))
    names = {"np": np, "x": made.data.x[0], "y": y}
    exec("\n".join(edits.data_lines(script, made.setup, changes)), names)
    assert names["y"] == pytest.approx(tried, abs=1e-5)


def test_every_cause_is_documented():
    text = (Path(edits.__file__).parent / "README.md").read_text(encoding="utf-8")
    assert [name for name in CAUSES if f"| `{name}` | {CAUSES[name]} |" not in text] == []
