"""YAML files, read; what is no mapping in YAML is an error in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from stages.core.base.errors import UserError
from stages.core.base.text import one_line


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file's mapping as it is written, references included.

    Raises:
        UserError: there is no such file, or it is not a mapping in YAML.
    """
    try:
        data = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or one_line(error)}") from None
    except Exception as error:  # YAML's constructors raise whatever int(), float() and the like do
        raise UserError(f"{path}: {one_line(error)}") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}: is not a mapping of keys to values")
    return data  # type: ignore[return-value]


def read_resolved(path: Path) -> dict[str, Any]:
    """A YAML file that `compose` wrote, several times faster than by `read_yaml`.

    Such files hold plain values in the form that PyYAML itself gives them, so there is nothing on which YAML's readers
    differ.

    Raises:
        UserError: there is no such file, or it is not a mapping in YAML.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path}: {one_line(error)}; run `dvc repro compose`") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}: is not a mapping of keys to values; run `dvc repro compose`")
    return data
