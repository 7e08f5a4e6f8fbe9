"""Which committed rows print a log like the user's."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from stages.core.why.log_symptoms import View
from stages.core.why.logs import TrainingLog

CEILING = 2.0
"""Losses, in units of the first epoch's, are cut off here; so is what is not finite."""

FARTHEST = 0.15
"""A row farther away does not look alike."""

COVERED = 0.5
"""Share of the log's epochs that a row must have, to be compared at all."""


@dataclass(frozen=True)
class Alike:
    """A committed row and how far its mean curve is from the log's: 0 for the same, near 1 for nothing in common."""

    study: str
    row: str
    label: str
    diagnosis: str
    distance: float


def alike(log: TrainingLog, curves: pd.DataFrame, tables: pd.DataFrame, count: int = 3) -> list[Alike]:
    """The rows whose curves are nearest, the nearest first; none farther than FARTHEST.

    Losses are compared as multiples of the training loss of the first shared epoch, accuracies as skill: 0 for guessing
    and 1 for perfection. The distance is the root mean square over the epochs and columns that both have.

    Args:
        curves: learning curves, columns study, row, epoch, quantity, mean (results/tables/*_curves.csv).
        tables: columns study, row, label, diagnosis (results/tables/*.csv).
    """
    ours = _columns(log)
    if ours.empty or curves.empty:
        return []
    # A mean that is not finite is infinite, so that what is missing after unstacking is what a row does not have.
    means = curves[curves["quantity"].isin(_QUANTITIES)].fillna({"mean": np.inf})
    wide = means.set_index(["study", "row", "epoch", "quantity"])["mean"].unstack("quantity")
    found = []
    for (study, row), frame in wide.groupby(level=["study", "row"], sort=False):
        distance = _distance(ours, _guess(log), frame.droplevel(["study", "row"]).dropna(axis="columns"))
        if distance is not None and distance <= FARTHEST:
            found.append((distance, study, row))
    named = tables.set_index(["study", "row"])
    nearest = sorted(found, key=lambda item: item[0])[:count]
    return [
        Alike(study, row, str(named.loc[(study, row), "label"]), str(named.loc[(study, row), "diagnosis"]), distance)
        for distance, study, row in nearest
        if (study, row) in named.index
    ]


COMMITTED_GUESS = 0.1
"""Accuracy of guessing in the committed studies, which have ten classes."""

_QUANTITIES = ("loss", "val_loss", "accuracy", "val_accuracy", "mae", "val_mae")
_SHARES = ("accuracy", "val_accuracy")


def _columns(log: TrainingLog) -> pd.DataFrame:
    """The log's columns under the names of the committed curves, epochs as index."""
    view = View(log)
    names = {"loss": "loss", "val_loss": "val_loss"}
    for own, ours in ((view.accuracy_name, "accuracy"), (view.absolute_name, "mae")):
        if own is not None:
            names |= {own: ours, f"val_{own}": f"val_{ours}"}
    values = {ours: log.columns[own] for own, ours in names.items() if own in log.columns}
    return pd.DataFrame(values, index=log.epochs)


def _guess(log: TrainingLog) -> float:
    """The accuracy of guessing: a half where the loss starts below what it costs among three classes, or a tenth, as in
    the committed studies."""
    losses = log.columns.get("loss", np.empty(0))
    losses = losses[np.isfinite(losses)]
    return 0.5 if losses.size and losses[0] < np.log(3) else COMMITTED_GUESS


def _normal(values: pd.DataFrame, guess: float) -> pd.DataFrame:
    """Shares as skill, anything else as a multiple of its training column's first value, cut at CEILING."""
    result = {}
    for name, column in values.items():
        if name in _SHARES:
            result[name] = ((column - guess) / (1 - guess)).clip(-1, 1)
        else:
            unit = values.get(str(name).removeprefix("val_"), column).iloc[0]
            scaled = column / unit if np.isfinite(unit) and unit > 0 else column * np.nan
            result[name] = scaled.clip(0, CEILING).fillna(CEILING)
    return pd.DataFrame(result, index=values.index)


def _distance(ours: pd.DataFrame, guess: float, theirs: pd.DataFrame) -> float | None:
    """None where they have too little in common to say."""
    names = [name for name in ours.columns if name in theirs.columns]
    epochs = ours.index.intersection(theirs.index)
    kinds = {name.removeprefix("val_") for name in names}
    if len(epochs) < COVERED * len(ours) or len(kinds) < len({name.removeprefix("val_") for name in ours.columns}):
        return None
    a, b = (_normal(curves.loc[epochs, names], g) for curves, g in ((ours, guess), (theirs, COMMITTED_GUESS)))
    gap = a.to_numpy() - b.to_numpy()
    return float(np.sqrt(np.nanmean(gap**2))) if np.isfinite(gap).any() else None
