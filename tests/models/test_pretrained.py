"""Directories for the Hub, whole and damaged."""

import contextlib
import json
import os
import random
import shutil
import zipfile

import keras
import numpy as np
import pytest

from lada_tf.errors import UserError
from lada_tf.models import LadaGAN, pretrained
from lada_tf.models.pretrained import load_network, save_pretrained
from tests.small import SMALL, assert_equal


@pytest.fixture(scope="module")
def gan():
    gan = LadaGAN.from_preset("tiny", **SMALL)
    gan.image_counter.assign(7)
    return gan


@pytest.fixture(scope="module")
def saved(gan, tmp_path_factory):
    directory = tmp_path_factory.mktemp("pretrained")
    save_pretrained(gan, directory)
    return directory


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


def test_a_directory_restores_the_model(gan, saved):
    loaded = LadaGAN.from_pretrained(saved)
    unnamed = {"name": None}  # Keras numbers the models in a process
    assert loaded.get_config() | unnamed == gan.get_config() | unnamed
    assert loaded.images_seen == 7
    assert_equal(loaded.generator.weights, gan.ema_generator.weights)
    assert_equal(loaded.ema_generator.weights, gan.ema_generator.weights)
    assert_equal(loaded.discriminator.weights, gan.discriminator.weights)
    generator = pretrained.load_pretrained_generator(saved)
    assert_equal(generator.weights, gan.ema_generator.weights)


def test_keras_loads_the_generator(gan, saved):
    generator = keras.saving.load_model(saved)
    assert_equal(generator.weights, gan.ema_generator.weights)
    latents = gan.sample_latents(2)
    np.testing.assert_array_equal(generator(latents), gan.ema_generator(latents))


def test_a_directory_without_a_discriminator(gan, copy, caplog):
    (copy / "discriminator.weights.h5").unlink()
    loaded = LadaGAN.from_pretrained(copy)
    assert_equal(loaded.generator.weights, gan.ema_generator.weights)
    kernel = loaded.discriminator.input_convolution.kernel
    assert np.std(kernel) > 0  # initialized
    assert "discriminator" in caplog.text
    change(copy, ("lada_tf", "config", "discriminator", "config", "mlp_dim"), 10**6)
    with pytest.raises(UserError, match="the file only"):
        LadaGAN.from_pretrained(copy)


def test_float16_files(gan, saved, tmp_path):
    large = gan.discriminator.weights[0]
    before = large.numpy()
    large.assign(before + 1e6)  # beyond float16
    gan.save_pretrained(tmp_path / "half", dtype="float16")
    loaded = LadaGAN.from_pretrained(tmp_path / "half")
    np.testing.assert_array_equal(loaded.discriminator.weights[0], large)
    large.assign(before)
    for a, b in zip(
        loaded.ema_generator.weights, gan.ema_generator.weights, strict=True
    ):
        assert a.dtype == "float32"
        np.testing.assert_array_equal(a, b.numpy().astype(np.float16))
    files = [path / "model.weights.h5" for path in (tmp_path / "half", saved)]
    sizes = [file.stat().st_size for file in files]
    assert sizes[0] < sizes[1] - gan.generator.count_params()


def test_save_pretrained_replaces_only_models_of_ours(gan, saved, tmp_path):
    directory = shutil.copytree(saved, tmp_path / "model")
    with pytest.raises(UserError, match=f"directory={directory}: already exists"):
        gan.save_pretrained(directory)
    (directory / "notes.txt").write_text("mine")
    gan.save_pretrained(directory, overwrite=True)
    names = {"config.json", "model.weights.h5", "discriminator.weights.h5"}
    assert {path.name for path in directory.iterdir()} == {
        "README.md",
        "notes.txt",
        *names,
    }
    with pytest.raises(UserError, match="dtype=int8"):
        gan.save_pretrained(tmp_path / "other", dtype="int8")


def test_models_in_the_package(gan, saved, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "BUNDLED", tmp_path)
    with pytest.raises(UserError, match="portraits"):
        LadaGAN.from_preset("tiny", load_weights=True)
    shutil.copytree(saved, tmp_path / "portraits")
    for loaded in (
        LadaGAN.from_pretrained("portraits"),
        LadaGAN.from_preset("tiny", load_weights=True),
    ):
        assert_equal(loaded.ema_generator.weights, gan.ema_generator.weights)
    with pytest.raises(ValueError, match="tiny"):
        LadaGAN.from_preset("cifar10", load_weights=True)
    with pytest.raises(ValueError, match="own configuration"):
        LadaGAN.from_preset("tiny", load_weights=True, r1_gamma=1.0)


@pytest.fixture
def payload(tmp_path, monkeypatch):
    """A module that can be imported and must not be; return the file that it writes."""
    trace = tmp_path / "imported"
    code = f"open({str(trace)!r}, 'w').close()\n"
    for name in ("payload", "keras_hub"):
        (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    return trace


def change(directory, path, value):
    """Change a value of config.json."""
    file = directory / "config.json"
    config = json.loads(file.read_text())
    place = config
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    file.write_text(json.dumps(config))


OURS = ("lada_tf", "config")
GENERATOR = (*OURS, "generator", "config")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((*GENERATOR, "attention"), "payload:Attention"),
        ((*GENERATOR, "attention"), ["payload:Attention"]),
        ((*OURS, "discriminator", "config", "attention"), "os:system"),
        ((*OURS, "generator"), {"module": "keras_hub", "class_name": "X"}),
        ((*GENERATOR, "initializer"), {"module": "payload", "class_name": "X"}),
        ((*GENERATOR, "dtype"), {"module": "os", "class_name": "system", "config": {}}),
    ],
)
def test_a_configuration_runs_no_code(copy, payload, path, value):
    if path[-1] == "generator":
        value = value | {"config": {}, "registered_name": "X"}
    change(copy, path, value)
    with pytest.raises(UserError, match="copy"):
        LadaGAN.from_pretrained(copy)
    assert not payload.exists()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((*GENERATOR, "latent_dim"), 10**9),
        ((*GENERATOR, "mlp_dim"), [10**9, 10**9]),
        ((*GENERATOR, "num_heads"), 10**6),
        ((*GENERATOR, "widths"), [4] * 10**5),
        ((*GENERATOR, "base_resolution"), -16),
        ((*OURS, "discriminator", "config", "out_widths"), [10**9, 10**9]),
        ((*OURS, "r1_gamma"), float("nan")),
        ((*OURS, "g_betas"), ["a", "b"]),
        (("lada_tf", "steps"), 10**30),
        (("lada_tf",), []),
        (("lada_tf", "config"), []),
        ((*OURS, "generator"), {"class_name": "__numpy__", "config": {}}),
    ],
)
def test_other_sizes_are_refused_before_they_need_memory(copy, path, value):
    change(copy, path, value)
    with pytest.raises(UserError, match="copy"):
        LadaGAN.from_pretrained(copy)


def test_damaged_directories(saved, tmp_path):
    """Every damage is a UserError, or does no harm."""
    rng = random.Random(0)
    names = ["config.json", "model.weights.h5", "discriminator.weights.h5"]
    for number in range(30):
        directory = shutil.copytree(saved, tmp_path / str(number))
        file = directory / names[number % 3]
        content = bytearray(file.read_bytes())
        kind = number // 3 % 5
        if kind == 0:
            content = content[: rng.randrange(len(content))]
        elif kind == 1:
            for _ in range(rng.choice([1, 30])):
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        elif kind == 2:
            content = rng.randbytes(500)
        elif kind == 3:
            content = (directory / names[(number + 1) % 3]).read_bytes()
        file.unlink()
        if kind == 4:
            file.mkdir()
        else:
            file.write_bytes(content)
        with contextlib.suppress(UserError):
            LadaGAN.from_pretrained(directory)


@pytest.mark.parametrize("keep", [0, 100])
def test_damaged_members_of_a_file(gan, tmp_path, keep):
    gan.ema_generator.save(tmp_path / "good.keras")
    for name in ("config.json", "model.weights.h5"):
        file = tmp_path / "generator.keras"
        with (
            zipfile.ZipFile(tmp_path / "good.keras") as good,
            zipfile.ZipFile(file, "w") as bad,
        ):
            for entry in good.namelist():
                content = good.read(entry)
                bad.writestr(entry, content[:keep] if entry == name else content)
        with pytest.raises(UserError, match=r"generator\.keras: cannot be loaded"):
            load_network(file)


def test_configurations_of_other_models(gan, saved, copy):
    (copy / "config.json").write_text('{"model_type": "bert"}')
    for load in (LadaGAN.from_pretrained, pretrained.load_pretrained_generator):
        with pytest.raises(UserError, match="does not describe a LadaGAN"):
            load(copy)
    ours = json.loads((saved / "config.json").read_text())["lada_tf"]
    config = keras.saving.serialize_keras_object(gan.discriminator)
    (copy / "config.json").write_text(json.dumps({**config, "lada_tf": ours}))
    gan.discriminator.save_weights(copy / "model.weights.h5")
    with pytest.raises(UserError, match="does not describe a generator"):
        pretrained.load_pretrained_generator(copy)


def test_a_refused_configuration_leaves_nothing_behind(copy):
    change(copy, (*GENERATOR, "latent_dim"), 10**9)
    with pytest.raises(UserError, match="the file only"):
        LadaGAN.from_pretrained(copy)
    os.remove(copy / "config.json")
    LadaGAN.from_preset("tiny", **SMALL)  # would create the refused weights
