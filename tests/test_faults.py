"""Kinds of faults that were found by attack: each stays mended."""

import errno
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from pydantic import BaseModel

import stages
from stages import train
from stages.core.base import errors, locks
from stages.core.base.errors import UserError
from stages.core.base.files import write_atomically
from stages.core.config import code, composition
from stages.core.config.row import Training
from stages.core.config.study import Selection
from stages.core.config.validation import Count, Finite, validate
from stages.core.config.yaml import read_yaml
from stages.core.data import formats
from stages.core.results import answers
from stages.core.running import dvc
from stages.core.training import runtime

# --- the machine's settings


def test_what_a_machine_sets_changes_no_number():
    environment = {
        "XLA_FLAGS": "--xla_cpu_enable_fast_math=true --xla_gpu_cuda_data_dir=/cuda --xla_backend_optimization_level=0",
        "TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_persistent_cache_directory=/programs",
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "KERAS_HOME": "/home/someone/.keras",
        "KERAS_BACKEND": "jax",
        "KERAS_MAX_EPOCHS": "1",
        "LANG": "C",
    }
    runtime.isolate(environment)
    once = dict(environment)
    runtime.isolate(environment)
    assert (
        environment
        == once
        == {
            "XLA_FLAGS": "--xla_gpu_cuda_data_dir=/cuda --xla_cpu_multi_thread_eigen=false",
            "TF_XLA_FLAGS": "--tf_xla_persistent_cache_directory=/programs",
            "KERAS_HOME": f"{os.devnull}/keras",
            "KERAS_BACKEND": "tensorflow",
            "LANG": "C",
        }
    )


def test_keras_does_not_read_the_settings_of_the_machine(tmp_path):
    (tmp_path / ".keras").mkdir()
    settings = '{"image_data_format": "channels_first", "epsilon": 0.1, "floatx": "float16"}'
    (tmp_path / ".keras/keras.json").write_text(settings, encoding="utf-8")
    code = (
        "from stages.core.training import runtime; runtime.load(); import keras;"
        "print(keras.config.image_data_format(), keras.config.epsilon(), keras.config.floatx())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["channels_last", "1e-07", "float32"]


# --- what is read


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: &a [1,1,1,1,1,1,1,1,1]\n"
            + "".join(
                f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True)
            ),
            "aliases",
        ),
        ("a: &a [*a]\n", "aliases"),
        ("a: 010\n", "line 1: 010: write it as a decimal number"),
        ("a: 1\nb: [1:30]\n", "line 2: 1:30: write it"),
    ],
)
def test_a_file_that_explodes_or_is_read_in_two_ways_is_refused_at_once(tmp_path, text, message):
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8")
    start = time.monotonic()
    with pytest.raises(UserError, match=message):
        read_yaml(path)
    assert time.monotonic() - start < 120


def test_a_number_in_quotes_and_a_plain_one_pass(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: '010'\nb: 0\nc: 0.1\nd: 1e-3\ne: '1:30'\nf: -0\ng: &x [1]\nh: *x\n", encoding="utf-8")
    assert read_yaml(path) == {"a": "010", "b": 0, "c": 0.1, "d": 0.001, "e": "1:30", "f": 0, "g": [1], "h": [1]}


class Numbers(BaseModel):
    rate: Finite = 1.0
    size: Count = 1


@pytest.mark.parametrize("values", [{"rate": 1e39}, {"rate": -1e39}, {"size": 2**63}, {"size": 2**31}])
def test_numbers_that_training_cannot_hold_are_refused(values):
    with pytest.raises(UserError, match=r"rate|size"):
        validate(Numbers, values, "x")


def test_so_many_seeds_or_epochs_that_it_would_never_end_are_refused():
    with pytest.raises(UserError, match="seeds"):
        validate(Selection, {"dataset": "digits", "seeds": 10**20}, "params.yaml")
    with pytest.raises(UserError, match="epochs"):
        validate(Training, {"loss": "mse", "batch_size": 8, "epochs": 2**40}, "x")


@pytest.mark.parametrize("character", ["\\x07", "\\u202e", "\\u200b", "\\u2066", "\\ufeff"])
def test_a_label_with_a_character_that_nobody_sees_is_refused(tmp_path, character):
    (tmp_path / "study.yaml").write_text(f'label: "a{character}b"\n', encoding="utf-8")
    with pytest.raises(UserError, match="label: has a control character"):
        composition.check_files(tmp_path)


def test_a_file_that_never_ends_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "device.yaml").symlink_to("/dev/zero")
    (tmp_path / "large.yaml").write_bytes(b"#" * (composition.MOST_BYTES + 1))
    for path in tmp_path.iterdir():
        with pytest.raises(UserError, match=f"{path.name}: is no plain file of 1 MiB at most"):
            composition.load_params(path)


def test_a_row_name_that_is_too_long_for_a_file_is_refused(tmp_path):
    path = tmp_path / "s.yaml"
    assert list(composition._row_names(path, "s", {f"s/{'x' * 100}": {}})) == ["x" * 100]
    with pytest.raises(UserError, match="100 of them at most"):
        composition._row_names(path, "s", {f"s/{'x' * 101}": {}})


def test_a_picture_of_16_bits_is_not_cut_off():
    content = io.BytesIO()
    Image.new("I;16", (2, 2), 60_000).save(content, format="PNG")
    with pytest.raises(UserError, match="more than 8 bits"):
        formats._pixels("x", "a.png", content.getvalue(), (2, 2, 3), resize=False)


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in [1] %}{% for b in [1] %}{% endfor %}{% endfor %}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ 'a' * 1000000000 }}",
        "{{ [1] * 1000000000 }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    ],
)
def test_a_sentence_that_would_never_end_is_an_error(template):
    with pytest.raises(UserError, match=r"^x\.yaml: answer: "):
        answers._render(template, {}, "x.yaml: answer")


# --- processes


def test_ctrl_c_is_no_traceback(capsys):
    def main():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        errors.run(main)
    assert ended.value.code == 130
    assert capsys.readouterr().err == "regbench: interrupted\n"


def test_a_message_steers_no_terminal(capsys):
    def fails():
        raise UserError("a\x1b]0;x\x07b\u202ec\nregbench: é")

    with pytest.raises(SystemExit) as ended:
        errors.run(fails)
    assert ended.value.code == r"regbench: a\x1b]0;x\x07b\u202ec" + "\nregbench: é"


def test_a_file_is_as_private_as_the_user_wants_it(tmp_path):
    code = (
        "import os, sys; os.umask(0o077); from stages.core.base.files import write_atomically as w; w(sys.argv[1], 'x')"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "x")], check=True)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o600
    write_atomically(tmp_path / "y", "x")
    assert (tmp_path / "y").stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.fixture
def without_flock(tmp_path, monkeypatch):
    """A file system that has no locks, as some that are mounted from elsewhere."""
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_):
        raise OSError(errno.ENOSYS, "no locks here")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fcntl, "flock", refuse)
    locks.LOCKS.mkdir(parents=True)
    return locks.LOCKS / "train.a.b.lock"


@pytest.mark.filterwarnings("ignore:flock")
@pytest.mark.parametrize("left", ["dead", "nobody"])
def test_what_a_dead_process_left_holds_nobody_up(without_flock, left):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    named = f"{locks._name().split()[0]} {process.pid} 1"
    without_flock.write_text(named if left == "dead" else "", encoding="utf-8")
    os.utime(without_flock, (0, 0))
    start = time.monotonic()
    with locks.held("train a/b"):
        assert without_flock.read_text(encoding="utf-8") == locks._name()
    assert time.monotonic() - start < 120


def test_who_holds_a_lock_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    hold = "with locks.held('x'): print('held', flush=True); input()"
    code = f"from stages.core.base import locks\n{hold}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", code], text=True, env=environment, **pipes) as other:
        assert other.stdout.readline() == "held\n"
        holder = locks._holder
        monkeypatch.setattr(locks, "_holder", lambda path: (holder(path), other.stdin.close())[0])  # now it may end
        with locks.held("x") as waited:
            assert waited
    assert f"x: process {other.pid} on " in capsys.readouterr().err


@pytest.mark.parametrize("module", ["train", "compose", "aggregate", "report", "commands.review"])
def test_ctrl_c_while_modules_load_is_one_line(tmp_path, module):
    (tmp_path / "pydantic.py").write_text("raise KeyboardInterrupt", encoding="utf-8")
    (tmp_path / "stages").symlink_to(Path(stages.__file__).parent)
    command = [sys.executable, "-c", f"import stages.{module}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr == "regbench: interrupted\n"
    assert done.returncode not in (0, 1)


def test_ctrl_c_while_dvc_loads_is_left_to_who_called_it(tmp_path):
    (tmp_path / "dvc").mkdir()
    (tmp_path / "dvc/__init__.py").write_text("raise KeyboardInterrupt", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([*dvc.DVC, "status"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode not in (0, 1) and done.stdout + done.stderr == ""


def test_too_little_memory_for_tensorflow_is_one_line():
    resource = pytest.importorskip("resource")
    code = (
        "from stages.core.base import errors\ndef main():\n from stages.core.training import preload, runtime\n"
        " with preload.tensorflow(): pass\n runtime.load()\nerrors.run(main)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (900 << 20, 900 << 20)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "not enough memory" in done.stderr


def test_no_stage_ignores_what_it_is_called_with(tmp_path):
    """Each refuses it, and nothing is written: neither an override nor a misspelt option passes without a word."""
    names = code.stages(code.read()[0])
    script = """
import runpy, sys
for name in sys.argv[1:]:
    sys.argv = [name, "kernel.l2=0.1", "--nonsense"]
    try:
        runpy.run_module(f"stages.{name}", run_name="__main__")
        print(name, "passed")
    except SystemExit as error:
        refused = error.code == 2 or any(word in str(error.code) for word in ("no arguments", "usage"))
        print(name, "refused" if refused else error.code)
"""
    (tmp_path / "stages").symlink_to(Path(stages.__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", script, *names], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [f"{name} refused" for name in names]
    assert not (tmp_path / "results").exists()


def test_a_record_that_a_reader_would_refuse_replaces_none(tmp_path, monkeypatch, make_row):
    monkeypatch.chdir(tmp_path)
    write_atomically("build/rows/test/test.yaml", composition.to_yaml(make_row().model_dump()))
    write_atomically("results/runs/test/test.json", "good")
    monkeypatch.setattr(sys, "argv", ["train", "train@test/test"])
    monkeypatch.setattr(train.recording, "check_code", lambda row: None)
    seed = {"seed": 0, "curve": {"epoch": [1]}, "final": {"train": {}}}
    made = {"study": "test", "row": "test", "config": {}, "seeds": [seed, seed]}
    monkeypatch.setattr(train.recording, "record", lambda *_: made)
    monkeypatch.setattr(train.signal, "signal", lambda *_: None)
    with pytest.raises(UserError, match=r"results/runs/test/test\.json"):
        train.main()
    assert (tmp_path / "results/runs/test/test.json").read_text(encoding="utf-8") == "good"
