"""Put right what a kill, a merge or a rename can leave of results; `regbench repro` and `regbench fanout` do so first.

    regbench mend

What a kill cuts off of DVC's own files: stages/core/running/lockfile.py. Records that DVC does not know of, though they
are those of the rows, and files that Git left in conflict: stages/core/running/merging.py. Nothing trains.
"""

import argparse

from stages.core.running import merging


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    merging.mend()
