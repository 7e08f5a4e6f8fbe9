"""Where the project is, for commands that are called from any folder."""

import os
from pathlib import Path

from stages.core.base.errors import UserError

MARKS = ("params.yaml", "dvc.yaml", "stages/__init__.py", "stages/commands/cli.py")
CALLED_FROM = "REGBENCH_CALLED_FROM"
"""Environment variable: the folder in which `regbench` was called, before it went to the project's."""


def find(folder: Path) -> Path:
    """The project that `folder` lies in.

    Raises:
        UserError: it lies in none.
    """
    for candidate in (folder, *folder.parents):
        if all((candidate / mark).exists() for mark in MARKS):
            return candidate
    raise UserError(f"{folder}: is in no regbench project; change to a clone of it, or run `regbench why` (anywhere)")


def as_given(path: str | Path) -> Path:
    """A path that the user named: relative ones start from the folder in which `regbench` was called."""
    return Path(os.environ.get(CALLED_FROM, "")) / path
