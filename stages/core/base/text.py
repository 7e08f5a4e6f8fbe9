"""Texts: what every part of the project writes in one way."""

from typing import Any


def one_line(text: Any) -> str:
    """The text of anything, say an error, without line breaks."""
    return " ".join(str(text).split())
