"""Stage curve: build/curves/<curve>.yaml -> results/curves/<curve>.json, a net at several strengths of a regularizer.

    python -m stages.curve <curve>

The points train one after another, and each is kept when it is done: the next run of the stage goes on from there, and
a strength that is added trains alone.
"""

import sys
from pathlib import Path

from stages.core.base import locks
from stages.core.base.errors import UserError, run
from stages.core.base.files import write_atomically
from stages.core.config.yaml import read_resolved
from stages.core.records import curve_recording, curves


def main() -> None:
    if len(sys.argv) != 2:
        raise UserError("usage: python -m stages.curve <curve>")
    name = sys.argv[1].rpartition("@")[2]  # DVC gives the stage's name
    path = Path("build/curves") / f"{name}.yaml"
    if not path.is_file():
        raise UserError(f"{path}: no such curve; `dvc repro compose` writes those that params.yaml declares")
    record, begun = Path("results/curves") / f"{name}.json", Path("build/checkpoints/curves") / f"{name}.json"
    with locks.held(f"curve {name}"):
        wanted = read_resolved(path)
        earlier = curves.points(record, wanted) | curves.points(begun, wanted)
        for content in curve_recording.record(wanted, earlier, begun.with_suffix("")):
            write_atomically(begun, content)
        write_atomically(record, content)
        begun.unlink()


if __name__ == "__main__":
    run(main)
