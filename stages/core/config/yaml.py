"""YAML files, read; what is no mapping in YAML is an error in one line."""

from __future__ import annotations

import re
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
        _check_text(path.read_text(encoding="utf-8"))
        data = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or one_line(error)}") from None
    except Exception as error:  # YAML's constructors raise whatever int(), float() and the like do
        raise UserError(f"{path}: {one_line(error)}") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}: is not a mapping of keys to values")
    return data  # type: ignore[return-value]


MOST_VALUES = 200_000
"""In one file, with its aliases written out."""

YAML_1_1 = re.compile(r"[-+]?(0[0-7_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")
"""What YAML 1.1 reads as octal or to the base of 60, and YAML 1.2 (as DVC does) otherwise."""


def _check_text(text: str) -> None:
    """Refuse what would take for ever to read, and what readers of YAML understand differently.

    Raises:
        ValueError: it says what is wrong.
        YAMLError: it is no YAML.
    """
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        if id(node) in sizes:
            return sizes[id(node)]
        sizes[id(node)] = MOST_VALUES  # a value within itself never ends
        children = node.value if isinstance(node, yaml.CollectionNode) else []
        parts = [part for child in children for part in (child if isinstance(child, tuple) else (child,))]
        sizes[id(node)] = total = 1 + sum(map(size, parts))
        if total >= MOST_VALUES:
            raise ValueError(f"has {MOST_VALUES:,} values or more once its aliases are written out")
        if isinstance(node, yaml.ScalarNode) and not node.style and YAML_1_1.fullmatch(node.value):
            raise ValueError(
                f"line {node.start_mark.line + 1}: {node.value}: write it as a decimal number or in quotes"
            )
        return total

    root = yaml.compose(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    if root is not None:
        size(root)


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
