"""Presets and training options as flags and as text."""

import dataclasses

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
        ("g_widths", "96,x", "g_widths=96,x: expected numbers separated by commas"),
        ("g_widths", "96,0", "g_widths=96,0: must be finite and at least 1"),
        ("batch_size", "4.5", "batch_size=4.5: expected an integer"),
        ("batch_size", "-1", "batch_size=-1: must be finite and at least 1"),
        ("r1_gamma", "nan", "r1_gamma=nan: must be finite and at least 0"),
        ("seed", "-1", "seed=-1: must be finite and at least 0"),
        ("d_batch_norm", "maybe", "d_batch_norm=maybe: expected true or false"),
    ],
)
def test_bad_values_name_the_flag(name, text, message):
    with pytest.raises(UserError, match=message):
        parse_field(name, text)


def test_without_a_preset_every_field_is_needed():
    with pytest.raises(
        UserError, match=r"set preset to one of .*, or set data, image_size"
    ):
        from_flags("--g_widths=8")
    with pytest.raises(UserError, match=r"flags\.cfg: data is missing"):
        preset_from_settings({}, "flags.cfg")


def test_a_folder_of_before_the_ablations_has_their_defaults():
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


@pytest.mark.parametrize(
    "argument",
    ["--seed=-1", "--log_images=0", "--fd_samples=1", "--precision=int8", "--flip=x"],
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
