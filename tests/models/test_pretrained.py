"""Directories for the Hub, whole and damaged."""

import contextlib
import json
import os
import random
import shutil
import zipfile

import pytest

from lada_tf.errors import UserError
from lada_tf.models import LadaGAN
from lada_tf.models.pretrained import load_network, save_pretrained
from tests.small import SMALL


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    directory = tmp_path_factory.mktemp("pretrained")
    save_pretrained(LadaGAN.from_preset("tiny", **SMALL), directory)
    return directory


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


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


GENERATOR = ("config", "generator", "config")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((*GENERATOR, "attention"), "payload:Attention"),
        ((*GENERATOR, "attention"), ["payload:Attention"]),
        (("config", "discriminator", "config", "attention"), "os:system"),
        (("config", "generator"), {"module": "keras_hub", "class_name": "X"}),
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
        (("config", "discriminator", "config", "out_widths"), [10**9, 10**9]),
        (("config", "r1_gamma"), float("nan")),
        (("config", "g_betas"), ["a", "b"]),
        (("steps",), 10**30),
        (("config",), []),
        (("config", "generator"), {"class_name": "__numpy__", "config": {}}),
    ],
)
def test_other_sizes_are_refused_before_they_need_memory(copy, path, value):
    change(copy, path, value)
    with pytest.raises(UserError, match="copy"):
        LadaGAN.from_pretrained(copy)


def test_damaged_directories(saved, tmp_path):
    """Every damage is a UserError, or does no harm."""
    rng = random.Random(0)
    names = ["config.json", "generator.keras", "discriminator.keras"]
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
def test_damaged_members_of_a_file(saved, tmp_path, keep):
    for name in ("config.json", "model.weights.h5"):
        file = tmp_path / "generator.keras"
        with (
            zipfile.ZipFile(saved / "generator.keras") as good,
            zipfile.ZipFile(file, "w") as bad,
        ):
            for entry in good.namelist():
                content = good.read(entry)
                bad.writestr(entry, content[:keep] if entry == name else content)
        with pytest.raises(UserError, match=r"generator\.keras: cannot be loaded"):
            load_network(file)


def test_a_refused_configuration_leaves_nothing_behind(copy):
    change(copy, (*GENERATOR, "latent_dim"), 10**9)
    with pytest.raises(UserError, match="the file only"):
        LadaGAN.from_pretrained(copy)
    os.remove(copy / "config.json")
    LadaGAN.from_preset("tiny", **SMALL)  # would create the refused weights
