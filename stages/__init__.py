"""A stage that is run by a Python without this project's packages says so in one line."""

import sys
from importlib.util import find_spec

if find_spec("hydra") is None:
    sys.exit("regbench: this Python lacks the packages of requirements.lock; `make setup`, then `. .venv/bin/activate`")
