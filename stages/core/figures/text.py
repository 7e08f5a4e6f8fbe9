"""What figures say of a study: its labels, its metric with the unit, its seeds."""

from collections.abc import Mapping
from typing import Any

from stages.core.figures.page import one_line

SPLITS = {"train": "training", "validation": "validation", "test": "test"}
METRICS = {"accuracy": "accuracy (share of samples)", "mae": "mean absolute error (units of the target)"}


def label_of(study: Mapping[str, Any], row: str) -> str:
    """The row as the document calls it, on one line."""
    return one_line(study["rows"][row]["label"])


def kind_of(study: Mapping[str, Any], row: str) -> str:
    """The row's kind of regularizer, a key of `STYLES` or a combination."""
    return study["rows"][row]["regularizer"]


def seeds_text(study: Mapping[str, Any]) -> str:
    """How many seeds a row has, in words."""
    return "1 seed" if study["n_seeds"] == 1 else f"{study['n_seeds']} seeds"


def spread_text(study: Mapping[str, Any]) -> str:
    """What a point and its bar are."""
    return "one seed" if study["n_seeds"] == 1 else f"mean ± 1 standard deviation over {seeds_text(study)}"


def metric_of(study: Mapping[str, Any]) -> str:
    """accuracy or mae."""
    return study["metric"].split(".")[1]


def metric_label(study: Mapping[str, Any]) -> str:
    """The study's metric with its samples and its unit."""
    split, metric = study["metric"].split(".")
    return f"{SPLITS[split].capitalize()} {METRICS[metric]}"


def monitored_split(study: Mapping[str, Any]) -> str:
    """The split that val_* columns are measured on."""
    return "test" if study["metric"].startswith("test.") else "validation"
