"""Files that are either whole or absent."""

import os
import tempfile
from pathlib import Path


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
