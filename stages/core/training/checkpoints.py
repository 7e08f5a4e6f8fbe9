"""A seed on its way as bytes (numpy's .npz, no pickle), and back."""

from __future__ import annotations

import io
import json

import numpy as np
import tensorflow as tf

from stages.core.training.state import Progress


def to_bytes(progress: Progress) -> bytes:
    """All of `progress`: the state's arrays in order, the rest as JSON, whose floats read back equal."""
    leaves = {f"{i}": np.asarray(leaf) for i, leaf in enumerate(tf.nest.flatten(progress.state))}
    remembered, best = progress.callbacks.to_plain()
    best = {f"best{i}": leaf for i, leaf in enumerate(best)}
    values = [progress.seed, progress.epoch, progress.curve, progress.first_non_finite_epoch]
    rest = [*values, progress.stopped, remembered, len(best)]
    buffer = io.BytesIO()
    np.savez(buffer, rest=np.array(json.dumps(rest)), **leaves, **best)
    return buffer.getvalue()


def from_bytes(content: bytes, start: Progress) -> Progress:
    """The inverse of `to_bytes`; `start`: any seed of the same row before its first step, which becomes the one read.

    Raises:
        ValueError: `content` is damaged (every array in it has a checksum), or of another seed.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            leaves = [tf.constant(arrays[f"{i}"]) for i in range(len(tf.nest.flatten(start.state)))]
            seed, epoch, curve, first, stopped, remembered, n_best = json.loads(str(arrays["rest"]))
            start.callbacks.restore(remembered, [arrays[f"best{i}"] for i in range(n_best)], start.state)
    except Exception as error:  # the readers raise a dozen kinds on bytes that are not what they should be
        raise ValueError("the checkpoint is damaged") from error
    if seed != start.seed:
        raise ValueError(f"the checkpoint is of seed {seed}")
    state = tf.nest.pack_sequence_as(start.state, leaves)
    return Progress(seed, state, epoch, curve, first, start.callbacks, stopped)
