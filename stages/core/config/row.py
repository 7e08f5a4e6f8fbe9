"""What a resolved row may contain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from stages.core.config.validation import Count, Decay, Finite, NotNegative, Positive, Schema, Sha256, validate
from stages.core.config.yaml import read_yaml

Activation = Literal["linear", "relu", "sigmoid", "softmax", "tanh"]


class Dataset(Schema):
    """The data that a row trains on. `digest`: of its arrays, as its sheet has it (None: no sheet describes them);
    `shape`: one sample; `classes`: None for regression; `scale`: the inputs' divisor."""

    name: str
    digest: Sha256 | None = None
    shape: Annotated[list[Count], Field(min_length=1)]
    classes: Annotated[int, Field(ge=2)] | None
    scale: Positive | None


class Split(Schema):
    """How validation samples are taken from the training samples: `size` is a count or a share, as in scikit-learn."""

    validation: Literal["none", "tail", "random"]
    size: Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, lt=1)] | None
    random_state: Annotated[int, Field(ge=0, lt=2**32)] | None
    monitor: Literal["validation", "test"]

    @model_validator(mode="after")
    def _complete(self) -> Split:
        if (self.validation == "none") != (self.size is None):
            raise ValueError("size goes with validation tail or random, and with nothing else")
        if (self.validation == "random") != (self.random_state is not None):
            raise ValueError("random_state goes with validation random, and with nothing else")
        if self.validation == "none" and self.monitor == "validation":
            raise ValueError("monitor names the validation samples, but there are none")
        return self


class Augmentation(Schema):
    """Random transforms of training images, as Keras' ImageDataGenerator: degrees, shares of the side, on or off."""

    rotation: Annotated[Finite, Field(ge=0, le=180)]
    width_shift: Decay
    height_shift: Decay
    horizontal_flip: bool


class Initializer(Schema):
    """A Keras initializer by name; `stddev` for random_normal."""

    name: Literal["glorot_uniform", "he_normal", "random_normal", "zeros"]
    stddev: Positive | None = None

    @model_validator(mode="after")
    def _complete(self) -> Initializer:
        if (self.name == "random_normal") != (self.stddev is not None):
            raise ValueError("stddev goes with random_normal, and with nothing else")
        return self


class _Weighted(Schema):
    """What dense and convolutional layers share; without an initializer Keras' own default holds."""

    activation: Activation
    regularized: bool = False
    kernel_initializer: Initializer | None = None
    bias_initializer: Initializer | None = None


class Flatten(Schema):
    type: Literal["flatten"]


class Dense(_Weighted):
    type: Literal["dense"]
    units: Count


class Conv2D(_Weighted):
    type: Literal["conv2d"]
    filters: Count
    kernel_size: Count
    padding: Literal["same", "valid"]


class MaxPooling2D(Schema):
    type: Literal["max_pooling2d"]
    pool_size: Count


class BatchNormalization(Schema):
    type: Literal["batch_normalization"]


class Dropout(Schema):
    type: Literal["dropout"]
    rate: Decay


Layer = Annotated[Flatten | Dense | Conv2D | MaxPooling2D | BatchNormalization | Dropout, Field(discriminator="type")]


class Regularizer(Schema):
    """Coefficients of the penalty l1·Σ|w| + l2·Σw² (Keras' L1L2)."""

    l1: NotNegative
    l2: NotNegative


class Regularizers(Schema):
    """The penalties on every layer marked `regularized`."""

    kernel: Regularizer
    bias: Regularizer
    activity: Regularizer

    @property
    def any(self) -> bool:
        """Whether any coefficient is not zero."""
        return any(part.l1 or part.l2 for part in (self.kernel, self.bias, self.activity))


class SGD(Schema):
    name: Literal["sgd"]
    learning_rate: Positive
    momentum: Decay


class RMSprop(Schema):
    name: Literal["rmsprop"]
    learning_rate: Positive
    rho: Decay
    momentum: Decay
    epsilon: Positive


class Adam(Schema):
    name: Literal["adam"]
    learning_rate: Positive
    beta_1: Decay
    beta_2: Decay
    epsilon: Positive


class AdamW(Schema):
    name: Literal["adamw"]
    learning_rate: Positive
    beta_1: Decay
    beta_2: Decay
    epsilon: Positive
    weight_decay: NotNegative


Optimizer = Annotated[SGD | RMSprop | Adam | AdamW, Field(discriminator="name")]


class Training(Schema):
    """The budget. `loss`: Keras' name; the metric is accuracy for classes, mean absolute error for regression."""

    loss: Literal["sparse_categorical_crossentropy", "categorical_crossentropy", "mean_squared_error"]
    batch_size: Count
    epochs: Count


class Row(Schema):
    """One model/regularizer combination with everything that can change its numbers."""

    study: str
    row: str
    seeds: Count
    device: Literal["auto", "cpu", "gpu"]
    dataset: Dataset
    split: Split
    augmentation: Augmentation | None
    layers: list[Layer]
    regularizers: Regularizers
    optimizer: Optimizer
    training: Training
    fingerprint: Sha256

    @property
    def metric(self) -> str:
        """Name of the metric, as in Keras."""
        return "mae" if self.dataset.classes is None else "accuracy"

    @property
    def has_convolutions(self) -> bool:
        """Whether any layer is a convolution."""
        return any(isinstance(layer, Conv2D) for layer in self.layers)

    @model_validator(mode="after")
    def _consistent(self) -> Row:
        outputs = output_shape(self.layers, self.dataset.shape)
        expected = [self.dataset.classes or 1]
        if not self.layers or not isinstance(self.layers[-1], Dense):
            raise ValueError("layers: the last layer must be dense")
        if outputs != expected:
            raise ValueError(f"layers: the last layer gives shape {outputs}, but {self.dataset.name} needs {expected}")
        if self.dataset.classes is None and self.training.loss != "mean_squared_error":
            raise ValueError(f"training.loss: {self.training.loss} needs classes, but {self.dataset.name} has none")
        if self.regularizers.any and not any(getattr(layer, "regularized", False) for layer in self.layers):
            raise ValueError("regularizers: there are penalties, but no layer is marked regularized: true")
        if self.augmentation is not None and len(self.dataset.shape) != 3:
            raise ValueError(
                f"augmentation: needs images with channels, but {self.dataset.name} is {self.dataset.shape}"
            )
        return self


def output_shape(layers: list[Layer], shape: list[int]) -> list[int]:
    """Shape of one sample behind `layers`, from its `shape` before them.

    Raises:
        ValueError: a layer does not fit; the text names it.
    """
    shape = list(shape)
    for index, layer in enumerate(layers):
        where = f"layers.{index} ({layer.type})"
        if isinstance(layer, Conv2D | MaxPooling2D):
            if len(shape) != 3:
                raise ValueError(f"{where}: needs images (height, width, channels), but gets shape {shape}")
            size = layer.pool_size if isinstance(layer, MaxPooling2D) else layer.kernel_size
            if min(shape[:2]) < size:
                raise ValueError(f"{where}: a window of {size} does not fit shape {shape}")
        match layer:
            case Flatten():
                size = 1
                for side in shape:
                    size *= side
                shape = [size]
            case Dense():
                if len(shape) != 1:
                    raise ValueError(f"{where}: needs a vector, but gets shape {shape}; put a flatten layer before it")
                shape = [layer.units]
            case Conv2D():
                border = layer.kernel_size - 1 if layer.padding == "valid" else 0
                shape = [shape[0] - border, shape[1] - border, layer.filters]
            case MaxPooling2D():
                shape = [shape[0] // layer.pool_size, shape[1] // layer.pool_size, shape[2]]
    return shape


def load_row(path: Path) -> Row:
    """Read a resolved row that `compose` wrote."""
    return validate(Row, read_yaml(path), str(path))
