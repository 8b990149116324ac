"""LadaGAN: the training step, its metrics, its EMA, and saving."""

import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from lada_tf import kernels
from lada_tf.models import Discriminator, Generator, LadaGAN, get_preset
from lada_tf.models.fit_callbacks import SHOWN_BY_FIT, ProgressBar
from lada_tf.models.images import as_float32_images, check_range, with_first_batch
from lada_tf.models.losses import METRICS
from lada_tf.models.networks import keras_defaults
from tests.small import SMALL, assert_equal

DECODER = {
    "image_size": 64,
    "output_head": "decoder",
    "decoder_widths": (6,),
    "d_widths": (4, 6, 8),
}
BCR = {"bcr_real": 0.5, "bcr_fake": 2.0}


def make(compile_arguments=(), **changes):
    keras.utils.set_random_seed(1)
    gan = LadaGAN.from_preset("tiny", **{**SMALL, **changes})
    gan.compile(**dict(compile_arguments))
    return gan


def real_images(gan, count=4, seed=2):
    size = gan.image_size
    return keras.random.uniform((count, size, size, 3), -1, 1, seed=seed)


def weights(gan):
    networks = (gan.generator, gan.discriminator, gan.ema_generator)
    return [w for network in networks for w in network.get_weights()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "eager"),
    [
        ({}, False),
        (BCR, True),  # tracing takes ten times as long as the steps
        ({**DECODER, "loss": "hinge"}, True),
        ({"d_attention": "conv"}, True),
    ],
)
def test_fit(changes, eager):
    gan = make({"run_eagerly": eager}, **changes)
    before = weights(gan)
    shapes, step = [], gan.train_step
    gan.train_step = lambda data: shapes.append(data.shape) or step(data)
    count = 8 if eager else 7  # a graph takes a smaller last batch as well
    images = np.asarray(real_images(gan, count))
    dataset = tf.data.Dataset.from_tensor_slices(images).batch(4).repeat()
    history = gan.fit(dataset, steps_per_epoch=2, epochs=2, verbose=0).history
    assert set(history) == set(METRICS)
    assert all(len(v) == 2 and np.isfinite(v).all() for v in history.values())
    assert (gan.steps, gan.images_seen) == (4, 2 * count)
    assert len(shapes) == (4 if eager else 1)
    changed = [np.abs(a - b).max() for a, b in zip(before, weights(gan), strict=True)]
    assert np.count_nonzero(changed) == len(changed)
    for name in ("real_accuracy", "fake_accuracy"):
        assert 0 <= min(history[name]) <= max(history[name]) <= 1
    assert (history["consistency_real"][0] > 0) == (changes == BCR)


@pytest.mark.slow
@pytest.mark.usefixtures("as_traced")
def test_xla_and_graph_agree():
    results = []
    for jit in (False, True):
        gan = make(base_resolution=8, output_head="decoder", decoder_widths=(6,), **BCR)
        latents = iter(keras.random.normal((2, 4, 5), seed=3))
        gan.sample_latents = lambda n, latents=latents: next(latents)
        gan.augment = lambda x: x[:, :, ::-1]
        step = tf.function(gan.train_step, jit_compile=jit, autograph=False)
        results.append({k: float(v) for k, v in step(real_images(gan)).items()})
    graph, xla = results
    for name in METRICS:
        # The generator's metrics follow the discriminator's first Adam step. The size
        # of this step is the learning rate for any gradient, so it magnifies rounding
        # errors of small gradients.
        tolerance = 1e-2 if name.startswith("g_") else 1e-4
        assert xla[name] == pytest.approx(graph[name], rel=tolerance, abs=1e-6), name


@pytest.mark.slow
def test_two_runs_of_one_seed_are_equal_bit_for_bit():
    runs = []
    for seed in (7, 7, 8):
        keras.utils.set_random_seed(1)
        gan = LadaGAN.from_preset(
            get_preset("tiny", **SMALL, augment="color,translation,cutout"), seed=seed
        )
        gan.compile(run_eagerly=True)
        gan.fit(real_images(gan, 8), batch_size=4, epochs=2, verbose=0, shuffle=False)
        runs.append(weights(gan))
    first, second, other = runs
    assert_equal(first, second)
    assert any((a != b).any() for a, b in zip(first, other, strict=True))


@pytest.mark.slow
def test_random_numbers_depend_on_the_step_number_alone():
    """Neither draws outside training nor a restart change later draws."""
    gan, other = make(), make()
    seen = []
    for model, extra in ((gan, 0), (other, 5)):
        for _ in range(extra):
            model.sample_latents(3)
        model.step_counter.assign(12)
        draw = model.sample_latents

        def recorded(n, draw=draw):
            latents = draw(n)
            seen.append(np.asarray(latents))
            return latents

        model.sample_latents = recorded
        model.train_step(real_images(model))
    np.testing.assert_array_equal(seen[0], seen[2])
    np.testing.assert_array_equal(seen[1], seen[3])
    assert np.abs(seen[0] - seen[1]).max() > 0.1


@pytest.mark.slow
def test_ema_follows_all_weights_including_batch_statistics():
    gan = make(**DECODER, ema_decay=0.9)
    before = gan.ema_generator.get_weights()
    gan.train_step(real_images(gan))
    for old, average, now in zip(
        before,
        gan.ema_generator.get_weights(),
        gan.generator.get_weights(),
        strict=True,
    ):
        np.testing.assert_allclose(average, 0.9 * old + 0.1 * now, atol=1e-6)
    means = [w for w in gan.ema_generator.weights if w.name == "moving_mean"]
    assert means
    assert all(np.abs(w).max() > 0 for w in means)


@pytest.mark.slow
def test_metrics_match_their_definitions():
    gan = make(**BCR, r1_gamma=0.3)
    gan.augment = lambda x: x[:, :, ::-1]
    latents = iter(keras.random.normal((2, 4, 5), seed=3))
    gan.sample_latents = lambda n: next(latents)
    real = real_images(gan)
    z = keras.random.normal((2, 4, 5), seed=3)[0]
    reference = make(**BCR)
    fake = reference.generator(z, training=True)
    judge = reference.discriminator
    fake_logits = judge(fake, training=True)
    with tf.GradientTape() as tape:
        tape.watch(real)
        real_logits = judge(real, training=True)
        sums = tf.reduce_sum(real_logits, axis=1)
    gradients = np.asarray(tape.gradient(sums, real)).reshape(4, -1)
    both = tf.concat([real, fake], 0)[:, :, ::-1]
    augmented = judge(both, training=True).numpy()

    values = {k: float(v) for k, v in gan.train_step(real).items()}
    real_logits, fake_logits = real_logits.numpy(), fake_logits.numpy()
    expected = {
        "d_loss": np.log1p(np.exp(-real_logits)).mean()
        + np.log1p(np.exp(fake_logits)).mean(),
        "r1": (gradients**2).sum(1).mean(),
        "consistency_real": ((real_logits - augmented[:4]) ** 2).mean(),
        "consistency_fake": ((fake_logits - augmented[4:]) ** 2).mean(),
        "real_logits": real_logits.mean(),
        "fake_logits": fake_logits.mean(),
        "real_accuracy": (real_logits > 0).mean(),
        "fake_accuracy": (fake_logits < 0).mean(),
    }
    for name, value in expected.items():
        assert values[name] == pytest.approx(value, rel=1e-4), name
    assert values["r1_weighted"] == pytest.approx(0.3 * values["r1"])
    assert values["d_total_loss"] == pytest.approx(
        values["d_loss"]
        + values["r1_weighted"]
        + 0.5 * values["consistency_real"]
        + 2.0 * values["consistency_fake"]
    )


@pytest.mark.slow
def test_without_bcr_the_discriminator_sees_augmented_images():
    gan = make()
    seen = []
    gan.augment = lambda x: seen.append(x.shape[0]) or 0.0 * x
    values = gan.train_step(real_images(gan))
    assert seen == [4, 4, 4]  # generated, real, and generated for the generator
    assert float(values["real_logits"]) == pytest.approx(float(values["fake_logits"]))
    assert float(values["g_grad_norm"]) == 0.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("compile_arguments", "changes"),
    [
        ({}, {"freeze_d": 1}),
        (
            {"gradient_accumulation_steps": 2, "gradient_checkpointing": True},
            {"freeze_d": 2, "precision": "bfloat16"},
        ),
        ({}, {"freeze_d": 3, "d_attention": "conv", "d_batch_norm": False}),
    ],
)
def test_frozen_stages_do_not_train(compile_arguments, changes):
    """Their batch statistics do not move either; all other weights do."""
    gan = make(compile_arguments, **changes)
    d = gan.discriminator
    stages = [d.input_convolution, *d.down_blocks][: gan.freeze_d]
    frozen = {id(weight) for stage in stages for weight in stage.weights}
    assert len(frozen) == [1, 16, 7][gan.freeze_d - 1]
    before = [np.array(weight) for weight in d.weights]
    with kernels.fast(False):  # compiling the kernels takes longer
        gan.train_step(real_images(gan))
    for old, weight in zip(before, d.weights, strict=True):
        assert (np.array(weight) == old).all() == (id(weight) in frozen), weight.path
    assert not frozen & {id(v) for v in d.trainable_variables}


@pytest.mark.slow
def test_saved_whole_and_loaded(tmp_path):
    gan = make({"run_eagerly": True}, freeze_d=1, **BCR)
    gan.fit(real_images(gan), batch_size=4, epochs=2, verbose=0)
    gan.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    assert loaded.get_config() == gan.get_config()
    assert not loaded.discriminator.input_convolution.trainable
    for model in (gan, loaded):  # both resume: weights, Adams, counts
        model.run_eagerly = True
        model.fit(real_images(model), batch_size=4, epochs=1, verbose=0)
    assert loaded.steps == 3
    assert_equal(weights(gan), weights(loaded))


def test_latents_and_images():
    gan = make()
    latents = gan.sample_latents(6)
    assert latents.shape == (6, 5)
    np.testing.assert_array_equal(gan(latents), gan.ema_generator(latents))
    assert gan.predict(latents, verbose=0).shape == (6, 32, 32, 3)


SOURCES = {
    "arrays": lambda x: x,
    "dataset": lambda x: tf.data.Dataset.from_tensors(x).repeat(),
    "labels": lambda x: tf.data.Dataset.from_tensors((x, np.zeros(len(x)))),
    "generator": lambda x: ((x,) for _ in range(2)),
}


@pytest.fixture(scope="module")
def untrained():
    return make({"run_eagerly": True})


@pytest.mark.parametrize("source", SOURCES)
def test_images_are_checked_before_training(untrained, source):
    x = np.random.default_rng(0).uniform(-1, 1, (4, 32, 32, 3)).astype("float32")
    rescale = r"keras.layers.Rescaling\(1 / 127.5, -1\)"
    for bad, message in (
        (127.5 * x + 127.5, rescale),
        ((127.5 * x + 127.5).astype("uint8"), rescale),
        (x[..., :1], "RGB"),
        (x.transpose(0, 3, 1, 2), "channels last"),
        (x[:, :16, :16], r"keras.layers.Resizing\(32, 32\)"),
        (x[0], "must be float of the shape"),
        (x * np.nan, "nan"),
    ):
        with pytest.raises(ValueError, match=message):
            untrained.fit(SOURCES[source](bad), verbose=0)
        with pytest.raises(ValueError, match=message):
            untrained.train_on_batch(bad)
    with pytest.raises(ValueError, match="one tensor, not dict"):
        untrained.fit(SOURCES["dataset"]({"image": x}), verbose=0)
    assert untrained.steps == 0


def test_a_first_look_takes_nothing_from_a_generator():
    batches = [(np.full((1,), i),) for i in range(3)]
    data, first = with_first_batch(batch for batch in batches)
    assert first is batches[0]
    assert list(data) == batches
    empty, first = with_first_batch(batch for batch in [])
    assert (list(empty), first) == ([], None)


def test_images_that_may_be_in_0_to_1_are_named():
    with pytest.warns(UserWarning, match=r"keras.layers.Rescaling\(2, -1\)"):
        check_range(np.linspace(0, 1, 12))
    check_range(np.zeros(12))  # an image of one color may be anything
    check_range(np.linspace(-1.2, 1.2, 12))  # resizing overshoots


def test_images_become_float32_of_a_known_shape():
    @tf.function(input_signature=[tf.TensorSpec(None, tf.float64)])
    def shape_and_dtype(images):
        images = as_float32_images(images, 32)
        assert images.shape.as_list() == [None, 32, 32, 3]
        return images

    assert shape_and_dtype(np.zeros((2, 32, 32, 3))).dtype == "float32"


def test_the_progress_bar_shows_four_metrics(capsys):
    bar, logs = ProgressBar(), {**dict.fromkeys(METRICS, 0.5), "val_kid": 0.25}
    bar.set_params({"verbose": 1, "epochs": 1, "steps": 2})
    bar.on_epoch_begin(0)
    bar.on_train_batch_end(0, logs)
    bar.on_epoch_end(0, logs)
    shown = set(re.findall(r"- (\w+):", capsys.readouterr().out))
    assert shown == {*SHOWN_BY_FIT, "val_kid"}
    assert len(SHOWN_BY_FIT) == 4
    assert len(logs) == len(METRICS) + 1  # those of other callbacks


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"optimizer": "adam"}, ("Adam", "Adam")),
        ({"optimizer": keras.optimizers.SGD(0.5)}, ("SGD", "SGD")),
        ({"g_optimizer": "adam", "d_optimizer": "adam"}, ("Adam", "Adam")),
        ({"optimizer": "sgd", "d_optimizer": "rmsprop"}, ("SGD", "RMSprop")),
        ({"g_optimizer": "sgd"}, ("SGD", "FusedAdam")),
    ],
)
def test_optimizers(untrained, arguments, expected):
    untrained.compile(**arguments, run_eagerly=True)
    optimizers = untrained.g_optimizer, untrained.d_optimizer
    assert tuple(type(optimizer).__name__ for optimizer in optimizers) == expected
    assert optimizers[0] is not optimizers[1]
    assert all(optimizer.built for optimizer in optimizers)


def test_bad_optimizers(untrained):
    adam = keras.optimizers.Adam()
    with pytest.raises(ValueError, match="create one for each network"):
        untrained.compile(adam, adam)
    with pytest.raises(ValueError, match="adamm"):
        untrained.compile("adamm")
    with pytest.raises(ValueError, match="adversarial_loss"):
        untrained.compile(loss="mse")


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_global_policy_is_the_precision(policy):
    precise = make(precision=policy.removeprefix("mixed_"))
    keras.config.set_dtype_policy(policy)
    gan = make({"optimizer": "sgd"})
    assert gan.get_config() == {**precise.get_config(), "name": gan.name}
    assert gan.generator.compute_dtype == policy.removeprefix("mixed_")
    is_float16 = policy == "mixed_float16"
    for optimizer in (gan.g_optimizer, precise.g_optimizer):
        scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        assert scales == is_float16
    assert gan(gan.sample_latents(2)).dtype == "float32"


@pytest.mark.slow
def test_fit_under_a_global_policy():
    keras.config.set_dtype_policy("mixed_float16")
    gan = make({"run_eagerly": True})
    ours, flip = gan.augment, keras.layers.RandomFlip("horizontal")
    gan.augment = lambda images: flip(ours(images))  # Keras' layer returns float16
    history = gan.fit(real_images(gan), batch_size=4, verbose=0).history
    assert np.isfinite(list(history.values())).all()
    assert {metric.dtype for metric in gan.metrics} == {"float32"}


@pytest.mark.parametrize("floatx", ["float16", "float64"])
def test_a_keras_json_of_another_project_changes_nothing(floatx):
    expected = make()
    with keras_defaults():  # restores them
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(floatx)
        keras.config.set_image_data_format("channels_first")
        gan = make({"optimizer": keras.optimizers.SGD()})
        latents = gan.sample_latents(2)
        images = gan(latents)
        logits = gan.discriminator(images)
        variables = [*gan.variables, *(v for m in gan.metrics for v in m.variables)]
    assert {v.dtype for v in variables if "float" in v.dtype} == {"float32"}
    assert (latents.dtype, images.dtype, logits.dtype) == ("float32",) * 3
    assert_equal(weights(gan), weights(expected))
    np.testing.assert_array_equal(latents, expected.sample_latents(2))
    np.testing.assert_array_equal(images, expected(latents))


@pytest.mark.slow
def test_export_of_keras(tmp_path):
    gan = make()
    latents = gan.sample_latents(3)
    for model in (gan, gan.ema_generator):
        model.export(tmp_path / model.name, verbose=False)
        loaded = tf.saved_model.load(tmp_path / model.name)
        np.testing.assert_allclose(loaded.serve(latents), gan(latents), atol=1e-5)


@pytest.mark.slow
def test_hdf5_files(tmp_path):
    gan = make()
    scope = {c.__name__: c for c in (LadaGAN, Generator, Discriminator)}
    for model in (gan, gan.ema_generator, gan.discriminator):
        model.save(path := str(tmp_path / f"{model.name}.h5"))
        loaded = keras.saving.load_model(path, custom_objects=scope)
        assert_equal(loaded.get_weights(), model.get_weights())


def test_bad_arguments():
    small, large = Generator(32), Generator(64, output_head="patch")
    with pytest.raises(ValueError, match="adversarial_loss='wgan' is not one of"):
        LadaGAN(small, Discriminator(32), adversarial_loss="wgan")
    with pytest.raises(ValueError, match="makes 64-pixel images"):
        LadaGAN(large, Discriminator(32))
    with pytest.raises(ValueError, match="weights must be float32"):
        LadaGAN(Generator(32, dtype="float16"), Discriminator(32))
    with pytest.raises(ValueError, match="dtype=mixed_float16"):
        LadaGAN(small, Discriminator(32), dtype="mixed_float16")
    with pytest.raises(ValueError, match="preset='cifar'"):
        LadaGAN.from_preset("cifar")
    with pytest.raises(ValueError, match="no field widths"):
        LadaGAN.from_preset("tiny", widths=(8,))


@pytest.mark.parametrize("method", ["from_config", "compile_from_config"])
def test_configs_are_not_modified(method):
    gan = make()
    if method == "from_config":
        config, use = gan.get_config(), LadaGAN.from_config
    else:
        config, use = gan.get_compile_config(), gan.compile_from_config
    before = json.dumps(config)
    use(config)
    assert json.dumps(config) == before
    use(config)  # and can be used again


@pytest.mark.slow
def test_lazy_r1_in_the_graph_and_by_the_caller_are_the_same():
    results = []
    for by_caller in (False, True):
        gan = make({"run_eagerly": True}, r1_interval=2, r1_gamma=0.5)
        steps = [
            gan.train_step(real_images(gan), **({"with_r1": due} if by_caller else {}))
            for due in (True, False, True)
        ]
        results.append([float(step["r1"]) for step in steps])
    assert results[0] == results[1]
    assert [r1 > 0 for r1 in results[0]] == [True, False, True]
