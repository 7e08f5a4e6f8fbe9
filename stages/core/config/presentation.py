"""What stages that show something need to know of a study, and of the grid, as plain data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from stages.core.config.grid import Grid
from stages.core.config.row import Regularizers, Row
from stages.core.config.study import Net, Study

TOLD = ("answer", "verdict")  # what is said of a study's tables: neither they nor figures depend on it


def presentation(study: str, declared: Study, rows: dict[str, Row], texts: dict[str, str], dataset: str, title: str):
    """What aggregate, plot and report need to know of a study, as plain data."""
    shown = declared.model_dump(exclude={"rows", *TOLD})
    compared = len({row.dropout for row in rows.values()}) > 1
    return {
        "name": study,
        **shown,
        "dataset": dataset,
        "dataset_title": title,
        "higher_is_better": declared.metric.endswith("accuracy"),
        "n_seeds": next(iter(rows.values())).seeds,
        "rows": {
            name: {
                **row.model_dump(exclude={"overrides"}),
                **regularization(rows[name], compared),
                "context": context(row.overrides, study),
                "config_digest": hashlib.sha256(texts[name].encode()).hexdigest(),
            }
            for name, row in declared.rows.items()
        },
    }


def regularization(row: Row, dropout_compared: bool) -> dict[str, Any]:
    """The row's coefficients that are not zero, and one word or two that name its kind of regularization.

    A dropout that all rows of the study share is part of the model.
    """
    coefficients = {
        place: {name: value for name, value in getattr(row.regularizers, place).model_dump().items() if value}
        for place in Regularizers.model_fields
    }
    coefficients = {place: values for place, values in coefficients.items() if values}
    kinds = [f"{place} {'_'.join(values)}" for place, values in coefficients.items()]
    if dropout_compared and row.dropout:
        kinds.append("dropout")
    if row.optimizer.name == "adamw":
        kinds.append("weight decay")
    return {
        "regularizers": coefficients,
        "regularizer": "none" if not kinds else kinds[0] if len(kinds) == 1 else "mixed",
        "dropout": row.dropout,
    }


def context(overrides: list[str], study: str) -> str:
    """What a row changes besides regularization: rows that agree in it differ in regularization alone. So do Keras'
    files <study>-<row>.json, as `regbench new` writes them."""
    places = (f"{place}." for place in Regularizers.model_fields)
    regularizing = ("regularizer@", *places, "model.dropout", f"model.keras={study}-")
    return ", ".join(override for override in overrides if not override.startswith(regularizing))


def grid_presentation(
    metrics: Mapping[str, str],
    composed: Grid,
    curves: dict[str, Any],
    nets: dict[str, Net],
    points: dict[str, dict[float, Row]],
) -> dict[str, Any]:
    """What the stage grid needs to know of the grid and the curves, as plain data."""

    def shown(net: Net) -> dict[str, Any]:
        return {"label": net.label, "study": net.study, "metric": metrics[net.study]}

    return {
        "regularizations": dict(composed.regularizations),
        "nets": {
            name: {**shown(net), "dropout": composed.dropout[name], "cells": dict(composed.cells[name])}
            for name, net in composed.nets.items()
        },
        "curves": {
            name: {
                **shown(nets[name]),
                **{key: curve[key] for key in ("net", "strength", "own", "overrides", "seeds")},
                "epochs": next(iter(points[name].values())).training.epochs,
            }
            for name, curve in curves.items()
        },
    }
