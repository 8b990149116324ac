"""The Hub: push, load, revisions, the cache, and what can go wrong."""

import io
import sys

import keras
import numpy as np
import pytest
from huggingface_hub import ModelCard, constants

from lada_tf.errors import UserError
from lada_tf.models import LadaGAN, hub
from lada_tf.models.pretrained import FILES
from tests.docs.pages import run_python_blocks
from tests.fake_hub import NOWHERE, TOKEN, use_endpoint
from tests.small import SMALL

OURS = {"README.md", "config.json", "model.weights.h5", "discriminator.weights.h5"}


@pytest.fixture(scope="module")
def gan():
    return LadaGAN.from_preset("tiny", **SMALL)


def assert_same_images(loaded, gan):
    np.testing.assert_array_equal(loaded.generate(0, 2), gan.generate(0, 2))


def test_push_and_load(gan, fake_hub, monkeypatch):
    url = gan.push_to_hub("user/repo", private=True, commit_message="First")
    assert url == f"{fake_hub.endpoint}/user/repo"
    assert fake_hub.private == {"user/repo"}
    assert fake_hub.messages == ["First"]
    files = fake_hub.files("user/repo")
    assert set(files) == {".gitattributes", *OURS}
    card = ModelCard(files["README.md"].decode())
    assert card.data.library_name == "lada_tf"

    fake_hub.add("user/repo", {"model.pkl": b"code", "setup.py": b"code"})
    assert_same_images(LadaGAN.from_pretrained("user/repo"), gan)
    assert set(fake_hub.downloads) == OURS - {"README.md"}  # and no code

    use_endpoint(NOWHERE, monkeypatch)  # the cache remains
    assert_same_images(LadaGAN.from_pretrained("hf://user/repo"), gan)


def test_the_examples_of_the_card_run(gan, fake_hub):
    gan.push_to_hub("user/repo")
    card = ModelCard(fake_hub.files("user/repo")["README.md"].decode())
    examples = run_python_blocks(card.text)
    assert [each["images"].shape for each in examples] == [(16, 32, 32, 3)] * 2


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_only_downloads_on_a_terminal_show_progress(fake_hub, monkeypatch):
    fake_hub.add("user/repo", {"config.json": b"x" * 1000})
    stderr = {}
    for stream in (Terminal(), Terminal(), io.StringIO()):
        monkeypatch.setattr(sys, "stderr", stream)
        hub.download("hf://user/repo", FILES)
        stderr[stream] = stream.getvalue()
    terminal, from_cache, pipe = stderr.values()
    assert "1.00k" in terminal
    assert not from_cache.strip("\r")
    assert not pipe


def test_the_progress_bar_suits_older_versions_of_the_client(monkeypatch):
    # huggingface_hub 1.4 to 1.6 pass a name, which tqdm does not accept.
    monkeypatch.setattr(sys, "stderr", Terminal())
    hub._DownloadBar(total=0, unit="B", name="huggingface_hub.snapshot_download")


def test_keras_loads_the_generator(gan, fake_hub):
    gan.push_to_hub("user/repo")
    generator = keras.saving.load_model("hf://user/repo")
    latents = gan.sample_latents(2)
    np.testing.assert_array_equal(generator(latents), gan.ema_generator(latents))


def test_revisions(fake_hub, tmp_path):
    (tmp_path / "config.json").write_text("v1")
    hub.upload(tmp_path, "user/repo", revision="v1")
    commit = fake_hub.branches["user/repo", "v1"]
    (tmp_path / "config.json").write_text("v2")
    hub.upload(tmp_path, "user/repo", revision="v1")
    assert "config.json" not in fake_hub.files("user/repo")
    for revision, expected in ((commit, "v1"), ("v1", "v2")):
        directory = hub.download(f"hf://user/repo@{revision}", FILES)
        assert (directory / "config.json").read_text() == expected


def test_a_repository_keeps_its_own_card(fake_hub, tmp_path):
    (tmp_path / "README.md").write_text("new")
    fake_hub.add("user/repo", {"README.md": b"mine"})
    hub.upload(tmp_path, "user/repo", keep=["README.md"])
    assert fake_hub.files("user/repo")["README.md"] == b"mine"
    hub.upload(tmp_path, "user/repo")
    assert fake_hub.files("user/repo")["README.md"] == b"new"


def test_names_of_sources(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "user" / "local").mkdir(parents=True)
    assert hub.as_source("user/repo", "v1") == "hf://user/repo@v1"
    assert hub.as_source("hf://user/local") == "hf://user/local"
    for local in ("user/local", "portraits", "runs/a/b", "../repo"):
        assert hub.as_source(local) == local
        with pytest.raises(UserError, match="revision=v1"):
            hub.as_source(local, "v1")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("hf://user", "expected hf://user/repo"),
        ("hf://user/repo/file", "expected hf://user/repo"),
        ("hf://user/a..b", "user/a..b"),
        ("user/absent", "hf://user/absent: no such repository"),
        ("user/private", "hf auth login"),
        ("user/gated", "accept its terms"),
        ("user/empty", "no config.json"),
        ("hf://user/empty@v2", "hf://user/empty@v2: has no such revision"),
    ],
)
def test_mistakes(source, message, fake_hub, monkeypatch):
    for name in ("empty", "private", "gated"):
        fake_hub.add(f"user/{name}", {"README.md": b""})
    fake_hub.private.add("user/private")
    fake_hub.gated.add("user/gated")
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(UserError, match=message) as raised:
        LadaGAN.from_pretrained(source)
    assert "\n" not in str(raised.value)


def test_a_private_repository_needs_a_token(gan, fake_hub, monkeypatch):
    gan.push_to_hub("user/repo", private=True)
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(UserError, match="hf auth login"):
        LadaGAN.from_pretrained("user/repo")
    assert_same_images(LadaGAN.from_pretrained("user/repo", token=TOKEN), gan)


@pytest.mark.parametrize("is_offline", [False, True])
def test_no_network(is_offline, fake_hub, tmp_path, monkeypatch):
    use_endpoint(NOWHERE, monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", is_offline)
    with pytest.raises(UserError, match=r"user/repo: cannot be reached .* HF_HUB_OFF"):
        LadaGAN.from_pretrained("user/repo")
    with pytest.raises(UserError, match="hf://user/repo: "):
        hub.upload(tmp_path, "user/repo")


def test_an_upload_without_a_token(fake_hub, tmp_path, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no_token"))
    with pytest.raises(UserError, match="hf auth login"):
        hub.upload(tmp_path, "user/repo")
    with pytest.raises(UserError, match="a/b/c"):
        hub.upload(tmp_path, "a/b/c", token="hf_test")


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"pip install 'lada_tf\[hub\]'"):
        LadaGAN.from_pretrained("user/repo")
