"""Response curves, recorded: the points of a curve train one after another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stages.core.config.row import Row
from stages.core.records import curves, recording, records

LEFT_OUT = ("weight_sd", "zero_share", "saturated_share")


def record(wanted: Mapping[str, Any], earlier: curves.Points, folder: Path) -> Iterator[str]:
    """Train the points that are missing; gives the text of the record after each point, the last one being whole.

    Args:
        wanted: all of build/curves/<curve>.yaml.
        earlier: points that are there, as `curves.points` gives them.
        folder: for checkpoints.
    """
    done = []
    for point in wanted["points"]:
        row = Row.model_validate(point["row"])
        kept = earlier.get(curves.name(point["row"]))
        if kept is None:
            recording.check_code(row)
            made = compact(recording.record(row, f"{wanted['curve']} {point['strength']:g}", folder / row.row, {}))
            recording.check_code(row)
            kept = {"strength": point["strength"], **made}
        done.append(kept)
        yield records.to_json({"curve": wanted["curve"], "code": wanted["code"], "points": done})


def compact(record: Mapping[str, Any]) -> dict[str, Any]:
    """A run record without what no response curve needs."""
    seeds = [
        {
            **{key: value for key, value in seed.items() if key not in LEFT_OUT},
            "curve": {key: [values[0], values[-1]] for key, values in seed["curve"].items()},
        }
        for seed in record["seeds"]
    ]
    return {**record, "seeds": seeds}
