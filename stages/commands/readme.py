"""Put the overview of results/overview.md between its two markers in README.md.

regbench readme
"""

from pathlib import Path

from stages.core.base.errors import UserError
from stages.core.base.files import write_atomically
from stages.core.results import overview

README, OVERVIEW = Path("README.md"), Path("results/overview.md")


def main() -> None:
    for path, remedy in ((README, "git checkout README.md"), (OVERVIEW, "`dvc repro overview` writes it")):
        if not path.is_file():
            raise UserError(f"{path}: is missing; {remedy}")
    old = README.read_text(encoding="utf-8")
    new = overview.embed(old, OVERVIEW.read_text(encoding="utf-8"))
    if new != old:
        write_atomically(README, new)
