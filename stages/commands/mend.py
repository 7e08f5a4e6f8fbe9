"""Put right what a kill can leave of DVC's own files; `make repro` and `make fanout` do so first.

    regbench mend

What it finds cut off, and what becomes of it: stages/core/running/lockfile.py.
"""

from stages.core.running import lockfile


def main() -> None:
    for line in lockfile.mend():
        print(f"regbench: {line}")
