"""`regbench new`: a study from a file of data and a net; what does not fit is one line and leaves nothing behind."""

import io
import json
import re
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.commands import new
from stages.core.base.errors import UserError
from stages.core.config import composition
from stages.core.config.yaml import read_yaml
from stages.core.data.own import Net, Wishes, described, given

ROOT = Path(__file__).parent.parent
LINES = [f"{i},{i * 7 % 11},{'abc'[i % 3]},{i * 0.5}" for i in range(60)]
TABLE = "a,b,kind,price\n" + "\n".join(LINES) + "\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project's configuration alone, in which the command runs."""
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "conf", folder / "conf")
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, folder / name)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("REGBENCH_CALLED_FROM", raising=False)
    return folder


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    from stages.core.training import given

    monkeypatch.setattr(given, "seconds_per_epoch", lambda row, splits: 0.01)


def net(*layers, inputs=(2,), optimizer=None, loss=None) -> bytes:
    """What Keras' to_json writes, with what compile was given."""
    import keras

    model = keras.Sequential([keras.Input(inputs), *layers])
    if loss:
        model.compile(optimizer, loss)
    return json.dumps({**json.loads(model.to_json()), "compile_config": model.get_compile_config()}).encode()


def dense(units, activation=None, **more):
    import keras

    return keras.layers.Dense(units, activation, **more)


def as_keras(config: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", config)
    return buffer.getvalue()


def call(monkeypatch, project, data, model, *options, name="own"):
    """Run the command; `data` and `model`: (file name, content)."""
    for file, content in (data, model):
        path = project.parent / file
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    words = ["--data", str(project.parent / data[0]), "--model", str(project.parent / model[0])]
    monkeypatch.setattr(sys, "argv", ["regbench new", name, *words, *options])
    new.main()


def composed(project, name="own"):
    """The rows that the pipeline would train."""
    from stages.core.config.dataset import PublishedDataset, Sheet
    from stages.core.data import formats

    described = PublishedDataset.model_validate(read_yaml(project / f"conf/dataset/{name}.yaml"))
    files = {file.name: (project / "data" / name / file.name).read_bytes() for file in described.files}
    arrays = formats.describe(formats.read(described, files))
    sheet = Sheet.model_validate({"digest": "0" * 64, "arrays": arrays})
    params = composition.load_params(project / "params.yaml")
    composition.check_pipeline(project / "dvc.yaml", params["studies"])
    return composition.compose(project / "conf", name, params, lambda _: sheet, lambda _: "0" * 64)


def test_classes_from_a_keras_file(project, monkeypatch, capsys):
    """The chain with its own penalty and dropout becomes layers, and the rows change these."""
    import keras

    penalty = keras.regularizers.L2(0.03)
    layers = [dense(8, "relu", kernel_regularizer=penalty), keras.layers.Dropout(0.25), dense(3, "softmax")]
    config = net(*layers, optimizer=keras.optimizers.SGD(0.05, momentum=0.9), loss="sparse_categorical_crossentropy")
    before = [(project / name).read_text() for name in ("dvc.yaml", "params.yaml")]
    options = ["--target", "kind", "--ignore", "price", "--epochs", "4"]
    call(monkeypatch, project, ("t.csv", TABLE), ("n.keras", as_keras(config)), *options)
    declared, rows = composed(project)
    first = rows["as_is"]
    assert first.dataset.classes == 3 and first.dataset.scale == "standard" and first.split.validation == "stratified"
    assert first.regularizers.kernel.l2 == 0.03 and first.dropout == 0.25 and first.training.epochs == 4
    assert (first.optimizer.name, first.optimizer.learning_rate, first.optimizer.momentum) == ("sgd", 0.05, 0.9)
    assert (rows["none"].regularizers.any, rows["none"].dropout) == (False, 0)
    assert rows["hundredth"].regularizers.kernel.l2 == pytest.approx(3e-4)
    assert rows["dropout_off"].dropout == 0 and rows["dropout_off"].regularizers == first.regularizers
    assert [rows[f"l2_1e-{power}"].regularizers.kernel.l2 for power in (4, 3, 2)] == [1e-4, 1e-3, 1e-2]
    assert [rows[f"dropout_{rate}"].dropout for rate in (10, 30, 50)] == [0.1, 0.3, 0.5]
    assert declared.baseline == "as_is" and declared.metric == "validation.accuracy"
    told = capsys.readouterr().out
    assert "48 train, 12 validation" in told and "51 parameters" in told and "8 steps of 32" in told
    for name, text in zip(("dvc.yaml", "params.yaml"), before, strict=True):
        lines = (project / name).read_text().splitlines()
        assert [line for line in lines if "own" not in line] == [
            line for line in text.splitlines() if "own" not in line
        ]


def test_no_net_is_trained_twice(project, monkeypatch):
    """A tenth of l2(0.001) is l2(0.0001), and a dropout alone that is off is no regularizer."""
    import keras

    layers = [dense(8, kernel_regularizer=keras.regularizers.L2(0.001)), keras.layers.Dropout(0.3), dense(3, "softmax")]
    call(monkeypatch, project, ("t.csv", TABLE), ("n.json", net(*layers)), "--target", "kind", "--ignore", "price")
    _, rows = composed(project)
    assert list(rows) == [
        *("as_is", "none", "tenth", "hundredth", "dropout_off", "l2_1e-2", "dropout_10", "dropout_50"),
    ]


def test_values_from_a_net_with_branches(project, monkeypatch):
    """Keras' JSON stays, one file a row, and the targets are scaled."""
    import keras

    inputs = keras.Input((2,))
    hidden = keras.layers.Dense(4, "relu", kernel_regularizer=keras.regularizers.L1(0.5))(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Concatenate()([hidden, inputs])))
    options = ["--target", "price", "--ignore", "kind", "--split", "tail"]
    call(monkeypatch, project, ("t.csv", TABLE), ("n.json", model.to_json()), *options)
    _, rows = composed(project)
    assert rows["as_is"].training.loss == "mean_squared_error" and rows["as_is"].dataset.target_scale == "standard"
    coefficients = [
        layer["config"]["kernel_regularizer"]["config"]["l1"]
        for name in ("as_is", "none", "tenth")
        for layer in rows[name].keras["config"]["layers"]
        if layer["config"].get("kernel_regularizer")
    ]
    assert coefficients == [0.5, 0, pytest.approx(0.05)]
    assert not any("dropout" in name for name in rows) and rows["tenth"].split.validation == "tail"


def test_pictures_of_any_size_and_layers_in_yaml(project, monkeypatch):
    folder = project.parent / "pets"
    for index in range(20):
        (folder / "cd"[index % 2]).mkdir(parents=True, exist_ok=True)
        size = (5 + index, 9)
        Image.fromarray(np.full((*size, 3), index * 9, np.uint8)).save(folder / "cd"[index % 2] / f"{index}.png")
    text = "- {type: flatten}\n- {type: dense, units: 4, activation: relu}\n- {type: dense, units: 2}\n"
    (project.parent / "n.yaml").write_text(text)
    words = ["--data", str(folder), "--model", str(project.parent / "n.yaml"), "--shape", "4,6,3", "--batch-size", "8"]
    monkeypatch.setattr(sys, "argv", ["regbench new", "own", *words])
    new.main()
    _, rows = composed(project)
    assert rows["as_is"].dataset.shape == [4, 6, 3] and rows["as_is"].dataset.scale == 255
    assert rows["as_is"].training.loss == {"type": "sparse_categorical_crossentropy", "from_logits": True}


def test_labels_and_the_indices_of_a_split(project, monkeypatch):
    buffer = io.BytesIO()
    y = np.random.default_rng(0).integers(0, 2, (40, 3))
    np.savez(buffer, x=np.random.default_rng(1).normal(size=(40, 2)), y=y)
    (project.parent / "held.txt").write_text("\n".join(map(str, range(10))))
    model = ("n.json", net(dense(3, "sigmoid"), optimizer="adam", loss="binary_crossentropy"))
    options = ["--split", str(project.parent / "held.txt"), "--batch-size", "8"]
    call(monkeypatch, project, ("a.npz", buffer.getvalue()), model, *options)
    _, rows = composed(project)
    assert (rows["as_is"].dataset.classes, rows["as_is"].dataset.targets) == (2, 3)
    assert rows["as_is"].split.validation == "indices"


def softmax(units: int = 3) -> tuple[str, bytes]:
    return "n.json", net(dense(units, "softmax"))


def nested(depth: int) -> bytes:
    return b'{"class_name": "Sequential", "config": ' + b'{"a": ' * depth + b"1" + b"}" * depth + b"}"


def many_layers(n: int) -> bytes:
    net = json.loads(globals()["net"](dense(3)))
    net["config"]["layers"] = net["config"]["layers"][:1] * n
    return json.dumps(net).encode()


def edited(old: str, new: str) -> str:
    assert old in TABLE
    return TABLE.replace(old, new, 1)


KIND = ("--target", "kind", "--ignore", "price")
PRICE = ("--target", "price", "--ignore", "kind")


@pytest.mark.parametrize(
    ("table", "model", "options", "message"),
    [
        (edited("\n3,", "\nthree,"), softmax, KIND, "column a: line 5: three is no finite number"),
        (
            edited(",1.5\n", ",cheap\n"),
            lambda: ("n.json", net(dense(1))),
            PRICE,
            "price: line 5: cheap is no finite number",
        ),
        (edited("\n3,", "\n,"), softmax, KIND, "column a: 1 missing values, the first in line 5"),
        (edited("\n3,", "\nnan,"), softmax, KIND, "column a: 1 missing values"),
        (
            re.sub("(?m)^[0-9.-]+,", ",", TABLE),
            softmax,
            (*KIND, "--missing", "mean"),
            "column a: has no value at all; .*--ignore a",
        ),
        (edited("\n3,", "\n1e400,"), softmax, KIND, "column a: line 5: is too large or infinite"),
        (TABLE, softmax, ("--ignore", "price"), "which column is the target?"),
        (TABLE, softmax, ("--target", "kind,kind", "--ignore", "price"), "column kind: is named twice"),
        (TABLE, softmax, (*KIND, "--groups", "kind"), "column kind: is named twice"),
        (TABLE, softmax, ("--target", "sort"), "has no column sort; it has a, b, kind, price"),
        (edited(",a,", ",,"), softmax, KIND, "line 2: the target is missing"),
        (re.sub(",[bc],(?=[0-9])", ",a,", TABLE), softmax, KIND, "the target has one value only"),
        ("a,b,price\n1,2,5\n2,3,5\n3,4,5\n", lambda: ("n.json", net(dense(1))), PRICE[:2], "one value only"),
        ("", softmax, KIND, "t.csv: is empty"),
        ("a,b,kind\n", softmax, KIND[:2], "has no samples"),
        (TABLE, softmax, (*KIND, "--batch-size", "500"), "there are only 48 training samples"),
        (TABLE, softmax, (*KIND, "--size", "0"), "a share lies between 0 and 1"),
        (TABLE, softmax, (*KIND, "--size", "0.0001"), "split: "),
        (TABLE + "9,9,d,9\n", lambda: softmax(4), KIND, "split: "),
        (TABLE, softmax, (*KIND, "--split", "nowhere"), "is none of random"),
        (TABLE, lambda: softmax(4), KIND, r"gives shape \[4\], but own needs \[3\]"),
        (TABLE, softmax, PRICE, r"gives shape \[3\], but own needs \[1\]|has 60 classes"),
        (TABLE, lambda: ("n.json", net(dense(3), inputs=(5,))), KIND, "gives 2 inputs, but the net takes 5; .* a, b"),
        (TABLE, lambda: ("n.keras", b"no zip"), KIND, "n.keras: is no undamaged .keras file"),
        (TABLE, lambda: ("n.keras", as_keras(b"x")[:-30]), KIND, "n.keras: is no undamaged .keras file"),
        (TABLE, lambda: ("n.keras", as_keras(b"[" * 100_000)), KIND, "n.keras: is nested too deeply"),
        (TABLE, lambda: ("n.keras", as_keras(nested(2000))), KIND, "n.keras: is nested too deeply"),
        (TABLE, lambda: ("n.keras", as_keras(b" " * (9 << 20))), KIND, "more than a net needs"),
        (TABLE, lambda: ("n.json", many_layers(2001)), KIND, "n.json: has 2,001 layers; 2,000 at most"),
        (
            TABLE,
            lambda: ("n.json", net(dense(8)).replace(b'"units": 8', b'"units": 1000000000')),
            KIND,
            "n.json: has more than 500,000,000 weights",
        ),
        (TABLE, lambda: ("n.keras", as_keras(b'{"a": 1}')), KIND, "is no JSON of a Keras model"),
        (TABLE, lambda: ("n.json", net(dense(3)).replace(b'"Dense"', b'"Lambda"')), KIND, "Lambda"),
        (TABLE, lambda: ("n.json", net(dense(3)).replace(b'"Dense"', b'"MyLayer"')), KIND, "MyLayer"),
        (TABLE, lambda: ("n.yaml", b"{a: 1}"), KIND, "wants a list of layers"),
        (TABLE, lambda: ("n.yaml", b"- {type: flatten}\n" * 1001), (*KIND, "--shape", "2"), "has 1,001 layers"),
        (TABLE, lambda: ("n.yaml", b"- {type: dense, units: 3}"), KIND, "give --shape"),
        (TABLE, lambda: ("n.yaml", b"- {type: dens, units: 3}"), (*KIND, "--shape", "2"), "did you mean dense"),
    ],
)
def test_what_does_not_fit_leaves_nothing_behind(project, monkeypatch, table, model, options, message):
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=message) as refused:
        call(monkeypatch, project, ("t.csv", table), model(), *options)
    assert "\n" not in str(refused.value)
    found = {path: path.read_bytes() for path in project.rglob("*") if path.is_file() and path.suffix != ".lock"}
    assert found == before


@pytest.mark.parametrize("scale", ["1e-320", "1e300", "much"])
def test_a_scale_that_no_number_survives(scale, capsys):
    with pytest.raises(SystemExit):
        new.parser().parse_args(["own", "--data", "t.csv", "--model", "n.json", "--scale", scale])
    assert f"argument --scale: {scale}: " in capsys.readouterr().err


def arrays(x, y) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=x, y=y)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("x", "y"), [(3.0, 3.0), (np.zeros((9, 2)), 1.0), (np.zeros((9, 2)), np.arange(8)), (np.ones(9), 1.0)]
)
def test_arrays_that_are_no_samples(project, monkeypatch, x, y):
    with pytest.raises(UserError, match=r"a\.npz: inputs of shape"):
        call(monkeypatch, project, ("a.npz", arrays(x, y)), softmax())


def test_a_coloured_picture_of_16_bits(tmp_path):
    head = b"\x89PNG\r\n\x1a\n" + bytes([0, 0, 0, 13]) + b"IHDR" + bytes([0, 0, 0, 8] * 2) + bytes([16, 2, 0, 0, 0])
    for name in ("cats", "dogs"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        (tmp_path / "pets" / name / "1.png").write_bytes(head)
    found = given("pets", tmp_path)
    with pytest.raises(UserError, match="more than 8 bits a channel"):
        described("own", found, Wishes(), Net((8, 8, 3), 2))


def test_a_wrong_option_is_one_line(capsys):
    with pytest.raises(SystemExit):
        new.parser().parse_args(["own", "--data", "t.csv", "--model", "n.json", "--epochs", "0"])
    assert capsys.readouterr().err.count("\n") == 1


def test_a_split_without_indices(project, monkeypatch):
    (project.parent / "held.txt").write_text("\n")
    with pytest.raises(UserError, match=r"--split .*held\.txt: is empty"):
        call(monkeypatch, project, ("t.csv", TABLE), softmax(), *KIND, "--split", str(project.parent / "held.txt"))


def test_a_name_that_is_taken(project, monkeypatch):
    for name in ("digits_comparison", "adam"):  # a study's, and that of an optimizer that all studies share
        with pytest.raises(UserError, match="is there already"):
            call(monkeypatch, project, ("t.csv", TABLE), softmax(), *KIND, name=name)
    with pytest.raises(UserError, match="small letters"):
        call(monkeypatch, project, ("t.csv", TABLE), softmax(), *KIND, name="../x")


def test_a_file_system_that_refuses_one_file_gets_none(tmp_path):
    (tmp_path / "params.yaml").write_text("old", encoding="utf-8")
    (tmp_path / "dvc.yaml").mkdir()  # cannot be replaced
    with pytest.raises(OSError, match=r"dvc\.yaml"):
        new.write_all({tmp_path / name: "new" for name in ("conf.yaml", "params.yaml", "dvc.yaml")})
    assert {path.name for path in tmp_path.iterdir()} == {"params.yaml", "dvc.yaml"}
    assert (tmp_path / "params.yaml").read_text(encoding="utf-8") == "old"
