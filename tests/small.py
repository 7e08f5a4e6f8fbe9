"""The real pipeline, `dvc repro` and all, in a small copy of this repository: one study of scikit-learn's digits."""

import gzip
import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
NAME = "digits_comparison"
STUDY = f"conf/study/{NAME}.yaml"
ROWS = ("none", "kernel_l1_1e-3", "kernel_l2_1e-3")


def environment(folder: Path) -> dict[str, str]:
    """This test's own tools, and nothing that they keep outside the parent of `folder`."""
    git = {f"GIT_{who}_{what}": "t@t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    kept = {"HOME": str(folder.parent), "DVC_SITE_CACHE_DIR": str(folder.parent / "dvc")}
    mirror = {"REGBENCH_MIRROR": str(folder / "mirror")}
    return {"PATH": path, "LC_ALL": "C.UTF-8", **kept, **mirror, **git}


def run(folder: Path, *command: str, expect: int = 0, **more: str) -> str:
    """Output of a command in `folder`, whose exit code must be as expected; `more`: of its environment."""
    done = subprocess.run(
        command, cwd=folder, env=environment(folder) | more, capture_output=True, text=True, check=False
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + done.stderr


def stages(output: str) -> list[str]:
    """The stages that `dvc repro` says it runs."""
    return re.findall(r"Running stage '(.+)':", output)


def ran(folder: Path, *targets: str) -> list[str]:
    """The stages that `dvc repro` ran, of all or up to the targets."""
    return stages(run(folder, "dvc", "repro", *targets))


def edit(path: Path, pattern: str, replacement: str) -> None:
    text, count = re.subn(pattern, replacement, path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert count, f"{pattern} is not in {path}"
    path.write_text(text, encoding="utf-8")


def only_rows(path: Path, names: tuple[str, ...]) -> None:
    head, rows = path.read_text(encoding="utf-8").split("rows:\n")
    blocks = re.split(rf"(?m)^(?=  {path.stem}/)", rows)[1:]
    kept = [block for block in blocks if block.split(":")[0].split("/")[1] in names]
    path.write_text(f"{head}rows:\n{''.join(kept)}", encoding="utf-8")


def forget(folder: Path, row: str) -> None:
    """Remove the record of a row, and what was put aside of it, so that all of its seeds train again."""
    for place in ("results/runs", "build/records"):
        (folder / place / f"{row}.json").unlink(missing_ok=True)


def commit(folder: Path) -> None:
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", "x")


def repository(folder: Path, epochs: int = 20, rows: tuple[str, ...] = ROWS) -> Path:
    """A copy with one study of few rows, two seeds, and a checkpoint after every epoch; nothing has run in it."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in names:
        if not name.startswith(("results/", "dvc.lock")) and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    edit(folder / "params.yaml", r"^(  (?!digits)\w+: \{.*\}\n)", "")
    edit(folder / "params.yaml", r"(digits_comparison: .*seeds:) \d+", r"\1 2")
    edit(folder / "params.yaml", r"(?s)^grid:.*", "grid: {}\ncurves: {}\n")
    edit(folder / "dvc.yaml", r"^(  - conf/study/(?!digits).*\n)", "")
    (folder / "results").mkdir()
    (folder / "results/grid.yaml").write_text("rows: {}\n", encoding="utf-8")
    edit(folder / STUDY, r"epochs: 10", f"epochs: {epochs}")
    edit(folder / "stages/core/records/recording.py", r"^CHECKPOINT_SECONDS = .*", "CHECKPOINT_SECONDS = -1")
    only_rows(folder / STUDY, rows)
    edit(folder / STUDY, r"^verdict:\n(  .*\n|\n(?=  ))*", "")  # it speaks of rows that are not here
    run(folder, "git", "init", "--quiet")
    return folder


STAGES = """
import os, runpy, sys
from stages.core.training import runtime

runtime.isolate(os.environ)
import keras, scipy.stats, seaborn

for stage in sys.argv[1:]:
    process = os.fork()
    if not process:
        sys.argv = ["", *stage.split("@")[1:]]
        runpy.run_module("stages." + stage.split("@")[0], run_name="__main__")
        sys.stdout.flush()
        os._exit(0)
    if os.waitpid(process, 0)[1]:
        sys.exit(stage)
"""


def reproduce(folder: Path) -> None:
    """Run all stages for the first time: each in a process of its own, as by DVC, which is told of them afterwards.

    They are forked off one that has what takes most of their time to import. DVC itself runs `answers` here, `download`
    in test_fanout and the others in test_pipeline.
    """
    trained = [f"train@{NAME}/{row}" for row in ROWS]
    of_study = [f"aggregate@{NAME}", f"plot@{NAME}"]
    stages = ["code", "download", "compose", *trained, "keep", *of_study, "grid", "overview", "report"]
    run(folder, "python", "-c", STAGES, *stages)
    run(folder, "dvc", "commit", "--force", *stages)
    assert ran(folder) == ["answers"]
    run(folder, "python", "-m", "stages.commands.cli", "readme")


def add_images(folder: Path) -> None:
    """Two rows of mnist_comparison on made-up images, as many as MNIST has, that a mirror in `folder` holds."""
    random = np.random.default_rng(0)
    pattern = random.integers(0, 256, (10, 28, 28), np.uint8)
    mirror = folder / "mirror/mnist"
    mirror.mkdir(parents=True)
    dataset = folder / "conf/dataset/mnist.yaml"
    for part, n in (("train", 60_000), ("t10k", 10_000)):
        y = random.integers(0, 10, n, np.uint8)
        x = pattern[y] * (random.random((n, 28, 28), np.float32) < 0.5)
        for name, array in ((f"{part}-images-idx3-ubyte.gz", x), (f"{part}-labels-idx1-ubyte.gz", y)):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            content = gzip.compress(header + array.tobytes(), 1, mtime=0)
            (mirror / name).write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            edit(dataset, rf'(name: {name}\n *sha256:) "\w+"\n( *bytes:) \d+', rf'\1 "{digest}"\n\2 {len(content)}')
    study = "conf/study/mnist_comparison.yaml"
    only_rows(folder / study, ROWS[:2])
    edit(folder / study, r"epochs: 10", "epochs: 5")
    edit(folder / study, r"^fixed: .*", f"fixed: {ROWS[0]}")
    edit(folder / study, r"^(answer|verdict):\n(  .*\n|\n(?=  ))*", "")  # it speaks of rows that are not here
    edit(folder / "dvc.yaml", r"^vars:\n", f"vars:\n  - {study}:rows\n")
    edit(folder / "params.yaml", r"^(  digits_comparison: .*\n)", r"\1  mnist_comparison: {dataset: mnist, seeds: 2}\n")


def duplicate(folder: Path, to: Path) -> Path:
    """`folder` with its results and its DVC cache, at another place."""
    shutil.copytree(folder, to, symlinks=True)
    return to
