"""Response curves: how a net's skill falls as a regularizer grows stronger, and where the net stops learning.

A *curve* is an entry of `curves` in build/grid.yaml. Skill is 1 for perfection and 0 for guessing. A point is a strength
with all its seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stages.core.base.text import escape, percent
from stages.core.records.records import Summary
from stages.core.results import diagnosis, statistics, tables
from stages.core.results.checked_csv import typed
from stages.core.results.table_schemas import RESPONSES, TIPPING

MOST = 0.5  # of the seeds must fail for a point to count as not learning


@dataclass(frozen=True)
class Tipping:
    """`learns`: the strongest point below which, itself included, all seeds learn; `stops`: the weakest at which most do
    not; `again`: the weakest beyond that at which all do. NaN where there is none."""

    learns: float
    stops: float
    again: float = math.nan


def responses_table(curves: Mapping[str, Any], points: Mapping[str, Mapping[float, Summary]]) -> pd.DataFrame:
    """One line a curve, strength and seed; columns as in RESPONSES.

    Args:
        curves: the curves by name.
        points: by curve, those that are trained: summaries by strength.
    """
    parts = [
        _of_point(name, curves[name], strength, summary)
        for name, of_curve in points.items()
        for strength, summary in of_curve.items()
    ]
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(RESPONSES.columns))
    return typed(frame, RESPONSES)


def tipping_table(curves: Mapping[str, Any], responses: pd.DataFrame) -> pd.DataFrame:
    """One line a curve, trained or not, in their order; columns as in TIPPING."""
    lines = [_line(name, curve, responses[responses["curve"] == name]) for name, curve in curves.items()]
    return typed(pd.DataFrame(lines, columns=list(TIPPING.columns)), TIPPING)


def tipping(points: pd.DataFrame) -> Tipping:
    """Where a net stops learning, from the lines of one curve in RESPONSES."""
    shares = points.groupby("strength")["fails"].apply(lambda fails: (fails == "yes").mean()).sort_index()
    strengths, shares = shares.index.to_numpy(float), shares.to_numpy(float)
    learning = np.logical_and.accumulate(shares == 0)
    stops = float(strengths[shares >= MOST].min(initial=math.inf))
    again = float(strengths[(shares == 0) & (strengths > stops)].min(initial=math.inf))
    learns = float(strengths[learning].max(initial=-math.inf))
    return Tipping(*(end if math.isfinite(end) else math.nan for end in (learns, stops, again)))


def best(points: pd.DataFrame) -> tuple[float, float, float]:
    """The strength with the best mean held-out skill, and the ends of the strengths around it that a paired t-test
    cannot tell from it; NaN without held-out samples. Arguments as of `tipping`."""
    skill = points.pivot(index="strength", columns="seed", values="held_out_skill").dropna()
    if skill.empty:
        return math.nan, math.nan, math.nan
    place = int(skill.mean(axis=1).to_numpy().argmax())
    alike = np.array([_cannot_be_told(skill.iloc[place], of_point) for _, of_point in skill.iterrows()])
    low = place - int(np.logical_and.accumulate(alike[:place][::-1]).sum())
    high = place + int(np.logical_and.accumulate(alike[place + 1 :]).sum())
    return float(skill.index[place]), float(skill.index[low]), float(skill.index[high])


def to_markdown(curves: Mapping[str, Any], table: pd.DataFrame) -> str:
    """One line a curve, and below what is needed to read it."""
    heads = ["curve", "regularizer", "epochs", "seeds", "best strength", "not told from it", "learns at all up to", "stops from"]
    heads += ["the document's", "penalty's share of the loss at the document's strength, epoch 1"]
    rows = [heads, ["---", "---", *["---:"] * (len(heads) - 2)]]
    rows += [_cells(curves[line.curve], line) for line in table.itertuples()]
    parts = [
        "# Where each regularizer tips over",
        "From which strength on does a regularizer harm a net, and from which on does the net not learn at all?",
        "\n".join(f"| {' | '.join(row)} |" for row in rows),
        "\n".join(
            [
                "- Best: by the mean on held-out samples. Not told from it: the strengths around it whose paired "
                "difference has a 95 % interval that holds 0; with few seeds this is wide.",
                "- Learns at all up to: the strongest point at which, as at all weaker ones, every seed learns. Stops from: the "
                "weakest at which most seeds fit the training samples no better than by guessing, or diverge. The "
                "tipping strength lies between the two; the points in between are in responses.csv. “Learns again” is no "
                "advice: it names a stronger point at which every seed does so all the same.",
                "- The nets are those of the grid, with their documents' own learning rates and budgets unless the name "
                "of the curve, or its epochs, say otherwise.",
            ]
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _of_point(name: str, curve: Mapping[str, Any], strength: float, summary: Summary) -> pd.DataFrame:
    split = curve["metric"].partition(".")[0]
    skills = {part: diagnosis.skill(summary, of) for part, of in (("train_skill", "train"), ("held_out_skill", split))}
    diverged = np.isfinite(summary.first_non_finite_epoch) | ~np.isfinite(summary.final["train"]["loss"])
    return pd.DataFrame(
        {
            "curve": name,
            "strength": strength,
            "seed": np.arange(len(diverged)),
            "metric": curve["metric"],
            "train": summary.final["train"][summary.metric],
            "held_out": summary.final[split][summary.metric],
            **{part: np.where(diverged, np.nan, values) for part, values in skills.items()},
            "penalty_share": summary.curve["penalty_share"][:, 0],
            "fails": np.where(diverged | diagnosis.fails_to_learn(summary), "yes", "no"),
        }
    )


def _line(name: str, curve: Mapping[str, Any], points: pd.DataFrame) -> dict[str, Any]:
    line = {"curve": name, "net": curve["net"], "strength": curve["strength"], "epochs": curve["epochs"], "n": 0}
    line["own"] = math.nan if curve["own"] is None else curve["own"]
    if points.empty:
        return line
    found, (middle, low, high) = tipping(points), best(points)
    at_own = points.loc[points["strength"] == line["own"], "penalty_share"].mean()
    skill = points.groupby("strength")["held_out_skill"].mean()
    return {
        **line,
        "n": points["seed"].nunique(),
        "strongest": points["strength"].max(),
        "best": middle,
        "best_low": low,
        "best_high": high,
        "best_skill": skill.get(middle, math.nan),
        "learns": found.learns,
        "stops": found.stops,
        "again": found.again,
        "own_penalty_share": at_own,
    }


def _cannot_be_told(best: pd.Series, other: pd.Series) -> bool:
    found = statistics.paired_difference(other, best)
    return found.mean == 0 if math.isnan(found.low) else found.low <= 0 <= found.high


def _cells(curve: Mapping[str, Any], line: Any) -> list[str]:
    cells = [escape(line.curve), escape(line.strength), str(line.epochs)]
    if line.n == 0:
        return [*cells, escape("not trained"), *[tables.DASH] * 6]
    stops = f"{line.stops:g}" if line.stops == line.stops else f"not up to {line.strongest:g}"
    stops += f", learns again at {line.again:g}" if line.again == line.again else ""
    learns = f"{line.learns:g}" if line.learns == line.learns else "nowhere"
    own = tables.DASH if math.isnan(line.own) else f"{line.own:g}"
    share = percent(line.own_penalty_share) if line.own_penalty_share > 0 else tables.DASH  # a dropout penalizes nothing
    best = f"{line.best:g}, the largest tried" if line.best == line.strongest else f"{line.best:g}"
    interval = "it alone" if line.best_low == line.best_high else f"{line.best_low:g} to {line.best_high:g}"
    return [*cells, str(line.n), best, interval, learns, stops, own, share]
