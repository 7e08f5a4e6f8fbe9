"""Small Keras scripts with known faults, made by changing one or two things in scripts that learn.

A program is data lines, layers and settings; a fault replaces some of them. `programs` gives all scripts, each with
the causes that a verdict may name. Thresholds were chosen on the data and nets of TUNED; the others are only measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

TUNED = ("xor", "moons", "digits", "sine", "friedman", "wine")


@dataclass(frozen=True)
class Program:
    """A script in parts."""

    data: str
    layers: tuple[str, ...]  # calls of keras.layers, the output last
    loss: str
    optimizer: str = "keras.optimizers.Adam(learning_rate=0.01)"
    metrics: str = "['accuracy']"
    epochs: int = 50
    batch: int = 32
    fit: str = ""

    def text(self) -> str:
        lines = ["import numpy as np", "import keras", "from keras import layers", "", "rng = np.random.default_rng(0)"]
        lines += [*self.data.strip().splitlines(), "", "model = keras.Sequential()"]
        lines += [f"model.add({'' if '.' in layer.split('(')[0] else 'layers.'}{layer})" for layer in self.layers]
        lines += ["", f"model.compile(optimizer={self.optimizer}, loss={self.loss!r}, metrics={self.metrics})"]
        fit = f", {self.fit}" if self.fit else ""
        return "\n".join([*lines, f"model.fit(x, y, epochs={self.epochs}, batch_size={self.batch}{fit})", ""])


DENSE2 = ("Dense(32, activation='relu')", "Dense(32, activation='relu')")
ONE, LINEAR = "Dense(1, activation='sigmoid')", "Dense(1)"

LEARNING = {
    "xor": Program(
        "x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])\ny = np.array([0, 1, 1, 0])",
        ("Dense(16, activation='tanh')", ONE),
        "binary_crossentropy",
        epochs=500,
        batch=4,
    ),
    "moons": Program(
        "from sklearn.datasets import make_moons\nx, y = make_moons(300, noise=0.15, random_state=0)",
        (*DENSE2, ONE),
        "binary_crossentropy",
    ),
    "digits": Program(
        "from sklearn.datasets import load_digits\nx, y = load_digits(return_X_y=True)\nx = x / 16",
        ("Dense(64, activation='relu')", "Dense(32, activation='relu')", "Dense(10, activation='softmax')"),
        "sparse_categorical_crossentropy",
        "keras.optimizers.Adam()",
        epochs=15,
    ),
    "sine": Program(
        "x = np.linspace(-3, 3, 200).reshape(-1, 1)\ny = np.sin(x)",
        (*DENSE2, LINEAR),
        "mse",
        metrics="['mae']",
    ),
    "friedman": Program(
        "from sklearn.datasets import make_friedman1\nx, y = make_friedman1(500, noise=0.5, random_state=0)\n"
        "y = (y - y.mean()) / y.std()",
        (*DENSE2, LINEAR),
        "mse",
        metrics="['mae']",
        epochs=30,
    ),
    "wine": Program(
        "from sklearn.datasets import load_wine\nx, y = load_wine(return_X_y=True)\n"
        "x = (x - x.mean(axis=0)) / x.std(axis=0)\ny = keras.utils.to_categorical(y)",
        ("Dense(16, activation='relu')", "Dense(3, activation='softmax')"),
        "categorical_crossentropy",
    ),
    "cancer": Program(
        "from sklearn.datasets import load_breast_cancer\nx, y = load_breast_cancer(return_X_y=True)\n"
        "x = (x - x.mean(axis=0)) / x.std(axis=0)",
        ("Dense(30, activation='relu')", "Dense(15, activation='relu')", ONE),
        "binary_crossentropy",
        "keras.optimizers.RMSprop(learning_rate=0.003)",
        epochs=20,
    ),
    "circles": Program(
        "from sklearn.datasets import make_circles\nx, y = make_circles(240, noise=0.05, factor=0.5, random_state=0)",
        ("Dense(24, activation='tanh')", "Dense(12, activation='tanh')", ONE),
        "binary_crossentropy",
        "keras.optimizers.SGD(learning_rate=0.3, momentum=0.9)",
        epochs=60,
    ),
    "images": Program(
        "from sklearn.datasets import load_digits\nx, y = load_digits(return_X_y=True)\n"
        "x = (x / 16).reshape(-1, 8, 8, 1)\ny = keras.utils.to_categorical(y)",
        (
            "Conv2D(16, (3, 3), activation='relu')",
            "MaxPooling2D((2, 2))",
            "Flatten()",
            "Dense(32, activation='relu')",
            "Dropout(0.25)",
            "Dense(10, activation='softmax')",
        ),
        "categorical_crossentropy",
        "keras.optimizers.Adam()",
        epochs=15,
    ),
    "sums": Program(
        "x = rng.uniform(-1, 1, (400, 3))\ny = x @ [1.0, -2.0, 0.5] + x[:, 0] * x[:, 1]",
        ("Dense(20, activation='relu')", "Dense(10, activation='relu')", LINEAR),
        "mean_squared_error",
        "keras.optimizers.SGD(learning_rate=0.05, momentum=0.9)",
        "['mse']",
        epochs=40,
        batch=20,
    ),
    "spirals": Program(
        "t = rng.uniform(0.5, 3, 450)\ny = np.arange(450) % 3\na = 2 * t + y * 2 * np.pi / 3\n"
        "x = np.c_[t * np.cos(a), t * np.sin(a)] + rng.normal(0, 0.05, (450, 2))",
        ("Dense(48, activation='relu')", "Dense(48, activation='relu')", "Dense(3, activation='softmax')"),
        "sparse_categorical_crossentropy",
        epochs=60,
    ),
    "series": Program(
        "x = rng.normal(0, 1, (400, 12, 1))\ny = (x[:, -4:, 0].sum(axis=1) > 0).astype(int)",
        ("LSTM(16)", "Dense(8, activation='relu')", ONE),
        "binary_crossentropy",
        epochs=20,
    ),
}


@dataclass(frozen=True)
class Fault:
    """What is changed, in which programs, and which causes name it."""

    causes: tuple[str, ...]
    of: tuple[str, ...]
    output: str | None = None  # replaces the output layer
    loss: str | None = None
    optimizer: str | None = None
    data: str | None = None  # lines after the program's own
    replace: tuple[str, str] | None = None  # in every layer's text
    hidden: tuple[str, ...] | None = None  # replace the hidden layers
    before_output: str | None = None
    epochs: int | None = None
    batch: int | None = None
    fit: str | None = None


SGD = "keras.optimizers.SGD(learning_rate={})"

FAULTS = {
    "softmax_of_one": Fault(
        ("output_activation",), ("moons", "cancer", "series"), output="Dense(1, activation='softmax')"
    ),
    "relu_output": Fault(
        ("output_activation", "dead_relu"), ("moons", "circles"), output="Dense(1, activation='relu')"
    ),
    "softmax_for_values": Fault(("output_activation",), ("friedman", "sums"), output="Dense(1, activation='softmax')"),
    "sigmoid_for_values": Fault(("output_activation", "target_scale"), ("sine", "sums"), output=ONE, data="y = 10 * y"),
    "relu_for_values": Fault(
        ("output_activation", "dead_relu"), ("sine", "sums"), output="Dense(1, activation='relu')", data="y = y - 3"
    ),
    "categorical_of_one": Fault(
        ("loss_function", "output_units", "output_activation"),
        ("moons", "cancer"),
        loss="categorical_crossentropy",
    ),
    "crossentropy_for_values": Fault(("loss_function",), ("friedman", "sums"), loss="binary_crossentropy"),
    "one_unit_for_classes": Fault(
        ("output_units", "output_activation", "loss_function"),
        ("digits", "spirals"),
        output=ONE,
        loss="binary_crossentropy",
    ),
    "slow": Fault(
        ("learning_rate_low", "optimizer_choice", "epochs_few"), ("digits", "circles"), optimizer=SGD.format(1e-6)
    ),
    "fast": Fault(
        ("learning_rate_high", "optimizer_choice"),
        ("digits", "spirals"),
        optimizer="keras.optimizers.Adam(learning_rate=3.0)",
    ),
    "few_epochs": Fault(
        ("epochs_few", "learning_rate_low"),
        ("moons", "sums"),
        epochs=1,
        optimizer=SGD.format(0.01),
    ),
    "huge_inputs": Fault(("input_scale",), ("moons", "cancer"), data="x = x * 1e4 + 3e4"),
    "tiny_inputs": Fault(("input_scale",), ("digits", "images"), data="x = x / 65025"),
    "far_targets": Fault(("target_scale",), ("friedman", "sums"), data="y = 5000 * y + 20000"),
    "dropout": Fault(("dropout_high",), ("digits", "spirals"), before_output="Dropout(0.97)"),
    "penalty": Fault(
        ("regularization_strong",),
        ("digits", "images"),
        replace=("activation='relu'", "activation='relu', kernel_regularizer=keras.regularizers.L2(1.0)"),
    ),
    "activity": Fault(
        ("regularization_strong",),
        ("moons", "spirals"),
        replace=("activation='relu'", "activation='relu', activity_regularizer=keras.regularizers.L1(3.0)"),
    ),
    "linear": Fault(
        ("hidden_activation_missing",),
        ("sine", "circles"),
        replace=("activation='relu'", "activation=None"),
    ),
    "narrow": Fault(
        ("capacity_low", "dead_relu"),
        ("digits", "images"),
        hidden=("Dense(1, activation='relu')",),
    ),
    "deep_sigmoid": Fault(
        ("vanishing_gradient", "hidden_activation"),
        ("digits", "cancer"),
        hidden=("Dense(16, activation='sigmoid')",) * 7,
    ),
    "zeros": Fault(
        ("weight_init",),
        ("moons", "spirals"),
        replace=("activation='relu'", "activation='relu', kernel_initializer='zeros'"),
    ),
    "frozen": Fault(
        ("frozen_layers",),
        ("moons", "sums"),
        replace=("activation='", "trainable=False, activation='"),
    ),
    "labels_from_one": Fault(
        ("label_encoding", "loss_function", "output_activation"), ("moons", "cancer"), data="y = y + 1"
    ),
    "text_labels": Fault(("label_encoding",), ("moons", "cancer"), data="y = np.where(y == 1, 'yes', 'no')"),
    "one_hot_with_sparse": Fault(
        ("label_encoding", "loss_function"), ("wine", "images"), loss="sparse_categorical_crossentropy"
    ),
    "numbers_with_categorical": Fault(
        ("label_encoding", "loss_function"), ("digits", "spirals"), loss="categorical_crossentropy"
    ),
    "missing": Fault(("data_not_finite",), ("friedman", "cancer"), data="x[5, 0] = np.nan"),
    "one_batch": Fault(
        ("batch_size", "epochs_few", "learning_rate_low"),
        ("digits", "sums"),
        batch=4096,
        epochs=10,
        optimizer=SGD.format(0.01),
    ),
    "chance": Fault(("data_unlearnable",), ("moons", "friedman", "cancer"), data="y = rng.permutation(y)"),
}

DOUBLE = (
    ("xor", "softmax_of_one", "slow"),
    ("moons", "softmax_of_one", "huge_inputs"),
    ("moons", "relu_output", "few_epochs"),
    ("sine", "softmax_for_values", "far_targets"),
    ("sine", "linear", "far_targets"),
    ("friedman", "sigmoid_for_values", "slow"),
    ("digits", "tiny_inputs", "penalty"),
    ("cancer", "softmax_of_one", "few_epochs"),
    ("circles", "softmax_of_one", "linear"),
    ("spirals", "dropout", "few_epochs"),
    ("sums", "sigmoid_for_values", "few_epochs"),
    ("images", "tiny_inputs", "penalty"),
    ("series", "softmax_of_one", "few_epochs"),
    ("spirals", "narrow", "slow"),
)

HEALTHY = {  # by program: other ways to set it up that learn as well
    "moons": ({"optimizer": "'rmsprop'", "epochs": 100}, {"fit": "validation_split=0.2"}),
    "digits": (
        {"optimizer": "keras.optimizers.SGD(learning_rate=0.1, momentum=0.9)"},
        {"batch": 64, "fit": "validation_split=0.1"},
    ),
    "friedman": ({"optimizer": "keras.optimizers.RMSprop(learning_rate=0.005)"},),
    "wine": ({"optimizer": SGD.format(0.1)},),
    "cancer": ({"optimizer": "'adam'"}, {"fit": "class_weight={0: 1.5, 1: 1.0}"}),
    "spirals": ({"optimizer": "'nadam'", "epochs": 150},),
    "sums": ({"optimizer": "'adam'", "epochs": 100},),
    "series": ({"optimizer": "'adam'", "epochs": 40},),
}


@dataclass(frozen=True)
class Case:
    """A script, and what is wrong with it."""

    name: str
    program: str
    faults: tuple[str, ...]
    causes: tuple[str, ...]  # any of which names a fault; empty: it learns
    text: str


def with_fault(program: Program, fault: Fault) -> Program:
    """The program with one fault."""
    layers = list(program.layers)
    if fault.hidden is not None:
        kept = [layer for layer in layers[:-1] if not layer.startswith("Dense")]
        layers = [*kept, *fault.hidden, layers[-1]]
    if fault.output is not None:
        layers[-1] = fault.output
    if fault.replace is not None:
        old, new = fault.replace
        if fault.causes == ("hidden_activation_missing",):
            layers = [layer.replace("activation='tanh'", old) for layer in layers]
        layers = [layer.replace(old, new) for layer in layers[:-1]] + layers[-1:]
        if "trainable" in new:
            layers[-1] = layers[-1].replace("Dense(", "Dense(trainable=False, units=")
    if fault.before_output is not None:
        layers.insert(-1, fault.before_output)
    return replace(
        program,
        layers=tuple(layers),
        data=program.data + (f"\n{fault.data}" if fault.data else ""),
        loss=fault.loss or program.loss,
        optimizer=fault.optimizer or program.optimizer,
        epochs=fault.epochs or program.epochs,
        batch=fault.batch or program.batch,
    )


def programs() -> Iterator[Case]:
    """All scripts: healthy ones, single faults, double faults."""
    for name, program in LEARNING.items():
        yield Case(f"{name}", name, (), (), program.text())
        for number, settings in enumerate(HEALTHY.get(name, ()), 2):
            yield Case(f"{name}_{number}", name, (), (), replace(program, **settings).text())
    for kind, fault in FAULTS.items():
        for name in fault.of:
            yield Case(f"{name}_{kind}", name, (kind,), fault.causes, with_fault(LEARNING[name], fault).text())
    for name, first, second in DOUBLE:
        both = with_fault(with_fault(LEARNING[name], FAULTS[first]), FAULTS[second])
        causes = FAULTS[first].causes + FAULTS[second].causes
        yield Case(f"{name}_{first}_{second}", name, (first, second), causes, both.text())
