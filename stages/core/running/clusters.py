"""Where `regbench fanout` trains: the workers of a Dask scheduler that runs already, or batch jobs.

What a batch job asks for (cores, memory, queue, walltime) is the user's own configuration of dask-jobqueue: no file of
this project can make a cluster run a command.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from stages.core.base.errors import UserError
from stages.core.base.text import one_line

INSTALL = "make setup EXTRAS=cluster"
SYSTEMS = {  # dask-jobqueue's classes
    "htcondor": "HTCondorCluster",
    "lsf": "LSFCluster",
    "oar": "OARCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "slurm": "SLURMCluster",
}
ADDRESS = re.compile(r"(tcp|tls|ucx|wss?)://\S+")
WORKER_LOSSES = 10  # so many workers may die under a row before that counts as its failure


def check(where: str) -> None:
    """Refuse what names no cluster.

    Raises:
        UserError: also if a package is missing.
    """
    for package in ("distributed", "dask_jobqueue"):
        if find_spec(package) is None:
            raise UserError(f"{package} is not installed, which this command needs: {INSTALL}")
    if where not in SYSTEMS and not ADDRESS.fullmatch(where):
        raise UserError(f"{where}: is no scheduler's address (tcp://host:8786) and none of {', '.join(SYSTEMS)}")


@contextmanager
def connected(where: str, jobs: int) -> Iterator:
    """Give a `distributed.Client` of a scheduler at an address, or of so many jobs of a batch system, which end with
    the context.

    Raises:
        UserError: it cannot be had.
    """
    import dask
    import dask_jobqueue
    from distributed import Client

    made = None
    with dask.config.set({"distributed.scheduler.allowed-failures": WORKER_LOSSES}):
        try:
            if where in SYSTEMS:
                made = getattr(dask_jobqueue, SYSTEMS[where])()
                made.scale(jobs=jobs)
            client = Client(made or where)
        except Exception as error:  # whatever schedulers, their commands and networks raise
            if made:
                made.close()
            raise UserError(f"{where}: no connection to the cluster: {one_line(error)}") from None
        try:
            yield client
        finally:
            client.close()
            if made:
                made.close()
