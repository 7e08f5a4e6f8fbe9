"""Put the overview of results/overview.md between its two markers in README.md.

    regbench readme [--check]

With --check nothing is written: a README with another overview is refused.
"""

import argparse
from pathlib import Path

from stages.core.base.errors import UserError
from stages.core.base.files import check_text, write_atomically
from stages.core.results import readme

README, OVERVIEW = Path("README.md"), Path("results/overview.md")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args().check
    for path, remedy in ((README, "git checkout README.md"), (OVERVIEW, "`dvc repro overview` writes it")):
        if not path.is_file():
            raise UserError(f"{path}: is missing; {remedy}")
    old = README.read_text(encoding="utf-8")
    new = readme.embed(old, OVERVIEW.read_text(encoding="utf-8"))
    if check:
        check_text(README, new, str(OVERVIEW), "regbench readme")
    elif new != old:
        write_atomically(README, new)
