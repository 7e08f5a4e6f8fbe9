"""The grid and the response curves: what params.yaml asks for, as resolved rows.

The grid is every net of conf/net/ that params.yaml names beside every named regularization of conf/regularization/. A
cell that a study has as a row is that row; the others are rows of their own, `grid/<net>_<regularization>`. A curve is
one net at several strengths of one regularizer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.core.base.errors import UserError
from stages.core.config.composition import REGULARIZATION, Maker
from stages.core.config.dataset import Sheet
from stages.core.config.row import Row
from stages.core.config.study import Claims, Net, Regularization
from stages.core.config.validation import validate
from stages.core.config.yaml import read_yaml

GRID = "grid"  # the study that the grid's own rows belong to
NONE = "none"  # the regularization that the others are compared with
HELD_OUT_TENTH = {"split": {"validation": "tail", "size": 0.1, "monitor": "validation"}}
"""For early stopping, which must not look at test samples: where a study has no validation samples, the last tenth of
its training samples."""

Changes = Mapping[str, Mapping[str, Any]]
"""By row, what is merged into the net's configuration."""

RowsOf = Callable[[Net, Changes, int], dict[str, Row]]
"""From a net, changes and a number of seeds to the resolved rows."""


@dataclass(frozen=True)
class Grid:
    """The grid by names.

    `regularizations`: what each is called; `cells`: by net and regularization the key of the row, None where the net
    has no such row; `dropout`: of each net in its document; `rows`: those that no study has.
    """

    nets: Mapping[str, Net]
    regularizations: Mapping[str, str]
    cells: Mapping[str, Mapping[str, str | None]]
    dropout: Mapping[str, float]
    rows: Mapping[str, Row]


def rows_of(
    conf: Path, params: Mapping[str, Any], read_sheet: Callable[[str], Sheet], fingerprint: Callable[[Any], str]
) -> RowsOf:
    """Composes rows of the studies that params.yaml selects; arguments as of `composition.compose`."""
    makers = {study: Maker(conf, study, params, read_sheet, fingerprint) for study in params["studies"]}

    def compose(net: Net, changes: Changes, seeds: int) -> dict[str, Row]:
        if net.study not in makers:
            raise UserError(
                f"params.yaml: studies: {net.study} is missing, though a net of the grid or a curve is of it"
            )
        made = makers[net.study].changed(net.overrides, changes)
        return {name: row.model_copy(update={"seeds": seeds}) for name, row in made.items()}

    return compose


def compose_grid(conf: Path, params: Mapping[str, Any], studies: Mapping[str, Mapping[str, Row]], rows: RowsOf) -> Grid:
    """The grid.

    Args:
        conf: the folder with Hydra's groups.
        params: what `load_params` gave.
        studies: the resolved rows of each study, by name.
        rows: what `rows_of` gave.

    Raises:
        UserError: one line that names file and key.
    """
    known, files = read_regularizations(conf)
    nets = {name: read_net(conf, name, f"params.yaml: grid.{name}") for name in params["grid"]}
    cells: dict[str, dict[str, str | None]] = {}
    dropout: dict[str, float] = {}
    new: dict[str, Row] = {}
    for name, net in nets.items():
        entry = params["grid"][name]
        changes = {
            regularization: {**files[regularization], **(told.nets or {}).get(name, {})}
            for regularization, told in known.items()
            if told.nets is None or name in told.nets
        }
        chosen = _chosen(entry["regularizations"], known, f"params.yaml: grid.{name}.regularizations")
        identities = {identity(row): f"{net.study}/{key}" for key, row in studies.get(net.study, {}).items()}
        cells[name] = dict.fromkeys(known)
        composed = _compose(net, changes, entry["seeds"], rows)
        if NONE not in composed:
            raise UserError(f"{conf}/regularization/{NONE}.yaml: is missing, or not for all nets")
        dropout[name] = composed[NONE].dropout
        for regularization, row in composed.items():
            key = identities.get(identity(row))
            if key is None and regularization in chosen:
                own = f"{name}_{regularization}"
                new[own] = row.model_copy(update={"study": GRID, "row": own})
                key = f"{GRID}/{own}"
                identities[identity(row)] = key  # two names of one cell train once
            cells[name][regularization] = key
    return Grid(nets, {name: told.label for name, told in known.items()}, cells, dropout, new)


def compose_curves(
    conf: Path, params: Mapping[str, Any], rows: RowsOf
) -> tuple[dict[str, Net], dict[str, dict[float, Row]]]:
    """The net of each response curve, and its rows by their strength; arguments and errors as of `compose_grid`."""
    nets, curves = {}, {}
    for name, curve in params["curves"].items():
        nets[name] = net = read_net(conf, curve["net"], f"params.yaml: curves.{name}.net")
        part, key = curve["strength"].split(".")
        changes = {f"{name}_{value:g}": {part: {key: value}} for value in curve["values"]}
        own = net.model_copy(update={"overrides": [*net.overrides, *curve["overrides"]]})
        composed = rows(own, changes, curve["seeds"])
        curves[name] = dict(zip(curve["values"], composed.values(), strict=True))
    return nets, curves


def read_regularizations(conf: Path) -> tuple[dict[str, Regularization], Changes]:
    """The named regularizations in the order of the tables (none, those of the kernel, the others), and what each sets.

    Raises:
        UserError: a file does not say what it is.
    """
    files = {path: read_yaml(path) for path in sorted((conf / "regularization").glob("*.yaml"))}
    told = {path: file.pop(REGULARIZATION, None) or {} for path, file in files.items()}
    known = {path.stem: validate(Regularization, told[path], str(path), REGULARIZATION) for path in files}
    order = sorted(known, key=lambda name: (name != NONE, not known[name].label.startswith("kernel"), name))
    return {name: known[name] for name in order}, {path.stem: file for path, file in files.items()}


def read_net(conf: Path, name: str, where: str) -> Net:
    """conf/net/<name>.yaml; `where`: what names it.

    Raises:
        UserError: it is missing or is no such file.
    """
    path = conf / "net" / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml")))
        raise UserError(f"{where}: there is no {path}; there are {known or 'none'}")
    return validate(Net, read_yaml(path), str(path))


def read_claims(conf: Path) -> dict[str, Any]:
    """conf/grid.yaml, {"claims": ...}; without the file there are none.

    Raises:
        UserError: it says something else.
    """
    path = conf / "grid.yaml"
    return validate(Claims, read_yaml(path) if path.is_file() else {}, str(path)).model_dump()


def identity(row: Row) -> str:
    """What two rows share that train the same: all but names and seeds, and what is written in two ways.

    A dropout of rate 0 is no layer, a mark for penalties without penalties is none, and AdamW is Adam with its decay.
    """
    values = row.model_dump(exclude={"study", "row", "seeds"})
    values["layers"] = [layer for layer in values.get("layers") or [] if layer != {"type": "dropout", "rate": 0.0}]
    if not row.regularizers.any:
        values["layers"] = [
            {key: value for key, value in layer.items() if key != "regularized"} for layer in values["layers"]
        ]
    if values["optimizer"]["name"] == "adamw":
        values["optimizer"]["name"] = "adam"
    return repr(sorted((key, _sorted(value)) for key, value in values.items()))


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return sorted((key, _sorted(child)) for key, child in value.items())
    return [_sorted(child) for child in value] if isinstance(value, list) else value


def _chosen(names: Iterable[str] | None, known: Mapping[str, Any], where: str) -> set[str]:
    chosen = set(known if names is None else names)
    if unknown := sorted(chosen - set(known)):
        raise UserError(f"{where}: {unknown[0]}: there is no such file in conf/regularization")
    return chosen


def _compose(net: Net, changes: Changes, seeds: int, rows: RowsOf) -> dict[str, Row]:
    """The rows; one that stops early watches validation samples."""
    composed = rows(net, changes, seeds)
    peeking = {
        name: {**changes[name], **HELD_OUT_TENTH}
        for name, row in composed.items()
        if row.training.early_stopping is not None and row.split.monitor == "test"
    }
    return {**composed, **(rows(net, peeking, seeds) if peeking else {})}
