"""Stage download@<data set>: fetch and verify one data set, write its data sheet.

    python -m stages.download <data set>

Files go to data/<data set>/, the sheet to results/datasets/<data set>.json. REGBENCH_MIRROR names a folder that is used
instead of the public addresses, laid out as <data set>/<file>.
"""

import json
import os
import sys
from pathlib import Path

from stages.core.base.errors import UserError, run
from stages.core.base.files import write_atomically
from stages.core.data.formats import Arrays, describe, digest
from stages.core.data.store import PublishedDataset, load, published


def main() -> None:
    if len(sys.argv) != 2:
        raise UserError("usage: python -m stages.download <data set>, one of those in conf/dataset/")
    dataset = published(sys.argv[1].rpartition("@")[2])  # DVC gives the stage's name
    mirror = os.environ.get("REGBENCH_MIRROR")
    arrays = load(dataset, mirror=Path(mirror) if mirror else None, progress=sys.stderr.isatty())
    sheet = data_sheet(dataset, arrays)
    text = json.dumps(sheet, indent=2, sort_keys=True) + "\n"
    write_atomically(Path("results/datasets") / f"{dataset.name}.json", text)
    shapes = ", ".join(f"{name} {tuple(array['shape'])}" for name, array in sheet["arrays"].items())
    print(f"{dataset.name}: {shapes}, digest {sheet['digest'][:12]}")


def data_sheet(dataset: PublishedDataset, arrays: Arrays) -> dict:
    """What identifies a data set: its files' and its arrays' sizes and SHA-256; nothing of where or when."""
    return {
        "name": dataset.name,
        "title": dataset.title,
        "files": [file.model_dump(exclude={"urls"}) for file in dataset.files],
        "arrays": describe(arrays),
        "digest": digest(arrays),
    }


if __name__ == "__main__":
    run(main)
