"""How Git merges what the pipeline writes; Git calls this, as .gitattributes says.

    regbench merge install                     tell Git of this clone (`make setup` and `regbench mend` do)
    regbench merge lock BASE OURS THEIRS       dvc.lock: a stage that one side changed is that side's
    regbench merge readme BASE OURS THEIRS     README.md: its overview is ours, the rest merges as text

Results that both sides changed stay ours until `make repro`: it takes a record of the other side where that is the one
that fits the merged configuration, and makes tables, figures and answers anew. Conflicts are left where people write.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from stages.core.base.files import write_atomically
from stages.core.results import readme
from stages.core.running import lockfile, merging


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("install")
    for kind in ("lock", "readme"):
        driver = kinds.add_parser(kind)
        for side in ("base", "ours", "theirs"):
            driver.add_argument(side, type=Path)
    arguments = parser.parse_args()
    if arguments.kind == "install":
        merging.install()
        return
    paths = (arguments.base, arguments.ours, arguments.theirs)
    base, ours, theirs = (path.read_text(encoding="utf-8") for path in paths)
    if arguments.kind == "lock":
        write_atomically(arguments.ours, lockfile.merged(base, ours, theirs))
        return
    for path, text in ((arguments.base, base), (arguments.theirs, theirs)):
        write_atomically(path, readme.with_overview_of(text, ours))
    sys.exit(subprocess.run(["git", "merge-file", *map(str, (paths[1], paths[0], paths[2]))], check=False).returncode)
