"""Data that somebody brings: from a path, an address or a number of OpenML to a description as conf/dataset/ has it."""

from __future__ import annotations

import hashlib
import io
import math
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.base.errors import UserError
from stages.core.base.text import one_line
from stages.core.data import fetch, tables

MOST_BYTES = 4 << 30
PICTURES = (".png", ".jpg", ".jpeg")
FORMATS = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".data": "csv", ".parquet": "parquet", ".npz": "npz"}
ARCHIVES = (".zip", ".tar.gz", ".tgz", ".tar.xz")
FEW = 20
"""Whole numbers of at most so many kinds may be classes, where a net has as many outputs."""


@dataclass(frozen=True)
class Wishes:
    """What somebody says of the data: columns of the target, of the groups and of what is no input; `classes`: whether
    the targets are classes (None: as they look and as the net has it); the others as a data set has them."""

    target: Sequence[str] = ()
    groups: str | None = None
    ignore: Sequence[str] = ()
    missing: str = "refuse"
    scale: str | float | None = "usual"
    target_scale: str | float | None = "usual"
    classes: bool | None = None


@dataclass(frozen=True)
class Net:
    """What the net says of the data: the shape of a sample, numbers that it gives of one, and whether its loss or its
    last activation speak of classes (None: neither does)."""

    shape: tuple[int, ...]
    outputs: int
    classes: bool | None = None


@dataclass(frozen=True)
class Given:
    """Files by name as they were found, and the address of each, or none."""

    format: str
    files: dict[str, bytes]
    urls: list[str] = field(default_factory=list)


def given(source: str, folder: Path) -> Given:
    """What `source` names: a file or a folder of pictures below `folder`, an address, or openml:<number>.

    Raises:
        UserError: it cannot be had, or its ending tells no format.
    """
    if re.fullmatch(r"openml:\d+", source):
        return Given("csv", {f"openml-{source.removeprefix('openml:')}.csv": _from_address(source)}, [source])
    if re.match(r"https?://", source):
        name = _plain(source.partition("?")[0].rstrip("/").rpartition("/")[2])
        return Given(_format(name), {name: _from_address(source)}, [source])
    path = folder / source
    if path.is_dir():
        return Given("image_folder", {f"{_plain(path.name)}.zip": packed(path)})
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UserError(f"{source}: is larger than {MOST_BYTES >> 30} GiB")
        return Given(_format(path.name), {_plain(path.name): path.read_bytes()})
    except OSError as error:
        raise UserError(f"{source}: {error.strerror}") from None


def described(name: str, data: Given, wishes: Wishes, net: Net) -> dict[str, Any]:
    """The mapping for conf/dataset/<name>.yaml.

    Raises:
        UserError: the target is not named, not there, or nothing that the net could learn.
    """
    file, content = next(iter(data.files.items()))
    known: dict[str, Any] = {"name": name, "title": name, "format": data.format}
    shape: tuple[int, ...]
    scale: str | float | None = 255 if data.format == "image_folder" else "standard"
    targets = 1
    if data.format in ("csv", "parquet"):
        frame = (tables.from_csv if data.format == "csv" else tables.from_parquet)(file, content)
        columns = [str(column) for column in frame]
        named = [*wishes.target, *wishes.ignore, *([wishes.groups] if wishes.groups else [])]
        for column in named:
            if column not in columns:
                raise UserError(f"{file}: has no column {column}; it has {', '.join(columns)[:300]}")
            if named.count(column) > 1:
                raise UserError(f"{file}: column {column}: is named twice; it is the target, the groups or ignored")
        if not wishes.target:
            raise UserError(f"{file}: which column is the target? Say --target, one of {', '.join(columns)[:300]}")
        y = frame[list(wishes.target)].dropna()
        _refuse_texts(file, y, wishes, net)
        apart = {*wishes.target, *wishes.ignore, wishes.groups}
        inputs = frame[[column for column in columns if column not in apart]]
        inputs = tables.dropped(inputs, list(inputs)) if wishes.missing == "drop" else inputs
        x, features = tables.inputs(file, inputs, wishes.missing)
        if empty := np.array(features)[np.isnan(x).all(axis=0)].tolist():
            raise UserError(f"{file}: column {empty[0]}: has no value at all; leave it out with --ignore {empty[0]}")
        shape = x.shape[1:]
        if math.prod(net.shape) != len(features):
            raise UserError(
                f"{file}: gives {len(features)} inputs, but the net takes {math.prod(net.shape)}; "
                f"they are {', '.join(features)[:300]}"
            )
        targets = len(wishes.target)
        classes = _classes(wishes, net, [y[column].tolist() for column in y], y.dtypes.tolist())
        known["target"] = wishes.target[0] if targets == 1 else list(wishes.target)
    elif data.format == "npz":
        classes, targets, scale, shape = _of_arrays(file, content, wishes, net)
    else:
        classes, shape = _folders(file, content), net.shape
        if len(shape) < 2 or len(shape) > 3 or shape[2:] not in ((), (1,), (3,)):
            raise UserError(f"{file}: pictures need a net that takes (height, width[, 1 or 3]), not {net.shape}")
        known["resize"] = True
    known |= {"shape": list(shape), "classes": classes}
    known |= {"targets": targets} if targets > 1 else {}
    known["scale"] = scale if wishes.scale == "usual" else wishes.scale
    if classes is None:
        known["target_scale"] = "standard" if wishes.target_scale == "usual" else wishes.target_scale
    for key in ("groups", "ignore"):
        known |= {key: value} if (value := getattr(wishes, key)) else {}
    known |= {"missing": wishes.missing} if wishes.missing != "refuse" else {}
    known["files"] = [
        {"name": name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), "urls": data.urls}
        for name, content in data.files.items()
    ]
    return known


def packed(folder: Path) -> bytes:
    """The pictures of a folder, <class>/<picture> or train|test/<class>/<picture>, as one zip, the same every time."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES and path.is_file())
    if not paths:
        raise UserError(f"{folder}: has no pictures ({', '.join(PICTURES)})")
    if sum(path.stat().st_size for path in paths) > MOST_BYTES:
        raise UserError(f"{folder}: is larger than {MOST_BYTES >> 30} GiB")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in paths:
            archive.writestr(zipfile.ZipInfo(path.relative_to(folder).as_posix()), path.read_bytes())
    return buffer.getvalue()


def _classes(wishes: Wishes, net: Net, columns: list[list], kinds: list) -> int | None:
    """How many classes the columns of a target have; None for values."""
    counts = [len(set(column)) for column in columns]
    numeric = all(kind.kind in "biuf" for kind in kinds)
    if wishes.classes is not None:
        return max(2, *counts) if wishes.classes else None
    if not numeric:
        return max(2, *counts)
    if net.classes is not None:
        few = all(count <= max(FEW, net.outputs) for count in counts)
        return max(2, *counts) if net.classes and few else None
    fits = counts[0] in (net.outputs, 2 if net.outputs == 1 else 0) and counts[0] <= FEW
    whole = all(float(value).is_integer() for column in columns for value in column)
    return counts[0] if len(counts) == 1 and fits and whole and counts[0] > 1 else None


def _refuse_texts(file: str, targets: tables.Frame, wishes: Wishes, net: Net) -> None:
    """UserError for a text in a target of numbers, which would make a class of every number."""
    import pandas as pd

    for column in targets:
        few = net.classes and targets[column].nunique() <= max(FEW, net.outputs)  # such as 0, 1, 2 and 3+
        if wishes.classes or few or targets[column].dtype.kind in "biuf":
            continue
        wrong = pd.to_numeric(targets[column], errors="coerce").isna()
        if wrong.any() and wrong.mean() <= tables.MOSTLY_NUMBERS:
            at = targets.index[wrong][0]
            text = one_line(targets[column][at])[:60]
            raise UserError(f"{file}: column {column}: line {at + 2}: {text} is no finite number")


def _of_arrays(file: str, content: bytes, wishes: Wishes, net: Net) -> tuple[int | None, int, Any, tuple[int, ...]]:
    """Classes, targets, the usual scale and the shape of a sample of an .npz."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            x = arrays["x_train" if "x_train" in arrays else "x"]
            y = arrays["y_train" if "y_train" in arrays else "y"]
    except KeyError:
        raise UserError(f"{file}: wants arrays x and y, or x_train and y_train") from None
    except Exception as error:  # NumPy raises many kinds
        raise UserError(f"{file}: is no undamaged .npz of numbers ({str(error)[:100]})") from None
    if not x.size:
        raise UserError(f"{file}: has no samples")
    if not x.ndim > 1 or not y.ndim or len(x) != len(y):
        raise UserError(
            f"{file}: inputs of shape {x.shape} and targets of shape {y.shape} are not one of each a sample"
        )
    scale: str | float | None = 255 if x.dtype == np.uint8 else "standard" if x.ndim == 2 else None
    width = y.shape[1] if y.ndim == 2 else 1
    if y.dtype.kind not in "biuf" or y.ndim > 2:
        raise UserError(f"{file}: the targets are no numbers of shape (n,) or (n, k)")
    if width > 1 and wishes.classes is not False and np.isin(y, (0, 1)).all() and net.classes is not False:
        one_hot = bool((y.sum(1) == 1).all())
        return (width, 1, scale, x.shape[1:]) if one_hot else (2, width, scale, x.shape[1:])
    classes = _classes(wishes, net, [column.tolist() for column in y.reshape(len(y), width).T], [y.dtype])
    return classes, width, scale, x.shape[1:]


def _folders(file: str, content: bytes) -> int:
    from stages.core.data.archives import members

    paths = []
    for path, picture in members(file, content, 2_000_000, MOST_BYTES):
        if (
            picture.startswith(b"\x89PNG") and picture[24:25] == b"\x10"
        ):  # Pillow makes 8 bits of a colour's 16, unasked
            raise UserError(f"{file}: {path} has more than 8 bits a channel, which would be cut off; save it with 8")
        paths.append(path.split("/"))
    found = {parts[-2] for parts in paths if len(parts) > 1 and parts[0] != "test"}
    if len(found) < 2:
        raise UserError(f"{file}: has pictures of {len(found)} class; each class is a folder")
    return len(found)


def _format(name: str) -> str:
    lower = name.lower()
    if lower.endswith(ARCHIVES):
        return "image_folder"
    found = FORMATS.get(Path(lower).suffix)
    if found is None:
        raise UserError(f"{name}: reads .csv, .parquet, .npz, a folder or an archive of pictures, or openml:<number>")
    return found


def _plain(name: str) -> str:
    """`name` with only what a data set's file may have in its name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip("._-") or "data"


def _from_address(address: str) -> bytes:
    try:
        return fetch.whole(address, MOST_BYTES)
    except Exception as error:  # requests' and scikit-learn's own, which are many
        raise UserError(f"{address}: cannot be had: {one_line(error)[:200]}") from None
