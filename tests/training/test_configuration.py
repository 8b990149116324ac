"""Presets and training options as flags and as text."""

import dataclasses
import re

import pytest
from absl import flags

from lada_tf.errors import UserError
from lada_tf.models import PRESETS, get_preset
from lada_tf.training.configuration import (
    OPTION_FIELDS,
    TrainingOptions,
    define_option_flags,
    define_preset_flags,
    flagfile_text,
    options_from_flags,
    parse_field,
    parse_settings,
    preset_from_flags,
    preset_from_settings,
    resume_from_settings,
)


def from_flags(*arguments):
    values = flags.FlagValues()
    define_preset_flags(values)
    values(["program", *arguments])
    return preset_from_flags(values)


@pytest.mark.parametrize("name", PRESETS)
def test_a_flagfile_repeats_its_preset(name, tmp_path):
    text = flagfile_text(dataclasses.asdict(PRESETS[name]))
    path = tmp_path / "flags.cfg"
    path.write_text(f"# a comment\n{text}# data: portraits:1\n")
    assert preset_from_settings(parse_settings(path.read_text()), path) == PRESETS[name]
    assert from_flags(f"--flagfile={path}") == PRESETS[name]


def test_flags_replace_fields_of_the_preset():
    preset = from_flags(
        "--preset=cifar10",
        "--g_widths=512,128,32",
        "--augment=",
        "--bcr_real=0",
        "--d_batch_norm=false",
        "--total_images=1_000",
    )
    assert preset == dataclasses.replace(
        PRESETS["cifar10"],
        g_widths=(512, 128, 32),
        augment="",
        bcr_real=0.0,
        d_batch_norm=False,
        total_images=1000,
    )


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("g_widths", "96,x", "expected numbers separated by commas"),
        ("g_widths", "96,0", "must be at least 1"),
        ("g_betas", "0.5", "expected 2 numbers"),
        ("d_betas", "0.5,1", "must be in [0, 1)"),
        ("d_out_widths", "1,2,3", "expected 2 numbers"),
        ("batch_size", "4.5", "expected an integer"),
        ("batch_size", "-1", "must be at least 1"),
        ("total_images", "1e400", "expected an integer"),
        ("subset", "0", "must be in (0, 1]"),
        ("ema_decay", "1.5", "must be in [0, 1]"),
        ("r1_gamma", "nan", "must be at least 0"),
        ("seed", "-1", "must be in [0, 4294967295]"),
        ("seed", "4294967296", "must be in [0, 4294967295]"),
        ("d_batch_norm", "maybe", "expected true or false"),
        ("loss", "wgan", "expected one of non_saturating, hinge"),
        ("augment", "color,blur", "expected some of color, translation, cutout,"),
    ],
)
def test_bad_values_name_the_flag(name, text, message):
    with pytest.raises(UserError, match=re.escape(f"{name}={text}: {message}")):
        parse_field(name, text)


@pytest.mark.parametrize(
    "change",
    [
        {"ema_decay": 1.5},
        {"g_betas": (0.5,)},
        {"batch_size": 2.5},
        {"image_size": "32"},
        {"output_head": "pixels"},
    ],
)
def test_a_preset_from_python_is_checked_too(change):
    (name,) = change
    with pytest.raises(UserError, match=f"^{name}="):
        get_preset("tiny", **change)


@pytest.mark.parametrize("text", ["1000000", "1_000_000", "1e6", "1000000.0"])
def test_integers_may_have_an_exponent(text):
    assert parse_field("total_images", text) == 10**6


def test_without_a_preset_every_field_is_needed():
    with pytest.raises(UserError, match=r"preset=.* data, image_size"):
        from_flags("--g_widths=8")
    with pytest.raises(UserError, match=r"flags\.cfg: data is missing"):
        preset_from_settings({}, "flags.cfg")


def test_a_run_of_an_earlier_version_has_the_defaults_of_new_fields():
    preset = get_preset("tiny", ema_decay=0.9)
    settings = parse_settings(flagfile_text(dataclasses.asdict(preset)))
    for name in ("g_attention", "g_norm", "g_mlp_residual", "lee_convolution"):
        del settings[name]
    assert preset_from_settings(settings, "flags.cfg") == preset


def options_from(*arguments):
    values = flags.FlagValues()
    define_option_flags(values)
    values(["program", *arguments])
    return options_from_flags(values)


def test_options_have_flags_with_the_same_defaults():
    assert options_from() == TrainingOptions()
    text = flagfile_text(dataclasses.asdict(TrainingOptions()))
    assert options_from(*text.splitlines()) == TrainingOptions()
    assert options_from("--flip", "--nosync_batch_norm", "--log_images=7") == (
        TrainingOptions(flip=True, sync_batch_norm=False, log_images=7)
    )


def test_a_run_resumes_with_its_own_settings_unless_flags_say_otherwise():
    values = flags.FlagValues()
    define_preset_flags(values)
    define_option_flags(values)
    values(["program", "--total_images=9", "--noflip"])
    preset = get_preset("tiny", g_widths=(8, 8))
    run = TrainingOptions(seed=3, flip=True, log_images=7)
    text = flagfile_text(dataclasses.asdict(preset) | dataclasses.asdict(run))
    settings = parse_settings(text + "--removed_flag=1\n")
    resume_from_settings(values, settings, "flags.cfg")
    assert preset_from_flags(values) == dataclasses.replace(preset, total_images=9)
    assert options_from_flags(values) == dataclasses.replace(run, flip=False)
    values = flags.FlagValues()
    define_option_flags(values)
    values(["program"])
    with pytest.raises(UserError, match=r"flags\.cfg: .*--seed=x: expected an integer"):
        resume_from_settings(values, {"seed": "x"}, "flags.cfg")


@pytest.mark.parametrize(
    ("name", "total_images", "log", "sample", "checkpoint"),
    [
        ("tiny", 480, 16, 96, 96),
        ("tiny", 40_000, 400, 8_000, 8_000),
        ("tiny", 16, 16, 16, 16),
        ("cifar10", 68_000_000, 10_000, 100_000, 100_000),
    ],
)
def test_automatic_intervals_suit_the_run(name, total_images, log, sample, checkpoint):
    preset = get_preset(name, total_images=total_images)
    options = TrainingOptions().automatic_intervals(preset)
    assert options == TrainingOptions(
        log_images=log, sample_images=sample, checkpoint_images=checkpoint
    )
    given = TrainingOptions(log_images=7).automatic_intervals(preset)
    assert given.log_images == 7


@pytest.mark.parametrize(
    "argument",
    [
        "--seed=-1",
        "--log_images=-1",
        "--eval_samples=1",
        "--precision=int8",
        "--flip=x",
    ],
)
def test_bad_options_are_rejected(argument):
    name = argument[2:].partition("=")[0]
    assert name in OPTION_FIELDS
    with pytest.raises(flags.IllegalFlagValueError, match=argument):
        options_from(argument)


@pytest.mark.parametrize(
    ("flags", "resize"),
    [
        (["--preset=celeba64"], "plain"),
        (["--preset=celeba64", "--data=tfds:celeb_a:train[:20%]"], "plain"),
        (["--preset=celeba64", "--data=photos"], ""),
        (["--preset=bedroom256", "--data=photos", "--resize=lsun"], "lsun"),
        (["--preset=ffhq128", "--data=photos"], ""),
    ],
)
def test_the_paper_resize_is_for_the_data_of_the_paper(flags, resize):
    assert from_flags(*flags).resize == resize
