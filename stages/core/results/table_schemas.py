"""Schemas of the result tables: columns in their order with unit and range, and what is unique."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
import pandera.pandas as pa

from stages.core.results import diagnosis

SPLITS = ("train", "validation", "test")
_YES_OR_NO = pa.Check.isin(["yes", "no"])
_SPLIT_AND_METRIC = pa.Check.str_matches(r"^(train|validation|test)\.((balanced_)?accuracy|mae)$")


def _schema(
    name: str, unique: list[str], columns: dict[str, pa.Column], checks: Iterable[pa.Check] = ()
) -> pa.DataFrameSchema:
    """The schema of a file with exactly these columns, in this order, and no key twice."""
    return pa.DataFrameSchema(columns, list(checks), unique=unique, strict=True, ordered=True, name=name)


def _number(description: str, unit: str, *checks: pa.Check) -> pa.Column:
    """A finite number, or nothing."""
    finite = pa.Check(np.isfinite, error="is not finite")
    return pa.Column(float, [finite, *checks], nullable=True, description=description, metadata={"unit": unit})


def _count(description: str, least: int) -> pa.Column:
    """A whole number of things, `least` or more."""
    return pa.Column(int, pa.Check.ge(least), description=description, metadata={"unit": "count"})


def _text(description: str, *checks: pa.Check) -> pa.Column:
    return pa.Column(str, list(checks), description=description, metadata={"unit": "text"})


def _key(description: str) -> pa.Column:
    """A name of a study or a row."""
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


TABLE = _schema(
    "table",
    ["study", "row"],
    {
        "study": _key("name of the study"),
        "row": _key("name of the row"),
        "label": _text("the row as the document calls it", pa.Check.str_length(min_value=1)),
        "beyond": _text("is the row added beyond the document", _YES_OR_NO),
        "reported": _number("the document's own figure", "metric"),
        "metric": _text("split and metric", _SPLIT_AND_METRIC),
        "n": _count("seeds run", 1),
        "n_finite": _count("seeds whose metric is finite", 0),
        "mean": _number("mean over the finite seeds", "metric", pa.Check.ge(0)),
        "sd": _number("standard deviation over the finite seeds", "metric", pa.Check.ge(0)),
        "median": _number("median over the finite seeds", "metric", pa.Check.ge(0)),
        "groups": _text("the two groups that the seeds fall into"),
        "difference": _number("mean paired difference from the baseline row", "metric"),
        "difference_low": _number("lower end of its 95 % interval", "metric"),
        "difference_high": _number("upper end of its 95 % interval", "metric"),
        "p_value": _number("two-sided paired t-test", "probability", pa.Check.in_range(0, 1)),
        "p_holm": _number("p_value adjusted over its family", "probability", pa.Check.in_range(0, 1)),
        "effect_size": _number("Cohen's d_z", "standard deviations"),
        "prediction_low": _number("lower end of the simultaneous 95 % prediction interval", "metric", pa.Check.ge(0)),
        "prediction_high": _number("upper end of it", "metric", pa.Check.ge(0)),
        "reproduced": _text("does the prediction interval hold the reported figure", pa.Check.isin(["yes", "no", ""])),
        "diagnosis": _text("what became of the row", pa.Check.isin(diagnosis.NAMES)),
        "evidence": _text("the figures the diagnosis rests on", pa.Check.str_length(min_value=1)),
        "train": _number("mean on the training samples", "metric", pa.Check.ge(0)),
        "validation": _number("mean on the validation samples", "metric", pa.Check.ge(0)),
        "test": _number("mean on the test samples", "metric", pa.Check.ge(0)),
        "penalty_share": _number("mean share of the penalty in the training loss", "share", pa.Check.in_range(0, 1)),
        "log_distance": _number("distance to the reported log", "spreads of one run", pa.Check.ge(0)),
        "log_limit": _number("distance of a log that looks like one more run", "spreads of one run", pa.Check.ge(0)),
    },
    checks=[
        _ordered("n_finite", "n"),
        _ordered("difference_low", "difference"),
        _ordered("difference", "difference_high"),
        _ordered("p_value", "p_holm"),
        _ordered("prediction_low", "prediction_high"),
        _accuracies_are_shares(["mean", "median", "prediction_low", "prediction_high", *SPLITS], measured="metric"),
    ],
)
"""Columns, units, ranges and key of results/tables/<study>.csv."""

CURVES = _schema(
    "curves",
    ["study", "row", "epoch", "quantity"],
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
)
"""Columns, units, ranges and key of results/tables/<study>_curves.csv."""

COEFFICIENTS = tuple(f"{place}_{name}" for place in ("kernel", "bias", "activity") for name in ("l1", "l2"))

SEEDS = _schema(
    "seeds",
    ["study", "row", "seed"],
    {
        "study": _key("name of the study"),
        "row": _key("name of the row"),
        "seed": _count("seed, from 0", 0),
        "metric": _text("what is measured", pa.Check.isin(["accuracy", "balanced_accuracy", "mae"])),
        **{split: _number(f"on the {split} samples, final weights", "metric", pa.Check.ge(0)) for split in SPLITS},
        **{
            f"{split}_data_loss": _number(f"loss without penalty on the {split} samples, final weights", "loss")
            for split in SPLITS
        },
        "penalty": _number("penalty of the final weights on the training samples", "loss"),
        "first_non_finite_epoch": _number("first epoch whose loss was not finite", "epoch", pa.Check.ge(1)),
        **{name: _number(f"coefficient {name}", "of the penalty", pa.Check.ge(0)) for name in COEFFICIENTS},
        "dropout": _number("largest dropout rate", "share", pa.Check.in_range(0, 1)),
        "optimizer": _text("Keras' name", pa.Check.str_length(min_value=1)),
        "learning_rate": _number("learning rate", "of the optimizer", pa.Check.ge(0)),
        "weight_decay": _number("decoupled weight decay", "of the optimizer", pa.Check.ge(0)),
        "epochs": _count("epochs trained", 1),
    },
    checks=[_accuracies_are_shares(SPLITS, measured="metric")],
)
"""Columns, units, ranges and key of results/tables/<study>_seeds.csv, and of results/records.csv."""

WEIGHTS = _schema(
    "weights",
    ["study", "row", "weight"],
    {
        "study": _key("name of the study"),
        "row": _key("name of the row"),
        "weight": _text("layer and array", pa.Check.str_matches(r"^[a-z0-9_]+/[a-z0-9_]+$")),
        "n": _count("seeds whose norm is finite", 0),
        "norm_mean": _number("mean of the Euclidean norm over these seeds", "no unit", pa.Check.ge(0)),
        "norm_sd": _number("its standard deviation", "no unit", pa.Check.ge(0)),
    },
)
"""Columns, units, ranges and key of results/tables/<study>_weights.csv."""

OVERVIEW = _schema(
    "overview",
    ["study"],
    {
        "study": _key("name of the study"),
        "dataset": _key("name of the data set"),
        "metric": _text("split and metric", _SPLIT_AND_METRIC),
        "rows": _count("rows of the study", 1),
        "seeds": _count("seeds a row", 1),
        "baseline": _key("row that the others are compared with"),
        "baseline_mean": _number("its mean", "metric", pa.Check.ge(0)),
        "baseline_sd": _number("its standard deviation", "metric", pa.Check.ge(0)),
        "better": _count("rows better than the baseline by more than noise", 0),
        "worse": _count("rows worse than the baseline by more than noise", 0),
        "barely_learning": _count("rows diagnosed as barely learning", 0),
        "not_learning": _count("rows diagnosed as not learning", 0),
        "diverged": _count("rows diagnosed as diverged", 0),
        "reported": _count("published figures of the study's data", 0),
        "reproduced": _count("those of them that a prediction interval holds", 0),
    },
    checks=[
        _accuracies_are_shares(["baseline_mean"], measured="metric"),
        _ordered("reproduced", "reported"),
        *(_ordered(name, "rows") for name in ("better", "worse", "barely_learning", "not_learning", "diverged")),
        _ordered("reported", "rows"),
    ],
)
"""Columns, units, ranges and key of results/overview.csv."""

GRID = _schema(
    "grid",
    ["net", "regularization"],
    {
        "net": _key("name of the net, a file of conf/net"),
        "regularization": _key("name of the regularization, a file of conf/regularization"),
        "label": _text("the regularization as the documents write it", pa.Check.str_length(min_value=1)),
        "study": _key("study whose data, optimizer and budget the net has"),
        "row": _text("study/row of the record; nothing where there is no such row"),
        "status": _text("what there is", pa.Check.isin(["trained", "the same row as none", "not trained"])),
        "metric": _text("split and metric", _SPLIT_AND_METRIC),
        "n": _count("seeds that the row and none have", 0),
        "mean": _number("mean over the finite seeds", "metric", pa.Check.ge(0)),
        "sd": _number("standard deviation over the finite seeds", "metric", pa.Check.ge(0)),
        "median": _number("median over the finite seeds", "metric", pa.Check.ge(0)),
        "groups": _text("the two groups that the seeds fall into"),
        "difference": _number("paired difference from the net's none: the mean, or in groups the median", "metric"),
        "difference_low": _number("lower end of its 95 % interval", "metric"),
        "difference_high": _number("upper end of its 95 % interval", "metric"),
        "p_value": _number("two-sided paired t-test", "probability", pa.Check.in_range(0, 1)),
        "p_holm": _number("p_value adjusted over the net's cells", "probability", pa.Check.in_range(0, 1)),
        "skill_difference": _number("the difference as a share of the way from guessing to perfection", "share"),
        "skill_low": _number("lower end of its 95 % interval", "share"),
        "skill_high": _number("upper end of its 95 % interval", "share"),
        "told": _text("can it be told from noise", pa.Check.isin(["better", "worse", ""])),
        "diagnosis": _text("what became of the row", pa.Check.isin([*diagnosis.NAMES, ""])),
        "evidence": _text("the figures the diagnosis rests on"),
    },
    checks=[
        _ordered("difference_low", "difference"),
        _ordered("difference", "difference_high"),
        _ordered("skill_low", "skill_high"),
        _ordered("p_value", "p_holm"),
        _accuracies_are_shares(["mean"], measured="metric"),
    ],
)
"""Columns, units, ranges and key of results/tables/grid.csv."""

RESPONSES = _schema(
    "responses",
    ["curve", "strength", "seed"],
    {
        "curve": _key("name of the curve in params.yaml"),
        "strength": _number("of the regularizer", "of the regularizer", pa.Check.ge(0)),
        "seed": _count("seed, from 0", 0),
        "metric": _text("split and metric", _SPLIT_AND_METRIC),
        "train": _number("on the training samples, final weights", "metric", pa.Check.ge(0)),
        "held_out": _number("on the metric's samples, final weights", "metric", pa.Check.ge(0)),
        "train_skill": _number("share of the way from guessing to perfection", "share", pa.Check.le(1)),
        "held_out_skill": _number("the same on the metric's samples", "share", pa.Check.le(1)),
        "penalty_share": _number("share of the penalty in the loss of epoch 1", "share", pa.Check.in_range(0, 1)),
        "fails": _text("no better than guessing, or diverged", _YES_OR_NO),
    },
    checks=[_accuracies_are_shares(["train", "held_out"], measured="metric")],
)
"""Columns, units, ranges and key of results/tables/responses.csv."""

TIPPING = _schema(
    "tipping",
    ["curve"],
    {
        "curve": _key("name of the curve in params.yaml"),
        "net": _key("name of the net, a file of conf/net"),
        "strength": _text("what grows stronger", pa.Check.str_length(min_value=1)),
        "epochs": _count("epochs trained", 1),
        "n": _count("seeds; 0 where the curve is not trained", 0),
        "strongest": _number("strongest point", "of the regularizer", pa.Check.ge(0)),
        "own": _number("the document's", "of the regularizer", pa.Check.ge(0)),
        "own_penalty_share": _number("share of the penalty in the loss of epoch 1 there", "share"),
        "best": _number("point with the best mean on the metric's samples", "of the regularizer", pa.Check.ge(0)),
        "best_low": _number("weakest point that cannot be told from it", "of the regularizer", pa.Check.ge(0)),
        "best_high": _number("strongest such point", "of the regularizer", pa.Check.ge(0)),
        "best_skill": _number("its mean skill", "share", pa.Check.le(1)),
        "learns": _number("strongest point up to which every seed learns", "of the regularizer", pa.Check.ge(0)),
        "stops": _number("weakest point at which most seeds do not", "of the regularizer", pa.Check.ge(0)),
        "again": _number("weakest point beyond it at which every seed learns", "of the regularizer", pa.Check.ge(0)),
    },
    checks=[
        _ordered("best_low", "best"),
        _ordered("best", "best_high"),
        _ordered("learns", "stops"),
        _ordered("stops", "again"),
    ],
)
"""Columns, units, ranges and key of results/tables/tipping.csv."""
