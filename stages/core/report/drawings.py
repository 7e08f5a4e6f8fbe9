"""The report's figures: SVG in, drawings inside the page out, with a title and a text that says what is seen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

from markupsafe import Markup

from stages.core.base.errors import UserError
from stages.core.report.translations import LANGUAGES, Translator, in_all, simplified

NAMESPACE = "http://www.w3.org/2000/svg"
LOOK = (
    *("fill", "fill-opacity", "stroke", "stroke-width", "stroke-linecap", "stroke-opacity", "stroke-dasharray"),
    *("font-size", "font-weight", "text-anchor"),
)
CLIP = ("clip-path",)
"""Attributes of elements that are properties of style sheets too; each group a class, as many looks share a clip."""

LONG_ID = re.compile("(?<![^#])[mp][0-9a-f]{10}")
"""Of a marker or a clip of Matplotlib's."""

ORDER = ("answer", "differences", "curves", "generalization", "loss", "kernel_norms", "reported_log")


@dataclass(frozen=True)
class Drawing:
    """A figure as the page shows it: `svg` is named by the element whose id is `label`."""

    name: str
    label: str
    title: Markup
    seen: Markup
    svg: Markup


class Looks(dict[tuple[tuple[str, str], ...], str]):
    """How elements of all the page's drawings look, each once in its style sheet: by LOOK's attributes, a class.

    Written at every element they are a third of the page. Ids, which Matplotlib makes long, get short ones.
    """

    def __init__(self) -> None:
        self.ids: dict[str, str] = {}

    def __missing__(self, look: tuple[tuple[str, str], ...]) -> str:
        self[look] = f"s{len(self)}"
        return self[look]

    def with_short_ids(self, value: str) -> str:
        """An attribute's value that is an id or refers to one (#id)."""
        return LONG_ID.sub(lambda found: self.ids.setdefault(found[0], f"i{len(self.ids)}"), value)

    def css(self) -> str:
        """The rules, one a line."""
        rules = (f".{name} {{ {'; '.join(f'{key}: {value}' for key, value in look)} }}" for look, name in self.items())
        return "\n".join(rules)


def drawings(drawn: Mapping[str, bytes], study: str, translator: Translator, looks: Looks) -> list[Drawing]:
    """The figures in the page's order, unknown ones last and by name.

    Args:
        drawn: by name, the bytes of the SVG file.
        study: whose they are, for ids.
        looks: what the page's style sheet is to hold; added to.

    Raises:
        UserError: one is not SVG.
    """
    names = sorted(drawn, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    return [_drawing(name, drawn[name], study, translator, looks) for name in names]


def _drawing(name: str, svg: bytes, study: str, translator: Translator, looks: Looks) -> Drawing:
    known = f"figure_{name}" in translator.words
    label = f"figure-{study}-{name}"
    try:
        root = ElementTree.fromstring(svg)
    except ElementTree.ParseError as error:
        raise UserError(f"results/figures/{study}/{name}.svg: is not SVG: {error}") from None
    title = root.findtext(f"{{{NAMESPACE}}}title", name)
    return Drawing(
        name,
        label,
        translator.word(f"figure_{name}") if known else in_all(title, translator.chinese(title)),
        translator.word(f"seen_{name}") if known else Markup(""),
        _inlined(root, label, translator, looks),
    )


def _inlined(root: ElementTree.Element, label: str, translator: Translator, looks: Looks) -> Markup:
    """The drawing for a page: its texts in all languages, and no title of its own, which browsers show as a hint."""
    ElementTree.register_namespace("", NAMESPACE)
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag == f"{{{NAMESPACE}}}title"]:
            parent.remove(child)
        texts = [(place, child) for place, child in enumerate(parent) if child.tag == f"{{{NAMESPACE}}}text"]
        for place, text in reversed(texts):
            parent[place : place + 1] = _in_all(text, translator)
    for element in root.iterfind(".//*"):
        for key in ("id", "href", *CLIP):
            if key in element.attrib:
                element.set(key, looks.with_short_ids(element.attrib[key]))
        for group in (LOOK, CLIP):
            look = tuple((key, element.attrib.pop(key)) for key in group if key in element.attrib)
            if look:
                element.set("class", " ".join(filter(None, (element.get("class"), looks[look]))))
    for parent in list(root.iter()):
        parent[:] = _joined(parent)
    root.attrib |= {"role": "img", "aria-labelledby": label}
    return Markup(ElementTree.tostring(root, encoding="unicode").replace(" />", "/>"))


def _joined(elements: Iterable[ElementTree.Element]) -> list[ElementTree.Element]:
    """Neighbouring groups of one look as one: Matplotlib puts every marker into a group of its own."""
    found: list[ElementTree.Element] = []
    for element in elements:
        last = found[-1] if found else None
        if last is not None and element.tag == last.tag == f"{{{NAMESPACE}}}g" and element.attrib == last.attrib:
            last.extend(element)
        else:
            found.append(element)
    return found


def _in_all(text: ElementTree.Element, translator: Translator) -> list[ElementTree.Element]:
    english = text.text or ""
    chinese = translator.chinese(english)
    if english == chinese:
        return [text]
    found = []
    for language, words in zip(LANGUAGES, (english, chinese, simplified(chinese)), strict=True):
        copy = ElementTree.Element(text.tag, {**text.attrib, "class": "t", "lang": language})
        copy.text = words
        found.append(copy)
    return found
