"""Write a study of your own: your data, your net, and the rows that show what regularization does to it.

    regbench new NAME --data houses.csv --target price --model model.keras

Data: a CSV with a header, .parquet or .npz, a folder or an archive of pictures (a folder a class), an address of one of
these, or openml:<number>. A net: what `model.save("model.keras")` or `model.to_json()` writes (of either the JSON alone
is read), or a list of layers in YAML. Nothing is written unless all of it fits together. `regbench repro` then trains.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from stages import compose as stage
from stages.core.base import cores
from stages.core.base.errors import UserError
from stages.core.base.files import write_atomically
from stages.core.base.locks import held
from stages.core.base.project import as_given
from stages.core.config import composition, own
from stages.core.config.dataset import PublishedDataset, Sheet
from stages.core.config.row import Row, Split
from stages.core.config.validation import validate
from stages.core.config.yaml import read_yaml
from stages.core.data import formats, splits
from stages.core.data.own import Given, Net, Wishes, described, given
from stages.core.training import runtime

CONF, DATA = Path("conf"), Path("data")
SECONDS_A_ROW = 9
"""What a row takes besides its steps: to load TensorFlow, to compile, to write."""

SPLITS = ("random", "stratified", "tail", "grouped")


def main() -> None:
    arguments = parser().parse_args()
    name = arguments.name
    check_name(name, Path())
    if not (as_given(arguments.model).is_file()):
        raise UserError(f"{arguments.model}: no such file; give model.keras, model.json or a list of layers in .yaml")
    data = given(arguments.data, as_given("."))
    runtime.load()
    from stages.core.training import given as nets  # only now: it loads TensorFlow

    nets.check_size(as_given(arguments.model), arguments.model, arguments.shape)
    net = nets.read_file(as_given(arguments.model), arguments.model, arguments.shape)
    dataset = described(name, data, wishes(arguments), Net(net.shape, net.outputs, net.classes))
    rule = split(arguments, dataset, data)
    arrays = formats.read(validate(PublishedDataset, dataset, arguments.data), data.files)
    parts = splits.split(arrays, composition_split(rule, arrays))
    if dataset["classes"] is not None:
        splits.check_classes(parts, dataset["classes"])
    n = len(parts["train"][0])
    if arguments.batch_size > n:
        raise UserError(f"--batch-size {arguments.batch_size}: there are only {n} training samples")
    texts = study_files(name, arguments, net, dataset, rule, arrays.train_x.shape[1:])
    print(write(name, texts, data.files, arrays, arguments.seeds))


def check_name(name: str, project: Path) -> None:
    """UserError if no study of the project can be called so, or one is."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,49}", name):
        raise UserError(f"{name}: a study's name is of small letters, digits and _, 50 at most, a letter first")
    files = [CONF / folder / f"{name}.yaml" for folder in ("study", "dataset", "model", "optimizer")]
    taken = [path for path in files if (project / path).exists()]
    if taken:
        raise UserError(f"{taken[0]}: is there already; take another name")


def write(name: str, texts: dict[Path, str], files: dict[str, bytes], arrays: formats.Arrays, seeds: int) -> str:
    """Write a study, its data, and its lines in dvc.yaml and params.yaml, if all of it fits together; tells of it.

    Args:
        texts: the study's files in conf/.
        files: those of its data, by name.
        arrays: what is in them.

    Raises:
        UserError: something does not fit; nothing is written then.
    """
    from stages.core.training import given as nets

    with held("write a study"):  # of two at once the second finds the first one's lines
        check_name(name, Path())
        pipeline, params = (Path(file).read_text(encoding="utf-8") for file in ("dvc.yaml", "params.yaml"))
        pipeline, params = own.with_study(pipeline, params, name, seeds)
        with tempfile.TemporaryDirectory() as folder:
            rows, facts = tried(Path(folder), name, texts, pipeline, params, arrays)
        first = next(iter(rows.values()))
        parts = splits.split(formats.reshaped(arrays, first.dataset.shape), first.split)
        seconds = nets.seconds_per_epoch(first, parts)
        of_data = {DATA / name / file: content for file, content in files.items()}
        write_all({**of_data, **texts, Path("params.yaml"): params, Path("dvc.yaml"): pipeline})
    return told(name, rows, facts, parts, seconds)


def write_all(contents: Mapping[Path, bytes | str]) -> None:
    """Write every file, or leave all as they were.

    Raises:
        OSError: the file system refused one.
    """
    before = {path: path.read_bytes() if path.is_file() else None for path in contents}
    try:
        for path, content in contents.items():
            write_atomically(path, content)
    except BaseException:
        for path, content in before.items():  # new files first, which makes room for the others on a full disk
            with suppress(OSError):
                if content is None:
                    path.unlink(missing_ok=True)
                elif path.read_bytes() != content:
                    write_atomically(path, content)
        raise


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the ten of the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def parser() -> argparse.ArgumentParser:
    made = _Parser(
        "regbench new", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    made.add_argument("name", help="of the study: small letters, digits and _")
    made.add_argument("--data", required=True, metavar="FILE", help="file, folder, address, or openml:<number>")
    made.add_argument("--model", required=True, metavar="FILE", help="model.keras, model.json or layers in .yaml")
    made.add_argument("--target", type=_names, default=[], metavar="COLUMN[,COLUMN]", help="what is to be predicted")
    made.add_argument("--ignore", type=_names, default=[], metavar="COLUMN[,COLUMN]", help="columns that are no inputs")
    kind = made.add_mutually_exclusive_group()
    kind.add_argument("--classes", action="store_const", const=True, dest="classes", help="the target is a class")
    kind.add_argument("--values", action="store_const", const=False, dest="classes", help="the target is a value")
    made.add_argument("--missing", choices=("refuse", "drop", "mean", "median"), default="refuse")
    made.add_argument("--scale", type=_scale, default="usual", help="of inputs: standard, minmax, a divisor, or none")
    made.add_argument("--target-scale", type=_scale, default="usual", help="of values (default: standard)")
    made.add_argument("--split", default=None, metavar="|".join([*SPLITS, "FILE"]), help="FILE: validation indices")
    made.add_argument("--size", type=float, default=0.2, help="share of the validation samples (0.2)")
    made.add_argument("--groups", metavar="COLUMN", help="of a grouped split")
    made.add_argument("--balanced", action="store_true", help="judge by the balanced accuracy")
    made.add_argument("--shape", type=_shape, help="of a sample, for a list of layers: 28,28,1")
    made.add_argument("--epochs", type=_count, default=30)
    made.add_argument("--batch-size", type=_count, default=32)
    made.add_argument("--seeds", type=_count, default=10)
    return made


def wishes(arguments: argparse.Namespace) -> Wishes:
    names = ("target", "groups", "ignore", "missing", "scale", "target_scale", "classes")
    return Wishes(**{name: getattr(arguments, name) for name in names})


def split(arguments: argparse.Namespace, dataset: dict[str, Any], data: Given) -> dict[str, Any] | None:
    """How validation samples are taken, None for the usual way; a file of indices becomes one of the data set's."""
    named = "grouped" if arguments.groups and arguments.split is None else arguments.split
    if not 0 < arguments.size < 1:
        raise UserError(f"--size {arguments.size:g}: a share lies between 0 and 1")
    if named is None and arguments.size == 0.2 and not dataset.get("targets"):
        return None
    named = named or ("random" if dataset["classes"] is None or dataset.get("targets") else "stratified")
    rule: dict[str, Any] = {"validation": named, "size": arguments.size, "random_state": 0, "monitor": "validation"}
    if named == "tail":
        rule["random_state"] = None
    elif named not in SPLITS:
        path = as_given(named)
        if not path.is_file():
            raise UserError(f"--split {named}: is none of {', '.join(SPLITS)}, and no file of indices either")
        content = path.read_bytes()
        if not content.strip():
            raise UserError(f"--split {named}: is empty")
        data.files["validation.txt"] = content
        dataset["files"].append(given_file("validation.txt", content))
        dataset["members"] = {"validation": "validation.txt"}
        rule |= {"validation": "indices", "size": None, "random_state": None}
    return rule


def given_file(name: str, content: bytes) -> dict[str, Any]:
    return {"name": name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), "urls": []}


def composition_split(rule: dict[str, Any] | None, arrays: formats.Arrays) -> Split:
    """The rule that a study without one gets."""
    usual = composition.completed({}, "", arrays.train_y.dtype.kind == "i", arrays.test_x is not None)["split"]
    return validate(Split, rule or usual, "split")


def study_files(
    name: str,
    arguments: argparse.Namespace,
    net: Any,
    dataset: dict[str, Any],
    rule: dict[str, Any] | None,
    shape: tuple[int, ...],
) -> dict[Path, str]:
    """The texts of the study's files in conf/."""
    from stages.core.training import given as nets

    loss = net.loss or usual_loss(net, dataset)
    head: dict[str, Any] = {"defaults": [{"/model": name}], "title": name}
    if arguments.balanced:
        head["metric"] = "validation.balanced_accuracy"
    head["training"] = {"loss": loss, "batch_size": arguments.batch_size, "epochs": arguments.epochs}
    if rule is not None:
        head["split"] = rule
    if tuple(shape) != tuple(net.shape):
        head["dataset"] = {"shape": list(net.shape)}
    comment = f"The net of {Path(arguments.model).name}."
    source = Path(arguments.data).name or arguments.data
    texts = {CONF / "dataset" / f"{name}.yaml": own.block(dataset, f"From {source}.")}
    if net.optimizer:
        head["defaults"].append({"/optimizer": name})
        texts[CONF / "optimizer" / f"{name}.yaml"] = own.block(net.optimizer, comment)
    if net.net is None:
        rows = own.rows_of_chain(net.penalties, net.settings, net.regularized)
        model = own.model_text(comment, net.settings, net.layers)
        head |= {place: {"l1": 0.0, "l2": 0.0, **part} for place, part in net.penalties.items()}
    else:
        rows, files = own.rows_of_json(name, net.own, net.rates, lambda **change: nets.variant(net.net, **change))
        texts |= {CONF / "model" / file: text for file, text in files.items()}
        model = f"# {comment}\nkeras: {name}-as_is.json\n"
    texts[CONF / "model" / f"{name}.yaml"] = model
    texts[CONF / "study" / f"{name}.yaml"] = own.study_text(name, head, rows)
    return texts


def usual_loss(net: Any, dataset: dict[str, Any]) -> str | dict[str, Any]:
    """The loss for a net that was not compiled: what its targets and its last activation ask for."""
    if dataset["classes"] is None:
        return "mean_squared_error"
    single = net.outputs == 1 or dataset.get("targets")
    loss = "binary_crossentropy" if single else "sparse_categorical_crossentropy"
    fitting = net.last_activation in ("sigmoid", "softmax")
    return loss if fitting else {"type": loss, "from_logits": True}


def tried(
    folder: Path, name: str, texts: dict[Path, str], pipeline: str, params: str, arrays: formats.Arrays
) -> tuple[dict[str, Row], dict[str, Any]]:
    """The study's rows and what Keras says of its net, composed in a copy of conf/ in `folder`.

    Raises:
        UserError: something does not fit.
    """
    conf = folder / "conf"
    shutil.copytree(CONF, conf)
    for path, text in texts.items():
        write_atomically(folder / path, text)
    write_atomically(folder / "params.yaml", params)
    write_atomically(folder / "dvc.yaml", pipeline)
    if read_yaml(folder / "params.yaml")["studies"] == read_yaml(Path("params.yaml"))["studies"]:
        raise UserError("params.yaml: has no place for another study; add it by hand, as conf/README.md says")
    arrays_described = formats.describe(arrays)
    sheet = validate(Sheet, {"digest": formats.digest_of(arrays_described), "arrays": arrays_described}, name)
    try:
        selected = composition.load_params(folder / "params.yaml")
        composition.check_files(conf)
        composition.check_pipeline(folder / "dvc.yaml", [name])
        _, rows = composition.compose(conf, name, selected, lambda _: sheet, lambda _: "0" * 64)
        facts = stage.net_facts(CONF / "study" / f"{name}.yaml", rows)
    except UserError as error:
        raise UserError(str(error).replace(f"{folder}/", "")) from None
    return rows, json.loads(next(iter(facts.values())))


def told(name: str, rows: dict[str, Row], facts: dict[str, Any], parts: splits.Splits, seconds: float) -> str:
    """What will be trained, and what to call."""
    row = next(iter(rows.values()))
    n = len(parts["train"][0])
    steps = -(-n // row.training.batch_size) * row.training.epochs
    cores_used = min(row.seeds, cores.available(os.environ))
    total = len(rows) * (SECONDS_A_ROW + row.seeds * row.training.epochs * seconds / cores_used)
    kind = "values" if row.dataset.classes is None else f"{row.dataset.classes} classes"
    if row.dataset.targets > 1:
        kind = f"{row.dataset.targets} {'values' if row.dataset.classes is None else 'labels'}"
    sizes = ", ".join(f"{len(x):,} {split}" for split, (x, _) in parts.items())
    scale = row.dataset.scale if row.dataset.scale is not None else "as they are"
    return "\n".join(
        [
            f"conf/study/{name}.yaml: {len(rows)} rows of {row.seeds} seeds: {', '.join(rows)}",
            f"Samples: {sizes}, of {kind}; inputs scaled: {scale}"
            + (f"; targets scaled: {row.dataset.target_scale}" if row.dataset.target_scale else ""),
            f"Net: {facts['parameters']:,} parameters; a seed takes {steps:,} steps of {row.training.batch_size}",
            f"About {_minutes(total)} on this machine. To train it, and to read it:",
            "",
            "    regbench repro",
            f"    cat results/tables/{name}.md results/answers.md",
        ]
    )


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} minutes"


def _names(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def _scale(text: str) -> str | float | None:
    if text in ("standard", "minmax", "usual"):
        return text
    if text == "none":
        return None
    try:
        divisor = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: wants standard, minmax, none or a divisor") from None
    if 0 < divisor < 1e-30 or divisor > 1e30:
        raise argparse.ArgumentTypeError(f"{text}: what is divided by it has no place in float32")
    return divisor


def _shape(text: str) -> tuple[int, ...]:
    return tuple(_count(part) for part in text.split(","))


def _count(text: str) -> int:
    if not (text.isdigit() and 0 < int(text) < 10**9):
        raise argparse.ArgumentTypeError(f"{text}: wants a whole number of 1 or more")
    return int(text)
