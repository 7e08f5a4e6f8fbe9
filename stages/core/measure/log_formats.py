"""Training logs written in all the ways in which people have them, to try the reading of logs on.

Every writer takes numbers by column and epoch and gives a text and the numbers as that text rounds them.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

Columns = Mapping[str, np.ndarray]
"""Name → (epochs,) float64."""

BACKSPACES, BAR = 90, 30


@dataclass(frozen=True)
class Written:
    """A log as text, and what a reader should find in it."""

    style: str
    text: str
    columns: dict[str, np.ndarray]


def write(columns: Columns, rng: np.random.Generator) -> Written:
    """The log in one of the styles, drawn by `rng`, with what surrounds a log in real life."""
    names = list(STYLES)
    if not {"loss", "val_loss"} <= set(columns) or len(columns) != 4 or not any("acc" in name for name in columns):
        names.remove("bare numbers")
    style = names[rng.integers(len(names))]
    text, rounded = STYLES[style](columns, rng)
    if style in PRINTED:
        around = AROUND[rng.integers(len(AROUND))]
        return Written(f"{style}, {around.__name__.strip('_')}", around(text, rng), rounded)
    return Written(style, text, rounded)


# --- what Keras prints ----------------------------------------------------------------------------------------------


def _keras_number(value: float) -> str:
    return f"{value:.4f}" if abs(value) > 1e-3 else f"{value:.4e}"


def _as_keras(columns: Columns) -> dict[str, np.ndarray]:
    return {
        name: np.array([value if np.isnan(value) else float(_keras_number(value)) for value in values])
        for name, values in columns.items()
    }


def _measured(columns: Columns, epoch: int, order: list[str] | None = None) -> str:
    return "".join(f" - {name}: {_keras_number(columns[name][epoch])}" for name in order or columns)


def _epochs(columns: Columns) -> int:
    return len(next(iter(columns.values())))


def _heading(columns: Columns, epoch: int) -> str:
    return f"Epoch {epoch + 1}/{_epochs(columns)}\n"


def _keras_1(columns: Columns, rng: np.random.Generator) -> tuple[str, dict[str, np.ndarray]]:
    """Keras 1 and 2: a bar over samples, `5s` or `12us/step`."""
    total = int(rng.integers(200, 70000))
    time = ["5s", "- 5s", "- 3s 51us/step", "- 3s 12us/sample", "- 71s 4ms/step"][rng.integers(5)]
    text = f"Train on {total} samples, validate on {total // 4} samples\n" if rng.random() < 0.5 else ""
    for epoch in range(_epochs(columns)):
        text += f"{_heading(columns, epoch)}{total}/{total} [{'=' * BAR}] {time}{_measured(columns, epoch)}\n"
    return text, _as_keras(columns)


def _keras_2(columns: Columns, rng: np.random.Generator) -> tuple[str, dict[str, np.ndarray]]:
    """tf.keras 2, with every state of the bar as a terminal gets it, or with the last alone."""
    steps, states = int(rng.integers(2, 2000)), bool(rng.random() < 0.5)
    erase = ["\b" * BACKSPACES + "\r", "\r", "\n"][rng.integers(3)]
    text = ""
    for epoch in range(_epochs(columns)):
        text += _heading(columns, epoch)
        if states:
            training = [name for name in columns if not name.startswith("val_")]
            for done in sorted({1, max(1, steps // 2), steps}):
                noisy = {name: columns[name] * rng.uniform(0.8, 1.2) for name in training}
                values = noisy if done < steps else columns
                filled = BAR * done // steps
                bar = "=" * filled + (">" if filled < BAR else "") + "." * max(0, BAR - filled - 1)
                text += f"{done:{len(str(steps))}d}/{steps} [{bar}] - ETA: {rng.integers(9)}s"
                text += _measured(values, epoch, training) + erase
        text += f"{steps}/{steps} [{'=' * BAR}] - 3s 2ms/step{_measured(columns, epoch)}\n"
    return text, _as_keras(columns)


def _keras_3(columns: Columns, rng: np.random.Generator) -> tuple[str, dict[str, np.ndarray]]:
    """Keras 3: metrics in alphabetical order, heavy lines, colours or what a paste leaves of them."""
    steps, width = int(rng.integers(2, 2000)), 20
    training = sorted(name for name in columns if not name.startswith("val_"))
    order = [*training, *(f"val_{name}" for name in training if f"val_{name}" in columns)]
    erase = ["\b" * BACKSPACES + "\r", "\n"][rng.integers(2)]
    text = ""
    for epoch in range(_epochs(columns)):
        text += _heading(columns, epoch)
        for done in sorted({1, max(1, steps // 3), steps}):
            filled = width * done // steps
            bar = f"\x1b[1m{done:{len(str(steps))}d}/{steps}\x1b[0m "
            bar += f"\x1b[32m{'━' * filled}\x1b[0m" if filled else ""
            bar += f"\x1b[37m{'━' * (width - filled)}\x1b[0m"
            text += f"{bar} \x1b[1m{rng.integers(70)}s\x1b[0m 2ms/step{_measured(columns, epoch, training)}{erase}"
        text += f"\x1b[1m{steps}/{steps}\x1b[0m \x1b[32m{'━' * width}\x1b[0m\x1b[37m\x1b[0m \x1b[1m3s\x1b[0m 2ms/step"
        text += f"{_measured(columns, epoch, order)}\n"
    if rng.random() < 0.5:  # pasted
        text = text.replace("\x1b", "")
    return text, _as_keras(columns)


def _verbose_2(columns: Columns, rng: np.random.Generator) -> tuple[str, dict[str, np.ndarray]]:
    """One line an epoch: Keras 2 without a count, tf.keras 2 and Keras 3 with one."""
    steps = int(rng.integers(2, 2000))
    start = [" - 7s", f"{steps}/{steps} - 1s", f"{steps}/{steps} - 3s - 2ms/step"][rng.integers(3)]
    gap = "\n" if rng.random() < 0.3 else ""
    lines = [
        f"{_heading(columns, epoch)}{start}{_measured(columns, epoch)}\n{gap}" for epoch in range(_epochs(columns))
    ]
    return "".join(lines), _as_keras(columns)


# --- what surrounds it ----------------------------------------------------------------------------------------------


def _nothing(text: str, rng: np.random.Generator) -> str:
    return text


def _callbacks(text: str, rng: np.random.Generator) -> str:
    """Messages of ModelCheckpoint, ReduceLROnPlateau and EarlyStopping before the next heading."""
    best = "val_loss improved from inf to 0.30211, saving model to weights.01-0.30.h5"
    messages = [f"Epoch 00001: {best}", "Epoch 3: val_loss did not improve from 0.30211", "Restoring model weights."]
    messages += [f"Epoch 2: {best}", "Epoch 2: ReduceLROnPlateau reducing learning rate to 0.0001."]
    parts = text.split("Epoch ")
    joined = parts[0] + "Epoch ".join(["", *parts[1:2]])
    for part in parts[2:]:
        joined += f"\n{messages[rng.integers(len(messages))]}\nEpoch {part}"
    return f"{joined}Epoch 00009: early stopping\n"


def _evaluation(text: str, rng: np.random.Generator) -> str:
    after = [
        f"313/313 [{'=' * BAR}] - 0s 1ms/step - loss: 9.1234 - accuracy: 0.0123\n",
        "  1/313 ━━━━━━━━━━━━━━━━━━━━ 6s 20ms/step - accuracy: 0.5 - loss: 9.1\r313/313 ━━━━ 0s 1ms/step - loss: 9.1\n",
        "[9.1234, 0.0123]\nTest loss: 9.1234\nTest accuracy: 0.0123\n",
        "('Test score:', 9.1234)\n",
    ]
    return text + after[rng.integers(len(after))]


def _mail(text: str, rng: np.random.Generator) -> str:
    lines = text.replace("\b", "").replace("\r", "\n").split("\n")
    return "Hello,\n" + "\n".join(f"> {line}" for line in lines) + "\nWhat is wrong?\n"


def _timestamps(text: str, rng: np.random.Generator) -> str:
    stamps = ["2024-05-01 12:34:56,789 ", "[12:34:56] ", "2024-05-01T12:34:56Z ", "2024-05-01 12:34:56 - "]
    stamp = stamps[rng.integers(4)]
    return "\n".join(stamp + line if line.strip() else line for line in text.split("\n"))


def _windows(text: str, rng: np.random.Generator) -> str:
    return text.replace("\n", "\r\n")


def _tabs(text: str, rng: np.random.Generator) -> str:
    return text.replace(" - ", "\t- ")


def _one_line(text: str, rng: np.random.Generator) -> str:
    """Line ends lost, as in many copies of questions."""
    return text.replace("\b", "").replace("\r", "\n").replace("\n", "")


def _one_line_with_blanks(text: str, rng: np.random.Generator) -> str:
    return text.replace("\b", "").replace("\r", "\n").replace("\n", " ")


def _wrapped_between_words(text: str, rng: np.random.Generator) -> str:
    wrapped = []
    for line in text.replace("\b", "").replace("\r", "\n").split("\n"):
        row = ""
        for word in line.split(" "):
            if len(row) + len(word) > 60 and word != "-":
                wrapped.append(row)
                row = word
            else:
                row = f"{row} {word}" if row else word
        wrapped.append(row)
    return "\n".join(wrapped)


def _wrapped_hard(text: str, rng: np.random.Generator) -> str:
    """Cut at column 80, in the middle of words and numbers."""
    lines = text.replace("\b", "").replace("\r", "\n").split("\n")
    return "\n".join(line[i : i + 80] for line in lines for i in range(0, max(len(line), 1), 80))


def _cut_off(text: str, rng: np.random.Generator) -> str:
    """One epoch more has begun."""
    return f"{text}Epoch 99/100\n 10/500 [>{'.' * (BAR - 1)}] - ETA: 9s - loss: 7.5\n"


def _question(text: str, rng: np.random.Generator) -> str:
    before = "With Adam(lr=0.001), batch_size = 32 - see below - and a Dropout of 0.5: what is wrong? Accuracy: no.\n\n"
    return f"{before}{text}\nasked Jan 11 '18 at 2:22 - 3 answers - score: 5\n"


def _bold(text: str, rng: np.random.Generator) -> str:
    return text.replace(" - loss", " - **loss").replace("\n", "**\n") if "\b" not in text else text


# --- files ----------------------------------------------------------------------------------------------------------


def _exact(columns: Columns) -> dict[str, np.ndarray]:
    return {name: np.asarray(values, float) for name, values in columns.items()}


def _csv(columns: Columns, rng: np.random.Generator) -> tuple[str, dict[str, np.ndarray]]:
    """CSVLogger: columns in alphabetical order; a comma as decimal mark where a spreadsheet saved it again."""
    separator = [",", ";", "\t"][rng.integers(3)]
    decimal = "," if separator == ";" and rng.random() < 0.5 else "."
    names = sorted(columns)
    lines = [separator.join(["epoch", *names])]
    for epoch in range(_epochs(columns)):
        numbers = [repr(float(columns[name][epoch])).replace(".", decimal) for name in names]
        lines.append(separator.join([str(epoch), *numbers]))
    end = "\r\n" if rng.random() < 0.3 else "\n"
    return end.join(lines) + end, _exact(columns)


def _pandas(columns: Columns, rng: np.random.Generator) -> tuple[str, dict[str, np.ndarray]]:
    """A frame as pandas prints it, or as Markdown."""
    rounded = {name: np.array([float(f"{value:.6f}") for value in values]) for name, values in columns.items()}
    mark = " | " if rng.random() < 0.5 else "  "
    lines = [mark.join(["   ", *(f"{name:>12}" for name in columns)])]
    lines += [mark.join(["---"] * (len(columns) + 1))] if "|" in mark else []
    for epoch in range(_epochs(columns)):
        lines.append(mark.join([f"{epoch:3d}", *(f"{columns[name][epoch]:12.6f}" for name in columns)]))
    return "\n".join(f"| {line} |" if "|" in mark else line for line in lines), rounded


def _history(columns: Columns, rng: np.random.Generator) -> tuple[str, dict[str, np.ndarray]]:
    """`History.history` as JSON, as Python prints it, whole, by pandas, or an object an epoch."""
    lists = {name: [float(value) for value in values] for name, values in columns.items()}
    records = [{name: values[i] for name, values in lists.items()} for i in range(_epochs(columns))]
    epochs = list(range(_epochs(columns)))
    whole = {"history": lists, "params": {"verbose": 1, "epochs": len(epochs), "steps": 32}, "epoch": epochs}
    texts: list[Callable[[], str]] = [
        lambda: json.dumps(lists),
        lambda: json.dumps(lists, indent=2),
        lambda: repr(lists),
        lambda: f"history: { ({name: [np.float64(value) for value in values] for name, values in lists.items()})!r}",
        lambda: json.dumps(whole),
        lambda: json.dumps({name: {str(i): value for i, value in enumerate(v)} for name, v in lists.items()}),
        lambda: "\n".join(json.dumps({"epoch": i, **record}) for i, record in enumerate(records)),
        lambda: json.dumps(records),
    ]
    return texts[rng.integers(len(texts))](), _exact(columns)


def _bare_numbers(columns: Columns, rng: np.random.Generator) -> tuple[str, dict[str, np.ndarray]]:
    names = ["loss", next(name for name in columns if name != "loss" and not name.startswith("val_")), "val_loss"]
    names.append(f"val_{names[1]}")
    separator = [" ", "\t", ", ", " | "][rng.integers(4)]
    between = [" · ", "\n"][rng.integers(2)]
    rows = [separator.join(f"{columns[name][i]:.4f}" for name in names) for i in range(_epochs(columns))]
    given = [np.array([float(f"{value:.4f}") for value in columns[name]]) for name in names]
    return between.join(rows), dict(zip(("loss", "accuracy", "val_loss", "val_accuracy"), given, strict=True))


STYLES = {
    "Keras 1 verbose=1": _keras_1,
    "Keras 2 verbose=1": _keras_2,
    "Keras 3 verbose=1": _keras_3,
    "verbose=2": _verbose_2,
    "CSV": _csv,
    "pandas": _pandas,
    "History": _history,
    "bare numbers": _bare_numbers,
}
PRINTED = {"Keras 1 verbose=1", "Keras 2 verbose=1", "Keras 3 verbose=1", "verbose=2"}
AROUND = [
    *(_nothing, _callbacks, _evaluation, _mail, _timestamps, _windows, _tabs, _one_line, _one_line_with_blanks),
    *(_wrapped_between_words, _wrapped_hard, _cut_off, _question, _bold),
]
