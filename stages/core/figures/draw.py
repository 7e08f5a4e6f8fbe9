"""Figures of a study: tables in, matplotlib figures out.

Every size is in inches and reckoned from the number of rows and characters, never from how wide some font draws, so
that a figure has the same bytes wherever it is drawn. Text stays text in the SVG; the viewer's own fonts draw it.

A *study* is the mapping of build/studies/<study>.yaml; *table*, *curves*, *seeds* and *weights* are the frames of its
CSV files.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from stages.core.figures.coefficients import coefficients
from stages.core.figures.curves import learning_curves
from stages.core.figures.differences import differences
from stages.core.figures.generalization import generalization
from stages.core.figures.log import reported_log
from stages.core.figures.penalty import penalty_shares
from stages.core.figures.style import to_svg
from stages.core.figures.weights import weight_norms

__all__ = ["draw", "to_svg"]


def draw(
    study: Mapping[str, Any], table: pd.DataFrame, curves: pd.DataFrame, seeds: pd.DataFrame, weights: pd.DataFrame
) -> dict[str, Figure]:
    """All figures that apply to a study, by the name of their file without its ending.

    Args:
        study: build/studies/<study>.yaml.
        table: one line a row of the study, in the document's order.
        curves: mean and spread by row, epoch and quantity.
        seeds: final metric by row and seed, on each split.
        weights: final norm by row and weight array.
    """
    figures = {
        "differences": differences(study, table),
        "curves": learning_curves(study, table, curves),
        "penalty": penalty_shares(study, table, curves),
        "coefficients": coefficients(study, table),
        "generalization": generalization(study, table, seeds),
        "weight_norms": weight_norms(study, table, weights),
        "reported_log": reported_log(study, table, curves),
    }
    return {name: figure for name, figure in figures.items() if figure is not None}
