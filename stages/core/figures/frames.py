"""Frames that several figures draw from."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from stages.core.records.records import Summary


def seed_curves(summaries: Mapping[str, Summary]) -> pd.DataFrame:
    """Curves of every seed: columns row, seed, epoch (from 1) and one a quantity, NaN where it was not finite."""
    return pd.concat([_curves(row, summary) for row, summary in summaries.items()], ignore_index=True)


def thinned(curves: pd.DataFrame, most: int = 120) -> pd.DataFrame:
    """Not more than about so many epochs, evenly spaced, the first and the last among them."""
    epochs = np.sort(curves["epoch"].unique())
    step = -(-len(epochs) // most)
    return curves[curves["epoch"].isin({*epochs[::step], epochs[-1]})]


def _curves(row: str, summary: Summary) -> pd.DataFrame:
    seeds, epochs = next(iter(summary.curve.values())).shape
    index = {"row": row, "seed": np.repeat(np.arange(seeds), epochs), "epoch": np.tile(summary.epochs, seeds)}
    return pd.DataFrame({**index, **{name: values.ravel() for name, values in summary.curve.items()}})
