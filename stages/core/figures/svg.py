"""A figure as SVG that a page can hold: small, the same bytes every time, and nothing that a strict policy refuses."""

import io
import re
import warnings
from xml.etree import ElementTree

import matplotlib
from matplotlib.figure import Figure

from stages.core.figures.style import house_style

SVG = "{http://www.w3.org/2000/svg}"
FAMILIES = "DejaVu Sans, Verdana, Noto Sans CJK TC, PingFang TC, Microsoft JhengHei, sans-serif"
USUAL = {  # what every drawing has, or would have without saying so
    "font-family": "'DejaVu Sans'",
    "stroke-linejoin": "miter|round",
    "stroke-linecap": "butt",
    "transform": r"rotate\(-?0 .*\)",
}


LINES = re.compile(r"(?:[ML]-?[\d.]+ -?[\d.]+|z)+")
"""A path of straight lines between places."""


def to_svg(figure: Figure, name: str) -> bytes:
    """The figure as SVG (UTF-8), the same bytes whenever it is drawn, with no style that a page would have to allow.

    Args:
        figure: its label becomes the title of the drawing.
        name: of no other figure on the same page, for ids that no other figure has.
    """
    buffer = io.BytesIO()
    with house_style(), warnings.catch_warnings():
        # Text is measured with DejaVu Sans, which has no Chinese, but drawn by the viewer's fonts: nothing is missing.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        matplotlib.rcParams["svg.hashsalt"] = name
        figure.savefig(buffer, format="svg", bbox_inches="tight", pad_inches=0.08, metadata={"Date": None})
    return _compact(buffer.getvalue(), figure.get_label())


def by_steps(path: str) -> str:
    """The same lines, each by how far it goes from the last place: half the characters, in tenths, so that no error
    adds up."""
    parts, here, start = [], (0, 0), (0, 0)
    for letter, *place in re.findall(r"([MLz])(?:([-\d.]+) ([-\d.]+))?", path):
        if letter == "z":
            here = start
            parts.append("z")
            continue
        x, y = (round(float(number) * 10) for number in place)
        moved = letter == "M"
        steps = (x, y) if moved else (x - here[0], y - here[1])
        here, start = (x, y), (x, y) if moved else start
        parts.append(f"{'M' if moved else 'l'}{_short(steps[0])} {_short(steps[1])}".replace(" -", "-"))
    return "".join(parts)


def _compact(svg: bytes, title: str) -> bytes:
    """Presentation attributes in the place of styles, no metadata, no empty groups, a tenth of a point is enough."""
    ElementTree.register_namespace("", SVG[1:-1])
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith(("metadata", "}style")):
                parent.remove(child)
    used = set(re.findall(r"#([\w-]+)", svg.decode()))
    for element in root.iter():
        _simplify(element, used)
    _flatten(root)
    root.set("font-family", FAMILIES)
    root.set("stroke-linejoin", "round")
    for size in ("width", "height"):  # in pixels of 1/96 inch, as a page reckons
        root.set(size, f"{float(root.attrib[size].removesuffix('pt')) * 96 / 72:.0f}")
    heading = ElementTree.Element(f"{SVG}title")
    heading.text = title
    root.insert(0, heading)
    return ElementTree.tostring(root, encoding="utf-8")


def _simplify(element: ElementTree.Element, used: set[str]) -> None:
    attributes = element.attrib
    if attributes.get("id") not in used:
        attributes.pop("id", None)
    for declaration in filter(None, attributes.pop("style", "").split(";")):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name == "font":  # "[weight] 9px 'DejaVu Sans'": the family is the drawing's
            *weight, size = value.partition("px")[0].split()
            attributes["font-size"] = size
            name, value = "font-weight", weight[0] if weight else ""
        if value:
            attributes[name] = value
    link = attributes.pop("{http://www.w3.org/1999/xlink}href", None)
    if link:
        attributes["href"] = link
    for name in {"d", "x", "y", "transform", "points"} & set(attributes):
        number = re.sub(r"-?\d+\.\d+", _tenth, attributes[name])
        attributes[name] = re.sub(r"\s*([A-Za-z])\s*|\s+", lambda found: found[1] or " ", number).strip()
    if LINES.fullmatch(attributes.get("d", "")):
        attributes["d"] = by_steps(attributes["d"])
    for name, usual in USUAL.items():
        if re.fullmatch(usual, attributes.get(name, "")):
            del attributes[name]
    if not (element.text or "").strip():
        element.text = None
    element.tail = None


def _flatten(element: ElementTree.Element) -> None:
    """Groups that say nothing give way to what they hold."""
    children: list[ElementTree.Element] = []
    for child in element:
        _flatten(child)
        bare = child.tag == f"{SVG}g" and not child.attrib
        children.extend(child if bare else [child])
    element[:] = children


def _short(tenths: int) -> str:
    return re.sub(r"^(-?)0\.", r"\1.", f"{tenths / 10:g}")


def _tenth(number: re.Match[str]) -> str:
    return f"{round(float(number[0]), 1) + 0.0:g}"
