"""The grid: what each regularization does to each net, from the records to a frame and to Markdown.

A *grid* is the mapping of build/grid.yaml. A cell is a row, compared with its net's row without regularization, seed by
seed over the seeds that both have, on the samples of the metric of its study; Holm's adjustment counts the cells of a
net. A net whose document has a dropout keeps it in "none".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from stages.core.base.text import escape, percent
from stages.core.records.records import Summary
from stages.core.results import diagnosis, statistics, tables
from stages.core.results.checked_csv import typed
from stages.core.results.statistics import LEVEL
from stages.core.results.table_schemas import GRID

NONE = "none"
TRAINED, SAME, NOT_TRAINED = "trained", "the same row as none", "not trained"
HIDDEN = (diagnosis.LEARNING,)  # diagnoses that a cell does not mention


def grid_table(grid: Mapping[str, Any], summaries: Mapping[str, Summary]) -> pd.DataFrame:
    """One line a net and regularization, in the grid's order; columns as in GRID.

    Args:
        grid: the grid.
        summaries: by key (study/row), those that are there.
    """
    lines = [line for name in grid["nets"] for line in _net(grid, name, summaries)]
    return typed(pd.DataFrame(lines, columns=list(GRID.columns)), GRID)


def alike(summary: Summary, other: Summary) -> Summary:
    """A summary cut to the seeds and splits that another one has too, as a row of no study in particular."""
    n = min(len(summary.first_non_finite_epoch), len(other.first_non_finite_epoch))
    return replace(
        summary,
        config={key: value for key, value in summary.config.items() if key not in {"study", "seeds"}},
        final={
            split: {name: values[:n] for name, values in figures.items()}
            for split, figures in summary.final.items()
            if split in other.final
        },
        curve={name: values[:n] for name, values in summary.curve.items()},
        first_non_finite_epoch=summary.first_non_finite_epoch[:n],
        **{
            part: {name: values[:n] for name, values in getattr(summary, part).items()}
            for part in ("weight_norms", "top_class_share", "saturated_share", "zero_share")
        },
    )


def to_markdown(grid: Mapping[str, Any], table: pd.DataFrame) -> str:
    """One line a regularization, one column a net, and below what is needed to read it."""
    by_cell = {(line.net, line.regularization): line for line in table.itertuples()}
    nets = grid["nets"]
    heads = [f"{escape(net['label'])}: {_better(net['metric'])}" for net in nets.values()]
    lines = [
        [escape(label), *(cell_text(by_cell[net, name], grid) for net in nets)]
        for name, label in grid["regularizations"].items()
    ]
    rows = [["Regularization (參數)", *heads], ["---", *["---:"] * len(heads)], *lines]
    parts = [
        "# Every net beside every regularization",
        "What does each regularization do to each net of the documents, on held-out data?",
        "\n".join(f"| {' | '.join(row)} |" for row in rows),
        "\n".join(f"- {fact}" for fact in _facts(grid, table)),
    ]
    return "\n\n".join(parts) + "\n"


def cell_text(line: Any, grid: Mapping[str, Any]) -> str:
    """A cell in Markdown: of none its mean, of the others the difference with its interval, in bold if it can be told
    from noise; the diagnosis where the row is not simply learning."""
    if line.status != TRAINED:
        return escape(line.status)
    mentioned = "" if line.diagnosis in HIDDEN else f", {line.diagnosis}"
    if line.regularization == NONE:
        middle = f"median {line.median:.4f}" if line.groups else tables.with_spread(line.mean, line.sd)[0]
        return f"{middle} ({line.n}){mentioned}"
    text = tables.difference_cell(line)
    return (f"**{text}** {line.told}" if line.told else text) + mentioned


def _net(grid: Mapping[str, Any], name: str, summaries: Mapping[str, Summary]) -> list[dict[str, Any]]:
    net = grid["nets"][name]
    split, metric = net["metric"].split(".")
    keys = net["cells"]
    none = summaries.get(keys[NONE] or "")
    lines = []
    for regularization, label in grid["regularizations"].items():
        key = keys[regularization]
        line = {"net": name, "regularization": regularization, "label": label, "study": net["study"]}
        line |= {"metric": net["metric"], "row": key or "", "status": NOT_TRAINED, "n": 0}
        line |= dict.fromkeys(("groups", "told", "diagnosis", "evidence"), "")
        summary = summaries.get(key or "")
        if summary is not None and none is not None:
            ours, theirs = alike(summary, none), alike(none, summary)
            values = ours.final[split][metric]
            sample = statistics.describe(values)
            line |= {"status": TRAINED, "n": len(ours.first_non_finite_epoch), "mean": sample.mean, "sd": sample.sd}
            line |= {"median": statistics.median(values)[0], "groups": diagnosis.groups_text(values)}
            if regularization != NONE and key == keys[NONE]:
                line["status"] = SAME
            elif regularization != NONE:
                line |= _difference(ours, theirs, split, metric)
        lines.append(line)
    adjusted = statistics.holm([line.get("p_value", np.nan) for line in lines])
    for line, p in zip(lines, adjusted, strict=True):
        if line["status"] == NOT_TRAINED:
            continue
        ours = summaries[line["row"]]
        found = diagnosis.diagnose(alike(ours, none), alike(none, ours), p)
        line |= {"diagnosis": found.name, "evidence": found.evidence, "p_holm": p}
        if p < 1 - LEVEL:
            line["told"] = "better" if line["skill_difference"] > 0 else "worse"
    return lines


def _difference(ours: Summary, theirs: Summary, split: str, metric: str) -> dict[str, float]:
    found = statistics.paired_difference(ours.final[split][metric], theirs.final[split][metric])
    skill = statistics.paired_difference(diagnosis.skill(ours, split), diagnosis.skill(theirs, split))
    return {
        "difference": found.mean,
        "difference_low": found.low,
        "difference_high": found.high,
        "p_value": found.p_value,
        "skill_difference": skill.mean,
        "skill_low": skill.low,
        "skill_high": skill.high,
    }


def _better(metric: str) -> str:
    return f"{metric.replace('.', ' ')}, {'higher' if metric.endswith('accuracy') else 'lower'} is better"


def _facts(grid: Mapping[str, Any], table: pd.DataFrame) -> list[str]:
    missing = int((table["status"] == NOT_TRAINED).sum())
    keeping = [escape(net["label"]) for net in grid["nets"].values() if net["dropout"]]
    return [
        "First line: the mean and the number of seeds. Below: the paired difference from it with its "
        f"{percent(LEVEL)} interval, bold where it is more than noise (Holm's adjustment over the net's cells, "
        f"p < {1 - LEVEL:.2g}), and the diagnosis where it is not “learning”. Where some seeds end far from the others "
        "these are medians, of the row and of the paired differences, decided by a sign test.",
        "An interval is of its cell alone: it may exclude 0 where the cell, counted among all of its net, is not told from "
        "noise. A study's own table counts fewer comparisons, so that a cell may be told there and not here.",
        *([f"These nets have a dropout in their documents and keep it in “no regularizer”: {'; '.join(keeping)}. "
           "There a dropout of the table takes its place."] if keeping else []),
        "Early stopping looks at validation samples: where a study has none, at the last tenth of its training samples, "
        "which the net then does not train on. Where the study is judged by its validation samples, it is judged by those "
        "that it was stopped by.",
        f"{missing} of {len(table)} cells are not trained: a seed costs minutes there (`grid` in params.yaml selects), or "
        "the value is not measured yet.",
    ]
