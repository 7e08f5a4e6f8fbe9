"""Mean ranks of the rows that several studies share: Friedman's test and Nemenyi's critical difference.

The source is Demšar, Statistical Comparisons of Classifiers over Multiple Data Sets, J. Mach. Learn. Res. 7 (2006),
section 3.2. A block is one seed of one study. Demšar's blocks are data sets, drawn anew each; seeds of one study share
its data, so what is found holds for these studies and says nothing of others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scikit_posthocs
from scipy import stats

from stages.core.results.statistics import LEVEL

LEAST_ROWS = 3
"""So many rows must be shared: Friedman's test is not made for fewer."""


@dataclass(frozen=True)
class Comparison:
    """Rows that studies share, ranked in every block; rank 1 is the best."""

    studies: tuple[str, ...]
    blocks: int
    mean_ranks: pd.Series
    """by row, best first"""
    friedman_p: float
    """that all rows rank alike; NaN if all are tied in every block"""
    critical_difference: float
    """mean ranks further apart than this are told apart"""
    p_values: pd.DataFrame
    """rows by rows, Nemenyi's test; 1 everywhere unless Friedman's test rejects"""


def compare(studies: Sequence[Mapping[str, Any]], seeds: Mapping[str, pd.DataFrame]) -> list[Comparison]:
    """The comparison of every group of studies that share rows, in the studies' order.

    Args:
        studies: build/studies/<study>.yaml of each.
        seeds: by study, the frame of its results/tables/<study>_seeds.csv.
    """
    return [_compare(group, common, seeds) for group, common in shared_rows(studies)]


def shared_rows(studies: Sequence[Mapping[str, Any]]) -> list[tuple[list[Mapping[str, Any]], list[str]]]:
    """Groups of two studies or more with the LEAST_ROWS rows or more that all of them have, in the first one's order.

    Rows are the same if their name, their coefficients and whatever else they change agree. A study joins the first
    group that it leaves enough rows to.
    """
    groups: list[tuple[list[Mapping[str, Any]], list[str]]] = []
    for study in studies:
        for members, rows in groups:
            common = [row for row in rows if _treatment(study, row) == _treatment(members[0], row)]
            if len(common) >= LEAST_ROWS:
                members.append(study)
                rows[:] = common
                break
        else:
            groups.append(([study], list(study["rows"])))
    return [(members, rows) for members, rows in groups if len(members) > 1]


def ranks_by_block(study: Mapping[str, Any], rows: Sequence[str], seeds: pd.DataFrame) -> pd.DataFrame:
    """Ranks of a study's rows, seeds by rows: 1 is best, ties share their mean rank, NaN is last."""
    metric = seeds.pivot(index="seed", columns="row", values=study["metric"].split(".")[0])[list(rows)]
    return metric.rank(axis=1, ascending=not study["higher_is_better"], na_option="bottom")


def critical_difference(rows: int, blocks: int) -> float:
    """The difference of two mean ranks that Nemenyi's test finds at level 1 - LEVEL: q · √(k(k + 1) / 6N)."""
    q = stats.studentized_range.ppf(LEVEL, rows, np.inf) / math.sqrt(2)
    return float(q * math.sqrt(rows * (rows + 1) / (6 * blocks)))


def _treatment(study: Mapping[str, Any], row: str) -> tuple[Any, Any] | None:
    entry = study["rows"].get(row)
    return entry and (entry["regularizers"], entry["context"])


def _compare(
    studies: Sequence[Mapping[str, Any]], rows: Sequence[str], seeds: Mapping[str, pd.DataFrame]
) -> Comparison:
    ranks = pd.concat([ranks_by_block(study, rows, seeds[study["name"]]) for study in studies], ignore_index=True)
    with np.errstate(invalid="ignore", divide="ignore"):  # all tied in every block: no variance, NaN
        friedman_p = float(stats.friedmanchisquare(*ranks.to_numpy().T).pvalue)
    p_values = scikit_posthocs.posthoc_nemenyi_friedman(ranks)
    if not friedman_p < 1 - LEVEL:
        p_values[:] = 1.0
    return Comparison(
        studies=tuple(study["name"] for study in studies),
        blocks=len(ranks),
        mean_ranks=ranks.mean().sort_values(kind="stable"),
        friedman_p=friedman_p,
        critical_difference=critical_difference(len(rows), len(ranks)),
        p_values=p_values,
    )
