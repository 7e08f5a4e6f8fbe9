"""The overview: one line a study, as a frame, as Markdown and as DVC metrics.

A *study* is the mapping of build/studies/<study>.yaml, a *table* the frame of its results/tables/<study>.csv.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from stages.core.base.errors import UserError
from stages.core.records.records import to_text
from stages.core.results import tables
from stages.core.results.checked_csv import rounded, typed
from stages.core.results.statistics import LEVEL, POWER
from stages.core.results.table_schemas import OVERVIEW

Study = Mapping[str, Any]

BEGIN, END = "<!-- overview: `make report` writes what is below -->", "<!-- end of overview -->"

COLUMNS = f"""\
- *Baseline*: the row that the others are compared with.
- *Smallest difference* from it that the seeds would have shown with a probability of {tables.percent(POWER)}.
- *Better*, *worse*: rows whose paired difference from it is more than noise (Holm-adjusted p < {1 - LEVEL:.2g}).
- *Fails*: rows that diverge or do not learn.
- *Reproduced*: of the rows with a published figure, those with it in the {tables.percent(LEVEL)} prediction interval of
  one further run."""


def overview_table(studies: Mapping[str, Study], by_study: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One line a study, in the order of `studies`; columns as in OVERVIEW."""
    return typed(pd.DataFrame([_line(study, by_study[name]) for name, study in studies.items()]), OVERVIEW)


def to_markdown(studies: Mapping[str, Study], overview: pd.DataFrame) -> str:
    """The overview for people, with links from results/."""
    headings = (
        "study",
        "document's question",
        "data",
        "rows × seeds",
        "baseline, mean ± sd",
        "smallest difference",
        "better",
        "worse",
        "fails",
        "reproduced",
    )
    rules = ["---"] * 3 + ["---:"] * 7
    lines = [headings, rules, *(_cells(studies[line.study], line) for line in overview.itertuples())]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return "\n\n".join(["# Overview", table, COLUMNS]) + "\n"


def to_metrics(by_study: Mapping[str, pd.DataFrame]) -> str:
    """JSON text {study: {row: mean}} for `dvc metrics diff`; null where no seed is finite."""
    return to_text(
        {name: {line.row: rounded(line.mean) for line in table.itertuples()} for name, table in by_study.items()}
    )


def embed(page: str, overview: str) -> str:
    """The README with the overview between its two markers, its links leading from the folder above.

    Raises:
        UserError: the page lacks a marker, or has one twice.
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise UserError(f"README.md: needs the two lines {BEGIN} and {END}, once each and in this order")
    body = overview.partition("\n\n")[2].strip()  # without its heading
    body = re.sub(r"\]\((?!\w+:)", "](results/", body)
    before, after = page.partition(BEGIN)[0], page.partition(END)[2]
    return f"{before}{BEGIN}\n\n{body}\n\n{END}{after}"


def _line(study: Study, table: pd.DataFrame) -> dict[str, Any]:
    baseline = table[table["row"] == study["baseline"]].iloc[0]
    sign = 1 if study["higher_is_better"] else -1
    significant = table["p_holm"] < 1 - LEVEL
    return {
        "study": study["name"],
        "dataset": study["dataset"],
        "metric": study["metric"],
        "rows": len(table),
        "seeds": study["n_seeds"],
        "baseline": study["baseline"],
        "baseline_mean": baseline["mean"],
        "baseline_sd": baseline["sd"],
        "detectable_difference": tables.detectable_difference(table),
        "better": (significant & (sign * table["difference"] > 0)).sum(),
        "worse": (significant & (sign * table["difference"] < 0)).sum(),
        "not_learning": (table["diagnosis"] == "not learning").sum(),
        "diverged": (table["diagnosis"] == "diverged").sum(),
        "reported": table["reported"].notna().sum(),
        "reproduced": (table["reproduced"] == "yes").sum(),
    }


def _cells(study: Study, line: Any) -> list[str]:
    mean, sd = tables.with_spread(line.baseline_mean, line.baseline_sd)
    split, metric = line.metric.split(".")
    return [
        f"[{line.study}](tables/{line.study}.md)",
        tables.escape(study["question"]),
        tables.escape(study["dataset_title"]),
        f"{line.rows} × {line.seeds}",
        f"{mean} ± {sd} {split} {metric}",
        tables.DASH if math.isnan(line.detectable_difference) else f"{line.detectable_difference:.2g}",
        str(line.better),
        str(line.worse),
        str(line.not_learning + line.diverged),
        f"{line.reproduced} of {line.reported}" if line.reported else tables.DASH,
    ]
