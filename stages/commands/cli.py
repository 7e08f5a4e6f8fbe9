"""The console command `regbench`: one subcommand for each module of this folder and of measure/.

A subcommand's module is loaded when it is called and not before. All but those in `ANYWHERE` work on the project that
the current folder lies in, with that project's own code.
"""

import ast
import os
import sys
from importlib import import_module
from pathlib import Path

from stages.core.base.errors import UserError, run
from stages.core.base.project import CALLED_FROM, find

COMMANDS = Path(__file__).resolve().parent
ANYWHERE = {"why"}  # these need no project


def main() -> None:
    run(_main)


def _main() -> None:
    if sys.stdout is None:
        raise UserError("standard output is closed; there is no place for the answer")
    modules = commands()
    name, arguments = (sys.argv[1:2] or ["--help"])[0], sys.argv[2:]
    if name in {"-h", "--help", "help"}:
        print(usage(modules))
        return
    if name not in ANYWHERE and arguments not in (["--help"], ["-h"]):
        try:
            here = Path.cwd()
        except FileNotFoundError:
            raise UserError("the current folder is gone; change to one that is there") from None
        _enter(find(here))
    if name not in modules:
        raise UserError(f"{name}: no such command; `regbench --help` lists them")
    sys.argv = [f"regbench {name}", *arguments]
    run(import_module(modules[name]).main)


def commands() -> dict[str, str]:
    """The modules of all subcommands by their names."""
    own = Path(__file__).stem
    files = [path for folder in (COMMANDS, COMMANDS / "measure") for path in sorted(folder.glob("[a-z]*.py"))]
    dotted = (".".join(path.relative_to(COMMANDS.parent.parent).with_suffix("").parts) for path in files)
    return {name.rpartition(".")[2]: name for name in dotted if not name.endswith(f".{own}")}


def usage(modules: dict[str, str]) -> str:
    """What there is to call, with the first sentence of each module's docstring; loads none of them."""
    lines = [f"  {name:<14}{_summary(module)}" for name, module in modules.items()]
    return "\n".join(["usage: regbench COMMAND [ARGUMENT ...]\n", *lines, "\n`regbench COMMAND --help` tells more."])


def _summary(module: str) -> str:
    path = COMMANDS.parent.parent.joinpath(*module.split(".")).with_suffix(".py")
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def _enter(root: Path) -> None:
    """Go to the project's folder; where its code is not the installed one, start over with its own."""
    os.environ.setdefault(CALLED_FROM, str(Path.cwd()))
    os.chdir(root)
    if (root / "stages/commands").resolve() != COMMANDS:
        start = f"import sys; sys.path.insert(0, {str(root)!r}); from stages.commands.cli import main; main()"
        os.execv(sys.executable, [sys.executable, "-c", start, *sys.argv[1:]])


if __name__ == "__main__":
    main()
