"""Stage aggregate: a study's run records -> results/tables/<study>.csv, .md, _curves.csv, _seeds.csv, _weights.csv.

    python -m stages.aggregate <study>
    python -m stages.aggregate [<study>] --check

It walks the rows that the study declares; a record that is missing, left over or of another configuration is an error.
With --check nothing is written: the files (of all studies, if none is named) are compared with what the records give.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from stages.core.base.errors import UserError, run, together
from stages.core.base.files import check_texts, write_atomically
from stages.core.config.validation import validate
from stages.core.config.yaml import read_resolved, read_yaml
from stages.core.records import records
from stages.core.results import tables
from stages.core.results.checked_csv import read, to_csv
from stages.core.results.table_schemas import CURVES, SEEDS, TABLE, WEIGHTS

BUILD, RESULTS = Path("build"), Path("results")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", nargs="?", help="a study that params.yaml selects; with --check, by default all")
    parser.add_argument("--check", action="store_true", help="compare with the files instead of writing them")
    arguments = parser.parse_args()
    if arguments.study is None and not arguments.check:
        raise UserError("usage: python -m stages.aggregate <study>, or --check for all studies")
    named = [arguments.study.rpartition("@")[2]] if arguments.study else []  # DVC gives the stage's name
    if arguments.check:
        studies = named or read_yaml(Path("params.yaml"))["studies"]
        together(partial(check, study) for study in studies)
        return
    for path, text in aggregate(*named).items():
        write_atomically(path, text)
    print(RESULTS / "tables" / f"{named[0]}.md")


def check(name: str) -> None:
    """Refuse tables of a study that its records do not give."""
    check_texts(aggregate(name), "the records", f"dvc repro --single-item --force aggregate@{name}")


def aggregate(name: str) -> dict[Path, str]:
    """The files of a study's tables and what its records make them."""
    path = BUILD / "studies" / f"{name}.yaml"
    if not path.is_file():
        raise UserError(f"{path}: no such study; `dvc repro compose` writes the studies that params.yaml selects")
    study = read_resolved(path)
    summaries = read_summaries(study)
    curves = tables.curves_table(study, summaries)
    frames = {
        f"{name}.csv": (tables.comparison_table(study, summaries, curves), TABLE),
        f"{name}_curves.csv": (curves, CURVES),
        f"{name}_seeds.csv": (tables.seeds_table(study, summaries), SEEDS),
        f"{name}_weights.csv": (tables.weights_table(study, summaries), WEIGHTS),
    }
    folder = RESULTS / "tables"
    texts = {folder / file: to_csv(frame, schema, str(folder / file)) for file, (frame, schema) in frames.items()}
    # Whatever is said elsewhere is said of the CSV's digits, so that no two files round one number differently.
    table = read(texts[folder / f"{name}.csv"], TABLE, "table")
    curves = read(texts[folder / f"{name}_curves.csv"], CURVES, "curves")
    return {
        **texts,
        folder / f"{name}.md": tables.to_markdown(study, table, curves),
    }


def read_summaries(study: dict[str, Any]) -> dict[str, records.Summary]:
    """The summaries of the study's rows, from records that are checked first."""
    name = study["name"]
    folder = RESULTS / "runs" / name
    found = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    records.check_files(study["rows"], found, str(folder))
    sheet_path = RESULTS / "datasets" / f"{study['dataset']}.json"
    if not sheet_path.is_file():
        raise UserError(f"{sheet_path}: is missing; run `dvc repro`")
    sheet = validate(records.Sheet, records.load_json(sheet_path.read_bytes(), str(sheet_path)), str(sheet_path))
    summaries = {}
    for row in study["rows"]:
        path = folder / f"{row}.json"
        record = records.parse(path.read_bytes(), str(path))
        config = read_resolved(BUILD / "rows" / name / f"{row}.yaml")
        records.check(record, config, sheet, str(path))
        summaries[row] = records.summarize(record)
    return summaries


if __name__ == "__main__":
    run(main)
