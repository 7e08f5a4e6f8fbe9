"""The report: everything that is known of the studies as one HTML page that needs no other file and no network.

The page is a Jinja template with autoescape on: whatever comes from a configuration is text in it. A policy in its head
lets nothing run but the page's own script, whose digest it names.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from types import MappingProxyType
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, StrictUndefined, Template
from markdown_it import MarkdownIt
from markupsafe import Markup

from stages.core.base.text import numbers
from stages.core.records.records import Record
from stages.core.report import drawings, translations
from stages.core.report import tables as report_tables
from stages.core.report.translations import LANGUAGES, Translator, in_all
from stages.core.results import answers, statistics, tables
from stages.core.results.across import Across
from stages.core.results.frames import Frames
from stages.core.results.general import GENERAL

PAGE, SCRIPT, STYLE, CHINESE = "report.html", "report.js", "report.css", "zh-Hant.yaml"
LEVELS = {"level": f"{100 * statistics.LEVEL:g} %", "alpha": f"{1 - statistics.LEVEL:.2g}"}
JUDGEMENTS = {True: "holds", False: "does_not_hold", None: "cannot_be_told"}


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
    templates: Mapping[str, str],
    across: Across | None = None,
    across_figures: Mapping[str, bytes] = MappingProxyType({}),
) -> str:
    """The page.

    Args:
        results: of each study, in the order of the page.
        overview: the frame of results/overview.csv, None if it is not there.
        templates: the texts of PAGE, SCRIPT, STYLE and CHINESE by these names; the first is a Jinja template.
        across: the grid and the curves, None if they are not there.
        across_figures: their SVG by name.

    Raises:
        UserError: a template of an answer is wrong, or a figure is not SVG.
    """
    translator = translations.read(templates[CHINESE])
    studies = {of_study.study["name"]: of_study.study for of_study in results}
    looks = drawings.Looks()
    sections = [_section(of_study, translator, looks) for of_study in results]
    beside = None if across is None else _across(across, across_figures, translator, looks)
    return _template(templates[PAGE], translator).render(
        studies=sections,
        across=beside,
        overview=None if overview is None else report_tables.overview(overview, studies, translator),
        legend=translator.word("legend", **LEVELS),
        reading=_reading(translator),
        languages=LANGUAGES,
        script=_Embedded(templates[SCRIPT]),
        style=_Embedded(f"{templates[STYLE]}\n{looks.css()}\n"),
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
        "seeds": lambda record: numbers([seed.seed for seed in record.seeds]),
        "samples": lambda record: ", ".join(f"{split} {count:,}" for split, count in record.data.samples.items()),
        "digest": lambda record: record.data.digest,
        "fingerprint": lambda record: record.config.get("fingerprint", tables.DASH),
    }
    return [Fact(name, _grouped({row: of(record) for row, record in records.items()})) for name, of in told.items()]


def _section(results: Results, translator: Translator, looks: drawings.Looks) -> dict[str, Any]:
    """What the template shows of a study."""
    study, frames = results.study, results.frames
    shown = drawings.drawings(results.figures, study["name"], translator, looks)
    first = "answer" if "answer" in results.figures else study["figure"]
    section = {
        "study": study,
        "case": study["name"].startswith(tables.CASE),
        "answering": [drawing for drawing in shown if drawing.name == first],
        "drawings": [drawing for drawing in shown if drawing.name != first],
        "configurations": {row: _yaml(record.config) for row, record in results.records.items()},
        "facts": facts(results.records) if results.records else [],
        "sheet": results.sheet,
        "comparison": None,
        "verdict": None,
    }
    if frames is None:
        return section
    english, chinese = _answers(study, frames, translator)
    rows = answers.rows_of(study, frames)
    inline = partial(_inline, translator)
    parts = ("cause", "change", "sure", "otherwise")
    return {
        **section,
        "verdict": {part: inline(getattr(english.verdict, part), getattr(chinese.verdict, part)) for part in parts},
        "snippet": _breakable(english.verdict.snippet),
        "answer": inline(english.measured, chinese.measured),
        "claims": _claims(english.claims, chinese.claims, translator),
        "comparison": report_tables.comparison(study, frames.table, rows, translator),
        "footnotes": report_tables.footnotes(rows.values()),
        "rankings": [report_tables.ranking(study, log, frames.curves, translator) for log in study["reported_logs"]],
    }


def _across(
    across: Across, figures: Mapping[str, bytes], translator: Translator, looks: drawings.Looks
) -> dict[str, Any]:
    """What the template shows of the grid and the curves."""
    chinese = replace(across, templates=translator.claims(across.templates))
    shown = drawings.drawings(figures, "grid", translator, looks)
    of = across.tables
    return {
        "heat_map": [drawing for drawing in shown if drawing.name == "effects"],
        "curves": [drawing for drawing in shown if drawing.name != "effects"],
        "grid": report_tables.grid(across.grid, of["grid"], translator) if across.grid["nets"] else None,
        "tipping": report_tables.tipping(across.grid, of["tipping"], translator) if across.grid["curves"] else None,
        "claims": _claims(across.claims, chinese.claims, translator),
    }


def _claims(
    english: Iterable[answers.Claim], chinese: Iterable[answers.Claim], translator: Translator
) -> list[dict[str, Any]]:
    return [
        {
            "judgement": JUDGEMENTS[ours.holds] if ours.measured else "not_measured",
            "said": _inline(translator, ours.said, theirs.said),
            "because": _inline(translator, ours.because, theirs.because),
        }
        for ours, theirs in zip(english, chinese, strict=True)
    ]


def _answers(study: Mapping[str, Any], frames: Frames, translator: Translator) -> tuple[answers.Answer, answers.Answer]:
    """The study's answer in English and in Chinese."""
    own = {**study, **{name: study[name] or general for name, general in GENERAL.items()}}
    return answers.answer(own, frames), answers.answer(translator.study(own), frames)


def _reading(translator: Translator) -> list[Markup]:
    """How to read the figures, with the levels that the statistics use."""
    return [translator.word(name, **LEVELS) for name in translator.words if name.startswith("reading_")]


def _breakable(code: str) -> Markup:
    """Code, one statement a line; it breaks behind an `=` or an opening bracket before it breaks inside a name."""
    return Markup("<wbr>").join(re.split(r"(?<=[=(])(?![=)])", answers.one_a_line(code)))


def _grouped(values: Mapping[str, str]) -> dict[str, list[str]]:
    """The keys that have each value, in order."""
    groups: dict[str, list[str]] = {}
    for key, value in values.items():
        groups.setdefault(value, []).append(key)
    return groups


def _yaml(config: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True, width=100)


def _inline(translator: Translator, english: str, chinese: str) -> Markup:
    """HTML of a Markdown text in which code, emphasis and escapes mean something, and nothing else does.

    What the pipeline puts into a Chinese sentence (a diagnosis, say) is translated here.
    """
    told = chinese if chinese == english else translator.chinese(chinese)
    return in_all(*(Markup(_markdown().renderInline(text)) for text in (english, told)))


@cache
def _markdown() -> MarkdownIt:
    return MarkdownIt("zero").enable(["backticks", "emphasis", "escape"])


def _template(text: str, translator: Translator) -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals |= {"t": translator.word, "text": translator.text}
    return environment.from_string(text)
