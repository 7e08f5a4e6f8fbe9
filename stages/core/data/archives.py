"""Archives (tar.gz, tar.xz, zip) read in memory, one pass, nothing from them trusted.

No member is ever written to a disk, and still everything that could harm when unpacked is refused: names that leave the
folder, links, devices, sparse files, and archives that grow beyond a bound (a few kilobytes can hold gigabytes).
"""

import gzip
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath, PureWindowsPath
from typing import BinaryIO

from stages.core.base.errors import UserError

DAMAGED = (  # what the readers raise on bytes that are not what they should be
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    ValueError,
    NotImplementedError,
)
MAGIC = {b"\x1f\x8b": gzip.open, b"\xfd7zXZ\x00": lzma.open}


class _Bounded(io.RawIOBase):
    """A decompressed stream that stops with an error after `limit` bytes."""

    def __init__(self, stream: BinaryIO, limit: int, name: str):
        self._stream, self._left, self._name = stream, limit, name

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(min(size, self._left + 1) if size >= 0 else self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise _too_large(self._name)
        return data


def members(name: str, content: bytes, max_members: int, max_bytes: int) -> Iterator[tuple[str, bytes]]:
    """Path ("a/b/c") and content of every regular file, in the archive's order.

    Args:
        name: what the archive is called in error messages.
        content: the archive's bytes; its kind (tar.gz, tar.xz, zip) is told from the first of them, not from the name.
        max_members: most entries, folders included.
        max_bytes: most bytes once decompressed (of a tar with its headers).

    Raises:
        UserError: not such an archive, damaged, over a bound, a name twice, or with a member that is unsafe. Members
            that came before it were yielded already.
    """
    if content.startswith(b"PK"):
        found = _zip_members(name, content, max_members, max_bytes)
    else:
        found = _tar_members(name, content, max_members, max_bytes)
    seen = set()
    try:
        for path, data in found:
            if path in seen:
                raise UserError(f"{name}: two members are called {path}")
            seen.add(path)
            yield path, data
    except DAMAGED as error:
        raise UserError(f"{name}: the archive is damaged ({error})") from error


def _tar_members(name: str, content: bytes, max_members: int, max_bytes: int) -> Iterator[tuple[str, bytes]]:
    opened = next((opener for magic, opener in MAGIC.items() if content.startswith(magic)), None)
    if opened is None:
        raise UserError(f"{name}: not a tar.gz, tar.xz or zip archive")
    stream = _Bounded(opened(io.BytesIO(content)), max_bytes, name)  # type: ignore[operator]
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        for count, member in enumerate(tar, start=1):
            _check_count(name, count, max_members)
            path = _safe(name, member.name)
            if member.isdir():
                continue
            # isreg() is also true of sparse files, whose stated size can be anything
            if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
                raise UserError(f"{name}: {path} is a link, a device or a sparse file; only plain files are read")
            yield path, tar.extractfile(member).read()


def _zip_members(name: str, content: bytes, max_members: int, max_bytes: int) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        _check_count(name, len(entries), max_members)
        if sum(entry.file_size for entry in entries) > max_bytes:  # zipfile reads no more of a member than it states
            raise _too_large(name)
        for entry in entries:
            path = _safe(name, entry.filename)
            if entry.is_dir():
                continue
            if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG) or entry.flag_bits & 1:
                raise UserError(f"{name}: {path} is a link, a device or encrypted; only plain files are read")
            yield path, archive.read(entry)


def _safe(name: str, path: str) -> str:
    parts = PureWindowsPath(path)  # knows / and \ and drive letters: what is safe there is safe everywhere
    if not path or parts.drive or parts.root or ".." in parts.parts or "\\" in path or "\0" in path:
        raise UserError(f"{name}: the member {path!r} is not a path inside a folder; the archive is refused")
    return str(PurePosixPath(path))


def _check_count(name: str, count: int, max_members: int) -> None:
    if count > max_members:
        raise UserError(f"{name}: more than {max_members} members; the archive is refused")


def _too_large(name: str) -> UserError:
    return UserError(f"{name}: more bytes than allowed once decompressed; the archive is refused")
