"""What holds from the first import on: a Python without this project's packages, and Ctrl-C, are told in one line."""

import gc
import sys
from importlib.util import find_spec


def _told(kind, error, trace):
    """As Python tells of an error that nobody catches, but for Ctrl-C, as while modules are still loading."""
    if issubclass(kind, KeyboardInterrupt):
        print("regbench: interrupted", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _told
gc.set_threshold(10_000)  # thousands of modules come to stay, and syntax trees: looking through them takes a fifth
if find_spec("hydra") is None:
    sys.exit("regbench: this Python lacks the packages of requirements.lock; `make setup`, then `. .venv/bin/activate`")
