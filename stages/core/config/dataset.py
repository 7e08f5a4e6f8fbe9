"""Data sets: how one is described in conf/dataset/, what its sheet says of its arrays, and what a row takes of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from stages.core.config.row import Scale
from stages.core.config.validation import Count, Schema, Sha256


class PublishedFile(Schema):
    """A file: its name below data/<dataset>/, its SHA-256, its size in bytes, and public addresses, tried in this
    order; `openml:61` is the table that OpenML has under this number, as CSV."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    sha256: Sha256
    bytes: Count
    urls: list[Annotated[str, Field(pattern=r"^(https?://|openml:\d+$)")]]


class PublishedDataset(Schema):
    """All of conf/dataset/<name>.yaml.

    `shape`: of one sample; `classes`: null for regression; `targets`, `scale`, `target_scale`: as a row has them;
    `members`: which file holds what; `missing`: what is done about missing values; `resize`: pictures of any size.
    Of a table with a header: `target`: its column, or several; `groups`: the column of a grouped split; `ignore`:
    columns that are no inputs.
    """

    name: str
    title: str
    format: Literal["idx", "cifar_binary", "image_folder", "table", "digits", "csv", "parquet", "npz", "npy"]
    shape: Annotated[list[Count], Field(min_length=1)]
    classes: Annotated[int, Field(ge=2)] | None
    targets: Count = 1
    scale: Scale | None
    target_scale: Scale | None = None
    files: list[PublishedFile]
    members: dict[str, str] | None = None
    target: str | list[str] | None = None
    groups: str | None = None
    ignore: list[str] = []
    missing: Literal["refuse", "drop", "mean", "median"] = "refuse"
    resize: bool = False


class Sheet(BaseModel):
    """What rows and records need of results/datasets/<name>.json: the digest of all arrays and the shape of each."""

    class Array(BaseModel):
        shape: Annotated[list[Count], Field(min_length=1)]

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    digest: str
    arrays: dict[str, Array]

    @property
    def sample_shape(self) -> list[int]:
        """Of one input."""
        return self.arrays["train_x"].shape[1:]
