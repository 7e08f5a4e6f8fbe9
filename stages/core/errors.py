"""Errors that a user can cause, and how a command ends on one."""

import os
import sys
from collections.abc import Callable


class UserError(Exception):
    """Something the user can put right; its text is one line that says what is wrong and what to do."""


def run(main: Callable[[], None]) -> None:
    """Call `main`; a `UserError` or a failing file system ends the process with one line on stderr and exit code 1."""
    try:
        main()
    except UserError as error:
        sys.exit(f"regbench: {error}")
    except OSError as error:  # disk full, no permission, read-only folder: the user's to put right
        sys.exit(f"regbench: {error.filename or 'file system'}: {os.strerror(error.errno) if error.errno else error}")
