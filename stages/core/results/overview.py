"""The overview: one line a study, as a frame, as Markdown and as DVC metrics.

A *study* is the mapping of build/studies/<study>.yaml, a *table* the frame of its results/tables/<study>.csv.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from stages.core.base.text import escape, percent
from stages.core.records.records import to_text
from stages.core.results import diagnosis, tables
from stages.core.results.answers import Verdict
from stages.core.results.checked_csv import rounded, typed
from stages.core.results.statistics import LEVEL
from stages.core.results.table_schemas import OVERVIEW

Study = Mapping[str, Any]

COLUMNS = f"""\
- *Baseline*: the row that the others are compared with.
- *Better*, *worse*: rows whose paired difference from it is more than noise on these samples (Holm-adjusted p <
  {1 - LEVEL:.2g}), however small.
- *Fails*: rows that diverge, do not learn or barely learn.
- *Reproduced*: of the document's figures that are of these data, those in a {percent(LEVEL)} prediction
  interval of one further run, which holds for all of a study's figures together. Where a figure may stand for several
  rows, one is enough."""


def overview_table(studies: Mapping[str, Study], by_study: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One line a study, in the order of `studies`; columns as in OVERVIEW."""
    return typed(pd.DataFrame([_line(study, by_study[name]) for name, study in studies.items()]), OVERVIEW)


def records(seeds: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The seeds of all studies in one frame; columns as in SEEDS."""
    return pd.concat(list(seeds), ignore_index=True)


def to_markdown(
    studies: Mapping[str, Study],
    overview: pd.DataFrame,
    by_study: Mapping[str, pd.DataFrame],
    verdicts: Mapping[str, Verdict],
) -> str:
    """The overview for people, with links from results/: the verdicts, then the counts."""
    headings = ("study", "data", "rows × seeds", "baseline", "better", "worse", "fails", "reproduced")
    rules = ["---", "---", "---:", "---", *["---:"] * 4]
    cells = [_cells(studies[line.study], line, by_study[line.study]) for line in overview.itertuples()]
    table = "\n".join(f"| {' | '.join(line)} |" for line in (headings, rules, *cells))
    told = [line.study for line in overview.itertuples() if not line.study.startswith(tables.CASE)]
    said = [_said(studies[name], verdicts[name]) for name in told]
    return "\n\n".join(["# Overview", "\n".join(said), table, COLUMNS]) + "\n"


def _said(study: Study, verdict: Verdict) -> str:
    """A study's question and its verdict."""
    name = f"[{escape(study['title'])}](tables/{study['name']}.md)"
    if study["url"]:
        name += f" ([page]({study['url']}))"
    code = f" `{verdict.snippet}`" if verdict.snippet else ""
    return (
        f"- **{name}.** *{escape(study['question'])}*\n"
        f"  - {verdict.cause} **{verdict.change}**{code}\n"
        f"  - How sure: {verdict.sure} {verdict.otherwise}"
    )


def to_metrics(by_study: Mapping[str, pd.DataFrame]) -> str:
    """JSON text {study: {row: mean}} for `dvc metrics diff`; null where no seed is finite."""
    return to_text(
        {name: {line.row: rounded(line.mean) for line in table.itertuples()} for name, table in by_study.items()}
    )


def _line(study: Study, table: pd.DataFrame) -> dict[str, Any]:
    lines = table.set_index("row")
    baseline = lines.loc[study["baseline"]]
    sign = 1 if study["higher_is_better"] else -1
    significant = table["p_holm"] < 1 - LEVEL
    figures = tables.reported_figures(study)
    return {
        "study": study["name"],
        "dataset": study["dataset"],
        "metric": study["metric"],
        "rows": len(table),
        "seeds": study["n_seeds"],
        "baseline": study["baseline"],
        "baseline_mean": baseline["mean"],
        "baseline_sd": baseline["sd"],
        "better": (significant & (sign * table["difference"] > 0)).sum(),
        "worse": (significant & (sign * table["difference"] < 0)).sum(),
        "barely_learning": (table["diagnosis"] == diagnosis.BARELY_LEARNING).sum(),
        "not_learning": (table["diagnosis"] == diagnosis.NOT_LEARNING).sum(),
        "diverged": (table["diagnosis"] == diagnosis.DIVERGED).sum(),
        "reported": len(figures),
        "reproduced": sum((lines.loc[rows, "reproduced"] == "yes").any() for rows in figures),
    }


def _cells(study: Study, line: Any, table: pd.DataFrame) -> list[str]:
    baseline = table.set_index("row").loc[line.baseline]
    names = ("mean", "sd", "n", "n_finite", "median", "groups")
    return [
        f"[{line.study}](tables/{line.study}.md)",
        escape(study["dataset_title"]),
        f"{line.rows} × {line.seeds}",
        f"{line.metric.replace('.', ' ')} {tables.mean_text(*(baseline[name] for name in names))}",
        str(line.better),
        str(line.worse),
        str(line.barely_learning + line.not_learning + line.diverged),
        f"{line.reproduced} of {line.reported}" if line.reported else tables.DASH,
    ]
