"""Response curves: the rows of one net at several strengths of a regularizer, recorded in one file.

A point is the run record of its row without its learning curves, of which the first and the last epoch are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.core.base.errors import UserError
from stages.core.config.validation import validate
from stages.core.records import records

Points = dict[str, dict[str, Any]]


def points(path: Path, wanted: Mapping[str, Any]) -> Points:
    """The points of the record at `path` that are as `wanted` has them, by what they were trained from; none if it is
    no sound record of the same code."""
    try:
        content = parse(path.read_bytes(), str(path))
    except (OSError, UserError):
        return {}
    found = {name(point["config"]): point for point in content["points"]} if content["code"] == wanted["code"] else {}
    return {key: found[key] for key in (name(point["row"]) for point in wanted["points"]) if key in found}


def parse(content: bytes | str, where: str) -> dict[str, Any]:
    """Read the text of a curve's record.

    Raises:
        UserError: it is no JSON, was edited by hand, or lacks something; the text begins with `where`.
    """
    data = records.load_json(content, where)
    checksum = data.pop("checksum", None)
    if checksum != records.load_json(records.to_json(data), where)["checksum"]:
        raise UserError(f"{where}: was edited by hand or damaged; delete it and {records.RETRAIN}")
    return data


def summaries(content: Mapping[str, Any], where: str) -> dict[float, records.Summary]:
    """The points of a curve's record by their strengths; of learning curves they have the first and the last epoch.

    Raises:
        UserError: a point lacks something; the text begins with `where`.
    """
    return {
        point["strength"]: records.summarize(validate(records.Record, point, f"{where}: {point['strength']:g}"))
        for point in content["points"]
    }


def name(config: Mapping[str, Any]) -> str:
    """A point's, by the configuration that it is trained from."""
    return records.to_text(config)
