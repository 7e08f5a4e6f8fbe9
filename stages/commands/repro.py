"""`dvc repro`, with several rows at once on this machine where it has the cores for them.

    regbench repro [--jobs N]

A row gets its share of the cores, two at least, and a GPU where there are several; its output goes to
build/logs/<study>/<row>.log. A row that fails does not stop the others. One `dvc repro` then makes tables and figures.
After Ctrl-C the same command goes on, long rows from their last checkpoint.
"""

import argparse
import os
import sys
from contextlib import nullcontext
from pathlib import Path

from stages.core.base import cores
from stages.core.base.errors import UserError
from stages.core.config.yaml import read_yaml
from stages.core.running import driver, dvc, merging
from stages.core.running.local import Local


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1, help="rows that train at once (default: 1)")
    jobs = parser.parse_args().jobs
    if jobs < 1:
        raise UserError(f"--jobs {jobs}: must be 1 or more")
    merging.mend()
    n_cores = cores.available(os.environ)
    gpus = [] if read_yaml(Path("params.yaml"))["device"] == "cpu" else cores.gpus(os.environ)
    if cores.at_once(n_cores, jobs, len(gpus)) == 1:  # nothing is won by more processes than plain DVC has
        sys.exit(plain(["--keep-going"] if jobs > 1 else []))
    stages = dvc.stale_rows()
    places = cores.at_once(n_cores, min(jobs, len(stages) or 1), len(gpus))
    driver.run(stages, nullcontext(Local(stages, places, n_cores, gpus)), retries=0)


def plain(options: list[str]) -> int:
    """DVC's own, and once more if it found new rows of the grid: it knows those alone that there were when it began."""
    before = merging.GRID.read_bytes() if merging.GRID.is_file() else None
    code = dvc.repro(*options)
    return code or (dvc.repro(*options) if merging.GRID.is_file() and merging.GRID.read_bytes() != before else code)
