"""Do the committed records say what the code gives? A few rows are trained again and compared with their records.

    regbench verify [STUDY/ROW ...] [--rows N] [--seed S] [--exact]

Without names, N rows (3) are drawn at random. They train in a temporary folder, and results/ is only read. A record
does not say on which processor it was made: numbers that are all the same are called identical, others must lie inside
a tolerance that core/measure/verification.py explains, or with --exact must not be. Any other row: exit code 1.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from stages.core.base.errors import UserError
from stages.core.config.row import load_row
from stages.core.measure import verification
from stages.core.records import recording, records

BUILD, RESULTS, DATA = Path("build/rows"), Path("results"), Path("data")
ROWS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("keys", nargs="*", metavar="STUDY/ROW", help="rows to train again; at random if none is named")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--seed", type=int, default=None, help="repeats a choice")
    parser.add_argument("--exact", action="store_true", help="nothing but identical numbers will do")
    arguments = parser.parse_args()
    keys = arguments.keys or _drawn(arguments.rows, arguments.seed)
    committed = {key: _committed(key) for key in keys}
    verdicts = []
    with tempfile.TemporaryDirectory() as folder:
        for key in keys:
            print(f"{key}: training again", file=sys.stderr, flush=True)
            verdicts.append(verification.compare(key, committed[key], _trained(key, Path(folder))))
    print(verification.to_markdown(verdicts), end="")
    different = [verdict.row for verdict in verdicts if not (verdict.identical if arguments.exact else verdict.inside)]
    if different:
        raise UserError(f"{len(different)} of {len(verdicts)} rows are not as committed: {', '.join(different)}")


def _drawn(rows: int, seed: int | None) -> list[str]:
    """Rows drawn at random from all that compose has resolved."""
    keys = sorted(str(path.relative_to(BUILD).with_suffix("")) for path in BUILD.glob("*/*.yaml"))
    if not keys:
        raise UserError(f"{BUILD}: no rows; `dvc repro compose` writes them")
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    print(f"--seed {seed} draws these rows again", file=sys.stderr)
    return random.Random(seed).sample(keys, min(max(rows, 1), len(keys)))


def _committed(key: str) -> dict[str, Any]:
    """The record of a row, refused if it is not of the row as it is configured now."""
    row = BUILD / f"{key}.yaml"
    if not row.is_file():
        raise UserError(f"{row}: no such row; `dvc repro compose` writes the rows that conf/study/ declares")
    path = RESULTS / "runs" / f"{key}.json"
    if not recording.trained(load_row(row), path):
        raise UserError(f"{path}: is no record of the row as it is configured now; `dvc repro` brings it up to date")
    return records.load_json(path.read_bytes(), str(path))


def _trained(key: str, folder: Path) -> dict[str, Any]:
    """The record of a row that the stage trains in `folder`."""
    row, record = folder / BUILD / f"{key}.yaml", folder / RESULTS / "runs" / f"{key}.json"
    row.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(BUILD / f"{key}.yaml", row)
    for shared in (Path("conf"), DATA):  # what was downloaded is used, and what must be downloaded is kept
        shared.mkdir(exist_ok=True)
        if not (folder / shared).exists():
            (folder / shared).symlink_to(shared.resolve())
    environment = os.environ | {"PYTHONPATH": str(Path().resolve())}
    if mirror := os.environ.get("REGBENCH_MIRROR"):
        environment["REGBENCH_MIRROR"] = str(Path(mirror).resolve())
    done = subprocess.run([sys.executable, "-m", "stages.train", key], cwd=folder, env=environment, check=False)
    if done.returncode:
        raise UserError(f"{key}: the training failed, see above")
    return records.load_json(record.read_bytes(), str(record))
