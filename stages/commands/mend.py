"""Put right what a kill can leave of DVC's own files; `make repro` and `make fanout` do so first.

    python -m stages.commands.mend

What it finds cut off, and what becomes of it: stages/core/running/lockfile.py.
"""

from stages.core.base.errors import run
from stages.core.running import lockfile


def main() -> None:
    for line in lockfile.mend():
        print(f"regbench: {line}")


if __name__ == "__main__":
    run(main)
