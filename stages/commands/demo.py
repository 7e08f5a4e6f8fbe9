"""A net that stops learning, its diagnosis, and the fix: three rows of scikit-learn's digits, trained now.

    regbench demo

It takes about a minute, needs no network, and writes to build/demo/ alone.
"""

import argparse
import sys
from pathlib import Path

from stages.core.base.errors import UserError
from stages.core.base.files import write_atomically
from stages.core.config.row import Regularizer, Row, load_row
from stages.core.records import recording, records
from stages.core.results import diagnosis
from stages.core.results.statistics import describe
from stages.core.running import dvc

LIKE = "digits_comparison/none"  # the row that the demo's are variants of
FOLDER = Path("build/demo")
SEEDS, EPOCHS, UNITS = 4, 10, 36
PLAIN, ASKED, FIXED = "none", "asked", "fixed"
ROWS = {PLAIN: 0.0, ASKED: 1.0, FIXED: 0.001}  # coefficients of L2 on the hidden layer's kernel


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    if dvc.repro("compose"):
        raise UserError("`dvc repro compose` failed, see above")
    like = load_row(Path("build/rows") / f"{LIKE}.yaml")
    found = {name: trained(variant(like, name, l2)) for name, l2 in ROWS.items()}
    print(told(found))


def variant(like: Row, name: str, l2: float) -> Row:
    """A net of a few sigmoid units, as in the question that regbench began with, with one penalty."""
    values = like.model_dump()
    hidden = next(layer for layer in values["layers"] if layer.get("regularized"))
    hidden |= {"units": UNITS, "activation": "sigmoid"}
    values |= {"study": "demo", "row": name, "seeds": SEEDS, "device": "cpu"}
    values["training"]["epochs"] = EPOCHS
    values["regularizers"]["kernel"] = Regularizer(l1=0.0, l2=l2).model_dump()
    return Row.model_validate(values)


def trained(row: Row) -> records.Summary:
    """Train a row as the stage does."""
    print(f"training {call(row.row)} with {row.seeds} seeds", file=sys.stderr, flush=True)
    text = records.to_json(recording.record(row, f"demo/{row.row}", FOLDER / "checkpoints", {}))
    write_atomically(FOLDER / f"{row.row}.json", text)
    return records.summarize(records.parse(text.encode(), row.row))


def told(found: dict[str, records.Summary]) -> str:
    """What the three rows show, in words."""
    diagnoses = {name: diagnosis.diagnose(summary, found[PLAIN]) for name, summary in found.items()}
    lines = [f"A net of {UNITS} sigmoid units on scikit-learn's digits, {SEEDS} seeds, {EPOCHS} epochs:", ""]
    for name, of in diagnoses.items():
        accuracy = describe(found[name].final["test"]["accuracy"]).mean
        lines.append(f"  {call(name):<28} test accuracy {accuracy:.3f}   {of.name.upper()}")
        lines.append(f"  {'':<28} {of.evidence}")
    fails = diagnoses[ASKED].name in {*diagnosis.FAILURES, diagnosis.OVER_REGULARIZED}
    mended = diagnoses[FIXED].name not in {*diagnosis.FAILURES, diagnosis.OVER_REGULARIZED}
    if fails and mended:
        lines += [
            "",
            f"With {call(ASKED)} the net does not get there; with {call(FIXED)}, all else the same, it does. The fix:",
            "",
            f"  - kernel_regularizer=keras.regularizers.L2({ROWS[ASKED]:g})",
            f"  + kernel_regularizer=keras.regularizers.L2({ROWS[FIXED]:g})",
        ]
    return "\n".join(
        [*lines, "", "With a script or a log of your own: `regbench why`. The documents: results/answers.md."]
    )


def call(name: str) -> str:
    return f"L2({ROWS[name]:g})" if ROWS[name] else "no regularizer"
