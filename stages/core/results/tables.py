"""Result tables of a study: from the summaries of its rows to frames, and from frames to Markdown.

A *study* is the mapping of build/studies/<study>.yaml. The CSV (`checked_csv`) holds plain numbers at six significant
digits, the Markdown the layout of the document's own table.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from stages.core.base.text import escape, p_text
from stages.core.config.row import parts_of
from stages.core.records.records import Summary
from stages.core.results import diagnosis, statistics
from stages.core.results.checked_csv import rounded, typed
from stages.core.results.table_schemas import CURVES, SEEDS, SPLITS, TABLE, WEIGHTS

REPORTED_ROUNDING = 5e-5
"""Half a unit of the last decimal to which the documents print a figure: where the seeds have no spread, a figure is
reproduced if they all round to it."""

DIGITS_OF_SPREAD = 2
"""Significant digits that a standard deviation or the half-width of an interval has in Markdown; the mean beside it has
the same decimals."""

DECIMALS_WITHOUT_SPREAD = 4
"""Decimals where no spread says how many are supported: as in the documents."""

MAX_DECIMALS = 7
"""Records carry no more digits."""

POSSIBLE = {"accuracy": (0.0, 1.0), "balanced_accuracy": (0.0, 1.0), "mae": (0.0, math.inf)}
"""Values that a metric can take: a t interval knows of no bounds, one further run does."""

CASE = "case_"
"""How the names of contributed cases begin: the overview has a line of each in its table, their answers the rest; one
figure shows them."""

LOG_COLUMNS = ("loss", "accuracy", "val_loss", "val_accuracy")
"""Columns of a log that a document reports."""

DASH = "–"


# --- frames


def comparison_table(study: Mapping[str, Any], summaries: Mapping[str, Summary], curves: pd.DataFrame) -> pd.DataFrame:
    """The study's rows with their statistics, one line a row, in the study's order; columns as in TABLE.

    Args:
        study: the study.
        summaries: by row, all with the same seeds.
        curves: what `curves_table` gives of them.
    """
    baseline = summaries[study["baseline"]]
    found = diagnosis.diagnose_all(summaries, study["baseline"], families(study))
    figures = len(reported_figures(study))
    lines = [_line(study, row, summaries[row], baseline, found[row], figures) for row in study["rows"]]
    table = typed(pd.DataFrame(lines), TABLE)
    distances = {
        row: _log_distance(study, declared["reported_log"], curves[curves["row"] == row])
        for row, declared in study["rows"].items()
    }
    return table.assign(
        log_distance=table["row"].map(distances),
        p_holm=table.groupby("beyond")["p_value"].transform(statistics.holm),
    )


def families(study: Mapping[str, Any]) -> list[list[str]]:
    """The document's rows, and the rows added beyond it: a row that is added never weakens what is said of the page."""
    return [[row for row, told in study["rows"].items() if told["beyond"] == beyond] for beyond in (False, True)]


def reported_figures(study: Mapping[str, Any]) -> list[list[str]]:
    """The document's figures of the study's own data, each with the rows that it may stand for."""
    figures: dict[str, list[str]] = {}
    for row, told in study["rows"].items():
        if told["reported"] is not None and study["same_data"]:
            figures.setdefault(told["same_reported_as"] or f"row {row}", []).append(row)
    return list(figures.values())


def curves_table(study: Mapping[str, Any], summaries: Mapping[str, Summary]) -> pd.DataFrame:
    """Mean, deviation and number of the finite seeds of every recorded quantity and epoch; columns as in CURVES."""
    lines = []
    for row in study["rows"]:
        summary = summaries[row]
        metric = summary.metric
        for quantity in ("loss", "data_loss", "penalty", "penalty_share", metric, "val_loss", f"val_{metric}"):
            for epoch, values in zip(summary.epochs, summary.curve[quantity].T, strict=True):
                sample = statistics.describe(values)
                lines.append((study["name"], row, epoch, quantity, sample.n, sample.mean, sample.sd))
    return typed(pd.DataFrame(lines, columns=list(CURVES.columns)), CURVES)


def seeds_table(study: Mapping[str, Any], summaries: Mapping[str, Summary]) -> pd.DataFrame:
    """What every seed gave at the end, beside its row's coefficients and rates; columns as in SEEDS."""
    parts = []
    for row in study["rows"]:
        summary = summaries[row]
        metric = study["metric"].split(".")[1]
        final = {split: figures[metric] for split, figures in summary.final.items()}
        final |= {f"{split}_data_loss": figures["data_loss"] for split, figures in summary.final.items()}
        final |= {"penalty": summary.final["train"]["penalty"]}
        final |= {"first_non_finite_epoch": summary.first_non_finite_epoch}
        part = pd.DataFrame(final).rename_axis("seed").reset_index()
        part = part.assign(study=study["name"], row=row, metric=metric, epochs=summary.epochs[-1])
        parts.append(part.assign(**_settings(summary.config)))
    return typed(pd.concat(parts, ignore_index=True), SEEDS)


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a row varies, as plain values."""
    coefficients = {
        f"{place}_{name}": value for place, part in config["regularizers"].items() for name, value in part.items()
    }
    net = config.get("layers") or config.get("keras")
    rates = [values.get("rate") or 0.0 for kind, values in parts_of(net) if "dropout" in kind]
    optimizer = config["optimizer"]
    return {
        **coefficients,
        "dropout": max(rates, default=0.0),
        "optimizer": optimizer["name"],
        "learning_rate": optimizer["learning_rate"],
        "weight_decay": optimizer.get("weight_decay", 0.0),
    }


def weights_table(study: Mapping[str, Any], summaries: Mapping[str, Summary]) -> pd.DataFrame:
    """Final norm of every weight array, from input to output, over its finite seeds; columns as in WEIGHTS."""
    lines = []
    for row in study["rows"]:
        for weight, norms in summaries[row].weight_norms.items():
            sample = statistics.describe(norms)
            lines.append((study["name"], row, weight, sample.n, sample.mean, sample.sd))
    return typed(pd.DataFrame(lines, columns=list(WEIGHTS.columns)), WEIGHTS)


def log_distances(log: Mapping[str, list[float]], curves: pd.DataFrame) -> dict[str, float]:
    """Distance of one row's curves to a reported log, per column of the log.

    The distance is NaN if the row was not recorded at an epoch of the log, or not with two finite seeds.
    """
    measured = curves.set_index(["epoch", "quantity"])
    wanted = pd.MultiIndex.from_product([log["epochs"], LOG_COLUMNS])
    shape = (len(log["epochs"]), len(LOG_COLUMNS))
    mean, sd, n = (measured[name].reindex(wanted).to_numpy(float).reshape(shape) for name in ("mean", "sd", "n"))
    reported = np.transpose([log[column] for column in LOG_COLUMNS])
    distances = statistics.trajectory_distance(mean, sd, n, reported)
    return dict(zip(LOG_COLUMNS, distances.tolist(), strict=True))


def rank_by_distance(log: Mapping[str, list[float]], curves: pd.DataFrame) -> pd.DataFrame:
    """All rows of a study, nearest to a reported log first; index row, columns `distance` and LOG_COLUMNS.

    `distance` is the root mean square over the columns; rows without one come last.
    """
    groups = curves.groupby("row", sort=False)
    distances = pd.DataFrame.from_dict({row: log_distances(log, group) for row, group in groups}, orient="index")
    distances.insert(0, "distance", statistics.root_mean_square(distances.to_numpy().T))
    return distances.sort_values("distance", kind="stable")


def _line(
    study: Mapping[str, Any],
    row: str,
    summary: Summary,
    baseline: Summary,
    found: diagnosis.Diagnosis,
    figures: int,
) -> dict[str, Any]:
    """All that a row's own seeds and the baseline's give; `figures`: how many the document reports."""
    declared = study["rows"][row]
    split, metric = study["metric"].split(".")
    values = summary.final[split][metric]
    sample = statistics.describe(values)
    low, high = (float(end) for end in np.clip(statistics.prediction_interval(values, figures or 1), *POSSIBLE[metric]))
    splits = {name: statistics.describe(summary.final[name][metric]).mean for name in SPLITS if name in summary.final}
    reported = declared["reported"] if study["same_data"] else None
    return {
        "study": study["name"],
        "row": row,
        "label": declared["label"],
        "beyond": "yes" if declared["beyond"] else "no",
        "reported": declared["reported"],
        "metric": study["metric"],
        "n": len(values),
        "n_finite": sample.n,
        "mean": sample.mean,
        "sd": sample.sd,
        "median": statistics.median(values)[0],
        "groups": diagnosis.groups_text(values),
        **(_comparison(values, baseline.final[split][metric]) if row != study["baseline"] else {}),
        "prediction_low": low,
        "prediction_high": high,
        "reproduced": _reproduced(reported, sample.mean, low, high),
        "diagnosis": found.name,
        "evidence": found.evidence,
        **splits,
        "penalty_share": statistics.describe(summary.penalty_share).mean,
        "log_limit": _log_limit(study, declared["reported_log"], summary),
    }


def _comparison(values: np.ndarray, baseline: np.ndarray) -> dict[str, float]:
    difference = statistics.paired_difference(values, baseline)
    return {
        "difference": difference.mean,
        "difference_low": difference.low,
        "difference_high": difference.high,
        "p_value": difference.p_value,
        "effect_size": difference.effect_size,
    }


def _reproduced(reported: float | None, mean: float, low: float, high: float) -> str:
    if reported is None or math.isnan(mean):
        return ""
    if math.isnan(low):  # one seed or no spread: the seeds can show the figure, but not that it is out of reach
        return "yes" if abs(mean - reported) <= REPORTED_ROUNDING else ""
    return "yes" if low <= reported <= high else "no"


def _log_distance(study: Mapping[str, Any], name: str | None, curves: pd.DataFrame) -> float:
    if name is None:
        return math.nan
    distances = log_distances(study["reported_logs"][name], curves)
    return float(statistics.root_mean_square(list(distances.values())))


def _log_limit(study: Mapping[str, Any], name: str | None, summary: Summary) -> float:
    """How far the log may lie and still look like one more run of the row; NaN where there is none."""
    epochs = [] if name is None else study["reported_logs"][name]["epochs"]
    if not epochs or not set(epochs) <= set(summary.epochs.tolist()):
        return math.nan
    places = np.searchsorted(summary.epochs, epochs)
    curves = np.stack([summary.curve[column][:, places] for column in LOG_COLUMNS], axis=-1)
    return statistics.distance_limit(curves)


# --- Markdown


def to_markdown(study: Mapping[str, Any], table: pd.DataFrame, curves: pd.DataFrame) -> str:
    """The study's table as the document lays it out, with what is needed to read it below."""
    parts = [
        f"# {_inline(study['title'])}",
        _inline(study["question"]),
        _markdown_table(study, table),
        _facts(study),
        *_footnotes(study),
        *_rankings(study, curves),
    ]
    return "\n\n".join(parts) + "\n"


def with_spread(mean: float, spread: float) -> tuple[str, str]:
    """Mean and spread (a standard deviation or a half-width) with the digits that the spread supports."""
    decimals = _decimals(spread)
    return _fixed(mean, decimals), "0" if spread == 0 else _fixed(spread, decimals)


def signed(difference: float, spread: float) -> str:
    """A difference with its sign and the digits that a spread supports."""
    return _fixed(difference, _decimals(spread), "+")


def mean_text(mean: float, sd: float, n: int, n_finite: int, median: float, groups: str) -> str:
    """Mean ± sd (seeds); in words where no seed is finite, the median where the seeds fall into two groups."""
    if n_finite == 0:
        return f"not finite in any of {n} seeds" if n > 1 else "not finite"
    counted = str(n) if n_finite == n else f"{n_finite} of {n} finite"
    if groups:
        return f"median {_fixed(median, DECIMALS_WITHOUT_SPREAD)} ({counted}): {groups}"
    shown, spread = with_spread(mean, sd)
    return f"{shown} ({counted})" if math.isnan(sd) else f"{shown} ± {spread} ({counted})"


def _decimals(spread: float) -> int:
    if not (math.isfinite(spread) and spread > 0):
        return DECIMALS_WITHOUT_SPREAD
    exponent = int(f"{spread:.{DIGITS_OF_SPREAD - 1}e}".split("e")[1])  # after rounding: 0.00996 is 0.010
    return min(max(DIGITS_OF_SPREAD - 1 - exponent, 0), MAX_DECIMALS)


def _fixed(value: float, decimals: int, sign: str = "") -> str:
    if not math.isfinite(value):
        return DASH
    value = rounded(value)  # a mean of raw seeds and the same one read from a CSV file give one text
    if abs(value) >= 1e6:
        return f"{value:{sign}.2e}"
    return f"{value:{sign}z.{decimals}f}"


def _markdown_table(study: Mapping[str, Any], table: pd.DataFrame) -> str:
    """The rows with their statistics; a column in which nothing would stand is left out."""
    split, metric = study["metric"].split(".")
    baseline = escape(study["rows"][study["baseline"]]["label"])
    headings, marks = study["headings"], _marks(study)
    lines = list(table.itertuples())
    columns = [
        (escape(headings["label"]), "---", [escape(line.label) for line in lines]),
        (escape(headings["reported"]), "---:", [_reported_cell(line, marks.get(line.row, "")) for line in lines]),
        (f"{split} {metric}, mean ± sd (n)", "---:", [mean_cell(line) for line in lines]),
        *(
            (f"{name} {metric}", "---:", [_fixed(getattr(line, name), _decimals(line.sd)) for line in lines])
            for name in SPLITS
            if name != split
        ),
        (f"difference from {baseline} [95 % interval]", "---:", [difference_cell(line) for line in lines]),
        ("p (Holm)", "---:", [escape(p_text(line.p_holm)) or DASH for line in lines]),
        ("reported figure in the prediction interval?", "---", [_prediction_cell(line) for line in lines]),
        ("diagnosis", "---", [f"**{line.diagnosis}**: {escape(line.evidence)}" for line in lines]),
    ]
    shown = [column for column in columns if set(column[2]) - {"", DASH}]
    rows = zip(*([heading, rule, *cells] for heading, rule, cells in shown), strict=True)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _reported_cell(line: Any, mark: str) -> str:
    return "" if math.isnan(line.reported) else f"{_reported(line)}{mark}"


def _reported(line: Any) -> str:
    """As the document has it: accuracies with four decimals, though YAML does not keep the last zero of 0.9770."""
    return f"{line.reported:.4f}" if line.metric.endswith("accuracy") else f"{line.reported:g}"


def mean_cell(line: Any) -> str:
    """Mean ± sd (seeds) of a line of a comparison table."""
    return mean_text(line.mean, line.sd, line.n, line.n_finite, line.median, line.groups)


def difference_cell(line: Any) -> str:
    """Difference from the baseline with its interval, of a line of a comparison table."""
    if math.isnan(line.difference):
        return DASH
    decimals = _decimals((line.difference_high - line.difference_low) / 2)
    mean, low, high = (
        _fixed(value, decimals, "+") for value in (line.difference, line.difference_low, line.difference_high)
    )
    return f"{mean} [{DASH}]" if low == DASH else f"{mean} [{low}, {high}]"




def _prediction_cell(line: Any) -> str:
    if not line.reproduced:
        return DASH
    if math.isnan(line.prediction_low):
        return f"{line.reproduced}: every seed gives it"
    decimals = _decimals((line.prediction_high - line.prediction_low) / 2)
    return f"{line.reproduced} [{_fixed(line.prediction_low, decimals)}, {_fixed(line.prediction_high, decimals)}]"


def _facts(study: Mapping[str, Any]) -> str:
    split, metric = study["metric"].split(".")
    better = "higher" if study["higher_is_better"] else "lower"
    facts = [
        f"Data set: {_inline(study['dataset_title'])}.",
        f"Metric: {split} {metric}, {better} is better.",
        f"Seeds: {study['n_seeds']} a row, the same for every row. Differences are paired by seed and speak of these "
        f"{split} samples; p is adjusted by Holm over the document's rows, and over the rows beyond it by themselves.",
        *_prediction_fact(study),
        f"Document: {_inline(study['source'])}.",
        *(_inline(note) for note in study["notes"]),
    ]
    return "\n".join(f"- {fact}" for fact in facts)


def _prediction_fact(study: Mapping[str, Any]) -> list[str]:
    count = len(reported_figures(study))
    if not count:
        return []
    together = "holds one further run" if count == 1 else f"hold one further run each, all {count} figures together,"
    named = "The prediction interval" if count == 1 else "The prediction intervals"
    return [f"{named} {together} with 95 % probability."]


def _marks(study: Mapping[str, Any]) -> dict[str, str]:
    """A footnote mark for each row that shares its reported figure with others."""
    shared = _shared(study)
    return {row: f"<sup>{shared.index(text) + 1}</sup>" for row, text in _same_reported(study).items()}


def _footnotes(study: Mapping[str, Any]) -> list[str]:
    lines = [
        f"<sup>{number}</sup> These rows stand for the same reported figure, {_inline(text)}."
        for number, text in enumerate(_shared(study), start=1)
    ]
    return ["  \n".join(lines)] if lines else []


def _shared(study: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(_same_reported(study).values()))


def _same_reported(study: Mapping[str, Any]) -> dict[str, str]:
    texts = {row: declared["same_reported_as"] for row, declared in study["rows"].items()}
    return {row: text for row, text in texts.items() if text}


def _rankings(study: Mapping[str, Any], curves: pd.DataFrame) -> list[str]:
    parts = []
    for name, log in study["reported_logs"].items():
        parts.append(f"## Which row reproduces the reported log {escape(name)}?")
        parts.append(_ranking(study, rank_by_distance(log, curves)))
    if parts:
        parts.append(
            "Nearest first. A column's distance is the root mean square over the log's epochs of (mean of the seeds − "
            "reported) / spread of one run, the spread being sd · √(1 + 1/n) and at least "
            f"{statistics.LOG_RESOLUTION:g}; the row's is the root mean square over the columns."
        )
    return parts


def _ranking(study: Mapping[str, Any], ranked: pd.DataFrame) -> str:
    columns = ["rank", escape(study["headings"]["label"]), "distance", *(escape(name) for name in LOG_COLUMNS)]
    lines = [columns, ["---:", "---", *["---:"] * (len(columns) - 2)]]
    for rank, line in enumerate(ranked.itertuples(), start=1):
        known = math.isfinite(line.distance)
        figures = [_fixed(value, 1) for value in line[1:]]
        lines.append([str(rank) if known else DASH, escape(study["rows"][line.Index]["label"]), *figures])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _inline(text: str) -> str:
    """Text on one line in which no HTML can hide."""
    return " ".join(text.split()).replace("<", "&lt;")
