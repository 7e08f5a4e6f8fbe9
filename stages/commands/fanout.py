"""`dvc repro` with the rows trained by a Dask cluster.

    regbench fanout tcp://host:8786      workers of a scheduler that runs already
    regbench fanout slurm --jobs 20      batch jobs of SLURM, PBS, LSF, ...; their size: dask-jobqueue's configuration

Workers train in copies of the code as it is now, uncommitted changes included, and need no shared file system: a row
goes out as its resolved configuration and comes back as its record, which is checked and committed with `dvc commit`
here. One `dvc repro` then makes tables and figures. After Ctrl-C the same command goes on.
"""

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.core.base.errors import UserError
from stages.core.config.yaml import read_yaml
from stages.core.running import clusters, driver, dvc, merging

RETRIES = 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("where", help=f"address of a scheduler, or {', '.join(clusters.SYSTEMS)}")
    parser.add_argument("--jobs", type=int, default=4, help="batch jobs to ask for (default: 4)")
    parser.add_argument("--retries", type=int, default=RETRIES, help="how often a row that failed is tried again")
    arguments = parser.parse_args()
    if arguments.jobs < 1 or arguments.retries < 0:
        raise UserError("--jobs is 1 or more, --retries 0 or more")
    clusters.check(arguments.where)
    merging.mend()
    stages = dvc.stale_rows()
    driver.run(stages, workers(arguments.where, arguments.jobs, stages), arguments.retries)


@contextmanager
def workers(where: str, jobs: int, stages: Mapping[str, str]) -> Iterator[Any]:
    """The cluster's workers, ready to train the code that lies here now."""
    with clusters.connected(where, jobs) as client:
        from stages.core.running.fleet import Workers, snapshot

        yield Workers(client, stages, snapshot(), read_yaml(Path("params.yaml"))["device"] == "gpu")
