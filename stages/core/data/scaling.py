"""Scales and stand-ins for missing values, fitted on training samples alone. Arrays: (n, *shape of a sample)."""

from __future__ import annotations

import numpy as np

STANDARD, MINMAX = "standard", "minmax"


def fitted(train: np.ndarray, scale: str | float) -> tuple[np.ndarray, np.ndarray]:
    """Shift and spread, float32 (*shape): scaled values are (x - shift) / spread.

    A feature that is constant in training gets the spread 1, as in scikit-learn. Missing numbers (NaN) do not count.
    """
    values = train.astype(np.float64)
    if scale == STANDARD:
        shift, spread = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    elif scale == MINMAX:
        shift = np.nanmin(values, axis=0)
        spread = np.nanmax(values, axis=0) - shift
    else:
        shift, spread = np.zeros(train.shape[1:]), np.full(train.shape[1:], float(scale))
    return shift.astype(np.float32), np.where(spread == 0, 1, spread).astype(np.float32)


def scaled(x: np.ndarray, shift: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """float32, shaped like x."""
    return (x.astype(np.float32) - shift) / spread


def imputed(x: np.ndarray, train: np.ndarray, how: str) -> np.ndarray:
    """`x` with the training samples' mean or median of the feature in place of NaN; 0 where all of them are missing."""
    values = train.astype(np.float64)
    known = ~np.isnan(values).all(axis=0)
    statistic = np.zeros(train.shape[1:])
    statistic[known] = (np.nanmean if how == "mean" else np.nanmedian)(values[:, known], axis=0)
    return np.where(np.isnan(x), statistic.astype(np.float32), x)
