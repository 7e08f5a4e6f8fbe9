"""What changes while a seed trains, and what has been recorded of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import tensorflow as tf


class State(NamedTuple):
    """A seed between two steps; every leaf a tensor, on a GPU with a leading axis of the seeds that train together.

    Shapes and order are those of the model's variables and of the optimizer's.
    """

    weights: list  # trainable variables, float32
    others: list  # non-trainable variables: batch statistics float32, seeds of noise uint32 (2,)
    optimizer: list  # iteration int64 (), learning rate float32 () where it is no schedule, slots shaped like weights
    values: list  # float32 (): coefficients of penalties, which stay as they are


@dataclass
class Progress:
    """A seed on its way: its state after `epoch` epochs and what was recorded; enough to go on from, bit for bit."""

    seed: int
    state: State
    epoch: int = 0
    curve: dict[str, list[float]] = field(default_factory=dict)
    first_non_finite_epoch: int | None = None
    callbacks: Any = None  # of the row, as they stand after `epoch`; see callbacks.py
    stopped: bool = False


def stack(states: list[State]) -> State:
    """The states of several seeds as one, along a new leading axis; of one seed as it is."""
    return states[0] if len(states) == 1 else tf.nest.map_structure(lambda *leaves: tf.stack(leaves), *states)


def unstack(state: State, lanes: int) -> list[State]:
    """The inverse of `stack`."""
    if lanes == 1:
        return [state]
    return [tf.nest.map_structure(lambda leaf, lane=lane: leaf[lane], state) for lane in range(lanes)]
