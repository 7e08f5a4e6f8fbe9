"""Shared by all tests: TensorFlow set up as a training sets it up, and rows built from plain values."""

import gc
import os
import shutil
from contextlib import suppress

import pytest
import small
from filelock import FileLock

from stages.core.base import cores
from stages.core.config.row import Row
from stages.core.training import runtime

DEAREST = (  # of those that duplicate small_repository the first builds it: the others come when it is there
    *("pipeline", "training", "recorder", "sameness", "report", "fanout", "staleness", "review", "config"),
    *("reliability", "answers", "study", "vocabulary", "fit", "try", "search"),
)
NO_PENALTY = {"l1": 0.0, "l2": 0.0}
ADAM = {"name": "adam", "learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
MLP = [
    {"type": "dense", "units": 16, "activation": "relu", "regularized": True},
    {"type": "dense", "units": 4, "activation": "softmax"},
]


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_auto_num_workers(config):
    """One more than there are cores, as tests that run the pipeline wait much; the variable, where set, goes before."""
    return None if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else cores.available(os.environ) + 1


def pytest_collection_modifyitems(items):
    """The files that take longest go first, so that none is left to one worker alone at the end."""
    places = {f"test_{name}.py": place for place, name in enumerate(DEAREST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(scope="module", autouse=True)
def what_is_imported_is_no_garbage():
    """statsmodels collects garbage in every call: nearly all of its time, if TensorFlow's objects are looked at too."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def tensorflow():
    with suppress(RuntimeError):  # a file before this one built nets here: its threads are the cores
        runtime.prepare("cpu", threads=2, convolutions=False)
    import tensorflow

    tensorflow.config.optimizer.set_experimental_options({"arithmetic_optimization": False})

    return tensorflow


@pytest.fixture(scope="session")
def make_row():
    def make(**changes) -> Row:
        values = {
            "study": "test",
            "row": "test",
            "seeds": 2,
            "device": "cpu",
            "dataset": {"name": "t", "shape": [6], "classes": 4, "scale": None},
            "split": {"validation": "none", "size": None, "random_state": None, "monitor": "test"},
            "augmentation": None,
            "layers": MLP,
            "regularizers": dict.fromkeys(("kernel", "bias", "activity"), NO_PENALTY),
            "optimizer": ADAM,
            "training": {"loss": "sparse_categorical_crossentropy", "batch_size": 8, "epochs": 3},
            "fingerprint": "0" * 64,
        }
        return Row.model_validate(values | changes)

    return make


@pytest.fixture(scope="session")
def small_repository(tmp_path_factory):
    """A small copy of this repository in which all stages have run and all is committed; for `small.duplicate` only."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # one copy for all workers
    folder, done = shared / "small/regbench", shared / "small/done"
    with FileLock(shared / "small.lock"):
        if not done.exists():
            shutil.rmtree(folder.parent, ignore_errors=True)
            small.repository(folder)
            small.reproduce(folder)
            small.commit(folder)
            done.touch()
    return folder
