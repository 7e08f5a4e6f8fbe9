"""Composition: Hydra makes a resolved row of every row of a study, and a mistake stops the run before anything trains.

A *study* is one YAML file in conf/study/: Hydra defaults, what the document says, and its rows. A *row* is a label, the
reported figure and a list of Hydra overrides. Composing a row gives its resolved configuration, `Row`: plain data, every
value explicit, and only what can change the numbers. What is merely shown (labels, titles, reported figures) stays with
the study, `Study`, so that a new title never trains anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from stages.core.errors import UserError
from stages.core.schema import Regularizers, ReportedRow, Row, Study, one_line, read_yaml, validate

ROW_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


def load_params(path: Path) -> dict[str, Any]:
    """Read params.yaml: {"device": str, "studies": {study: {"dataset": str, "seeds": int}}} (OmegaConf, as DVC reads it)."""
    params = read_yaml(path)
    studies = params.get("studies")
    if not isinstance(studies, dict) or not studies:
        raise UserError(f"{path}: studies: names no study")
    for name, entry in studies.items():
        if not isinstance(entry, dict) or set(entry) != {"dataset", "seeds"}:
            raise UserError(f"{path}: studies.{name}: needs exactly the keys dataset and seeds")
    return params


def compose(
    conf: Path, study: str, params: dict[str, Any], fingerprint: Callable[[dict[str, Any]], str]
) -> tuple[Study, dict[str, Row]]:
    """Compose and check every row of a study.

    Args:
        conf: the folder with Hydra's groups.
        study: name of a file in conf/study/.
        params: what `load_params` gave.
        fingerprint: function from the row's composed mapping to the digest of the code that trains it.

    Returns:
        The study and its rows by name, in the file's order.

    Raises:
        UserError: one line that names file, row and key.
    """
    path = conf / "study" / f"{study}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in (conf / "study").glob("*.yaml")))
        raise UserError(f"params.yaml: studies.{study}: no such study; conf/study/ has {known}")
    text = read_yaml(path)
    text["rows"] = _row_names(path, study, text.get("rows"))
    text.pop("defaults", None)
    presentation = {key: value for key, value in text.items() if key in Study.model_fields}
    declared = validate(Study, presentation, str(path))
    if declared.baseline not in declared.rows:
        raise UserError(f"{path}: baseline: no row is called {declared.baseline}")
    for name, row in declared.rows.items():
        if row.reported_log is not None and row.reported_log not in declared.reported_logs:
            raise UserError(f"{path}: row {name}: reported_log: no log is called {row.reported_log}")
    with _hydra(conf):
        rows = {name: _compose_row(path, study, name, row, params, fingerprint) for name, row in declared.rows.items()}
    return declared, rows


def dataset_title(conf: Path, name: str) -> str:
    """The title that conf/dataset/<name>.yaml gives the data set."""
    return str(read_yaml(conf / "dataset" / f"{name}.yaml")["title"])


def to_yaml(data: dict[str, Any]) -> str:
    """YAML with a stable layout: order kept, Unicode readable, no aliases."""
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)


def _row_names(path: Path, study: str, rows: Any) -> dict[str, Any]:
    if not isinstance(rows, dict) or not rows:
        raise UserError(f"{path}: rows: a study needs at least one row")
    names = {}
    for key, row in rows.items():
        prefix, _, name = str(key).partition("/")
        if prefix != study or not ROW_NAME.fullmatch(name):
            raise UserError(
                f"{path}: row {key}: write it as {study}/<name>, the name in small letters, digits, _ and -"
            )
        names[name] = row
    return names


def _compose_row(
    path: Path,
    study: str,
    name: str,
    row: ReportedRow,
    params: dict[str, Any],
    fingerprint: Callable[[dict[str, Any]], str],
) -> Row:
    where = f"{path}: row {name}"
    entry = params["studies"][study]
    try:
        composed = hydra.compose(f"study/{study}", overrides=[f"dataset={entry['dataset']}", *row.overrides])
        _refuse_code(composed)
        _refuse_unused_settings(composed)
        values = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException, UserError) as error:
        raise UserError(f"{where}: {one_line(error)}") from None
    data = {
        "study": study,
        "row": name,
        "seeds": entry["seeds"],
        "device": params["device"],
        "dataset": _training_part_of_dataset(values["dataset"]),
        "split": values.get("split"),
        "augmentation": values.get("augmentation"),
        "layers": values["model"]["layers"],
        "regularizers": {kind: values[kind] for kind in Regularizers.model_fields},
        "optimizer": values["optimizer"],
        "training": values.get("training"),
    }
    known = {*Study.model_fields, *data, "model", *Regularizers.model_fields}
    for key in values:
        if key not in known:
            raise UserError(f"{where}: {key}: unknown key")
    return validate(Row, {**data, "fingerprint": fingerprint(data)}, where)


def _training_part_of_dataset(dataset: dict[str, Any]) -> dict[str, Any]:
    """Without what does not change a number: titles, addresses, sizes (the digest decides)."""
    kept = {key: value for key, value in dataset.items() if key != "title"}
    kept["files"] = [{"name": file["name"], "sha256": file["sha256"]} for file in dataset["files"]]
    return kept


def _refuse_code(config: DictConfig) -> None:
    """Configuration is data: nothing that Hydra or OmegaConf could be asked to call or to read from outside."""
    for key, value in _leaves(OmegaConf.to_container(config, resolve=False)):
        if any(part.startswith("_") and part.endswith("_") for part in key.split(".")):
            raise UserError(f"{key}: keys like _target_ are not allowed, configuration is data")
        if isinstance(value, str) and re.search(r"\$\{[^}]*:", value):
            raise UserError(f"{key}: resolvers like {value} are not allowed, configuration is data")


def _refuse_unused_settings(config: DictConfig) -> None:
    """A setting of a model that none of its layers refers to is a mistake."""
    model = OmegaConf.to_container(config.model, resolve=False)
    used = {value for _, value in _leaves(model["layers"]) if isinstance(value, str)}
    for key in model:
        if key != "layers" and f"${{model.{key}}}" not in used:
            raise UserError(f"model.{key}: no layer refers to it")


def _leaves(value: Any, key: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    else:
        return [(key, value)]
    return [leaf for name, child in children for leaf in _leaves(child, f"{key}.{name}" if key else str(name))]


class _hydra:
    """Hydra's compose API over a folder of configs, cleaned up afterwards."""

    def __init__(self, conf: Path):
        self.conf = conf

    def __enter__(self):
        GlobalHydra.instance().clear()
        hydra.initialize_config_dir(str(self.conf.resolve()), version_base="1.3")

    def __exit__(self, *_):
        GlobalHydra.instance().clear()
