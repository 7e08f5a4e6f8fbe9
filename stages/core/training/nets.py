"""Whether Keras makes of a row what it says: asked by `compose`, before anything trains."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from stages.core.base.text import one_line
from stages.core.config.row import Row
from stages.core.training import models, penalties
from stages.core.training.callbacks import Callbacks
from stages.core.training.net import Net


def check(row: Row) -> dict[str, Any]:
    """The shape of the net's outputs and its number of parameters.

    Raises:
        ValueError: Keras refuses something, the parts do not fit together, or the engine would ignore something; the
            text is one line that names the key.
    """
    try:
        net = Net(row)
        _check_shapes(row, net)
        net.task.check()
        _check_callbacks(row)
        _check_penalties(row, net)
    except Exception as error:  # Keras raises many kinds, and nothing but a row is at work here
        raise ValueError(one_line(error)[:400]) from None
    return {"outputs": list(net.model.output_shape[1:]), "parameters": net.model.count_params()}


def _check_shapes(row: Row, net: Net) -> None:
    model, needed = net.model, tuple(row.dataset.shape)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError("keras: the net needs one input and one output")
    if model.input_shape[1:] != needed:
        raise ValueError(f"keras: the net takes samples of shape {model.input_shape[1:]}, not {needed}")
    if len(model.output_shape) != 2:
        given = list(model.output_shape[1:])
        raise ValueError(f"layers: the last layer gives shape {given}, not a vector; a flatten layer may be missing")
    if row.training.balanced and (row.dataset.classes is None or net.task.labels):
        raise ValueError(f"metric: balanced_accuracy goes with classes, but {row.dataset.name} has none")
    weight = row.training.class_weight or {}
    if weight and (
        row.dataset.classes is None or net.task.labels or not set(weight) <= set(range(row.dataset.classes))
    ):
        raise ValueError(f"training.class_weight: {sorted(weight)} are not classes of {row.dataset.name}")


def _check_callbacks(row: Row) -> None:
    figures = {"loss", "data_loss", row.metric, "val_loss", "val_data_loss", f"val_{row.metric}"}
    for name, monitor in Callbacks(row.training).monitored.items():
        if monitor not in figures:
            raise ValueError(f"training.{name}: monitor: {monitor} is none of {', '.join(sorted(figures))}")
    if row.training.reduce_lr_on_plateau is not None and not isinstance(row.optimizer.learning_rate, float):
        raise ValueError("training.reduce_lr_on_plateau: needs a learning rate that is a number, not a schedule")


def _check_penalties(row: Row, net: Net) -> None:
    """What the engine adds up must be what Keras does, of whatever kind the penalties are."""
    x = tf.random.stateless_uniform((2, *row.dataset.shape), (0, 0))
    model = models.build(row, 0)
    model(x)
    keras_value = sum(float(loss) for loss in model.losses)
    net.model(x)
    own = net.model.losses[: len(net.model.losses) - sum(r is not None for r in net.regularizers)]
    weights = [tf.convert_to_tensor(v.value) for v in net.model.trainable_variables]
    ours = float(penalties.value(net.regularizers, weights)) + sum(float(loss) for loss in own)
    if not math.isclose(ours, keras_value, rel_tol=1e-3, abs_tol=1e-7):
        raise ValueError(f"regularizers: Keras' penalty of the initial net is {keras_value:g}, the engine's {ours:g}")
