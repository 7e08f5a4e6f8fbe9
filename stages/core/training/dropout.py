"""Dropout as Keras defines it, its masks drawn by Threefry."""

from __future__ import annotations

import keras
import tensorflow as tf


class ThreefryDropout(keras.layers.Dropout):
    """Keras' inverted dropout, its masks drawn by Threefry: Keras' own generator takes longer than the rest of a step.

    Threefry: Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
    Of 2^32 values, rate x 2^32 drop a unit.
    """

    def call(self, inputs, training=False):
        if not training:
            return inputs
        bits = _random_bits(inputs, self.seed_generator.next())
        return tf.where(bits >= int(self.rate * 2**32), inputs / (1 - self.rate), 0.0)


@tf.function(jit_compile=True, autograph=False)
def _random_bits(like, seed):
    """uint32 in the shape of `like`, from `seed` (2,); compiled by XLA also inside programs that are not."""
    seed = tf.cast(seed, tf.int32)
    return tf.random.stateless_uniform(tf.shape(like), seed, minval=None, maxval=None, dtype=tf.uint32, alg="threefry")
