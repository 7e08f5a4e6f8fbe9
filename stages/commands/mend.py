"""Put right what a kill can leave of DVC's own files; `regbench repro` and `regbench fanout` do so first.

    regbench mend

What it finds cut off, and what becomes of it: stages/core/running/lockfile.py.
"""

from stages.core.running import dvc


def main() -> None:
    dvc.mend()
