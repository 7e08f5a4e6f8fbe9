"""What a loss wants as targets, and what is measured of a net's outputs: all that depends on the task, in one place.

*Values* (regression): targets are (n, k) numbers. *Labels*: each of k labels holds or not, targets are (n, k) zeros and
ones. *Classes*: one of several holds; targets are class numbers (n,) for a sparse loss, zeros and ones (n, 1) for a
single output, one-hot (n, classes) otherwise.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from stages.core.config.row import Dataset
from stages.core.training import vocabulary


class Task:
    """The task of a net: how its targets look to the loss, and how its outputs are judged.

    Args:
        dataset: the data set; its `classes` and `targets` count.
        loss: as in a row: Keras' name, or a mapping with its arguments.
        outputs: how many numbers the net gives of a sample.
    """

    def __init__(self, dataset: Dataset, loss: str | dict, outputs: int):
        self.dataset, self.outputs = dataset, outputs
        self.loss = vocabulary.loss(loss)
        self.sparse = isinstance(self.loss, keras.losses.SparseCategoricalCrossentropy)
        self.labels = dataset.classes is not None and dataset.targets > 1
        # Of an output that stands for yes or no; a loss that takes logits means 0 by even odds.
        self.threshold = 0.0 if getattr(self.loss, "from_logits", False) else 0.5

    def check(self) -> None:
        """ValueError if loss or outputs do not fit the data set."""
        classes, name = self.dataset.classes, self.dataset.name
        single = classes == 2 and self.outputs == 1 and not self.sparse
        expected = self.dataset.targets if classes is None or self.labels else classes
        if self.outputs != expected and not single:
            raise ValueError(f"layers: the last layer gives shape [{self.outputs}], but {name} needs [{expected}]")
        if classes is None and "categorical" in vocabulary.name_of(type(self.loss)):
            raise ValueError(f"training.loss: needs classes, but {name} has none")

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Targets as the loss wants them, from class numbers or values (n,); what is (n, k) already stays so."""
        if self.sparse:
            return y.reshape(len(y)).astype(np.int32)
        if y.ndim > 1:
            return y.astype(np.float32)
        if self.dataset.classes is None or self.outputs == 1:
            return y.astype(np.float32)[:, None]
        return np.eye(self.dataset.classes, dtype=np.float32)[y]

    def metric(self, targets: tf.Tensor, outputs: tf.Tensor, unit: tf.Tensor | None = None) -> tf.Tensor:
        """Per sample (n,): the absolute error averaged over the values, or what share is right, as in Keras.

        unit: what 1 stands for, (k,), where targets are scaled.
        """
        if self.dataset.classes is None:
            errors = tf.abs(targets - outputs)
            return tf.reduce_mean(errors if unit is None else errors * unit, -1)
        if self.labels:
            return tf.reduce_mean(tf.cast(tf.equal(targets > 0.5, outputs > self.threshold), tf.float32), -1)
        return tf.cast(tf.equal(self.true_class(targets), self.predicted_class(outputs)), tf.float32)

    def predicted_class(self, outputs: tf.Tensor) -> tf.Tensor:
        """int32 (n,): the most likely class; of outputs that are all NaN class 0, as Keras on a CPU (XLA by itself says
        another). A single output stands for yes or no, and with more classes for the number of one."""
        if self.outputs > 1:
            return tf.argmax(tf.where(tf.math.is_nan(outputs), -np.inf, outputs), -1, tf.int32)
        if self.dataset.classes == 2:
            return tf.cast(outputs[..., 0] > self.threshold, tf.int32)
        numbers = tf.where(tf.math.is_nan(outputs[..., 0]), 0.0, outputs[..., 0])
        return tf.cast(tf.clip_by_value(tf.round(numbers), 0, self.dataset.classes - 1), tf.int32)

    @property
    def counted(self) -> int:
        """How many numbers `counts` gives."""
        if self.labels or self.dataset.classes is None:
            return 2
        return self.outputs if self.outputs > 1 else self.dataset.classes

    def counts(self, outputs: tf.Tensor) -> tf.Tensor:
        """How often each class is predicted, (counted,); of labels how many hold not and hold, in samples."""
        if self.dataset.classes is None:
            return tf.zeros(self.counted)
        if self.labels:
            held = tf.reduce_sum(tf.reduce_mean(tf.cast(outputs > self.threshold, tf.float32), -1))
            return tf.stack([float(outputs.shape[0]) - held, held])
        return tf.reduce_sum(tf.one_hot(self.predicted_class(outputs), self.counted), 0)

    def hits(self, targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """By class how many samples are of it and how many of these are predicted so, float32 (2, classes)."""
        true = tf.one_hot(self.true_class(targets), self.dataset.classes)
        predicted = tf.one_hot(self.predicted_class(outputs), self.dataset.classes)
        return tf.stack([tf.reduce_sum(true, 0), tf.reduce_sum(true * predicted, 0)])

    def true_class(self, targets: tf.Tensor) -> tf.Tensor:
        """int32 (n,): the class of each sample, from encoded targets."""
        if targets.dtype == tf.int32:
            return targets
        if targets.shape[-1] == 1:
            return tf.cast(targets[..., 0], tf.int32)
        return tf.argmax(targets, -1, tf.int32)
