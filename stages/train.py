"""Stage train: build/rows/<study>/<row>.yaml -> results/runs/<study>/<row>.json, all seeds of one row.

    python -m stages.train <study>/<row>

A long row leaves a checkpoint now and then under build/checkpoints/; the next run of the same row goes on from there,
with the same bits as if it had not been interrupted. Of two runs of a row at once the second waits and takes the first
one's record. DVC removes a record before it runs the stage; it is put back until the new one is complete.
"""

import hashlib
import os
import shutil
import signal
import sys
from pathlib import Path

from stages.core.base import locks
from stages.core.base.errors import UserError, run
from stages.core.base.files import keep, put_back, write_atomically
from stages.core.config.row import load_row
from stages.core.records import recording, records


def main() -> None:
    if len(sys.argv) != 2:
        raise UserError("usage: python -m stages.train <study>/<row>")
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once; Python would first let the seeds train on
    key = sys.argv[1].rpartition("@")[2]  # DVC gives the stage's name
    path = Path("build/rows") / f"{key}.yaml"
    if not path.is_file():
        raise UserError(f"{path}: no such row; `dvc repro compose` writes the rows that conf/study/ declares")
    row = load_row(path)
    if f"{row.study}/{row.row}" != key:
        raise UserError(f"{path}: is the row {row.study}/{row.row}; `dvc repro compose` writes it anew")
    record, previous = Path("results/runs") / f"{key}.json", Path("build/records") / f"{key}.json"
    checkpoints = Path("build/checkpoints") / key
    with locks.held(f"train {key}") as waited:
        if waited and recording.trained(row, record):
            print(f"{record}: trained by the other process")
            return
        put_back(record, previous)
        recording.check_code(row)
        version_of_row = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        earlier = recording.finished(row, record)
        content = records.to_json(recording.record(row, key, checkpoints / version_of_row, earlier))
        records.parse(content, str(record))  # what a reader would refuse replaces no record
        recording.check_code(row)  # somebody may have edited or switched branches meanwhile
        write_atomically(record, content)
        keep(record, previous)
        shutil.rmtree(checkpoints, ignore_errors=True)


if __name__ == "__main__":
    run(main)
    sys.stdout.flush()
    os._exit(0)  # all is written; to take TensorFlow apart, module by module, takes Python half a second
