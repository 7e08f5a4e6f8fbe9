"""Nothing lost, nothing silently wrong: the pipeline killed, starved, run twice at once, and fed with odd numbers.

These are the quick forms; `make torture` runs the full ones through REGBENCH_KILLS (how many kills), REGBENCH_SEED and,
in test_config.py, REGBENCH_FUZZ.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections import Counter
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

import psutil
import pytest
import small
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from test_download import CONTENT, SHA256, no_proxy, server  # noqa: F401

from stages import aggregate, answers, download, overview, plot, report
from stages.commands import review
from stages.core.base import errors
from stages.core.base.errors import UserError
from stages.core.base.locks import held
from stages.core.config.composition import to_yaml
from stages.core.config.yaml import read_yaml
from stages.core.records import records

FULL = "REGBENCH_KILLS" in os.environ
KILLS, SEED = int(os.environ.get("REGBENCH_KILLS", "2")), int(os.environ.get("REGBENCH_SEED", "0"))
PATIENCE = 600  # seconds that anything may take on a busy machine
NOBODY = 65534

KEY = "digits_comparison/kernel_l2_1e-3"
OUTPUTS = {  # by stage, what it writes: without it the next `dvc repro` runs the stage
    "train": ["results/runs/{row}.json", "build/records"],
    "download": ["results/datasets", "data"],
    "compose": ["build/rows", "build/studies"],
    "aggregate": ["results/tables", "results/metrics"],
    "plot": ["results/figures"],
}
SECONDS = {"train": 6.0, "download": 1.5, "compose": 2.0, "aggregate": 2.5, "plot": 3.0}
"""About how long a stage takes on a quiet machine: the kill comes at any moment of it, or a little later."""


def snapshot(folder):
    """Everything that the pipeline has made, by path; a file that a killed writer left behind must not be there."""
    places = ("results", "build/rows", "build/studies", "data")
    files = [
        file for place in places for file in (folder / place).rglob("*") if file.is_file() and file.name != ".lock"
    ]
    assert [file for file in folder.rglob("*.tmp") if ".dvc" not in file.parts and ".git" not in file.parts] == []
    return {str(file.relative_to(folder)): file.read_bytes() for file in [*files, folder / "dvc.lock"]}


def differing(one, other):
    return sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path))


def without(original, folder, stage, row=KEY):
    """A copy in which one stage has not run, nor is there a cache from which DVC could take what it would write."""
    small.duplicate(original, folder)
    shutil.rmtree(folder / ".dvc/cache")
    for output in OUTPUTS[stage]:
        path = folder / output.format(row=row)
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return folder


class Repro:
    """`dvc repro` in a session of its own, with what it has said so far."""

    def __init__(self, folder, log):
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                ["dvc", "repro"], cwd=folder, env=small.environment(folder),
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill(alone=False)
        wait(lambda: not self.left())

    @property
    def said(self):
        return self.log.read_text(encoding="utf-8", errors="replace")

    def running(self, stage):
        """Wait until it runs the stage."""
        wait(lambda: f"Running stage '{stage}" in self.said or self.process.poll() is not None)
        assert self.process.poll() is None, self.said

    def kill(self, alone):
        if alone:
            self.process.kill()
        else:
            for process in self.left():
                process.kill()
        self.process.wait()

    def left(self):
        """Its processes that still run."""
        return [process for process in psutil.process_iter(["status"]) if self._started(process)]

    def _started(self, process):
        try:
            return os.getsid(process.pid) == self.process.pid and process.info["status"] != psutil.STATUS_ZOMBIE
        except ProcessLookupError:
            return False


def wait(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.02)


CORES = "os.cpu_count = lambda: {0}; os.sched_getaffinity = lambda pid: set(range({0}))"
KILL = """
from stages.core.base import files
write, written = files.write_atomically, []
def write_and_kill(path, content):
    write(path, content)
    written.append(path)
    if len(written) == {}:
        os.kill(os.getpid(), 9)
files.write_atomically = write_and_kill
"""


def train(folder, cores=None, killed_after=None, **more):
    """The stage train of KEY in `folder`, as on a machine with so many cores; killed after so many checkpoints."""
    told = (CORES.format(cores) if cores else "") + (KILL.format(killed_after) if killed_after else "")
    run = f"sys.argv = ['', {KEY!r}]; runpy.run_module('stages.train', run_name='__main__')"
    code = f"import os, runpy, sys\n{told}\n{run}"
    environment = small.environment(folder) | ({"REGBENCH_CORES": str(cores)} if cores else {})
    return subprocess.Popen([sys.executable, "-c", code], cwd=folder, env=environment, text=True, **more)


# --- 1 killed --------------------------------------------------------------------------------------------------------


def trials():
    stages = [list(OUTPUTS)[number % len(OUTPUTS)] for number in range(KILLS)]
    alone = [number // len(OUTPUTS) % 2 == 0 for number in range(KILLS)]
    return [
        pytest.param(number, *trial, id=f"{number}-{trial[0]}-{'parent alone' if trial[1] else 'group'}")
        for number, trial in enumerate(zip(stages, alone, strict=True))
    ]


@pytest.fixture(scope="module")
def undisturbed(small_repository, tmp_path_factory):
    """What is killed. In full: with two rows on as many images as MNIST has, whose every epoch is a checkpoint."""
    if not FULL:
        return small_repository
    folder = small.duplicate(small_repository, tmp_path_factory.mktemp("undisturbed") / "regbench")
    small.add_images(folder)
    small.run(folder, "dvc", "repro")
    small.commit(folder)
    return folder


@pytest.mark.long
@pytest.mark.parametrize(("number", "stage", "alone"), trials())
def test_after_a_kill_the_next_repro_ends_with_the_same_bytes(undisturbed, tmp_path, figures, number, stage, alone):
    chance = random.Random(f"{SEED} {number}")
    rows = sorted(str(path.relative_to(undisturbed / "build/rows")) for path in undisturbed.glob("build/rows/*/*.yaml"))
    row = chance.choice(rows).removesuffix(".yaml")
    longest = SECONDS[stage] * 1.2
    while True:  # until the kill comes before the end
        folder = without(undisturbed, tmp_path / f"{longest}" / "regbench", stage, row)
        with Repro(folder, tmp_path / "log") as repro:
            repro.running(stage)
            time.sleep(chance.uniform(0, longest))
            if repro.process.poll() is None:
                repro.kill(alone)
                mended = small.run(folder, sys.executable, "-m", "stages.commands.cli", "mend")
                after = small.run(folder, "dvc", "repro")
                assert differing(snapshot(folder), snapshot(undisturbed)) == [], after
                wait(lambda: not repro.left())  # what the killed one had started goes on, and must not do harm later
                assert differing(snapshot(folder), snapshot(undisturbed)) == [], after
                break
        longest *= 0.7
    figures[f"1 killed in {small.stages(repro.said)[-1].partition('@')[0]}"] += 1
    figures["1 DVC alone killed" if alone else "1 the process group killed"] += 1
    figures["1 the next run waited for what the killed one had left running"] += "is working on it; waiting" in after
    figures["1 a file of DVC's was cut off and mended"] += bool(mended)


@pytest.mark.long
def test_a_killed_row_goes_on_from_its_checkpoints_on_another_number_of_cores(small_repository, tmp_path):
    """In processes of its own; test_training.py interrupts one in every quick run."""
    folder = without(small_repository, tmp_path / "regbench", "train")
    record, checkpoints = folder / f"results/runs/{KEY}.json", folder / "build/checkpoints" / KEY
    assert train(folder, killed_after=9).wait(PATIENCE) == -signal.SIGKILL
    assert not record.exists()
    assert list(checkpoints.glob("*/[01].npz"))
    assert train(folder, cores=1).wait(PATIENCE) == 0
    assert record.read_bytes() == (small_repository / f"results/runs/{KEY}.json").read_bytes()
    assert not checkpoints.exists()


@pytest.mark.parametrize("cut", [0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99] if FULL else [0.3])
def test_a_lock_file_that_dvc_was_killed_in_is_mended(small_repository, tmp_path, cut):
    """DVC writes it in place; what is left of it keeps DVC from starting."""
    folder = small.duplicate(small_repository, tmp_path / "regbench")
    content = (folder / "dvc.lock").read_bytes()
    (folder / "dvc.lock").write_bytes(content[: int(cut * len(content))])
    (folder / ".dvc/tmp/rwlock").write_bytes(b"")
    said = small.run(folder, sys.executable, "-m", "stages.commands.cli", "mend")
    assert [line.split()[1] for line in said.splitlines()] == ["dvc.lock", ".dvc/tmp/rwlock"]
    assert small.ran(folder) == []
    assert differing(snapshot(folder), snapshot(small_repository)) == []
    assert small.run(folder, sys.executable, "-m", "stages.commands.cli", "mend") == ""


def test_a_download_killed_half_way_leaves_nothing(server, tmp_path):  # noqa: F811
    code = (
        "from stages.core.data.fetch import fetch; import sys, pathlib\n"
        f"file = {{'name': 'file.bin', 'sha256': {SHA256!r}, 'bytes': {len(CONTENT)}, 'urls': [sys.argv[1]]}}\n"
        "fetch([file], pathlib.Path('data'))"
    )
    environment = {**os.environ, "PYTHONPATH": str(small.ROOT)}

    def fetching(way):
        url = f"http://127.0.0.1:{server.server_port}/{way}"
        return subprocess.Popen([sys.executable, "-c", code, url], cwd=tmp_path, env=environment)

    server.requests.clear()
    with fetching("trickle") as process:
        wait(lambda: "/trickle" in server.requests)
        time.sleep(0.1)
        process.kill()
    assert list(tmp_path.rglob("*")) == []
    assert fetching("good").wait(PATIENCE) == 0
    assert (tmp_path / "data/file.bin").read_bytes() == CONTENT


# --- 2 no space, no permission ---------------------------------------------------------------------------------------


STAGES = {
    "download": (download, "digits", "results/datasets/digits.json"),
    "aggregate": (aggregate, small.NAME, f"results/tables/{small.NAME}.csv"),
    "plot": (plot, small.NAME, f"results/figures/{small.NAME}/"),
    "answers": (answers, None, "results/answers.md"),
    "overview": (overview, None, "results/overview.csv"),
    "report": (report, None, "results/report.html"),
}
REVIEW = (review, "HEAD", None)


@pytest.fixture
def disk(small_repository, tmp_path):
    """A small repository on a file system of its own, of 40 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        yield small.duplicate(small_repository, folder / "regbench")
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder):
    with (folder / "filler").open("wb", buffering=0) as file:
        for size in (1 << 16, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def run_stage(monkeypatch, folder, name):
    """The stage in this process; its one line on stderr, which is what the process ends with."""
    module, item, _ = STAGES[name]
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [name, *([item] if item else [])])
    with pytest.raises(SystemExit) as end:
        errors.run(module.main)
    return str(end.value)


@pytest.mark.parametrize("name", [name for name in STAGES if name != "download"])  # which has nothing to write
def test_a_full_disk_is_one_line_and_the_previous_result_stays(disk, small_repository, monkeypatch, name):
    fill(disk)
    line = run_stage(monkeypatch, disk, name)
    assert re.fullmatch(rf"regbench: {STAGES[name][2]}[\w.]*: No space left on device", line)
    assert differing(snapshot(disk), snapshot(small_repository)) == []


def test_a_read_only_folder_is_one_line_and_the_previous_result_stays(disk, small_repository, monkeypatch):
    subprocess.run(["mount", "-o", "remount,ro", str(disk.parent)], check=True)
    line = run_stage(monkeypatch, disk, "aggregate")
    assert line == f"regbench: {STAGES['aggregate'][2]}: Read-only file system"
    assert differing(snapshot(disk), snapshot(small_repository)) == []


def test_no_permission_is_one_line_and_the_previous_result_stays(small_repository, monkeypatch):
    with TemporaryDirectory() as temporary:  # pytest's own is root's alone
        Path(temporary).chmod(0o755)
        folder = small.duplicate(small_repository, Path(temporary) / "regbench")
        (folder / "results/tables").chmod(0o555)
        os.seteuid(NOBODY if os.getuid() == 0 else os.getuid())  # root may write anywhere
        try:
            line = run_stage(monkeypatch, folder, "aggregate")
        finally:
            os.seteuid(os.getuid())
        assert line == f"regbench: {STAGES['aggregate'][2]}: Permission denied"
        assert differing(snapshot(folder), snapshot(small_repository)) == []


@pytest.mark.long
def test_a_row_that_finds_the_disk_full_ends_in_one_line_and_its_previous_record_is_back(disk, small_repository):
    """As DVC runs it, which removes the record first; a seed more is asked for."""
    record = disk / f"results/runs/{KEY}.json"
    record.unlink()
    small.edit(disk / f"build/rows/{KEY}.yaml", "^seeds: 2", "seeds: 3")
    fill(disk)
    with train(disk, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        said, complaint = process.communicate(timeout=PATIENCE)
    assert (process.returncode, said) == (1, f"{KEY}: seeds 2 train, seeds 0, 1 stay\n")
    assert re.fullmatch(r"regbench: .*No space left on device.*\n", complaint)
    assert record.read_bytes() == (small_repository / f"results/runs/{KEY}.json").read_bytes()


# --- 4 configuration is data -----------------------------------------------------------------------------------------


def test_a_row_name_reaches_no_shell(small_repository, tmp_path):
    """With ../ in its name DVC does not know that the row comes from compose, which would refuse it."""
    folder = small.duplicate(small_repository, tmp_path / "regbench")
    name = ";touch touched;/../../../conf/study/digits_comparison"
    small.edit(folder / small.STUDY, r"^rows:\n", f'rows:\n  "{name}": {{label: x}}\n')
    said = small.run(folder, "dvc", "repro", expect=255)
    assert "Running stage 'train@;" in said
    assert "regbench: " in said
    assert not (folder / "touched").exists()
    assert small.run(folder, "git", "status", "--porcelain").split() == ["M", small.STUDY]


# --- 6 two at once ---------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_second_repro_says_that_one_runs_and_the_next_waits_for_what_a_killed_one_left(
    small_repository, tmp_path, monkeypatch
):
    folder = without(small_repository, tmp_path / "regbench", "train")
    monkeypatch.chdir(folder)
    waiting = "is working on it; waiting"
    with Repro(folder, tmp_path / "first") as first:
        with held(f"train {KEY}"):  # so that the training lasts as long as it takes here
            wait(lambda: waiting in first.said)
            said = small.run(folder, "dvc", "repro", expect=255)
            assert re.search(r"is busy, it is being blocked by:\n  \(PID \d+\): .*dvc repro", said)
            assert "Running stage" not in said and "Traceback" not in said
            first.kill(alone=True)  # the training that it has started goes on
            following = Repro(folder, tmp_path / "next")
            wait(lambda: waiting in following.said)
        with following:
            assert following.process.wait(PATIENCE) == 0
        wait(lambda: not first.left())
        assert (first.said + following.said).count(f"{KEY}.json: trained by the other process") == 1
    assert differing(snapshot(folder), snapshot(small_repository)) == []


@pytest.mark.long
@pytest.mark.parametrize("attempt", range(8))
def test_of_two_repros_at_once_one_finishes(small_repository, tmp_path, figures, attempt):
    folder = without(small_repository, tmp_path / "regbench", "train")
    with Repro(folder, tmp_path / "first") as first:
        time.sleep(random.Random(f"{SEED} {attempt}").uniform(0, 8))
        with Repro(folder, tmp_path / "second") as second:
            codes = [repro.process.wait(PATIENCE) for repro in (first, second)]
    said = [first.said, second.said]
    assert 0 in codes, said
    for code, text in zip(codes, said, strict=True):
        assert "Traceback" not in text
        assert code == 0 or "is busy, it is being blocked by" in text or "Unable to acquire lock" in text, text
    figures["6 both finished" if codes == [0, 0] else "6 one was told that another runs"] += 1
    assert small.ran(folder) == []
    assert differing(snapshot(folder), snapshot(small_repository)) == []


# --- 7 numbers -------------------------------------------------------------------------------------------------------


def diverged(seed):
    """As it is recorded if its loss is NaN from the second epoch on: all outputs NaN count as the first class."""
    curve = {name: [column[0], *[None] * (len(column) - 1)] for name, column in seed["curve"].items()}
    curve |= {name: [seed["curve"][name][0], *[0.1] * (len(curve[name]) - 1)] for name in ("accuracy", "val_accuracy")}
    curve["epoch"] = seed["curve"]["epoch"]
    final = {split: dict.fromkeys(figures) | {"accuracy": 0.1} for split, figures in seed["final"].items()}
    return {**seed, "curve": curve, "final": final, "first_non_finite_epoch": 2}


def nothing_finite(seed):
    """As above, and not even the metric is finite (an error is not, a share of right answers always is)."""
    final = {split: dict.fromkeys(figures) for split, figures in seed["final"].items()}
    return {**diverged(seed), "final": final}


def enormous(seed):
    """The largest that float32 can hold, where there are losses."""
    final = {split: {**figures, "loss": 3e38, "data_loss": 3e38} for split, figures in seed["final"].items()}
    return {**seed, "final": final, "curve": {**seed["curve"], "loss": [3e38] * len(seed["curve"]["epoch"])}}


def every(change):
    return lambda seeds: [change(seed) for seed in seeds]


CASES = {  # by name: what becomes of the seeds of the baseline, and of those of every other row
    "all seeds diverged": (every(diverged), every(diverged)),
    "nothing finite": (every(nothing_finite), every(nothing_finite)),
    "the baseline diverged": (every(nothing_finite), every(dict)),
    "one seed diverged": (every(dict), lambda seeds: [nothing_finite(seeds[0]), *seeds[1:]]),
    "no variance": (*[lambda seeds: [{**seeds[0], "seed": number} for number in range(len(seeds))]] * 2,),
    "one seed": (*[lambda seeds: seeds[:1]] * 2,),
    "enormous": (every(dict), every(enormous)),
}


def run_main(monkeypatch, module, item):
    monkeypatch.setattr(sys, "argv", ["stage", *([item] if item else [])])
    module.main()


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
def test_odd_numbers_pass_without_a_crash_or_a_false_claim(small_repository, tmp_path, monkeypatch, capsys, case):
    folder = small.duplicate(small_repository, tmp_path / "regbench")
    monkeypatch.chdir(folder)
    for row in small.ROWS:
        path = Path(f"results/runs/{small.NAME}/{row}.json")
        record = json.loads(path.read_text(encoding="utf-8"))
        del record["checksum"]
        record["seeds"] = CASES[case][row != small.ROWS[0]](record["seeds"])
        record["config"]["seeds"] = len(record["seeds"])
        path.write_text(records.to_json(record), encoding="utf-8")
        for config, key in ((f"rows/{small.NAME}/{row}", "seeds"), (f"studies/{small.NAME}", "n_seeds")):
            values = read_yaml(Path(f"build/{config}.yaml")) | {key: len(record["seeds"])}
            Path(f"build/{config}.yaml").write_text(to_yaml(values), encoding="utf-8")
    for name in STAGES:
        if name != "download":
            run_main(monkeypatch, *STAGES[name][:2])
    with pytest.raises(UserError, match="the results are not up to date"):  # these records were edited by hand
        run_main(monkeypatch, *REVIEW[:2])
    Path("review.md").write_text(capsys.readouterr().out, encoding="utf-8")
    check_claims(case)


def check_claims(case):
    """What may not be said, whatever the words are."""
    table = Path(f"results/tables/{small.NAME}.csv")
    lines = {line["row"]: line for line in read_csv(table)}
    others = [line for row, line in lines.items() if row != small.ROWS[0]]
    assert len(lines) == len(small.ROWS)
    for line in others:
        compared = [line[name] for name in ("difference_low", "difference_high", "p_value", "p_holm", "effect_size")]
        if case != "enormous":  # its metric is as it was
            assert compared == [""] * 5
        if case in ("all seeds diverged", "nothing finite", "one seed diverged"):
            assert line["diagnosis"] == "diverged"
        if case == "nothing finite":
            assert (line["n_finite"], line["mean"], line["sd"], line["reproduced"]) == ("0", "", "", "")
        if case in ("all seeds diverged", "no variance", "one seed", "one seed diverged"):
            assert line["mean"] and not line["prediction_low"] and line["sd"] in ("", "0")
        if case == "the baseline diverged":
            assert line["mean"] and not line["difference"] and line["diagnosis"] != "over-regularized"
    for path in map(Path, [table.with_suffix(".md"), "results/answers.md", "results/overview.md", "review.md"]):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(?i)(?<![a-z])(nan|inf)(?![a-z])", text), path
        assert case == "enormous" or "significant" not in text
    drawn = list(Path(f"results/figures/{small.NAME}").glob("*.svg"))
    assert drawn
    for path in drawn:
        ElementTree.parse(path)
        assert not re.search(r"[ \"](nan|inf)\b", path.read_text(encoding="utf-8")), path


def read_csv(path):
    import csv

    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# --- 8 the same on any number of cores -------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("cores", [1, 2, 3, 4, 8])
def test_the_record_does_not_depend_on_the_number_of_cores(small_repository, tmp_path, cores):
    folder = without(small_repository, tmp_path / "regbench", "train")
    assert train(folder, cores).wait(PATIENCE) == 0
    assert differing(snapshot(folder), snapshot(small_repository)) == []


CONVOLUTIONS = """
import pathlib, sys
import numpy as np
from conftest import ADAM
from stages.core.records import records
from stages.core.training import runtime
from stages.core.config.row import Row
runtime.prepare("cpu", int(sys.argv[1]), convolutions=True)
from stages.core.training import engine as training
layers = [
    {"type": "conv2d", "filters": 4, "kernel_size": 3, "padding": "same", "activation": "relu", "regularized": True},
    {"type": "max_pooling2d", "pool_size": 2}, {"type": "flatten"}, {"type": "dropout", "rate": 0.3},
    {"type": "dense", "units": 3, "activation": "softmax"},
]
no = {"l1": 0.0, "l2": 0.0}
row = Row.model_validate({
    "study": "s", "row": "r", "seeds": 4, "device": "cpu", "layers": layers, "optimizer": ADAM, "fingerprint": "0" * 64,
    "dataset": {"name": "d", "shape": [12, 12, 3], "classes": 3, "scale": 255},
    "split": {"validation": "none", "size": None, "random_state": None, "monitor": "test"}, "augmentation": None,
    "regularizers": {"kernel": {"l1": 0.0, "l2": 0.01}, "bias": no, "activity": no},
    "training": {"loss": "sparse_categorical_crossentropy", "batch_size": 8, "epochs": 5},
})
random = np.random.default_rng(0)
x, y = random.integers(0, 256, (90, 12, 12, 3), np.uint8), random.integers(0, 3, 90)
engine = training.Engine(row, {"train": (x[:70], y[:70]), "test": (x[70:], y[70:])}, "cpu")
seeds = list(training.train(engine, range(4), int(sys.argv[1])))
pathlib.Path(sys.argv[1]).write_text(records.to_text({"seeds": seeds}))
"""


@pytest.mark.long
def test_convolutions_do_not_depend_on_the_number_of_cores(tmp_path):
    paths = f"{small.ROOT}{os.pathsep}{small.ROOT / 'tests'}"
    for threads in "1248":
        small.run(tmp_path, sys.executable, "-c", CONVOLUTIONS, threads, PYTHONPATH=paths)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


# --- 9 what is installed ---------------------------------------------------------------------------------------------


def locked():
    """By package, the version in requirements.lock and the number of its hashes."""
    blocks = re.split(
        r"\n(?=[\w.-]+(?:\[[\w,-]+\])?[= @])", (small.ROOT / "requirements.lock").read_text(encoding="utf-8")
    )
    found = {}
    for block in blocks:
        name, _, rest = re.match(r"([\w.-]+)(?:\[[\w,-]+\])?(==)?(.*)", block).groups()
        found[canonicalize_name(name)] = (rest.split()[0].rstrip("\\;"), block.count("--hash=sha256:"))
    return found


def needed_by(name):
    """The requirements of an installed package, or of this project, which `make setup` does not install."""
    if name != "regbench":
        return requires(name) or []
    project = tomllib.loads((small.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].items()
    return [*project["dependencies"], *(f'{text}; extra == "{extra}"' for extra, texts in extras for text in texts)]


def installed():
    """Packages that regbench and its tests need, and those that these need, as far as they apply here."""
    found, waiting = {}, [("regbench", ("test",)), ("regbench", ("",))]
    while waiting:
        name, extras = waiting.pop()
        for text in needed_by(name):
            wanted = Requirement(text)
            if wanted.marker is not None and not any(wanted.marker.evaluate({"extra": extra}) for extra in extras):
                continue
            key = canonicalize_name(wanted.name)
            new = (key, tuple(sorted(wanted.extras)) or ("",))
            if new not in found:
                try:
                    found[new] = version(key) if key != "regbench" else ""
                except PackageNotFoundError:
                    found[new] = "not installed"
                    continue
                waiting.append(new)
    return {name: number for (name, _), number in found.items() if name != "regbench"}


def test_every_package_is_pinned_with_its_hash():
    lock = locked()
    assert len(lock) > 50
    assert [name for name, (_, hashes) in lock.items() if not hashes] == []
    assert {name: number for name, number in installed().items() if lock.get(name, ("",))[0] != number} == {}
    assert "--require-hashes --requirement requirements.lock" in (small.ROOT / "Makefile").read_text(encoding="utf-8")


# --- figures for results/reliability.md ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def figures(record_testsuite_property):
    counts = Counter()
    yield counts
    for name, count in counts.items():
        record_testsuite_property(name, count)
