"""Figures of a study: tables in, matplotlib figures out. Text stays text in the SVG; the viewer's own fonts draw it."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from stages.core.figures.answer import answer
from stages.core.figures.curves import curves
from stages.core.figures.differences import differences
from stages.core.figures.frames import seed_curves
from stages.core.figures.generalization import generalization
from stages.core.figures.log import log_distances
from stages.core.figures.loss import losses
from stages.core.figures.norms import kernel_norms
from stages.core.figures.style import Study, monitored
from stages.core.figures.svg import to_svg
from stages.core.records.records import Summary
from stages.core.results.frames import Frames
from stages.core.results.tables import CASE

__all__ = ["draw", "to_svg"]


def draw(study: Study, frames: Frames, distances: pd.DataFrame, summaries: Mapping[str, Summary]) -> dict[str, Figure]:
    """All figures that apply to a study, by the name of their file without its ending.

    A study that names no row as asked and as fixed is a comparison alone, and the figure that it names says all. Of a
    contributed case the answer does.

    Args:
        frames: the study's tables.
        distances: of the rows to the document's logs: columns log, row, distance and limit.
        summaries: of the records, by row.
    """
    table, found, by_seed = frames.table, {}, seed_curves(summaries)
    if study.get("asked"):
        guess = summaries[study["asked"]].guess.get(monitored(study), float("nan"))
        found["answer"] = answer(study, by_seed, guess)
    others = {
        "differences": lambda: differences(study, table, frames.seeds),
        "curves": lambda: curves(study, table, by_seed),
        "generalization": lambda: generalization(study, table, frames.seeds),
        "loss": lambda: losses(study, table, by_seed),
        "kernel_norms": lambda: kernel_norms(study, table, frames.weights),
        "reported_log": lambda: log_distances(study, distances),
    }
    if not found:
        found[study["figure"]] = others[study["figure"]]()
    elif not study["name"].startswith(CASE):
        found |= {name: figure() for name, figure in others.items()}
    drawn = {name: figure for name, figure in found.items() if figure is not None}
    for figure in drawn.values():
        figure.set_label(f"{study['figure_title']}. {figure.get_label()}")
    return drawn
