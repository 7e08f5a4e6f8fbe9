"""Rows side by side and on a Dask cluster, in copies of this repository with a small study of scikit-learn's digits."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import small
from small import STUDY, edit, only_rows

from stages.core.base import cores
from stages.core.base.errors import UserError
from stages.core.config.yaml import read_resolved, read_yaml
from stages.core.running import board, clusters, driver, dvc
from stages.core.running.board import State

ROOT = Path(__file__).parent.parent
RECORD = ROOT / "results/runs/digits_comparison/none.json"
ROWS = ("none", "kernel_l1_1e-3", "kernel_l2_1e-3", "linear")
JOBS = ("stages.commands.cli", "repro", "--jobs", "2")
PATIENCE = 600  # seconds that anything may take on a busy machine
WAYS = ("repro", pytest.param("fanout", marks=pytest.mark.long))
SCHEDULER = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=sys.argv[1]) as made:
        print(made.scheduler_address, flush=True)
        sys.stdin.read()
"""
KEYS = {"aws_access_key_id": "nobody", "aws_secret_access_key": "nothing"}

MADE_UP = '''"""Stage train, made up: another row's record in no time; all but FREE rows wait for the gate to open."""

import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from stages.core.base.files import write_atomically
from stages.core.config.row import load_row
from stages.core.records import records

key = sys.argv[1].rpartition("@")[2]
row = load_row(Path("build/rows") / f"{key}.yaml").model_dump()
print("first line of the log\\n" * 30, flush=True)
if "GATE" in os.environ:
    gate, ticket = Path(os.environ["GATE"]), 0
    while True:  # a number that no other row has
        with suppress(FileExistsError):
            (gate / str(ticket)).touch(exist_ok=False)
            break
        ticket += 1
    while ticket >= int(os.environ["FREE"]) and not (gate / "open").exists():
        time.sleep(0.05)
if row["row"] == os.environ.get("BAD"):
    sys.exit("this row always fails")
record = json.loads(Path(os.environ["RECORD"]).read_bytes()) | {"study": row["study"], "row": row["row"], "config": row}
del record["checksum"]  # of the other row's
record["seeds"] = record["seeds"][: row["seeds"]]
for seed in record["seeds"]:
    seed["curve"] = {name: values[: row["training"]["epochs"]] for name, values in seed["curve"].items()}
write_atomically(Path("results/runs") / f"{key}.json", records.to_json(record))
'''


def environment(folder, **more):
    own = {"RECORD": str(RECORD), "TMPDIR": str(folder.parent), "REGBENCH_CORES": "4"}  # two rows at once
    return small.environment(folder) | own | {key: str(value) for key, value in more.items()}


def run(folder, *command, expect=0, **more):
    return small.run(folder, *command, expect=expect, **environment(folder, **more))


def python(folder, module, *arguments, expect=0, **more):
    return run(folder, sys.executable, "-m", module, *arguments, expect=expect, **more)


@contextmanager
def command(way, folder, **more):
    """What trains the rows of `folder` in one of the two ways; `more`: of the training's environment."""
    if way == "repro":
        yield JOBS
        return
    script, scratch = folder.parent / "scheduler.py", folder.parent / "workers"
    script.write_text(SCHEDULER, encoding="utf-8")
    scheduler = subprocess.Popen(
        [sys.executable, str(script), str(scratch)],
        cwd=ROOT,
        env=environment(folder, **more),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield ("stages.commands.cli", "fanout", scheduler.stdout.readline().strip())
    finally:
        scheduler.communicate()


def ended(output, state="done"):
    """The rows that a command reported as ended so, in alphabetical order."""
    return sorted(re.findall(rf"^digits_comparison/(\S+): {state}", output, re.MULTILINE))


def stale(folder):
    return sorted(re.findall(r"train@digits_comparison/(\S+):", run(folder, "dvc", "status")))


def recorded(folder):
    """The bytes of each record."""
    return {path.stem: path.read_bytes() for path in (folder / "results/runs/digits_comparison").glob("*.json")}


def wait(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.05)


def running_in(folder):
    """Processes whose folder is this or below, where the system tells."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):  # another user's, or gone
            found += [link.parent.name] if link.readlink().is_relative_to(folder) else []
    return found


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A committed copy with one study of four rows, two seeds and two epochs, nothing trained, up to the tables."""
    folder = small.repository(tmp_path_factory.mktemp("fanout") / "template", epochs=2, rows=ROWS)
    edit(folder / "dvc.yaml", r"(?s)^  plot:.*", "")  # what comes after the tables is not the matter here
    asks_keras = r"    runtime\.load\(\)\n    from stages\.core\.training import nets\n"
    edit(folder / "stages/compose.py", asks_keras, '    return "{}"  # no net is built of these rows\n')
    run(folder, "dvc", "repro", "compose", "download")
    small.commit(folder)
    return folder


@pytest.fixture
def gate(tmp_path):
    """Where made-up rows leave a file each, and those that are not free wait until there is one called `open`."""
    folder = tmp_path / "gate"
    folder.mkdir()
    return folder


@pytest.fixture
def copy(template, tmp_path):
    """A copy of it whose records are made up."""
    folder = shutil.copytree(template, tmp_path / "regbench", symlinks=True)
    (folder / "stages/train.py").write_text(MADE_UP, encoding="utf-8")
    return folder


# --- the parts


def test_a_row_gets_its_share_of_the_cores_and_the_last_rows_all():
    assert [cores.share(8, 2, waiting) for waiting in (5, 2, 1, 0)] == [4, 4, 8, 8]
    assert cores.share(3, 2, waiting=9) == 2
    assert cores.share(1, 1, waiting=9) == 1


@pytest.mark.parametrize(
    ("n_cores", "jobs", "gpus", "expected"),
    [(8, 2, 0, 2), (8, 8, 0, 4), (2, 2, 0, 1), (3, 2, 0, 1), (1, 4, 0, 1), (8, 2, 1, 1), (2, 4, 4, 4), (2, 2, 4, 2)],
)
def test_a_row_trains_on_two_cores_or_a_gpu_at_least(n_cores, jobs, gpus, expected):
    assert cores.at_once(n_cores, jobs, gpus) == expected


def test_numbers_are_what_the_variables_say():
    assert cores.available({"REGBENCH_CORES": "3"}) == 3
    assert cores.available({}) >= 1
    for told in ("0", "two", "-1"):
        with pytest.raises(UserError, match="REGBENCH_CORES"):
            cores.available({"REGBENCH_CORES": told})


def test_gpus_are_those_that_are_visible():
    assert cores.gpus({"CUDA_VISIBLE_DEVICES": "0,2"}) == ["0", "2"]
    assert cores.gpus({"CUDA_VISIBLE_DEVICES": "-1"}) == []


def test_a_row_is_done_once():
    rows = board.Board(["a/b"], 0.0)
    with pytest.raises(ValueError, match="queued"):
        rows.done("a/b", 1.0)
    rows.start("a/b", "here", 1.0)
    rows.requeue("a/b", "its worker died", 2.0)
    rows.start("a/b", "there", 3.0)
    rows.done("a/b", 5.0)
    assert (rows.rows["a/b"].runs, rows.rows["a/b"].seconds, rows.rows["a/b"].where) == (2, 2.0, "there")
    for again in (rows.done, lambda key, now: rows.start(key, "", now), lambda key, now: rows.fail(key, "", now)):
        with pytest.raises(ValueError, match="is done"):
            again("a/b", 6.0)


def test_a_table_that_does_not_fit_shows_failed_and_running_rows_first():
    rows = board.Board([f"s/{i}" for i in range(100)], 0.0)
    for i in (70, 80):
        rows.start(f"s/{i}", "", 0.0)
    rows.fail("s/80", "why", 1.0)
    table = board.to_table(rows, 2.0, lines=3)
    assert list(table.columns[0].cells) == ["s/80", "s/70", "s/0", "… and 97 more"]
    assert table.title == "0 of 100 done, 1 running, 98 queued, 1 failed"


def test_rows_are_found_among_stages():
    status = {"train@a/b": [], "aggregate@a": [], "studies/c/dvc.yaml:train@c/d": [], "compose": []}
    assert dvc.rows_of(status) == {"a/b": "train@a/b", "c/d": "studies/c/dvc.yaml:train@c/d"}


@pytest.mark.parametrize("where", ["os.system", "slurm2", "../x", "tcp://", "file:///etc/passwd", ""])
def test_only_an_address_or_a_known_batch_system_is_a_cluster(where):
    with pytest.raises(UserError, match="is no scheduler's address"):
        clusters.check(where)


def test_a_cluster_that_is_not_there_is_one_line():
    import dask
    import distributed  # noqa: F401 - its defaults come before what is set here

    with (
        dask.config.set({"distributed.comm.timeouts.connect": 0.2}),
        pytest.raises(UserError, match="no connection to the cluster") as caught,
        clusters.connected("tcp://127.0.0.1:1", 1),
    ):
        pass
    assert "\n" not in str(caught.value)


def test_batch_jobs_are_as_many_and_as_large_as_asked(monkeypatch):
    """By dask-jobqueue's own kind for a machine without a batch system, whose jobs are plain processes."""
    import dask
    from dask_jobqueue.local import LocalCluster

    monkeypatch.setattr("dask_jobqueue.LocalCluster", LocalCluster, raising=False)
    monkeypatch.setitem(clusters.SYSTEMS, "here", "LocalCluster")
    size = {"cores": 3, "memory": "1GB", "processes": 1}
    with (
        dask.config.set({f"jobqueue.local.{name}": value for name, value in size.items()}),
        clusters.connected("here", 2) as client,
    ):
        client.wait_for_workers(2, timeout=600)
        assert list(client.nthreads().values()) == [3, 3]


def test_without_dask_the_command_says_what_to_install(template):
    blocked = "import sys; sys.modules['distributed'] = None; from stages.commands import cli; cli.main()"
    output = run(template, sys.executable, "-c", blocked, "fanout", "tcp://127.0.0.1:1", expect=1)
    assert output.splitlines() == [
        "regbench: distributed is not installed, which this command needs: make setup EXTRAS=cluster"
    ]


def test_rows_are_read_alike_by_both_readers(template):
    paths = sorted((template / "build/rows").rglob("*.yaml"))
    assert len(paths) == len(ROWS)
    for path in paths:
        assert read_resolved(path) == read_yaml(path)


# --- a remote


@pytest.fixture
def bucket():
    """A bucket of a real S3 server on this machine: its address and what DVC and boto need to know."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", port=0)
    boto3 = pytest.importorskip("boto3")
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **KEYS).create_bucket(Bucket="regbench")
    yield endpoint
    server.stop()


@pytest.mark.long
def test_what_one_clone_pushes_to_s3_another_need_not_train(copy, tmp_path, bucket):
    variables = {name.upper(): value for name, value in KEYS.items()}
    only_rows(copy / STUDY, ROWS[:2])
    other = shutil.copytree(copy, tmp_path / "elsewhere/regbench", symlinks=True)
    for folder in (copy, other):
        run(folder, "dvc", "remote", "add", "--default", "store", "s3://regbench/results")
        run(folder, "dvc", "remote", "modify", "store", "endpointurl", bucket)
    run(copy, "dvc", "repro", "aggregate", "keep")
    run(copy, "dvc", "push", "--run-cache", **variables)
    output = run(other, "dvc", "repro", "--pull", BAD="none", **variables)
    assert "Running stage 'train@" not in output
    assert recorded(other) == recorded(copy)
    assert set(recorded(other)) == set(ROWS[:2])
    assert stale(other) == []

    run(other, "dvc", "get-url", "remote://store/files", "fetched", **variables)  # as the README fetches archives
    assert any(
        path.read_bytes() in recorded(copy).values() for path in (other / "fetched").rglob("*") if path.is_file()
    )


# --- the commands


@pytest.mark.long
@pytest.mark.parametrize("way", ["repro", "fanout"])
def test_records_are_those_of_plain_repro(small_repository, tmp_path, way):
    """Two rows, really trained."""
    folder = small.duplicate(small_repository, tmp_path / "regbench")
    before, trained = recorded(folder), sorted(small.ROWS[:2])
    shutil.rmtree(folder / ".dvc/cache")  # from which DVC would take them
    for row in trained:
        for place in ("results/runs", "build/records"):
            (folder / place / f"digits_comparison/{row}.json").unlink()
    with command(way, folder) as call:
        assert ended(python(folder, *call)) == trained
    assert recorded(folder) == before
    assert "Running stage" not in run(folder, "dvc", "repro")


@pytest.mark.parametrize("way", WAYS)
def test_a_row_that_fails_is_told_and_the_others_finish(copy, way):
    """With changes that are staged, not staged and unknown to Git: they are what runs, and Git is left alone."""
    (copy / "stages/core/base/brand_new.py").write_text('TEXT = "new and untracked"\n', encoding="utf-8")
    edit(
        copy / "stages/train.py",
        "sys.exit",
        "from stages.core.base import brand_new\n    print(brand_new.TEXT)\n    sys.exit",
    )
    for state in ("staged", "not staged"):
        with (copy / "README.md").open("a", encoding="utf-8") as file:
            file.write(state)
        if state == "staged":
            run(copy, "git", "add", "README.md")
    asked = (
        ["diff", "README.md", "stages"],
        ["diff", "--cached"],
        ["ls-files", "--stage"],
        ["for-each-ref"],
        ["worktree", "list"],
    )
    before = [run(copy, "git", *question) for question in asked]

    with command(way, copy, BAD="kernel_l2_1e-3") as call:
        output = python(copy, *call, expect=1, BAD="kernel_l2_1e-3")
    assert [run(copy, "git", *question) for question in asked] == before
    assert ended(output) == sorted(set(ROWS) - {"kernel_l2_1e-3"})
    assert ended(output, "failed") == ["kernel_l2_1e-3"]
    assert "new and untracked" in output
    assert "this row always fails" in output
    assert output.strip().endswith(
        "regbench: 1 of 4 rows failed: digits_comparison/kernel_l2_1e-3; their logs are in build/logs/"
    )
    assert "Traceback" not in output
    assert ended(python(copy, *JOBS)) == ["kernel_l2_1e-3"]  # the others are up to date
    assert stale(copy) == []


def test_ctrl_c_in_the_middle_of_dvcs_writing_leaves_no_file_that_it_refuses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cut_off = tmp_path / ".dvc/tmp/rwlock"
    cut_off.parent.mkdir(parents=True)
    cut_off.touch()
    with pytest.raises(UserError, match="interrupted"):
        dvc.conclude(4, {}, interrupted=True)
    assert not cut_off.exists()


@pytest.mark.long
@pytest.mark.parametrize("way", WAYS)
def test_after_ctrl_c_another_command_goes_on(copy, gate, way):
    """Two rows end, two are on their way, which would take for ever; nothing of them is left running."""
    held = {"GATE": gate, "FREE": 2}
    with command(way, copy, **held) as call:
        process = subprocess.Popen(
            [sys.executable, "-m", *call],
            cwd=copy,
            env=environment(copy, **held),
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        said = ""
        while len(ended(said)) < 2:
            said += process.stderr.readline()
        wait(lambda: len(list(gate.iterdir())) == len(ROWS))
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: all that the command has started hears it
        said += process.stderr.read()
        assert process.wait() == 1
        assert said.strip().endswith(
            "regbench: interrupted; finished rows are kept, and the same command goes on from here"
        )
        assert "Traceback" not in said
        wait(lambda: not running_in(copy.parent))  # what is killed takes a moment to end
    left = stale(copy)
    assert left == sorted(set(ROWS) - set(ended(said))) and len(left) == 2
    assert ended(python(copy, *JOBS)) == left


def test_workers_and_the_connection_are_lost_and_every_row_is_done_once(copy, gate, monkeypatch):
    """Two of three worker processes are killed, and the connection to the scheduler breaks, while rows train."""
    from distributed import Client, LocalCluster

    from stages.core.running.fleet import Workers, snapshot

    monkeypatch.chdir(copy)
    monkeypatch.setenv("RECORD", str(RECORD))
    monkeypatch.setenv("GATE", str(gate))
    monkeypatch.setenv("FREE", "0")
    keys, taken, chaos = [f"digits_comparison/{row}" for row in ROWS[:3]], [], random.Random(0)
    monkeypatch.setattr(dvc, "commit", taken.extend)
    with LocalCluster(n_workers=3, threads_per_worker=1, dashboard_address=None) as made, Client(made) as client:
        rows = board.Board(keys, time.monotonic())
        pids = [info["pid"] for info in client.run(lambda: {"pid": os.getpid()}).values()]

        def disturb():
            wait(lambda: len(rows.keys(State.RUNNING)) == len(list(gate.iterdir())) == len(keys))
            for pid in chaos.sample(pids, 2):
                os.kill(pid, signal.SIGKILL)
            client.loop.add_callback(client.scheduler_comm.comm.abort)
            (gate / "open").touch()

        thread = threading.Thread(target=disturb, daemon=True)
        thread.start()
        fleet = Workers(client, {key: key for key in keys}, snapshot(), gpu=False)
        failed = driver.fan_out(fleet, rows, 0, lambda: False)
        thread.join()
        fleet.close()
    assert failed == {}
    assert rows.keys(State.DONE) == keys
    assert sorted(taken) == sorted(keys)
    assert sum(row.runs for row in rows.rows.values()) > len(keys)  # or nothing was lost
    assert sorted(recorded(copy)) == sorted(ROWS[:3])
