"""Composition: Hydra makes a resolved row of every row of a study, and a mistake stops the run before anything trains.

A *study* is one YAML file in conf/study/: Hydra defaults, what the document says, and its rows. A *row* is a label, the
reported figure and a list of Hydra overrides. Composing a row gives its resolved configuration, `Row`: plain data,
every value explicit, and only what can change the numbers. What is merely shown (labels, titles, reported figures)
stays with the study, `Study`, so that a new title never trains anything.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf

from stages.core.base.errors import UserError
from stages.core.base.text import one_line
from stages.core.config.dataset import PublishedDataset, Sheet
from stages.core.config.row import Regularizers, Row
from stages.core.config.study import Params, Study
from stages.core.config.validation import validate
from stages.core.config.yaml import read_resolved, read_yaml

MOST_BYTES = 1 << 20
"""Of a file in conf/ or of params.yaml; Hydra takes minutes for more."""

HEAD = "_without_rows"  # the study that is being composed
TOLD_AT_LENGTH = ("rows", "answer", "notes", "reported_logs", "verdict")
"""Of a study; Hydra copies all that it is given a dozen times, and of these no row has anything."""
ROW_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")  # it becomes the name of a file, with endings
UNSEEN = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff"  # no XML may hold them
    r"\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]"  # nobody sees them, and texts look alike or turned around
)
REFERENCE = re.compile(r"\$\{[\w.]+\}")  # to another value; every other ${...} could call a resolver
PARTS = ("dataset", "split", "augmentation", "model", "optimizer", "training", *Regularizers.model_fields)
REGULARIZATION = "regularization"  # the group of named ones; what a file says of itself stands under this key
OVERRIDE = re.compile(  # what a row may set; its data set is chosen in params.yaml
    rf"(\+?\+?(dataset\.\w+|{'|'.join(PARTS[1:])})(\.\w+)*|regularizer@({'|'.join(Regularizers.model_fields)})"
    rf"|{REGULARIZATION})=.*"
)
USUAL_GROUPS = {
    "/dataset": "???",  # params.yaml says which
    "/optimizer": "adam",
    **{f"/regularizer@{place}": "none" for place in Regularizers.model_fields},
}
USUAL_TRAINING = {"batch_size": 32, "epochs": 30}
NET_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.json")


def load_params(path: Path) -> dict[str, Any]:
    """Read params.yaml: {"device": str, "studies": {study: {"dataset": str, "seeds": int}}}."""
    _check_kind(path)
    return validate(Params, read_yaml(path), str(path)).model_dump()


def check_files(conf: Path) -> None:
    """Refuse a file below `conf` that is not plain data: Hydra resolves some references before `compose` sees them."""
    for file in sorted(conf.rglob("*.yaml")):
        _check_kind(file)
        _refuse_code(read_yaml(file), str(file))


def check_row_names(conf: Path) -> None:
    """Refuse what is no name of a row before DVC makes paths of it: it empties those even if nothing trains."""
    for path in sorted((conf / "study").glob("*.yaml")):
        _row_names(path, path.stem, read_resolved(path).get("rows"))


def check_pipeline(path: Path, studies: Iterable[str]) -> None:
    """Refuse a study whose rows the pipeline (dvc.yaml at `path`) does not know: nothing would ever train them."""
    listed = read_yaml(path).get("vars")
    for study in studies:
        if f"conf/study/{study}.yaml:rows" not in (listed or []):
            raise UserError(
                f"{path}: vars: conf/study/{study}.yaml:rows is missing, though params.yaml selects the study"
            )


def compose(
    conf: Path,
    study: str,
    params: dict[str, Any],
    read_sheet: Callable[[str], Sheet],
    fingerprint: Callable[[dict[str, Any]], str],
) -> tuple[Study, dict[str, Row]]:
    """Compose and check every row of a study.

    Args:
        conf: the folder with Hydra's groups, which `check_files` found to be data.
        study: name of a file in conf/study/.
        params: what `load_params` gave.
        read_sheet: gives the sheet of a data set.
        fingerprint: function from the row's composed mapping to the digest of the code that trains it.

    Returns:
        The study and its rows by name, in the file's order.

    Raises:
        UserError: one line that names file, row and key.
    """
    path = conf / "study" / f"{study}.yaml"
    maker = Maker(conf, study, params, read_sheet, fingerprint)
    text = {**maker.text, "rows": _row_names(path, study, maker.text.get("rows"))}
    declared = validate(Study, {key: value for key, value in text.items() if key in Study.model_fields}, str(path))
    for key in ("baseline", "asked", "fixed"):
        row = getattr(declared, key)
        if row is not None and row not in declared.rows:
            raise UserError(f"{path}: {key}: no row is called {one_line(row)}")
    for name, row in declared.rows.items():
        if row.reported_log is not None and row.reported_log not in declared.reported_logs:
            raise UserError(f"{path}: row {name}: reported_log: no log is called {one_line(row.reported_log)}")
    return declared, maker.rows({name: row.overrides for name, row in declared.rows.items()})


def compose_rows(
    conf: Path,
    study: str,
    overrides: Mapping[str, list[str]],
    params: dict[str, Any],
    read_sheet: Callable[[str], Sheet],
    fingerprint: Callable[[dict[str, Any]], str],
) -> dict[str, Row]:
    """Compose and check rows of a study from their overrides by name; arguments and errors as of `compose`."""
    return Maker(conf, study, params, read_sheet, fingerprint).rows(overrides)


def variants(overrides: Iterable[str]) -> list[list[str]]:
    """The combinations that overrides of one or several values stand for: a=1,2 b=3 are [a=1, b=3] and [a=2, b=3].

    Raises:
        UserError: one is no override as Hydra writes them.
    """
    choices = []
    for text in overrides:
        try:
            override = OverridesParser.create().parse_override(text)
            values = override.sweep_string_iterator() if override.is_sweep_override() else [text.partition("=")[2]]
            choices.append([f"{text.partition('=')[0]}={value}" for value in values])
        except Exception as error:  # Hydra's parser raises several kinds
            raise UserError(f"{one_line(text)}: is no override: {one_line(error)}") from None
    return [list(combination) for combination in product(*choices)]


def completed(text: dict[str, Any], study: str, classes: bool, test: bool) -> dict[str, Any]:
    """A study's mapping with the usual in place of what it leaves out: all but its model, its loss and its rows.

    Args:
        text: as the file has it.
        study: its name.
        classes: whether the targets are classes.
        test: whether the data set has test samples; without, a fifth of the others is held out.
    """
    listed = [entry for entry in text.get("defaults") or [] if isinstance(entry, dict)]
    groups = {key: value for entry in listed for key, value in entry.items()}
    missing = [{group: choice} for group, choice in USUAL_GROUPS.items() if group not in groups]
    rows, training = text.get("rows"), text.get("training")
    title = text.get("title", study)
    held_out = "test" if test else "validation"
    split: dict[str, Any] = {"validation": "none", "size": None, "random_state": None}
    if not test:
        split = {"validation": "stratified" if classes else "random", "size": 0.2, "random_state": 0}
    usual: dict[str, Any] = {
        "title": title,
        "question": "What does regularization do to this net on these data?",
        "claim": "Nothing is claimed; the rows are compared.",
        "source": f"conf/study/{study}.yaml",
        "figure_title": title,
        "headings": {"label": "row", "reported": "reported"},
        "metric": f"{held_out}.{'accuracy' if classes else 'mae'}",
        "split": {**split, "monitor": held_out},
    }
    if isinstance(rows, dict) and rows:
        usual["baseline"] = str(next(iter(rows))).partition("/")[2]
    full = {**usual, **text}
    if missing:
        full["defaults"] = [
            *missing,
            *(text.get("defaults") or []),
            *([] if "_self_" in (text.get("defaults") or []) else ["_self_"]),
        ]
    if isinstance(training, dict):
        full["training"] = {**USUAL_TRAINING, **training}
    return full


def dataset_title(conf: Path, name: str) -> str:
    """The title that conf/dataset/<name>.yaml gives the data set."""
    path = conf / "dataset" / f"{name}.yaml"
    title = read_yaml(path).get("title")
    if not isinstance(title, str):
        raise UserError(f"{path}: title: needs a text")
    return title


def to_yaml(data: dict[str, Any]) -> str:
    """YAML with a stable layout: order kept, Unicode readable, no aliases."""
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)


def _known(where: str, name: str, folder: Path) -> None:
    known = sorted(file.stem for file in folder.glob("*.yaml"))
    if name not in known:
        raise UserError(f"{where}: {one_line(name)}: there is no such file; {folder} has {', '.join(known)}")


def _row_names(path: Path, study: str, rows: Any) -> dict[str, Any]:
    if not isinstance(rows, dict) or not rows:
        raise UserError(f"{path}: rows: a study needs at least one row")
    names = {}
    for key, row in rows.items():
        prefix, _, name = str(key).partition("/")
        if prefix != study or not ROW_NAME.fullmatch(name):
            raise UserError(
                f"{path}: row {one_line(key)}: write it as {study}/<name>, the name in small letters, digits, _ and -, "
                "100 of them at most"
            )
        names[name] = row
    return names


@dataclass(frozen=True)
class Maker:
    """Makes rows of a study; arguments and errors as of `compose`.

    Hydra takes most of the time, so rows with the same choices of files share one composition.
    """

    conf: Path
    study: str
    params: Mapping[str, Any]
    read_sheet: Callable[[str], Sheet]
    fingerprint: Callable[[dict[str, Any]], str]
    _shared: dict[tuple[str, ...], DictConfig] = field(default_factory=dict)
    """What Hydra made, by the choices"""

    @property
    def entry(self) -> dict[str, Any]:
        return self.params["studies"][self.study]

    @cached_property
    def sheet(self) -> Sheet:
        _known(f"params.yaml: studies.{self.study}.dataset", self.entry["dataset"], self.conf / "dataset")
        return self.read_sheet(self.entry["dataset"])

    @cached_property
    def text(self) -> dict[str, Any]:
        """The study's file, completed."""
        _known("params.yaml: studies", self.study, self.conf / "study")
        text = read_yaml(self._path)
        _refuse_unknown_keys(text, str(self._path), {"defaults"})
        sheet = self.sheet
        described = read_yaml(self.conf / "dataset" / f"{self.entry['dataset']}.yaml")
        return completed(text, self.study, described.get("classes") is not None, "test_x" in sheet.arrays)

    def rows(self, overrides: Mapping[str, list[str]]) -> dict[str, Row]:
        """The rows by name."""
        with _hydra(self.conf):
            return {name: self.row(name, self.composed(name, of_row)) for name, of_row in overrides.items()}

    def changed(self, overrides: list[str], changes: Mapping[str, Mapping[str, Any]]) -> dict[str, Row]:
        """Rows that share their overrides: by name, what is merged into what these give, as nested mappings."""
        with _hydra(self.conf):
            base = copy.deepcopy(self.composed("+".join([*changes][:1]), overrides))
        OmegaConf.set_struct(base, False)
        return {name: self.row(name, OmegaConf.merge(base, change)) for name, change in changes.items()}

    def composed(self, name: str, overrides: list[str]) -> DictConfig:
        """What Hydra makes of a row's overrides; not to be changed."""
        for override in overrides:
            if not OVERRIDE.fullmatch(override):
                known = ", ".join(PARTS)
                raise UserError(f"{self._where(name)}: overrides: {one_line(override)}: must set a value of {known}")
        keys = Counter(override.lstrip("+").partition("=")[0] for override in overrides)
        if twice := [key for key, count in keys.items() if count > 1]:
            raise UserError(f"{self._where(name)}: overrides: {twice[0]} is set twice; keep one of them")
        with suppress(Exception):  # Hydra itself says what is wrong
            return self._quickly(overrides)
        try:
            return self._by_hydra(overrides)
        except Exception as error:  # Hydra's parsers raise many kinds, and nothing but configuration is at work here
            raise UserError(f"{self._where(name)}: {one_line(error)}") from None

    def _quickly(self, overrides: Iterable[str]) -> DictConfig:
        """The same, with values put into what other rows share, just as Hydra does it.

        Raises:
            Exception: of many kinds, where Hydra would raise or do more than that.
        """
        parsed = OverridesParser.create().parse_overrides([*overrides])
        values = [override for override in parsed if _is_value(override, self.conf)]
        choices = tuple(str(override.input_line) for override in parsed if override not in values)
        if choices not in self._shared:
            self._shared[choices] = self._by_hydra(choices)
        if not values:
            return self._shared[choices]
        composed = copy.deepcopy(self._shared[choices])
        for override in values:
            OmegaConf.update(composed, override.key_or_group, override.value(), merge=True)
        return composed

    def _by_hydra(self, overrides: Iterable[str]) -> DictConfig:
        head = {key: value for key, value in self.text.items() if key not in TOLD_AT_LENGTH}
        if any(override.startswith(f"{REGULARIZATION}=") for override in overrides):
            head["defaults"] = [*head["defaults"], {f"/{REGULARIZATION}": "none"}]
        ConfigStore.instance().store(group="study", name=HEAD, node=head, package="_global_")
        return hydra.compose(f"study/{HEAD}", overrides=[f"dataset={self.entry['dataset']}", *overrides])

    def row(self, name: str, composed: Any) -> Row:
        """The resolved row."""
        where, entry = self._where(name), self.entry
        declared, values = _plain(where, composed)
        _refuse_code(declared, where)
        _refuse_unknown_keys(values, where)
        parts = {key: values[key] for key in PARTS if key in values}
        model = _mapping(parts.pop("model", None), where, "model")
        _refuse_unused_settings(declared["model"], where)
        dataset = _mapping(parts.pop("dataset"), where, "dataset")
        if dataset.get("name") != entry["dataset"]:
            raise UserError(f"{where}: dataset.name: must be {entry['dataset']}, as the file and params.yaml have it")
        data = {
            "study": self.study,
            "row": name,
            "seeds": entry["seeds"],
            "device": self.params["device"],
            "dataset": _training_part_of_dataset(dataset, self.sheet, where),
            **_net(self.conf, model, where),
            "regularizers": {kind: parts.pop(kind, None) for kind in Regularizers.model_fields},
            **parts,
        }
        metric = str(self.text.get("metric"))
        if metric.endswith("balanced_accuracy") and isinstance(data.get("training"), dict):
            data["training"] = {**data["training"], "balanced": True}
        made = validate(Row, {**data, "fingerprint": self.fingerprint(data)}, where)
        _check_splits(where, metric, made, "test_x" in self.sheet.arrays)
        return made

    @property
    def _path(self) -> Path:
        return self.conf / "study" / f"{self.study}.yaml"

    def _where(self, name: str) -> str:
        return f"{self._path}: row {name}"


def _is_value(override: Override, conf: Path) -> bool:
    """Whether an override sets a value that is there, and chooses no file of a group."""
    key, value = override.key_or_group, override.value()
    changes = override.type is OverrideType.CHANGE and override.package is None and not override.is_sweep_override()
    return changes and not isinstance(value, dict) and not (conf / key).is_dir()


def _net(conf: Path, model: dict[str, Any], where: str) -> dict[str, Any]:
    """The net as a row has it: a chain of layers, or what a file beside the model's holds, as of to_json.

    A dropout whose rate is null is not there.
    """
    net: dict[str, Any] = {key: model[key] for key in ("layers", "keras") if key in model}
    if isinstance(net.get("layers"), list):
        net["layers"] = [layer for layer in net["layers"] if not _is_no_dropout(layer)]
    if "keras" not in net:
        return {"layers": None, **net}
    name = net["keras"]
    path = conf / "model" / str(name)
    if not isinstance(name, str) or not NET_FILE.fullmatch(name) or not path.is_file():
        raise UserError(f"{where}: model.keras: {one_line(name)}: there is no such file in {conf / 'model'}")
    try:
        net["keras"] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: is not what Keras' to_json writes: {one_line(error)}") from None
    return net


def _is_no_dropout(layer: Any) -> bool:
    return isinstance(layer, dict) and layer.get("type") == "dropout" and layer.get("rate", 0) is None


def _plain(where: str, composed: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A composed configuration as it is written, and with its references replaced by values."""
    try:
        written = OmegaConf.to_container(composed, resolve=False)
        return written, OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)  # type: ignore[return-value]
    except Exception as error:  # as above
        raise UserError(f"{where}: {one_line(error)}") from None


def _training_part_of_dataset(dataset: dict[str, Any], sheet: Sheet, where: str) -> dict[str, Any]:
    """What can change a number: of files, addresses and titles nothing, for the digest of the arrays decides."""
    described = validate(PublishedDataset, dataset, where, "dataset")
    if math.prod(described.shape) != math.prod(sheet.sample_shape):
        raise UserError(f"{where}: dataset.shape: {described.shape}, but a sample has the shape {sheet.sample_shape}")
    kept = described.model_dump(include={"name", "shape", "classes", "targets", "scale", "target_scale"})
    imputed = {"missing": described.missing} if described.missing in ("mean", "median") else {}
    return {"name": kept.pop("name"), "digest": sheet.digest, **kept, **imputed}


def _mapping(value: Any, where: str, key: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{where}: {key}: needs a mapping of keys to values")
    return value


def _check_splits(where: str, metric: str, row: Row, has_test: bool) -> None:
    """The study's metric and the monitored split must be among what training measures."""
    split, _, quantity = metric.partition(".")
    if quantity.removeprefix("balanced_") != row.metric:
        raise UserError(f"{where}: metric: {metric}, but {row.dataset.name} is measured by {row.metric}")
    missing = {"validation"} if row.split.validation == "none" else set()
    missing |= set() if has_test else {"test"}
    for key, name in (("metric", split), ("split.monitor", row.split.monitor)):
        if name in missing:
            raise UserError(f"{where}: {key}: there are no {name} samples")


def _check_kind(path: Path) -> None:
    """Refuse what would take for ever to read: a pipe, a device, a file far larger than any configuration."""
    if path.exists() and not path.is_dir() and not (path.is_file() and path.stat().st_size <= MOST_BYTES):
        raise UserError(f"{path}: is no plain file of {MOST_BYTES >> 20} MiB at most")


def _refuse_code(values: dict[str, Any], where: str) -> None:
    """Configuration is data: nothing that Hydra or OmegaConf could be asked to call or to read from outside."""
    for key, value in _leaves(values):
        if any(part.startswith("_") and part.endswith("_") for part in key.split(".")):
            raise UserError(f"{where}: {one_line(key)}: keys like _target_ are not allowed, configuration is data")
        if isinstance(value, str) and UNSEEN.search(value):
            raise UserError(
                f"{where}: {one_line(key)}: has a control character, which no figure can show and no reader see"
            )
        if isinstance(value, str) and "${" in REFERENCE.sub("", value):
            text = one_line(f"{key}: resolvers like {value} are not allowed, configuration is data")
            raise UserError(f"{where}: {text}")


def _refuse_unknown_keys(values: dict[str, Any], where: str, more: Iterable[str] = ()) -> None:
    for key in values:
        if key not in {*Study.model_fields, *PARTS, REGULARIZATION, *more}:
            raise UserError(f"{where}: {one_line(key)}: unknown key")


def _refuse_unused_settings(model: dict[str, Any], where: str) -> None:
    """A setting of a model that none of its layers refers to is a mistake."""
    used = {value for _, value in _leaves(model.get("layers")) if isinstance(value, str)}
    for key in model:
        if key not in ("layers", "keras") and f"${{model.{key}}}" not in used:
            raise UserError(f"{where}: model.{one_line(key)}: no layer refers to it")


def _leaves(value: Any, key: str = "") -> list[tuple[str, Any]]:
    children: Iterable[tuple[Any, Any]]
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
