"""Engines that run without XLA, which takes seconds to compile what trains in no time here."""

import tensorflow as tf


def without_xla(engine):
    """The engine, whose programs TensorFlow runs operation by operation."""
    engine.net.update = engine.net._update
    engine.programs.train = tf.function(engine.programs._train, autograph=False)
    return evaluated_without_xla(engine)


def evaluated_without_xla(engine):
    """The engine, of whose programs the one that trains is compiled: it takes half of the time."""
    programs = engine.programs
    programs.evaluate = tf.function(programs._evaluate, autograph=False)
    programs.probe = tf.function(programs._probe, autograph=False)
    return engine
