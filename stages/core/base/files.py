"""Files that are either whole or absent, and files that must say what their sources say."""

import glob
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import IO, Any

from stages.core.base.errors import UserError, together

POSIX = os.name == "posix"
"""Elsewhere nobody can rename or remove a file that is open, so files are closed first and no lock is needed."""


def write_atomically(path: Path | str, content: bytes | str) -> None:
    """Write `content` (text as UTF-8) to `path`, creating its folder; on any failure the previous file stays.

    The temporary file lies in the same folder, so that the final rename is atomic; it is flushed to the disk first,
    so that a power cut cannot leave an empty file under the final name. What a writer of `path` left behind when it was
    killed is removed; Git and DVC ignore such files (`*.tmp`).

    Raises:
        OSError: the file system refused (disk full, no permission); it names `path`.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        _write(path, content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def keep(path: Path, copy: Path) -> None:
    """Give the file `path` the second name `copy` (a hard link, which takes no space), for `put_back`."""
    with suppress(OSError):  # a file system without hard links keeps nothing
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.unlink(missing_ok=True)
        os.link(path, copy)


def put_back(path: Path, copy: Path) -> None:
    """If `path` is gone, make it again what it was when it was kept as `copy`."""
    if copy.is_file() and not path.exists():
        keep(copy, path)


def _write(path: Path, data: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with suppress(OSError):  # where locks are not supported, nothing is ever taken for a leftover
                _lock(file)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())  # mkstemp makes files private
            if POSIX:
                temporary.replace(path)  # while the lock is held
        if not POSIX:
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@cache
def _umask() -> int:
    """What this process keeps from others; there is no asking without setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def check_texts(texts: Mapping[Path, str | bytes], source: str, command: str) -> None:
    """Refuse files that are not what `texts` gives for them, all of them at once; see `check_text`."""
    together(partial(check_text, path, text, source, command) for path, text in texts.items())


def check_text(path: Path, text: str | bytes, source: str, command: str) -> None:
    """Refuse a file that is not `text`.

    Args:
        source: what gives the text, e.g. "the records".
        command: what writes it.

    Raises:
        UserError: it is missing, or it says which line is another.
    """
    if not path.is_file():
        raise UserError(f"{path}: is missing; run `{command}`")
    if isinstance(text, bytes):
        text = text.decode()
    line = first_difference(path.read_bytes().decode(errors="replace"), text)
    if line is not None:
        raise UserError(f"{path}: line {line} is not what {source} give; run `{command}`")


def first_difference(ours: str, theirs: str) -> int | None:
    """Number of the first line, from 1, in which two texts differ; None if they are the same."""
    if ours == theirs:
        return None
    pairs = zip(ours.split("\n"), theirs.split("\n"), strict=False)
    same = next((index for index, (a, b) in enumerate(pairs) if a != b), min(ours.count("\n"), theirs.count("\n")) + 1)
    return same + 1


def _remove_leftovers(path: Path) -> None:
    """A living writer holds a lock on its temporary file, a dead one does not."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with suppress(OSError), leftover.open("rb") as file:
            _lock(file)
            if POSIX:
                leftover.unlink()
        if not POSIX:
            with suppress(OSError):
                leftover.unlink()


def _lock(file: IO[Any]) -> None:
    """Lock an open file for this process, at once; OSError: another one has it."""
    if POSIX:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
