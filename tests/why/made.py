"""Setups and data made from plain values, for tests of `why`."""

import numpy as np

from stages.core.why import task as tasks
from stages.core.why.setup import Data, Setup
from stages.core.why.trial import Case


def layer(kind, **config):
    return {"module": "keras.layers", "class_name": kind, "config": config, "registered_name": None}


def net(*layers, columns=2):
    """A sequential net; layers are (class, settings) and get names."""
    first = layer("InputLayer", batch_shape=[None, columns], dtype="float32", name="input")
    made = [layer(kind, name=f"{kind.lower()}_{k}", **settings) for k, (kind, settings) in enumerate(layers)]
    return {"module": "keras", "class_name": "Sequential", "config": {"name": "net", "layers": [first, *made]}}


def dense(units, activation="linear", **settings):
    return "Dense", {"units": units, "activation": activation, **settings}


def case(
    layers, loss, x, y, *, optimizer="Adam", rate=0.001, epochs=50, batch=32, held_out=None, loss_config=(), **more
):
    x, y = np.asarray(x, np.float32), np.asarray(y)
    setup = Setup(
        net(*layers, columns=x.shape[-1]),
        {"class_name": optimizer, "config": {"learning_rate": rate}},
        ({"name": loss, "config": dict(loss_config)},),
        epochs,
        batch,
        **more,
    )
    x_held_out, y_held_out = ((held_out[0],), (held_out[1],)) if held_out else ((), ())
    data = Data((x,), (y,), x_held_out, y_held_out)
    return Case(setup, data, tasks.find(setup, y))


def blobs(n=90, classes=2, columns=2):
    """Well separated classes, in random order."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, classes, n)
    return rng.normal(0, 0.3, (n, columns)) + y[:, None], y


def line(n=90):
    """A regression with two inputs."""
    x = np.random.default_rng(2).uniform(-1, 1, (n, 2))
    return x, x[:, 0] - 2 * x[:, 1]
