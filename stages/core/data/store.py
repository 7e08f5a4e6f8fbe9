"""Data sets on disk: what is missing is fetched, verified and, where decoding takes long, decoded once."""

import hashlib
import json
from pathlib import Path

from stages.core.base.errors import UserError
from stages.core.base.files import write_atomically
from stages.core.config import code
from stages.core.config.dataset import PublishedDataset
from stages.core.config.validation import validate
from stages.core.config.yaml import read_yaml
from stages.core.data.fetch import fetch, held
from stages.core.data.formats import Arrays, from_bytes, read, to_bytes

CONFIGURATIONS = Path("conf/dataset")
DECODED_ONCE = ("image_folder", "cifar_binary")


def published(name: str, configurations: Path = CONFIGURATIONS) -> PublishedDataset:
    """The data set that <name>.yaml in the folder `configurations` describes.

    Raises:
        UserError: there is no such file, or something in it is missing, unknown or of the wrong type.
    """
    known = sorted(path.stem for path in configurations.glob("*.yaml"))
    if name not in known:
        raise UserError(f"no data set is called {name}; known: {', '.join(known)}")
    path = configurations / f"{name}.yaml"
    return validate(PublishedDataset, read_yaml(path), str(path))


def load(
    dataset: PublishedDataset,
    data_folder: Path = Path("data"),
    mirror: Path | None = None,
    progress: bool = False,
) -> Arrays:
    """The arrays of a data set.

    Files that are missing or damaged in `data_folder`/<name> are fetched first: from `mirror`/<name> if a mirror is
    given, otherwise from their public addresses. Several processes may call this at once: one fetches, the others wait
    for it.

    Raises:
        UserError: a file cannot be had, or is not what `dataset` says.
        OSError: the folder cannot be written.
    """
    folder = Path(data_folder) / dataset.name
    arrays = _ready(dataset, folder)
    if arrays is not None:  # no lock: a complete folder may well be read-only
        return arrays
    from filelock import FileLock

    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        arrays = _ready(dataset, folder)  # another process may have been faster
        if arrays is not None:
            return arrays
        source = Path(mirror) / dataset.name if mirror else None
        arrays = read(dataset, fetch([file.model_dump() for file in dataset.files], folder, source, progress))
        if dataset.format in DECODED_ONCE:
            write_atomically(_decoded_path(dataset, folder), to_bytes(arrays))
        return arrays


def _ready(dataset: PublishedDataset, folder: Path) -> Arrays | None:
    """The arrays if everything they need is on disk and undamaged, otherwise None."""
    if dataset.format in DECODED_ONCE:
        try:
            return from_bytes(_decoded_path(dataset, folder).read_bytes())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
    contents = {file.name: held(file.model_dump(), folder) for file in dataset.files}
    return None if None in contents.values() else read(dataset, contents)


def _decoded_path(dataset: PublishedDataset, folder: Path) -> Path:
    """Named after all that decides the arrays, so that a changed archive or reader never meets an old file."""
    described = [dataset.format, dataset.shape, dataset.classes, dataset.resize]
    decides = [code.reader(), *described, [file.sha256 for file in dataset.files]]
    return folder / f"decoded-{hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:12]}.npz"
