"""`load_generator`: one test per kind of source."""

import numpy as np
import pytest

from lada_tf import load_generator
from lada_tf.errors import UserError
from lada_tf.models import hub, pretrained
from lada_tf.models.networks import copy_generator
from lada_tf.training import official_checkpoint
from lada_tf.training.checkpoints import Checkpoints
from lada_tf.training.run_directory import RunDirectory

LATENTS = np.random.default_rng(0).standard_normal((2, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(gan, run_dir, tmp_path_factory):
    """The same generator in every kind of source; in the run, as the best one."""
    folder = tmp_path_factory.mktemp("places")
    run = RunDirectory(folder / "run")
    run.start(RunDirectory(run_dir).read_preset(), {"seed": 0})
    run.release_lock()
    checkpoints = Checkpoints(run.checkpoints, gan)
    checkpoints.save_best(1.0)
    weight = gan.ema_generator.weights[0]
    value = weight.numpy()
    weight.assign(2 * value)
    checkpoints.save()
    weight.assign(value)
    (folder / "bundled" / "faces").mkdir(parents=True)
    pretrained.save_pretrained(gan, folder / "bundled" / "faces")
    gan.ema_generator.save(folder / "generator.keras")
    (folder / "versions" / "2").mkdir(parents=True)
    (folder / "versions" / "3").mkdir()
    return folder


@pytest.fixture(autouse=True)
def places(folder, gan, monkeypatch):
    """Find bundled models and those of the Hub in the directory."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(pretrained, "BUNDLED", folder / "bundled")
    hubs = {"hf://user/repo@v1": folder / "bundled" / "faces"}
    monkeypatch.setattr(hub, "download", lambda source, files, token: hubs[source])


@pytest.mark.parametrize(
    "source",
    ["run:best", "bundled/faces", "faces", "hf://user/repo@v1", "generator.keras"],
)
def test_every_source_has_the_same_images(source, generator):
    images = load_generator(source)(LATENTS)
    np.testing.assert_array_equal(images, generator(LATENTS))


def test_a_run_is_its_last_checkpoint(generator):
    images = load_generator("run")(LATENTS)
    assert np.abs(images - generator(LATENTS)).max() > 1e-3


def test_the_weights_of_the_authors(gan, generator, monkeypatch):
    monkeypatch.setattr(
        "lada_tf.training.sources.load_official_checkpoint", {"official:x": gan}.get
    )
    assert load_generator(f"{official_checkpoint.OFFICIAL_PREFIX}x") is generator


@pytest.mark.parametrize("source", ["run:best", "faces"])
def test_bfloat16(source, generator):
    images = load_generator(source, "bfloat16")(LATENTS)
    expected = copy_generator(generator, "bfloat16")(LATENTS)
    np.testing.assert_array_equal(images, expected)


@pytest.mark.parametrize(
    ("source", "precision", "message"),
    [
        ("absent", None, "absent: .*RUN:best.*hf://.*official:.*faces.*exported"),
        ("bundled", None, "no such model"),
        ("me/mine", None, "hf://me/mine"),
        ("versions", None, "versions/3"),
        ("faces:best", None, "no such model"),
        ("generator.keras", "bfloat16", "precision=bfloat16"),
    ],
)
def test_mistakes(source, precision, message):
    with pytest.raises(UserError, match=message):
        load_generator(source, precision)
