"""After a change of code that should change no number: the records of rows for which that is seen to be so stay.

    regbench adopt [--reworded] [STUDY ...]

For every row that only its code's fingerprint makes stale, seed 0 trains to the first recorded epoch; of one row of
every study the first two seeds train to their end. Where all numbers are those of the record, to its last digit, the
record gets the new fingerprint and says how it was checked; a row with one difference stays stale, and `dvc repro`
trains it. With --reworded a row's configuration may also be written in another way, as long as seeds and epochs are the
same: its numbers decide.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages.core.base.errors import UserError
from stages.core.base.files import write_atomically
from stages.core.config.row import Row, load_row
from stages.core.records import adoption, recording, records
from stages.core.running import dvc

ROWS, RUNS = Path("build/rows"), Path("results/runs")
SAME, OTHER = "same", "other"
WHOLE_SEEDS = 2  # of one row of every study; two cores train them side by side
START, WHOLE = "seed 0, the first recorded epoch", "seeds 0 and 1 to their end"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", metavar="STUDY", help="by default all")
    parser.add_argument("--reworded", action="store_true", help="configurations may be written in another way")
    parser.add_argument("--check", metavar="STUDY/ROW", nargs="+", help=argparse.SUPPRESS)  # in a process of its own
    arguments = parser.parse_args()
    if arguments.check:
        for key, same in check(arguments.check):
            print(key, SAME if same else OTHER, flush=True)
        return
    if dvc.repro("compose"):
        raise UserError("`dvc repro compose` failed, see above; nothing was adopted")
    candidates = stale(arguments.studies, arguments.reworded)
    differing = []
    for keys in candidates.values():
        found = dict(checked(keys))
        differing += [key for key in keys if not found.get(key)]
        for key in keys:
            if found.get(key):
                adopt(key, WHOLE if key == keys[0] else START)
    kept = [key for key in declared(arguments.studies) if is_current(key)]
    dvc.commit([f"train@{key}" for key in kept])
    total = sum(map(len, candidates.values()))
    print(f"{total - len(differing)} of {total} stale rows adopted; {len(kept)} records are up to date")
    if differing:
        raise UserError(f"{len(differing)} rows gave other numbers and stay stale: {', '.join(differing)}")


def declared(studies: list[str]) -> list[str]:
    """The rows that compose resolved, <study>/<row>, of some studies or of all."""
    keys = sorted(path.relative_to(ROWS).with_suffix("").as_posix() for path in ROWS.glob("*/*.yaml"))
    return [key for key in keys if not studies or key.partition("/")[0] in studies]


def is_current(key: str) -> bool:
    return recording.trained(load_row(ROWS / f"{key}.yaml"), RUNS / f"{key}.json")


def stale(studies: list[str], reworded: bool) -> dict[str, list[str]]:
    """By study the rows that may be adopted, those with a record of other code."""
    found: dict[str, list[str]] = {}
    for key in declared(studies):
        path = RUNS / f"{key}.json"
        if path.is_file() and not is_current(key):
            differing = adoption.differs_in(read(key), load_row(ROWS / f"{key}.yaml").model_dump())
            if "seeds" not in differing and (reworded or differing <= {"fingerprint"}):
                found.setdefault(key.partition("/")[0], []).append(key)
    return found


def read(key: str) -> dict[str, Any]:
    """A row's record, checked."""
    path = RUNS / f"{key}.json"
    content = path.read_bytes()
    records.parse(content, str(path))
    return records.load_json(content, str(path))


def adopt(key: str, how: str) -> None:
    config = load_row(ROWS / f"{key}.yaml").model_dump()
    write_atomically(RUNS / f"{key}.json", adoption.adopted(read(key), config, how))


def checked(keys: list[str]) -> Iterator[tuple[str, bool]]:
    """Train the rows again in a process of their own; gives each key and whether its numbers are the record's."""
    command = [sys.executable, "-m", "stages.commands.cli", "adopt", "--check", *keys]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dvc.environment()) as process:
        assert process.stdout is not None
        for line in process.stdout:
            key, word = line.split()
            print(f"{key}: {word} numbers", flush=True)
            yield key, word == SAME
    if process.returncode:
        raise UserError(f"{keys[0]}: the check failed, see above; nothing of this study was adopted")


def check(keys: list[str]) -> Iterator[tuple[str, bool]]:
    """Whether the code as it is gives the records of rows of one study: the first row's first seeds whole, the
    others' beginning."""
    first, *others = keys
    with tempfile.TemporaryDirectory() as folder:
        row = load_row(ROWS / f"{first}.yaml")
        row = row.model_copy(update={"seeds": min(WHOLE_SEEDS, row.seeds)})
        whole = recording.record(row, first, Path(folder), {})["seeds"]
    yield first, records.to_text(whole) == records.to_text(read(first)["seeds"][: row.seeds])
    for key in others:
        yield key, adoption.same_start(read(key)["seeds"][0], beginning(load_row(ROWS / f"{key}.yaml")))


def beginning(row: Row) -> dict[str, list[float]]:
    """The curve of seed 0 over its first epoch."""
    engine = recording.engine(row, recording.load(row), "cpu")
    progress = engine.start(0)
    engine.advance([progress])
    return progress.curve
