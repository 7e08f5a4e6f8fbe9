"""The rules of the layout: who may import what, what a stage depends on, and that importing does nothing."""

import ast
import configparser
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stages import compose
from stages.core.config import composition
from stages.core.config.schema import read_yaml

ROOT = Path(__file__).parent.parent
CORE = {path.stem: path for path in (ROOT / "stages/core").glob("*.py") if path.stem != "__init__"}
STAGES = {path.stem: path for path in (ROOT / "stages").glob("*.py") if path.stem != "__init__"}
COMMANDS = {path.stem: path for path in (ROOT / "stages/commands").glob("*.py") if path.stem != "__init__"}
PIPELINE = read_yaml(ROOT / "dvc.yaml")

TRAINS = {"models", "optimizers", "penalties", "training", "augmentation", "checkpoints", "runtime"}
MAY_IMPORT = {  # the modules of stages/core that may, by what they import
    "tensorflow keras": TRAINS | {"baseline_keras"},
    "jax": {"baseline_jax"},
    "hydra": {"config"},
    "great_tables": {"report_tables"},
    "dask distributed dask_jobqueue cloudpickle": {"clusters", "fanout", "stations"},  # an extra: nothing else needs it
    "pooch requests urllib urllib3 socket http ftplib ssl": {"download"},
}
CANNOT_CHANGE_A_FILE = {  # what a stage imports and need not depend on
    "errors": "how a mistake is told",
    "files": "how a file is written",
    "locks": "who waits for whom",
    "schema": "checks values and changes none",
}
NOT_USED = {  # by stage: imported by what it imports, but of no effect on what it writes
    "download": {"download", "datastore"},  # they hand on bytes that are fixed by their SHA-256
    "plot": {"diagnosis", "records"},  # reading a table needs no more than the names of the diagnoses
    "answers": {"diagnosis", "records"},
    "overview": {"diagnosis"},
}


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


def packages(path):
    return {name.partition(".")[0] for name in imports(path)}


def core_imports(path):
    """The modules of stages/core that a file imports, by name."""
    parts = (name.split(".") for name in imports(path))
    return {part[2] for part in parts if part[:2] == ["stages", "core"] and len(part) > 2 and part[2] in CORE}


def reached(path):
    """The modules of stages/core that a file imports, and those that they import, and so on."""
    found, waiting = set(), core_imports(path)
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= core_imports(CORE[name]) - found
    return found


def code_dependencies(stage):
    entry = PIPELINE["stages"][stage]
    return {dep for dep in entry.get("do", entry)["deps"] if isinstance(dep, str) and dep.endswith(".py")}


# --- imports --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", MAY_IMPORT)
def test_who_may_import(names):
    files = [*CORE.values(), *STAGES.values(), *COMMANDS.values()]
    importing = {path for path in files if packages(path) & set(names.split())}
    assert importing <= {ROOT / "stages/core" / f"{name}.py" for name in MAY_IMPORT[names]}


def test_stages_and_commands_import_of_this_project_only_the_core():
    for path in [*STAGES.values(), *COMMANDS.values()]:
        own = {name for name in imports(path) if name.startswith("stages")}
        assert all(name == "stages.core" or name.startswith("stages.core.") for name in own), path


def test_the_core_never_imports_a_stage_or_a_command():
    for path in CORE.values():
        own = {name for name in imports(path) if name.startswith("stages")}
        assert all(name == "stages.core" or name.startswith("stages.core.") for name in own), path


def test_the_core_has_no_circular_imports():
    for name, path in CORE.items():
        assert name not in reached(path)


@pytest.mark.parametrize("stage", ["aggregate", "plot", "answers", "overview", "report"])
def test_tables_figures_and_pages_need_no_tensorflow(stage):
    for name in reached(STAGES[stage]):
        assert not packages(CORE[name]) & {"tensorflow", "keras"}, name


def test_modules_only_define():
    """At module level there are imports, definitions and constants, and in stages the call of main."""
    allowed = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    for path in [*CORE.values(), *STAGES.values(), *COMMANDS.values()]:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            main = isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"
            assert isinstance(node, allowed) or text or (main and path not in CORE.values()), f"{path}:{node.lineno}"


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
    heavy = MAY_IMPORT["tensorflow keras"] - {"runtime"} | MAY_IMPORT["jax"]
    names = [f"stages.core.{name}" for name in CORE if not ({name} | reached(CORE[name])) & heavy]
    names += [f"stages.{name}" for name in STAGES]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(Path.home())}
    command = [sys.executable, "-B", "-c", PROBE, *sorted(names)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []
    assert found == {"events": [], "heavy": [], "threads": 1, "environment": [], "streams": [True, True]}


# --- the pipeline ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", sorted(set(PIPELINE["stages"]) - {"train"}))
def test_a_stage_depends_on_the_code_that_it_runs(stage):
    """All of it that can change what it writes; a row's training is covered by the fingerprint in its file instead."""
    command = PIPELINE["stages"][stage].get("do", PIPELINE["stages"][stage])["cmd"]
    module = re.match(r"python -m stages\.(\w+)", command)[1]
    needed = reached(STAGES[module]) - set(CANNOT_CHANGE_A_FILE) - NOT_USED.get(stage, set())
    missing = {f"stages/core/{name}.py" for name in needed} | {f"stages/{module}.py"}
    missing -= code_dependencies(stage)
    assert missing == set()


def test_no_name_from_a_config_is_part_of_a_command():
    """It would reach a shell."""
    for entry in PIPELINE["stages"].values():
        assert "${" not in entry.get("do", entry)["cmd"]


def test_results_outlive_the_failure_of_their_stage():
    """Without `persist` DVC removes them first; `train` puts its record back itself, for the sake of the run-cache.

    What `compose` and `keep` write is no result: it lies in build/.
    """
    for name in set(PIPELINE["stages"]) - {"train", "compose", "keep"}:
        entry = PIPELINE["stages"][name].get("do", PIPELINE["stages"][name])
        for kind in ("outs", "metrics", "plots"):
            assert all(options["persist"] for out in entry.get(kind, []) for options in out.values()), name


def test_dependencies_exist():
    for stage in PIPELINE["stages"]:
        for file in code_dependencies(stage):
            assert (ROOT / file).is_file(), f"{stage}: {file}"


def test_training_depends_on_its_row_alone():
    assert PIPELINE["stages"]["train"]["do"]["deps"] == ["build/rows/${key}.yaml"]


def test_the_fingerprint_covers_the_code_that_trains():
    covered = {*compose.TRAINING_CODE, "augmentation.py"}
    needed = {"training", "runtime", "preprocessing"} | reached(CORE["training"])
    assert {f"{name}.py" for name in needed} - {"schema.py", "errors.py"} == covered
    assert {f"stages/core/{name}" for name in covered} <= code_dependencies("compose")
    assert "requirements.lock" in PIPELINE["stages"]["compose"]["deps"]  # the versions in the fingerprint


def test_the_pipeline_trains_the_selected_studies():
    selected = composition.load_params(ROOT / "params.yaml")["studies"]
    assert set(PIPELINE["vars"]) == {f"conf/study/{study}.yaml:rows" for study in selected}
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
    _, rows = composition.compose(ROOT / "conf", study, params, lambda row: "0" * 64)
    assert models.build(rows["none"], seed=0).count_params() == parameters
