"""The report: everything that is known of the studies as one HTML page that needs no other file and no network.

The page is a Jinja template with autoescape on: whatever comes from a configuration is text in it. A policy in its head
lets nothing run but the page's own script, whose digest it names.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, StrictUndefined, Template
from markdown_it import MarkdownIt
from markupsafe import Markup

from stages.core.records.records import Record
from stages.core.report import images as report_figures
from stages.core.report import tables as report_tables
from stages.core.report.translations import WORDS, words
from stages.core.results import answers, statistics, tables
from stages.core.results.frames import Frames

PAGE, SCRIPT, STYLE = "report.html", "report.js", "report.css"
VERDICTS = {True: "holds", False: "does_not_hold", None: "cannot_be_told"}


@dataclass(frozen=True)
class Results:
    """What the pipeline has of a study: its presentation (build/studies/<study>.yaml) and the rest as far as it is
    there."""

    study: Mapping[str, Any]
    frames: Frames | None = None
    records: Mapping[str, Record] = field(default_factory=dict)
    """by row"""
    sheet: Mapping[str, Any] | None = None
    """the data set's"""
    figures: Mapping[str, bytes] = field(default_factory=dict)
    """SVG by name"""


@dataclass(frozen=True)
class Fact:
    """Something that holds for rows of a study: each value with the rows that have it."""

    name: str
    values: Mapping[str, list[str]]


def to_html(
    results: Sequence[Results],
    overview: pd.DataFrame | None,
    figures: Mapping[str, bytes],
    templates: Mapping[str, str],
) -> str:
    """The page.

    Args:
        results: of each study, in the order of the page.
        overview: the frame of results/overview.csv, None if it is not there.
        figures: over several studies, SVG by name.
        templates: the texts of PAGE, SCRIPT and STYLE by these names; the first is a Jinja template.

    Raises:
        UserError: a template of an answer is wrong.
    """
    studies = {of_study.study["name"]: of_study.study for of_study in results}
    return _template(templates[PAGE]).render(
        studies=[_section(of_study) for of_study in results],
        overview=None if overview is None else report_tables.overview(overview, studies),
        figures=report_figures.images(figures, "Over several studies."),
        reading=_reading(),
        script=_Embedded(templates[SCRIPT]),
        style=_Embedded(templates[STYLE]),
    )


class _Embedded:
    """A script or a style sheet inside the page, and the source by which a Content-Security-Policy knows it."""

    def __init__(self, text: str):
        self.text = Markup(text)
        self.source = Markup("'sha256-{}'").format(base64.b64encode(hashlib.sha256(text.encode()).digest()).decode())


def facts(records: Mapping[str, Record]) -> list[Fact]:
    """What the records say of how they were made; rows that agree are named together."""
    told = {
        "versions": lambda record: ", ".join(f"{name} {version}" for name, version in record.versions.items()),
        "device": lambda record: record.device,
        "parameters": lambda record: f"{record.parameters:,}",
        "seeds": lambda record: _numbers([seed.seed for seed in record.seeds]),
        "samples": lambda record: ", ".join(f"{split} {count:,}" for split, count in record.data.samples.items()),
        "digest": lambda record: record.data.digest,
        "fingerprint": lambda record: record.config.get("fingerprint", tables.DASH),
    }
    return [Fact(name, _grouped({row: of(record) for row, record in records.items()})) for name, of in told.items()]


def _section(results: Results) -> dict[str, Any]:
    """What the template shows of a study."""
    study, frames = results.study, results.frames
    section = {
        "study": study,
        "images": report_figures.images(results.figures, f"{study['title']}; the numbers are in the table above."),
        "configurations": {row: _yaml(record.config) for row, record in results.records.items()},
        "facts": facts(results.records) if results.records else [],
        "sheet": results.sheet,
        "comparison": None,
        "answer": None,
    }
    if frames is None:
        return section
    rows = answers.rows_of(study, frames)
    answer = answers.answer(study, frames)
    return {
        **section,
        "answer": _inline(answer.measured),
        "claims": [
            {"verdict": _judgement(claim), "said": _inline(claim.said), "because": _inline(claim.because)}
            for claim in answer.claims
        ],
        "comparison": report_tables.comparison(study, frames.table, rows),
        "footnotes": report_tables.footnotes(rows.values()),
        "rankings": [report_tables.ranking(study, log, frames.curves) for log in study["reported_logs"]],
    }


def _judgement(claim: answers.Claim) -> str:
    return VERDICTS[claim.holds] if claim.measured else "not_measured"


def _reading() -> list[Markup]:
    """How to read the figures, with the levels that the statistics use."""
    levels = {
        "level": f"{100 * statistics.LEVEL:g} %",
        "alpha": f"{1 - statistics.LEVEL:.2g}",
    }
    return [words(name, **levels) for name in WORDS if name.startswith("reading_")]


def _grouped(values: Mapping[str, str]) -> dict[str, list[str]]:
    """The keys that have each value, in order."""
    groups: dict[str, list[str]] = {}
    for key, value in values.items():
        groups.setdefault(value, []).append(key)
    return groups


def _numbers(numbers: Sequence[int]) -> str:
    run = len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[0] + len(numbers)))
    return f"{numbers[0]}–{numbers[-1]}" if run else ", ".join(map(str, numbers))


def _yaml(config: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True, width=100)


def _inline(text: str) -> Markup:
    """HTML of a Markdown text in which code, emphasis and escapes mean something, and nothing else does."""
    return Markup(_markdown().renderInline(text))


@cache
def _markdown() -> MarkdownIt:
    return MarkdownIt("zero").enable(["backticks", "emphasis", "escape"])


def _template(text: str) -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals["t"] = words
    return environment.from_string(text)
