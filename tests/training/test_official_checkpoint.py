"""Parity with the authors' code, from its checkpoints.

tests/data/official holds values that the authors' code computed. The tolerances allow
for the rounding of another TensorFlow version.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from lada_tf import load_official_checkpoint, load_run
from lada_tf.errors import UserError
from lada_tf.models.losses import LOSSES, r1_penalty
from lada_tf.training.official_checkpoint import import_official_checkpoint

OFFICIAL = Path(__file__).parents[1] / "data" / "official"
RUNS = ("pixel32", pytest.param("patch64_bcr", marks=pytest.mark.slow))


@pytest.fixture(params=RUNS)
def run(request):
    folder = OFFICIAL / request.param
    return folder, np.load(folder / "values.npz")


def load(folder, which="initial"):
    gan = load_official_checkpoint(folder / which, folder / "config.json")
    # The values were computed with a flip, or nothing, instead of random augmentation.
    flips = json.loads((folder / "config.json").read_text())["bcr"]
    gan.augment = (lambda x: x[:, :, ::-1]) if flips else (lambda x: x)
    return gan


def test_parameter_counts(run):
    folder, _ = run
    config = json.loads((folder / "config.json").read_text())
    gan = load(folder)
    assert gan.generator.count_params() == config["g_params"]
    assert gan.discriminator.count_params() == config["d_params"]


def test_inference(run):
    folder, values = run
    gan = load(folder)
    for name, generator in (("g", gan.generator), ("ema", gan.ema_generator)):
        images, maps = generator(values["z"], return_attention_maps=True)
        np.testing.assert_allclose(images, values[f"infer/{name}/images"], atol=1e-4)
        for side, stage in zip((8, 16, 32), maps, strict=True):
            expected = values[f"infer/{name}/attn_{side}"]
            np.testing.assert_allclose(stage, expected, atol=1e-4)
    logits = gan.discriminator(values["x"])
    np.testing.assert_allclose(logits, values["infer/d/logits"], atol=1e-4)


def test_losses_and_gradients(run):
    folder, values = run
    gan = load(folder)
    loss = LOSSES[gan.adversarial_loss]
    real = tf.constant(values["x"])
    fake = gan.generator(values["z"], training=True)
    np.testing.assert_allclose(fake, values["train/fake"], atol=1e-4)
    with tf.GradientTape() as tape:
        fake_logits = gan.discriminator(fake, training=True)
        with tf.GradientTape() as inner_tape:
            inner_tape.watch(real)
            real_logits = gan.discriminator(real, training=True)
        r1 = r1_penalty(inner_tape.gradient(real_logits, real))
        d_loss = loss.real(real_logits) + loss.fake(fake_logits)
        total = d_loss + gan.r1_gamma * r1
    assert_gradients(tape, total, gan.discriminator, values, "d")
    np.testing.assert_allclose(fake_logits, values["train/fake_logits"], atol=1e-4)
    np.testing.assert_allclose(real_logits, values["train/real_logits"], atol=1e-4)
    assert float(d_loss) == pytest.approx(float(values["train/d_loss"]), rel=1e-4)
    weighted = float(gan.r1_gamma * r1)
    assert weighted == pytest.approx(float(values["train/r1_weighted"]), rel=1e-4)

    with tf.GradientTape() as tape:
        fake = gan.generator(values["z"], training=True)
        g_loss = loss.generator(gan.discriminator(fake, training=True))
    assert float(g_loss) == pytest.approx(float(values["train/g_loss"]), rel=1e-4)
    assert_gradients(tape, g_loss, gan.generator, values, "g")


def assert_gradients(tape, loss, network, values, network_name):
    gradients = tape.gradient(loss, network.trainable_variables)
    norms = sorted(float(tf.norm(gradient)) for gradient in gradients)
    expected = np.sort(values[f"train/{network_name}_grad_norms"])
    # The gradient of a key's bias is only rounding, because softmax ignores the bias.
    np.testing.assert_allclose(norms, expected, rtol=1e-3, atol=1e-6)
    total = float(values[f"train/{network_name}_grad_global_norm"])
    assert float(tf.linalg.global_norm(gradients)) == pytest.approx(total, rel=1e-3)


@pytest.mark.slow
@pytest.mark.usefixtures("as_traced")
@pytest.mark.parametrize(
    ("run", "compiled"),
    [
        ("pixel32", None),
        ("patch64_bcr", None),
        ("patch64_bcr", "graph"),
        ("patch64_bcr", "xla"),
    ],
    indirect=["run"],
)
def test_steps(run, compiled):
    folder, values = run
    gan = load(folder)
    noise = tf.Variable(values["steps/noise"][0])
    draws = []

    def next_latents(n):
        draws.append(n)
        return noise[(len(draws) - 1) % 2]

    gan.sample_latents = next_latents
    step = gan.train_step
    if compiled:
        step = tf.function(step, jit_compile=compiled == "xla", autograph=False)
    for s, real in enumerate(values["steps/real"]):
        noise.assign(values["steps/noise"][s])
        gan.reset_metrics()
        ours = {name: float(value) for name, value in step(tf.constant(real)).items()}
        theirs = {
            name: float(values[f"steps/{s}/{key}"])
            for name, key in (
                ("g_loss", "g_loss"),
                ("d_loss", "d_loss"),
                ("r1_weighted", "gp"),
                ("d_total_loss", "d_total"),
                ("real_logits", "real_acc"),
            )
        }
        theirs["consistency"] = float(values[f"steps/{s}/cr"])
        ours["consistency"] = (
            gan.bcr_real * ours["consistency_real"]
            + gan.bcr_fake * ours["consistency_fake"]
        )
        # Adam's first steps divide by small second moments, which magnifies the last
        # digit of tiny gradients: exact at first, then within a thousandth.
        for name, value in theirs.items():
            tolerance = 1e-4 if s == 0 else 2e-3
            assert ours[name] == pytest.approx(value, rel=tolerance, abs=1e-3), name
    for name, network in (("g", gan.generator), ("ema", gan.ema_generator)):
        expected = values[f"after/{name}/images"]
        np.testing.assert_allclose(network(values["z"]), expected, atol=2e-3)
    logits = gan.discriminator(values["x"])
    np.testing.assert_allclose(logits, values["after/d/logits"], atol=2e-3)


def test_checkpoint_after_training(run):
    folder, values = run
    gan = load(folder, "after")
    for name, network in (("g", gan.generator), ("ema", gan.ema_generator)):
        expected = values[f"after/{name}/images"]
        np.testing.assert_allclose(network(values["z"]), expected, atol=1e-4)
    logits = gan.discriminator(values["x"])
    np.testing.assert_allclose(logits, values["after/d/logits"], atol=1e-4)
    assert gan.steps == 3
    assert gan.images_seen == 3 * len(values["z"])


@pytest.mark.slow
def test_adam_continues_from_the_checkpoint(run):
    """After three steps, our Adam moments match the authors' checkpoint."""
    folder, values = run
    gan, theirs = load(folder), load(folder, "after")
    for s, real in enumerate(values["steps/real"]):
        latents = iter(tf.constant(values["steps/noise"][s]))
        gan.sample_latents = lambda n, latents=latents: next(latents)
        gan.train_step(tf.constant(real))
    for network_name in ("g_optimizer", "d_optimizer"):
        ours, loaded = getattr(gan, network_name), getattr(theirs, network_name)
        assert int(loaded.iterations) == 3
        assert float(loaded.learning_rate) == pytest.approx(2e-4)
        for slots in ("_momentums", "_velocities"):
            for a, b in zip(getattr(ours, slots), getattr(loaded, slots), strict=True):
                difference = np.linalg.norm(np.asarray(a) - np.asarray(b))
                # Two updates of Adam magnify rounding errors to about 6 %. A wrong
                # order or slot gives a difference as large as the moments.
                assert difference <= 0.2 * np.linalg.norm(b) + 1e-7


@pytest.mark.slow
def test_imported_run_is_the_checkpoint(run, tmp_path):
    folder, values = run
    import_official_checkpoint(
        folder / "after", folder / "config.json", tmp_path / "run"
    )
    gan = load_run(tmp_path / "run")
    np.testing.assert_allclose(
        gan.ema_generator(values["z"]), values["after/ema/images"], atol=1e-4
    )
    assert gan.images_seen == 3 * len(values["z"])
    assert int(gan.g_optimizer.iterations) == 3
    with pytest.raises(UserError, match="is not empty"):
        import_official_checkpoint(
            folder / "after", folder / "config.json", tmp_path / "run"
        )


@pytest.mark.slow
def test_errors_name_the_missing_key_or_tensor(tmp_path):
    folder = OFFICIAL / "pixel32"
    config = json.loads((folder / "config.json").read_text())
    checkpoint = folder / "initial"
    for changes, message in (
        (
            {"g_mlp": [32, 32, 40]},
            "block_32/mlp/layer_with_weights-0/kernel has shape",
        ),
        ({"img_size": 64}, "image_size=64 does not fit d_widths="),
        ({"dec_dim": [8]}, "image_size=32 does not fit"),
        ({"loss": "wgan"}, "unknown loss 'wgan'. Expected one of nsl, hinge"),
    ):
        with pytest.raises(UserError, match=message):
            load_official_checkpoint(checkpoint, {**config, **changes})
    config64 = {**config, "img_size": 64, "dec_dim": [8], "d_enc_dim": [16, 32, 32]}
    with pytest.raises(UserError, match="tensor generator/dec/layer_with_w"):
        load_official_checkpoint(checkpoint, config64)
    del config["g_dim"]
    with pytest.raises(UserError, match="the key 'g_dim' is missing"):
        load_official_checkpoint(checkpoint, config)
    with pytest.raises(UserError, match="no checkpoint"):
        load_official_checkpoint(tmp_path, folder / "config.json")
    with pytest.raises(UserError, match="cannot be read"):
        load_official_checkpoint(checkpoint, tmp_path / "absent.json")


def test_a_checkpoint_can_be_given_by_prefix(tmp_path):
    folder = OFFICIAL / "pixel32"
    for file in (folder / "after").iterdir():
        if file.name != "checkpoint":
            shutil.copy(file, tmp_path)
    gan = load_official_checkpoint(tmp_path / "ckpt-12", folder / "config.json")
    assert gan.images_seen == 12
