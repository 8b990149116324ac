"""LadaGAN as a Keras model: evaluation, callbacks, optimizers, and its checks."""

import contextlib
import json
import multiprocessing
import re
from concurrent.futures import ProcessPoolExecutor

import keras
import numpy as np
import pytest
import tensorflow as tf

from lada_tf.errors import UserError
from lada_tf.evaluation.extract_features import Extractor, Features
from lada_tf.models import PRESETS, LadaGAN
from lada_tf.models.losses import METRICS, TEST_METRICS
from lada_tf.runtime import without_grappler
from lada_tf.sampling import generate_images
from tests.fake_hub import NOWHERE
from tests.small import SMALL, assert_equal

CHANGES = {**SMALL, "bcr_real": 0.0, "augment": "color"}


def make(**compile_arguments):
    keras.utils.set_random_seed(1)
    gan = LadaGAN.from_preset("tiny", **CHANGES)
    gan.compile(**compile_arguments)
    return gan


def mean_colors(images):
    """Cheap features: the mean of each channel, and of each quarter."""
    quarters = images.reshape(len(images), 2, images.shape[1] // 2, -1).mean((2, 3))
    return np.concatenate([images.mean((1, 2)), quarters], axis=1)


def state(gan):
    variables = [*gan.variables, *gan.optimizer.variables]
    return [np.array(variable) for variable in variables]


IMAGES = np.random.default_rng(0).uniform(-1, 1, (8, 32, 32, 3)).astype("float32")


@pytest.fixture(scope="module")
def traced():
    """A LadaGAN that all tests of this module train further: it is traced once."""
    return make(features=mean_colors)


@pytest.fixture
def gan(traced):
    traced.g_optimizer.learning_rate = 2e-3
    traced.d_optimizer.learning_rate = 1e-3
    return traced


def fit(gan, *callbacks, **kwargs):
    defaults = {"validation_data": IMAGES, "verbose": 0, "epochs": 2}
    kwargs = {**defaults, "callbacks": list(callbacks), **kwargs}
    return gan.fit(IMAGES, batch_size=4, **kwargs)


@pytest.mark.slow
def test_evaluate(gan):
    values = gan.evaluate(IMAGES, batch_size=4, verbose=0, return_dict=True)
    assert set(values) == {*TEST_METRICS, "kid", "fd"}
    listed = gan.evaluate(IMAGES, batch_size=4, verbose=0)
    assert listed == [values[name] for name in (*TEST_METRICS, "kid", "fd")]
    on_batch = gan.test_on_batch(IMAGES[:4], return_dict=True)
    assert set(on_batch) == set(TEST_METRICS)
    real = gan.discriminator(IMAGES, training=False).numpy()
    assert values["real_logits"] == pytest.approx(real.mean(), abs=1e-5)
    assert values["real_accuracy"] == pytest.approx((real > 0).mean())
    alone = gan.evaluate(IMAGES[:1], verbose=0, return_dict=True)
    assert np.isnan([alone["kid"], alone["fd"]]).all()


@pytest.mark.slow
def test_means_are_over_images_whatever_the_batch(gan):
    real = gan.discriminator(IMAGES[:5], training=False).numpy()
    for batch_size in (2, 5):
        values = gan.evaluate(IMAGES[:5], batch_size=batch_size, verbose=0)
        mean = values[TEST_METRICS.index("real_logits")]
        assert mean == pytest.approx(real.mean(), abs=1e-5)


@pytest.mark.slow
def test_validation_does_not_change_training(gan):
    start = gan.get_state_tree(value_format="numpy_array")
    states, histories = [], []
    for validation in (None, IMAGES[:6]):
        gan.set_state_tree(start)
        history = fit(gan, validation_data=validation, shuffle=False)
        states.append(state(gan))
        histories.append(history.history)
    assert_equal(*states)
    plain, validated = histories
    assert {name: validated[name] for name in plain} == plain
    assert set(validated) == {*METRICS, *(f"val_{n}" for n in TEST_METRICS)} | {
        "val_kid",
        "val_fd",
    }


@pytest.mark.parametrize("features", ["callable", "extractor", "name", None])
def test_features(features):
    class Colors(Extractor):
        label = identity = "colors"

        def extract(self, images):
            return Features(mean_colors(images))

    chosen = {
        "callable": mean_colors,
        "extractor": Colors(),
        "name": "small_classifier",
    }
    gan = make(features=chosen.get(features), run_eagerly=True)
    values = gan.evaluate(IMAGES[:3], verbose=0, return_dict=True)
    assert set(values) - set(TEST_METRICS) == ({"kid", "fd"} if features else set())
    is_own = features in ("callable", "extractor")
    with pytest.warns(match="not saved") if is_own else contextlib.nullcontext():
        config = gan.get_compile_config()
    gan.compile_from_config(config)  # never other features
    assert gan.features == ("small_classifier" if features == "name" else None)


def test_a_saved_model_cannot_name_a_file_to_load():
    gan = make()
    gan.compile_from_config({**gan.get_compile_config(), "features": "/tmp/evil"})
    assert gan.features is None


def test_missing_features_are_named_before_an_epoch(tmp_path):
    gan = make(features=str(tmp_path / "no.keras"), run_eagerly=True)
    with pytest.raises(UserError, match=r"features=.* does not exist"):
        fit(gan)
    assert gan.steps == 0


def test_validation_data_is_checked_before_an_epoch(gan):
    steps = gan.steps
    for bad in (255 * IMAGES, (IMAGES[:, :16], np.zeros(8))):
        with pytest.raises(ValueError, match="validation_data: images"):
            fit(gan, validation_data=bad)
        with pytest.raises(ValueError, match="images"):
            gan.evaluate(bad)
    assert gan.steps == steps


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (list(IMAGES), "one array or dataset, not list"),
        ({"image": IMAGES}, "one array or dataset, not dict"),
        (IMAGES[:0], "images are empty"),
    ],
)
def test_inputs_that_are_not_images(gan, images, message):
    for use in (gan.fit, gan.evaluate):
        with pytest.raises(ValueError, match=message):
            use(images)


def learning_rates(gan):
    return [float(optimizer.learning_rate) for optimizer in gan.optimizer.optimizers]


# Each function yields a callback of Keras to train with, and then checks its effect.
def csv_logger(gan, path):
    yield keras.callbacks.CSVLogger(path / "log.csv")
    header = (path / "log.csv").read_text().splitlines()[0].split(",")
    assert {"epoch", "g_loss", "val_kid", "val_fd"} <= set(header)


def early_stopping(gan, path):
    callback = keras.callbacks.EarlyStopping(monitor="val_kid", min_delta=1e9)
    yield callback
    assert callback.stopped_epoch == 1


def history(gan, path):
    callback = keras.callbacks.History()
    yield keras.callbacks.CallbackList([callback], model=gan)
    assert len(callback.history["val_kid"]) == 2


def scheduler(gan, path):
    yield keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    np.testing.assert_allclose(learning_rates(gan), [5e-4, 2.5e-4])


def checkpoint(gan, path):
    callback = keras.callbacks.ModelCheckpoint(
        path / "best.keras", monitor="val_kid", save_best_only=True
    )
    yield callback
    assert callback.mode == "min"
    best = keras.saving.load_model(path / "best.keras")
    assert best.steps == best.optimizer.iterations > 0


def orbax(gan, path):
    pytest.importorskip("orbax.checkpoint", reason="not a dependency")
    yield keras.callbacks.OrbaxCheckpoint(path / "orbax")
    trained = gan.ema_generator.get_weights()
    gan.ema_generator.set_weights([0 * weight for weight in trained])
    gan.load_weights(path / "orbax")
    assert_equal(gan.ema_generator.get_weights(), trained)


def plateau(gan, path):
    yield keras.callbacks.ReduceLROnPlateau(
        monitor="val_fd", factor=0.1, patience=1, min_delta=1e9
    )
    np.testing.assert_allclose(learning_rates(gan), [2e-4, 1e-4], rtol=1e-5)


def tensorboard(gan, path):
    yield keras.callbacks.TensorBoard(
        path, histogram_freq=1, write_steps_per_second=True, update_freq="batch"
    )
    assert list(path.glob("train/events*"))
    assert list(path.glob("validation/events*"))


def terminate_on_nan(gan, path):
    start = gan.get_state_tree(value_format="numpy_array")
    steps = gan.steps
    weight = gan.generator.trainable_variables[0]
    weight.assign(np.full_like(weight, np.nan))
    yield keras.callbacks.TerminateOnNaN()
    assert gan.steps == steps + 1  # it stopped after this step
    gan.set_state_tree(start)


CALLBACKS = {
    "CSVLogger": csv_logger,
    "CallbackList": history,
    "EarlyStopping": early_stopping,
    "LambdaCallback": lambda gan, path: iter([keras.callbacks.LambdaCallback()]),
    "LearningRateScheduler": scheduler,
    "ModelCheckpoint": checkpoint,
    "OrbaxCheckpoint": orbax,
    "ProgbarLogger": lambda gan, path: iter([keras.callbacks.ProgbarLogger()]),
    "ReduceLROnPlateau": plateau,
    "RemoteMonitor": lambda gan, path: iter([keras.callbacks.RemoteMonitor(NOWHERE)]),
    "TensorBoard": tensorboard,
    "TerminateOnNaN": terminate_on_nan,
}

ELSEWHERE = {  # tested below, or used by each `fit`
    "BackupAndRestore",
    "Callback",
    "History",
    "SwapEMAWeights",
}


def test_every_callback_of_keras_is_tried():
    public = {name for name in dir(keras.callbacks) if name[0].isupper()}
    assert public == {*CALLBACKS, *ELSEWHERE}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:features is not saved")  # a function
@pytest.mark.filterwarnings("ignore:Could not reach RemoteMonitor")
@pytest.mark.filterwarnings("ignore:kid and fd are NaN")
@pytest.mark.parametrize("name", CALLBACKS)
def test_callbacks(gan, tmp_path, name):
    steps = CALLBACKS[name](gan, tmp_path)
    callback = next(steps)
    is_list = isinstance(callback, keras.callbacks.CallbackList)
    fit(gan, callbacks=callback if is_list else [callback])
    next(steps, None)


def test_a_second_average_of_the_weights_is_refused(gan):
    with pytest.raises(ValueError, match="SwapEMAWeights"):
        fit(gan, keras.callbacks.SwapEMAWeights())


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (keras.callbacks.EarlyStopping(), "Monitor 'val_kid'"),
        (keras.callbacks.ReduceLROnPlateau(), "Monitor 'val_kid'"),
        (keras.callbacks.ModelCheckpoint("a.keras", save_best_only=True), "'val_kid'"),
        (keras.callbacks.EarlyStopping("val_real_logits"), "mode='min'"),
    ],
)
def test_monitors_are_checked_before_an_epoch(gan, callback, message):
    steps = gan.steps
    with pytest.raises(ValueError, match=message):
        fit(gan, callback)
    assert gan.steps == steps


class Interrupted(keras.callbacks.Callback):
    """Stop the process's training in the second epoch, before it is backed up."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_backup_and_restore_bit_for_bit(gan, tmp_path):
    arguments = {"epochs": 3, "validation_data": None, "shuffle": False}
    start = gan.get_state_tree(value_format="numpy_array")
    fit(gan, **arguments)
    expected = state(gan)
    for interruption in ([Interrupted()], []):
        gan.set_state_tree(start)  # what a new process has
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        try:
            fit(gan, *interruption, backup, **arguments)
        except KeyboardInterrupt:
            assert any(
                (a != b).any() for a, b in zip(state(gan), expected, strict=True)
            )
    assert_equal(state(gan), expected)


def test_the_optimizer_is_both(gan):
    assert learning_rates(gan) == pytest.approx([2e-3, 1e-3])
    gan.optimizer.learning_rate = 1e-3
    assert learning_rates(gan) == pytest.approx([1e-3, 5e-4])
    names = [optimizer.name for optimizer in gan.optimizer.optimizers]
    assert names == ["g_optimizer", "d_optimizer"]
    json.dumps(gan.optimizer.get_config())  # loggers store it


def test_the_optimizers_of_float16_have_learning_rates():
    gan = LadaGAN.from_preset("tiny", precision="float16", **CHANGES)
    gan.compile()
    types = {type(optimizer).__name__ for optimizer in gan.optimizer.optimizers}
    assert types == {"FusedAdam"}
    gan.optimizer.learning_rate = 3e-4
    assert float(gan.g_optimizer.learning_rate) == pytest.approx(3e-4)


# Not an object, whose variables would initialize the devices of `fit_on_two_replicas`.
WITH_EMA = {"class_name": "Adam", "config": {"use_ema": True}}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"optimizer": WITH_EMA}, "g_optimizer: use_ema=True"),
        ({"metrics": ["accuracy"]}, "metrics: .* see features"),
        ({"loss_weights": [1.0]}, "loss_weights: .* see r1_gamma"),
    ],
)
def test_compile_refuses_what_it_would_ignore(arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)


def test_state_trees(gan):
    tree = gan.get_state_tree(value_format="numpy_array")
    before = state(gan)
    gan.optimizer.learning_rate = 0.5
    gan.step_counter.assign_add(1)
    gan.set_state_tree(tree)
    assert_equal(state(gan), before)


@pytest.mark.parametrize("count", [4, 7])
def test_batches_that_micro_batches_do_not_divide(count):
    gan = make(gradient_accumulation_steps=3, run_eagerly=True)
    dataset = tf.data.Dataset.from_tensor_slices(IMAGES[:count]).batch(count)
    with pytest.raises(ValueError, match=r"^gradient_accumulation_steps=3 .*\)$"):
        gan.fit(dataset, verbose=0)


def test_summary_names_each_network_and_its_shape(gan, capsys):
    gan.summary(line_length=100)
    rows = capsys.readouterr().out
    for name, shape in (
        ("generator", "(None, 32, 32, 3)"),
        ("ema_generator", "(None, 32, 32, 3)"),
        ("discriminator", "(None, 25)"),
        ("diff_augment", "(None, 32, 32, 3)"),
    ):
        pattern = rf" {name}(_\d+)? \("  # Keras numbers objects of one class
        (row,) = [row for row in rows.splitlines() if re.search(pattern, row)]
        assert shape in row
    assert "unbuilt" not in rows
    assert all(layer.built for layer in gan.layers)


def test_images_of_a_seed_are_those_of_sample(gan):
    images = gan.generate(seed=3, num_images=5, truncation=0.5)
    expected = generate_images(gan.ema_generator, 5, seed=3, truncation=0.5)
    assert images.dtype == np.uint8
    np.testing.assert_allclose(images, expected, atol=1)  # rounding at .5
    with pytest.raises(ValueError, match="truncation=2"):
        gan.generate(truncation=2)


def test_presets(gan, tmp_path):
    assert set(LadaGAN.presets) == set(PRESETS)
    gan.save_to_preset(tmp_path / "saved")
    latents = np.ones((1, gan.latent_dim), np.float32)
    loaded = LadaGAN.from_preset(tmp_path / "saved")
    np.testing.assert_array_equal(loaded(latents), gan(latents))
    untrained = LadaGAN.from_preset(str(tmp_path / "saved"), load_weights=False)
    assert untrained.get_config() == gan.get_config()
    assert untrained.steps == 0
    assert np.abs(untrained(latents) - gan(latents)).max() > 0
    with pytest.raises(UserError, match="already exists"):
        gan.save_to_preset(tmp_path / "saved")
    with pytest.raises(ValueError, match="leave out"):
        LadaGAN.from_preset(tmp_path / "saved", r1_gamma=1.0)


def test_quantize():
    gan = make()
    with pytest.raises(ValueError, match="quantize its ema_generator"):
        gan.quantize("int8")


def fit_on_two_replicas():
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        gan = make()
    gan.augment = keras.layers.RandomFlip("horizontal", seed=0)  # is not built
    # The last batch of the validation has no image for the second replica.
    with without_grappler():  # starts sooner
        history = fit(gan, epochs=1, validation_data=IMAGES[:5]).history
    return history, gan.predict(gan.sample_latents(3), verbose=0).shape


@pytest.mark.slow
def test_fit_under_a_mirrored_strategy():
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        history, shape = pool.submit(fit_on_two_replicas).result()
    assert shape == (3, 32, 32, 3)
    assert np.isfinite(list(history.values())).all()
    assert {"val_kid", "val_d_loss"} < set(history)
