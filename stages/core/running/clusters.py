"""Where `make fanout` trains: what conf/cluster/*.yaml may say, and the Dask cluster that it names.

A file names one of Dask's cluster classes by a word from `KINDS`, with values for those of its settings that are data.
Settings that hold commands are left out, and no value can carry one: configuration runs no code.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Annotated, Any, NamedTuple

from pydantic import Field, model_validator

from stages.core.base.errors import UserError
from stages.core.base.text import one_line
from stages.core.config.validation import Count, Finite, Schema

INSTALL = "make setup EXTRAS=cluster"
WORKER = """
import logging, signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
for handler in logging.getLogger("distributed").handlers:
    handler.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], OSError)))
"""
"""What a worker on this machine starts with. A terminal's Ctrl-C is for the driver to answer. A connection that closes
while a worker still speaks, as at every end, is no news: where it matters, the driver says which row it struck."""

Text = Annotated[str, Field(pattern=r"^[\w $@%+=:,./~*#\[\]-]*$")]  # nothing with which a shell ends a word's meaning
Value = bool | int | Finite | Text | None


class Kind(NamedTuple):
    """A class of clusters, and the settings of it that a file may give."""

    module: str
    name: str
    settings: frozenset[str]
    install: str = INSTALL


WORKERS = frozenset({"memory_limit", "local_directory", "interface", "protocol", "resources"})
JOBS = frozenset(
    {
        "cores", "memory", "processes", "queue", "account", "walltime", "interface", "protocol", "python",
        "local_directory", "log_directory", "shared_temp_directory", "death_timeout", "job_name",
        "job_extra_directives", "job_directives_skip",
    }
)  # fmt: skip
KINDS = {
    "local": Kind("distributed", "LocalCluster", WORKERS | {"threads_per_worker", "host", "dashboard_address"}),
    "address": Kind("distributed", "Client", frozenset({"address"})),
    "ssh": Kind(
        "distributed",
        "SSHCluster",
        frozenset({"hosts", "connect_options", "worker_options", "scheduler_options", "remote_python"}),
        "pip install asyncssh",
    ),
    "slurm": Kind("dask_jobqueue", "SLURMCluster", JOBS | {"job_cpu", "job_mem"}),
    "pbs": Kind("dask_jobqueue", "PBSCluster", JOBS | {"resource_spec"}),
    "lsf": Kind("dask_jobqueue", "LSFCluster", (JOBS - {"account"}) | {"project", "ncpus", "mem", "lsf_units"}),
    "kubernetes": Kind(
        "dask_kubernetes.operator",
        "KubeCluster",
        frozenset({"name", "namespace", "image", "resources", "env", "shutdown_on_close", "scheduler_service_type"}),
        "pip install dask-kubernetes",
    ),
}


class Cluster(Schema):
    """All of a file in conf/cluster/.

    kind: one of `KINDS`. workers: how many are asked for, each of which trains one row at a time with all its threads;
    None for as many as the kind gives by itself. retries: how often a row that failed is tried again. worker_losses:
    how many workers may die under a row before that counts as its failure. settings: the class's own, by their names.
    """

    kind: str
    workers: Count | None
    retries: Annotated[int, Field(ge=0)]
    worker_losses: Annotated[int, Field(ge=0)]
    settings: dict[str, Value | list[Value] | dict[str, Value | dict[str, Value]]]

    @model_validator(mode="after")
    def _known(self) -> Cluster:
        if self.kind not in KINDS:
            raise ValueError(f"kind {self.kind} is unknown; known: {', '.join(KINDS)}")
        known = KINDS[self.kind].settings
        for name in self.settings:
            if name not in known:
                raise ValueError(f"settings: {self.kind} has no {name} here; known: {', '.join(sorted(known))}")
        if self.kind == "address" and not self.settings.get("address"):
            raise ValueError("settings: address is missing; name the scheduler, say address=tcp://host:8786")
        if self.kind in {"address", "ssh"} and self.workers is not None:
            raise ValueError(f"workers: {self.kind} has as many workers as it has; leave it null")
        return self


@contextmanager
def connected(cluster: Cluster) -> Iterator[Any]:
    """Start or find the cluster, and end it afterwards if it was started; gives a `distributed.Client`.

    Raises:
        UserError: a package is missing, or there is no such cluster.
    """
    kind = KINDS[cluster.kind]
    try:
        import dask
        from distributed import Client

        make = getattr(import_module(kind.module), kind.name)
    except ImportError as error:
        raise UserError(f"{error.name or error} is not installed, which {cluster.kind} needs: {kind.install}") from None
    with ExitStack() as stack, dask.config.set({"distributed.scheduler.allowed-failures": cluster.worker_losses}):
        try:
            made = stack.enter_context(make(**arguments(cluster)))
            if kind.module == "dask_jobqueue" and cluster.workers:
                made.scale(jobs=cluster.workers)
            client = made if make is Client else stack.enter_context(Client(made))
        except Exception as error:  # whatever schedulers, their commands and networks raise
            raise UserError(f"the cluster ({cluster.kind}) cannot be had: {one_line(error)}") from None
        yield client


def arguments(cluster: Cluster) -> dict[str, Any]:
    """What the cluster's class is called with."""
    if cluster.kind == "local":
        return {"dashboard_address": None, "preload": [WORKER], **cluster.settings, "n_workers": cluster.workers}
    if cluster.kind == "kubernetes":
        return {**cluster.settings, "n_workers": cluster.workers}
    return cluster.settings
