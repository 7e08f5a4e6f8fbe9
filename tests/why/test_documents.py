"""The five documents' own scripts, as their pages show them: each gets the verdict that its study's table gives; and
the example of the README.

They take MNIST, CIFAR-10 and kin8nm from REGBENCH_MIRROR.
"""

import os
from pathlib import Path

import pytest

from stages.core.why.edits import as_diff
from stages.core.why.investigation import examine
from stages.core.why.record import record
from stages.core.why.search import Limits

DOCUMENTS = Path(__file__).parent / "documents"

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif("REGBENCH_MIRROR" not in os.environ, reason="needs the documents' data"),
]

LEARN = ("mnist_comparison", "mnist_collapse", "kin8nm_regression", "cifar10_small")


def said_of(name):
    patience = float(os.environ.get("REGBENCH_PATIENCE", "1"))
    return examine(record(DOCUMENTS / f"{name}.py"), Limits(seconds=300, cores=2, patience=patience))


@pytest.mark.parametrize("name", LEARN)
def test_it_learns(name):
    """What their regularizers cost is a part of the accuracy, which the studies' tables tell."""
    assert said_of(name).learns


def test_inputs_divided_twice_are_the_cause_and_the_regularizer_is_not():
    said = said_of("mnist_collapse_twice")
    assert said.learns is False
    assert said.causes[0].name == "input_scale"
    assert said.confirmed
    assert "no regularizer" not in [step.words for step in said.repair]


def test_a_linear_net_with_a_learning_rate_of_3_diverges():
    said = said_of("mnist_first_chapter")
    assert said.learns is False
    assert said.confirmed
    likely = {"learning_rate_high", "hidden_activation_missing", "output_activation", "weight_init"}
    assert said.causes[0].name in likely


def test_the_example_of_the_readme():
    readme = (DOCUMENTS.parents[2] / "README.md").read_text(encoding="utf-8")
    said = said_of("example")
    assert said.causes[0].name == "output_activation" and said.confirmed
    assert said.diff and all(line.strip() in readme for line in as_diff(said.diff).splitlines())
