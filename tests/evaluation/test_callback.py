import keras
import numpy as np
import pytest

from lada_tf.evaluation import frechet_distance, kernel_distance
from lada_tf.evaluation.callback import EvaluationCallback
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
def train(tmp_path):
    """Trains; returns ([(images, values)], [best measures], callback)."""

    def train(
        steps=10,
        steps_per_execution=1,
        gan=None,
        source=None,
        best_before=None,
        **options,
    ):
        logged, best = [], []
        options = {"every_images": 24, "num_images": 40} | options
        callback = EvaluationCallback(
            source or FakeSource(),
            FakeExtractor(),
            lambda images, values: logged.append((images, values)),
            on_best=lambda measure, selector: best.append((measure, selector)),
            cache_dir=str(tmp_path / "cache"),
            **options,
        )
        callback.best = callback.best if best_before is None else best_before
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


def test_it_runs_at_each_interval_and_at_the_end(train):
    logged, _, _ = train()
    assert [images for images, _ in logged] == [24, 48, 72, 80]


def test_it_runs_at_the_first_batch_end_after_an_interval(train):
    # Batch ends come at 32, 64 and 80 images only.
    logged, _, _ = train(steps_per_execution=4)
    assert [images for images, _ in logged] == [32, 64, 80]


def test_a_resumed_run_keeps_the_interval(train):
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
    # 40 images of both: each subset of KID is all of them.
    expected, _ = kernel_distance(
        extractor(source.array).pool, extractor(images).pool, 1, 40
    )
    assert values["KID"] == pytest.approx(expected, rel=1e-9)
    assert callback.values == {"fd": values["FID"], "kid": values["KID"]}


def test_the_real_images_are_read_once_for_all_runs(train):
    source = FakeSource()
    first, _, _ = train(source=source)
    assert source.reads == 40
    again, _, _ = train(source=source)
    assert source.reads == 40
    assert again == first


class GrowingContrast(FakeGan):
    """Starts nearly gray, and approaches the contrast of the data."""

    def __init__(self):
        super().__init__()
        self.scale(0.2)

    def scale(self, factor):
        for weight in self.ema_generator.trainable_weights:
            weight.assign(weight * factor)

    def train_step(self, data):
        self.scale(1.15)
        return super().train_step(data)


def test_the_current_generator_is_scored(train):
    logged, best, _ = train(gan=GrowingContrast())
    distances = [values["FID"] for _, values in logged]
    assert distances == sorted(distances, reverse=True)
    assert len(set(distances)) == 4
    assert [measure for measure, _ in best] == distances


def test_an_earlier_best_is_not_beaten_by_worse(train):
    _, best, callback = train(best_before=1e-9)
    assert best == []
    assert callback.best == 1e-9


def test_the_best_is_that_of_the_chosen_measure(train):
    logged, best, _ = train(gan=GrowingContrast(), best_by="kid")
    assert best[-1][0] == min(values["KID"] for _, values in logged)
    assert best[-1][1] == "kid of 40 images: inception_graph:fake"


@pytest.mark.parametrize(
    "options", [{"best_by": "kid"}, {"num_images": 41}, {"identity": "other"}]
)
def test_measures_that_cannot_be_compared_have_other_selectors(tmp_path, options):
    def selector(identity="one", **options):
        options = {"num_images": 40} | options
        extractor = FakeExtractor(identity=f"inception_graph:{identity}")
        return EvaluationCallback(
            FakeSource(), extractor, print, cache_dir=str(tmp_path), **options
        ).selector

    assert selector() == selector()
    assert selector(**options) != selector()
