"""DiffAugment: ranges, independent draws, exact pixels where they are known."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from lada_tf.layers import DiffAugment

SIDE, MANY = 32, 400


def images(count=MANY):
    return tf.random.uniform((count, SIDE, SIDE, 3), -1, 1)


def test_empty_policy_changes_nothing():
    x = images(2)
    np.testing.assert_array_equal(DiffAugment("")(x), x)


def test_color_is_affine_in_each_image_with_parameters_in_range():
    x = images().numpy()
    y = DiffAugment("color", seed=1)(x).numpy()
    grey = x.mean(-1, keepdims=True)
    colour = x - grey
    # y = contrast · (grey - mean) + contrast · saturation · colour + brightness + mean
    product = (y - y.mean(-1, keepdims=True)) / colour
    grey_y = y.mean(-1, keepdims=True)
    contrast = np.array(
        [
            np.polyfit(a.ravel(), b.ravel(), 1)[0]
            for a, b in zip(grey, grey_y, strict=True)
        ]
    )
    saturation = np.median(product, axis=(1, 2, 3)) / contrast
    brightness = y.mean((1, 2, 3)) - x.mean((1, 2, 3))
    for values, low, high in (
        (contrast, 0.5, 1.5),
        (saturation, 0.0, 2.0),
        (brightness, -0.5, 0.5),
    ):
        assert low - 1e-3 <= values.min() < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < values.max() <= high + 1e-3
        assert abs(values.mean() - (low + high) / 2) < 0.1 * (high - low)


def test_translation_shifts_each_image_and_fills_with_zeros():
    x = images().numpy()
    y = DiffAugment("translation", seed=1)(x).numpy()
    shifts = set()
    for image, moved in zip(x, y, strict=True):
        shift = next(
            (down, right)
            for down in range(-4, 5)
            for right in range(-4, 5)
            if np.array_equal(moved, shifted(image, down, right))
        )
        shifts.add(shift)
    assert {down for down, _ in shifts} == set(range(-4, 5))
    assert {right for _, right in shifts} == set(range(-4, 5))


def shifted(image, down, right):
    padded = np.pad(image, ((4, 4), (4, 4), (0, 0)))
    return padded[4 - down : 4 - down + SIDE, 4 - right : 4 - right + SIDE]


def test_cutout_zeroes_one_square_of_half_the_side():
    y = DiffAugment("cutout", seed=1)(tf.ones((MANY, SIDE, SIDE, 1)))[..., 0].numpy()
    firsts = []
    for image in y:
        holes = np.argwhere(image == 0)
        (top, left), (bottom, right) = holes.min(0), holes.max(0) + 1
        assert (image[top:bottom, left:right] == 0).all()
        assert (image == 0).sum() == (bottom - top) * (right - left)
        for first, last in ((top, bottom), (left, right)):
            size = last - first
            assert size == 16 or (size >= 8 and (first == 0 or last == SIDE))
        firsts.append(top)
    assert {0, 1, 8, 16, 24} <= set(firsts)


def test_same_seed_same_draws_and_every_call_anew():
    x = images(4)
    one, other = DiffAugment(seed=3), DiffAugment(seed=3)
    first = one(x)
    np.testing.assert_array_equal(first, other(x))
    assert np.abs(one(x) - first).max() > 0.1


def test_gradients_pass_through():
    x = images(4)
    augment = DiffAugment("color,translation,cutout", seed=0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(augment(x) ** 2)
    gradient = tape.gradient(y, x).numpy()
    assert (np.abs(gradient).reshape(4, -1).max(1) > 0).all()


@pytest.mark.parametrize("jit", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_unknown_batch_size_in_a_graph(jit):
    augment = DiffAugment("color,translation,cutout", seed=0)
    signature = [tf.TensorSpec((None, SIDE, SIDE, 3))]
    call = tf.function(augment, input_signature=signature, jit_compile=jit)
    assert call(images(3)).shape == (3, SIDE, SIDE, 3)
    assert call(images(5)).shape == (5, SIDE, SIDE, 3)


def test_config_and_bad_policy():
    config = DiffAugment("translation", seed=5).get_config()
    assert DiffAugment.from_config(config).get_config() == config
    generator = keras.random.SeedGenerator(1)
    assert DiffAugment(seed=generator).seed_generator is generator
    with pytest.raises(ValueError, match="'blur' is not one of color"):
        DiffAugment("color,blur")


def test_shards_are_augmented_as_within_the_whole_batch():
    class Half:
        def __init__(self, index):
            self.index = index

        def rows(self, draw, n):
            return draw(2 * n)[self.index * n : (self.index + 1) * n]

    x = images(6)
    whole = DiffAugment(seed=3)(x)
    halves = [DiffAugment(seed=3)(x[3 * i : 3 * i + 3], shard=Half(i)) for i in (0, 1)]
    np.testing.assert_allclose(tf.concat(halves, 0), whole, atol=1e-6)
