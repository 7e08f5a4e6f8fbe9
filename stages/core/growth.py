"""How the pipeline's own cost grows with the number of rows: made-up records, table and figure of what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zlib import crc32

import numpy as np

CURVE_EPOCHS = 30


def made_up_record(row: Mapping[str, Any], sheet: Mapping[str, Any]) -> dict[str, Any]:
    """A record with the parts of a real one and numbers drawn at random, the same ones for the same row.

    Args:
        row: a resolved row of a classification study, all of build/rows/<study>/<row>.yaml.
        sheet: the sheet of its data set, which has test samples.
    """
    random = np.random.default_rng(crc32(f"{row['study']}/{row['row']}".encode()))
    sizes = {name: array["shape"][0] for name, array in sheet["arrays"].items()}
    epochs = min(row["training"]["epochs"], CURVE_EPOCHS)
    splits = {"train": sizes["train_x"], "test": sizes["test_x"]}
    return {
        "study": row["study"],
        "row": row["row"],
        "config": row,
        "data": {
            "dataset": row["dataset"]["name"],
            "digest": sheet["digest"],
            "samples": splits,
            "guess": dict.fromkeys(splits, 0.1),
        },
        "versions": {},
        "device": "cpu",
        "seeds": [
            {
                "seed": seed,
                "curve": {"epoch": list(range(1, epochs + 1))} | _curve(random, epochs),
                "final": {split: _quantities(random) for split in splits},
                "first_non_finite_epoch": None,
                "top_class_share": dict.fromkeys(splits, 0.1),
            }
            for seed in range(row["seeds"])
        ],
    }


def _quantities(random: np.random.Generator, n: int | None = None) -> dict[str, Any]:
    data_loss, penalty, accuracy = random.random(n), random.random(n), random.random(n)
    return {"loss": data_loss + penalty, "data_loss": data_loss, "penalty": penalty, "accuracy": accuracy}


def _curve(random: np.random.Generator, epochs: int) -> dict[str, Any]:
    monitored = _quantities(random, epochs)
    del monitored["penalty"]
    return _quantities(random, epochs) | {f"val_{name}": values for name, values in monitored.items()}
