"""Stage download: conf/dataset/ -> results/datasets/<data set>.json, the sheets of the data sets that studies use.

Files go to data/<data set>/. REGBENCH_MIRROR names a folder that is used instead of the public addresses, laid out as
<data set>/<file>. A sheet that was made of this description by this code stays, and nothing is fetched for it.
"""

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from stages.core.base.errors import run, without_arguments
from stages.core.base.files import write_atomically
from stages.core.base.locks import in_turn
from stages.core.config import code, composition
from stages.core.config.dataset import PublishedDataset
from stages.core.data.formats import Arrays, describe, digest_of
from stages.core.data.store import load, published

SHEETS = Path("results/datasets")


def main() -> None:
    mirror = os.environ.get("REGBENCH_MIRROR")
    reader = code.reader()
    names = {study["dataset"] for study in composition.load_params(Path("params.yaml"))["studies"].values()}
    for dataset in [published(name) for name in sorted(names)]:  # all are checked before anything is fetched
        path, made_from = SHEETS / f"{dataset.name}.json", origin(dataset, reader)
        if made_from != _made_from(path):
            arrays = load(dataset, mirror=Path(mirror) if mirror else None, progress=sys.stderr.isatty())
            text = json.dumps(data_sheet(dataset, arrays, made_from), indent=2, sort_keys=True) + "\n"
            write_atomically(path, text)
            shapes = ", ".join(f"{name} {array.shape}" for name, array in vars(arrays).items() if array is not None)
            print(f"{dataset.name}: {shapes}")
    for path in SHEETS.glob("*.json"):
        if path.stem not in names:
            path.unlink()


def origin(dataset: PublishedDataset, reader: str) -> str:
    """SHA-256 over the description of a data set, less where its files can be had, and the digest of its reader."""
    described = dataset.model_dump(exclude={"files": {"__all__": {"urls"}}})
    return hashlib.sha256(json.dumps([described, reader], sort_keys=True).encode()).hexdigest()


def data_sheet(dataset: PublishedDataset, arrays: Arrays, made_from: str) -> dict[str, Any]:
    """What identifies a data set: its files' and its arrays' sizes and SHA-256; nothing of where or when."""
    described = describe(arrays)
    return {
        "name": dataset.name,
        "title": dataset.title,
        "files": [file.model_dump(exclude={"urls"}) for file in dataset.files],
        "arrays": described,
        "digest": digest_of(described),
        "made_from": made_from,
    }


def _made_from(path: Path) -> str | None:
    """What the sheet that is there was made from; None if there is none, or its digest is not that of its arrays."""
    try:
        sheet = json.loads(path.read_text(encoding="utf-8"))
        return sheet["made_from"] if sheet["digest"] == digest_of(sheet["arrays"]) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


if __name__ == "__main__":
    run(without_arguments(in_turn(main)))
