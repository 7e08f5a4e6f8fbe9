"""Files from the network or from a mirror folder, taken only when size and SHA-256 are the expected ones.

The only module that opens a socket.
"""

import hashlib
import io
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from stages.core.base.errors import UserError
from stages.core.base.files import write_atomically

CHUNK = 1 << 16
OPENML = "openml:"
OPENML_SECONDS = 300.0
Source = tuple[str, Callable[[], bytes]]  # what it is called, and how to get its content


class Rejected(Exception):
    """What a source delivered is not the expected file; the text says why."""


class _Bounded(io.BytesIO):
    """A buffer that refuses to grow beyond `limit` bytes, so that a wrong server can fill neither memory nor disk."""

    def __init__(self, limit: int):
        super().__init__()
        self._limit = limit

    def write(self, data) -> int:
        if self.tell() + len(data) > self._limit:
            raise Rejected(f"more than the expected {self._limit} bytes")
        return super().write(data)


def fetch(
    files: Sequence[Mapping],
    folder: Path,
    mirror: Path | None = None,
    progress: bool = False,
    *,
    timeout: float = 30.0,
    slowest: float = 20_000.0,
) -> dict[str, bytes]:
    """Make sure that all `files` lie in `folder` and return their verified content by name.

    A file that is there with the right digest stays as it is; any other is replaced. Content is verified in memory
    before it gets its name, so an interrupted or wrong download never leaves a file behind.

    Args:
        files: mappings with `name`, `sha256` (hex), `bytes` (size) and `urls` (tried in this order).
        folder: where the files are kept.
        mirror: a folder with files of the same names; if given, they come from there and no socket is opened.
        progress: draw a progress bar on stderr.
        timeout: seconds to wait for a connection and for each piece of an answer.
        slowest: bytes per second below which, averaged over the file and after `timeout`, a server is given up.

    Raises:
        UserError: no source delivered the expected file; the text names the file, each source with its failure, and
            the expected digest.
    """
    contents = {}
    for file in files:
        content = held(file, folder)
        if content is None:
            sources = _mirrored(file, mirror) if mirror else _published(file, progress, timeout, slowest)
            content = _first_good(file, sources, _hint(file, folder, mirror))
            write_atomically(Path(folder) / file["name"], content)
        contents[file["name"]] = content
    return contents


def held(file: Mapping, folder: Path) -> bytes | None:
    """Content of `file` (its `name` and `sha256` are used) if it lies in `folder` undamaged, otherwise None."""
    try:
        content = (Path(folder) / file["name"]).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return content if hashlib.sha256(content).hexdigest() == file["sha256"] else None


def _verify(file: Mapping, content: bytes) -> None:
    if len(content) != file["bytes"]:
        raise Rejected(f"{len(content)} bytes instead of {file['bytes']}")
    digest = hashlib.sha256(content).hexdigest()
    if digest != file["sha256"]:
        raise Rejected(f"wrong content, SHA-256 {digest}")


def _first_good(file: Mapping, sources: Iterator[Source], hint: str) -> bytes:
    failures = []
    for source, content_of in sources:
        try:
            content = content_of()
            _verify(file, content)
            return content
        except (Rejected, OSError, ValueError) as error:  # requests' own errors are OSErrors or ValueErrors
            failures.append(f"{source}: {_reason(error)}")
    reasons = "; ".join(failures) or "it has no public address and comes only from REGBENCH_MIRROR"
    raise UserError(
        f"cannot get {file['name']}: {reasons}; expected {file['bytes']} bytes, SHA-256 {file['sha256']}; {hint}"
    )


def _hint(file: Mapping, folder: Path, mirror: Path | None) -> str:
    if mirror:
        return "put it there, or unset REGBENCH_MIRROR" if file["urls"] else "put it there"
    place = f"set REGBENCH_MIRROR to a folder that has it as {Path(folder).name}/{file['name']}"
    return f"try again, or {place}" if file["urls"] else place


def _mirrored(file: Mapping, mirror: Path) -> Iterator[Source]:
    path = Path(mirror) / file["name"]
    yield str(path), lambda: _copied(file, path)


def _copied(file: Mapping, path: Path) -> bytes:
    with path.open("rb") as source:
        return source.read(file["bytes"] + 1)  # one byte more shows a file that is too long


def _published(file: Mapping, progress: bool, timeout: float, slowest: float) -> Iterator[Source]:
    allowance = timeout + file["bytes"] / slowest
    for url in file["urls"]:
        if url.startswith(OPENML):
            yield url, lambda url=url: _within(max(allowance, OPENML_SECONDS), lambda: from_openml(url))  # type: ignore[misc]
        else:
            yield url, lambda url=url: _within(allowance, lambda: _downloaded(file, url, progress, timeout))  # type: ignore[misc]


def whole(address: str, most: int) -> bytes:
    """What an address has, of which nothing is known yet; at most so many bytes. It raises whatever requests raises."""
    if address.startswith(OPENML):
        return from_openml(address)
    file = {"name": address, "bytes": most}
    return _downloaded(file, address, False, 30.0)


def from_openml(address: str) -> bytes:
    """The table that OpenML has under `address`, openml:<number>, as CSV: always the same text for one number."""
    from sklearn.datasets import fetch_openml

    found = fetch_openml(data_id=int(address.removeprefix(OPENML)), as_frame=True, cache=False, parser="liac-arff")
    return found.frame.to_csv(index=False, lineterminator="\n").encode()


def _downloaded(file: Mapping, url: str, progress: bool, timeout: float) -> bytes:
    from pooch import HTTPDownloader
    from tqdm import tqdm

    with tqdm(total=file["bytes"], desc=file["name"], unit="B", unit_scale=True, disable=not progress) as bar:
        buffer = _Bounded(file["bytes"])
        # identity: a server must not wrap an archive in a second compression that requests would take off again
        headers = {"Accept-Encoding": "identity"}
        HTTPDownloader(progressbar=bar, chunk_size=CHUNK, timeout=timeout, headers=headers)(url, buffer, None)
        return buffer.getvalue()


def _within(seconds: float, content_of: Callable[[], bytes]) -> bytes:
    """Result of `content_of()`, or TimeoutError once `seconds` are over.

    A socket's time-out bounds the wait for each byte only: a server that trickles would hold a run for days. The
    thread is left behind then (its buffer is bounded) and ends with the process.
    """
    outcome = []

    def work() -> None:
        try:
            outcome.append((content_of(), None))
        except Exception as error:  # handed to the caller, who knows which ones to expect
            outcome.append((b"", error))  # type: ignore[arg-type]

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise TimeoutError(f"too slow, given up after {seconds:.0f} s")
    content, error = outcome.pop()
    try:
        if error is not None:
            raise error
        return content
    finally:
        del error  # it holds this frame, which would hold it: the connection would stay open until garbage collection


def _reason(error: Exception) -> str:
    """Why a source failed, in a few words: requests' own texts fill half a screen."""
    from requests import exceptions

    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, exceptions.HTTPError):
        return f"HTTP {error.response.status_code} {error.response.reason}"
    if isinstance(error, exceptions.Timeout) or "timed out" in str(error):
        return "no answer in time"
    if isinstance(error, exceptions.ChunkedEncodingError):
        return "the answer broke off"
    if isinstance(error, exceptions.ConnectionError):
        return "no connection"
    return str(error)
