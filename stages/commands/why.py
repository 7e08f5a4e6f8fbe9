"""Find out why a network does not learn: by experiment with its script, or from its training log alone.

    regbench why train.py [ARGUMENT ...] [--minutes 5] [--json FILE] [--html FILE] [--save NAME]
    regbench why --log FILE [--json FILE]

The script is run as it is, up to its `fit`; then single changes are tried until one makes the net learn, or up to three
together. `--save` keeps all that as a study: as asked, as repaired, and every single change that was tried. What stands
behind `--` goes to the script, and so does every option that is not listed here. A log is CSVLogger's CSV, a JSON of
History.history, or what Keras printed; `-` reads pasted text.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

from stages.core.base.errors import UserError, run
from stages.core.base.files import write_atomically
from stages.core.base.project import as_given, find
from stages.core.why.alike import alike
from stages.core.why.log_report import Finding, to_json, to_text
from stages.core.why.log_symptoms import symptoms
from stages.core.why.logs import LONGEST, decode, parse

TABLES = Path(__file__).resolve().parents[2] / "results/tables"
"""Of this clone, wherever the command is called; a package without results has none."""

NAMED = ["study", "row", "label", "diagnosis"]
CURVES = ["study", "row", "epoch", "quantity", "mean"]


MOST_CORES = 3
"""Processes of a search, at most: each takes about 0.6 GiB."""

SEEDS = 6
"""Of a study that is kept: as many as confirm a verdict."""

MOST_SECONDS = 7 * 24 * 60 * 60

FOR_THE_SCRIPT = 0.7
"""Share of the time that a script may take to come to its fit."""


def main() -> None:
    arguments, rest = parser().parse_known_args()
    if arguments.log:
        explain_log(arguments.log, arguments.json)
    elif arguments.script:
        explain_script(arguments, [word for word in rest if word != "--"])
    else:
        raise UserError("name a script, or a log with --log; `regbench why --help` tells more")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        "regbench why", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    made.add_argument("script", nargs="?", help="a Python script or a notebook that trains a Keras net")
    made.add_argument("--minutes", type=float, default=5.0, help="how long it may take (default: 5)")
    made.add_argument("--seed", type=int, default=0, help="of the experiments (default: 0)")
    made.add_argument("--fit", metavar="N", help="which call of fit: its number, from 1, or the net's name")
    made.add_argument("--python", default=sys.executable, metavar="FILE", help="the Python that runs the script")
    made.add_argument("--json", metavar="FILE", help="write the answer there as JSON too")
    made.add_argument("--html", metavar="FILE", help="write the answer there as a page too")
    made.add_argument("--save", metavar="NAME", help="keep it as a study of the clone that this folder lies in")
    made.add_argument("--log", metavar="FILE", help="a training log in place of a script; - for standard input")
    return made


def explain_script(arguments: argparse.Namespace, rest: list[str]) -> None:
    """Record a script, search for a repair, and tell.

    Raises:
        UserError: the script cannot be recorded.
    """
    from stages.core.why.investigation import experiment  # Unix only, and a log does not need it
    from stages.core.why.record import record
    from stages.core.why.search import Limits
    from stages.core.why.verdict import to_text as verdict_text

    end_in_order()
    began, seconds = time.monotonic(), 60 * arguments.minutes
    if not 0 < seconds < MOST_SECONDS:  # nor is it NaN, which no time exceeds
        raise UserError(f"--minutes {arguments.minutes:g}: give more than 0, and less than a week")
    if not 0 <= arguments.seed < 2**31:
        raise UserError(f"--seed {arguments.seed}: give a number from 0 to {2**31 - 1}")
    project = place_for(arguments.save) if arguments.save else None
    progress = Progress()
    progress(f"{arguments.script}: up to its fit")
    fit = int(arguments.fit) if arguments.fit and arguments.fit.isdigit() else arguments.fit
    script, most = as_given(arguments.script), FOR_THE_SCRIPT * seconds
    try:
        recorded = record(script, rest, python=arguments.python, fit=fit, seconds=most)
    except KeyboardInterrupt:
        raise UserError(f"{arguments.script}: interrupted before it came to its fit") from None
    cores = min(MOST_CORES, len(os.sched_getaffinity(0)))
    answer, found = experiment(recorded, Limits(seconds - (time.monotonic() - began), cores, arguments.seed), progress)
    progress.end()
    if arguments.json:
        text = json.dumps(answer.as_json(), indent=2, ensure_ascii=False)
        write_atomically(as_given(arguments.json), text + "\n")
    if arguments.html:
        from stages.core.why.page import page  # with matplotlib, which takes a second

        template = Path(__file__).resolve().parents[1] / "templates/why.html"
        write_atomically(as_given(arguments.html), page(answer, template.read_text(encoding="utf-8")))
    print(verdict_text(answer), end="", flush=True)
    if project:
        if found is None:
            raise UserError(f"{arguments.script}: no change could be tried, so there is no study to keep")
        with contextlib.chdir(project):
            print(f"\n{kept(arguments.save, script, found, answer.sentence)}")


def place_for(name: str) -> Path:
    """The clone that a study of this name can be kept in; UserError without one, or where the name is taken."""
    from stages.commands.new import check_name

    project = find(Path.cwd())
    check_name(name, project)
    return project


def kept(name: str, script: Path, found: Any, sentence: str) -> str:
    """Write what a search found (`Findings`) as a study of the current project; tells of it.

    Raises:
        UserError: no study can hold it; nothing is written then.
    """
    from stages.commands.new import CONF, write
    from stages.core.config.dataset import PublishedDataset
    from stages.core.config.validation import validate
    from stages.core.data import formats
    from stages.core.training import runtime
    from stages.core.why.study import DATA, study_of

    runtime.load()
    made = study_of(name, script.name, found, sentence)
    files = {DATA: made.data}
    arrays = formats.read(validate(PublishedDataset, made.dataset, name), files)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras' of the net as asked, whose faults the verdict tells
        told = write(name, {CONF / path: text for path, text in made.texts.items()}, files, arrays, SEEDS)
    return "\n".join([told, *(f"Left out, for rows have no words for it: {words}" for words in made.left_out)])


def end_in_order() -> None:
    """Have a signal that ends this process end what it started first: the script is a session of its own."""

    def end(number: int, _: Any) -> None:
        print(f"regbench: ended by {signal.Signals(number).name}", file=sys.stderr)
        sys.exit(128 + number)  # as a shell says it

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # nohup ignores one
            signal.signal(number, end)


class Progress:
    """What goes on, on one line of a terminal; silent where stderr is none."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.shown = sys.stderr.isatty()

    def __call__(self, words: str) -> None:
        if self.shown:
            print(f"\r\033[K{time.monotonic() - self.began:4.0f} s  {words}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Wipe the line."""
        if self.shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def explain_log(source: str, json_file: str | None = None) -> None:
    """Print what the log in a file (or `-`: standard input) shows, and write it as JSON where asked.

    Raises:
        UserError: there is no such file, or no log in it.
    """
    logs = parse(_read(source))
    curves, tables = _committed()
    findings = [Finding(log, symptoms(log), alike(log, curves, tables)) for log in logs]
    if json_file:
        write_atomically(as_given(json_file), json.dumps(to_json(findings), indent=2, ensure_ascii=False) + "\n")
    print(to_text(findings), end="")


def _read(source: str) -> str:
    most = 4 * LONGEST  # bytes of so many characters, at most
    if source == "-":
        if sys.stdin is None:
            raise UserError("standard input is closed; give a training log, or paste its text")
        return decode(sys.stdin.buffer.read(most + 1))
    path = as_given(source)
    if not path.is_file():
        what = "is no plain file; pipe it into `--log -`" if path.exists() else "no such file"
        raise UserError(f"{source}: {what}; give a training log, or - for pasted text")
    with path.open("rb") as file:
        return decode(file.read(most + 1))


def _committed() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Curves and tables of the committed rows, empty where there are none."""
    files = sorted(TABLES.glob("*_curves.csv"))
    if not files:
        return pd.DataFrame(columns=CURVES), pd.DataFrame(columns=NAMED)
    tables = [pd.read_csv(file.with_name(file.name.replace("_curves", "")), usecols=NAMED) for file in files]
    curves = [pd.read_csv(file, usecols=CURVES) for file in files]
    return pd.concat(curves, ignore_index=True), pd.concat(tables, ignore_index=True)


if __name__ == "__main__":
    run(main)
