"""The digests of the project's own code: by stage, and for a row by what it uses of the training."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from stages.core.base.errors import UserError
from stages.core.config.fingerprint import locked_versions, reach
from stages.core.config.row import needs_fit

Sources = Mapping[str, str]
Versions = Mapping[str, str]

ROOT = Path(__file__).parents[3]
TRAIN = "train"
PARTS = {  # of the training: what only a row that uses it depends on
    "augmentation": ("stages.core.training.augmentation",),
    "fit": ("stages.core.training.fit",),
    "random split": ("stages.core.data.splits:_random_validation",),
    "other split": tuple(f"stages.core.data.splits:_{kind}_validation" for kind in ("stratified", "grouped", "named")),
    "scaling": ("stages.core.data.scaling",),
}
READING = tuple(f"stages.core.data.{name}" for name in ("archives", "fetch", "formats", "store", "tables"))
"""A row depends on the digest of its data, which training compares, and not on how they are read."""

CHECKS = ("stages.core.config.code", "stages.core.config.fingerprint")
"""They refuse a training, and change nothing of it."""

READS_NO_NUMBER = ("filelock", "omegaconf", "pydantic", "yaml")
"""Packages that read and check what training is told, and change nothing of it."""


def read(root: Path = ROOT) -> tuple[Sources, Versions]:
    """The text of every module below `root`/stages, by default of the code that runs, and the versions in its lock."""
    paths = sorted((root / "stages").rglob("*.py"))
    sources = {".".join(path.relative_to(root).with_suffix("").parts): path.read_text("utf-8") for path in paths}
    return sources, locked_versions((root / "requirements.lock").read_text("utf-8"))


def stages(sources: Sources) -> list[str]:
    """The stages by name: the files right below stages/."""
    parts = (name.split(".") for name in sources)
    return [part[1] for part in parts if len(part) == 2 and part[1] != "__init__"]


def digests(sources: Sources, versions: Versions, stage: str) -> dict[str, str]:
    """Digests of a stage's code by part: `all`, and for the training its PARTS besides."""
    entry = f"stages.{stage}"
    if stage != TRAIN:
        return {"all": reach(sources, entry).digest(versions)}
    optional = [name for names in PARTS.values() for name in names]
    cut = [*READING, *CHECKS]
    found = {"all": reach(sources, entry, [*cut, *optional])}
    for part, names in PARTS.items():
        found[part] = reach(sources, entry, [*cut, *(name for name in optional if name not in names)])
    return {part: reached.digest(versions, READS_NO_NUMBER) for part, reached in found.items()}


def curve(sources: Sources, versions: Versions) -> str:
    """The digest of the code that records a response curve, without what trains its points: these have their own."""
    reached = reach(sources, "stages.curve", [*READING, "stages.core.records.recording"])
    return reached.digest(versions, READS_NO_NUMBER)


def reader(root: Path = ROOT) -> str:
    """The digest of the code and the packages that make arrays of a data set's files."""
    sources, versions = read(root)
    return reach(sources, "stages.core.data.formats").digest(versions, READS_NO_NUMBER)


def parts(row: Mapping[str, Any]) -> list[str]:
    """The parts of the training that a row, a composed mapping, uses: keys of what `digests` gives."""
    found = (row.get(key) for key in ("split", "dataset", "optimizer"))
    split, dataset, optimizer = (part if isinstance(part, Mapping) else {} for part in found)
    rule = split.get("validation")
    scales = [dataset.get(key) for key in ("scale", "target_scale", "missing")]
    used = {
        "augmentation": bool(row.get("augmentation")),
        "fit": needs_fit(optimizer),
        "random split": rule == "random",
        "other split": rule in ("stratified", "grouped", "indices"),
        "scaling": isinstance(scales[0], str) or scales[1:] != [None, None],
    }
    return ["all", *(part for part in PARTS if used[part])]


def fingerprint(row: Mapping[str, Any], digests: Mapping[str, str]) -> str:
    """SHA-256 (hex) of the code that trains a row, from what `digests` gives of the training."""
    return hashlib.sha256("".join(digests[part] for part in parts(row)).encode()).hexdigest()


def check_installed(versions: Versions, packages: Iterable[str]) -> None:
    """Refuse to go on with other packages than the lock's.

    Raises:
        UserError: it names the first that differs.
    """
    for name in packages:
        try:
            installed = version(name)
        except PackageNotFoundError:
            installed = "not"
        if installed != versions.get(name):
            raise UserError(
                f"{name} {installed} is installed, but requirements.lock has {versions.get(name)}; run `make setup`"
            )
