"""Stage compose: conf/ + params.yaml -> build/rows/<study>/<row>.yaml, build/studies/<study>.yaml, build/grid.yaml,
build/curves/<curve>.yaml, results/grid.yaml.

A row's file holds all that can change its numbers: its configuration, the digest of its data, and the fingerprint of
the code that trains it. Every study is composed and checked before anything is written, so a mistake stops the run in a
second. results/grid.yaml names the rows of the grid that no study has, for dvc.yaml: DVC reads it when it starts, so
rows that are new there train with the next `dvc repro` (`regbench repro` does both).
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from stages.core.base.errors import UserError, run, without_arguments
from stages.core.base.files import keep, write_atomically
from stages.core.base.locks import in_turn
from stages.core.config import code, composition, grid
from stages.core.config.dataset import Sheet
from stages.core.config.presentation import TOLD, grid_presentation, presentation
from stages.core.config.row import Row
from stages.core.config.validation import validate
from stages.core.records.records import load_json
from stages.core.training import runtime

CONF, BUILD = Path("conf"), Path("build")
NETS = BUILD / "nets"  # what Keras said of each net
GRID, CURVES = Path("results/grid.yaml"), Path("results/curves")


def main() -> None:
    params = composition.load_params(Path("params.yaml"))
    composition.check_files(CONF)
    composition.check_pipeline(Path("dvc.yaml"), params["studies"])
    sources, versions = code.read()
    digests = code.digests(sources, versions, code.TRAIN)

    def fingerprint(row: dict[str, Any]) -> str:
        return code.fingerprint(row, digests)

    texts: dict[Path, str] = {}
    studies: dict[str, dict[str, Row]] = {}
    metrics: dict[str, str] = {}
    for study, selection in params["studies"].items():
        declared, rows = composition.compose(CONF, study, params, read_sheet, fingerprint)
        studies[study], metrics[study] = rows, declared.metric
        resolved = {name: composition.to_yaml(row.model_dump()) for name, row in rows.items()}
        title = composition.dataset_title(CONF, selection["dataset"])
        shown = presentation(study, declared, rows, resolved, selection["dataset"], title)
        texts |= {BUILD / "rows" / study / f"{name}.yaml": text for name, text in resolved.items()}
        texts[BUILD / "studies" / f"{study}.yaml"] = composition.to_yaml(shown)
        texts[BUILD / "answers" / f"{study}.yaml"] = composition.to_yaml(declared.model_dump(include=set(TOLD)))
        texts |= net_facts(CONF / "study" / f"{study}.yaml", rows)
    rows_of = grid.rows_of(CONF, params, read_sheet, fingerprint)
    composed = grid.compose_grid(CONF, params, studies, rows_of)
    nets, curves = grid.compose_curves(CONF, params, rows_of)
    texts |= grid_texts(composed) | curve_texts(curves, code.curve(sources, versions))
    texts[BUILD / "grid.yaml"] = composition.to_yaml(
        grid_presentation(metrics, composed, params["curves"], nets, curves)
    )
    texts[BUILD / "answers" / "grid.yaml"] = composition.to_yaml(grid.read_claims(CONF))
    texts |= net_facts(Path("params.yaml"), {f"grid: {name}": row for name, row in composed.rows.items()})
    for name, points in curves.items():
        ends = list(points.items())[:: len(points) - 1]  # Keras is asked of these alone: the others differ in a value
        texts |= net_facts(Path("params.yaml"), {f"curves: {name} at {value:g}": row for value, row in ends})
    for folder in ("rows", "studies", "answers", "curves", "nets"):
        shutil.rmtree(BUILD / folder, ignore_errors=True)
    for path, text in texts.items():
        write_atomically(path, text)
    for needed in (BUILD / "curves", CURVES):  # DVC looks into them also where there is no curve
        needed.mkdir(parents=True, exist_ok=True)
    for record in Path("results/runs").glob("*/*.json"):  # DVC removes it before its row trains anew
        keep(record, BUILD / "records" / record.parent.name / record.name)
    say_slow({**studies, grid.GRID: dict(composed.rows)})
    n_rows = sum(map(len, studies.values()))
    print(f"{n_rows} rows of {len(studies)} studies, {len(composed.rows)} more of the grid, {len(curves)} curves")


def grid_texts(composed: grid.Grid) -> dict[Path, str]:
    """The files of the grid's own rows, and the list that dvc.yaml reads."""
    texts = {
        BUILD / "rows" / grid.GRID / f"{name}.yaml": composition.to_yaml(row.model_dump())
        for name, row in composed.rows.items()
    }
    return {**texts, GRID: composition.to_yaml({"rows": {f"{grid.GRID}/{name}": {} for name in composed.rows}})}


def curve_texts(curves: dict[str, dict[float, Row]], digest: str) -> dict[Path, str]:
    """The files that the curves are trained from; `digest`: of the code that records them."""
    return {
        BUILD / "curves" / f"{name}.yaml": composition.to_yaml(
            {
                "curve": name,
                "code": digest,
                "points": [{"strength": strength, "row": row.model_dump()} for strength, row in points.items()],
            }
        )
        for name, points in curves.items()
    }


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


if __name__ == "__main__":
    run(without_arguments(in_turn(main)))
