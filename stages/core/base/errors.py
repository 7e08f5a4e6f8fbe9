"""Errors that a user can cause, and how a command ends on one."""

import errno
import io
import os
import sys
from collections.abc import Callable, Iterable


class UserError(Exception):
    """Something the user can put right; its text is one line that says what is wrong and what to do."""


def together(calls: Iterable[Callable[[], None]]) -> None:
    """Make all calls, also after one that fails.

    Raises:
        UserError: some did; a line for each.
    """
    problems = []
    for call in calls:
        try:
            call()
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError("\nregbench: ".join(problems))


def without_arguments(main: Callable[[], None]) -> Callable[[], None]:
    """`main` of a stage that is not called with any; it refuses them instead of ignoring them."""

    def alone() -> None:
        if sys.argv[1:]:
            raise UserError(
                f"{' '.join(sys.argv[1:])}: this stage takes no arguments; settings are in conf/ and params.yaml"
            )
        main()

    return alone


def shown(text: str) -> str:
    """The text as a terminal may have it: what could steer one (a script's last words, a name in somebody's file) as
    Python writes it."""
    return "".join(part if part.isprintable() or part == "\n" else ascii(part)[1:-1] for part in text)


def run(main: Callable[[], None]) -> None:
    """Call `main`; what a user can put right ends the process with one line on stderr and exit code 1: a `UserError`, a
    failing file system, too little memory; Ctrl-C ends it with the shell's code for that, 130. What the terminal's
    encoding does not have is written as Python writes it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        main()
    except KeyboardInterrupt:
        print("regbench: interrupted", file=sys.stderr)
        sys.exit(130)  # as a shell says it
    except UserError as error:
        sys.exit(f"regbench: {shown(str(error))}")
    except RecursionError:
        sys.exit("regbench: something is nested too deeply, in a configuration or a template")
    except OSError as error:  # disk full, no permission, read-only folder
        sys.exit(f"regbench: {error.filename or 'file system'}: {os.strerror(error.errno) if error.errno else error}")
    except Exception as error:
        if not isinstance(error, MemoryError) and type(error).__name__ != "ResourceExhaustedError":  # TensorFlow's
            raise
        if os.strerror(errno.ENOSPC) in str(error):
            sys.exit(f"regbench: {os.strerror(errno.ENOSPC)}; TensorFlow could not keep a compiled program")
        sys.exit("regbench: not enough memory; end other programs, or train fewer seeds (params.yaml)")
