"""Augmentation against Keras' `ImageDataGenerator`: the same distributions, the same pixels."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from keras.src.legacy.preprocessing.image import ImageDataGenerator
from scipy import stats

from stages.core.training.augmentation import Parameters, Ranges, augment, parameters, transform

pytestmark = [
    pytest.mark.usefixtures("tensorflow"),  # set up before its first operation, for all tests of a session
    pytest.mark.filterwarnings("ignore:.*scipy.ndimage:DeprecationWarning"),
]

DOCUMENT = Ranges(rotation=15.0, width_shift=0.1, height_shift=0.1, horizontal_flip=True)
STILL = Ranges(rotation=0.0, width_shift=0.0, height_shift=0.0, horizontal_flip=False)
SHAPE = (32, 32, 3)


def noise(batch: int, shape: tuple[int, int, int] = SHAPE, largest: float = 255.0) -> np.ndarray:
    """White noise, on which a misplaced coordinate shows most."""
    return np.random.default_rng(batch).uniform(0, largest, (batch, *shape)).astype(np.float32)


def tolerance(images: np.ndarray) -> float:
    """The bound that `transform` states."""
    span = max(images.max(), 0) - min(images.min(), 0)
    return max(images.shape[1:3]) * 2.0**-18 * span


def keras_transform(images: np.ndarray, transforms: Parameters) -> np.ndarray:
    generator = ImageDataGenerator(fill_mode="nearest", interpolation_order=1)
    names = ("theta", "tx", "ty", "flip_horizontal")
    columns = (np.asarray(field).tolist() for field in transforms)
    return np.stack(
        [
            generator.apply_transform(image, dict(zip(names, one, strict=True)))
            for image, one in zip(images, zip(*columns, strict=True), strict=True)
        ]
    )


@pytest.mark.parametrize("shape", [SHAPE, (28, 28, 1), (6, 9, 2), (9, 6, 3), (1, 5, 1), (1, 1, 3)], ids=str)
@pytest.mark.parametrize(
    "ranges", [DOCUMENT, Ranges(180.0, 0.9, 0.6, True), Ranges(0.0, 0.3, 0.1, False), Ranges(40.0, 0.0, 0.0, False)]
)
def test_pixels_are_those_of_keras(shape, ranges):
    images = noise(64, shape) - 100  # negative values, too
    transforms = parameters(tf.constant([11, 12]), 64, shape, ranges)
    np.testing.assert_allclose(
        transform(images, transforms), keras_transform(images, transforms), rtol=0, atol=tolerance(images)
    )


def test_pixels_are_those_of_keras_at_the_extremes():
    grid = np.meshgrid([-180.0, -90.0, -15.0, 0.0, 1e-3, 45.0, 180.0], [-31.5, -1.0, 0.0, 7.25], [-3.0, 0.0, 0.5, 64.0])
    theta, tx, ty = (np.tile(axis.ravel(), 2).astype(np.float32) for axis in grid)
    transforms = Parameters(*map(tf.constant, (theta, tx, ty, np.arange(theta.size) >= theta.size / 2)))
    images = noise(theta.size)
    np.testing.assert_allclose(
        transform(images, transforms), keras_transform(images, transforms), rtol=0, atol=tolerance(images)
    )


def test_nothing_moves_within_zero_ranges():
    images = noise(32, (7, 10, 3))
    assert augment(images, tf.constant([1, 2]), STILL).numpy().tobytes() == images.tobytes()


def test_flip_alone_mirrors_exactly_the_chosen_images():
    images, seed, flips = noise(32), tf.constant([5, 6]), STILL._replace(horizontal_flip=True)
    chosen = parameters(seed, 32, SHAPE, flips).flip.numpy()
    assert 0 < chosen.sum() < 32
    expected = np.where(chosen[:, None, None, None], images[:, :, ::-1], images)
    np.testing.assert_array_equal(augment(images, seed, flips), expected)


def test_parameters_have_the_distributions_of_keras():
    n, (height, width) = 20_000, (20, 50)
    ranges = Ranges(rotation=15.0, width_shift=0.2, height_shift=0.3, horizontal_flip=True)
    ours = parameters(tf.constant([7, 8]), n, (height, width, 3), ranges)
    for field, largest in ((ours.theta, 15.0), (ours.tx, 0.3 * height), (ours.ty, 0.2 * width)):
        assert 0.999 * largest < np.abs(field).max() <= largest * (1 + 1e-6)
        assert stats.kstest(field, stats.uniform(-largest, 2 * largest).cdf).pvalue > 1e-3
    assert stats.binomtest(int(np.sum(ours.flip)), n).pvalue > 1e-3

    generator = ImageDataGenerator(
        rotation_range=15.0, width_shift_range=0.2, height_shift_range=0.3, horizontal_flip=True
    )
    theirs = [generator.get_random_transform((height, width, 3), seed=seed) for seed in range(500)]
    for name in ("theta", "tx", "ty"):
        assert stats.ks_2samp(getattr(ours, name), [one[name] for one in theirs]).pvalue > 1e-3


def test_parameters_are_independent_of_each_other_and_between_samples_and_seeds():
    n = 20_000
    here, there = (np.array(parameters(tf.constant([0, k]), n, SHAPE, DOCUMENT), np.float64) for k in (0, 1))
    correlations = np.corrcoef(np.vstack([here[:, :-1], here[:, 1:], there[:, 1:]]))
    off_diagonal = correlations[~np.eye(len(correlations), dtype=bool)]
    assert np.abs(off_diagonal).max() < 5 / np.sqrt(n)


def test_both_words_of_the_seed_count():
    seeds = [[0, 0], [0, 1], [1, 0], [1, 1]]
    draws = {parameters(tf.constant(seed), 8, SHAPE, DOCUMENT).theta.numpy().tobytes() for seed in seeds}
    assert len(draws) == len(seeds)


def test_flips_can_be_switched_off():
    assert not np.any(parameters(tf.constant([7, 8]), 100, SHAPE, DOCUMENT._replace(horizontal_flip=False)).flip)


def test_compiled_with_xla_and_not_draw_the_same_and_move_the_same():
    images, seed = noise(32), tf.constant([3, 4])

    def draw(seed: tf.Tensor) -> Parameters:
        return parameters(seed, 32, SHAPE, DOCUMENT)

    plain, compiled = tf.function(draw)(seed), tf.function(draw, jit_compile=True)(seed)
    for one, other in zip(plain, compiled, strict=True):
        np.testing.assert_array_equal(one, other)

    without_xla = transform.python_function(images, plain)
    outer = [tf.function(augment, jit_compile=jit)(images, seed, DOCUMENT) for jit in (False, True)]
    for moved in outer:
        np.testing.assert_allclose(moved, without_xla, rtol=0, atol=tolerance(images))


@pytest.mark.parametrize("jit", [False, True])
def test_seeds_can_be_a_leading_axis(jit):
    images, seeds = np.stack([noise(4), noise(4)[::-1], noise(4)]), tf.constant([[1, 2], [3, 4], [5, 6]])

    def stacked(images: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        return tf.vectorized_map(lambda one: augment(*one, DOCUMENT), (images, seeds))

    moved = tf.function(stacked, jit_compile=jit)(images, seeds)
    for one, image, seed in zip(moved, images, seeds, strict=True):
        np.testing.assert_allclose(one, augment(image, seed, DOCUMENT), rtol=0, atol=tolerance(images))


def test_batches_of_unknown_size_are_moved_alike():
    images, seed = noise(5), tf.constant([1, 2])
    of_any_size = tf.function(
        lambda images: augment(images, seed, DOCUMENT), input_signature=[tf.TensorSpec((None, *SHAPE), tf.float32)]
    )
    np.testing.assert_array_equal(of_any_size(images), augment(images, seed, DOCUMENT))


DIGEST = """
import hashlib, numpy, tensorflow
from stages.core.training.augmentation import Ranges, augment
images = numpy.random.default_rng(0).random((32, 32, 32, 3), dtype=numpy.float32)
moved = tensorflow.function(augment)(images, tensorflow.constant([3, 4]), Ranges(15.0, 0.1, 0.1, True))
digest = hashlib.sha256(moved.numpy().tobytes()).hexdigest()
"""
ONE_THREAD = """
import tensorflow
tensorflow.config.threading.set_intra_op_parallelism_threads(1)
tensorflow.config.threading.set_inter_op_parallelism_threads(1)
"""


def test_same_seed_gives_the_same_bytes_on_any_number_of_threads():
    here: dict[str, object] = {}
    exec(DIGEST, here)
    first = here["digest"]
    exec(DIGEST, here)
    program, root = ONE_THREAD + DIGEST + "print(digest)", Path(__file__).parents[1]
    other = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert first == here["digest"] == other.stdout.split()[-1]
