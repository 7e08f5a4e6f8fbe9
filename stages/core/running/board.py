"""The table of rows on their way: queued, running, done or failed, each done exactly once; live in a terminal."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from rich.console import Console
from rich.live import Live
from rich.table import Table

OTHER_LINES = 8  # of a terminal, besides the rows


class State(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


STYLES = {State.QUEUED: "dim", State.RUNNING: "bold", State.DONE: "green", State.FAILED: "bold red"}


@dataclass
class Entry:
    """A row's line. `since`: when it came into its state, by `time.monotonic`; `seconds`: what its last run took."""

    state: State
    since: float
    where: str = ""
    note: str = ""
    runs: int = 0
    seconds: float = 0.0


class Board:
    """The rows and what became of them.

    Args:
        keys: rows as <study>/<row>, all queued at first.
        now: the time.
        changed: called with a row after each of its changes.
    """

    def __init__(self, keys: Iterable[str], now: float, changed: Callable[[str, Entry], None] = lambda key, row: None):
        self.rows = {key: Entry(State.QUEUED, now) for key in keys}
        self.changed = changed

    def keys(self, state: State) -> list[str]:
        """The rows in a state, in the order in which they were given."""
        return [key for key, row in self.rows.items() if row.state == state]

    def counts(self) -> str:
        """All states in words: `3 of 15 done, 2 running, 10 queued, 0 failed`."""
        count = Counter(row.state for row in self.rows.values())
        others = (f"{count[state]} {state}" for state in (State.RUNNING, State.QUEUED, State.FAILED))
        return f"{count[State.DONE]} of {len(self.rows)} done, {', '.join(others)}"

    def start(self, key: str, where: str, now: float) -> None:
        """A queued row begins to run."""
        row = self._move(key, State.QUEUED, State.RUNNING, now)
        row.where, row.note, row.runs = where, "", row.runs + 1
        self.changed(key, self.rows[key])

    def place(self, key: str, where: str) -> None:
        """A running row is at another place than was said."""
        if self.rows[key].where != where:
            self.rows[key].where = where
            self.changed(key, self.rows[key])

    def requeue(self, key: str, note: str, now: float) -> None:
        """A running row has to begin again."""
        self._move(key, State.RUNNING, State.QUEUED, now).note = note
        self.changed(key, self.rows[key])

    def done(self, key: str, now: float) -> None:
        """A running row has ended well."""
        self._move(key, State.RUNNING, State.DONE, now).note = ""
        self.changed(key, self.rows[key])

    def fail(self, key: str, note: str, now: float) -> None:
        """A running row has failed for good."""
        self._move(key, State.RUNNING, State.FAILED, now).note = note
        self.changed(key, self.rows[key])

    def _move(self, key: str, from_: State, to: State, now: float) -> Entry:
        row = self.rows[key]
        if row.state != from_:
            raise ValueError(f"{key} is {row.state}, not {from_}, and cannot become {to}")
        row.seconds = now - row.since if from_ == State.RUNNING else 0.0
        row.state, row.since = to, now
        return row


@contextmanager
def shown(keys: Iterable[str]) -> Iterator[Board]:
    """A board that is shown on stderr: a live table in a terminal, a line for each change in a log."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Board(keys, time.monotonic(), _say)
        return
    board = Board(keys, time.monotonic())

    def table() -> Table:
        return to_table(board, time.monotonic(), console.size.height - OTHER_LINES)

    with Live(console=console, get_renderable=table, refresh_per_second=2):
        yield board


def to_table(board: Board, now: float, lines: int) -> Table:
    """The rows as a table of about so many lines; where they do not fit, failed and running ones come first."""
    table = Table(title=board.counts(), title_justify="left", box=None, header_style="bold")
    for heading in ("row", "state", "where", "seconds", ""):
        table.add_column(heading, no_wrap=True, justify="right" if heading == "seconds" else "left")
    keys = list(board.rows)
    if len(keys) > lines:
        rank = (State.FAILED, State.RUNNING, State.QUEUED, State.DONE)
        keys = sorted(keys, key=lambda key: rank.index(board.rows[key].state))[: max(1, lines)]
    for key in keys:
        row = board.rows[key]
        seconds = now - row.since if row.state == State.RUNNING else row.seconds
        shown_seconds = f"{seconds:.0f}" if row.runs else ""
        table.add_row(key, row.state, row.where, shown_seconds, row.note, style=STYLES[row.state])
    if len(keys) < len(board.rows):
        table.add_row(f"… and {len(board.rows) - len(keys)} more", style="dim")
    return table


def _say(key: str, row: Entry) -> None:
    seconds = f" in {row.seconds:.1f} s" if row.state in {State.DONE, State.FAILED} else ""
    where = f" ({row.where})" if row.where else ""
    print(f"{key}: {row.state}{seconds}{where}{': ' + row.note if row.note else ''}", file=sys.stderr, flush=True)
