"""Measure how often `regbench why --log` is right: results/log_accuracy.md.

    regbench log_accuracy [--count N] [--seed S] [--trained FILE] [--kind tuning]

Trains N small nets for each fault and twelve times as many healthy ones, writes their logs in all formats, reads these
and compares what is said with what is true. FILE keeps the trainings, and gives those that it has. --kind tuning trains
the nets on which thresholds are chosen, prints the table and writes no file.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np

from stages.core.base.errors import run
from stages.core.base.files import write_atomically
from stages.core.base.project import as_given
from stages.core.measure import log_accuracy, log_formats
from stages.core.measure.log_accuracy import Judgement
from stages.core.why.log_symptoms import symptoms
from stages.core.why.logs import parse

RESULT = Path("results/log_accuracy.md")
COUNT = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=COUNT, help=f"nets for each fault ({COUNT})")
    parser.add_argument("--seed", type=int, default=0, help="another one draws other nets (0)")
    parser.add_argument("--trained", type=as_given, help="file that keeps the trainings, a JSON object a line")
    parser.add_argument("--kind", choices=("test", "tuning"), default="test")
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    judgements, styles = [], set()
    for judgement, style in judge(arguments.kind, arguments.count, arguments.seed, arguments.trained):
        judgements.append(judgement)
        styles.add(style.partition(",")[0])
    made = {
        "Formats": ", ".join(sorted(styles)),
        "Drawn by": f"`--count {arguments.count} --seed {arguments.seed}`",
        "Versions": ", ".join(f"{name} {version(name)}" for name in ("tensorflow", "keras", "scikit-learn")),
    }
    text = log_accuracy.to_markdown(judgements, made)
    if arguments.kind == "test":
        write_atomically(RESULT, text)
    print(text)


def judge(kind: str, count: int, seed: int, kept: Path | None) -> Iterator[tuple[Judgement, str]]:
    """Train, write the log, read it, and judge; with the style in which it was written."""
    from stages.core.measure import log_nets  # loads TensorFlow

    log_nets.one_thread()
    known = log_nets.from_lines(kept.read_text(encoding="utf-8")) if kept and kept.exists() else {}
    recipes = list(log_nets.recipes(kind, count, seed))
    for number, recipe in enumerate(recipes, start=1):
        began = time.monotonic()
        example = known.get(recipe) or log_nets.train(kind, recipe)
        if kept and recipe not in known:
            with kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(example)) + "\n")
        written = log_formats.write(
            {name: np.array(values) for name, values in example.columns.items()}, np.random.default_rng(recipe.seed)
        )
        (log,) = parse(written.text)
        said = {symptom.word for symptom in symptoms(log)}
        seconds = time.monotonic() - began
        print(f"{number} of {len(recipes)}: {recipe.pattern}, {recipe.task} ({seconds:.0f} s)", flush=True)
        yield (
            Judgement(frozenset(log_nets.truth(example)), frozenset(said), frozenset(log_nets.judged(recipe))),
            written.style,
        )


if __name__ == "__main__":
    run(main)
