"""A verdict as one HTML page that needs nothing else."""

from __future__ import annotations

from pathlib import PurePath

import pandas as pd
import seaborn
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from matplotlib import pyplot

from stages.core.figures.style import ASKED, FIXED, house_style, to_svg
from stages.core.why.edits import as_diff
from stages.core.why.interventions import CAUSES
from stages.core.why.verdict import Verdict

MOST_ROWS = 12


def page(verdict: Verdict, template: str) -> str:
    """The page's HTML from its template's text."""
    environment = Environment(undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        v=verdict,
        name=PurePath(verdict.script).name,
        words=CAUSES,
        diff=as_diff(verdict.diff).splitlines(),
        figure=Markup(figure(verdict)) if verdict.asked or verdict.fixed else "",
        lists=[
            ("Not the reason: with this alone it does not learn either", verdict.no_matter),
            ("Not tried", verdict.not_tried),
            ("Seen without training", verdict.signs),
            ("Notes", verdict.notes),
        ],
        number=lambda value: f"{value:.2f}",
        signed=lambda value: "" if value is None else f"{value:+.2f}",
        small=lambda value: "" if value is None else f"{value:.2g}",
    )


def points(verdict: Verdict) -> pd.DataFrame:
    """Skill of every seed: as asked, as fixed, and of the first rows of the table; columns row, skill, kind."""
    rows = [("as asked", verdict.asked, "asked"), ("as fixed", verdict.fixed, "fixed")]
    rows += [(line.changes, line.skill, "tried") for line in verdict.table[:MOST_ROWS]]
    return pd.DataFrame(
        [(_short(name), value, kind) for name, skill, kind in rows if skill for value in skill.values],
        columns=["row", "skill", "kind"],
    )


def _short(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:57]}…"


def figure(verdict: Verdict) -> str:
    """Every seed's skill as a point, as SVG."""
    data = points(verdict)
    with house_style():
        drawn, axes = pyplot.subplots(figsize=(7, 0.6 + 0.28 * data["row"].nunique()))
        drawn.set_label("Skill of every seed")
        palette = {"asked": ASKED, "fixed": FIXED, "tried": "#6e6e6e"}
        seaborn.stripplot(data, x="skill", y="row", hue="kind", palette=palette, legend=False, jitter=0.2, ax=axes)
        axes.set(xlim=(-0.05, 1.05), xlabel="skill", ylabel="")
        text = to_svg(drawn, "why").decode()
    return text[text.index("<svg") :]
