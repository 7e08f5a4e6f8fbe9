"""What a resolved row and a study may contain, checked by pydantic; a mistake is one line with file and key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from omegaconf import OmegaConf
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stages.core.base.errors import UserError

Finite = Annotated[float, Field(allow_inf_nan=False)]
NotNegative = Annotated[Finite, Field(ge=0)]
Positive = Annotated[Finite, Field(gt=0)]
Decay = Annotated[Finite, Field(ge=0, lt=1)]
Share = Annotated[Finite, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Activation = Literal["linear", "relu", "sigmoid", "softmax", "tanh"]


class Schema(BaseModel):
    """Base of every part: unknown keys and wrong types are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Selection(Schema):
    """Which data set a study runs on, and how many seeds of each row."""

    dataset: str
    seeds: Count


class Params(Schema):
    """All of params.yaml; `cifar10` is for dvc.yaml, which lists the data sets to fetch."""

    device: Literal["auto", "cpu", "gpu"]
    cifar10: str | None = None
    studies: Annotated[dict[str, Selection], Field(min_length=1)]


class File(Schema):
    """One downloaded file: its name below data/<dataset>/ and what it must be."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    sha256: Sha256


class Dataset(Schema):
    """A data set as the training sees it. `shape`: one sample; `classes`: None for regression; `scale`: the divisor."""

    name: str
    format: Literal["idx", "cifar_binary", "image_folder", "table", "digits"]
    shape: Annotated[list[Count], Field(min_length=1)]
    classes: Annotated[int, Field(ge=2)] | None
    scale: Positive | None
    files: list[File]
    members: dict[str, str] | None = None


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


class ReportedRow(Schema):
    """What a study says about one row besides its overrides; `beyond`: the document has no such row."""

    label: Annotated[str, Field(min_length=1)]
    overrides: list[str] = []
    reported: Finite | None = None
    reported_log: str | None = None
    same_reported_as: str | None = None
    beyond: bool = False


class Log(Schema):
    """A training log as a document prints it, one value an epoch."""

    epochs: list[Count]
    loss: list[Finite]
    accuracy: list[Share]
    val_loss: list[Finite]
    val_accuracy: list[Share]

    @model_validator(mode="after")
    def _complete(self) -> Log:
        if len({len(column) for column in self.model_dump().values()}) != 1:
            raise ValueError("every column needs one value for each epoch")
        if not self.epochs or sorted({*self.epochs}) != self.epochs:
            raise ValueError("epochs: must rise, each one once")
        return self


class Headings(Schema):
    label: str
    reported: str


class Claim(Schema):
    """Something said about a study, an expression that decides it, and the reason; `needs`: rows that it speaks of and
    that the study may not have yet."""

    claim: str
    holds: str
    because: str
    needs: list[str] = []


class Verdict(Schema):
    """What a study tells the person who asked: one sentence each, and what to write. All of `holds` must hold."""

    holds: Annotated[list[str], Field(min_length=1)]
    needs: list[str] = []
    cause: str
    change: str
    snippet: str
    sure: str
    otherwise: str


class Answer(Schema):
    """A study's answer: templates of sentences and claims that the tables fill in."""

    measured: str
    claims: Annotated[list[Claim], Field(min_length=1)]


class Study(Schema):
    """What a study shows: the document's question, its figures and its rows, in the document's order.

    `url`: the document's page; `asked`, `fixed`: the rows that show the question and what to do; `same_data`: are the
    reported figures of the study's data; `verdict`: the first whose rows are all there is said.
    """

    title: str
    question: str
    claim: str
    source: str
    figure_title: str
    headings: Headings
    url: Annotated[str, Field(pattern=r"^https://\S+$")] | None = None
    metric: Literal["test.accuracy", "validation.accuracy", "train.mae", "validation.mae", "test.mae"]
    baseline: str
    asked: str | None = None
    fixed: str | None = None
    same_data: bool = True
    notes: list[str] = []
    reported_logs: dict[str, Log] = {}
    answer: Answer | None = None
    verdict: list[Verdict] = []
    rows: dict[str, ReportedRow]

    @model_validator(mode="after")
    def _plausible(self) -> Study:
        highest = 1 if self.metric.endswith("accuracy") else float("inf")
        for name, row in self.rows.items():
            if row.reported is not None and not 0 <= row.reported <= highest:
                raise ValueError(f"rows.{name}.reported: {row.reported} is no {self.metric}")
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


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file's mapping as it is written, references included.

    Raises:
        UserError: there is no such file, or it is not a mapping in YAML.
    """
    try:
        data = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or one_line(error)}") from None
    except Exception as error:  # YAML's constructors raise whatever int(), float() and the like do
        raise UserError(f"{path}: {one_line(error)}") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}: is not a mapping of keys to values")
    return data


def read_resolved(path: Path) -> dict[str, Any]:
    """A YAML file that `compose` wrote, several times faster than by `read_yaml`.

    Such files hold plain values in the form that PyYAML itself gives them, so there is nothing on which YAML's readers
    differ.

    Raises:
        UserError: there is no such file, or it is not a mapping in YAML.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path}: {one_line(error)}; run `dvc repro compose`") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}: is not a mapping of keys to values; run `dvc repro compose`")
    return data


def validate(schema, data: dict[str, Any], where: str):
    """`data` as `schema`, a pydantic model.

    Raises:
        UserError: the first mistake in one line: `where`, the key, what is expected and what is given.
    """
    try:
        return schema.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        given = "" if isinstance(first["input"], dict | list) else f" (given: {first['input']!r})"
        text = one_line(f"{key + ': ' if key else ''}{message}{given}")
        raise UserError(f"{where}: {text}") from None


def one_line(error: Any) -> str:
    return " ".join(str(error).split())
