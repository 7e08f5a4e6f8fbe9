"""Random rotation, shift and flip of image batches, pixel for pixel as Keras' `ImageDataGenerator`, on the device.

The reference is Keras' `legacy.preprocessing.image` with `fill_mode="nearest"` and `interpolation_order=1`:
`get_random_transform` for the distributions, `apply_transform` for the pixels.
"""

import math
from typing import NamedTuple

import tensorflow as tf


class Ranges(NamedTuple):
    """How far an image may be moved; the names and meanings of `ImageDataGenerator`.

    rotation: largest angle in degrees, >= 0. width_shift, height_shift: largest shifts as fractions of the image's
    width and height, in [0, 1) (from 1 on Keras would read them as pixels). horizontal_flip: flip half of the images.
    """

    rotation: float
    width_shift: float
    height_shift: float
    horizontal_flip: bool


class Parameters(NamedTuple):
    """One transform per image; every field has shape (B,).

    theta: angle in degrees, float32. tx, ty: shifts in pixels, float32. flip: mirror left and right, bool.
    """

    theta: tf.Tensor
    tx: tf.Tensor
    ty: tf.Tensor
    flip: tf.Tensor


def _symmetric_uniform(shape: tuple[int, int], seed: tf.Tensor) -> tf.Tensor:
    """Uniform float32 multiples of 2⁻²³ in [-1, 1)."""
    # From integers, because XLA and TensorFlow make the same integers but other floats of one seed; and by a named
    # algorithm, because the choice of the default one is left to the device.
    bits = tf.random.stateless_uniform(shape, seed, minval=None, maxval=None, dtype=tf.int32, alg="philox")
    return tf.cast(tf.bitwise.right_shift(bits, 8), tf.float32) * 2.0**-23


def parameters(seed: tf.Tensor, batch: int, shape: tuple[int, int, int], ranges: Ranges) -> Parameters:
    """Draw the transforms of `batch` images of `shape` (H, W, C), as `ImageDataGenerator.get_random_transform` does.

    theta, tx and ty are uniform on [-rotation, rotation), [-height_shift·H, height_shift·H) and
    [-width_shift·W, width_shift·W); flip has probability 1/2. The same `seed` (int32, shape (2,)) gives the same bits,
    with XLA and without.
    """
    height, width, _ = shape
    theta, tx, ty, side = tf.unstack(_symmetric_uniform((4, batch), seed))
    return Parameters(
        theta=theta * ranges.rotation,
        tx=tx * (ranges.height_shift * height),
        ty=ty * (ranges.width_shift * width),
        flip=tf.logical_and(side < 0, ranges.horizontal_flip),
    )


def _source_coordinates(height: int, width: int, transforms: Parameters) -> tuple[tf.Tensor, tf.Tensor]:
    """Rows and columns, each (B, H, W), from which the output pixels are read, moved inside the image.

    With o = (W-1)/2, p = (H-1)/2 and the matrix of Keras' `apply_affine_transform` (rotation · shift about the centre):
        row    = sin θ (j - p + tx) + cos θ (i - o + ty) + o
        column = cos θ (j - p + tx) - sin θ (i - o + ty) + p
    Keras builds this matrix for (row, column) and then exchanges its axes, so that tx, which is drawn from the height
    shift, moves columns, and the centre of rotation has the half width as its row. Both are kept; on square images
    with equal shifts they make no difference. The flip comes last: output column j is column W-1-j of the rest.
    """
    row_center, column_center = (width - 1) / 2, (height - 1) / 2
    theta, tx, ty, flip = (field[:, None, None] for field in transforms)
    cos, sin = tf.cos(theta * (math.pi / 180)), tf.sin(theta * (math.pi / 180))
    i = tf.range(height, dtype=tf.float32)[:, None]
    j = tf.range(width, dtype=tf.float32)
    y = i - row_center + ty
    x = tf.where(flip, width - 1 - j, j) - column_center + tx
    row = sin * x + cos * y + row_center
    column = cos * x - sin * y + column_center
    return tf.clip_by_value(row, 0, height - 1), tf.clip_by_value(column, 0, width - 1)


# XLA fuses all of this into one loop over the output, also when a function that is not compiled with XLA calls it: on
# a CPU that is several times faster than `ImageProjectiveTransformV3`, which besides XLA cannot compile.
@tf.function(jit_compile=True)
def transform(images: tf.Tensor, transforms: Parameters) -> tf.Tensor:
    """Move each image of a float32 batch (B, H, W, C) as its parameters say: bilinear, outside nearest pixel.

    Agrees with Keras, which computes the coordinates in float64, within n·2⁻¹⁸ R, where n = max(H, W) and R is the
    span of the pixel values and 0 (1.2e-4 R for n = 32): angle, sine, products and sums of numbers below 2n are rounded
    to 24 bits and together misplace a coordinate by at most 14 n·2⁻²³ pixels (angles to 180°, shifts below 1);
    bilinear interpolation changes by at most R per pixel and axis, and its own arithmetic adds 4·2⁻²³ R. Transforms
    that move nothing, and flips alone, are exact.
    """
    _, height, width, channels = images.shape
    row, column = _source_coordinates(height, width, transforms)
    above, left = tf.floor(row), tf.floor(column)
    down, right = (row - above)[..., None], (column - left)[..., None]
    pixels = tf.reshape(images, (-1, height * width, channels))

    def pixel(row: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
        # Only the neighbour of a pixel on the border lies outside, and its weight is 0.
        position = tf.minimum(row, height - 1) * width + tf.minimum(column, width - 1)
        return tf.gather(pixels, tf.cast(position, tf.int32), batch_dims=1)

    upper = (1 - right) * pixel(above, left) + right * pixel(above, left + 1)
    lower = (1 - right) * pixel(above + 1, left) + right * pixel(above + 1, left + 1)
    return (1 - down) * upper + down * lower


def augment(images: tf.Tensor, seed: tf.Tensor, ranges: Ranges) -> tf.Tensor:
    """`images` (float32, (B, H, W, C)), each moved at random within `ranges`; a pure function of images and `seed`."""
    return transform(images, parameters(seed, tf.shape(images)[0], images.shape[1:], ranges))
