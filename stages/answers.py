"""Stage answers: build/studies/, build/answers/, build/grid.yaml and results/tables/*.csv -> results/answers.md.

    python -m stages.answers [--check]

It answers the studies that params.yaml selects, in its order, and says what the grid says across them. With --check
nothing is written: the file is compared with what the tables give.
"""

import argparse
from pathlib import Path

from stages.core.base.errors import run
from stages.core.base.files import check_text, write_atomically
from stages.core.config.yaml import read_yaml
from stages.core.results import across, answers
from stages.core.results.frames import read_frames, read_study

BUILD, TABLES, ANSWERS = Path("build"), Path("results/tables"), Path("results/answers.md")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the file instead of writing it")
    check = parser.parse_args().check
    studies = [read_study(name, BUILD) for name in read_yaml(Path("params.yaml"))["studies"]]
    text = answers.to_markdown([(study, read_frames(study, TABLES)) for study in studies])
    if found := across.read(BUILD, TABLES):
        text = f"{text}\n{across.to_markdown(found.claims)}"
    if check:
        check_text(ANSWERS, text, "the tables", "dvc repro --single-item --force answers")
        return
    write_atomically(ANSWERS, text)
    print(ANSWERS)


if __name__ == "__main__":
    run(main)
