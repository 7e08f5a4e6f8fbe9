"""TensorFlow's library, loaded while Python does something else: to link it takes a core half a second."""

from __future__ import annotations

import ctypes
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

LIBRARY = "libtensorflow_cc.so*"
LOGGED = re.compile(rb"(WARNING: All log messages before absl|[IWE]\d{4} ).*\n?")  # what it says as it loads


@contextmanager
def tensorflow() -> Iterator[None]:
    """While the body runs, load the library in a thread; `import tensorflow` then finds it loaded.

    Where there is none of that name, or it cannot be loaded, nothing happens: the import will say what is wrong.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # the library looks at it as it loads
    package = find_spec("tensorflow")
    folders = package.submodule_search_locations if package else None
    threads = [Thread(target=_load, args=(path,)) for path in Path(folders[0]).glob(LIBRARY)] if folders else []
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join()


def _load(path: Path) -> None:
    # A function of the process itself, for whose time ctypes lets Python go on; ctypes.CDLL(path) would not.
    load = ctypes.CDLL(None).dlopen
    load.argtypes, load.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        load(os.fsencode(path), os.RTLD_NOW | os.RTLD_LOCAL)
        os.dup2(stderr, 2)
        os.close(stderr)
        held.seek(0)
        os.write(2, LOGGED.sub(b"", held.read()))  # the rest is Python's own
