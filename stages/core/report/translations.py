"""The page's texts in three languages: English, traditional Chinese as it is written in Taiwan, simplified Chinese.

The traditional ones stand in stages/templates/zh-Hant.yaml; the simplified ones are made of them by OpenCC.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import opencc
import yaml
from markupsafe import Markup, escape

from stages.core.base.text import one_line

LANGUAGES = ("en", "zh-Hant", "zh-Hans")
SAID = ("title", "question", "claim", "dataset_title", "notes", "verdict", "answer")
"""What a study says in sentences."""
SILENT = {"holds", "needs", "snippet"}
"""Parts of these that are code."""
MAINLAND = {"信赖区间": "置信区间", "批量范式": "批归一化", "指针": "指标", "保存格": "单元格"}
"""Terms that OpenCC takes for others, or leaves as they are in Taiwan."""


@dataclass(frozen=True)
class Translator:
    """The texts of zh-Hant.yaml."""

    words: Mapping[str, Sequence[str]]
    """the page's own texts by a short name: English, Chinese; `{name}` stands for a value"""
    texts: Mapping[str, str]
    """Chinese by the English of a study, on one line; both may be templates"""
    phrases: Sequence[tuple[re.Pattern[str], str]]
    """what is put in place of what, in this order, in texts that are made of few words"""

    def word(self, name: str, **values: object) -> Markup:
        """A text of the page in all languages as HTML; `values` are escaped unless they are Markup.

        Raises:
            KeyError: no text has that name, or it names a value that is not given.
        """
        return in_all(*(Markup(text).format(**values) for text in self.words[name]))

    def text(self, english: str) -> Markup:
        """A text of a study, or one that the pipeline made, in all languages as HTML."""
        return in_all(english, self.chinese(english))

    def chinese(self, english: str) -> str:
        """The text, or else what its phrases give; code, in `...`, stays."""
        known = self.texts.get(one_line(english))
        if known is not None:
            return known
        parts = re.split(r"(`[^`]*`)", english)
        return "".join(part if part.startswith("`") else self._replaced(part) for part in parts)

    def study(self, study: Mapping[str, Any]) -> dict[str, Any]:
        """The study with its sentences and the labels of its rows in Chinese; what has no translation stays."""
        said = {name: _mapped(study[name], lambda text: self.texts.get(one_line(text), text)) for name in SAID}
        rows = {row: {**entry, "label": self.chinese(entry["label"])} for row, entry in study["rows"].items()}
        return {**study, **said, "rows": rows}

    def claims(self, templates: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Claims with their sentences in Chinese; what has no translation stays."""
        return [_mapped(template, lambda text: self.texts.get(one_line(text), text)) for template in templates]

    def _replaced(self, text: str) -> str:
        for pattern, chinese in self.phrases:
            text = pattern.sub(chinese, text)
        return text


def read(text: str) -> Translator:
    """The text of zh-Hant.yaml."""
    found = yaml.safe_load(text)
    return Translator(
        found["words"],
        {one_line(english): one_line(chinese) for english, chinese in found["texts"]},
        [(re.compile(pattern), chinese) for pattern, chinese in found["phrases"]],
    )


def sentences(study: Mapping[str, Any]) -> Iterator[str]:
    """The texts that a study says, on one line each."""
    found: list[str] = []
    _mapped([study[name] for name in SAID], found.append)
    yield from (one_line(text) for text in found)


def in_all(english: str, chinese: str) -> Markup:
    """A text in all languages as HTML, of which the page shows one; escaped unless it is Markup."""
    if english == chinese:
        return escape(english)
    made = (english, chinese, simplified(str(escape(chinese))))
    parts = (made[0], made[1], Markup(made[2]))
    span = Markup('<span class="t" lang="{}">{}</span>')
    return Markup("").join(span.format(language, part) for language, part in zip(LANGUAGES, parts, strict=True))


@cache
def simplified(traditional: str) -> str:
    """Simplified Chinese with the mainland's words."""
    text = _converter().convert(traditional)
    for taiwan, mainland in MAINLAND.items():
        text = text.replace(taiwan, mainland)
    return text


@cache
def _converter() -> opencc.OpenCC:
    return opencc.OpenCC("tw2sp")


def _mapped(value: Any, change: Callable[[str], Any]) -> Any:
    """Every text in lists and mappings changed, but for those that are code."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: item if key in SILENT else _mapped(item, change) for key, item in value.items()}
    return [_mapped(item, change) for item in value] if isinstance(value, list | tuple) else value
