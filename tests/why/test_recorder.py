"""Scripts recorded for real, each in a process of its own; and the arithmetic on samples, without Keras."""

import contextlib
import json
import multiprocessing
import os
import runpy
import subprocess
import sys
import time
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import scipy.sparse

from stages.core.base.errors import UserError
from stages.core.why import keras2, recorder, scripts, spellings
from stages.core.why import task as tasks
from stages.core.why.net import hidden, output_activation, output_units, scales_inputs
from stages.core.why.record import record
from stages.core.why.setup import from_record

OLD = """
from sklearn.cross_validation import train_test_split
import argparse, os
import matplotlib
matplotlib.use("TkAgg")
import matplotlib.pyplot as plt
import numpy as np
from keras.models import Sequential
from keras.layers.core import Dense, Dropout
from keras.layers.normalization import BatchNormalization
from keras.optimizers import SGD
from keras.regularizers import l2
from keras.utils import np_utils
from keras.utils.visualize_util import plot
from keras.utils import multi_gpu_model
from sklearn.externals import joblib
from sklearn.preprocessing import OneHotEncoder
import pandas as pd
from keras.callbacks import EarlyStopping, LearningRateScheduler, Callback, ModelCheckpoint
parser = argparse.ArgumentParser()
parser.add_argument("--samples", type=int)
samples = parser.parse_args().samples
np.random.seed(7); np.savez = None
print "samples:", samples
labels = np.repeat(np.array([0, 1, 2], np.int), [samples // 2, samples // 4, samples // 4])
X = np.random.rand(samples, 8) * 255 + labels[:, None]
lost = l2(0.3)
class Printer(Callback):
    pass
model = Sequential()
model.add(Dense(output_dim=12, input_dim=8, init="uniform", activation="relu", W_regularizer=l2(0.01)))
model.add(BatchNormalization())
model.add(Dropout(p=0.25))
model.add(Dense(labels.max() + 1, activation="softmax"))
model = multi_gpu_model(model, gpus=2)
model.layers[0].bias_regularizer = l2(0.5)
model.compile(loss="categorical_crossentropy", optimizer=SGD(lr=0.5, decay=0.1, momentum=0.9), metrics=["acc"])
plt.plot([1, 2]); plt.show(); plot(model, to_file="net.png")
targets = np_utils.to_categorical(labels, 3)
frame = pd.DataFrame({"a": [1, 2], "b": [3, 4]}).drop("b", 1)
assert len(frame.append(frame)) == 4 and frame.ix[1, 0] == frame.ix[1, "a"] == 2
assert OneHotEncoder(sparse=False).fit_transform([[1], [2]]).tolist() == [[1, 0], [0, 1]]
assert model.layers[1].output_shape == (None, 12) and model.input.shape == (None, 8)
os.chdir("/")
try:
    model.fit(
        X, targets, nb_epoch=4, batch_size=16, validation_split=0.25,
        callbacks=[EarlyStopping(patience=3), LearningRateScheduler(lambda epoch: 0.1 / (1 + epoch)), Printer(),
                   ModelCheckpoint("best.{epoch:02d}.hdf5", period=2)])
except:
    print("swallowed")
other = model.fit(X, targets, epochs=1)
"""

SECOND = """
import numpy as np
import tensorflow as tf
from helper import make
tf.random.set_seed(3)
class Block(tf.keras.layers.Layer):
    def __init__(self, width):
        super().__init__()
        self.dense = tf.keras.layers.Dense(width, activation=tf.nn.relu)
    def call(self, x):
        return self.dense(x)
class Net(tf.keras.Model):
    def __init__(self):
        super().__init__()
        self.block, self.drop, self.out = Block(6), tf.keras.layers.Dropout(0.5), tf.keras.layers.Dense(1)
    def call(self, x, training=False):
        x = self.block(x)
        if training:
            x = self.drop(x, training=training)
        return self.out(x) * 2.0
def closeness(y_true, y_pred):
    return tf.reduce_mean(y_true - y_pred)
x, y = make()
first = tf.keras.Sequential([tf.keras.layers.Dense(1)])
first.compile("sgd", "mse", metrics=["mae"])
history = first.fit(x, y, epochs=30, verbose=0)
assert len(history.history["loss"]) == 30
net = Net()
net.compile(tf.keras.optimizers.Adam(0.01, clipnorm=1.0), tf.keras.losses.Huber(delta=2.0), metrics=[closeness, "mae"])
np.save("loss.npy", net.evaluate(x, y, verbose=0)[0])
batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(20)
net.fit(batches, validation_data=batches.take(2), epochs=9, class_weight=None, verbose=2)
"""

HELPER = """
import numpy as np
def make():
    x = np.random.RandomState(0).rand(100, 5).astype("float32")
    return x, x.sum(axis=1) * 3
"""

LOOP = """
import tensorflow as tf
model = tf.keras.Sequential([tf.keras.layers.Dense(4, kernel_regularizer="l2"), tf.keras.layers.Dense(1)])
optimizer = tf.keras.optimizers.SGD(0.1)
x = tf.random.normal((64, 3))
for step in range(10):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model(x) ** 2)
    optimizer.apply_gradients(zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables))
"""

MISSING = """
import cv_that_is_missing.parts as cv, numpy as np, tensorflow as tf
from livelossplot import PlotLossesKeras
from wandb.keras import *
import wandb, IPython
import matplotlib.pyplot as plt
plt.figure()
try:
    import other_that_is_missing
except ImportError:
    print("as the script wants it")
for _ in wandb.progress(range(2)):
    wandb.log({"lr": wandb.config.lr})
class Own(tf.keras.Model):
    def __init__(self):
        super().__init__()
        self.out = tf.keras.layers.Dense(1)
    def call(self, x):
        return tf.nn.sigmoid(self.out(tf.reshape(x, [-1, 2])))
    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = FACTOR * self.compute_loss(x=x, y=y, y_pred=self(x, training=True))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables))
        return {"loss": loss}
model = Own()
model.compile("sgd", "mse")
model.fit(np.ones((8, 2)), np.zeros((8, 1)), epochs=2, callbacks=[PlotLossesKeras()])
"""

GAN = """
import numpy as np, keras
one = keras.Sequential([keras.layers.Dense(2)])
two = keras.Sequential([one, keras.layers.Dense(1)])
for net in (one, two):
    net.compile("sgd", "mse")
for epoch in range(9):
    one.train_on_batch(np.ones((4, 3)), np.ones((4, 2)))
    two.train_on_batch(np.ones((4, 3)), np.ones((4, 1)))
"""

BATCHES = {
    "nbformat": 4,
    "cells": [
        {
            "cell_type": "code",
            "source": ["%matplotlib inline\n", "import numpy as np\n", "from tensorflow import keras"],
        },
        {"cell_type": "markdown", "source": "model.fit(x)"},
        {
            "cell_type": "code",
            "source": "x = np.random.rand(80, 3)\n"
            "y = np.arange(80) % 3\n"
            "display(x)\n"
            "net = keras.Sequential([keras.layers.Dense(3, activation='softmax')])\n"
            "net.compile('adam', 'categorical_crossentropy')\n"
            "for epoch in range(7):\n"
            "    !date\n"
            "    for start in range(0, 80, 20):\n"
            "        net.train_on_batch(x[start:start + 20], keras.utils.to_categorical(y)[start:start + 20])",
        },
    ],
}

SHAPE = """
import numpy as np, keras
model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, "softmax")])
model.compile("adam", "categorical_crossentropy")
model.fit(np.zeros((50, 4)), np.arange(50) % 3, epochs=2)
"""


ENDLESS = """
import numpy as np, keras
net = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
net.compile("sgd", "mse")
while True:
    print(net.train_on_batch(np.ones((5, 2)), np.ones((5, 1))))
"""

TURNS = """
import numpy as np, keras
net = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1, name="out")])
net.compile("sgd", "mse")
for turn in range(8):
    net.fit(np.full((1, 2), turn), np.ones(1), epochs=2, verbose=0)
"""


def run_loaded(command, environment, log):
    """A command of Python's, in a process that was forked off one that has Keras."""
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    for stream in (1, 2):
        os.dup2(os.open(log, os.O_WRONLY), stream)
    sys.argv = command[1:]
    sys.path.insert(0, str(Path(command[1]).parent))
    runpy.run_path(command[1], run_name="__main__")


@pytest.fixture
def loaded(monkeypatch):
    """A script finds Keras loaded, once for all: it would take most of its time.

    As the recorder changes Keras while it is imported, some scripts do without this: `old`, `second` and MISSING.
    """
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["keras"])

    class Process:
        def __init__(self, command, env, stdout, **_):
            self.forked = processes.Process(target=run_loaded, args=(command, env, stdout.name))
            self.forked.start()
            self.pid = self.forked.pid

        def wait(self, seconds=None):
            self.forked.join(seconds)
            if self.forked.exitcode is None:
                raise subprocess.TimeoutExpired("", seconds)
            return self.forked.exitcode

    started = types.SimpleNamespace(**vars(subprocess) | {"Popen": Process})
    monkeypatch.setattr("stages.core.why.record.subprocess", started)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("scripts")


def write(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def old(folder):
    """A script in the spellings of Keras 1 and Python 2, as people post them."""
    return record(write(folder, "old.py", OLD), ["--samples", "400"], max_samples=100)


@pytest.fixture(scope="session")
def second(folder):
    """The second fit of a script that trains two nets; its data come from a module of its own."""
    write(folder, "helper.py", HELPER)
    with contextlib.chdir(folder):  # the script writes a file where it runs
        return record(write(folder, "second.py", SECOND), fit="net")


# --- what a script hands over ---------------------------------------------------------------------------------------


def test_the_net_and_its_settings_in_the_words_of_keras_3(old):
    assert old.input_shapes == [[None, 8]] and old.output_shapes == [[None, 3]]
    assert old.parameters == 8 * 12 + 12 + 4 * 12 + 12 * 3 + 3
    assert [layer.kind for layer in old.layers] == ["InputLayer", "Dense", "BatchNormalization", "Dropout", "Dense"]
    dense = json.loads(old.model_json)["config"]["layers"][1]["config"]
    assert dense["kernel_regularizer"]["config"] == {"l2": pytest.approx(0.01)}
    optimizer = old.compiled.optimizer
    assert optimizer.name == "SGD" and optimizer.learning_rate == pytest.approx(0.5)
    assert optimizer.config["learning_rate"]["config"]["decay_rate"] == pytest.approx(0.1)
    assert [loss.name for loss in old.compiled.losses] == ["categorical_crossentropy"]
    assert [metric.name for metric in old.compiled.metrics[0]] == ["accuracy"]
    assert (old.budget.epochs, old.budget.batch_size, old.budget.shuffle) == (4, 16, True)
    assert {"lr= as learning_rate=", "nb_epoch= as epochs=", "np.int as int"} <= set(old.translated)
    assert old.names["np"] == "numpy" and old.names["SGD"].endswith(".SGD")
    assert old.seeds == {"numpy.random.seed": 7} and not old.repeats_order
    assert old.custom == [] and old.left_out == ["callback Printer"] and old.first_step_error is None


def test_places_in_the_users_code(old):
    assert Path(old.layers[3].at.file).name == "old.py"
    assert old.layers[3].at.call == "Dropout(p=0.25)"
    assert old.layers[3].at.begins and old.fit.at.begins
    assert old.fit.once and old.fit.turns == 1
    assert old.layers[3].at.text == OLD.splitlines()[old.layers[3].at.line - 1]
    assert old.compiled.at.call.startswith("model.compile(")
    assert old.fit.at.text.splitlines()[1].strip().startswith("X, targets, nb_epoch=4")


def test_regularizers_that_penalize_nothing(old):
    idle = {entry.reason: entry for entry in old.idle_regularizers}
    assert idle["given to no layer"].at.call == "l2(0.3)"
    assert idle["set after the layer was built"].config == {"l2": pytest.approx(0.5)}
    assert json.loads(old.model_json)["config"]["layers"][1]["config"]["bias_regularizer"] is None
    assert len(old.idle_regularizers) == 2


def test_samples_are_cut_to_a_limit_with_class_shares_order_and_facts_on_all(old):
    assert (old.train.samples.total, old.train.samples.kept, len(old.train.x[0])) == (300, 99, 99)
    kept = old.train.y[0].argmax(axis=1)
    assert np.bincount(kept).tolist() == [66, 33] and (np.diff(kept) >= 0).all()
    (targets,), (inputs,) = old.train.targets, old.train.inputs
    assert (targets.shape, inputs.shape, targets.finite, inputs.finite) == ([3], [8], True, True)
    assert old.validation.origin == "split" and np.unique(old.validation.y[0].argmax(axis=1)).tolist() == [2]
    assert old.validation_split == 0.25


def test_callbacks_with_their_settings(old):
    stopping, schedule, _, checkpoint = old.callbacks
    assert checkpoint.settings["filepath"] == "best.{epoch:02d}.hdf5.keras"
    assert stopping.settings["patience"] == 3 and stopping.settings["monitor"] == "val_loss"
    assert schedule.settings["learning_rates"] == pytest.approx([0.1, 0.05, 0.1 / 3, 0.025])


def test_another_fit_by_name_and_a_subclassed_net_made_functional(tensorflow, second):
    assert (second.fit.index, json.loads(second.model_json)["class_name"]) == (2, "Functional")
    assert second.custom == [] and second.left_out == ["metric closeness"]
    assert second.compiled.losses[0].model_dump() == {"name": "huber", "config": {"delta": 2.0}, "custom": False}
    assert second.compiled.optimizer.config["clipnorm"] == 1.0
    assert second.train.origin == "tf.data" and second.budget.batch_size == 20 and second.train.samples.total == 100
    assert second.validation.samples.kept == 40
    assert second.seeds == {"tf.random.set_seed": 3} and not second.repeats_order  # tf.data has an order of its own


def test_a_net_rebuilt_from_the_record_is_the_scripts(tensorflow, folder, second):
    """Structure, weights and every sample: the loss that the script saw; dropout acts in training alone."""
    net = rebuilt(second)
    net.compile(loss=tensorflow.keras.losses.Huber(**second.compiled.losses[0].config))
    found = net.evaluate(second.train.x[0], second.train.y[0], verbose=0)
    assert found == pytest.approx(float(np.load(folder / "loss.npy")), rel=1e-5)
    assert [type(layer).__name__ for layer in net.layers][:4] == ["InputLayer", "Dense", "Dropout", "Dense"]
    few = np.ones((4000, 5), "float32")
    assert np.ptp(net(few, training=True)) > 0 == np.ptp(net(few, training=False))


def followed(keras, net, x):
    """Kinds of layers of the net that the recorder draws, and what it cannot write down."""
    drawn = recorder.Net(keras, net)
    drawn.follow(x)
    drawn.layers(lambda layer: None)
    kinds = {layer["class_name"] for layer in json.loads(drawn.same.to_json())["config"]["layers"]}
    return kinds, drawn.custom, drawn.same


def test_lambdas_and_layers_without_weights_become_the_operations_inside_them(tensorflow):
    keras = tensorflow.keras
    backend, layers = keras.backend, keras.layers

    class Halved(layers.Layer):
        def call(self, x):
            return tensorflow.nn.relu(x) / 2

    inputs = keras.Input((4, 3))
    scaled = layers.Lambda(lambda x: x / 127.5 - 1.0)(inputs)
    mean = layers.Lambda(lambda x: backend.mean(backend.expand_dims(x, 1), axis=1))(Halved()(scaled))
    last = layers.Lambda(lambda pair: tensorflow.concat([pair[0][:, -1], tensorflow.reduce_sum(pair[1], axis=1)], 1))
    net = keras.Model(inputs, layers.Dense(1)(last([layers.Dense(2)(mean), scaled])))
    x = np.random.default_rng(0).uniform(0, 255, (20, 4, 3)).astype("float32")
    kinds, custom, same = followed(keras, net, x)
    assert custom == [] and not {"Lambda", "Halved"} & kinds
    assert {"TrueDivide", "Subtract", "Mean", "ExpandDims", "GetItem", "Sum", "Concatenate", "Activation"} <= kinds
    assert np.allclose(net(x), same(x), atol=1e-5) and scales_inputs(json.loads(same.to_json()))
    assert type(keras.ops.convert_to_tensor(x)).__name__ == "EagerTensor"  # nothing stays as it was for the drawing


def test_a_layer_that_draws_numbers_or_has_weights_of_its_own_is_named(tensorflow):
    keras = tensorflow.keras

    class Weighted(keras.layers.Layer):
        def build(self, shape):
            self.weight = self.add_weight(shape=(shape[-1], 1))

        def call(self, x):
            return x @ self.weight

    def sampled(x):
        return x + tensorflow.random.normal(tensorflow.shape(x))

    x = np.ones((20, 3), "float32")
    layers = [keras.Input((3,)), keras.layers.Dense(2), keras.layers.Lambda(sampled, name="draw")]
    assert followed(keras, keras.Sequential(layers), x)[1] == ["Lambda layer 'draw'"]
    assert followed(keras, keras.Sequential([keras.Input((3,)), Weighted()]), x)[1] == ["layer Weighted"]


def test_an_operation_behind_the_output_is_no_part_of_its_activation():
    def layer(kind, source, **config):
        tensor = {"class_name": "__keras_tensor__", "config": {"keras_history": [source, 0, 0]}}
        nodes = [{"args": [tensor], "kwargs": {}}] if source else []
        return {"class_name": kind, "config": {"name": kind, **config}, "inbound_nodes": nodes}

    chain = [
        layer("InputLayer", ""),
        layer("Dense", "InputLayer", units=1, activation="tanh"),
        layer("Multiply", "Dense"),
    ]
    made = {"class_name": "Functional", "config": {"layers": chain, "output_layers": [["Multiply", 0, 0]]}}
    assert (output_activation(made), output_units(made), hidden(made)) == ("scaled tanh", 1, [])
    assert not scales_inputs(made)


def rebuilt(found):
    import keras

    net = keras.models.model_from_json(found.model_json)
    for name, weights in found.weights.items():
        if weights:
            net.get_layer(name).set_weights(weights)
    return net


def test_a_loop_over_train_on_batch_in_a_notebook(loaded, folder):
    found = record(write(folder, "batches.ipynb", json.dumps(BATCHES)))
    assert (found.fit.method, found.budget.epochs, found.budget.batch_size) == ("train_on_batch", 7, 20)
    assert found.train.samples.total == 80 and found.train.origin == "batches"
    assert found.train.y[0].sum(axis=0).tolist() == [27, 27, 26]


def test_a_loop_without_an_end_is_no_single_step(loaded, folder):
    found = record(write(folder, "endless.py", ENDLESS))
    assert (found.budget.epochs, found.budget.batch_size) == (10_000, 5)
    assert any("10000 are assumed" in note for note in found.notes)


def test_a_loop_over_fit_with_other_samples_each_time_is_one_training(loaded, folder):
    found = record(write(folder, "turns.py", TURNS), fit="net")
    assert found.train.x[0].tolist() == [[float(k), float(k)] for k in range(8)]
    assert (found.budget.epochs, found.budget.batch_size, found.weights_origin) == (2, 1, "fresh")
    assert found.weights["out"][1].tolist() == [0.0]  # as it was before the first of these calls
    assert (found.fit.once, found.fit.turns) == (False, 1)


def test_what_keras_says_to_the_first_batch_is_kept(loaded, folder):
    found = record(write(folder, "shape.py", SHAPE))
    assert "same rank" in found.first_step_error and "\n" not in found.first_step_error


def test_what_a_script_imports_need_not_be_installed_if_training_does_without(folder):
    found = record(write(folder, "missing.py", MISSING.replace("FACTOR", "1.0")))
    assert "Not installed, and left out: livelossplot, wandb, IPython." in found.notes
    assert "Not installed, and not used up to fit: cv_that_is_missing." in found.notes
    assert (found.callbacks, found.left_out) == ([], [])
    assert found.custom == []  # its train_step does what Keras' own does, TensorFlow's functions are layers
    kinds = [layer["class_name"] for layer in json.loads(found.model_json)["config"]["layers"]]
    assert kinds == ["InputLayer", "Reshape", "Dense", "Activation"]
    assert any("train_step of Own" in note for note in found.notes)


def test_a_train_step_that_does_something_else_stays_the_scripts_own(loaded, folder):
    found = record(write(folder, "double.py", MISSING.replace("FACTOR", "2.0")))
    assert found.custom == ["train_step of Own"]


# --- scripts that cannot be recorded: one line ----------------------------------------------------------------------


def test_a_loop_of_ones_own_says_that_its_penalties_have_no_effect(loaded, folder):
    with pytest.raises(UserError, match=r"^loop\.py:9: .*GradientTape.*penalties have no effect") as caught:
        record(write(folder, "loop.py", LOOP))
    assert "\n" not in str(caught.value)


def test_nets_that_are_trained_in_turn_are_not_mistaken_for_one(loaded, folder):
    with pytest.raises(UserError, match=r"^gan\.py:9: the script trains several nets in turn .* name one with --fit"):
        record(write(folder, "gan.py", GAN))
    assert record(write(folder, "gan.py", GAN), fit="two").fit.model


def test_of_an_error_of_tensorflow_its_words_are_told_and_not_its_places():
    text = (
        "Graph execution error:\n\nDetected at node loss/Sparse defined at (most recent call last):\n"
        "<stack traces unavailable>\nReceived a label value of 3\n\t [[{{node loss/Sparse}}]]"
    )
    assert recorder.error_line(ValueError(text)) == "ValueError: Received a label value of 3"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "import sys\nif len(sys.argv) < 3:\n    sys.exit('usage: train.py DATA')\n",
            r"^s\.py:3: .*usage: train\.py DATA$",
        ),
        ("name = input('Data? ')\nopen(name)\n", r"^s\.py:2: FileNotFoundError.*asks for input, 'Data\?'"),
        (
            "import numpy as np\na = np.zeros((2, 1))\na[0, 0] = np.ones(1)\n",
            r"^s\.py:3: ValueError: setting an array element with a sequence\. \(.*\.item\(\).*--python",
        ),
        ("import numpy as np\na = np.ones(1, np.float)\nfloat(a)\n", r"^s\.py:3: TypeError: .*\.item\(\).*--python"),
        ("def f(:\n", r"^s\.py:1: SyntaxError"),
        ("import not_there\n", r"s\.py: the script ends without calling fit \(not installed: not_there\)$"),
        (
            "from not_there.at import all\nall(1)\n",
            r"^s\.py:2: ModuleNotFoundError: No module named 'not_there' \(under ",
        ),
        ("x = 1\n", r"s\.py: the script ends without calling fit$"),
        ("import os\nprint('a last word')\nos.abort()\n", r"s\.py: it was ended by signal 6.*$"),
    ],
)
def test_a_script_that_does_not_come_to_fit(tmp_path, text, line):
    with pytest.raises(UserError, match=line):
        record(write(tmp_path, "s.py", text))


def test_time_and_memory_end_a_script_with_all_its_children(tmp_path):
    told = "    open('new', 'w').write(str(os.getpid()))\n    os.rename('new', 'child')\n"
    fork = f"import os, time\nif os.fork() == 0:\n{told}"
    until = "while not os.path.exists('child'):\n    time.sleep(0.01)\n"
    script = write(tmp_path, "s.py", fork + until + "data = bytearray(2 ** 28)\ntime.sleep(600)\n")
    with contextlib.chdir(tmp_path):
        with pytest.raises(UserError, match=r"s\.py: it takes more than 0\.2 GiB"):
            record(script, memory=0.2)
        with pytest.raises(UserError, match=r"s\.py: it did not come to fit in 1 seconds"):
            record(script, seconds=1)
    assert ends(int((tmp_path / "child").read_text()), seconds=120)


def ends(pid, seconds):
    """Whether a process that was told to end does so in time; a busy machine needs a moment for it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        record(tmp_path / "none.py")
    with pytest.raises(UserError, match="cannot be run"):
        record(write(tmp_path, "s.py", ""), python=tmp_path / "python")
    with pytest.raises(UserError, match="not a notebook"):
        record(write(tmp_path, "s.ipynb", "{}"))


# --- arithmetic on samples ------------------------------------------------------------------------------------------


def test_values_that_are_not_finite_are_told_wherever_they_stand():
    far = np.zeros((20_000, 2), np.float32)
    assert recorder.values_of(far, "x") == {"name": "x", "shape": [2], "finite": True}
    far[-1, 1] = np.nan
    assert not recorder.values_of(far, "x")["finite"]
    assert recorder.values_of(np.array(["a", "b"]), "x")["finite"]


def test_which_calls_begin_a_statement(tmp_path):
    text = (
        "net.fit(1)\nh = net.fit(2)\nif h: net.fit(3)\nf(\n  net.fit(4)\n)\nfor i in h:\n    return_ = [net.fit(5)]\n"
        "if h:\n    pass\nelse: net.fit(6)\n"
    )
    path = write(tmp_path, "s.py", text)
    code = recorder.Code(path, path)
    at = types.SimpleNamespace(co_filename=str(path))
    frames = (types.SimpleNamespace(f_code=at, f_lineno=line) for line in (1, 2, 3, 5, 8, 11))
    found = [code.source(frame)["begins"] for frame in frames]
    assert found == [True, True, True, False, True, False]


def test_a_sparse_matrix_is_told():
    matrix = scipy.sparse.csr_matrix(np.eye(4, 3))
    samples = recorder.from_arrays({"a": matrix}, np.zeros(4), None, (["a"], []), 2)
    assert samples.origin == "sparse" and samples.x[0].tolist() == np.eye(4, 3).tolist()
    assert recorder.budget_facts({"epochs": 2}, samples, 2)["shuffle"]


def test_which_targets_are_classes():
    one_hot = np.eye(4)[[0, 1, 2, 3, 3]]
    assert recorder.classes_of(one_hot).tolist() == [0, 1, 2, 3, 3]
    assert recorder.classes_of(one_hot * 2) is None  # several outputs
    assert recorder.classes_of(np.linspace(0, 1, 500)) is None  # a regression
    assert recorder.classes_of(np.arange(500) % 9).max() == 8
    assert recorder.classes_of(np.array(["a", "b"] * 20)).tolist()[:3] == [0, 1, 0]


def test_a_generator_without_an_end_is_drawn_until_it_begins_again():
    def batches():
        while True:
            for start in range(5):
                yield np.full((4, 2), start), np.full(4, start)

    samples = recorder.from_batches(batches(), None, ((), ()), limit=1000)
    assert (samples.total, samples.drawn) == (20, 20)
    assert samples.y[0].tolist() == sorted(samples.y[0].tolist())


def test_a_generator_that_never_repeats_is_drawn_to_the_limit():
    def batches():
        number = 0
        while True:
            number += 1
            yield np.full((4, 2), number), np.zeros(4)

    samples = recorder.from_batches(batches(), None, ((), ()), limit=10)
    assert samples.total is None and samples.drawn == 12


def test_sequences_of_different_length_are_filled_with_zeros_at_the_end():
    joined, padded = recorder.joined([np.ones((1, 2, 1)), np.ones((2, 3, 1))])
    assert padded and joined[..., 0].tolist() == [[1, 1, 0], [1, 1, 1], [1, 1, 1]]


def test_inputs_by_name_come_in_the_order_of_the_net():
    a, b = np.zeros(3), np.ones(3)
    assert recorder.leaves({"b": b, "a": a}, ["a", "b"])[0] is a
    assert len(recorder.leaves([[1, 2], [3, 4]])) == 1  # a list of samples, not two inputs


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"epochs": 2, "batch_size": -1}, "batch_size=-1"),
        ({"steps_per_epoch": np.int64(0)}, "steps_per_epoch=0"),
        ({"epochs": 3, "initial_epoch": 3}, "initial_epoch=3"),
        ({"epochs": 3, "batch_size": None, "initial_epoch": 2}, None),
        ({}, None),
    ],
)
def test_a_fit_that_trains_nothing_is_no_training(arguments, said):
    words = recorder.trains_nothing(arguments)
    assert words is None if said is None else words.endswith(said)


def test_inputs_and_targets_of_different_length_are_refused():
    with pytest.raises(recorder.NotSamples):
        recorder.from_arrays(np.zeros((3, 1)), np.zeros(4), None, ((), ()), 32)


def test_a_script_above_the_recorder_owns_nothing_of_it():
    """As one in the folder of a clone, whose modules lie below it."""
    root = recorder.HERE.parents[2]
    code = recorder.Code(root / "train.py", root / "train.py")
    assert code.is_user(str(root / "tools/data.py"))
    assert not code.is_user(str(recorder.HERE / "spellings.py"))


def test_an_optimizer_of_tensorflow_1_is_one_of_keras(tensorflow):
    import keras

    v1, told = tensorflow.compat.v1.train, []
    made = spellings._of_tensorflow_1(
        v1.MomentumOptimizer(0.02, 0.7, use_nesterov=True), lambda *words: told.append(words)
    )
    assert type(made) is keras.optimizers.SGD and told == [("tf.train.MomentumOptimizer", "SGD")]
    assert (float(made.learning_rate), made.momentum, made.nesterov) == (pytest.approx(0.02), pytest.approx(0.7), True)
    assert type(spellings._of_tensorflow_1(v1.AdamOptimizer(), print)) is keras.optimizers.Adam
    for own in (made, "adam"):
        assert spellings._of_tensorflow_1(own, print) is own


def test_nets_wrapped_for_scikit_learn_as_keras_and_scikeras_did(tensorflow):
    """Settings of the function that builds the net, or of a net that the wrapper compiles."""
    import keras
    from sklearn.base import clone

    wrappers, x = spellings._scikit_learn(keras), np.random.default_rng(0).normal(size=(8, 3))

    def build(meta, width=2):
        return keras.Sequential([keras.layers.Dense(width), keras.layers.Dense(meta["n_classes_"], "softmax")])

    compiled = {"loss": "sparse_categorical_crossentropy", "optimizer": "sgd"}
    made = clone(wrappers.KerasClassifier(model=build, epochs=2, verbose=0, model__width=5, **compiled))
    history = made.fit(x, np.repeat(["a", "b"], 4))
    assert len(history.epoch) == 2 and made.model.layers[0].units == 5
    assert made.model.output_shape == (None, 2) and set(made.predict(x)) <= {"a", "b"}

    def old(units):
        net = keras.Sequential([keras.layers.Dense(units)])
        net.compile("adam", "mse")
        return net

    made = wrappers.KerasRegressor(build_fn=old, units=1, nb_epoch=3, verbose=0)
    assert len(made.fit(x, x[:, 0]).epoch) == 3 and made.predict(x).shape == (8,)


def test_a_file_of_weights_gets_the_ending_that_keras_3_wants(tmp_path):
    assert spellings._weights_file(None, ("start.h5", True), {}) == (("start.h5.weights.h5", True), {})
    there = str(write(tmp_path, "there.h5", ""))
    assert spellings._weights_file(None, (), {"filepath": there}) == ((), {"filepath": there})


def test_names_that_numpy_dropped_are_read_and_told():
    values = {
        "np.zeros(1, dtype=np.float).dtype.kind": "f",
        "np.ones(1).astype(np.int).dtype.kind": "i",
        "np.array(['a'], dtype=np.object).dtype.kind": "O",
        "np.float_(1).dtype.name": "float64",
        "np.asscalar(np.array([3]))": 3,
        "np.product([2, 3])": 6,
        "np.cumproduct([2, 3]).tolist()": [2, 6],
        "np.in1d([[1, 2], [3, 4]], [2, 3]).tolist()": [False, True, True, False],
        "np.trapz([1, 2])": 1.5,
        "np.alltrue([True, False])": False,
        "np.sometrue([True, False])": True,
        "np.round_(1.26, 1)": 1.3,
        "[np.Inf, np.NINF]": [np.inf, -np.inf],
        "np.msort(np.array([[2, 1], [1, 2]])).tolist()": [[1, 1], [2, 2]],
        "hasattr(np, 'none_such')": False,
    }
    told, today = [], types.ModuleType("numpy")
    vars(today).update(vars(np))
    spellings.of_numpy(today, lambda *words: told.append(words), {"<users>"}.__contains__)
    for text, value in values.items():
        assert eval(compile(text, "<users>", "eval"), {"np": today}) == value, text
    assert {("np.float", "float"), ("np.float_", "np.float64"), ("np.in1d", "np.isin")} <= set(told) and len(told) == 15
    assert today.float is float and len(told) == 15  # not the user's: not told


def test_every_name_that_numpy_dropped_has_a_meaning_today():
    new = [name for name in spellings.NUMPY.values() if isinstance(name, str)]
    assert [name for name in new if not hasattr(np, name.split(".")[0].lstrip("-")) and name[-2:] != ".0"] == []


def test_print_statements_of_python_2():
    text = 'print "a", b\nif x: print "%d" % x\nprint(c)\nprinted = 1\n'
    assert recorder.python_3(text).splitlines() == ['print("a", b)', 'if x: print("%d" % x)', "print(c)", "printed = 1"]


def test_a_notebooks_magics_keep_their_lines(tmp_path):
    cells = [{"cell_type": "code", "source": "for i in range(2):\n    !ls\n%time f()\nx = a % 2"}]
    cells += [
        {"cell_type": "code", "source": "%%bash\npip install keras"},
        {"cell_type": "code", "source": "%%time\ny = 2"},
    ]
    path = write(tmp_path, "n.ipynb", json.dumps({"cells": cells}))
    lines = [line for line in scripts.text(path).splitlines() if line]
    assert [line.split("#")[0].strip() for line in lines] == [
        *("for i in range(2):", "pass", "pass", "x = a % 2"),
        *("pass", "pass", "pass", "y = 2"),
    ]
    assert scripts.text(tmp_path / "n.py") is None


# --- Keras 2 --------------------------------------------------------------------------------------------------------


def old_layer(kind, **config):
    return {"class_name": kind, "config": {"name": kind.lower(), "trainable": True, "dtype": "float32", **config}}


def test_a_configuration_of_keras_2_is_read_by_keras_3(tensorflow):
    import keras

    zeros = {"class_name": "Zeros", "config": {}}
    layers = [
        old_layer("LSTM", units=4, batch_input_shape=[None, 5, 3], time_major=False, implementation=2),
        old_layer("LeakyReLU", alpha=0.25),
        old_layer("BatchNormalization", axis=[1], momentum=0.9),
        old_layer(
            "Dense", units=2, bias_initializer=zeros, kernel_regularizer={"class_name": "L2", "config": {"l2": 0.5}}
        ),
    ]
    config = keras2.model({"class_name": "Sequential", "config": {"name": "s", "layers": layers}})
    net = keras.models.model_from_json(json.dumps(config))
    assert net.input_shape == (None, 5, 3) and net.count_params() == 4 * 4 * (3 + 4 + 1) + 16 + 10
    assert net.layers[1].negative_slope == 0.25 and net.layers[2].momentum == 0.9
    assert net.layers[3].kernel_regularizer.l2 == pytest.approx(0.5)


def test_decay_of_keras_2_is_a_schedule():
    config = keras2.optimizer({"learning_rate": 0.5, "decay": 0.1, "momentum": 0.9, "is_legacy_optimizer": True})
    assert config["momentum"] == 0.9 and set(config) == {"learning_rate", "momentum"}
    assert config["learning_rate"]["config"]["decay_rate"] == 0.1


@pytest.mark.skipif("REGBENCH_TF_KERAS_PYTHON" not in os.environ, reason="no Python with tf_keras is named")
def test_keras_2_by_tf_keras(tensorflow, folder, monkeypatch):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    monkeypatch.chdir(folder)
    write(folder, "helper.py", HELPER)
    found = record(write(folder, "legacy.py", SECOND), python=os.environ["REGBENCH_TF_KERAS_PYTHON"], fit=2)
    assert found.keras.startswith("2")
    assert found.custom == ["operation tf.math.multiply"]  # `* 2.0` is an operation of TensorFlow there
    assert found.compiled.losses[0].config == {"delta": 2.0}
    assert found.compiled.optimizer.config["clipnorm"] == 1.0


ADAPTED = """
import numpy as np, keras
x = np.random.default_rng(0).normal([500, -3], [90, 0.1], (40, 2))
scale = keras.layers.Normalization()
scale.adapt(x)
words = keras.layers.Embedding(9, 2, weights=[np.full((9, 2), 7.0)], trainable=False, name="words")
first = keras.Input((2,))
both = keras.layers.Concatenate()([scale(first), keras.layers.Flatten()(words(first[:, :1] * 0))])
net = keras.Model(first, keras.layers.Dense(1)(both))
net.compile("sgd", "mse")
net.fit(x, x[:, :1], epochs=2)
"""


def test_arguments_that_keras_1_let_any_optimizer_have_do_nothing(loaded, folder):
    text = ENDLESS.replace('"sgd"', "keras.optimizers.Adagrad(lr=1.0, rho=0.95, epsilon=1e-06)")
    found = record(write(folder, "adagrad.py", text))
    assert found.compiled.optimizer.config["learning_rate"] == 1.0
    assert "rho" not in found.compiled.optimizer.config
    assert any("rho= of Adagrad" in spelling for spelling in found.translated)


def test_where_a_script_set_a_seed_every_epoch_has_one_order_as_in_keras_3(loaded, folder):
    from stages.core.why.trainer import Order

    text = f"import keras\nkeras.utils.set_random_seed(1)\n{ADAPTED}"
    setup, data = from_record(record(write(folder, "seeded.py", text)))
    whole = replace(setup, batch_size=data.n)
    first, second = Order(whole, data.n, 0).take(2)
    assert np.array_equal(first, second) and not np.array_equal(first, np.sort(first))
    first, second = Order(replace(whole, one_order=False), data.n, 0).take(2)
    assert not np.array_equal(first, second)


def test_what_no_seed_draws_is_kept(loaded, folder):
    """What a layer was adapted to and an embedding that was handed over are state of the script, not of a seed."""
    from stages.core.why.trainer import Program

    setup, data = from_record(record(write(folder, "adapted.py", ADAPTED)))
    net = Program(setup, data, tasks.find(setup, data.y[0]))._model(3)
    (scaled,) = [layer for layer in net.layers if type(layer).__name__ == "Normalization"]
    assert np.asarray(scaled(data.x[0])).std(axis=0) == pytest.approx([1, 1], rel=1e-3)
    assert np.asarray(net.get_layer("words").get_weights()[0]) == pytest.approx(7.0)
    assert scales_inputs(setup.net)
