"""A seed on its way as bytes (numpy's .npz, no pickle), and back."""

from __future__ import annotations

import io
import json

import numpy as np
import tensorflow as tf

from stages.core.training.engine import Progress, State


def to_bytes(progress: Progress) -> bytes:
    """All of `progress`: the state's arrays in order, the rest as JSON, whose floats read back equal."""
    leaves = {f"{i}": np.asarray(leaf) for i, leaf in enumerate(tf.nest.flatten(progress.state))}
    rest = [progress.seed, progress.epoch, progress.curve, progress.first_non_finite_epoch]
    buffer = io.BytesIO()
    np.savez(buffer, rest=np.array(json.dumps(rest)), **leaves)
    return buffer.getvalue()


def from_bytes(content: bytes, like: State) -> Progress:
    """The inverse of `to_bytes`; `like`: any state of the same row, for its structure.

    Raises:
        ValueError: `content` is damaged; every array in it has a checksum.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            leaves = [tf.constant(arrays[f"{i}"]) for i in range(len(tf.nest.flatten(like)))]
            seed, epoch, curve, first = json.loads(str(arrays["rest"]))
    except Exception as error:  # the readers raise a dozen kinds on bytes that are not what they should be
        raise ValueError("the checkpoint is damaged") from error
    return Progress(seed, tf.nest.pack_sequence_as(like, leaves), epoch, curve, first)
