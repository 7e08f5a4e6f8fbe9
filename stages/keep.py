"""Stage keep: results/runs/ -> build/runs/, a copy that DVC caches, so that `dvc push` brings records to a remote."""

import shutil
from pathlib import Path

from stages.core.base.errors import run, without_arguments


def main() -> None:
    shutil.rmtree("build/runs", ignore_errors=True)
    shutil.copytree(Path("results/runs"), Path("build/runs"))


if __name__ == "__main__":
    run(without_arguments(main))
