import keras
import numpy as np
import pytest

from lada_tf.evaluation import frechet_distance
from lada_tf.evaluation.callback import FrechetDistanceCallback
from lada_tf.evaluation.image_sets import generated_images
from tests.evaluation.fakes import FakeExtractor, FakeSource, fake_generator

BATCH = 8


class FakeGan(keras.Model):
    """Counts images and learns nothing."""

    latent_dim = 128

    def __init__(self):
        super().__init__()
        self.ema_generator = fake_generator()
        self.steps = self.add_weight(shape=(), dtype="int64", trainable=False)

    @property
    def images_seen(self):
        return int(self.steps) * BATCH

    def train_step(self, data):
        self.steps.assign_add(1)
        return {"loss": keras.ops.zeros(())}


@pytest.fixture
def train():
    """Trains; returns ([(images, values)], [best distances], callback)."""

    def train(steps=10, steps_per_execution=1, gan=None, source=None, **options):
        logged, best = [], []
        options = {"every_images": 24, "num_images": 40} | options
        callback = FrechetDistanceCallback(
            source or FakeSource(),
            FakeExtractor(),
            lambda images, values: logged.append((images, values)),
            on_best=best.append,
            **options,
        )
        gan = gan or FakeGan()
        gan.compile(optimizer=None, steps_per_execution=steps_per_execution)
        gan.fit(
            np.zeros((steps * BATCH, 1)),
            batch_size=BATCH,
            verbose=0,
            callbacks=[callback],
        )
        return logged, best, callback

    return train


def test_every_so_many_images_and_at_the_end(train):
    logged, _, _ = train()
    assert [images for images, _ in logged] == [24, 48, 72, 80]


def test_batch_ends_that_skip_the_threshold(train):
    # Batch ends come at 32, 64 and 80 images only.
    logged, _, _ = train(steps_per_execution=4)
    assert [images for images, _ in logged] == [32, 64, 80]


def test_a_resumed_run_keeps_the_rhythm(train):
    gan = FakeGan()
    gan.steps.assign(5)  # 40 images
    logged, _, _ = train(steps=3, gan=gan)
    assert [images for images, _ in logged] == [48, 64]


def test_the_value_is_the_distance_of_the_ema_generator(train):
    gan, source = FakeGan(), FakeSource(count=40)
    logged, _, callback = train(steps=1, gan=gan, source=source)
    images = np.concatenate(list(generated_images(gan.ema_generator).batches(40)))
    extractor = FakeExtractor()
    expected = frechet_distance(extractor(source.array).pool, extractor(images).pool)
    [(_, values)] = logged
    assert values["FID"] == pytest.approx(expected, rel=1e-9)
    assert callback.best == values["FID"]


def test_the_real_images_are_read_once(train):
    source = FakeSource()
    train(source=source)
    assert source.reads == 40


class GrowingContrast(FakeGan):
    """From nearly grey towards the data's uniform noise."""

    def __init__(self):
        super().__init__()
        self.scale(0.2)

    def scale(self, factor):
        for weight in self.ema_generator.trainable_weights:
            weight.assign(weight * factor)

    def train_step(self, data):
        self.scale(1.15)
        return super().train_step(data)


def test_the_generator_of_today_is_scored(train):
    logged, best, _ = train(gan=GrowingContrast())
    distances = [values["FID"] for _, values in logged]
    assert distances == sorted(distances, reverse=True)
    assert len(set(distances)) == 4
    assert best == distances


def test_an_earlier_best_is_not_beaten_by_worse(train):
    _, best, callback = train(best=1e-9)
    assert best == []
    assert callback.best == 1e-9
