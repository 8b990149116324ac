"""Fine-tuning: what a new run takes from its parent, and how it resumes."""

import dataclasses
import hashlib
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf

from lada_tf.data import open_source
from lada_tf.errors import UserError
from lada_tf.models import LadaGAN, get_preset
from lada_tf.models.latents import latents
from lada_tf.models.pretrained import WEIGHTS
from lada_tf.sampling.grids import image_grid, png_bytes
from lada_tf.training import TrainingOptions, trainer
from lada_tf.training.callbacks import GRID_IMAGES, MetricsLog
from lada_tf.training.checkpoints import PREFIX, VALUE, Checkpoints
from lada_tf.training.lineage import read_origin
from lada_tf.training.loop import TrainingLoop
from lada_tf.training.parent import NETWORKS, Parent, _fields
from lada_tf.training.run_directory import RunDirectory
from lada_tf.training.sources import load_source
from tests.runner import succeed_with_source
from tests.small import SMALL
from tests.training.run_state import read_state

PRESET = get_preset("tiny", **SMALL, subset=0.5, total_images=16)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose networks have seen 16 images and differ from all initial ones."""
    run = RunDirectory(tmp_path_factory.mktemp("runs") / "parent")
    run.start(PRESET, {"seed": 0}, "portraits:1")
    run.release_lock()
    gan = LadaGAN.from_preset(PRESET)
    gan.compile()
    random = np.random.default_rng(0)
    for variable in (*gan.weights, *gan.d_optimizer.variables):
        if "float" in variable.dtype:
            variable.assign(variable + 0.01 * random.random(variable.shape))
    gan.image_counter.assign(16)
    gan.step_counter.assign(4)
    checkpoints = Checkpoints(run.checkpoints, gan)
    checkpoints.save()
    checkpoints.save_best(1.0)
    return run


@pytest.fixture(scope="module")
def pretrained(run):
    directory = run.path.with_name("pretrained")
    load_source(run.path).save_to_preset(directory)
    return directory


class Killed(BaseException):
    pass


def train(run_dir, init_from, **changes):
    preset = Parent.load(init_from).preset(**changes) if changes else PRESET
    options = TrainingOptions(seed=3, log_images=4, checkpoint_images=8)
    source = open_source("portraits", 32)
    return trainer.train(preset, source, run_dir, options, init_from=init_from)


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("kind", ["run", "pretrained"])
def test_a_run_starts_from_the_weights_of_its_parent(
    run, pretrained, tmp_path, monkeypatch, kind
):
    """Its first grid has the parent's images, and it can resume without its parent."""
    source = {"run": f"{run.path}:best", "pretrained": pretrained}[kind]

    def fail(*_):
        raise Killed

    monkeypatch.setattr(TrainingLoop, "_call", fail)
    with pytest.raises(Killed):
        train(tmp_path / "new", source)
    expected = load_source(source)
    checksum = hashlib.sha256()
    reader = tf.train.load_checkpoint(
        str(tmp_path / "new/checkpoints/images-0000000000" / PREFIX)
    )
    for name in NETWORKS:
        for i, weight in enumerate(getattr(expected, name).get_weights()):
            stored = reader.get_tensor(f"{name}/{i}{VALUE}")
            np.testing.assert_array_equal(stored, weight)
            checksum.update(weight.tobytes())
    assert not reader.get_tensor(f"d_optimizer/2{VALUE}").any()  # a new momentum
    assert reader.get_tensor(f"counters/1{VALUE}") == 0
    z = latents(3, range(GRID_IMAGES), expected.latent_dim)
    picture = png_bytes(image_grid(expected.ema_generator(z), columns=8))
    grid = tmp_path / "new/samples/grid-0000000000.png"
    assert grid.read_bytes() == picture
    origin = read_origin(RunDirectory(tmp_path / "new"))
    assert (origin.source, origin.images_seen) == (str(source), 16)
    assert origin.sha256 == checksum.hexdigest()


@pytest.mark.slow
@pytest.mark.usefixtures("eagerly")
def test_a_killed_fine_tune_resumes_bit_for_bit_without_its_parent(
    run, tmp_path, monkeypatch
):
    parent = shutil.copytree(run.path, tmp_path / "parent")
    changes = {"freeze_d": 1, "r1_gamma": 0.5, "total_images": 16}
    train(tmp_path / "whole", parent, **changes)
    act = MetricsLog.act

    def act_or_die(callback, images_seen):
        if images_seen == 12:
            raise Killed
        act(callback, images_seen)

    killed = tmp_path / "killed"
    with monkeypatch.context() as patch:
        patch.setattr(MetricsLog, "act", act_or_die)
        with pytest.raises(Killed):
            train(killed, parent, **changes)
    preset = RunDirectory(killed).read_preset()
    options = TrainingOptions(seed=3, log_images=4, checkpoint_images=8)
    shutil.rmtree(parent)
    source = open_source("portraits", 32)
    gan = trainer.train(preset, source, killed, options, init_from=parent)
    assert gan.steps == 4
    whole = tmp_path / "whole"
    assert read_state(killed) == read_state(whole)
    assert (killed / "flags.cfg").read_bytes() == (whole / "flags.cfg").read_bytes()


@pytest.mark.parametrize("kind", ["run", "pretrained"])
def test_a_parent_of_bfloat16_has_the_weights_in_float32(tmp_path, kind):
    gan = LadaGAN.from_preset(PRESET, precision="bfloat16")
    if kind == "run":
        gan.compile()
        run = RunDirectory(tmp_path)
        run.start(PRESET, {"seed": 0, "precision": "bfloat16"}, "portraits:1")
        run.release_lock()
        Checkpoints(run.checkpoints, gan).save()
    else:
        gan.save_pretrained(tmp_path, overwrite=True)
    parent = Parent.load(tmp_path)
    parent.check_fits(PRESET)
    new = LadaGAN.from_preset(PRESET)
    parent.copy_to(new)
    assert new.discriminator.compute_dtype == "float32"
    for ours, theirs in zip(
        new.discriminator.weights, gan.discriminator.weights, strict=True
    ):
        assert ours.dtype == theirs.dtype == "float32"
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_every_replica_has_the_weights_of_the_parent(run, tmp_path):
    succeed_with_source(
        f"""
import numpy as np
from lada_tf.training import Parent, TrainingOptions, trainer
from lada_tf.training.distribution import make_strategy

strategy = make_strategy("mirrored", virtual_cpus=2)
parent = Parent.load({str(run.path)!r})
with strategy.scope():
    gan = trainer.build(parent.preset(), TrainingOptions())
    parent.copy_to(gan)
for name, values in parent.weights.items():
    for weight, value in zip(getattr(gan, name).weights, values, strict=True):
        copies = strategy.experimental_local_results(weight.value)
        assert len(copies) == 2
        for copy in copies:
            np.testing.assert_array_equal(copy, value)
""",
        tmp_path,
    )


def test_settings_of_the_parent_are_the_default(run):
    parent = Parent.load(run.path)
    assert parent.preset() == PRESET
    assert parent.preset(loss="hinge") == dataclasses.replace(PRESET, loss="hinge")
    assert parent.preset(data="photos") == dataclasses.replace(
        PRESET, data="photos", subset=1.0
    )


def test_a_model_without_a_run_has_the_settings_that_it_knows(pretrained):
    with pytest.raises(UserError, match=r" data, batch_size, total_images"):
        Parent.load(pretrained).preset()
    gan = LadaGAN.from_preset("tiny", r1_gamma=0.5, loss="hinge")
    fields = _fields(gan)
    expected = get_preset("tiny", data="photos", r1_gamma=0.5, loss="hinge")
    expected = dataclasses.replace(
        expected, g_heads=fields["g_heads"], g_mlp_dim=fields["g_mlp_dim"]
    )
    assert type(expected)(**fields, data="photos") == expected


def test_other_networks_are_refused_with_every_field(run):
    parent = Parent.load(run.path)
    for same in (
        {"g_initializer": "glorot_normal", "icnr": True, "freeze_d": 1},
        {"g_heads": (4, 4), "loss": "hinge", "batch_size": 8},
    ):
        parent.check_fits(dataclasses.replace(PRESET, **same))
    other = dataclasses.replace(PRESET, g_widths=(16, 12), d_mlp_dim=9, g_heads=(2,))
    with pytest.raises(UserError) as error:
        parent.check_fits(other)
    for text in (
        "g_widths=16,12 (source: 16,8)",
        "d_mlp_dim=9 (source: 8)",
        "g_heads=2,2 (source: 4,4)",
    ):
        assert text in str(error.value)
    assert len(re.findall("source:", str(error.value))) == 3
    with pytest.raises(UserError, match=r"it generates 32×32 images.*image_size=64"):
        parent.check_fits(dataclasses.replace(PRESET, image_size=64))


def test_changed_settings_are_stored_and_survive_a_resume(run, tmp_path):
    parent = Parent.load(run.path)
    preset = parent.preset(r1_gamma=0.5, data="photos, ours", total_images=99)
    options = {"seed": 0, "log_images": 7, "init_from": parent.source}
    new = RunDirectory(tmp_path / "new")
    record = parent.record(dataclasses.asdict(preset) | options)
    new.start(preset, options, "photos:1", record)
    new.release_lock()
    text = new.flags_file.read_text()
    again = RunDirectory(new.path)
    again.start(preset, options, "photos:1")
    again.release_lock()
    assert again.flags_file.read_text() == text
    assert read_origin(again).changed == {
        "data": ("portraits", "photos, ours"),
        "total_images": ("16", "99"),
        "subset": ("0.5", "1.0"),
        "r1_gamma": ("0.01", "0.5"),
    }


def test_stages_that_are_not_trained_cannot_be_frozen(run, pretrained, tmp_path):
    frozen = dataclasses.replace(PRESET, freeze_d=1)
    Parent.load(run.path).check_fits(frozen)
    Parent.load(pretrained).check_fits(frozen)
    generator_only = shutil.copytree(pretrained, tmp_path / "generator_only")
    (generator_only / WEIGHTS["discriminator"]).unlink()
    parent = Parent.load(generator_only)
    parent.check_fits(PRESET)
    with pytest.raises(UserError, match=r"^freeze_d=1: .*generator_only"):
        parent.check_fits(frozen)


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ("", "", True),
        ("runs/a", "", False),
        ("", "runs/a", False),
        ("runs/a", "runs/b", False),
        ("runs/a:best", "runs/a", False),
        ("runs/a", "./runs/a/", True),
        ("runs/a:best", "{cwd}/runs/a:best", True),
        ("runs/link", "runs/a", True),
        ("hf://user/a", "hf://user/a", True),
        ("hf://user/a", "hf://user/b", False),
    ],
)
def test_a_run_keeps_its_parent(tmp_path, monkeypatch, first, second, is_same):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/a").mkdir(parents=True)
    (tmp_path / "runs/link").symlink_to("a")

    def start(init_from):
        init_from = init_from.format(cwd=tmp_path)
        directory = RunDirectory(tmp_path / "new")
        options = {"seed": 0} | ({"init_from": init_from} if init_from else {})
        try:
            directory.start(PRESET, options, "portraits:1")
        finally:
            directory.release_lock()

    start(first)
    if is_same:
        start(second)
    else:
        with pytest.raises(UserError, match=r"init_from was "):
            start(second)


def test_a_source_that_is_missing_is_named(tmp_path):
    with pytest.raises(UserError, match=f"^init_from={tmp_path / 'none'}: "):
        train(tmp_path / "new", tmp_path / "none")
    assert not (tmp_path / "new").exists()
