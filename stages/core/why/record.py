"""What a user's script hands to Keras: recorded by running it, up to its `fit`, in a process of its own.

`record` runs `recorder.py` under the user's interpreter and reads what it wrote. Everything here is in Keras 3's words,
whatever Keras the script used.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import psutil
from pydantic import BaseModel, ConfigDict

from stages.core.base.errors import UserError
from stages.core.why import keras2, scripts

RECORDER = Path(__file__).with_name("recorder.py")
NOISE = re.compile(r"recorder: |[IWEF]\d{4} |WARNING: All log messages|To enable the following instructions")
COLOUR = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
LOOK = 0.2  # seconds between two looks at a running script


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Source(_Fact):
    """A call in the user's code; its whole statement where the call cannot be told from others on its line."""

    file: str  # absolute path
    line: int  # its first line, from 1
    end: int  # its last line
    begins: bool  # its first line begins a statement: other lines may go before it
    text: str  # these lines, whole, as they stand in the file
    call: str | None  # the call alone, as it stands there, like "Dense(1, activation='softmax')"; None: see above


class Layer(_Fact):
    """A layer of the net; layers inside other layers or nets follow the one that holds them."""

    name: str  # as in the net's configuration
    kind: str  # name of its class
    trainable: bool
    custom: bool  # a class that is not Keras'
    inside: str | None  # name of the layer or net that holds it; None: the net itself
    at: Source | None  # the call that made it


class Optimizer(_Fact):
    """An optimizer as Keras 3 names it."""

    name: str  # class, like "Adam"
    config: dict[str, Any]  # arguments of the class; `learning_rate` is a number or a schedule {"class_name", "config"}
    learning_rate: float  # in the first step
    custom: bool  # a class that is not Keras'; `config` may then be incomplete


class Loss(_Fact):
    """The loss of one output."""

    name: str  # Keras' function, like "binary_crossentropy"; the user's own name for a custom one
    config: dict[str, Any]  # arguments, like {"from_logits": True}; empty: all as by default
    custom: bool


class Metric(_Fact):
    """A metric of one output."""

    name: str  # as given to `compile`, like "accuracy"; snake case for an object of Keras, like "mean_absolute_error"
    custom: bool


class Compiled(_Fact):
    """What `compile` was given."""

    optimizer: Optimizer
    losses: list[Loss | None]  # one an output; None: the output has no loss
    loss_weights: list[float] | None  # one an output
    metrics: list[list[Metric]]  # by output
    weighted_metrics: list[list[Metric]]
    at: Source | None


class Callback(_Fact):
    """A callback given to `fit`."""

    name: str  # class
    settings: dict[str, Any]  # its plain attributes, like {"monitor": "val_loss", "patience": 3}
    custom: bool


class Regularizer(_Fact):
    """A regularizer that the script made and that penalizes nothing."""

    name: str  # class, like "L2"
    config: dict[str, Any]
    reason: Literal["given to no layer", "set after the layer was built"]
    layer: str | None
    at: Source | None


class Budget(_Fact):
    """How long and in which batches the script trains."""

    epochs: int
    batch_size: int  # 32 where the script says nothing; of the first batch for generators and tf.data
    steps_per_epoch: int | None
    shuffle: bool  # the order is drawn by `fit`; False for generators and tf.data, whose order is their own
    initial_epoch: int


class Values(_Fact):
    """One input or output over *all* its samples (of a generator: over all that were drawn)."""

    name: str  # of the net's input or output
    shape: list[int | None]  # of one sample; None: the length differs and was padded with zeros
    finite: bool  # no NaN, no infinity


class Samples(_Fact):
    """How many samples there are, and how many of them the record keeps (in their order, class shares kept)."""

    total: int | None  # None: a generator without an end
    kept: int


class Data(_Fact):
    """Samples with their targets: lists hold one array an input or output, in the net's order."""

    x: list[np.ndarray]
    y: list[np.ndarray]  # empty: the script gave no targets
    sample_weight: np.ndarray | None
    inputs: list[Values]
    targets: list[Values]
    samples: Samples
    origin: Literal["arrays", "sparse", "generator", "sequence", "tf.data", "split", "batches"]
    # sparse: matrices of SciPy among the arrays; split: validation_split; batches: put together from a loop's calls


class Fit(_Fact):
    """A call of `fit`, `fit_generator` or `train_on_batch` that the script made."""

    index: int  # from 1
    method: str
    model: str  # name of the net
    once: bool  # it stands in the script itself, in no loop and no function
    turns: int  # times that a loop makes this call for the same net: the budget's epochs are those of all together
    at: Source | None


class Record(_Fact):
    """What a script trains, on what, and how."""

    script: str  # absolute path
    arguments: list[str]
    keras: str  # version that the script ran under, like "3.15.1"

    fit: Fit  # the call that was recorded
    model_json: str | None  # the net as `keras.models.model_from_json` of Keras 3 reads it; None: see `custom`
    input_shapes: list[list[int | None]]  # with the batch axis; of the data where the net itself does not say
    output_shapes: list[list[int | None]]
    layers: list[Layer]
    parameters: int
    weights: dict[str, list[np.ndarray]]  # at the start of training, by layer of the net, as `layer.get_weights()`
    weights_origin: Literal["fresh", "loaded", "pretrained", "trained"]  # trained: by an earlier fit, cut to one epoch

    compiled: Compiled
    budget: Budget
    train: Data
    validation: Data | None
    validation_split: float | None
    class_weight: dict[int, float] | None
    callbacks: list[Callback]
    names: dict[str, str]  # modules and Keras' optimizers and layers where fit is called, by name: {"np": "numpy"}
    seeds: dict[str, int]  # seed by the function that set it, like {"keras.utils.set_random_seed": 42}
    idle_regularizers: list[Regularizer]

    first_step_error: str | None  # what Keras said, in one line, when one batch was trained; None: it trained
    custom: list[str]  # what keeps the net from being rebuilt and trained elsewhere, like "layer Attention"
    left_out: list[str]  # custom metrics and callbacks: an experiment runs without them
    translated: list[str]  # old spellings and what they were read as, like "lr= as learning_rate="
    stand_ins: list[str]  # data that could not be fetched and what stood in
    notes: list[str]  # anything else that the user should be told, a sentence each

    @property
    def repeats_order(self) -> bool:
        """Whether every epoch takes the samples in one and the same order: Keras 3 does with arrays and a seed."""
        seeded = {"keras.utils.set_random_seed", "tf.random.set_seed"} & set(self.seeds)
        return bool(seeded) and self.keras.startswith("3") and self.train.origin == "arrays"


def with_output_first(record: Record, output: int) -> Record:
    """The record with one output of a functional net before the others: what looks at the first one looks at it."""

    def turned(values: list) -> list:
        return [values[output], *values[:output], *values[output + 1 :]] if len(values) > output else values

    def of_data(data: Data | None) -> Data | None:
        return data and data.model_copy(update={"y": turned(data.y), "targets": turned(data.targets)})

    net = json.loads(record.model_json)
    net["config"]["output_layers"] = turned(net["config"]["output_layers"])
    compiled = record.compiled
    keys = ("losses", "metrics", "weighted_metrics", "loss_weights")
    lists = {key: getattr(compiled, key) and turned(getattr(compiled, key)) for key in keys}
    return record.model_copy(
        update={
            "model_json": json.dumps(net),
            "output_shapes": turned(record.output_shapes),
            "compiled": compiled.model_copy(update=lists),
            "train": of_data(record.train),
            "validation": of_data(record.validation),
        }
    )


def record(
    script: Path,
    arguments: Sequence[str] = (),
    *,
    python: str | Path = sys.executable,
    fit: int | str | None = None,
    max_samples: int = 10_000,
    seconds: float = 600.0,
    memory: float = 8.0,
) -> Record:
    """Run a script (or a notebook) up to its `fit` and tell what it trains.

    `fit` picks another call than the first: by its number, from 1, or by the name of the net or of its variable. At
    most `max_samples` samples are kept, and as many of the validation data. A script that takes longer than `seconds`,
    or more than `memory` GiB, is ended.

    Raises UserError where nothing can be recorded: in one line, with the place in the script where that is known.
    """
    script = Path(script)
    if not script.is_file():
        raise UserError(f"{script}: {'is no plain file' if script.exists() else 'no such file'}")
    with tempfile.TemporaryDirectory(prefix="regbench-why-") as folder:
        out = Path(folder)
        options = ["--max-samples", str(max_samples)]
        code = scripts.text(script)
        if code is not None:
            (out / f"{script.stem}.py").write_text(code, encoding="utf-8")
            options += ["--text", str(out / f"{script.stem}.py")]
        if fit is not None:
            options += ["--fit", str(fit)]
        command = [str(python), str(RECORDER), str(out), *options, "--", str(script), *arguments]
        ended = _run(command, out / "log", seconds, memory)
        found = _read(out)
        if found is None or not found["reached_fit"]:
            raise UserError(_reason(script, found, ended, _last_line(out / "log")))
        if "train" not in found:
            raise UserError(f"{found['where'] or script}: {found['error']}")
        with np.load(out / "arrays.npz") as stored:
            arrays = dict(stored)
    return _record(found, arrays)


def _run(command: list[str], log: Path, seconds: float, memory: float) -> str | None:
    """Run a command to its end, with its output in `log`; tells in words why it was ended, or None."""
    environment = {"PYTHONWARNINGS": "ignore", **os.environ}  # a script's last line says more
    environment["PYTHONDONTWRITEBYTECODE"] = "1"  # leave no files beside the user's
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise UserError(f"{command[0]}: cannot be run ({error.strerror})") from error
    end = time.monotonic() + seconds
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(LOOK)
                return f"it was ended by signal {-code}" if code < 0 else None
            if time.monotonic() > end:
                return f"it did not come to fit in {seconds:g} seconds"
            if _memory(process.pid) > memory:
                return f"it takes more than {memory:g} GiB of memory"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _memory(pid: int) -> float:
    """What a process and its children hold in memory, in GiB."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                total += each.memory_info().rss
    return total / 2**30


def _read(out: Path) -> dict[str, Any] | None:
    path = out / "record.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _last_line(log: Path) -> str:
    """The last line that a script printed, of what people read."""
    text = COLOUR.sub("", log.read_text(encoding="utf-8", errors="replace"))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    lines = [line for line in lines if line and not NOISE.match(line)]
    return lines[-1][:300] if lines else ""


def _reason(script: Path, found: dict[str, Any] | None, ended: str | None, last: str) -> str:
    """Why nothing was recorded, in one line."""
    if found is None:
        return f"{script}: {ended or 'it ended before its fit'}" + (f"; its last line: {last}" if last else "")
    spoken = f"; its last line: {last}" if "exit code" in found["error"] and last else ""
    return f"{found['where'] or script}: {found['error']}{spoken}"


def _record(found: dict[str, Any], arrays: dict[str, np.ndarray]) -> Record:
    """The record from what the recorder wrote, in the words of Keras 3."""
    layers = enumerate(found["weights"].items())
    weights = {name: [arrays[f"p{number}_{i}"] for i in range(count)] for number, (name, count) in layers}
    values = {key: found[key] for key in Record.model_fields if key in found}
    values.update(weights=weights, train=_data(found["train"], arrays, "t"))
    values["validation"] = found["validation"] and _data(found["validation"], arrays, "v")
    compiled = found["compiled"]
    if not found["keras"].startswith("3"):
        if found["model_json"]:
            values["model_json"] = json.dumps(keras2.model(json.loads(found["model_json"])))
        optimizer = {**compiled["optimizer"], "config": keras2.optimizer(compiled["optimizer"]["config"])}
        losses = [loss and keras2.loss(loss) for loss in compiled["losses"]]
        values["compiled"] = {**compiled, "optimizer": optimizer, "losses": losses}
    return Record.model_validate(values)


def _data(facts: dict[str, Any], arrays: dict[str, np.ndarray], prefix: str) -> dict[str, Any]:
    x = [arrays[f"{prefix}x{number}"] for number in range(len(facts["inputs"]))]
    y = [arrays[f"{prefix}y{number}"] for number in range(len(facts["targets"]))]
    return {**facts, "x": x, "y": y, "sample_weight": arrays.get(f"{prefix}w")}
