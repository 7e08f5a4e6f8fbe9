"""What a whole dvc.lock looks like: DVC writes it in place, so a kill can leave a part of it."""

from typing import Any

import yaml


def is_whole(text: str) -> bool:
    """Whether `text` is a dvc.lock that was written to its end.

    A part that ends between two stages, or two outputs of one, passes: DVC then brings the stages that it lacks up to
    date.
    """
    if not text.endswith("\n"):
        return False
    try:
        lock = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError:
        return False
    stages = lock.get("stages") if isinstance(lock, dict) else None
    return isinstance(stages, dict) and "schema" in lock and all(map(_is_whole_stage, stages.values()))


def _is_whole_stage(stage: Any) -> bool:
    if not isinstance(stage, dict) or "cmd" not in stage or not stage.get("outs"):
        return False
    return all(_is_whole_entry(entry) for part in ("deps", "outs") for entry in stage.get(part) or ())


def _is_whole_entry(entry: Any) -> bool:
    folder = isinstance(entry, dict) and str(entry.get("md5")).endswith(".dir")
    return isinstance(entry, dict) and {"path", "md5", "size", *(["nfiles"] if folder else [])} <= entry.keys()
