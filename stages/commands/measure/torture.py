"""Everything that could lose a result or make a wrong one, tried at length: results/reliability.md.

    regbench torture [--kills N] [--configurations N] [--seed S]

It runs the tests of reliability in their full forms, in temporary copies. What is written is of a full run: one of
fewer kills or configurations only shows its table.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from stages.core.base import machine
from stages.core.base.errors import UserError
from stages.core.base.files import write_atomically
from stages.core.measure import reliability

TESTS = ("reliability", "files", "download", "archives", "config", "records", "training")
KILLS, CONFIGURATIONS = 30, 2000
PACKAGES = ("dvc", "tensorflow", "keras", "numpy", "hypothesis")
REPORT = Path("results/reliability.md")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--configurations", type=int, default=CONFIGURATIONS, help="fuzzed ones")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills and of the configurations")
    arguments = parser.parse_args()
    cases, figures = reliability.read(_run_tests(arguments.kills, arguments.configurations, arguments.seed))
    failed = [case.test for case in cases if case.outcome == "failed"]
    if failed:
        raise UserError(f"{len(failed)} of {len(cases)} tests failed, see above: {', '.join(failed)}")
    try:
        points = reliability.sorted_into_points(cases)
    except ValueError as error:
        raise UserError(str(error)) from None
    chosen = {name: value for name, value in vars(arguments).items() if value != parser.get_default(name)}
    options = "".join(f" --{name} {value}" for name, value in chosen.items())
    facts = machine.describe(PACKAGES)
    section = reliability.torture_section(points, figures, facts, f"regbench torture{options}")
    if arguments.kills < KILLS or arguments.configurations < CONFIGURATIONS:
        print(f"\n{section}\nregbench: not a full run, so {REPORT} stays as it is")
        return
    before = REPORT.read_text(encoding="utf-8") if REPORT.is_file() else ""
    write_atomically(REPORT, reliability.with_section(before, reliability.TORTURE, section))
    print(REPORT)


def _run_tests(kills: int, configurations: int, seed: int) -> str:
    """Run the tests, their output as usual, and give pytest's report of them."""
    amounts = {"REGBENCH_KILLS": str(kills), "REGBENCH_FUZZ": str(configurations), "REGBENCH_SEED": str(seed)}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        files = [f"tests/test_{name}.py" for name in TESTS]
        # One at a time: kills come at moments of a machine that does nothing else, and figures do not pass xdist.
        options = [
            "--numprocesses=0",
            f"--junitxml={report}",
            f"--hypothesis-seed={seed}",
            f"--basetemp={folder}/tests",
        ]
        options += ["-o", "tmp_path_retention_policy=none"]  # a copy for every kill would fill a disk
        subprocess.run([sys.executable, "-m", "pytest", *options, *files], env=os.environ | amounts, check=False)
        if not report.is_file():
            raise UserError("pytest did not run, see above")
        return report.read_text(encoding="utf-8")
