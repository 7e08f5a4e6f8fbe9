"""A notebook as plain Python text: its code cells one after another, without what only IPython understands."""

import json
from pathlib import Path

from stages.core.base.errors import UserError


def text(path: Path) -> str | None:
    """The code of a notebook; None for a script, which runs as it stands."""
    if path.suffix != ".ipynb":
        return None
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        sheets = notebook.get("worksheets", [notebook])  # format 3 had sheets, format 4 has cells
        cells = [cell for sheet in sheets for cell in sheet["cells"] if cell["cell_type"] == "code"]
        sources = [cell.get("source", cell.get("input", "")) for cell in cells]
        return "\n".join(_python("".join(source)) for source in sources)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not a notebook that can be read ({type(error).__name__})") from error


def _python(cell: str) -> str:
    """A cell with its magics, shell lines and questions as comments, so that line numbers and indentation stay.

    A cell that is a magic's as a whole (`%%bash`) goes, but for those that only watch Python (`%%time`, `%%capture`).
    """
    lines = cell.splitlines()
    first = next((line.strip() for line in lines if line.strip()), "")
    foreign = first.startswith("%%") and first[2:].split()[:1] not in (["time"], ["timeit"], ["capture"], ["prun"])
    return "\n".join(_comment(line) if foreign or _is_magic(line) else line for line in lines) + "\n"


def _is_magic(line: str) -> bool:
    bare = line.strip()
    return bare.startswith(("%", "!", "?")) or (bare.endswith("?") and not bare.startswith("#"))


def _comment(line: str) -> str:
    bare = line.lstrip()
    return f"{line[: len(line) - len(bare)]}pass  # {bare}" if bare else line
