"""Tables, arrays and pictures of one's own: what is read of them, what is refused, how they are split and scaled."""

import io
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from stages.core.base.errors import UserError
from stages.core.config.dataset import PublishedDataset
from stages.core.config.row import Row, Split
from stages.core.data import fetch, scaling
from stages.core.data.formats import Arrays, read
from stages.core.data.splits import check_classes, guess, split

HOUSES = "rooms,city,area,price\n3,Ulm,50.5,100\n4,Bonn,,200\n,Ulm,70,300\n5,Trier,80,400\n"


def dataset(**values) -> PublishedDataset:
    common = {"name": "own", "title": "Own", "format": "csv", "classes": None, "scale": None, "files": []}
    return PublishedDataset(**{**common, "target": "price", **values})


def csv(text: str, **values) -> Arrays:
    return read(dataset(**values), {"own.csv": text if isinstance(text, bytes) else text.encode()})


def npy(array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def picture(height: int, width: int, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (width, height), 7 if mode != "RGB" else (7, 7, 7)).save(buffer, "PNG")
    return buffer.getvalue()


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_a_table_has_numbers_and_a_column_for_each_text(separator):
    arrays = csv(HOUSES.replace(",", separator), shape=[5], missing="mean")
    nan = np.nan
    expected = [[3, 0, 0, 1, 50.5], [4, 1, 0, 0, nan], [nan, 0, 0, 1, 70], [5, 0, 1, 0, 80]]
    np.testing.assert_array_equal(arrays.train_x, np.array(expected, np.float32))
    np.testing.assert_array_equal(arrays.train_y, np.array([100, 200, 300, 400], np.float32))


def test_parquet_is_read_like_a_csv():
    pytest.importorskip("pyarrow")
    content = pd.read_csv(io.StringIO(HOUSES)).to_parquet()
    own = dataset(format="parquet", shape=[5], missing="mean")
    arrays, expected = read(own, {"own.parquet": content}), csv(HOUSES, shape=[5], missing="mean")
    np.testing.assert_array_equal(arrays.train_x, expected.train_x)
    np.testing.assert_array_equal(arrays.train_y, expected.train_y)
    with pytest.raises(UserError, match=r"^own.parquet: is no undamaged Parquet file"):
        read(own, {"own.parquet": content[:-20]})


def test_parquet_without_pyarrow_says_what_to_install(monkeypatch):
    for name in ("pyarrow", "fastparquet"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=r"^own.parquet: Parquet needs pyarrow, .*`pip install pyarrow`[^\n]*$"):
        read(dataset(format="parquet", shape=[5]), {"own.parquet": b"PAR1"})


def test_decimal_commas_beside_semicolons():
    arrays = csv("a;price\n1,5;2\n-2,25;3,5\n", shape=[1])
    np.testing.assert_array_equal(arrays.train_x, np.array([[1.5], [-2.25]], np.float32))


def test_lines_with_gaps_are_dropped_where_told():
    assert csv(HOUSES, shape=[4], missing="drop").train_y.tolist() == [100, 400]


def test_classes_are_numbered_in_the_order_of_their_names():
    arrays = csv("a,kind\n1,no\n2,yes\n3,no\n4,maybe\n", shape=[1], target="kind", classes=3)
    assert arrays.train_y.tolist() == [1, 2, 1, 0]
    assert csv("a,kind\n1,7\n2,-1\n3,7\n", shape=[1], target="kind", classes=2).train_y.tolist() == [1, 0, 1]


def test_several_targets_are_labels_or_values():
    text = "a,p,q\n1,0,1\n2,1,1\n3,1,0\n"
    labels = csv(text, shape=[1], target=["p", "q"], classes=2, targets=2)
    assert labels.train_y.tolist() == [[0, 1], [1, 1], [1, 0]] and labels.train_y.dtype == np.int64
    values = csv(text, shape=[1], target=["q", "p"], targets=2)
    assert values.train_y.tolist() == [[1, 0], [1, 1], [0, 1]] and values.train_y.dtype == np.float32
    assert guess({"train": (labels.train_x, labels.train_y)}, 2) == {"train": pytest.approx(2 / 3, abs=1e-6)}


@pytest.mark.parametrize(
    ("text", "values", "message"),
    [
        ("", {}, "own.csv: is empty"),
        ("\n \n", {}, "own.csv: is empty"),
        ("a,price\n", {}, "own.csv: has no samples"),
        ("price\n1\n2\n", {}, "own.csv: has one column"),
        ("1,2\n3,4\n", {}, "line 1: wants the names of the columns"),
        ("a,b\n1,2\n3,4\n", {}, "has no column price; it has a, b"),
        ("a,price\n1,2\n3,4\n", {"ignore": ["c"]}, "has no column c"),
        ("a,price\n1,2\nfew,3\n3,4\n", {}, "column a: line 3: few is no finite number"),
        ("a,price\n1,2\n2,many\n3,4\n", {}, "column price: line 3: many is no finite number"),
        ("a,price\n1,2\n,3\n3,4\n", {}, "column a: 1 missing values, the first in line 3"),
        ("a,price\n1,2\n2,\n3,4\n", {}, "column price: line 3: the target is missing"),
        ("a,price\n1,2\n2,nan\n3,4\n", {}, "column price: line 3: the target is missing"),
        ("a,price\n1,2\n1e400,3\n3,4\n", {}, "column a: line 3: is too large or infinite"),
        ("a,price\n1,2\n1e39,3\n3,4\n", {}, "column a: line 3: is too large or infinite"),
        ("a,price\n1,2\n2,inf\n3,4\n", {}, "column price: line 3: is too large or infinite"),
        ("a,price\n1,2\n2,2\n3,2\n", {}, "the target has one value only"),
        ("a,price\n1,x\n2,x\n3,x\n", {"classes": 2}, "the target has one value only"),
        ("a,price\n1,x\n2,y\n3,x\n", {"classes": 3}, "has 2 classes, the configuration says 3"),
        ("a,price\n1,x\n2,y\n3,x\n", {}, "the target is text, so give `classes`: 2"),
        ("a,price\n1,2\n2,3,4\n3,4\n", {}, "own.csv: "),
        ("a,price\n" + "".join(f"name {i},{i}\n" for i in range(200)), {}, "has 200 different texts"),
        ("price,a\n1,\n2,\n", {"missing": "drop"}, "every line has a missing value"),
        (b"a,price\n\xff\xfe,1\n", {}, "is no text in UTF-8"),
        ("a,price,price\n1,2,2\n2,3,3\n", {}, "two columns are called price"),  # the target would be an input
        ("a,price\n1,2,9\n2,3,9\n", {}, "lines have more cells than the header names, 2"),
        ("a,price\n1,2\n1" + "0" * 400 + ",3\n", {}, "column a: line 3: 10+ is no finite number"),
    ],
)
def test_a_bad_table_is_one_line(text, values, message):
    with pytest.raises(UserError, match=message) as refused:
        csv(text, shape=[1], **values)
    assert "\n" not in str(refused.value)


class TestArrays:
    X, Y = np.arange(24, dtype=np.float64).reshape(6, 2, 2), np.array([0, 1, 2, 0, 1, 2])

    def npz(self, **arrays) -> bytes:
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        return buffer.getvalue()

    def read(self, content: bytes, **values) -> Arrays:
        return read(dataset(**{"format": "npz", "shape": [2, 2], "classes": 3, **values}), {"own.npz": content})

    def test_keras_names_and_one_hot(self):
        arrays = self.read(self.npz(x_train=self.X, y_train=np.eye(3)[self.Y], x_test=self.X[:3], y_test=np.eye(3)))
        assert arrays.train_y.tolist() == self.Y.tolist() and arrays.test_y.tolist() == [0, 1, 2]
        np.testing.assert_array_equal(arrays.train_x, self.X.astype(np.float32))

    def test_two_files_and_the_indices_of_a_split(self):
        members = {"x_train": "x.npy", "y_train": "y.npy", "validation": "v.txt"}
        files = {"x.npy": npy(self.X.astype(np.uint8)), "y.npy": npy(self.Y[:, None]), "v.txt": b"4\n0\n"}
        arrays = read(dataset(format="npy", shape=[2, 2], classes=3, members=members), files)
        assert arrays.train_x.dtype == np.uint8
        rule = Split(validation="indices", size=None, random_state=None, monitor="validation")
        parts = split(arrays, rule)
        assert parts["validation"][1].tolist() == [0, 1] and parts["train"][1].tolist() == [1, 2, 0, 2]
        for wrong in (b"6", b"-1", b"", b"0 0", b"a", b"0 1 2 3 4 5"):
            with pytest.raises(UserError, match=r"v\.txt: "):
                read(dataset(format="npy", shape=[2, 2], classes=3, members=members), {**files, "v.txt": wrong})

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"x": X}, "wants arrays x and y"),
            ({"x": X, "y": Y[:5]}, "has 6 samples, .* has 5"),
            ({"x": X, "y": Y + 1}, "class numbers must be 0 to 2"),
            ({"x": X, "y": Y * 0}, "one value only"),
            ({"x": X, "y": np.array(["a"] * 6)}, "is no array of numbers"),
            ({"x": np.array([{}] * 6), "y": Y}, "is no undamaged array of numbers"),
            ({"x": X * np.nan, "y": Y}, "not finite"),
            ({"x": X * 1e300, "y": Y}, "not finite"),
        ],
    )
    def test_bad_arrays_are_one_line(self, arrays, message):
        with pytest.raises(UserError, match=message):
            self.read(self.npz(**arrays))

    def test_what_is_no_npz(self):
        header = npy(np.zeros(1)).replace(b"(1,)", b"(" + b"9" * 17 + b",)", 1)
        for content in (b"", b"x", b"PK\3\4", packed({"x.npy": header[:-20], "y.npy": npy(self.Y)})):
            with pytest.raises(UserError):
                self.read(content)


class TestPictures:
    def read(self, files: dict[str, bytes], shape, resize=True) -> Arrays:
        described = dataset(format="image_folder", shape=shape, classes=2, target=None, resize=resize)
        return read(described, {"own.zip": packed(files)})

    @pytest.mark.parametrize("shape", [[4, 6, 3], [4, 6], [4, 6, 1]])
    def test_any_size_grey_or_colour(self, shape):
        arrays = self.read({"cat/1.png": picture(9, 5), "dog/a.png": picture(4, 6, "L")}, shape)
        assert arrays.train_x.shape == (2, *shape) and (arrays.train_x == 7).all()
        assert arrays.train_y.tolist() == [0, 1] and arrays.test_x is None

    def test_sizes_that_differ_are_refused_unless_told(self):
        with pytest.raises(UserError, match=r"1\.png has shape \(9, 5, 3\), the configuration says \(4, 6, 3\)"):
            self.read({"cat/1.png": picture(9, 5), "dog/a.png": picture(4, 6)}, [4, 6, 3], resize=False)

    def test_sixteen_bits_are_refused(self):
        with pytest.raises(UserError, match="8 bits"):
            self.read({"cat/1.png": picture(4, 6, "I;16"), "dog/a.png": picture(4, 6)}, [4, 6])

    def test_a_huge_picture_is_refused_before_it_is_decoded(self):
        header = picture(4, 6)
        huge = header[:16] + (50_000).to_bytes(4, "big") * 2 + header[24:]
        with pytest.raises(UserError, match=r"1\.png"):
            self.read({"cat/1.png": huge, "dog/a.png": picture(4, 6)}, [4, 6])


class TestSplits:
    ARRAYS = Arrays(np.arange(40.0)[:, None], np.repeat([0, 1], [32, 8]), groups=np.arange(40) // 4)

    def of(self, validation, arrays=ARRAYS, size=0.25):
        return split(arrays, Split(validation=validation, size=size, random_state=1, monitor="validation"))

    def test_stratified_keeps_the_shares(self):
        parts = self.of("stratified")
        assert [np.bincount(y).tolist() for _, y in parts.values()] == [[24, 6], [8, 2]]

    def test_no_group_is_on_both_sides(self):
        parts = self.of("grouped")
        groups = [{*(x[:, 0] // 4).tolist()} for x, _ in parts.values()]
        assert not groups[0] & groups[1] and sum(map(len, groups)) == 10
        assert sum(len(x) for x, _ in parts.values()) == 40

    @pytest.mark.parametrize(
        ("validation", "arrays", "message"),
        [
            ("grouped", Arrays(np.zeros((4, 1)), np.arange(4)), "needs `groups`"),
            ("stratified", Arrays(np.zeros((4, 1)), np.arange(4.0)), "goes with classes"),
            ("stratified", Arrays(np.zeros((4, 1)), np.arange(4)), "stratified: "),
        ],
    )
    def test_what_cannot_be_split(self, validation, arrays, message):
        with pytest.raises(UserError, match=message):
            self.of(validation, arrays)

    def test_a_class_without_samples(self):
        parts = {"train": (None, np.array([0, 1])), "validation": (None, np.array([1, 1]))}
        with pytest.raises(UserError, match="no validation sample is of class 0"):
            check_classes(parts, 2)


def test_scales_are_those_of_the_training_samples():
    train, x = np.array([[0.0, 5], [4, 5]]), np.array([[8.0, 6]])
    np.testing.assert_allclose(scaling.scaled(x, *scaling.fitted(train, "standard")), [[3, 1]])
    np.testing.assert_allclose(scaling.scaled(x, *scaling.fitted(train, "minmax")), [[2, 1]])
    np.testing.assert_allclose(scaling.scaled(x, *scaling.fitted(train, 2.0)), [[4, 3]])


def test_missing_numbers_are_filled_from_the_training_samples():
    train = np.array([[1.0, np.nan], [5, np.nan], [6, np.nan]])
    x = np.array([[np.nan, np.nan], [2, 3]], np.float32)
    assert scaling.imputed(x, train, "mean").tolist() == [[4, 0], [2, 3]]
    assert scaling.imputed(x, train, "median").tolist() == [[5, 0], [2, 3]]


def test_openml_is_read_by_scikit_learn(monkeypatch):
    import pandas as pd
    import sklearn.datasets

    class Found:
        frame = pd.DataFrame({"a": [1.5, 2], "class": ["x", "y"]})

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", lambda data_id, **_: Found if data_id == 61 else None)
    assert fetch.from_openml("openml:61") == b"a,class\n1.5,x\n2.0,y\n"


def row(layers: list[dict], dataset: dict, **training) -> Row:
    none = {"l1": 0.0, "l2": 0.0}
    values = {
        **{"study": "s", "row": "r", "seeds": 1, "device": "cpu", "fingerprint": "0" * 64},
        "dataset": {"name": "own", "shape": [2], "classes": None, "scale": None, **dataset},
        "split": {"validation": "tail", "size": 0.5, "random_state": None, "monitor": "validation"},
        "layers": layers,
        "regularizers": {"kernel": none, "bias": none, "activity": none},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "training": {"loss": "mse", "batch_size": 4, "epochs": 2, **training},
    }
    return Row.model_validate(values)


def trained(row: Row, splits):
    from plain import without_xla

    from stages.core.training import engine as training

    engine = without_xla(training.Engine(row, splits, "cpu"))
    seed = next(training.train(engine, [0], 1))
    return engine, seed


def test_metrics_stay_in_the_targets_own_unit():
    """As on targets that are standardized by hand, the error times their spread; the loss as it is."""
    rng = np.random.default_rng(0)
    x = rng.normal(3, 5, (12, 2)).astype(np.float32)
    x[3, 1] = np.nan
    y = (1000 * rng.normal(size=(12, 2)) + [0, 1e5]).astype(np.float32)
    splits = {"train": (x[:8], y[:8]), "validation": (x[8:], y[8:])}
    layers = [{"type": "dense", "units": 2}]
    scales = {"targets": 2, "scale": "standard", "target_scale": "standard", "missing": "mean"}
    _, found = trained(row(layers, scales), splits)
    filled = scaling.imputed(x, x[:8], "mean")
    mean, sd = y[:8].mean(0), y[:8].std(0)
    by_hand = {
        name: ((part - filled[:8].mean(0)) / filled[:8].std(0), (target - mean) / sd)
        for name, part, target in (("train", filled[:8], y[:8]), ("validation", filled[8:], y[8:]))
    }
    engine, expected = trained(row(layers, {"targets": 2}), {k: (a.astype("f4"), b) for k, (a, b) in by_hand.items()})
    assert found["final"]["train"]["loss"] == pytest.approx(expected["final"]["train"]["loss"], rel=1e-3)
    from stages.core.training import net as nets

    state = engine.start(0).state  # the untrained net: the metric alone
    scaled_engine = trained(row(layers, scales, epochs=1), splits)[0]
    measured = scaled_engine.evaluate(state, "validation")[0]["mae"]
    net: nets.Net = engine.net
    outputs, _ = net.model.stateless_call(state.weights, state.others, by_hand["validation"][0].astype("f4"))
    assert measured == pytest.approx(np.abs(outputs.numpy() * sd + mean - y[8:]).mean(), rel=1e-4)


def test_balanced_accuracy_is_the_mean_over_the_classes():
    from sklearn.metrics import balanced_accuracy_score

    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, 2)).astype(np.float32)
    y = (x[:, 0] > 0.8).astype(np.int64)
    splits = {"train": (x[:40], y[:40]), "validation": (x[40:], y[40:])}
    layers = [{"type": "dense", "units": 2, "activation": "softmax"}]
    of = row(layers, {"classes": 2}, loss="sparse_categorical_crossentropy", balanced=True, epochs=3)
    engine, found = trained(of, splits)
    assert "balanced_accuracy" not in trained(row(layers, {"classes": 2}, loss=of.training.loss), splits)[1]["final"]
    state = engine.start(0).state
    outputs, _ = engine.net.model.stateless_call(state.weights, state.others, x[40:])
    expected = balanced_accuracy_score(y[40:], outputs.numpy().argmax(1))
    assert engine.balanced_accuracy(state, "validation") == [pytest.approx(expected)]
    assert 0 <= found["final"]["validation"]["balanced_accuracy"] <= 1
