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
from stages.core.measure import reliability

TESTS = ("reliability", "files", "download", "archives", "config", "records", "training")
FULL = {"kills": 30, "configurations": 2000, "seed": 0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in FULL.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default: {default}")
    chosen = vars(parser.parse_args())
    cases, figures = reliability.read(run_tests(**chosen))
    if failed := [case.test for case in cases if case.outcome == "failed"]:
        raise UserError(f"{len(failed)} of {len(cases)} tests failed, see above: {', '.join(failed)}")
    try:
        points = reliability.sorted_into_points(cases)
    except ValueError as error:
        raise UserError(str(error)) from None
    command = " ".join(["regbench torture", *(f"--{name} {value}" for name, value in chosen.items())])
    section = reliability.torture_section(points, figures, machine.describe(reliability.PACKAGES), command)
    full = all(chosen[name] >= FULL[name] for name in ("kills", "configurations"))
    reliability.publish(reliability.TORTURE, section, full)


def run_tests(kills: int, configurations: int, seed: int) -> str:
    """Run the tests, their output as usual, and give pytest's report of them."""
    amounts = {"REGBENCH_KILLS": str(kills), "REGBENCH_FUZZ": str(configurations), "REGBENCH_SEED": str(seed)}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "--numprocesses=0", "-m", "", f"--junitxml={report}"]
        command += [f"--hypothesis-seed={seed}", f"--basetemp={folder}/tests", "-o", "tmp_path_retention_policy=none"]
        command += [f"tests/test_{name}.py" for name in TESTS]
        subprocess.run(command, env=os.environ | amounts, check=False)
        if not report.is_file():
            raise UserError("pytest did not run, see above")
        return report.read_text(encoding="utf-8")
