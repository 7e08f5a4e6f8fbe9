"""Engines that run without XLA, which takes seconds to compile what trains in no time here."""

import tensorflow as tf


def without_xla(engine):
    """The engine, whose programs TensorFlow runs operation by operation."""
    programs, net = engine.programs, engine.net
    net.update = net._update
    programs.train = tf.function(programs._train, autograph=False)
    programs.evaluate = tf.function(programs._evaluate, autograph=False)
    programs.probe = tf.function(programs._probe, autograph=False)
    return engine
