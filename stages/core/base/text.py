"""Texts: what every part of the project writes in one way."""

import math
import re
from collections.abc import Sequence
from typing import Any


def one_line(text: Any) -> str:
    """The text of anything, say an error, without line breaks."""
    return " ".join(str(text).split())


def first_sentence(text: Any) -> str:
    """What an error says, on one line: its first sentence, and what it says it received, but no dump of numbers."""
    first, *others = re.split(r"(?<=[.!?])\s+(?=[A-Z])", one_line(text))
    return " ".join([first, *(more for more in others if more.startswith(("Received", "Expected", "Got ")))])


def escape(text: str) -> str:
    """Text that Markdown shows as it is, also in a cell of a table, on one line."""
    return re.sub(r"([\\|*_`<>\[\]~$])", r"\\\1", one_line(text))


def percent(share: float) -> str:
    """A share in whole percent."""
    return f"{100 * share:.0f} %"


def numbers(values: Sequence[int]) -> str:
    """Whole numbers in a row, such as 2–13, or one by one."""
    run = len(values) > 2 and list(values) == list(range(values[0], values[0] + len(values)))
    return f"{values[0]}–{values[-1]}" if run else ", ".join(map(str, values))


def p_text(p: float) -> str:
    """As papers print it: three decimals, or that it is below them; nothing for a NaN, which was not tested."""
    return "" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"
