"""What the pipeline itself costs as rows grow: results/growth.csv, growth.md and growth.svg.

    regbench growth [--rows N ...] [--fanout N ...]

Repositories with made-up records are built in a temporary folder, in two layouts: all rows in one dvc.yaml, and a
dvc.yaml for each study. Training there copies a record; everything else is this repository's code and DVC. --rows says
at how many rows to measure, --fanout at which of them to train rows anew as well, which takes long.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from stages.core.base import cores
from stages.core.base.errors import UserError
from stages.core.base.files import write_atomically
from stages.core.config.yaml import read_resolved, read_yaml
from stages.core.figures.style import to_svg
from stages.core.measure import growth
from stages.core.measure.growth import MANY, ONE, Point
from stages.core.records import records

RESULTS, STUDY, SHEET = Path("results"), Path("conf/study/digits_comparison.yaml"), "results/datasets/digits.json"
FANOUT = (10, 200, 2000)
TRAIN = '''"""Stage train, made up: copies a record."""

import shutil
import sys
from pathlib import Path

key = sys.argv[1].rpartition("@")[2]
target = Path("results/runs") / f"{key}.json"
target.parent.mkdir(parents=True, exist_ok=True)
shutil.copy(Path(__file__).parent / "made_up" / f"{key}.json", target)
'''


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=growth.ROWS)
    parser.add_argument("--fanout", type=int, nargs="*", default=FANOUT)
    arguments = parser.parse_args()
    points: list[Point] = []
    for rows in sorted(arguments.rows):
        with tempfile.TemporaryDirectory() as folder:
            points += measure(Path(folder) / "regbench", rows, fan_out=rows in arguments.fanout)
    machine = {
        "cores": str(cores.available(os.environ)),
        "versions": ", ".join(f"{name} {version(name)}" for name in ("dvc", "distributed")),
        "python": platform.python_version(),
    }
    write_atomically(RESULTS / "growth.csv", growth.to_csv(points))
    write_atomically(RESULTS / "growth.svg", to_svg(growth.draw(points), "growth"))
    write_atomically(RESULTS / "growth.md", growth.to_markdown(points, machine))
    print(growth.to_markdown(points, machine))


def measure(folder: Path, rows: int, fan_out: bool) -> Iterator[Point]:
    """Build a repository of so many rows and time what there is to time, in both layouts."""
    say(f"{rows} rows")
    names = growth.study_names(rows)
    keys = [f"{study}/{row}" for study, members in names.items() for row in members]
    build(folder, names)
    yield Point("compose", "", rows, timed(folder, "python", "-m", "stages.compose"))
    timed(folder, "python", "-m", "stages.download", "digits")
    make_up_records(folder, keys)
    yield Point("tables", "", rows, sum(timed(folder, "python", "-m", "stages.aggregate", study) for study in names))
    timed(folder, "python", "-m", "stages.keep")
    timed(folder, "git", "add", "--all")
    timed(folder, "git", "commit", "--quiet", "--message", "records")
    yield Point("review", "", rows, timed(folder, "python", "-m", "stages.commands.review", "HEAD"))
    for layout in (ONE, MANY):
        say(f"{rows} rows, {layout}")
        files = growth.pipelines(read_yaml(Path("dvc.yaml")), list(names), layout)
        for name, text in files.items():
            write_yaml(folder / name, text)
        timed(folder, "dvc", "commit", "--force", *files)
        yield Point("no-op", layout, rows, min(timed(folder, "dvc", "repro", *files) for _ in range(2)))
        if fan_out:
            yield Point("jobs", layout, rows, a_row(folder, keys, "repro", "--jobs", "2"))
            yield Point("fanout", layout, rows, a_row(folder, keys, "fanout", "local", "workers=2"))
        (folder / "dvc.lock").unlink()


def a_row(folder: Path, keys: list[str], command: str, *arguments: str) -> float:
    """Seconds that one more stale row costs a command."""
    seconds = []
    counts = (1, 1 + min(growth.STALE, len(keys) - 1))
    for count in counts:
        for key in keys[-count:]:
            (folder / "results/runs" / f"{key}.json").unlink()
        seconds.append(timed(folder, "python", "-m", f"stages.commands.{command}", *arguments))
    return (seconds[1] - seconds[0]) / (counts[1] - counts[0])


def build(folder: Path, names: dict[str, list[str]]) -> None:
    """A repository with these studies, nothing trained."""
    for name in ("stages", "conf", ".dvc/config", "requirements.lock", ".gitignore", ".dvcignore"):
        copy = shutil.copytree if Path(name).is_dir() else shutil.copy2
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy(name, folder / name)
    template = read_yaml(STUDY)
    for study, rows in names.items():
        text = growth.study(template, study, rows)
        write_yaml(folder / f"conf/study/{study}.yaml", text, header="# @package _global_\n")
    selected = {study: {"dataset": "digits", "seeds": growth.SEEDS} for study in names}
    write_yaml(folder / "params.yaml", {"device": "cpu", "studies": selected})
    for name, text in growth.pipelines(read_yaml(Path("dvc.yaml")), list(names), ONE).items():
        write_yaml(folder / name, text)
    timed(folder, "git", "init", "--quiet")
    write_atomically(folder / "stages/train.py", TRAIN)


def make_up_records(folder: Path, keys: list[str]) -> None:
    """A record for each row, where training leaves it and where training copies it from."""
    sheet = json.loads((folder / SHEET).read_text())
    for key in keys:
        row = read_resolved(folder / "build/rows" / f"{key}.yaml")
        text = records.to_json(growth.made_up_record(row, sheet))
        for place in ("results/runs", "stages/made_up"):
            path = folder / place / f"{key}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def write_yaml(path: Path, data: dict[str, Any], header: str = "") -> None:
    write_atomically(path, header + OmegaConf.to_yaml(OmegaConf.create(data)))


def timed(folder: Path, *command: str) -> float:
    """Seconds that a command takes in the folder, with this process's Python and its tools."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    author = {f"GIT_{who}_{what}": "growth" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    started = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **author, "PATH": path}, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        last = (done.stdout + done.stderr).strip().splitlines()[-1:]
        raise UserError(f"`{' '.join(command[:6])}` failed: {''.join(last)}")
    say(f"  {seconds:7.1f} s  {' '.join(command[:5])}")
    return seconds


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
