"""Files that are either whole or absent, and files that must say what their sources say."""

import os
import tempfile
from pathlib import Path

from stages.core.errors import UserError


def write_atomically(path: Path | str, content: bytes | str) -> None:
    """Write `content` (text as UTF-8) to `path`, creating its folder; on any failure the previous file stays.

    The temporary file lies in the same folder, so that the final rename is atomic; it is flushed to the disk first,
    so that a power cut cannot leave an empty file under the final name.

    Raises:
        OSError: the file system refused (disk full, no permission).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # mkstemp makes files private
        temporary.replace(path)
    except BaseException:
        temporary.unlink()
        raise


def check_text(path: Path, text: str, source: str, command: str) -> None:
    """Refuse a file that is not `text`.

    Args:
        source: what gives the text, e.g. "the records".
        command: what writes it.

    Raises:
        UserError: it is missing, or it says which line is another.
    """
    if not path.is_file():
        raise UserError(f"{path}: is missing; run `{command}`")
    line = first_difference(path.read_text(encoding="utf-8"), text)
    if line is not None:
        raise UserError(f"{path}: line {line} is not what {source} give; run `{command}`")


def first_difference(ours: str, theirs: str) -> int | None:
    """Number of the first line, from 1, in which two texts differ; None if they are the same."""
    if ours == theirs:
        return None
    pairs = zip(ours.split("\n"), theirs.split("\n"), strict=False)
    same = next((index for index, (a, b) in enumerate(pairs) if a != b), min(ours.count("\n"), theirs.count("\n")) + 1)
    return same + 1
