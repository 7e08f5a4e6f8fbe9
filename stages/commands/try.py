"""Try overrides of a study's row: a few seeds now, a line of its table, the diagnosis and the curve.

    regbench try STUDY [OVERRIDE ...] [--seeds 3]
    regbench try digits_comparison kernel.l2=1e-4,1e-2,1
    regbench try mnist_comparison regularization=dropout_20,l1_1e-3 training.epochs=5

An override is Hydra's, as in conf/study/; several values make a row each. What is not overridden is the study's own.
The baseline's seeds come from its record where there is a sound one. Nothing under results/ or build/rows changes.
"""

import argparse
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from stages import compose
from stages.core.base import cores
from stages.core.base.errors import UserError, run
from stages.core.config import composition
from stages.core.config.presentation import presentation
from stages.core.config.row import Row
from stages.core.config.study import ReportedRow
from stages.core.records import recording, records
from stages.core.results import tables, trials
from stages.core.training import programs, runtime

SEEDS = 3
CONF, RUNS = Path("conf"), Path("results/runs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", help="one that params.yaml selects")
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="key=value, or key=value,value,...")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"how many (default: {SEEDS})")
    arguments = parser.parse_intermixed_args()
    if arguments.seeds < 1:
        raise UserError(f"--seeds {arguments.seeds}: must be 1 or more")
    print(told(arguments.study, arguments.overrides, arguments.seeds))


def told(study: str, overrides: list[str], seeds: int) -> str:
    """What the rows that the overrides stand for give, beside the study's baseline."""
    params = composition.load_params(Path("params.yaml"))
    composition.check_files(CONF)
    if study not in params["studies"]:
        raise UserError(f"{study}: is none of the studies of params.yaml: {', '.join(params['studies'])}")
    selection = params["studies"][study]
    selection["seeds"] = seeds
    declared, own = composition.compose(CONF, study, params, compose.read_sheet, lambda row: "0" * 64)
    asked = composition.variants(overrides)
    labels = {f"try_{number}": of_row for number, of_row in enumerate(asked, start=1)} if overrides else {}
    rows = {declared.baseline: own[declared.baseline]}
    rows |= composition.compose_rows(CONF, study, labels, params, compose.read_sheet, lambda row: "0" * 64)
    told_rows = {
        declared.baseline: declared.rows[declared.baseline],
        **{name: ReportedRow(label=" ".join(of), overrides=of, beyond=True) for name, of in labels.items()},
    }
    shown = presentation(
        study,
        declared.model_copy(update={"rows": told_rows}),
        rows,
        dict.fromkeys(rows, ""),
        selection["dataset"],
        composition.dataset_title(CONF, selection["dataset"]),
    )
    summaries = {name: records.summarize(of_row) for name, of_row in measured(rows, declared.baseline).items()}
    curves = tables.curves_table(shown, summaries)
    return trials.to_text(shown, tables.comparison_table(shown, summaries, curves), curves)


def measured(rows: dict[str, Row], baseline: str) -> dict[str, records.Record]:
    """Records of the rows: the baseline's own as far as it goes, all others trained now."""
    kept = committed(rows[baseline])
    found = {baseline: kept} if kept else {}
    missing = [row for name, row in rows.items() if name not in found]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if missing:
            prepare(missing, folder / "programs")
        found |= {row.row: trained(row, folder) for row in missing}
    return {name: found[name] for name in rows}


def committed(row: Row) -> records.Record | None:
    """The first seeds of the row's record, if it has that many and is of the row as it is configured now."""
    path = RUNS / row.study / f"{row.row}.json"
    try:
        record = records.parse(path.read_bytes(), str(path))
    except (OSError, UserError):
        return None
    own = {"seeds", "fingerprint", "device"}
    same = {key: value for key, value in record.config.items() if key not in own} == row.model_dump(exclude=own)
    if not same or len(record.seeds) < row.seeds:
        return None
    return record.model_copy(update={"seeds": record.seeds[: row.seeds], "config": row.model_dump()})


def trained(row: Row, folder: Path) -> records.Record:
    """The record of a row that trains now."""
    record = recording.record(row, f"{row.study}/{row.row}", folder / row.row, {})
    return records.parse(records.to_json(record), row.row)


def prepare(rows: Iterable[Row], folder: Path) -> None:
    """Set TensorFlow up, and refuse a row of which Keras does not make what it says, in one line."""
    rows = list(rows)
    folder.mkdir()
    programs.use(folder, os.environ)  # rows of one shape are compiled once
    convolutions = any(row.has_convolutions for row in rows)
    runtime.prepare(rows[0].device, runtime.workers(rows[0].seeds, cores.available(os.environ)), convolutions)
    from stages.core.training import nets

    for row in rows:
        try:
            nets.check(row)
        except ValueError as error:
            raise UserError(f"conf/study/{row.study}.yaml: row {row.row}: {error}") from None


if __name__ == "__main__":
    run(main)
