"""What Keras 1, 2 and 3 print while they train, and what people paste of it, as rows of numbers.

The text is cut into tokens (an epoch's heading, a progress bar, a time, `name: number`, …) instead of lines: a pasted
log has lost its line ends, wrapped its lines, or carries every state of a progress bar. A chain of `name: number`
counts where it hangs on a heading or a bar by dashes; the last state of an epoch is the epoch's.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf(?:inity)?)"
METRIC = re.compile(
    r"(?:val_|train_|test_)?(?:[\w.-]*_)?(?:loss|acc|accuracy|mae|mse|rmse|mape|msle|error|auc|precision|recall|f1|f1_score|"
    r"fbeta|r2|r2_score|iou|dice|crossentropy|score)(?:_\d+)?",
    re.IGNORECASE,
)
"""Names that the numbers of a training log usually have."""


@dataclass(frozen=True)
class Row:
    """One epoch: its number from 1 (None where the log gives none) and what was measured, by name in lower case."""

    epoch: int | None
    values: dict[str, float]


@dataclass(frozen=True)
class Run:
    """One call of `fit`."""

    rows: list[Row]
    planned: int | None = None  # epochs asked for
    steps: int | None = None  # batches in an epoch
    samples: int | None = None
    evaluated: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def number(text: str) -> float | None:
    """A number as printed, or None."""
    return float(text) if re.fullmatch(NUMBER, text.strip(), re.IGNORECASE) else None


# --- text -----------------------------------------------------------------------------------------------------------

_DATE, _CLOCK = r"(?:\d{4}[-/]\d\d[-/]\d\d[T ])?", r"\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"
_REPAIRS = [
    (r"\x1b\[[0-9;?]*[ -/]*[@-~]", ""),  # colours
    (r"\[\d{1,2}m(?![\w/]|\d)|\[\d{1,2}m(?=\d+(?:/|s|ms|:))", ""),  # the same without their escape character
    (r"\r\n", "\n"),
    (r"[\r\b]+", "\n"),  # states of a progress bar
    (r"[\x00-\x08\x0b-\x1f\x7f\ufeff\u200b]", ""),
    (r"[\u00a0\u2002-\u200a\u3000]", " "),
    (r"(?m)^[ \t]*(?:>[ \t]?)+(?=[ \t]*\S)", ""),  # quoted in a mail
    (r"\*\*|`", ""),  # Markdown
    (r"(: [-+]?\d+),(\d{1,16}(?:e[-+]\d+)?)(?=\s|$)", r"\1.\2"),  # a decimal comma
    (rf"(?m)^[ \t]*\[?{_DATE}{_CLOCK}\]?[ \t]*(?:[-:|][ \t]+(?!\d+s))?", ""),
    (r"(?<=\S)[ \t]*(?=Epoch \d)", "\n"),  # line ends that are lost
    (r"(?<=\S)(?=Test (?:loss|acc|score))", "\n"),
    # "acc: 0.098710000/10000 [": Keras prints four decimals
    (r"(?:(?<=\.\d{4})|(?<=nan)|(?<=inf)|(?<=e-\d\d))(?=\d+/\d+ ?[\[━])", "\n"),
    (r"(Epoch \d+/\d+?)((\d+)/\3)(?=\D)", r"\1\n\2"),  # "Epoch 1/1060000/60000": 10 epochs of 60000
    (r"(?<=[=>.━])\n(?=[=>.━]+[\] \n])", ""),  # a wrapped bar
    (r"(- (?:val_)?[a-z_]*)\n([a-z_]+)(?=: ?[-\d.n])", None),  # a wrapped name
    (r"(: [-+]?\d+)\n(?=\.\d{4})", r"\1"),
    (r"(: [-+]?\d*\.)(\d{0,3})\n(\d{1,4})(?![\d./])", None),  # a wrapped number
]


def clean(text: str) -> str:
    """The text without colours, quotation marks of a mail, timestamps in front, and with its line ends put right."""
    for pattern, replacement in _REPAIRS:
        text = re.sub(pattern, _unwrap if replacement is None else replacement, text)
    return text


def _unwrap(match: re.Match[str]) -> str:
    """Join the halves of a word or number that a line end cuts, where the whole is a metric or has four decimals."""
    joined = "".join(part for part in match.groups())
    whole = joined.removeprefix("- ")
    is_number = len(match.groups()) == 3
    fits = len(match.group(2) + match.group(3)) == 4 if is_number else METRIC.fullmatch(whole)
    return joined if fits else match.group()


# --- Keras' own format ----------------------------------------------------------------------------------------------

_WORD = r"[\w.@+/()%-]+"
_UNIT = r"(?:ms|us|µs|s|m|h)"
_PER = r"/(?:step|sample|epoch|batch)"
_TOKENS = re.compile(
    rf"""
      (?P<notice> Epoch [ ]+ \d+ [ ]* : [^\n]*? (?:improve|stopping|educing|saving|estoring|learning[ ]?rate) [^\n]*)
    | Epoch \s+ (?P<epoch>\d{{1,9}}) [ ]* / [ ]* (?P<planned>\d{{1,9}})
    | Train [ ] on [ ] (?P<samples>\d{{1,9}}) [ ] samples [^\n]*
    | (?P<at>\d{{1,9}}) / (?P<of>\d{{1,9}}|Unknown) (?= [ \t]* (?: \[ | [━╸╺] | -[ \t]+\d | \d+(?:s|ms|us|:\d\d) ))
    | (?P<time> (?:ETA: \s*)? (?: \d+ (?:\.\d+)? {_UNIT} (?:{_PER})? \b | \d+ : \d\d (?: :\d\d)? s? \b ))
    | (?P<bar> \[ [=>.\s]* \]? (?!\S) | [━╸╺─]+)
    | (?P<name> [^\W\d] [\w.@+/()%-]* (?: [ ] {_WORD} ){{0,3}}? ) \s* : ['"]? ,? \s*
        (?P<value> {NUMBER} ) (?! [\w%:/] )
    | (?<= \n ) (?P<list> \[ (?:{NUMBER}) (?: , [ ]* (?:{NUMBER}) )+ \] )
    | (?P<dash> [-–—,|] (?!\S) | [,|])
    | (?P<newline> \n)
    | (?P<other> \S+)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_HELD_OUT = re.compile(r"(?:test|final|eval\w*|score)\b.*", re.IGNORECASE)


class _Epoch:
    """What was printed from one heading to the next."""

    def __init__(self, number: int | None, planned: int | None) -> None:
        self.number, self.planned = number, planned
        self.values: dict[str, float] = {}
        self.evaluated: dict[str, float] = {}
        self.total: str | None = None  # steps or samples, as in "3/1875"
        self.done = False  # its last state was seen
        self.cut = False  # no state of it is its last
        self.evaluating = False  # what is printed now is of an `evaluate` after it

    def add(self, values: dict[str, float], at: int, total: str | None) -> None:
        """One state of the progress bar, or one line without a bar (total None): the epoch's, or an evaluation's."""
        validated = _validated(values)
        if self.done and not validated and self._begins_evaluation(values, at, total):
            self.evaluating = True
        if self.evaluating and not validated:
            self.evaluated.update(values)
            return
        self.values.update(values)
        self.total = total or self.total
        self.done = total is None or (total.isdigit() and at >= int(total))
        self.cut = not (self.done or validated) and total is not None and total.isdigit()

    def is_followed_by(self, values: dict[str, float], at: int, total: str | None) -> bool:
        """Whether a line is the next epoch's although no heading stands between, as where lines were picked out."""
        whole = total is None or (total.isdigit() and at >= int(total))
        return self.done and whole and total == self.total and set(values) == set(self.values)

    def _begins_evaluation(self, values: dict[str, float], at: int, total: str | None) -> bool:
        """A bar that starts again, has another length, or ends at other values is another bar."""
        if self.evaluating or total is None or total != self.total or at < int(total):
            return True
        return any(self.values.get(name) != value for name, value in values.items())


def _validated(values: dict[str, float]) -> bool:
    return any(name.startswith("val_") for name in values)


class _Scanner:
    """Epochs from tokens. A chain of `name: number` is *open* after a heading, a bar or a dash with a time, until any
    other word; numbers outside a chain are nobody's."""

    def __init__(self) -> None:
        self.epochs: list[_Epoch] = []
        self.samples: int | None = None
        self._start_line()
        self.open = False

    def scan(self, text: str) -> None:
        for match in _TOKENS.finditer(text):
            kind = match.lastgroup or ""
            getattr(self, f"_on_{'name' if kind == 'value' else kind}")(match)
        self._end_line()

    def _start_line(self) -> None:
        self.values: dict[str, float] = {}
        self.at, self.total = 0, None
        self.dash = self.dashed = False  # after a dash; whether dashes hold this chain together
        self.ended = False  # by a line end, unless a dash goes on with it on the next line

    def _end_line(self) -> None:
        values, at, total = self.values, self.at, self.total
        self._start_line()
        if not values:
            return
        last = self.epochs[-1] if self.epochs else None
        if last is None or (last.number is None and last.is_followed_by(values, at, total)):
            self.epochs.append(_Epoch(None, None))
        self.epochs[-1].add(values, at, total)

    def _on_notice(self, match: re.Match[str]) -> None:
        self._end_line()
        self.open = False

    def _on_planned(self, match: re.Match[str]) -> None:
        self._end_line()
        self.epochs.append(_Epoch(int(match["epoch"]), int(match["planned"])))
        self.open = True

    def _on_samples(self, match: re.Match[str]) -> None:
        self.samples = int(match["samples"])

    def _on_of(self, match: re.Match[str]) -> None:
        self._end_line()
        self.at, self.total, self.open = int(match["at"]), match["of"], True  # type: ignore[assignment]

    def _on_time(self, match: re.Match[str]) -> None:
        if self.dash and (self.ended or not self.open):
            self._end_line()
            self.open = True

    def _on_bar(self, match: re.Match[str]) -> None:
        pass

    def _on_name(self, match: re.Match[str]) -> None:
        name, value = match["name"].strip().lower(), float(match["value"])
        if self.ended and not self.dash:
            self._end_line()
            self.open = False
        if self.open and (self.dash or METRIC.fullmatch(name)):
            self.dashed, self.ended = self.dashed or self.dash, False
            self.values[name] = value
        elif self.epochs and _HELD_OUT.fullmatch(name):
            self._end_line()
            self.epochs[-1].evaluated[name] = value
            self.open = False
        self.dash = False

    def _on_list(self, match: re.Match[str]) -> None:
        """What `evaluate` returned: the loss, then the metrics in the order of the epoch's own."""
        self._end_line()
        self.open = False
        if self.epochs and self.epochs[-1].done:
            own = [name for name in self.epochs[-1].values if not name.startswith("val_")]
            own.sort(key=lambda name: name != "loss")
            numbers = [float(value) for value in re.findall(NUMBER, match["list"], re.IGNORECASE)]
            if len(own) == len(numbers):
                self.epochs[-1].evaluated.update(zip(own, numbers, strict=True))

    def _on_dash(self, match: re.Match[str]) -> None:
        self.dash = True

    def _on_newline(self, match: re.Match[str]) -> None:
        self.ended = bool(self.values) and self.dashed and not self.dash

    def _on_other(self, match: re.Match[str]) -> None:
        self._end_line()
        self.open = False


def read(text: str) -> Iterator[Run]:
    """The calls of `fit` in a cleaned text, from Keras' own lines."""
    scanner = _Scanner()
    scanner.scan(text)
    run: list[_Epoch] = []
    for epoch in scanner.epochs:
        if not (epoch.values or epoch.evaluated):
            continue
        if run and _starts_anew(run[-1], epoch):
            yield _run(run, scanner.samples)
            run = []
        if epoch.number is None or (run and epoch.planned == 1):
            epoch.number = (run[-1].number or 0) + 1 if run else 1
        run.append(epoch)
    if run:
        yield _run(run, scanner.samples)


def _starts_anew(last: _Epoch, epoch: _Epoch) -> bool:
    """Whether an epoch belongs to another `fit`; fit(epochs=1) again and again is one long training."""
    if epoch.number is None or last.number is None:
        return False
    return epoch.number <= last.number and not epoch.planned == 1 == last.planned


def _run(epochs: list[_Epoch], samples: int | None) -> Run:
    notes = []
    cut = epochs[-1].cut
    if cut:
        notes.append(f"epoch {epochs[-1].number} is cut off{' and left out' if len(epochs) > 1 else ''}")
    if len(epochs) > 1 and epochs[0].planned == 1:
        notes.append(f"{len(epochs)} calls of fit with one epoch each, read as one training")
    totals = [int(epoch.total) for epoch in epochs if epoch.total and epoch.total.isdigit()]
    steps = totals[-1] if totals and totals[-1] != samples else None
    return Run(
        rows=[Row(epoch.number, epoch.values) for epoch in (epochs[:-1] if cut and len(epochs) > 1 else epochs)],
        planned=None if epochs[-1].planned == 1 else epochs[-1].planned,
        steps=steps,
        samples=samples,
        evaluated=epochs[-1].evaluated,
        notes=tuple(notes),
    )


# --- other people's lines -------------------------------------------------------------------------------------------

_ARROW = r"\s*(?:→|->|=>)\s*"
_NAMED = re.compile(
    rf"""(?<![\w.])(?P<split>(?:valid(?:ation)?|val|test|train(?:ing)?)[_ ])?
    (?P<name>loss|acc(?:uracy)?|mae|mse|rmse|mean_(?:absolute|squared)_error|\w+_accuracy)\b
    \s*(?:[:=]|is|of)?\s*(?P<values>(?:{NUMBER}){_ARROW}(?:{NUMBER})(?:{_ARROW}(?:{NUMBER}))*|
    (?:\d*\.\d+(?:e[-+]?\d+)?|\d+e[-+]?\d+|-\d+\.\d+|[-+]?nan\b|[-+]?inf\b|\d+(?=\s*[,;|%]|\s*$))%?)""",
    re.VERBOSE | re.IGNORECASE,
)
_PAIR = re.compile(
    rf"\b(?P<which>train\w*|eval\w*|val\w*|test)\s*:?\s*\((?P<loss>{NUMBER}),\s*(?P<metric>{NUMBER})\)", re.IGNORECASE
)
_EPOCH = re.compile(r"\bepochs?\W{0,3}(\d{1,9})\b", re.IGNORECASE)


def read_names(text: str) -> list[Run]:
    """One training from lines such as "Epoch 3, loss = 0.4, val acc 0.8" or "loss .46 → .03": a line is an epoch, or a
    part of one where it repeats no name; an arrow leads to the next epoch."""
    rows: list[Row] = []
    for line in text.split("\n"):
        found = {(_column(match["split"], match["name"])): match["values"] for match in _NAMED.finditer(line)}
        for match in _PAIR.finditer(line):
            prefix = "" if match["which"].lower().startswith("train") else "val_"
            found |= {f"{prefix}loss": match["loss"], f"{prefix}accuracy": match["metric"]}
        if not found:
            continue
        series = {name: _percent(name, re.split(_ARROW, values)) for name, values in found.items()}
        epoch = _EPOCH.search(line)
        number = int(epoch[1]) if epoch else None
        for i in range(max(map(len, series.values()))):
            values = {name: numbers[i] for name, numbers in series.items() if i < len(numbers)}
            if rows and i == 0 and _same_epoch(rows[-1], number, values):
                rows[-1].values.update(values)
            else:
                rows.append(Row(number if i == 0 else None, values))
    numbers = [row.epoch for row in rows]
    if None in numbers or any(a >= b for a, b in pairwise(numbers)):
        rows = [Row(i, row.values) for i, row in enumerate(rows, start=1)]
    elif numbers and numbers[0] == 0:
        rows = [Row(row.epoch + 1, row.values) for row in rows]
    return [Run(rows)] if rows else []


def _same_epoch(row: Row, number: int | None, values: dict[str, float]) -> bool:
    if number is not None and row.epoch is not None:
        return number == row.epoch
    return number is None and not set(values) & set(row.values)


def _column(split: str | None, name: str) -> str:
    held_out = split and not split.lower().startswith("train")
    return f"{'val_' if held_out else ''}{name.lower()}"


def _percent(name: str, values: list[str]) -> list[float]:
    """Numbers; an accuracy in percent becomes a share."""
    numbers = [float(value.rstrip("% ")) for value in values]
    in_percent = "acc" in name and (any("%" in value for value in values) or any(1 < value <= 100 for value in numbers))
    return [value / 100 if in_percent else value for value in numbers]
