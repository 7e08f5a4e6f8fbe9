"""Adoption: a record keeps its numbers and gets the fingerprint of new code, where that code was seen to give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stages.core.records.records import to_json, to_text


def differs_in(record: Mapping[str, Any], config: Mapping[str, Any]) -> set[str]:
    """The parts of a row's configuration, by their first key, in which the record's and the present one differ."""
    before = record["config"]
    return {key for key in {*before, *config} if to_text(before.get(key)) != to_text(config.get(key))}


def same_start(seed: Mapping[str, Any], curve: Mapping[str, list[float]]) -> bool:
    """Whether a recorded seed's curve begins with `curve`: every column, every epoch, to the last recorded digit."""
    n = len(curve["epoch"])
    recorded = {name: column[:n] for name, column in seed["curve"].items()}
    return recorded.keys() == curve.keys() and to_text(recorded) == to_text(curve)


def adopted(record: Mapping[str, Any], config: Mapping[str, Any], checked: str) -> str:
    """The text of the record as one of the row's present configuration.

    Args:
        record: as its file has it.
        config: the row's resolved configuration.
        checked: what was trained again and found equal, in words.
    """
    kept = {key: value for key, value in record.items() if key not in {"checksum", "adopted", "config"}}
    note = {"from": record["config"]["fingerprint"], "checked": checked}
    data = record["data"] | {"digest": config["dataset"]["digest"]}
    return to_json({**kept, "config": config, "data": data, "adopted": note})
