"""The overview inside README.md, between two markers: text alone, so that Git's merges need not load any library."""

from __future__ import annotations

import re

from stages.core.base.errors import UserError

BEGIN, END = "<!-- overview: `make report` writes what is below -->", "<!-- end of overview -->"


def embed(page: str, overview: str) -> str:
    """The README with the verdicts of the overview between its two markers, their links leading from the folder above.

    Raises:
        UserError: the page lacks a marker, or has one twice.
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise UserError(f"README.md: needs the two lines {BEGIN} and {END}, once each and in this order")
    body = overview.split("\n\n")[1]  # below the heading, above the table
    body = re.sub(r"\]\((?!\w+:)", "](results/", body)
    before, after = page.partition(BEGIN)[0], page.partition(END)[2]
    return f"{before}{BEGIN}\n\n{body}\n\n{END}{after}"


def with_overview_of(page: str, other: str) -> str:
    """`page` with the overview of another version of it; unchanged where one of them has none."""
    if any(text.count(mark) != 1 for text in (page, other) for mark in (BEGIN, END)):
        return page
    overview = other.partition(BEGIN)[2].partition(END)[0]
    return f"{page.partition(BEGIN)[0]}{BEGIN}{overview}{END}{page.partition(END)[2]}"
