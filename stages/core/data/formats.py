"""Data sets: from the bytes of their files to arrays.

Shapes: images (n, height, width) or (n, height, width, channels), tables (n, features), targets (n,) or (n, k).
"""

import gzip
import hashlib
import io
import json
import math
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from stages.core.base.errors import UserError
from stages.core.config.dataset import PublishedDataset
from stages.core.data import tables
from stages.core.data.archives import members

MAX_MEMBERS = 2_000_000
MAX_BYTES = 4 << 30
MAX_PIXELS = 50_000_000  # of one picture
CIFAR_RECORD = 1 + 3 * 32 * 32  # label, then the red, green and blue planes


@dataclass(frozen=True)
class Arrays:
    """A data set in memory.

    Inputs are uint8 (images) or float32 (tables), not yet scaled; targets int64 class numbers or float32 values.
    `test_x` and `test_y` are None where the source has no test split; `groups`, int64 (n,), and `validation`, indices
    int64 (m,), where it does not name them for the training samples.
    """

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray | None = None
    test_y: np.ndarray | None = None
    groups: np.ndarray | None = None
    validation: np.ndarray | None = None


def read(dataset: PublishedDataset, contents: Mapping[str, bytes]) -> Arrays:
    """The arrays of a data set.

    Args:
        dataset: what it is; for the format idx, `members` says which file is train_x, train_y, test_x and test_y.
        contents: the bytes of its files, by file name.

    Raises:
        UserError: the bytes are not what the format, the shape of a sample or the number of classes says.
    """
    arrays = READERS[dataset.format](dataset, contents)
    for x, y in ((arrays.train_x, arrays.train_y), (arrays.test_x, arrays.test_y)):
        if x is not None and (x.shape[1:] != tuple(dataset.shape) or not len(x)):
            raise UserError(f"{dataset.name}: {len(x)} samples of shape {x.shape[1:]}, not {tuple(dataset.shape)}")
        if y is not None and y.shape[1:] != ((dataset.targets,) if dataset.targets > 1 else ()):
            raise UserError(f"{dataset.name}: targets of shape {y.shape[1:]}, but the data set has {dataset.targets}")
    return arrays


def describe(arrays: Arrays) -> dict[str, dict]:
    """Shape, dtype and SHA-256 of the bytes of every array that exists, by name."""
    return {
        name: {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": _sha256(array)}
        for name, array in _existing(arrays)
    }


def reshaped(arrays: Arrays, shape: Sequence[int]) -> Arrays:
    """The same with samples of another shape of as many numbers, say (28, 28, 1) for (28, 28)."""
    inputs = {name: array.reshape(len(array), *shape) for name, array in _existing(arrays) if name.endswith("_x")}
    return replace(arrays, **inputs)


def digest(arrays: Arrays) -> str:
    """SHA-256 (hex) over names, dtypes, shapes and bytes of all arrays."""
    return digest_of(describe(arrays))


def digest_of(described: Mapping[str, Mapping]) -> str:
    """The digest of arrays by what `describe` gives of them: SHA-256 (hex) over its JSON text."""
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def to_bytes(arrays: Arrays) -> bytes:
    """The arrays as an uncompressed .npz (no pickle), followed by its SHA-256 (32 bytes, which zip readers ignore)."""
    buffer = io.BytesIO()
    np.savez(buffer, **dict(_existing(arrays)))
    buffer.write(hashlib.sha256(buffer.getbuffer()).digest())
    return buffer.getvalue()


def from_bytes(data: bytes) -> Arrays:
    """The inverse of `to_bytes`.

    Raises:
        ValueError: `data` is damaged, incomplete or something else; nothing of it may be used.
    """
    if hashlib.sha256(memoryview(data)[:-32]).digest() != data[-32:]:
        raise ValueError("not a data set stored by to_bytes, or damaged")
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        return Arrays(**stored)


def _existing(arrays: Arrays) -> Iterable[tuple[str, np.ndarray]]:
    pairs = ((field.name, getattr(arrays, field.name)) for field in fields(arrays))
    return [(name, array) for name, array in pairs if array is not None]


def _sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def _targets(name: str, values: np.ndarray, classes: int | None) -> np.ndarray:
    """Targets (n,): float32 for regression, else int64 after checking that each is one of 0 .. classes - 1."""
    if classes is None:
        return values.astype(np.float32)
    labels = values.astype(np.int64)
    if len(labels) and not ((labels == values).all() and labels.min() >= 0 and labels.max() < classes):
        raise UserError(f"{name}: class numbers must be 0 to {classes - 1}")
    return labels


def _same_length(x_name: str, x: np.ndarray, y_name: str, y: np.ndarray) -> None:
    if len(x) != len(y):
        raise UserError(f"{x_name} has {len(x)} samples, {y_name} has {len(y)}")


def _only(dataset: PublishedDataset, contents: Mapping[str, bytes]) -> tuple[str, bytes]:
    if len(contents) != 1:
        raise UserError(f"data set {dataset.name}: the format {dataset.format} wants one file, not {len(contents)}")
    return next(iter(contents.items()))


def _idx(dataset: PublishedDataset, contents: Mapping[str, bytes]) -> Arrays:
    names = dataset.members or {}
    if set(names) not in ({"train_x", "train_y"}, {"train_x", "train_y", "test_x", "test_y"}):
        raise UserError(f"data set {dataset.name}: members must be train_x and train_y, or these and test_x and test_y")
    for member in names.values():
        if member not in contents:
            raise UserError(f"data set {dataset.name}: members: {member} is none of the files")

    def part(split_name: str) -> tuple[np.ndarray, np.ndarray]:
        x_name, y_name = names[f"{split_name}_x"], names[f"{split_name}_y"]
        x = _idx_array(x_name, contents[x_name], dimensions=3)
        y = _targets(y_name, _idx_array(y_name, contents[y_name], dimensions=1), dataset.classes)
        _same_length(x_name, x, y_name, y)
        return x, y

    return Arrays(*part("train"), *part("test")) if "test_x" in names else Arrays(*part("train"))


def _idx_array(name: str, content: bytes, dimensions: int) -> np.ndarray:
    """A gzipped IDX file of bytes: 0, 0, 8 (= uint8), number of dimensions, each as big-endian uint32, then the data.

    The format is described at yann.lecun.com/exdb/mnist.
    """
    try:
        with gzip.open(io.BytesIO(content)) as file:
            header = file.read(4 + 4 * dimensions)
            if header[:4] != bytes([0, 0, 8, dimensions]) or len(header) != 4 + 4 * dimensions:
                raise UserError(f"{name}: not an IDX file of bytes with {dimensions} dimension(s)")
            shape = tuple(np.frombuffer(header, ">u4", offset=4).tolist())
            size = math.prod(shape)
            if size > MAX_BYTES:
                raise UserError(f"{name}: states {size} bytes of data, more than allowed")
            data = file.read(size + 1)  # one more: reaches the end, where gzip checks its own sum
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{name}: damaged gzip file ({error})") from error
    if len(data) != size:
        raise UserError(f"{name}: {len(data)}{'+' if len(data) > size else ''} bytes of data instead of {size}")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _cifar_binary(dataset: PublishedDataset, contents: Mapping[str, bytes]) -> Arrays:
    """CIFAR-10's binary version: data_batch_*.bin and test_batch.bin (www.cs.toronto.edu/~kriz/cifar.html)."""
    name, content = _only(dataset, contents)
    files = {path.rpartition("/")[2]: data for path, data in members(name, content, MAX_MEMBERS, MAX_BYTES)}
    train = sorted(file for file in files if file.startswith("data_batch_") and file.endswith(".bin"))
    if not train or "test_batch.bin" not in files:
        raise UserError(f"{name}: no data_batch_*.bin or no test_batch.bin in it")
    train_x, train_y = _cifar_records(name, b"".join(files[file] for file in train), dataset.classes)
    return Arrays(train_x, train_y, *_cifar_records(name, files["test_batch.bin"], dataset.classes))


def _cifar_records(name: str, data: bytes, classes: int | None) -> tuple[np.ndarray, np.ndarray]:
    if not data or len(data) % CIFAR_RECORD:
        raise UserError(f"{name}: {len(data)} bytes are not a whole number of records of {CIFAR_RECORD} bytes")
    records = np.frombuffer(data, np.uint8).reshape(-1, CIFAR_RECORD)
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), _targets(name, records[:, 0], classes)


def _image_folder(dataset: PublishedDataset, contents: Mapping[str, bytes]) -> Arrays:
    """train|test/<class>/<file>.jpg or .png in one archive, in the order of the paths; classes by sorted name; without
    a test part also <class>/<file>. RGB, or grey where the shape of a sample has no three channels.

    The archive's own order does not count, so packing the same folder again gives the same arrays.
    """
    name, content = _only(dataset, contents)
    files: dict[str, dict[str, bytes]] = {"train": {}, "test": {}}
    for path, data in members(name, content, MAX_MEMBERS, MAX_BYTES):
        parts = path.split("/")
        if len(parts) == 2 and parts[0] not in files:
            parts = ["train", *parts]
        if parts[0] not in files or len(parts) != 3:
            raise UserError(f"{name}: {path} is not train|test/<class>/<image>, nor <class>/<image>")
        files[parts[0]]["/".join(parts)] = data
    if not files["train"]:
        raise UserError(f"{name}: no train/<class>/<image> in it")
    classes = sorted({path.split("/")[1] for path in files["train"]})
    if len(classes) != dataset.classes:
        raise UserError(f"{name}: {len(classes)} class folders, the configuration says {dataset.classes}")
    shape = tuple(dataset.shape)
    train = _decoded(name, files["train"], classes, shape, dataset.resize)
    if not files["test"]:
        return Arrays(*train)
    return Arrays(*train, *_decoded(name, files["test"], classes, shape, dataset.resize))


def _decoded(
    name: str, files: dict[str, bytes], classes: list[str], shape: tuple, resize: bool
) -> tuple[np.ndarray, np.ndarray]:
    if math.prod((len(files), *shape)) > MAX_BYTES:
        raise UserError(f"{name}: the images are larger than allowed once decoded")
    x = np.empty((len(files), *shape), np.uint8)
    y = np.empty(len(files), np.int64)
    numbers = {label: number for number, label in enumerate(classes)}
    for index, path in enumerate(sorted(files)):
        label = path.split("/")[1]
        if label not in numbers:
            raise UserError(f"{name}: {path}: there is no such class in train/")
        x[index], y[index] = _pixels(name, path, files[path], shape, resize), numbers[label]
    return x, y


def _pixels(name: str, path: str, data: bytes, shape: tuple, resize: bool) -> np.ndarray:
    from PIL import Image

    channels = shape[2:] if shape[2:] == (3,) else ()
    try:
        image = Image.open(io.BytesIO(data), formats=("JPEG", "PNG"))
        found = (image.height, image.width, *shape[2:])
        if found != shape and not resize:  # before decoding: a small file can hold a huge image
            raise UserError(f"{name}: {path} has shape {found}, the configuration says {shape}")
        if image.height * image.width > MAX_PIXELS:
            raise UserError(f"{name}: {path} has {image.height} × {image.width} pixels, more than allowed")
        if image.mode.startswith(("I", "F")):
            raise UserError(f"{name}: {path} has more than 8 bits a channel, which would be cut off; save it with 8")
        image = image.convert("RGB" if channels else "L")
        if found != shape:
            image = image.resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
        return np.asarray(image).reshape(shape)
    # Pillow reports broken PNG chunks as SyntaxError
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{name}: {path} is not an undamaged JPEG or PNG image") from error


def _table(dataset: PublishedDataset, contents: Mapping[str, bytes]) -> Arrays:
    """Numbers separated by blanks, one sample a line, the target last."""
    name, content = _only(dataset, contents)
    try:
        table = np.loadtxt(io.BytesIO(content), dtype=np.float32, ndmin=2)
    except ValueError as error:
        raise UserError(f"{name}: {error}") from error
    if table.shape[0] == 0 or table.shape[1] < 2 or not np.isfinite(table).all():
        raise UserError(f"{name}: wants at least one line, two columns and finite numbers only")
    return Arrays(np.ascontiguousarray(table[:, :-1]), _targets(name, table[:, -1], dataset.classes))


def _csv(dataset: PublishedDataset, contents: Mapping[str, bytes]) -> Arrays:
    return _with_header(dataset, contents, tables.from_csv)


def _parquet(dataset: PublishedDataset, contents: Mapping[str, bytes]) -> Arrays:
    return _with_header(dataset, contents, tables.from_parquet)


def _with_header(dataset: PublishedDataset, contents: Mapping[str, bytes], reader: Callable) -> Arrays:
    """A table whose columns have names, and the file of a split's indices where `members` names one."""
    extra = (dataset.members or {}).get("validation")
    name, content = _only(dataset, {file: data for file, data in contents.items() if file != extra})
    frame = reader(name, content)
    targets = [dataset.target] if isinstance(dataset.target, str) else dataset.target or []
    for column in (*targets, *dataset.ignore, *([dataset.groups] if dataset.groups else [])):
        if column not in frame:
            raise UserError(f"{name}: has no column {column}; it has {', '.join(map(str, frame))[:300]}")
    if not targets:
        raise UserError(f"data set {dataset.name}: target: which column is it? {', '.join(map(str, frame))[:300]}")
    apart = {*targets, *dataset.ignore, dataset.groups}
    features = [column for column in frame if column not in apart]
    if dataset.missing == "drop":
        frame = tables.dropped(frame, [*features, *targets])
        if not len(frame):
            raise UserError(f"{name}: every line has a missing value")
    x, _ = tables.inputs(name, frame[features], dataset.missing)
    groups = None
    if dataset.groups:
        groups = np.unique(frame[dataset.groups].astype(str), return_inverse=True)[1].astype(np.int64)
    return Arrays(
        np.ascontiguousarray(x),
        tables.target(name, frame[targets], dataset.classes),
        groups=groups,
        validation=tables.indices(extra, contents[extra], len(frame)) if extra else None,
    )


def _npz(dataset: PublishedDataset, contents: Mapping[str, bytes]) -> Arrays:
    """Arrays x and y, or x_train, y_train and perhaps x_test, y_test, as Keras' own mnist.npz has them."""
    extra = (dataset.members or {}).get("validation")
    name, content = _only(dataset, {file: data for file, data in contents.items() if file != extra})
    if not content.startswith(b"PK"):
        raise UserError(f"{name}: is no .npz")
    found = {path.removesuffix(".npy"): data for path, data in members(name, content, MAX_MEMBERS, MAX_BYTES)}
    short = {"x": "x_train", "y": "y_train", "train_x": "x_train", "train_y": "y_train"}
    found = {short.get(key, key): data for key, data in found.items()}
    if not {"x_train", "y_train"} <= set(found):
        raise UserError(
            f"{name}: wants arrays x and y, or x_train and y_train; it has {', '.join(sorted(found))[:200]}"
        )
    return _of_arrays(dataset, {key: (f"{name}: {key}", data) for key, data in found.items()}, contents)


def _npy(dataset: PublishedDataset, contents: Mapping[str, bytes]) -> Arrays:
    """Two files, or four, that `members` names x_train, y_train, x_test and y_test."""
    names = {key: file for key, file in (dataset.members or {}).items() if key != "validation"}
    if not {"x_train", "y_train"} <= set(names) or not set(names.values()) <= set(contents):
        raise UserError(f"data set {dataset.name}: members: x_train and y_train must name two of the files")
    return _of_arrays(dataset, {key: (file, contents[file]) for key, file in names.items()}, contents)


def _of_arrays(
    dataset: PublishedDataset, found: Mapping[str, tuple[str, bytes]], contents: Mapping[str, bytes]
) -> Arrays:
    def part(split_name: str) -> tuple[np.ndarray, np.ndarray]:
        (x_name, x_bytes), (y_name, y_bytes) = found[f"x_{split_name}"], found[f"y_{split_name}"]
        x, y = tables.array(x_name, x_bytes), tables.array(y_name, y_bytes)
        _same_length(x_name, x, y_name, y)
        if x.dtype != np.uint8:
            with np.errstate(over="ignore"):
                x = x.astype(np.float32)
            if not np.isfinite(x).all() and (np.isinf(x).any() or dataset.missing not in ("mean", "median")):
                raise UserError(f"{x_name}: has values that are not finite")
        return x, _array_targets(dataset, y_name, y)

    extra = (dataset.members or {}).get("validation")
    train = part("train")
    test = part("test") if {"x_test", "y_test"} <= set(found) else (None, None)
    validation = tables.indices(extra, contents[extra], len(train[0])) if extra else None
    return Arrays(*train, *test, validation=validation)


def _array_targets(dataset: PublishedDataset, name: str, y: np.ndarray) -> np.ndarray:
    """(n, 1) counts as (n,), and one-hot classes as their numbers."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if dataset.classes is not None and dataset.targets == 1 and y.ndim == 2 and y.shape[1] == dataset.classes:
        if not (np.isin(y, (0, 1)).all() and (y.sum(1) == 1).all()):
            raise UserError(f"{name}: {dataset.classes} columns, but not one 1 in each line")
        y = y.argmax(1)
    if not np.isfinite(y).all():
        raise UserError(f"{name}: a target is not finite")
    if len(y) and (y == y[:1]).all():
        raise UserError(f"{name}: the target has one value only")
    return _targets(name, y, dataset.classes)


def _digits(dataset: PublishedDataset, contents: Mapping[str, bytes]) -> Arrays:
    """scikit-learn's own digits, its last fifth as test split."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    x, y = digits.images.astype(np.uint8), digits.target.astype(np.int64)
    cut = int(len(x) * 0.8)
    return Arrays(x[:cut], y[:cut], x[cut:], y[cut:])


READERS: dict[str, Callable[[PublishedDataset, Mapping[str, bytes]], Arrays]] = {
    "idx": _idx,
    "cifar_binary": _cifar_binary,
    "image_folder": _image_folder,
    "table": _table,
    "digits": _digits,
    "csv": _csv,
    "parquet": _parquet,
    "npz": _npz,
    "npy": _npy,
}
