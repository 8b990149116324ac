"""Untrusted runs in `load_run` and `load_run_generator`."""

import re

import keras
import pytest

from lada_tf.errors import UserError
from lada_tf.layers import LadaAttention
from lada_tf.models import LadaGAN
from lada_tf.models.presets import get_preset
from lada_tf.training import load_run
from lada_tf.training.checkpoints import Checkpoints
from lada_tf.training.load import find_run, load_run_generator
from lada_tf.training.run_directory import RunDirectory
from tests.small import SMALL

LOADERS = pytest.mark.parametrize("load", [load_run, load_run_generator])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = RunDirectory(tmp_path_factory.mktemp("runs") / "small")
    run.start(get_preset("tiny", **SMALL), {"seed": 0})
    run.release_lock()
    gan = LadaGAN.from_preset("tiny", **SMALL)
    gan.compile()
    Checkpoints(run.checkpoints, gan).save()
    return run


@pytest.fixture
def edit(run):
    """Return a function that changes a setting of the run; undo it at the end."""
    text = run.flags_file.read_text()

    def edit(name, value):
        new = re.sub(f"--{name}=.*", f"--{name}={value}", text)
        assert new != text
        run.flags_file.write_text(new)

    yield edit
    run.flags_file.write_text(text)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("run", ("run", False)),
        ("~/run:best", ("run", True)),
        ("odd:best", ("odd:best", False)),
        ("odd:best:best", ("odd:best", True)),
        ("odd", None),
        (".", None),
        ("hf://user/repo", None),
    ],
)
def test_names_of_runs(source, found, tmp_path, monkeypatch):
    for name in ("run", "odd:best"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "flags.cfg").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    run = find_run(source)
    assert run == found if found is None else run.best == found[1]
    assert found is None or run.path.samefile(found[0])


@LOADERS
@pytest.mark.parametrize("name", ["g_attention", "d_attention"])
def test_a_run_does_not_import_code(run, edit, load, name, tmp_path, monkeypatch):
    trace = tmp_path / "imported"
    (tmp_path / "payload_of_run.py").write_text(f"open({str(trace)!r}, 'w').close()")
    monkeypatch.syspath_prepend(str(tmp_path))
    edit(name, "payload_of_run:Attention")
    with pytest.raises(UserError, match=r"flags\.cfg: attention='payload_of_run:A"):
        load(run.path)
    assert not trace.exists()


class Own(LadaAttention):
    def __init__(self, num_heads, **kwargs):
        super().__init__(num_heads, score="joint", **kwargs)


@LOADERS
def test_ways_to_load_a_users_attention(run, edit, load):
    name = f"{__name__}:Own"
    edit("g_attention", name)
    with pytest.raises(UserError, match=name):
        load(run.path)
    by_name = load(run.path, custom_objects={name: Own})
    by_import = load(run.path, safe_mode=False)
    for loaded in (by_name, by_import):
        generator = getattr(loaded, "ema_generator", loaded)
        assert type(generator.blocks[0].attention) is Own
    with keras.saving.custom_object_scope({name: Own}):
        load(run.path)


@LOADERS
@pytest.mark.parametrize(
    ("name", "value"), [("latent_dim", 10**9), ("g_mlp_dim", 10**9), ("g_heads", 3)]
)
def test_a_run_with_sizes_that_are_not_stored(run, edit, load, name, value):
    edit(name, value)
    with pytest.raises(UserError):
        load(run.path)
