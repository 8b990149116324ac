"""Every place from which a LadaGAN can be loaded."""

from pathlib import Path

import pytest

from lada_tf.errors import UserError
from lada_tf.models import LadaGAN, get_preset, pretrained
from lada_tf.training import official_checkpoint
from lada_tf.training.checkpoints import Checkpoints
from lada_tf.training.official_checkpoint import import_official_checkpoint
from lada_tf.training.run_directory import RunDirectory
from lada_tf.training.sources import find_pretrained, load_source
from tests.fake_hub import NOWHERE, use_endpoint
from tests.small import SMALL, assert_equal

OFFICIAL = Path(__file__).parents[1] / "data" / "official" / "pixel32"
AUTHORS = "milmor/LadaGAN"


def assert_same_generator(loaded, gan):
    assert_equal(loaded.ema_generator.weights, gan.ema_generator.weights)


@pytest.fixture(scope="module")
def gan():
    return LadaGAN.from_preset("tiny", **SMALL)


def test_a_run(gan, tmp_path):
    gan.compile()
    run = RunDirectory(tmp_path / "run")
    run.start(get_preset("tiny", **SMALL), {"seed": 0})
    Checkpoints(run.checkpoints, gan).save()
    assert_same_generator(load_source(run.path), gan)
    assert_same_generator(LadaGAN.from_pretrained(run.path), gan)
    with pytest.raises(UserError, match="best checkpoint"):
        load_source(f"{run.path}:best")


def test_pretrained_models(gan, fake_hub, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "BUNDLED", tmp_path / "bundled")
    gan.save_pretrained(tmp_path / "bundled" / "faces")
    directory = tmp_path / "bundled" / "faces"
    files = {path.name: path.read_bytes() for path in directory.iterdir()}
    fake_hub.add("user/repo", files)
    assert_same_generator(load_source("hf://user/repo"), gan)
    assert find_pretrained(directory) == directory
    monkeypatch.chdir(tmp_path)
    Path("faces").mkdir()  # holds no model
    assert find_pretrained("faces") == directory
    (tmp_path / "faces" / "config.json").touch()
    assert find_pretrained("faces") == Path("faces")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("user/repo", "hf://USER/REPO"),  # may be a path with a typo
        ("runs/absent:best", "RUN:best"),
        (".", "config.json"),
        ("official:celeba", "official:celeba_64"),
    ],
)
def test_mistakes(source, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        load_source(source)


@pytest.fixture
def authors(fake_hub):
    """Their repository, with `cifar10` only."""
    names = {"cifar10/config.json": "config.json", "cifar10/notes.pkl": "config.json"}
    for file in (OFFICIAL / "after").iterdir():
        name = f"cifar10/best-training-checkpoints/{file.name}"
        names[name] = f"after/{file.name}"
    content = {name: (OFFICIAL / file).read_bytes() for name, file in names.items()}
    fake_hub.add(AUTHORS, content)
    return fake_hub


def test_the_weights_of_the_authors(authors, tmp_path):
    gan = load_source("official:cifar10")
    assert gan.images_seen > 0
    assert "cifar10/notes.pkl" not in authors.downloads
    run = tmp_path / "run"
    imported = import_official_checkpoint("official:cifar10", None, run)
    assert_same_generator(imported, gan)
    assert_same_generator(load_source(run), gan)


@pytest.mark.parametrize("name", ["after", "after/ckpt-12"])
def test_the_configuration_next_to_a_checkpoint(name):
    _, config = official_checkpoint._find(OFFICIAL / name, None)
    assert config == OFFICIAL / "config.json"


def test_the_weights_of_the_authors_without_network(fake_hub, monkeypatch):
    use_endpoint(NOWHERE, monkeypatch)
    with pytest.raises(UserError) as raised:
        load_source("official:ffhq_128")
    for text in (
        AUTHORS,
        "ffhq_128/config.json",
        "ffhq_128/best-training-checkpoints",
        "checkpoint=",
    ):
        assert text in str(raised.value)
