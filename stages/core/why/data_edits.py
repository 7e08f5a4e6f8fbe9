"""A repair's changes of the data as lines before `fit`, which do what the experiment did, in the script's own names.

The arguments of `fit` are changed where they stand: a name or an attribute is assigned anew where the call runs once,
anything else gets a new name, which `fit` is then given. The numbers by which arrays change keep names of their own,
since predictions need them. Where that cannot be done line by line, a comment says what to do.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from stages.core.why import interventions
from stages.core.why import net as nets
from stages.core.why.record import Record
from stages.core.why.record import Values as Facts
from stages.core.why.setup import Setup
from stages.core.why.trial import Case

DATA_KINDS = ("finite", "shuffle", "inputs", "targets", "labels")
IMPORT = "import numpy as np"
PREDICTED = "  # likewise, by these numbers, whatever goes to predict or evaluate"


@dataclass(frozen=True)
class Slot:
    """An argument of `fit`: under which name the lines change it, and what it is in the script."""

    name: str
    source: str  # an expression; other than the name: the name is new
    node: ast.expr | None  # in the call; None: a part of what stands there


@dataclass(frozen=True)
class Slots:
    """The arguments of one call of `fit` that hold samples; held_x is empty where none are held out, or by a share."""

    x: tuple[Slot, ...]
    y: Slot
    held_x: tuple[Slot, ...] = ()
    held_y: Slot | None = None
    held: ast.expr | None = None  # one expression for all that is held out
    weight: Slot | None = None
    split: float | None = None


@dataclass(frozen=True)
class DataEdit:
    """Lines before the call of `fit`, and this call with its changed arguments; None: as it is."""

    lines: list[str]
    call: str | None = None


def data_edit(record: Record, case: Case, after: Setup, kinds: set[str]) -> DataEdit:
    """How the script changes its data as the experiment did with these kinds of changes; `after` is its setup."""
    numbered = {"labels", "head"} & kinds and interventions.needs_numbers(case.setup, case.data, case.task)
    kinds = (kinds & set(DATA_KINDS)) | ({"labels"} if numbered else set())
    if not kinds:
        return DataEdit([])
    slots = find_slots(record)
    if slots is None:
        return DataEdit(sentences(record, case, after, kinds))
    lines = _Lines(record, case, slots)
    for kind in sorted(kinds, key=interventions.ORDER.__getitem__):
        lines.change(kind, after)
    return DataEdit(lines.whole(), lines.call())


# --- the arguments of fit -----------------------------------------------------------------------------------------


def call_of(record: Record) -> ast.Call | None:
    """The call of `fit` in the script, if its text shows it."""
    at = record.fit.at
    try:
        tree = ast.parse(at.call, mode="eval").body if at and at.call else None
    except SyntaxError:
        return None
    return tree if isinstance(tree, ast.Call) else None


def called(record: Record) -> str:
    """What the script calls there: fit, train_on_batch, or a function that calls `fit` in its turn; empty: unknown."""
    call = call_of(record)
    return "" if call is None else getattr(call.func, "attr", getattr(call.func, "id", ""))


def owner(record: Record) -> str:
    """The net in the script's words, as its call of `fit` names it."""
    function = getattr(call_of(record), "func", None)
    return ast.unparse(function.value) if isinstance(function, ast.Attribute) else "model"


def stands_alone(record: Record) -> bool:
    """Whether lines can go before the call: a statement begins there, and no loop in its lines makes its arguments."""
    try:
        tree = ast.parse(record.fit.at.text.strip())
    except SyntaxError:  # the head of a loop, or a statement that goes on
        return False
    call = ast.dump(call_of(record))
    loops = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Lambda, ast.For, ast.While)
    around = [node for node in ast.walk(tree) if isinstance(node, loops)]
    return record.fit.at.begins and not any(ast.dump(node) == call for outer in around for node in ast.walk(outer))


def find_slots(record: Record) -> Slots | None:
    """Where the script's samples stand in its call of `fit`; None: not in a form that lines could change."""
    call, train = call_of(record), record.train
    arrays = train.origin == "arrays" and called(record) == "fit" and len(train.y) == 1
    whole = all(None not in values.shape for values in train.inputs)
    if call is None or not arrays or not whole or not stands_alone(record):
        return None
    given = {word.arg: word.value for word in call.keywords}
    given |= dict(zip(("x", "y"), call.args, strict=False))
    inputs, targets = _parts(given.get("x"), train.inputs), _parts(given.get("y"), train.targets)
    if not inputs or not targets or (train.sample_weight is not None and "sample_weight" not in given):
        return None
    names = ["fit_x"] if len(inputs) == 1 else [f"fit_x{number}" for number in range(1, len(inputs) + 1)]
    texts = [ast.unparse(node) for node in ast.walk(call) if isinstance(node, ast.expr)]
    texts = texts if record.fit.once else []  # else nothing is assigned anew: the next turn would change it again
    x = tuple(_slot(*pair, texts) for pair in zip(names, inputs, strict=True))
    weight = None if train.sample_weight is None else _slot("fit_weight", given["sample_weight"], texts)
    found = Slots(x, _slot("fit_y", targets[0], texts), weight=weight, split=record.validation_split)
    if record.validation is None or record.validation_split:
        return found
    return _with_held_out(found, given.get("validation_data"), record, texts)


def _with_held_out(slots: Slots, pair: ast.expr | None, record: Record, texts: list[str]) -> Slots | None:
    """The slots with those of `validation_data`."""
    held = record.validation
    if pair is None or held.origin != "arrays" or len(held.y) != 1:
        return None
    if isinstance(pair, ast.Tuple | ast.List):
        inputs = _parts(pair.elts[0], held.inputs)
        names = [f"held_x{number + 1}" if len(slots.x) > 1 else "held_x" for number in range(len(slots.x))]
        made = tuple(_slot(*each, texts) for each in zip(names, inputs or (), strict=False))
        return replace(slots, held_x=made, held_y=_slot("held_y", pair.elts[1], texts)) if inputs else None
    source = ast.unparse(pair)
    x, y = (Slot(name, f"{source}[{place}]", None) for place, name in enumerate(("held_x", "held_y")))
    return replace(slots, held_x=(x,), held_y=y, held=pair) if len(slots.x) == 1 else None


def _slot(name: str, node: ast.expr, texts: list[str]) -> Slot:
    """A slot of its own name where that can be assigned and is nothing else in the call, whose `texts` these are.

    Without texts it gets a new name.
    """
    source = ast.unparse(node)
    kept = isinstance(node, ast.Name | ast.Attribute) and texts.count(source) == 1
    return Slot(source if kept else name, source, node)


def _parts(node: ast.expr | None, values: list[Facts]) -> list[ast.expr] | None:
    """The expressions of as many arrays, in the net's order; None where they cannot be told."""
    if isinstance(node, ast.Dict):
        by_name = {key.value: value for key, value in zip(node.keys, node.values, strict=True) if _is_text(key)}
        parts = [by_name.get(facts.name) for facts in values]
        return None if None in parts else parts
    if isinstance(node, ast.List | ast.Tuple):
        known = len(node.elts) == len(values) and not any(_is_number(part) for part in node.elts)
        return list(node.elts) if known else None
    return [node] if node is not None and len(values) == 1 else None


def _is_text(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_number(node: ast.expr) -> bool:
    """Whether an expression is a number, or a list of such: then it's no array of its own."""
    return isinstance(node, ast.Constant | ast.List | ast.Tuple | ast.UnaryOp | ast.Starred)


# --- the lines ----------------------------------------------------------------------------------------------------


class _Lines:
    """Lines that change the arrays of the slots, step by step."""

    def __init__(self, record: Record, case: Case, slots: Slots) -> None:
        self.record, self.case, self.slots = record, case, slots
        self.lines: list[str] = []
        self.made: dict[str, str] = {}  # by name of a slot: the line that makes its array; empty: it needs none
        self.kinds: dict[str, str] = {}  # of number, by name
        self.without_weight = False
        self.taken = {node.id for node in ast.walk(call_of(record)) if isinstance(node, ast.Name)}

    def whole(self) -> list[str]:
        """All lines: what is held out is made first, since it may be made of what then changes."""
        first = [slot.name for slot in (*self.slots.held_x, self.slots.held_y) if slot]
        made = sorted(self.made, key=lambda name: name not in first)
        lines = [self.made[name] for name in made if self.made[name]] + self.lines
        known = self.record.names.get("np") == "numpy" or not any("np." in line for line in lines)
        return lines if known else [IMPORT, *lines]

    def call(self) -> str | None:
        """The call of `fit` with new names for what got one."""
        slots, changed = self.slots, []
        for slot in (*slots.x, slots.y, *slots.held_x, slots.held_y, slots.weight):
            if slot and slot.node is not None and slot.name in self.made and slot.name != slot.source:
                changed.append((slot.node, slot.name))
        pair = [slot.name if slot.name in self.made else slot.source for slot in (*slots.held_x, slots.held_y) if slot]
        if slots.held is not None and {"held_x", "held_y"} & set(self.made):
            more = [f"{ast.unparse(slots.held)}[2]"] if self.record.validation.sample_weight is not None else []
            changed.append((slots.held, f"({', '.join(pair + more)})"))
        if self.without_weight:
            changed = [(node, name) for node, name in changed if node is not slots.weight.node]
            changed.append((slots.weight.node, "None"))
        text = self.record.fit.at.call
        for node, name in sorted(changed, key=lambda pair: (pair[0].lineno, pair[0].col_offset), reverse=True):
            text = spliced(text, node, name)
        return text if changed else None

    def change(self, kind: str, after: Setup) -> None:
        {
            "finite": self.fill,
            "shuffle": self.shuffle,
            "inputs": self.scale_inputs,
            "labels": lambda: self.number(after),
            "targets": lambda: self.scale_targets(after),
        }[kind]()

    def make(self, slot: Slot, kind: str = "") -> str:
        """The name of a slot whose array is at hand from now on; of a kind of number, where one is given."""
        kind = self.kinds.setdefault(slot.name, kind) or kind
        self.kinds[slot.name] = kind
        self.made[slot.name] = f"{slot.name} = np.asarray({slot.source}" + (f', "{kind}")' if kind else ")")
        return slot.name

    def trained(self, name: str) -> str:
        """The part of an array on which the net trains: its numbers are those that count."""
        if not self.slots.split:
            return name
        stop = f"int(len({name}) * (1 - {self.slots.split:g}))"
        self.lines.append(f"part = {name}[:{stop}]  # without the samples that are held out")
        return "part"

    def pairs(self) -> Iterator[tuple[np.ndarray, Facts, Slot, Slot | None]]:
        """Every input: its samples, what is known of all of them, its slot, and that of the held-out ones."""
        held = self.slots.held_x or (None,) * len(self.slots.x)
        return zip(self.case.data.x, self.record.train.inputs, self.slots.x, held, strict=True)

    def fill(self) -> None:
        held_facts = self.record.validation.inputs if self.record.validation else self.record.train.inputs
        for (x, facts, slot, held), other in zip(self.pairs(), held_facts, strict=True):
            if x.dtype.kind in "US" or (facts.finite and other.finite):
                continue
            kind = np.dtype(interventions.exact(x)).name
            name = self.make(slot, kind)
            if np.isinf(x).any() or not np.isnan(x).any():
                self.lines.append(f"{name} = np.where(np.isfinite({name}), {name}, np.nan)")
            mean = f"np.nanmean({self.trained(name)}, axis=0)"
            if (~np.isfinite(x)).all(axis=0).any():
                mean = f"np.nan_to_num({mean})"
            fill = self.number_of(slot, "fill")
            self.lines.append(f"{fill} = {mean}")
            for array in ([self.make(held, kind)] if held else []) + [name]:
                note = PREDICTED if array == name else ""
                self.lines.append(f"{array} = np.where(np.isfinite({array}), {array}, {fill}){note}")
        if not self.record.train.targets[0].finite:
            self.drop(self.slots.x, self.slots.y, self.slots.weight, self.case.data.y[0].ndim)
        if self.slots.held_y and not self.record.validation.targets[0].finite:
            self.drop(self.slots.held_x, self.slots.held_y, None, self.case.data.y[0].ndim)

    def drop(self, x: tuple[Slot, ...], y: Slot, weight: Slot | None, axes: int) -> None:
        """Leave out samples without a target."""
        name = self.make(y)
        known = f"np.isfinite({name})" + ("" if axes == 1 else f".reshape(len({name}), -1).all(axis=1)")
        self.lines.append(f"known = {known}  # samples that have a target")
        for slot in (*x, y, *([weight] if weight else [])):
            self.lines.append(f"{self.make(slot)} = {slot.name}[known]")

    def shuffle(self) -> None:
        """Training and held-out samples are mixed before they are parted, as in the experiment."""
        slots, first = self.slots, self.make(self.slots.x[0])
        held = [self.make(slot) for slot in (*slots.held_x, slots.held_y) if slot]
        more = f" + len({held[0]})" if held else ""
        self.lines.append(f"order = np.random.permutation(len({first}){more})")
        self.without_weight = bool(slots.weight and held)
        weight = [slots.weight] if slots.weight and not held else []
        for number, slot in enumerate((*slots.x, slots.y, *weight)):
            name = self.make(slot)
            if held:
                both = f"np.concatenate([{name}, {held[number]}])[order]"
                self.lines.append(f"{name}, {held[number]} = np.split({both}, [len({name})])")
            else:
                self.lines.append(f"{name} = {name}[order]")

    def scale_inputs(self) -> None:
        for x, _, slot, held in self.pairs():
            kind = np.dtype(interventions.exact(x)).name
            name = self.make(slot, kind)
            part, axes = self.trained(name), _axes(interventions.input_axes(x), x.ndim)
            spread = f"{part}.std({axes})"
            if (np.ptp(x, axis=interventions.input_axes(x)) == 0).any():  # constant columns stay as they are
                spread = f"np.where(np.ptp({part}{', ' if axes else ''}{axes}) > 0, {spread}, 1)"
            mean, std = self.number_of(slot, "mean"), self.number_of(slot, "std")
            self.lines.append(f"{mean}, {std} = {part}.mean({axes}), {spread}")
            for array in ([self.make(held, kind)] if held else []) + [name]:
                self.lines.append(f"{array} = ({array} - {mean}) / {std}{PREDICTED if array == name else ''}")

    def scale_targets(self, after: Setup) -> None:
        y, within, slot = self.case.data.y[0], interventions.target_range(after), self.slots.y
        name = self.make(slot, "float64")
        part, axes = self.trained(name), _axes(tuple(range(max(1, y.ndim - 1))), y.ndim)
        spread = f"np.ptp({part}{', ' if axes else ''}{axes})" if within else f"{part}.std({axes})"
        if (np.ptp(y.reshape(-1, self.case.task.width), axis=0) == 0).any():
            spread = f"np.maximum({spread}, 1e-12)"
        shift = self.number_of(slot, "min" if within else "mean")
        scale = self.number_of(slot, "range" if within else "std")
        start = f"{part}.min({axes})" if within else f"{part}.mean({axes})"
        self.lines.append(f"{shift}, {scale} = {start}, {spread}")
        value, back = f"({{}} - {shift}) / {scale}", self.predicted()
        if within and within[0] < 0:
            value, back = f"2 * {value} - 1", f"({back} + 1) / 2"
        for array in ([self.make(self.slots.held_y, "float64")] if self.slots.held_y else []) + [name]:
            note = f"  # predictions: {back} * {scale} + {shift}" if array == name else ""
            self.lines.append(f"{array} = {value.format(array)}{note}")

    def number(self, after: Setup) -> None:
        """Classes become 0, 1, …, the held-out ones by the numbers of the training data."""
        y = self.slots.y
        for slot in ([self.slots.held_y] if self.slots.held_y else []) + [y]:
            new = slot.name != slot.source
            if slot.name not in self.made:
                self.made[slot.name] = f"{slot.name} = {slot.source}" if new else ""
        classes = self.unused("classes")
        self.lines.append(f"{classes} = np.unique({y.name})")
        for name in [slot.name for slot in (self.slots.held_y, y) if slot]:
            note = f"  # predictions: {classes}[{self.decided(after)}]" if name == y.name else ""
            self.lines.append(f"{name} = np.searchsorted({classes}, {name}){note}")

    def decided(self, after: Setup) -> str:
        """The class numbers that the net predicts, as the experiment reads them."""
        if nets.output_units(after.net) != 1:
            return f"{self.predicted()}.argmax(axis=-1)"
        threshold = "0" if after.from_logits else "0.5"
        if self.case.task.classes == 2:
            return f"({self.predicted()}[..., 0] > {threshold}).astype(int)"
        return f"{self.predicted()}[..., 0].round().astype(int)"

    def predicted(self) -> str:
        return f"{owner(self.record)}.predict(…)"

    def number_of(self, slot: Slot, kind: str) -> str:
        """A name for a number by which a slot's array is changed, like x_mean."""
        return self.unused(f"{re.sub(r'^(fit_|.*[.])', '', slot.name)}_{kind}")

    def unused(self, name: str) -> str:
        """A new name: none of those in the call, and none that was given before."""
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name


def _axes(axes: tuple[int, ...] | None, ndim: int) -> str:
    """Axes as an argument; all of them need none."""
    if axes is None or ndim == 1:
        return ""
    return f"axis={axes[0] if len(axes) == 1 else axes}"


def spliced(text: str, node: ast.expr, value: str) -> str:
    """The text with one expression of it in other words."""
    lines = text.encode().split(b"\n")
    first, last = node.lineno - 1, node.end_lineno - 1
    head, rest = lines[first][: node.col_offset], lines[last][node.end_col_offset :]
    return b"\n".join([*lines[:first], head + value.encode() + rest, *lines[last + 1 :]]).decode()


# --- in words -----------------------------------------------------------------------------------------------------


def sentences(record: Record, case: Case, after: Setup, kinds: set[str]) -> list[str]:
    """What to do to the data, as comments: where they are made, since `fit` isn't given them as arrays of their own."""
    within = interventions.target_range(after)
    axes = interventions.input_axes(case.data.x[0]) if case.data.x else None
    whole = "all numbers together" if axes is None else "each column"
    scaled = f"scaled to {within[0]:g} … {within[1]:g}" if within else "scaled to mean 0 and deviation 1"
    output = f" of output {record.train.targets[0].name!r}" if len(record.train.y) > 1 else ""
    said = {
        "finite": "missing inputs filled with their column's mean, and samples without a target left out",
        "shuffle": "the samples in random order, inputs and targets alike",
        "inputs": f"inputs standardized, {whole}: minus the mean, divided by the standard deviation",
        "labels": f"classes{output} written as 0, 1, … in the order of their values",
        "targets": f"targets{output} {scaled}, each column; undo it for predictions",
    }
    lines = ["# in the data, before they come to fit, with the numbers of all training samples:"]
    lines += [f"# - {said[kind]}" for kind in sorted(kinds, key=interventions.ORDER.__getitem__)]
    return lines + (["# and the validation data in the same way, by the same numbers"] if record.validation else [])
