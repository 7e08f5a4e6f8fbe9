"""A verdict as one HTML page that needs nothing else."""

from __future__ import annotations

from pathlib import PurePath
from textwrap import wrap

import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from stages.core.figures.seeds import every_seed
from stages.core.why.edits import as_diff
from stages.core.why.interventions import CAUSES
from stages.core.why.verdict import (
    AS_ASKED,
    NO_HELP,
    NOT_THE_REASON,
    Verdict,
    change_heading,
    faulty,
    interval,
    probability,
    signed,
    table_heading,
)

MOST_ROWS = 12


def page(verdict: Verdict, template: str) -> str:
    """The page's HTML from its template's text."""
    environment = Environment(undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        v=verdict,
        name=PurePath(verdict.script).name,
        words=CAUSES,
        faulty=faulty(verdict),
        change_heading=change_heading(verdict),
        table_heading=table_heading,
        diff=as_diff(verdict.diff).splitlines(),
        figure=Markup(every_seed(points(verdict), "skill")) if verdict.asked or verdict.fixed else "",
        lists=[
            (NOT_THE_REASON, verdict.no_matter),
            (NO_HELP, verdict.no_help),
            ("Not tried", verdict.not_tried),
            ("Seen without training", verdict.signs),
            ("Notes", verdict.notes),
        ],
        number=lambda value: f"{value:.2f}",
        signed=lambda value: "" if value is None else signed(value),
        interval=interval,
        probability=probability,
    )


def points(verdict: Verdict) -> pd.DataFrame:
    """Skill of every seed: as asked, as fixed, and of the first rows of the table; columns row, skill, kind."""
    rows = [(AS_ASKED, verdict.asked, "asked"), ("as fixed", verdict.fixed, "fixed")]
    tried = [line for line in verdict.table if line.changes != AS_ASKED and faulty(verdict)]
    rows += [(line.changes, line.skill, "tried") for line in tried[:MOST_ROWS]]
    return pd.DataFrame(
        [("\n".join(wrap(name, 60)), value, kind) for name, skill, kind in rows if skill for value in skill.values],
        columns=["row", "skill", "kind"],
    )
