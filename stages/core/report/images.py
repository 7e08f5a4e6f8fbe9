"""The report's figures: SVG in, images with a title and a text that says what is seen out."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from stages.core.report.translations import Words, both

KNOWN: Mapping[str, tuple[Words, str]] = {  # in the order of the page: title, and what is seen
    "differences": (
        Words("Differences from the baseline", "與基準之差異"),
        "Forest plot with one line a row: the mean difference from the baseline with its 95 % interval, and beside it "
        "the measured mean and the figure that the document reports",
    ),
    "coefficients": (
        Words("Metric against the coefficient", "評估指標與正則化係數"),
        "Metric against the regularizer's coefficient on a logarithmic axis, one line a kind of regularizer, with the "
        "document's figures marked and the baseline as a level line",
    ),
    "penalty": (
        Words("Penalty's share of the loss", "懲罰項占損失之比例"),
        "Share of the training loss that the penalty takes over the epochs, one line a row that has a penalty",
    ),
    "curves": (
        Words("Learning curves", "學習曲線"),
        "Learning curves, one panel a row: training and held-out metric above, loss below, the baseline in grey behind",
    ),
    "generalization": (
        Words("Training against held-out metric", "訓練指標與保留樣本指標"),
        "The metric on held-out samples against the metric on the training samples, one mark a row",
    ),
    "weight_norms": (
        Words("Weight norms", "權重範數"),
        "Euclidean norms of the trained weights, layer by layer, one mark a row",
    ),
    "reported_log": (
        Words("The reported log over the measured curves", "文件所載訓練日誌與實測曲線"),
        "The document's training log laid over the measured curves, one strip a row, one column a quantity of the log",
    ),
    "critical_difference": (
        Words("Critical differences", "臨界差異"),
        "Mean ranks of the regularizers over the studies that share them; a bar joins those that cannot be told apart",
    ),
}


@dataclass(frozen=True)
class Image:
    """A figure as the page shows it; `uri` holds the whole file."""

    name: str
    title: Markup
    alt: str
    uri: str


def images(drawn: Mapping[str, bytes], subject: str) -> list[Image]:
    """The figures in the page's order, unknown ones last and by name.

    Args:
        drawn: by name, the bytes of the SVG file.
        subject: what they are about, for the text of each.
    """
    order = {name: position for position, name in enumerate(KNOWN)}
    return [
        _image(name, drawn[name], subject)
        for name in sorted(drawn, key=lambda name: (order.get(_kind(name), 99), name))
    ]


def _kind(name: str) -> str:
    """critical_difference_<study> is a critical_difference."""
    return "critical_difference" if name.startswith("critical_difference") else name


def _image(name: str, svg: bytes, subject: str) -> Image:
    plain = name.replace("_", " ").capitalize()
    title, seen = KNOWN.get(_kind(name), (Words(plain, plain), plain))
    uri = f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
    return Image(name, both(*title), f"{seen}. {subject}", uri)
