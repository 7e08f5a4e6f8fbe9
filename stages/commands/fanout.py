"""`dvc repro` with the rows trained by a Dask cluster.

    regbench fanout [CLUSTER [KEY=VALUE ...]]

CLUSTER is a file of conf/cluster/ (local if none is named), KEY=VALUE changes a value of it as Hydra does. Workers
train in copies of the code as it is now, uncommitted changes included, and need no shared file system: a row goes out
as its resolved configuration and comes back as its record, which is checked and committed with `dvc commit` here. One
`dvc repro` then makes tables and figures. After Ctrl-C the same command goes on.
"""

import argparse
from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from stages.core.base.errors import UserError
from stages.core.base.files import write_atomically
from stages.core.config import composition
from stages.core.config.validation import validate
from stages.core.config.yaml import read_resolved, read_yaml
from stages.core.records import records
from stages.core.running import clusters, dvc
from stages.core.running.board import shown

CONF, ROWS, RESULTS = Path("conf"), Path("build/rows"), Path("results")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cluster", nargs="?", default="local", help="a file of conf/cluster/")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="say workers=4 or settings.cores=16")
    arguments = parser.parse_args()
    if find_spec("distributed") is None:
        raise UserError(f"Dask is not installed, which this command needs: {clusters.INSTALL}")
    name = arguments.cluster.removeprefix(f"{CONF}/cluster/").removesuffix(".yaml")
    values = composition.compose_cluster(CONF, name, arguments.overrides)
    cluster = validate(clusters.Cluster, values, f"{CONF}/cluster/{name}.yaml")
    stages = dvc.stale_rows()
    stopped, failed = train(stages, cluster) if stages else (False, {})
    for key, log in failed.items():
        write_atomically(dvc.log_of(key), log)
    dvc.conclude(len(stages), {key: dvc.last_lines(log) for key, log in failed.items()}, stopped)


def train(stages: dict[str, str], cluster: clusters.Cluster) -> tuple[bool, dict[str, str]]:
    """Train the rows on the cluster; gives whether the user stopped it, and the logs of the rows that failed."""
    from stages.core.running import driver

    code, accept = driver.snapshot(), partial(take, stages)
    configurations = {key: (ROWS / f"{key}.yaml").read_bytes() for key in stages}
    gpu = read_yaml(Path("params.yaml"))["device"] == "gpu"
    with clusters.connected(cluster) as client, dvc.interruptible() as interrupted, shown(stages) as board:
        fleet = driver.Fleet(client, code)
        try:
            failed = driver.fan_out(fleet, board, configurations, gpu, cluster.retries, accept, interrupted)
        finally:
            fleet.close()
        return interrupted(), failed


def take(stages: Mapping[str, str], contents: Mapping[str, bytes]) -> dict[str, str]:
    """Check records, by row, write the good ones and have DVC take them; gives the others with what is wrong."""
    refused = {}
    for key, content in contents.items():
        try:
            check(key, content)
        except UserError as error:
            refused[key] = str(error)
        else:
            write_atomically(RESULTS / "runs" / f"{key}.json", content)
    if good := [stages[key] for key in contents if key not in refused]:
        dvc.commit(good)
    return refused


def check(key: str, content: bytes) -> None:
    """Refuse a record that is not of the row as it is configured now."""
    row = read_resolved(ROWS / f"{key}.yaml")
    path = RESULTS / "datasets" / f"{row['dataset']['name']}.json"
    sheet = validate(records.Sheet, records.load_json(path.read_bytes(), str(path)), str(path))
    where = f"the record of {key}"
    records.check(records.parse(content, where), row, sheet, where)
