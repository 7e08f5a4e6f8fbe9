"""The rules of the layout: which folder may import what, that importing does nothing, and how DVC is set up."""

import ast
import configparser
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from stages.core.config import composition
from stages.core.config.dataset import Sheet
from stages.core.config.yaml import read_yaml

ROOT = Path(__file__).parent.parent
ORDER = [  # of stages/core: a package imports from those before it
    *("base", "config", "data", "training", "records", "results"),
    *("figures", "report", "review", "running", "why", "measure"),
]
MAY_IMPORT = {  # packages of stages/core; nothing outside them may
    "tensorflow keras": {"training", "why", "measure"},
    "jax": {"measure"},
    "hydra": {"config"},
    "great_tables": {"report"},
    "matplotlib seaborn": {"figures", "measure"},
    "dask distributed dask_jobqueue cloudpickle": {"running"},  # an extra: nothing else needs it
    "pooch requests urllib urllib3 socket http ftplib ssl": {"data"},
}
ARITHMETIC = {"numpy", "scipy", "statsmodels", "sklearn", "tensorflow", "keras", "matplotlib", "seaborn"}
READING = (
    "aggregate",
    "plot",
    "grid",
    "answers",
    "overview",
    "report",
)  # stages that need no more than what was recorded

FILES = sorted((ROOT / "stages").rglob("*.py"))
CORE = {path: path.relative_to(ROOT / "stages/core").parts[0] for path in FILES if "core" in path.parts}
STAGES = [path for path in FILES if path.parent == ROOT / "stages"]
RECORDER = ROOT / "stages/core/why/recorder.py"  # a program by itself, for users' Pythons
COMMANDS = [path for path in FILES if "commands" in path.relative_to(ROOT).parts]


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in FILES}


@cache
def imports(path):
    """Full names of the modules that a file imports anywhere in it; `from a import b` counts as a and a.b."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def libraries(path):
    """The top-level packages that a file imports."""
    return {name.partition(".")[0] for name in imports(path)}


def own(path):
    """The files of this project that a file imports."""
    return {MODULES[name] for name in imports(path) if name in MODULES and MODULES[name].name != "__init__.py"}


def reached(path):
    """The files that a file imports, and those that they import, and so on."""
    found, waiting = set(), own(path)
    while waiting:
        found.add(one := waiting.pop())
        waiting |= own(one) - found
    return found


# --- imports --------------------------------------------------------------------------------------------------------


def test_a_package_imports_from_those_before_it():
    assert {package for package in CORE.values() if package != "__init__.py"} == set(ORDER)
    rank = {package: place for place, package in enumerate(ORDER)}
    wrong = [
        f"{name_of(path)} imports {name_of(other)}"
        for path, package in CORE.items()
        for other in own(path)
        if other not in CORE or rank[CORE[other]] > rank[package]
    ]
    assert wrong == []  # so the core imports neither a stage nor a command


def test_no_circular_imports():
    assert [name_of(path) for path in FILES if path in reached(path)] == []


@pytest.mark.parametrize("names", MAY_IMPORT)
def test_who_may_import(names):
    importing = [path for path in FILES if libraries(path) & set(names.split())]
    assert [name_of(path) for path in importing if CORE.get(path) not in MAY_IMPORT[names]] == []


def test_a_stage_is_thin():
    """It reads, calls the core and writes; what is reckoned or drawn lies in the core."""
    for path in STAGES:
        assert not libraries(path) & ARITHMETIC, path
        assert own(path) <= set(CORE), path
        assert len(path.read_text(encoding="utf-8").splitlines()) < 160, path


@pytest.mark.parametrize("stage", READING)
def test_tables_figures_and_pages_need_no_tensorflow_and_compose_nothing(stage):
    files = reached(ROOT / f"stages/{stage}.py")
    assert [name_of(path) for path in files if libraries(path) & {"tensorflow", "keras", "hydra"}] == []


def test_modules_only_define():
    """At module level there are imports, definitions and constants, and in what is run the call of main."""
    allowed = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    runs = {*STAGES, *COMMANDS, RECORDER}
    for path in FILES:
        if path == ROOT / "stages/__init__.py":  # says what is missing where nothing can run
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            main = isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"
            assert isinstance(node, allowed) or text or (main and path in runs), f"{path}:{node.lineno}"


PROBE = """
import json, os, sys, threading
events = []
watched = ("socket.connect", "socket.bind", "socket.getaddrinfo", "urllib.Request", "os.system", "os.rename")
sys.addaudithook(lambda event, args: events.append(event) if event in watched else None)
import importlib
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps({
    "events": events,
    "heavy": sorted({"tensorflow", "keras", "jax", "sklearn"} & set(sys.modules)),
    "threads": threading.active_count(),
    "environment": sorted({"KERAS_BACKEND", "XLA_FLAGS", "TF_CPP_MIN_LOG_LEVEL"} & set(os.environ)),
    "streams": [sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__],
}))
"""


def test_importing_has_no_effect(tmp_path):
    """No file, no connection, no thread, no output, no setting of TensorFlow; and TensorFlow only where it is used."""
    heavy = {"tensorflow", "keras", "jax"}
    heavy_files = {path for path in FILES if libraries(path) & heavy}
    light = [name for name, path in MODULES.items() if not heavy_files & {path, *reached(path)}]
    names = {*light, *map(name_of, [*STAGES, *COMMANDS])}  # these import TensorFlow late, if they do
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(Path.home())}
    command = [sys.executable, "-B", "-c", PROBE, *sorted(names)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []
    assert found == {"events": [], "heavy": [], "threads": 1, "environment": [], "streams": [True, True]}


# --- the pipeline ---------------------------------------------------------------------------------------------------

PIPELINE = read_yaml(ROOT / "dvc.yaml")


def test_no_name_from_a_config_is_part_of_a_command():
    """It would reach a shell."""
    for entry in PIPELINE["stages"].values():
        assert "${" not in entry.get("do", entry)["cmd"]


def test_results_outlive_the_failure_of_their_stage():
    """Without `persist` DVC removes them first; `train` puts its record back itself, for the sake of the run-cache.

    What `code`, `compose` and `keep` write is no result: it lies in build/.
    """
    for name in set(PIPELINE["stages"]) - {"code", "train", "compose", "keep"}:
        entry = PIPELINE["stages"][name].get("do", PIPELINE["stages"][name])
        for kind in ("outs", "metrics", "plots"):
            assert all(options["persist"] for out in entry.get(kind, []) for options in out.values()), name


def test_the_pipeline_trains_the_selected_studies():
    selected = composition.load_params(ROOT / "params.yaml")["studies"]
    of_studies = {f"conf/study/{study}.yaml:rows" for study in selected}
    assert set(PIPELINE["vars"]) == {*of_studies, "results/grid.yaml:rows"}
    assert set(selected) <= {path.stem for path in (ROOT / "conf/study").glob("*.yaml")}


def test_rows_are_named_alike_in_both_places():
    for file in (ROOT / "conf/study").glob("*.yaml"):
        assert all(re.fullmatch(rf"{file.stem}/[a-z0-9][a-z0-9_-]*", key) for key in read_yaml(file)["rows"])


def test_dvc_neither_reports_home_nor_composes_by_itself():
    settings = configparser.ConfigParser()
    settings.read(ROOT / ".dvc/config")
    assert settings.getboolean("core", "analytics") is False
    assert settings.getboolean("hydra", "enabled") is False


# --- the documents' nets --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("study", "parameters"), [("cifar10_small", 4_203_018), ("cifar10_deep", 1_345_066)])
def test_parameter_counts_are_those_of_the_document(tensorflow, study, parameters):
    from stages.core.training import models

    params = {"device": "cpu", "studies": {study: {"dataset": "cifar10_jpeg", "seeds": 1}}}
    sheet = Sheet.model_validate_json((ROOT / "results/datasets/cifar10_jpeg.json").read_text())
    _, rows = composition.compose(ROOT / "conf", study, params, lambda _: sheet, lambda row: "0" * 64)
    assert models.build(rows["none"], seed=0).count_params() == parameters
