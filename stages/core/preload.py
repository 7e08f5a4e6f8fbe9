"""TensorFlow's library, loaded while Python does something else: to read and link it takes half a second."""

from __future__ import annotations

import ctypes
import os
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

LIBRARY = "libtensorflow_cc.so*"


def tensorflow() -> None:
    """Begin to load the library in a thread; `import tensorflow` then finds it loaded, or waits for the rest.

    Where there is none of that name, or it cannot be loaded, nothing happens: the import will say what is wrong.
    """
    package = find_spec("tensorflow")
    folders = package.submodule_search_locations if package else None
    for path in sorted(Path(folders[0]).glob(LIBRARY)) if folders else []:
        # By a function of the process itself, for whose time ctypes lets Python go on; ctypes.CDLL(path) would not.
        load = ctypes.CDLL(None).dlopen
        load.argtypes, load.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
        Thread(target=load, args=(os.fsencode(path), os.RTLD_NOW | os.RTLD_LOCAL), daemon=True).start()
