"""Result tables: from the summaries of a study's rows to frames, and from frames to CSV and Markdown text.

A *study* is the mapping of build/studies/<study>.yaml. The CSV holds plain numbers at six significant digits, the
Markdown the layout of the document's own table. The schemas hold for every table that is written or read.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from stages.core import diagnosis, statistics
from stages.core.errors import UserError
from stages.core.records import Summary, to_text

SIGNIFICANT_DIGITS = 6
"""Of a number in a CSV file."""

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

LOG_COLUMNS = ("loss", "accuracy", "val_loss", "val_accuracy")
"""Columns of a log that a document reports."""

SPLITS = ("train", "validation", "test")
DASH = "–"


def _number(description: str, unit: str, *checks: pa.Check) -> pa.Column:
    finite = pa.Check(np.isfinite, error="is not finite")
    return pa.Column(float, [finite, *checks], nullable=True, description=description, metadata={"unit": unit})


def _count(description: str, least: int) -> pa.Column:
    return pa.Column(int, pa.Check.ge(least), description=description, metadata={"unit": "count"})


def _text(description: str, *checks: pa.Check) -> pa.Column:
    return pa.Column(str, list(checks), description=description, metadata={"unit": "text"})


def _key(description: str) -> pa.Column:
    return _text(description, pa.Check.str_matches(r"^[a-z0-9][a-z0-9_-]*$"))


def _ordered(low: str, high: str) -> pa.Check:
    """A check of the frame: `low` is not above `high` wherever both are known."""

    def check(frame: pd.DataFrame) -> pd.Series:
        unknown = frame[low].isna() | frame[high].isna()
        return unknown | (frame[low] <= frame[high])

    return pa.Check(check, error=f"{low} is above {high}")


def _accuracies_are_shares(columns: Iterable[str], measured: str) -> pa.Check:
    """A check of the frame: where the column `measured` names an accuracy, `columns` lie between 0 and 1."""
    columns = list(columns)

    def check(frame: pd.DataFrame) -> pd.Series:
        inside = (frame[columns].isna() | ((frame[columns] >= 0) & (frame[columns] <= 1))).all(axis=1)
        return inside | ~frame[measured].str.endswith("accuracy")

    return pa.Check(check, error="an accuracy lies outside 0 to 1")


TABLE = pa.DataFrameSchema(
    {
        "study": _key("name of the study"),
        "row": _key("name of the row"),
        "label": _text("the row as the document calls it", pa.Check.str_length(min_value=1)),
        "reported": _number("the document's own figure", "metric"),
        "metric": _text("split and metric", pa.Check.str_matches(r"^(train|validation|test)\.(accuracy|mae)$")),
        "n": _count("seeds run", 1),
        "n_finite": _count("seeds whose metric is finite", 0),
        "mean": _number("mean over the finite seeds", "metric", pa.Check.ge(0)),
        "sd": _number("standard deviation over the finite seeds", "metric", pa.Check.ge(0)),
        "difference": _number("mean paired difference from the baseline row", "metric"),
        "difference_low": _number("lower end of its 95 % interval", "metric"),
        "difference_high": _number("upper end of its 95 % interval", "metric"),
        "p_value": _number("two-sided paired t-test", "probability", pa.Check.in_range(0, 1)),
        "p_holm": _number("p_value adjusted over the study", "probability", pa.Check.in_range(0, 1)),
        "effect_size": _number("Cohen's d_z", "standard deviations"),
        "prediction_low": _number("lower end of the 95 % prediction interval of one further run", "metric"),
        "prediction_high": _number("upper end of it", "metric"),
        "reproduced": _text("does the prediction interval hold the reported figure", pa.Check.isin(["yes", "no", ""])),
        "diagnosis": _text("what became of the row", pa.Check.isin(diagnosis.NAMES)),
        "evidence": _text("the figures the diagnosis rests on", pa.Check.str_length(min_value=1)),
        "train": _number("mean on the training samples", "metric", pa.Check.ge(0)),
        "validation": _number("mean on the validation samples", "metric", pa.Check.ge(0)),
        "test": _number("mean on the test samples", "metric", pa.Check.ge(0)),
        "penalty_share": _number("mean share of the penalty in the training loss", "share", pa.Check.in_range(0, 1)),
        "log_distance": _number("distance to the reported log", "spreads of one run", pa.Check.ge(0)),
    },
    checks=[
        _ordered("n_finite", "n"),
        _ordered("difference_low", "difference"),
        _ordered("difference", "difference_high"),
        _ordered("p_value", "p_holm"),
        _ordered("prediction_low", "prediction_high"),
        _accuracies_are_shares(["mean", *SPLITS], measured="metric"),
    ],
    unique=["study", "row"],
    strict=True,
    ordered=True,
    name="table",
)
"""Columns, units, ranges and key of results/tables/<study>.csv."""

CURVES = pa.DataFrameSchema(
    {
        "study": _key("name of the study"),
        "row": _key("name of the row"),
        "epoch": _count("epoch, from 1", 1),
        "quantity": _text(
            "what is averaged",
            pa.Check.str_matches(
                r"^(loss|data_loss|penalty|penalty_share|accuracy|mae|val_loss|val_accuracy|val_mae)$"
            ),
        ),
        "n": _count("seeds with a finite value", 0),
        "mean": _number("mean over these seeds", "of the quantity", pa.Check.ge(0)),
        "sd": _number("standard deviation over these seeds", "of the quantity", pa.Check.ge(0)),
    },
    checks=[_accuracies_are_shares(["mean"], measured="quantity")],
    unique=["study", "row", "epoch", "quantity"],
    strict=True,
    ordered=True,
    name="curves",
)
"""Columns, units, ranges and key of results/tables/<study>_curves.csv."""


# --- frames


def comparison_table(study: Mapping[str, Any], summaries: Mapping[str, Summary], curves: pd.DataFrame) -> pd.DataFrame:
    """The study's rows with their statistics, one line a row, in the study's order; columns as in TABLE.

    Args:
        study: the study.
        summaries: by row, all with the same seeds.
        curves: what `curves_table` gives of them.
    """
    baseline = summaries[study["baseline"]]
    lines = [_line(study, row, summaries[row], baseline, curves) for row in study["rows"]]
    table = _typed(pd.DataFrame(lines), TABLE)
    return table.assign(p_holm=statistics.holm(table["p_value"]))


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
    return _typed(pd.DataFrame(lines, columns=list(CURVES.columns)), CURVES)


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


def detectable_difference(table: pd.DataFrame) -> float:
    """The smallest difference from the baseline that the number of seeds could have shown, in the metric's unit.

    `statistics.minimum_detectable_effect` times the median standard deviation of the paired differences, over the rows
    whose seeds are all finite. NaN if no row has an interval.
    """
    complete = table[(table["n_finite"] == table["n"]) & table["difference_low"].notna()]
    if complete.empty:
        return math.nan
    n = int(complete["n"].iloc[0])
    deviations = statistics.deviation_from_interval(complete["difference_low"], complete["difference_high"], n)
    return float(np.median(deviations)) * statistics.minimum_detectable_effect(n, comparisons(table))


def comparisons(table: pd.DataFrame) -> int:
    """Number of comparisons that Holm's adjustment counted."""
    return int(table["p_holm"].notna().sum())


def _line(
    study: Mapping[str, Any], row: str, summary: Summary, baseline: Summary, curves: pd.DataFrame
) -> dict[str, Any]:
    declared = study["rows"][row]
    split, metric = study["metric"].split(".")
    values = summary.final[split][metric]
    sample = statistics.describe(values)
    low, high = statistics.prediction_interval(sample)
    found = diagnosis.diagnose(summary, baseline)
    splits = {name: statistics.describe(summary.final[name][metric]).mean for name in SPLITS if name in summary.final}
    return {
        "study": study["name"],
        "row": row,
        "label": declared["label"],
        "reported": declared["reported"],
        "metric": study["metric"],
        "n": len(values),
        "n_finite": sample.n,
        "mean": sample.mean,
        "sd": sample.sd,
        **(_comparison(values, baseline.final[split][metric]) if row != study["baseline"] else {}),
        "prediction_low": low,
        "prediction_high": high,
        "reproduced": _reproduced(declared["reported"], sample.mean, low, high),
        "diagnosis": found.name,
        "evidence": found.evidence,
        **splits,
        "penalty_share": statistics.describe(summary.penalty_share).mean,
        "log_distance": _log_distance(study, declared["reported_log"], curves[curves["row"] == row]),
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


def _typed(lines: pd.DataFrame, schema: pa.DataFrameSchema) -> pd.DataFrame:
    """The columns of `schema`, in its order and with its types; what is absent is empty."""
    frame = lines.reindex(columns=list(schema.columns))
    return frame.astype({name: column.dtype.type for name, column in schema.columns.items()})


# --- text


def to_csv(frame: pd.DataFrame, schema: pa.DataFrameSchema, where: str) -> str:
    """CSV text of a frame that `schema` (TABLE or CURVES) holds for; NaN is an empty field.

    Raises:
        UserError: the schema does not hold; the text begins with `where`.
    """
    checked = _checked(frame, schema, where)
    text = checked.copy().astype(object)
    for name in checked.select_dtypes("float").columns:
        text[name] = [_plain_number(value) for value in checked[name]]
    return text.to_csv(index=False, lineterminator="\n")


def read_table(text: str, where: str = "table") -> pd.DataFrame:
    """The frame of a results/tables/<study>.csv, as TABLE says.

    Raises:
        UserError: a column is missing, a value out of range, a row twice, or it is no CSV; it begins with `where`.
    """
    return _read(text, TABLE, where)


def read_curves(text: str, where: str = "curves") -> pd.DataFrame:
    """The frame of a results/tables/<study>_curves.csv, as CURVES says; errors as in `read_table`."""
    return _read(text, CURVES, where)


def to_metrics(table: pd.DataFrame) -> str:
    """JSON text {study: {row: {"mean", "sd"}}} for `dvc metrics diff`."""
    rows = {line.row: {"mean": _rounded(line.mean), "sd": _rounded(line.sd)} for line in table.itertuples()}
    return to_text({table["study"].iloc[0]: rows})


def first_difference(ours: str, theirs: str) -> int | None:
    """Number of the first line, from 1, in which two texts differ; None if they are the same."""
    if ours == theirs:
        return None
    pairs = zip(ours.split("\n"), theirs.split("\n"), strict=False)
    same = next((index for index, (a, b) in enumerate(pairs) if a != b), min(ours.count("\n"), theirs.count("\n")) + 1)
    return same + 1


def _plain_number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.{SIGNIFICANT_DIGITS}g}"


def _rounded(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def _read(text: str, schema: pa.DataFrameSchema, where: str) -> pd.DataFrame:
    types = {name: column.dtype.type for name, column in schema.columns.items()}
    empty = {name: [""] for name, column in schema.columns.items() if column.nullable}
    try:
        header = pd.read_csv(io.StringIO(text), nrows=0).columns.tolist()
        _check_header(header, schema, where)
        frame = pd.read_csv(io.StringIO(text), dtype=types, na_values=empty, keep_default_na=False)
    except (ValueError, pd.errors.ParserError) as error:
        raise UserError(f"{where}: is not a table of {schema.name}: {_one_line(error)}") from None
    return _checked(frame, schema, where)


def _check_header(header: list[str], schema: pa.DataFrameSchema, where: str) -> None:
    wanted = list(schema.columns)
    missing = [name for name in wanted if name not in header]
    if missing:
        raise UserError(f"{where}: has no column {', '.join(missing)}")
    if header != wanted:
        raise UserError(f"{where}: has the columns {', '.join(header)}, not {', '.join(wanted)}")


def _checked(frame: pd.DataFrame, schema: pa.DataFrameSchema, where: str) -> pd.DataFrame:
    try:
        return schema.validate(frame)
    except pa.errors.SchemaError as error:
        raise UserError(f"{where}: {_reason(error, frame)}") from None


def _reason(error: pa.errors.SchemaError, frame: pd.DataFrame) -> str:
    """What is wrong with the first offending line, in one line."""
    cases = error.failure_cases
    if not isinstance(cases, pd.DataFrame) or "index" not in cases or cases["index"].isna().all():
        return _one_line(error)
    line = frame.loc[cases["index"].iloc[0]]
    key = "/".join(str(line[name]) for name in ("study", "row") if name in line)
    if "unique" in str(error):
        return f"{key} stands there twice"
    column = error.schema.name if isinstance(error.schema, pa.Column) else None
    rule = getattr(error.check, "error", None) or str(error.check)
    return f"{key}: {f'{column} {line[column]!s}: ' if column else ''}{rule}"


def _one_line(error: Any) -> str:
    return " ".join(str(error).split())


# --- Markdown


def to_markdown(study: Mapping[str, Any], table: pd.DataFrame, curves: pd.DataFrame) -> str:
    """The study's table as the document lays it out, with what is needed to read it below."""
    parts = [
        f"# {_inline(study['title'])}",
        _inline(study["question"]),
        _markdown_table(study, table),
        _facts(study, table),
        *_footnotes(study),
        *_rankings(study, curves),
    ]
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Text that a cell of a Markdown table shows as it is, on one line."""
    return re.sub(r"([\\|*_`<>\[\]~$])", r"\\\1", " ".join(text.split()))


def with_spread(mean: float, spread: float) -> tuple[str, str]:
    """Mean and spread (a standard deviation or a half-width) with the digits that the spread supports."""
    decimals = _decimals(spread)
    return _fixed(mean, decimals), "0" if spread == 0 else _fixed(spread, decimals)


def _decimals(spread: float) -> int:
    if not (math.isfinite(spread) and spread > 0):
        return DECIMALS_WITHOUT_SPREAD
    exponent = int(f"{spread:.{DIGITS_OF_SPREAD - 1}e}".split("e")[1])  # after rounding: 0.00996 is 0.010
    return min(max(DIGITS_OF_SPREAD - 1 - exponent, 0), MAX_DECIMALS)


def _fixed(value: float, decimals: int, sign: str = "") -> str:
    if not math.isfinite(value):
        return DASH
    if abs(value) >= 1e6:
        return f"{value:{sign}.2e}"
    return f"{value:{sign}z.{decimals}f}"


def _markdown_table(study: Mapping[str, Any], table: pd.DataFrame) -> str:
    split, metric = study["metric"].split(".")
    others = [name for name in SPLITS if name != split and table[name].notna().any()]
    baseline = escape(study["rows"][study["baseline"]]["label"])
    headings = study["headings"]
    columns = [
        escape(headings["label"]),
        escape(headings["reported"]),
        f"{split} {metric}, mean ± sd (n)",
        *(f"{name} {metric}" for name in others),
        f"difference from {baseline} [95 % interval]",
        "p (Holm)",
        "reported in the 95 % prediction interval?",
        "diagnosis",
    ]
    rules = ["---", *["---:"] * (len(columns) - 3), "---", "---"]
    marks = _marks(study)
    lines = [columns, rules, *(_cells(line, marks.get(line.row, ""), others) for line in table.itertuples())]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cells(line: Any, mark: str, others: list[str]) -> list[str]:
    decimals = _decimals(line.sd)
    return [
        escape(line.label),
        "" if math.isnan(line.reported) else f"{_reported(line)}{mark}",
        _mean_cell(line),
        *(_fixed(getattr(line, name), decimals) for name in others),
        _difference_cell(line),
        _p_cell(line.p_holm),
        _prediction_cell(line),
        f"**{line.diagnosis}**: {escape(line.evidence)}",
    ]


def _reported(line: Any) -> str:
    """As the document has it: accuracies with four decimals, though YAML does not keep the last zero of 0.9770."""
    return f"{line.reported:.4f}" if line.metric.endswith("accuracy") else f"{line.reported:g}"


def _mean_cell(line: Any) -> str:
    mean, sd = with_spread(line.mean, line.sd)
    n = str(line.n) if line.n_finite == line.n else f"{line.n_finite} of {line.n} finite"
    return f"{mean} ± {sd} ({n})"


def _difference_cell(line: Any) -> str:
    if math.isnan(line.difference):
        return DASH
    decimals = _decimals((line.difference_high - line.difference_low) / 2)
    mean, low, high = (
        _fixed(value, decimals, "+") for value in (line.difference, line.difference_low, line.difference_high)
    )
    return f"{mean} [{DASH}]" if low == DASH else f"{mean} [{low}, {high}]"


def _p_cell(p: float) -> str:
    if math.isnan(p):
        return DASH
    return "\\< 0.001" if p < 0.001 else f"{p:.3f}"


def _prediction_cell(line: Any) -> str:
    if not line.reproduced:
        return DASH
    if math.isnan(line.prediction_low):
        return f"{line.reproduced}: every seed gives it"
    decimals = _decimals((line.prediction_high - line.prediction_low) / 2)
    return f"{line.reproduced} [{_fixed(line.prediction_low, decimals)}, {_fixed(line.prediction_high, decimals)}]"


def _facts(study: Mapping[str, Any], table: pd.DataFrame) -> str:
    split, metric = study["metric"].split(".")
    better = "higher" if study["higher_is_better"] else "lower"
    facts = [
        f"Data set: {_inline(study['dataset_title'])}.",
        f"Metric: {split} {metric}, {better} is better.",
        f"Seeds: {study['n_seeds']} a row, the same for every row; differences are paired by seed, p adjusted by Holm.",
        f"Smallest difference that this number of seeds could have shown: {_detectable(table)}.",
        f"Document: {_inline(study['source'])}.",
        *(_inline(note) for note in study["notes"]),
    ]
    return "\n".join(f"- {fact}" for fact in facts)


def _detectable(table: pd.DataFrame) -> str:
    smallest, count = detectable_difference(table), comparisons(table)
    if math.isnan(smallest):
        return "unknown, for no row has an interval"
    return (
        f"{smallest:.2g} (power {statistics.POWER:.0%}, two-sided level {1 - statistics.LEVEL:.2g}/{count}, the "
        "strictest step of Holm's procedure, at the rows' median spread of paired differences)"
    )


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
