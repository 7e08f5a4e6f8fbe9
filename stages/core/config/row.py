"""What a resolved row may contain. Layers, losses and optimizers are Keras' own: their names and arguments are checked
by Keras itself when `compose` builds the net (`training/nets.py`); here is what needs no Keras."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_serializer, model_validator

from stages.core.config.validation import Count, Decay, Finite, NotNegative, Positive, Schema, Sha256, validate
from stages.core.config.yaml import read_yaml


def _plain(value: Any, key: str = "") -> Any:
    """`value` if it is plain data: texts, finite numbers, true, false, null, lists and mappings of these."""
    if isinstance(value, dict):
        for name, child in value.items():
            _plain(child, f"{key}.{name}")
    elif isinstance(value, list):
        for index, child in enumerate(value):
            _plain(child, f"{key}.{index}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{key.removeprefix('.')}: needs a finite number, not {value}")
    return value


Plain = Annotated[dict[str, Any], AfterValidator(_plain)]


class Part(Schema):
    """Part of a row. What has its default value is not written, so that a new optional key makes no row stale."""

    @model_serializer(mode="wrap")
    def _without_defaults(self, serialize) -> dict[str, Any]:
        defaults = {name: field.default for name, field in type(self).model_fields.items() if not field.is_required()}
        return {key: value for key, value in serialize(self).items() if key not in defaults or value != defaults[key]}


Scale = Positive | Literal["standard", "minmax"]
"""A divisor; to mean 0 and sd 1; or to 0 to 1: the latter two feature by feature, as the training samples have it."""


class Dataset(Part):
    """The data that a row trains on.

    `digest`: of its arrays, as its sheet has it (None: no sheet describes them); `shape`: one sample; `classes`: None
    for regression; `targets`: numbers that one sample's target has, so that classes 2 and targets k are k labels, each
    of which holds or not; `scale`: of the inputs; `target_scale`: of the values that the net learns, while metrics stay
    in the targets' own unit; `missing`: what stands for a number that is missing, of the training samples' feature.
    """

    name: str
    digest: Sha256 | None = None
    shape: Annotated[list[Count], Field(min_length=1)]
    classes: Annotated[int, Field(ge=2)] | None
    targets: Count = 1
    scale: Scale | None
    target_scale: Scale | None = None
    missing: Literal["mean", "median"] | None = None

    @model_validator(mode="after")
    def _labels(self) -> Dataset:
        if self.target_scale is not None and self.classes is not None:
            raise ValueError("target_scale: goes with classes: null; classes have no scale")
        if self.targets > 1 and self.classes not in (None, 2):
            raise ValueError("targets: several go with classes: null (values) or classes: 2 (labels that hold or not)")
        return self


class Split(Part):
    """How validation samples are taken from the training samples: `size` is a count or a share, as in scikit-learn.

    Stratified: every class with its share; grouped: no group of the data set on both sides, so `size` is of groups;
    indices: those that the data set names.
    """

    validation: Literal["none", "tail", "random", "stratified", "grouped", "indices"]
    size: Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, lt=1)] | None
    random_state: Annotated[int, Field(ge=0, lt=2**32)] | None
    monitor: Literal["validation", "test"]

    @model_validator(mode="after")
    def _complete(self) -> Split:
        if (self.validation in ("none", "indices")) != (self.size is None):
            raise ValueError("size goes with validation tail, random, stratified or grouped, and with nothing else")
        if (self.validation in ("random", "stratified", "grouped")) != (self.random_state is not None):
            raise ValueError("random_state goes with validation random, stratified or grouped, and with nothing else")
        if self.validation == "none" and self.monitor == "validation":
            raise ValueError("monitor names the validation samples, but there are none")
        return self


class Augmentation(Part):
    """Random transforms of training images, as Keras' ImageDataGenerator: degrees, shares of the side, on or off."""

    rotation: Annotated[Finite, Field(ge=0, le=180)]
    width_shift: Decay
    height_shift: Decay
    horizontal_flip: bool


class Layer(Part):
    """A Keras layer: `type` is its class in snake case, every other key an argument of its constructor.

    `regularized`: it carries the row's penalties, short for kernel_, bias_ and activity_regularizer.
    """

    model_config = ConfigDict(extra="allow")

    type: str
    rate: Decay | None = None  # of a dropout: with 1, which Keras allows, nothing would be left
    regularized: bool = False

    @model_validator(mode="after")
    def _plain_arguments(self) -> Layer:
        _plain(self.model_extra)
        return self


class Regularizer(Part):
    """Coefficients of the penalty l1·Σ|w| + l2·Σw² (Keras' L1L2)."""

    l1: NotNegative
    l2: NotNegative


class Regularizers(Part):
    """The penalties on every layer marked `regularized`."""

    kernel: Regularizer
    bias: Regularizer
    activity: Regularizer

    @property
    def any(self) -> bool:
        """Whether any coefficient is not zero."""
        return any(part.l1 or part.l2 for part in (self.kernel, self.bias, self.activity))


class Optimizer(Part):
    """A Keras optimizer: `name` is its class in snake case, every other key an argument of its constructor.

    `learning_rate`: a number, or a schedule of keras.optimizers.schedules as {type: cosine_decay, ...}. The other keys
    that are named here are those whose range Keras does not check.
    """

    model_config = ConfigDict(extra="allow")

    name: str
    learning_rate: Positive | Plain
    momentum: Decay | None = None
    rho: Decay | None = None
    beta_1: Decay | None = None
    beta_2: Decay | None = None
    epsilon: Positive | None = None
    weight_decay: NotNegative | None = None

    @property
    def needs_fit(self) -> bool:
        """As of the function of that name."""
        return needs_fit(self.model_dump())

    @model_validator(mode="after")
    def _plain_arguments(self) -> Optimizer:
        _plain(self.model_extra)
        return self


class Training(Part):
    """The budget.

    `loss`: Keras' name, or {type: huber, delta: 2.0}; `class_weight`: as Keras' `fit` takes it; `early_stopping`,
    `reduce_lr_on_plateau`: the arguments of these callbacks; `shuffle`: anew before every epoch (true), never (false),
    or once, as Keras' `fit` does after `set_random_seed`; `balanced`: the balanced accuracy is recorded too.
    """

    loss: str | Plain
    batch_size: Count
    epochs: Annotated[Count, Field(le=1_000_000)]
    class_weight: dict[int, NotNegative] | None = None
    early_stopping: Plain | None = None
    reduce_lr_on_plateau: Plain | None = None
    shuffle: bool | Literal["once"] = True
    balanced: bool = False


class Row(Part):
    """One model/regularizer combination with everything that can change its numbers.

    The net is a chain of `layers`, or `keras`: the JSON that Keras' `to_json` gives of a net with branches.
    """

    study: str
    row: str
    seeds: Annotated[Count, Field(le=10_000)]
    device: Literal["auto", "cpu", "gpu"]
    dataset: Dataset
    split: Split
    augmentation: Augmentation | None = None
    layers: list[Layer] | None = None
    keras: Plain | None = None
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
        return any("conv" in kind for kind, _ in self.parts())

    @property
    def dropout(self) -> float:
        """The largest rate of the net's dropouts; 0 without any."""
        return max((values.get("rate") or 0.0 for kind, values in self.parts() if "dropout" in kind), default=0.0)

    def shape(self) -> dict[str, Any]:
        """The row without what may differ between rows that share their compiled programs: coefficients (but for which
        are 0) and learning rate."""
        values = self.model_dump(exclude={"study", "row", "seeds"})
        for penalty in values["regularizers"].values():
            penalty.update({kind: bool(coefficient) for kind, coefficient in penalty.items()})
        if isinstance(values["optimizer"]["learning_rate"], float):
            del values["optimizer"]["learning_rate"]
        return values

    def parts(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Kind (in small letters) and arguments of all that Keras makes for the net: layers and what is inside them."""
        nets = [self.keras] if self.layers is None else [layer.model_dump() for layer in self.layers]
        return (part for net in nets for part in parts_of(net))

    @model_validator(mode="after")
    def _consistent(self) -> Row:
        if (self.layers is None) == (self.keras is None):
            raise ValueError("layers: the net needs layers, or keras: a file that Keras' to_json wrote, and not both")
        if self.layers == []:
            raise ValueError("layers: there are none")
        if self.regularizers.any and not any(layer.regularized for layer in self.layers or []):
            raise ValueError("regularizers: there are penalties, but no layer is marked regularized: true")
        if self.augmentation is not None and len(self.dataset.shape) != 3:
            raise ValueError(
                f"augmentation: needs images with channels, but {self.dataset.name} is {self.dataset.shape}"
            )
        return self


def needs_fit(optimizer: Mapping[str, Any]) -> bool:
    """Whether only Keras' own `fit` trains with it: it writes to variables of TensorFlow, out of the engine's sight."""
    arguments = ("use_ema", "gradient_accumulation_steps", "loss_scale_factor")
    name = str(optimizer.get("name")).replace("_", "")
    return name == "schedulefreeadamw" or any(optimizer.get(argument) for argument in arguments)


def load_row(path: Path) -> Row:
    """Read a resolved row that `compose` wrote."""
    return validate(Row, read_yaml(path), str(path))


def parts_of(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """As `Row.parts`, of a layer's mapping or of a net's JSON (where the arguments stand under `config`)."""
    if isinstance(value, list):
        for child in value:
            yield from parts_of(child)
    elif isinstance(value, dict):
        kind = value.get("type", value.get("class_name"))
        if isinstance(kind, str):
            inner = value.get("config")
            yield kind.lower(), inner if "class_name" in value and isinstance(inner, dict) else value
        yield from parts_of(list(value.values()))
