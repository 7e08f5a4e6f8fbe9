"""Progress of a row: a live line in a terminal, a plain line now and then in a log."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

LOG_SECONDS = 30


@contextmanager
def bar(title: str, epochs: int) -> Iterator[Callable[[int, int, str], None]]:
    """Show how many of `epochs` (all seeds together) are done; gives a function (seed, epochs done, note) to call."""
    done: dict[int, int] = {}
    lock = threading.Lock()
    live = sys.stderr.isatty()
    last = started = time.monotonic()
    with tqdm(total=epochs, desc=title, unit="epoch", disable=not live) as line:

        def advance(seed: int, epoch: int, note: str) -> None:
            nonlocal last
            with lock:
                line.set_postfix_str(note, refresh=False)
                line.update(epoch - done.get(seed, 0))
                done[seed] = epoch
                if not live and time.monotonic() - last > LOG_SECONDS:
                    last = time.monotonic()
                    print(
                        f"{title}: {sum(done.values())}/{epochs} epochs in {last - started:.0f} s, {note}",
                        file=sys.stderr,
                    )

        yield advance
