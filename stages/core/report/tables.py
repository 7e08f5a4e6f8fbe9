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
from markupsafe import Markup

from stages.core.base.text import p_text
from stages.core.report.translations import Translator
from stages.core.results import diagnosis, tables
from stages.core.results.answers import Row
from stages.core.results.grid import NONE, SAME, TRAINED
from stages.core.results.statistics import LEVEL

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


def comparison(study: Mapping[str, Any], table: pd.DataFrame, rows: Mapping[str, Row], t: Translator) -> Table:
    """The study's rows with their statistics, in its order.

    Args:
        study: the study.
        table: its table.
        rows: what `answers.rows_of` gives of it.
    """
    marks = footnotes(rows.values())
    lines = list(zip(table.to_dict("records"), rows.values(), strict=True))
    columns = [
        Column("label", t.word("label"), [_label(line["label"], t) for line, _ in lines], number=False),
        Column("reported", t.word("reported"), [_reported(line, row, marks) for line, row in lines]),
        Column("measured", t.word("measured"), [_measured(study, line, t) for line, _ in lines]),
        Column("difference", t.word("difference"), [_difference(study, line, row, t) for line, row in lines]),
        Column("reproduced", t.word("reproduced"), [_reproduced(line, row, t) for line, row in lines]),
        Column("diagnosis", t.word("diagnosis"), [_diagnosis(line, t) for line, _ in lines], number=False),
    ]
    better = t.word("higher" if study["higher_is_better"] else "lower")
    caption = t.word("comparison_caption", metric=t.word(study["metric"]), better=better)
    return _layout(f"comparison-{study['name']}", caption, columns)


def footnotes(rows: Iterable[Row]) -> dict[str, int]:
    """The lines of the document that several rows stand for, each with the number of its footnote."""
    texts = dict.fromkeys(row.same_reported_as for row in rows if row.same_reported_as)
    return {text: number for number, text in enumerate(texts, start=1)}


def ranking(study: Mapping[str, Any], log: str, curves: pd.DataFrame, t: Translator) -> Table:
    """The study's rows by their distance to one of its reported logs, nearest first."""
    ranked = tables.rank_by_distance(study["reported_logs"][log], curves)
    ranks = [rank if math.isfinite(distance) else math.nan for rank, distance in enumerate(ranked["distance"], start=1)]
    columns = [
        Column(
            "label", t.word("label"), [_label(study["rows"][row]["label"], t) for row in ranked.index], number=False
        ),
        Column("rank", t.word("rank"), [_number(rank, "g") for rank in ranks]),
        *(Column(name, t.word(name), [_number(value, ".1f") for value in ranked[name]]) for name in ranked.columns),
    ]
    return _layout(f"ranking-{study['name']}-{log}", t.word("ranking_caption", log=log), columns)


def overview(frame: pd.DataFrame, studies: Mapping[str, Mapping[str, Any]], t: Translator) -> Table:
    """One line a study: how its rows do beside its baseline, by more than noise, and how many fail.

    Args:
        frame: of results/overview.csv.
        studies: by name.
    """
    lines = frame.to_dict("records")
    told = [(line, studies[line["study"]]) for line in lines]
    fails = [float(line["barely_learning"] + line["not_learning"] + line["diverged"]) for line in lines]
    columns = [
        Column("study", t.word("study"), [_study(line, study, t) for line, study in told], number=False),
        Column("size", t.word("rows_seeds"), [_size(line) for line in lines]),
        Column("baseline", t.word("baseline"), [_baseline(line, study, t) for line, study in told]),
        *(
            Column(name, t.word(f"{name}_rows"), [_number(line[name], "g") for line in lines])
            for name in ("better", "worse")
        ),
        Column("fails", t.word("fails_rows"), [_number(value, "g") for value in fails]),
        Column("reproduced", t.word("reproduced"), [_ratio(line["reproduced"], line["reported"], t) for line in lines]),
    ]
    return _layout("overview-table", t.word("overview_caption"), columns)


def grid(shown: Mapping[str, Any], table: pd.DataFrame, t: Translator) -> Table:
    """One line a regularization, one column a net, which is sorted by the difference in skill.

    Args:
        shown: build/grid.yaml.
        table: of results/tables/grid.csv.
    """
    cells = {(line["net"], line["regularization"]): line for line in table.to_dict("records")}
    labels = [_label(label, t) for label in shown["regularizations"].values()]
    columns = [Column("label", t.word("label"), labels, number=False)]
    for name, net in shown["nets"].items():
        heading = Markup("{} <small>{}</small>").format(t.text(net["label"]), t.word(net["metric"]))
        columns.append(Column(name, heading, [_grid_cell(cells[name, of], t) for of in shown["regularizations"]]))
    return _layout("grid-table", t.word("grid_caption"), columns)


def tipping(shown: Mapping[str, Any], table: pd.DataFrame, t: Translator) -> Table:
    """One line a response curve: its best strength, and where its net stops learning.

    Args:
        shown: build/grid.yaml.
        table: of results/tables/tipping.csv.
    """
    lines = table.to_dict("records")
    names = [_cell(line["curve"], line["curve"], f"{line['strength']}") for line in lines]
    columns = [
        Column("curve", t.word("curve"), names, number=False),
        Column("n", t.word("seeds"), [_number(line["n"], "g") for line in lines]),
        Column("epochs", t.word("epochs"), [_number(line["epochs"], "g") for line in lines]),
        *(
            Column(name, t.word(f"tipping_{name}"), [_number(line[name], "g") for line in lines])
            for name in ("best", "best_low", "best_high", "learns", "stops", "again", "own")
        ),
    ]
    return _layout("tipping-table", t.word("tipping_caption"), columns)


# --- cells


def _cell(value: float | str, text: str, note: str = "") -> Markup:
    """A cell that is sorted by `value`; the note stands below the text."""
    if isinstance(value, float):
        value = f"{value:.6g}" if math.isfinite(value) else ""
    below = Markup("<small>{}</small>").format(note) if note else ""
    return Markup('<data value="{}">{}</data>{}').format(value, text, below)


def _label(text: str, t: Translator) -> Markup:
    """A row's label, which may break after an equals sign, as in `kernel_regularizer=l2(0.001)`."""
    return _cell(text, Markup(re.sub(r"=(?!\")", "=<wbr>", t.text(text))))


def _number(value: float, form: str) -> Markup:
    return _cell(float(value), DASH if math.isnan(value) else format(value, form))


def _tag(kind: str, text: str) -> Markup:
    return Markup('<span class="tag {}">{}</span>').format(kind.replace(" ", "-"), text)


def _reported(line: Mapping[str, Any], row: Row, marks: Mapping[str, int]) -> Markup:
    mark = Markup("<sup>{}</sup>").format(marks[row.same_reported_as]) if row.same_reported_as else ""
    return _cell(line["reported"], Markup("{}{}").format(row.reported, mark))


def _measured(study: Mapping[str, Any], line: Mapping[str, Any], t: Translator) -> Markup:
    """Mean ± sd, or the median where the seeds fall into two groups; below it the means on the other splits."""
    n, finite = line["n"], line["n_finite"]
    split = study["metric"].split(".")[0]
    notes = [Markup(f"n = {n}") if n == finite else t.word("finite", n=finite, of=n)]
    notes += [
        t.word(f"on_{name}", mean=tables.with_spread(line[name], line["sd"])[0])
        for name in tables.SPLITS
        if name != split and not math.isnan(line[name])
    ]
    if line["groups"]:
        notes.append(t.text(line["groups"]))
        return _cell(line["median"], t.word("median", value=f"{line['median']:.4f}"), Markup("; ").join(notes))
    shown = " ± ".join(tables.with_spread(line["mean"], line["sd"])) if finite else DASH
    return _cell(line["mean"], shown, Markup("; ").join(notes))


def _difference(study: Mapping[str, Any], line: Mapping[str, Any], row: Row, t: Translator) -> Markup:
    """The difference with its interval and adjusted p-value; said to be better or worse if it is more than noise."""
    if row.key == study["baseline"]:
        return _cell(math.nan, t.word("is_baseline"))
    if math.isnan(line["difference"]):
        return _cell(math.nan, DASH)
    mean, low, high = row.difference.texts()
    better = (line["difference"] > 0) == study["higher_is_better"]
    told = _tag("better", t.word("better")) if better else _tag("worse", t.word("worse"))
    told = told if line["p_holm"] < 1 - LEVEL else Markup()
    note = f"[{tables.DASH}]" if math.isnan(line["difference_low"]) else f"[{low},{NARROW}{high}]"
    note += _p_value(line["p_holm"])
    return _cell(line["difference"], Markup("{} {}").format(told, mean) if told else mean, note)


def _grid_cell(line: Mapping[str, Any], t: Translator) -> Markup:
    """The difference from the net without regularization, of that one its mean; the diagnosis below."""
    if line["status"] != TRAINED:
        return _cell(math.nan, t.word("same_row" if line["status"] == SAME else "not_trained"))
    diagnosed = "" if line["diagnosis"] == diagnosis.LEARNING else t.word(line["diagnosis"])
    if line["regularization"] == NONE:
        return _cell(0.0, tables.with_spread(line["mean"], line["sd"])[0], diagnosed)
    text, _, interval = tables.difference_cell(pd.Series(line)).partition(" ")
    note = Markup("{} {}").format(interval, diagnosed) if diagnosed else interval
    told = _tag(line["told"], t.word(line["told"])) if line["told"] else ""
    return _cell(line["skill_difference"], Markup("{} {}").format(told, text) if told else text, note)


def _p_value(p: float) -> str:
    found = p_text(p)
    equal = found if found.startswith("<") else f"= {found}"
    return " " + f"p {equal}".replace(" ", "\N{NO-BREAK SPACE}") if found else ""


def _reproduced(line: Mapping[str, Any], row: Row, t: Translator) -> Markup:
    if row.reproduced is None:
        return _cell("", DASH)
    found = "yes" if row.reproduced else "no"
    note = t.word("every_seed") if math.isnan(line["prediction_low"]) else row.one_run.replace(" ", NARROW)
    return _cell(found, _tag(found, t.word(found)), note)


def _diagnosis(line: Mapping[str, Any], t: Translator) -> Markup:
    """Sorted from the worst to the best."""
    name = line["diagnosis"]
    return _cell(float(diagnosis.NAMES.index(name)), _tag(name, t.word(name)), t.text(line["evidence"]))


def _study(line: Mapping[str, Any], study: Mapping[str, Any], t: Translator) -> Markup:
    link = Markup('<a href="#study-{}">{}</a>').format(line["study"], t.text(study["title"]))
    return _cell(line["study"], link, Markup("{} · {}").format(t.text(study["dataset_title"]), t.word(line["metric"])))


def _size(line: Mapping[str, Any]) -> Markup:
    return _cell(float(line["rows"] * line["seeds"]), f"{line['rows']} × {line['seeds']}")


def _baseline(line: Mapping[str, Any], study: Mapping[str, Any], t: Translator) -> Markup:
    mean, sd = line["baseline_mean"], line["baseline_sd"]
    text = DASH if math.isnan(mean) else " ± ".join(tables.with_spread(mean, sd))
    return _cell(mean, text, t.text(study["rows"][study["baseline"]]["label"]))


def _ratio(part: float, whole: float, t: Translator) -> Markup:
    return _cell(part / whole, t.word("count", n=f"{part:g}", of=f"{whole:g}")) if whole > 0 else _cell(math.nan, DASH)


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
