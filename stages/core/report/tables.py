"""The report's tables: frames in, HTML out, laid out by great_tables.

A cell holds `<data value="…">`, by which the page sorts: a plain number or a text, nothing where there is no figure.
What great_tables writes is kept but for its style sheet, which knows no dark scheme; the page brings its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import great_tables as gt
import pandas as pd
from markupsafe import Markup, escape

from stages.core.report.translations import words
from stages.core.results import diagnosis, tables
from stages.core.results.answers import Row
from stages.core.results.estimates import Share

DASH = Markup(tables.DASH)
NARROW = "\u202f"
"""A narrow space that no line ends at."""


class Table(NamedTuple):
    """A table as HTML, and its id; its caption has the id `<name>-caption`."""

    name: str
    html: Markup


class Column(NamedTuple):
    """A column of a table: its name, its heading, and a cell for each row; numbers are set flush right."""

    name: str
    heading: Markup
    cells: Sequence[Markup]
    number: bool = True


def comparison(study: Mapping[str, Any], table: pd.DataFrame, rows: Mapping[str, Row]) -> Table:
    """The study's rows with their statistics, in its order.

    Args:
        study: the study.
        table: its table.
        rows: what `answers.rows_of` gives of it.
    """
    split, metric = study["metric"].split(".")
    marks = footnotes(rows.values())
    lines = list(zip(table.to_dict("records"), rows.values(), strict=True))
    others = [name for name in tables.SPLITS if name != split and table[name].notna().any()]
    columns = [
        Column("label", words("label"), [_text(line["label"]) for line, _ in lines], number=False),
        Column("reported", words("reported"), [_reported(line, row, marks) for line, row in lines]),
        Column("measured", words("measured"), [_measured(line) for line, _ in lines]),
        Column("difference", words("difference"), [_difference(study, line, row) for line, row in lines]),
        Column("p_holm", words("p_holm"), [_p_value(line["p_holm"]) for line, _ in lines]),
        Column("reproduced", words("reproduced"), [_reproduced(line, row) for line, row in lines], number=False),
        Column("diagnosis", words("diagnosis"), [_diagnosis(line) for line, _ in lines], number=False),
        *(
            Column(name, words(f"{name}.{metric}"), [_as_the_mean(line[name], line) for line, _ in lines])
            for name in others
        ),
        Column("penalty_share", words("penalty_share"), [_percent(row.penalty_share) for _, row in lines]),
        Column("effect_size", words("effect_size"), [_number(line["effect_size"], ".1f") for line, _ in lines]),
    ]
    better = words("higher" if study["higher_is_better"] else "lower")
    caption = words("comparison_caption", metric=words(study["metric"]), better=better)
    return _layout(f"comparison-{study['name']}", caption, columns)


def footnotes(rows: Iterable[Row]) -> dict[str, int]:
    """The lines of the document that several rows stand for, each with the number of its footnote."""
    texts = dict.fromkeys(row.same_reported_as for row in rows if row.same_reported_as)
    return {text: number for number, text in enumerate(texts, start=1)}


def ranking(study: Mapping[str, Any], log: str, curves: pd.DataFrame) -> Table:
    """The study's rows by their distance to one of its reported logs, nearest first."""
    ranked = tables.rank_by_distance(study["reported_logs"][log], curves)
    ranks = [rank if math.isfinite(distance) else math.nan for rank, distance in enumerate(ranked["distance"], start=1)]
    columns = [
        Column("label", words("label"), [_text(study["rows"][row]["label"]) for row in ranked.index], number=False),
        Column("rank", words("rank"), [_number(rank, "g") for rank in ranks]),
        *(Column(name, words(name), [_number(value, ".1f") for value in ranked[name]]) for name in ranked.columns),
    ]
    return _layout(f"ranking-{study['name']}-{log}", words("ranking_caption", log=log), columns)


def overview(frame: pd.DataFrame, studies: Mapping[str, Mapping[str, Any]]) -> Table:
    """One line a study.

    Args:
        frame: of results/overview.csv.
        studies: by name.
    """
    lines = [{**line, **_titles(studies[line["study"]])} for line in frame.to_dict("records")]
    counts = ("better", "worse", "barely_learning", "not_learning", "diverged")
    columns = [
        Column("study", words("study"), [_link(line["study"], line["title"]) for line in lines], number=False),
        Column("dataset", words("dataset"), [_text(line["dataset"]) for line in lines], number=False),
        Column("metric", words("metric"), [_named(line["metric"]) for line in lines], number=False),
        Column("size", words("rows_seeds"), [_size(line) for line in lines]),
        Column("baseline", words("baseline"), [_baseline(line) for line in lines]),
        *(Column(name, words(f"{name}_rows"), [_number(line[name], "g") for line in lines]) for name in counts),
        Column("reproduced", words("reproduced"), [_ratio(line["reproduced"], line["reported"]) for line in lines]),
    ]
    return _layout("overview-table", words("overview_caption"), columns)


# --- cells


def _cell(value: float | str, text: str, note: str = "") -> Markup:
    """A cell that is sorted by `value`; the note stands below the text."""
    if isinstance(value, float):
        value = f"{value:.6g}" if math.isfinite(value) else ""
    below = Markup("<small>{}</small>").format(note) if note else ""
    return Markup('<data value="{}">{}</data>{}').format(value, text, below)


def _text(text: str) -> Markup:
    """A text that may break after an equals sign, as in `kernel_regularizer=l2(0.001)`."""
    return _cell(text, escape(text).replace("=", Markup("=<wbr>")))


def _named(name: str) -> Markup:
    return _cell(name, words(name))


def _number(value: float, form: str) -> Markup:
    return _cell(float(value), DASH if math.isnan(value) else format(value, form))


def _tag(kind: str, text: str) -> Markup:
    return Markup('<span class="tag {}">{}</span>').format(kind.replace(" ", "-"), text)


def _reported(line: Mapping[str, Any], row: Row, marks: Mapping[str, int]) -> Markup:
    mark = Markup("<sup>{}</sup>").format(marks[row.same_reported_as]) if row.same_reported_as else ""
    return _cell(line["reported"], Markup("{}{}").format(row.reported, mark))


def _measured(line: Mapping[str, Any]) -> Markup:
    n, finite = line["n"], line["n_finite"]
    note = f"n = {n}" if n == finite else words("finite", n=finite, of=n)
    return _cell(line["mean"], " ± ".join(tables.with_spread(line["mean"], line["sd"])) if finite else DASH, note)


def _as_the_mean(value: float, line: Mapping[str, Any]) -> Markup:
    """With the digits that the spread of the study's metric supports."""
    return _cell(value, tables.with_spread(value, line["sd"])[0])


def _difference(study: Mapping[str, Any], line: Mapping[str, Any], row: Row) -> Markup:
    if row.key == study["baseline"]:
        return _cell(math.nan, words("is_baseline"))
    if math.isnan(line["difference"]):
        return _cell(math.nan, DASH)
    mean, low, high = row.difference.texts()
    told = {True: _tag("better", words("better")), False: _tag("worse", words("worse")), None: ""}[row.better]
    note = f"[{tables.DASH}]" if math.isnan(line["difference_low"]) else f"[{low},{NARROW}{high}]"
    return _cell(line["difference"], Markup("{} {}").format(told, mean) if told else mean, note)


def _p_value(p: float) -> Markup:
    return _cell(p, DASH if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}")


def _reproduced(line: Mapping[str, Any], row: Row) -> Markup:
    if row.reproduced is None:
        return _cell("", DASH)
    found = "yes" if row.reproduced else "no"
    note = words("every_seed") if math.isnan(line["prediction_low"]) else row.one_run.replace(" ", NARROW)
    return _cell(found, _tag(found, words(found)), note)


def _percent(share: Share) -> Markup:
    return _cell(share.mean, "< 0.01 %" if 0 < share.mean < 1e-4 else share.percent)


def _diagnosis(line: Mapping[str, Any]) -> Markup:
    """Sorted from the worst to the best."""
    name = line["diagnosis"]
    return _cell(float(diagnosis.NAMES.index(name)), _tag(name, words(name)), line["evidence"])


def _link(study: str, title: str) -> Markup:
    return _cell(title, Markup('<a href="#study-{}">{}</a>').format(study, title))


def _size(line: Mapping[str, Any]) -> Markup:
    return _cell(float(line["rows"] * line["seeds"]), f"{line['rows']} × {line['seeds']}")


def _titles(study: Mapping[str, Any]) -> dict[str, str]:
    """What people call a study, its data set and its baseline."""
    baseline = study["rows"][study["baseline"]]["label"]
    return {"title": study["title"], "dataset": study["dataset_title"], "baseline": baseline}


def _baseline(line: Mapping[str, Any]) -> Markup:
    mean, sd = line["baseline_mean"], line["baseline_sd"]
    text = DASH if math.isnan(mean) else " ± ".join(tables.with_spread(mean, sd))
    return _cell(mean, text, line["baseline"])


def _ratio(part: float, whole: float) -> Markup:
    return _cell(part / whole, words("count", n=f"{part:g}", of=f"{whole:g}")) if whole > 0 else _cell(math.nan, DASH)


# --- layout


def _layout(name: str, caption: Markup, columns: Sequence[Column]) -> Table:
    """The table as HTML; a heading is a button, the first column heads the rows."""
    button = Markup('<button type="button">{}</button>')
    first = columns[0]
    frame = pd.DataFrame({column.name: list(column.cells) for column in columns}, dtype=object)
    table = (
        gt.GT(frame, id=name, rowname_col=first.name)
        .tab_stubhead(gt.html(button.format(first.heading)))
        .cols_label({column.name: gt.html(button.format(column.heading)) for column in columns[1:]})
        .cols_align("right", [column.name for column in columns if column.number])
        .cols_align("left", [column.name for column in columns if not column.number])
        .fmt_passthrough(list(frame.columns), escape=False)
    )
    _, opening, rest = re.split(r"(<table[^>]*>)", table.as_raw_html(), maxsplit=1)
    body = rest.removesuffix("</div>\n")
    titled = Markup('<caption id="{}-caption"><span>{}</span></caption>').format(name, caption)
    return Table(name, Markup(opening) + titled + Markup(body))
