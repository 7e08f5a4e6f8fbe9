"""From bytes to arrays, and from arrays to splits."""

import gzip
import hashlib
import io
import struct
import tarfile
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as any_array
from PIL import Image
from sklearn.model_selection import train_test_split

from stages.core.base.errors import UserError
from stages.core.config.dataset import PublishedDataset
from stages.core.config.row import Split
from stages.core.data.formats import Arrays, describe, digest, from_bytes, read, to_bytes
from stages.core.data.splits import split

RNG = np.random.default_rng(0)


def dataset(**values) -> PublishedDataset:
    return PublishedDataset(**{"name": "tiny", "title": "Tiny", "classes": 10, "scale": 255, "files": [], **values})


def same(a: Arrays, b: Arrays) -> bool:
    return describe(a) == describe(b)


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


class TestIdx:
    IMAGES, LABELS = RNG.integers(0, 256, (5, 3, 4), dtype=np.uint8), np.array([0, 9, 3, 3, 1], np.uint8)
    MEMBERS: ClassVar = {"train_x": "a", "train_y": "b", "test_x": "c", "test_y": "d"}

    @staticmethod
    def idx(array: np.ndarray, kind: int = 8) -> bytes:
        return bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()

    def contents(self, **replaced: bytes) -> dict[str, bytes]:
        x, y = self.idx(self.IMAGES), self.idx(self.LABELS)
        return {name: gzip.compress(data) for name, data in {"a": x, "b": y, "c": x, "d": y, **replaced}.items()}

    def read(self, contents: dict[str, bytes], **values) -> Arrays:
        return read(dataset(**{"format": "idx", "shape": [3, 4], "members": self.MEMBERS, **values}), contents)

    def test_images_and_labels(self):
        arrays = self.read(self.contents())
        expected = (self.IMAGES, self.LABELS.astype(np.int64))
        assert same(arrays, Arrays(*expected, *expected))

    def test_without_a_test_split(self):
        members = {"train_x": "a", "train_y": "b"}
        assert self.read(self.contents(), members=members).test_x is None

    @pytest.mark.parametrize(
        ("replaced", "message"),
        [
            ({"a": b""}, "a: not an IDX file"),
            ({"a": b"\0\0\x08"}, "a: not an IDX file"),
            ({"a": idx(IMAGES, kind=13)}, "a: not an IDX file"),
            ({"a": idx(LABELS)}, "a: not an IDX file"),
            ({"a": idx(IMAGES)[:-1]}, "a: 59 bytes of data instead of 60"),
            ({"a": idx(IMAGES) + b"x"}, r"a: 61\+ bytes of data instead of 60"),
            ({"a": b"\0\0\x08\x03" + b"\xff" * 12}, "more than allowed"),
            ({"b": idx(LABELS[:4])}, "a has 5 samples, b has 4"),
            ({"d": idx(LABELS + 1)}, "d: class numbers must be 0 to 9"),
            ({"a": idx(IMAGES[:0]), "b": idx(LABELS[:0])}, "0 samples"),
            ({"c": idx(IMAGES.reshape(5, 4, 3))}, r"shape \(4, 3\), not \(3, 4\)"),
        ],
    )
    def test_wrong_bytes_are_refused(self, replaced, message):
        with pytest.raises(UserError, match=message):
            self.read(self.contents(**replaced))

    def test_damaged_compression_is_refused(self):
        whole = self.contents()
        flipped = bytearray(whole["a"])
        flipped[-6] ^= 1  # the checksum
        for damaged in (whole["a"][:-9], b"<html>", bytes(flipped)):
            with pytest.raises(UserError, match="a: damaged gzip file"):
                self.read({**whole, "a": damaged})

    @pytest.mark.parametrize("members", [None, {"train_x": "a"}, {**MEMBERS, "test_y": "e"}, {**MEMBERS, "more": "a"}])
    def test_members_that_do_not_fit_are_refused(self, members):
        with pytest.raises(UserError, match="members"):
            self.read(self.contents(), members=members)


class TestCifarBinary:
    @staticmethod
    def record(label: int, image: np.ndarray) -> bytes:
        """One record as the distribution defines it: the label, then the 1,024 red, green and blue bytes, row-major."""
        return bytes([label]) + b"".join(image[:, :, channel].tobytes() for channel in range(3))

    def read(self, files: dict[str, bytes]) -> Arrays:
        described = dataset(format="cifar_binary", shape=[32, 32, 3])
        return read(described, {"cifar.tar.gz": packed({f"folder/{name}": data for name, data in files.items()})})

    def test_records_become_images_with_channels_last(self):
        images = RNG.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
        records = [self.record(label, image) for label, image in enumerate(images)]
        files = {
            "readme.html": b"hello",
            "data_batch_2.bin": records[2],
            "data_batch_1.bin": records[0] + records[1],
            "test_batch.bin": records[3],
        }
        assert same(self.read(files), Arrays(images[:3], np.arange(3), images[3:], np.array([3])))

    @pytest.mark.parametrize(
        ("files", "message"),
        [
            ({"data_batch_1.bin": bytes(3073)}, r"no test_batch\.bin"),
            ({"data_batch_1.bin": bytes(3072), "test_batch.bin": bytes(3073)}, "whole number of records"),
            ({"data_batch_1.bin": bytes(3073), "test_batch.bin": b""}, "whole number of records"),
            ({"data_batch_1.bin": b"\x0a" + bytes(3072), "test_batch.bin": bytes(3073)}, "class numbers"),
        ],
    )
    def test_wrong_bytes_are_refused(self, files, message):
        with pytest.raises(UserError, match=message):
            self.read(files)


class TestImageFolder:
    IMAGES = RNG.integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)

    @staticmethod
    def image(pixels: np.ndarray, kind: str = "PNG") -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, kind)
        return buffer.getvalue()

    def files(self) -> dict[str, bytes]:
        names = ("train/cat/1.png", "train/ant/2.png", "train/ant/1.png", "test/cat/1.png")
        return {name: self.image(pixels) for name, pixels in zip(names, self.IMAGES, strict=True)}

    def read(self, files: dict[str, bytes], classes: int = 2) -> Arrays:
        described = dataset(format="image_folder", shape=[5, 6, 3], classes=classes)
        return read(described, {"x.tar.gz": packed(files)})

    def test_classes_and_samples_follow_the_sorted_paths(self):
        expected = Arrays(self.IMAGES[[2, 1, 0]], np.array([0, 0, 1]), self.IMAGES[3:], np.array([1]))
        assert same(self.read(self.files()), expected)
        assert same(self.read(dict(reversed(self.files().items()))), expected)

    def test_jpeg_is_decoded_as_pillow_does(self):
        smooth = np.full((5, 6, 3), 100, np.uint8)
        data = self.image(smooth, "JPEG")
        arrays = self.read({**self.files(), "train/cat/1.png": data})
        assert np.array_equal(arrays.train_x[2], np.asarray(Image.open(io.BytesIO(data))))

    def test_grey_images_become_rgb(self):
        arrays = self.read({**self.files(), "train/cat/1.png": self.image(self.IMAGES[0, :, :, 0])})
        assert np.array_equal(arrays.train_x[2], self.IMAGES[0, :, :, :1].repeat(3, axis=2))

    def test_without_a_test_split(self):
        files = {path: data for path, data in self.files().items() if path.startswith("train")}
        assert self.read(files).test_x is None

    @pytest.mark.parametrize(
        ("path", "data", "message"),
        [
            ("train/cat/9.png", b"hello", r"train/cat/9\.png is not an undamaged JPEG or PNG"),
            ("train/cat/9.png", image(IMAGES[0])[:-40], r"train/cat/9\.png is not an undamaged"),
            ("train/cat/9.gif", image(IMAGES[0], "GIF"), "is not an undamaged JPEG or PNG"),
            ("train/cat/9.png", image(IMAGES[0, :4]), r"has shape \(4, 6, 3\)"),
            ("train/9.png", b"", "is not train|test/<class>/<image>"),
            ("validation/cat/9.png", b"", "is not train|test/<class>/<image>"),
            ("test/dog/9.png", image(IMAGES[0]), "no such class in train/"),
            ("train/dog/9.png", image(IMAGES[0]), "3 class folders, the configuration says 2"),
        ],
    )
    def test_wrong_members_are_refused(self, path, data, message):
        with pytest.raises(UserError, match=message):
            self.read({**self.files(), path: data})

    def test_an_archive_without_training_images_is_refused(self):
        with pytest.raises(UserError, match="no train/"):
            self.read({"test/cat/1.png": self.image(self.IMAGES[0])})


class TestTable:
    def read(self, content: bytes, classes: int | None = None) -> Arrays:
        return read(dataset(format="table", shape=[2], classes=classes), {"x.txt": content})

    def test_the_last_column_is_the_target(self):
        arrays = self.read(b"  1.0e-01 2 3\n  4 5 -6.5e+00\n")
        expected = Arrays(np.array([[0.1, 2], [4, 5]], np.float32), np.array([3, -6.5], np.float32))
        assert same(arrays, expected)

    def test_classes_make_it_labels(self):
        assert self.read(b"0.5 1 2\n", classes=3).train_y.dtype == np.int64
        for wrong in (b"0.5 1 3\n", b"0.5 1 0.5\n", b"0.5 1 -1\n"):
            with pytest.raises(UserError, match="class numbers must be 0 to 2"):
                self.read(wrong, classes=3)

    @pytest.mark.filterwarnings("ignore:loadtxt")
    @pytest.mark.parametrize("content", [b"", b"1\n", b"1 2 3\n4 5\n", b"1 2 x\n", b"1 2 nan\n", b"1 inf 2\n", b"1 2"])
    def test_wrong_tables_are_refused(self, content):
        with pytest.raises(UserError):
            self.read(content)

    def test_one_file_is_wanted(self):
        with pytest.raises(UserError, match="wants one file, not 2"):
            read(dataset(format="table", shape=[2]), {"a": b"", "b": b""})


def test_digits_keep_the_last_fifth_for_testing():
    from sklearn.datasets import load_digits

    arrays = read(dataset(format="digits", shape=[8, 8]), {})
    digits = load_digits()
    assert (arrays.train_x.shape, arrays.test_x.shape) == ((1437, 8, 8), (360, 8, 8))
    assert arrays.train_x.dtype == np.uint8
    assert np.array_equal(np.concatenate([arrays.train_x, arrays.test_x]), digits.images)
    assert np.array_equal(np.concatenate([arrays.train_y, arrays.test_y]), digits.target)


# --- digest and storage


def numbered(n: int = 20) -> Arrays:
    x = np.arange(n * 4, dtype=np.uint8).reshape(n, 2, 2)
    return Arrays(x, np.arange(n), x[:3], np.arange(3))


@settings(max_examples=40, deadline=None)
@given(x=any_array(np.uint8, (3, 2, 2)), position=st.integers(0, 11), change=st.integers(1, 255))
def test_the_digest_changes_with_any_byte(x, position, change):
    changed = x.copy()
    changed.flat[position] ^= change
    y = np.arange(3)
    assert digest(Arrays(x, y)) == digest(Arrays(x.copy(), y))
    assert digest(Arrays(x, y)) != digest(Arrays(changed, y))


def test_the_digest_knows_names_shapes_and_types():
    x, y = np.zeros((4, 2, 2), np.uint8), np.zeros(4, np.int64)
    variants = [
        Arrays(x, y),
        Arrays(x, y, x, y),
        Arrays(x.reshape(4, 4), y),
        Arrays(x.reshape(2, 2, 4), y),
        Arrays(x, y.view(np.uint64)),
        Arrays(x.view(np.int8), y),
    ]
    assert len({digest(arrays) for arrays in variants}) == len(variants)


def test_the_digest_does_not_depend_on_the_memory_layout():
    x = RNG.integers(0, 256, (3, 4, 5), dtype=np.uint8)
    assert digest(Arrays(np.asfortranarray(x), np.arange(3))) == digest(Arrays(x, np.arange(3)))


@pytest.mark.parametrize("arrays", [numbered(), Arrays(np.zeros((3, 2), np.float32), np.zeros(3, np.float32))])
def test_stored_arrays_come_back(arrays):
    assert same(from_bytes(to_bytes(arrays)), arrays)
    assert to_bytes(arrays) == to_bytes(arrays)


def test_any_damage_to_stored_arrays_is_noticed():
    whole = to_bytes(numbered(3))
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        with pytest.raises(ValueError):
            from_bytes(bytes(damaged))
    for length in range(0, len(whole), 37):
        with pytest.raises(ValueError):
            from_bytes(whole[:length])


def test_pickles_are_never_loaded():
    buffer = io.BytesIO()
    np.savez(buffer, train_x=np.array([object()]), train_y=np.arange(1))
    with pytest.raises(ValueError, match="allow_pickle"):
        from_bytes(buffer.getvalue() + hashlib.sha256(buffer.getvalue()).digest())


# --- splits and scaling


def rule(validation: str = "none", size: float | None = None, random_state: int | None = None) -> Split:
    monitor = "test" if validation == "none" else "validation"
    return Split(validation=validation, size=size, random_state=random_state, monitor=monitor)


def test_without_validation_the_splits_are_the_arrays():
    arrays = numbered()
    splits = split(arrays, rule())
    assert list(splits) == ["train", "test"]
    assert splits["train"][0] is arrays.train_x and splits["test"][1] is arrays.test_y


def test_without_a_test_split_there_is_none():
    arrays = Arrays(numbered().train_x, numbered().train_y)
    with pytest.raises(UserError, match="no test samples"):
        split(arrays, rule())
    assert list(split(arrays, rule("tail", 5))) == ["train", "validation"]


def test_the_tail_is_the_last_samples():
    splits = split(numbered(20), rule("tail", 6))
    assert splits["train"][1].tolist() == list(range(14))
    assert splits["validation"][1].tolist() == list(range(14, 20))
    assert np.array_equal(splits["validation"][0], numbered(20).train_x[14:])


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 300), size=st.floats(0.001, 0.999))
def test_a_share_of_the_tail_is_counted_as_keras_does(tensorflow, n, size):
    from keras.src.trainers.data_adapters.array_slicing import train_validation_split

    y = np.arange(n)
    try:
        (expected,), (held_out,) = train_validation_split((y,), size)
    except ValueError:
        with pytest.raises(UserError, match="empty"):
            split(Arrays(y, y), rule("tail", size))
        return
    splits = split(Arrays(y, y), rule("tail", size))
    assert np.array_equal(splits["train"][1], expected) and np.array_equal(splits["validation"][1], held_out)


def test_kin8nm_keeps_6553_of_8192():
    splits = split(Arrays(np.zeros((8192, 8)), np.zeros(8192)), rule("tail", 0.2))
    assert (len(splits["train"][0]), len(splits["validation"][0])) == (6553, 1639)


@pytest.mark.parametrize("size", [0.2, 0.33, 7])
def test_random_is_scikit_learns_own(size):
    arrays = numbered(40)
    expected = train_test_split(arrays.train_x, arrays.train_y, test_size=size, random_state=42)
    splits = split(arrays, rule("random", size, 42))
    found = (splits["train"][0], splits["validation"][0], splits["train"][1], splits["validation"][1])
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("kind", ["tail", "random"])
@pytest.mark.parametrize("size", [20, 21])
def test_a_split_that_leaves_nothing_is_refused(kind, size):
    with pytest.raises(UserError, match="split: a validation size of"):
        split(numbered(20), rule(kind, size, 42 if kind == "random" else None))
