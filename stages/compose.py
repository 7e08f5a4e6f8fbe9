"""Stage compose: conf/ + params.yaml -> build/rows/<study>/<row>.yaml, build/studies/<study>.yaml.

A row's file holds all that can change its numbers: its configuration, the digest of its data, and the fingerprint of
the code that trains it. Every study is composed and checked before anything is written, so a mistake stops the run in a
second.
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from stages.core.base.errors import UserError, run, without_arguments
from stages.core.base.files import keep, write_atomically
from stages.core.base.locks import in_turn
from stages.core.config import code, composition
from stages.core.config.dataset import Sheet
from stages.core.config.row import Regularizers, Row
from stages.core.config.study import Study
from stages.core.config.validation import validate
from stages.core.records.records import load_json
from stages.core.training import runtime

CONF, BUILD = Path("conf"), Path("build")
NETS = BUILD / "nets"  # what Keras said of each net
TOLD = ("answer", "verdict")  # what is said of a study's tables: neither they nor figures depend on it


def main() -> None:
    params = composition.load_params(Path("params.yaml"))
    composition.check_files(CONF)
    composition.check_pipeline(Path("dvc.yaml"), params["studies"])
    digests = code.digests(*code.read(), code.TRAIN)
    texts: dict[Path, str] = {}
    studies: dict[str, dict[str, Row]] = {}
    for study, selection in params["studies"].items():
        declared, rows = composition.compose(
            CONF, study, params, read_sheet, lambda row: code.fingerprint(row, digests)
        )
        resolved = {name: composition.to_yaml(row.model_dump()) for name, row in rows.items()}
        title = composition.dataset_title(CONF, selection["dataset"])
        shown = presentation(study, declared, rows, resolved, selection["dataset"], title)
        texts |= {BUILD / "rows" / study / f"{name}.yaml": text for name, text in resolved.items()}
        texts[BUILD / "studies" / f"{study}.yaml"] = composition.to_yaml(shown)
        texts[BUILD / "answers" / f"{study}.yaml"] = composition.to_yaml(declared.model_dump(include=set(TOLD)))
        studies[study] = rows
        texts |= net_facts(CONF / "study" / f"{study}.yaml", rows)
    for folder in ("rows", "studies", "answers", "nets"):
        shutil.rmtree(BUILD / folder, ignore_errors=True)
    for path, text in texts.items():
        write_atomically(path, text)
    for record in Path("results/runs").glob("*/*.json"):  # DVC removes it before its row trains anew
        keep(record, BUILD / "records" / record.parent.name / record.name)
    say_slow(studies)
    print(f"{sum(map(len, studies.values()))} rows of {len(studies)} studies")


def say_slow(studies: dict[str, dict[str, Row]]) -> None:
    """Name the rows that the engine cannot train."""
    for study, rows in studies.items():
        for name, row in rows.items():
            if row.optimizer.needs_fit:
                print(f"{study}/{name}: only Keras' own fit can train this; it is slower than other rows")


def read_sheet(dataset: str) -> Sheet:
    """What stage download found of a data set."""
    path = Path("results/datasets") / f"{dataset}.json"
    if not path.is_file():
        raise UserError(f"{path}: is missing; `dvc repro download` reads the data set and writes it")
    return validate(Sheet, load_json(path.read_bytes(), str(path)), str(path))


def net_facts(path: Path, rows: dict[str, Row]) -> dict[Path, str]:
    """What Keras says of the net of every row of the study at `path`, by file; what a file says is not asked again.

    Raises:
        UserError: Keras does not make of a row what it says; one line that names file, row and key.
    """
    texts = {}
    for name, row in rows.items():
        file = NETS / f"{_digest(row.shape())}.json"
        if file not in texts:
            texts[file] = file.read_text(encoding="utf-8") if file.is_file() else _asked(f"{path}: row {name}", row)
    return texts


def _asked(where: str, row: Row) -> str:
    runtime.load()
    from stages.core.training import nets

    try:
        return json.dumps(nets.check(row)) + "\n"
    except ValueError as error:
        raise UserError(f"{where}: {error}") from None


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def presentation(study: str, declared: Study, rows: dict[str, Row], texts: dict[str, str], dataset: str, title: str):
    """What aggregate, plot and report need to know of a study, as plain data."""
    shown = declared.model_dump(exclude={"rows", *TOLD})
    compared = len({row.dropout for row in rows.values()}) > 1
    return {
        "name": study,
        **shown,
        "dataset": dataset,
        "dataset_title": title,
        "higher_is_better": declared.metric.endswith("accuracy"),
        "n_seeds": next(iter(rows.values())).seeds,
        "rows": {
            name: {
                **row.model_dump(exclude={"overrides"}),
                **regularization(rows[name], compared),
                "context": context(row.overrides, study),
                "config_digest": hashlib.sha256(texts[name].encode()).hexdigest(),
            }
            for name, row in declared.rows.items()
        },
    }


def regularization(row: Row, dropout_compared: bool) -> dict[str, Any]:
    """The row's coefficients that are not zero, and one word or two that name its kind of regularization.

    A dropout that all rows of the study share is part of the model.
    """
    coefficients = {
        place: {name: value for name, value in getattr(row.regularizers, place).model_dump().items() if value}
        for place in Regularizers.model_fields
    }
    coefficients = {place: values for place, values in coefficients.items() if values}
    kinds = [f"{place} {'_'.join(values)}" for place, values in coefficients.items()]
    if dropout_compared and row.dropout:
        kinds.append("dropout")
    if row.optimizer.name == "adamw":
        kinds.append("weight decay")
    return {
        "regularizers": coefficients,
        "regularizer": "none" if not kinds else kinds[0] if len(kinds) == 1 else "mixed",
        "dropout": row.dropout,
    }


def context(overrides: list[str], study: str) -> str:
    """What a row changes besides regularization: rows that agree in it differ in regularization alone. So do Keras'
    files <study>-<row>.json, as `regbench new` writes them."""
    places = (f"{place}." for place in Regularizers.model_fields)
    regularizing = ("regularizer@", *places, "model.dropout", f"model.keras={study}-")
    return ", ".join(override for override in overrides if not override.startswith(regularizing))


if __name__ == "__main__":
    run(without_arguments(in_turn(main)))
