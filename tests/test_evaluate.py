import dataclasses
import json
import shutil
import types
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from absl import flags
from absl.testing import flagsaver
from PIL import Image

from lada_tf import evaluate
from lada_tf.errors import UserError
from lada_tf.evaluation import reference
from lada_tf.models import PRESETS, LadaGAN, get_preset
from lada_tf.sampling import Samples, write_samples
from lada_tf.training.checkpoints import Checkpoints
from lada_tf.training.run_directory import RunDirectory
from tests import runner
from tests.evaluation.fakes import fake_generator
from tests.evaluation.recipes import images
from tests.evaluation.test_onnx_features import save
from tests.small import SMALL


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Runs the app in this process; returns (record, table)."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with flagsaver.flagsaver():
            options = ["--features=small_classifier", "--resamples=0"]
            flags.FLAGS(["evaluate", *options, *arguments])
            evaluate.main()
        out, err = capsys.readouterr()
        records = [json.loads(line) for line in out.splitlines()]
        return records if "--all_checkpoints" in arguments else records[0], err

    return run


@pytest.fixture
def real(tmp_path):
    np.savez(tmp_path / "real.npz", arr_0=images(0, 200, 32))
    return "--real=real.npz"


@pytest.fixture
def run_dir(monkeypatch, tmp_path):
    generator = fake_generator(size=32)

    def load_run(path, best):
        assert (path, best) == (Path("runs/x"), False)
        return types.SimpleNamespace(
            ema_generator=generator, latent_dim=128, images_seen=12_345
        )

    monkeypatch.setattr(evaluate, "load_run", load_run)
    start_run(tmp_path)
    return generator


def start_run(tmp_path, fingerprint="", preset=PRESETS["tiny"], **settings):
    """Write runs/x/flags.cfg."""
    path = tmp_path / "runs" / "x"
    shutil.rmtree(path, ignore_errors=True)
    directory = RunDirectory(path)
    directory.start(preset, settings, fingerprint)
    directory.release_lock()


def test_a_run(run, real, run_dir):
    options = "--num_generated=150", "--seed=4", "--resamples=3"
    record, table = run("--run_dir=runs/x", real, *options)
    assert record["num_generated"] == 150
    assert record["seed"] == 4
    assert record["images_seen"] == 12_345
    assert record["reference"]["num_images"] == 200
    names = "FD", "KID", "KID std", "precision", "recall", "density", "coverage"
    assert list(record["metrics"]) == [f"{name} (small classifier)" for name in names]
    assert "FD (small classifier)" in table
    assert "150 generated images, 200 real images" in table
    assert "over 3 random halves" in table
    assert "prefer KID (small classifier)" in table


@pytest.mark.parametrize(
    "flags", [["--model=runs/x:best"], ["--run_dir=runs/x", "--best"]]
)
def test_the_best_checkpoint_of_a_run(run, run_dir, opened, monkeypatch, flags):
    loaded = []
    monkeypatch.setattr(evaluate, "load_run", lambda *run: loaded.append(run) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(*flags, "--num_generated=9")
    assert loaded == [(Path("runs/x"), True)]


def test_a_model_that_is_not_a_run(run, real, monkeypatch):
    sources = {"hf://user/repo": fake_generator(size=32)}
    monkeypatch.setattr(evaluate, "load_generator", sources.get)
    arguments = "--model=hf://user/repo", "--num_generated=20"
    record, _ = run(*arguments, real)
    assert record["model"] == "hf://user/repo"
    with pytest.raises(UserError, match="real=SOURCE"):  # it names no data
        run(*arguments)


def test_the_spread_over_seeds(run, real, run_dir):
    arguments = ("--run_dir=runs/x", real, "--num_generated=100")
    record, table = run(*arguments, "--seed=5", "--repeats=2")
    singles = [run(*arguments, f"--seed={seed}")[0]["metrics"] for seed in (5, 6)]
    for name, value in record["metrics"].items():
        values = [single[name] for single in singles]
        assert value == pytest.approx(np.mean(values))
        if name in record["spread"]:
            assert record["spread"][name] == pytest.approx(np.std(values, ddof=1))
    assert (record["repeats"], record["spread_of"]) == (2, "2 seeds")
    assert "100 generated images of each of 2 seeds" in table
    assert singles[0] != singles[1]


@pytest.mark.slow  # builds networks
def test_all_checkpoints_of_a_run(run, real, tmp_path):
    preset = get_preset("tiny", **SMALL)
    start_run(tmp_path, preset=preset)
    gan = LadaGAN.from_preset(preset)
    gan.compile()
    saved = Checkpoints(tmp_path / "runs/x/checkpoints", gan, keep=9)
    for images_seen in (4, 8, 12):
        gan.image_counter.assign(images_seen)
        for weight in gan.ema_generator.weights:
            weight.assign(weight * 1.5)
        path = saved.save()
        if images_seen == 8:
            shutil.rmtree(path)
            saved.save_best(1.0)
    np.savez(tmp_path / "real.npz", arr_0=images(0, 60, 32))
    arguments = "--num_generated=50", "--all_checkpoints", "--plot=curve.png"
    records, table = run("--run_dir=runs/x", real, "--resamples=2", *arguments)
    assert [r["images_seen"] for r in records] == [4, 8, 12]
    assert [r["checkpoint"][:5] for r in records] == ["image", "best-", "image"]
    assert len({r["metrics"]["FD (small classifier)"] for r in records}) == 3
    last, _ = run("--run_dir=runs/x", real, "--num_generated=50")
    assert last["metrics"] == records[-1]["metrics"]
    assert table.count("measured") == 3
    assert Image.open("curve.png").width == 1200
    assert not any(tmp_path.glob(".*partial"))


def test_tf32_is_off(run, real, run_dir, monkeypatch):
    rounded = tf.config.experimental.tensor_float_32_execution_enabled
    original, within = evaluate.evaluate_each, []

    def watched(*args, **kwargs):
        within.append(rounded())
        return original(*args, **kwargs)

    monkeypatch.setattr(evaluate, "evaluate_each", watched)
    for before in (True, False):
        tf.config.experimental.enable_tensor_float_32_execution(before)
        run("--run_dir=runs/x", real, "--num_generated=100")
        assert rounded() == before
    assert within == [False, False]


@pytest.mark.parametrize("name", ["samples.npz", "samples"])
def test_a_run_scores_like_the_images_that_sample_writes(run, real, run_dir, name):
    options = real, "--batch_size=100"
    direct, _ = run("--run_dir=runs/x", *options, "--num_generated=100", "--seed=4")
    write_samples(run_dir, Samples.of_seed(4, 100), name, batch_size=100)
    stored, _ = run(f"--images={name}", *options)
    assert direct["metrics"] == stored["metrics"]


def test_features_of_an_onnx_file(run, real, tmp_path):
    onnx_file = save(tmp_path, metadata={"range": "0,1"})  # means of the colors
    np.savez(tmp_path / "a.npz", arr_0=images(1, 150, 32))
    arguments = "--images=a.npz", real, f"--features={onnx_file}"
    record, table = run(*arguments)
    again, _ = run(*arguments, "--features_input=range=0,2")
    distance = record["metrics"]["FD (model)"]
    assert again["metrics"]["FD (model)"] == pytest.approx(4 * distance, rel=1e-3)
    assert "FID" not in table


def test_an_exported_reference_replaces_the_images(run, real, tmp_path):
    np.savez(tmp_path / "a.npz", arr_0=images(1, 150, 32))
    direct, _ = run("--images=a.npz", real, "--export_reference=reference.npz")
    loaded, _ = run("--images=a.npz", "--real=reference.npz")
    assert direct["metrics"] == loaded["metrics"]


@pytest.fixture
def opened(monkeypatch):
    """Collect the arguments that open the real images."""
    calls = []

    def open_source(data, image_size, **options):
        calls.append({"data": data} | options)
        raise UserError("stop")

    monkeypatch.setattr(reference, "open_source", open_source)
    return calls


def test_real_images_are_read_as_the_run_read_them(run, run_dir, opened, tmp_path):
    settings = {
        "on_bad_image": "skip",
        "memory_limit_mb": 7,
        "cache_dir": "/cache",
        "download": True,
    }
    preset = dataclasses.replace(PRESETS["tiny"], data="wide", resize="lsun")
    start_run(tmp_path, "folder:0:32px:lsun:5", preset, **settings)
    with pytest.raises(UserError, match="stop"):
        run("--run_dir=runs/x", "--num_generated=9")
    expected = {
        "data": "wide",
        "resize": "lsun",
        "on_bad_image": "skip",
        # Not the run's: a run of somebody else must not write or download anything.
        "memory_limit": 4096 * 2**20,
        "cache_dir": None,
        "download": False,
    }
    assert opened[0] == expected
    own = {"resize": "pad", "on_bad_image": "error", "cache_dir": "mine"}
    flags = own | {"real": "other", "memory_limit_mb": 8, "download": "false"}
    with pytest.raises(UserError, match="stop"):
        run(
            "--run_dir=runs/x",
            "--num_generated=9",
            *(f"--{k}={v}" for k, v in flags.items()),
        )
    rest = {"data": "other", "memory_limit": 8 * 2**20, "download": False}
    assert opened[1] == own | rest


def test_a_run_cannot_name_data_that_runs_code(run, run_dir, opened, tmp_path):
    start_run(tmp_path, "", dataclasses.replace(PRESETS["tiny"], data="tfds:mine"))
    arguments = "--run_dir=runs/x", "--num_generated=9"
    with pytest.raises(UserError, match="can run code"):
        run(*arguments)
    with pytest.raises(UserError, match="stop"):
        run(*arguments, "--real=other")
    assert [call["data"] for call in opened] == ["other"]


def test_the_default_resize_of_the_run_is_kept(run, run_dir, opened, tmp_path):
    """The fingerprint tells which one it was, also after the default changes."""
    start_run(tmp_path, "folder:0:32px:lsun:5:3@0")
    with pytest.raises(UserError, match="stop"):
        run("--run_dir=runs/x", "--real=wide", "--num_generated=9")
    assert opened[0]["resize"] == "lsun"


def test_a_protocol_fixes_the_real_images(run, run_dir, opened, tmp_path):
    start_run(tmp_path, "folder:0:32px:lsun:5", on_bad_image="skip")
    with pytest.raises(UserError, match="stop"):
        run("--run_dir=runs/x", "--protocol=cifar10_10k")
    (options,) = opened
    assert options["data"] == "tfds:cifar10:test"
    assert options["resize"] == "plain"
    assert options["on_bad_image"] == "skip"


def test_a_cache_that_cannot_be_written_is_not_needed(run, real, run_dir, tmp_path):
    (tmp_path / "file").touch()
    record, _ = run(
        "--run_dir=runs/x", real, "--num_generated=100", "--cache_dir=file/cache"
    )
    assert record["metrics"]


@pytest.mark.parametrize("path", ["reference.txt", "real.npz"])
def test_the_exported_reference_is_checked_before_work(path, run, real, opened):
    with pytest.raises(UserError, match="export_reference="):
        run("--images=absent", real, f"--export_reference={path}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no model given"),
        (["--images=a.npz"], "protocol=NAME, or real=SOURCE"),
        (
            ["--real=real.npz", "--images=a.npz", "--all_checkpoints"],
            "needs a run. Set --model=RUN",
        ),
        (["--real=real.npz", "--images=a.npz", "--plot=a.png"], "--all_checkpoints"),
        (["--run_dir=runs/x", "--all_checkpoints", "--plot=a.gif"], "plot=a.gif"),
        (["--run_dir=runs/x", "--all_checkpoints", "--best"], "leave out --best"),
        (
            ["--run_dir=runs/x", "--all_checkpoints", "--memorization"],
            "leave out --all_checkpoints",
        ),
        (
            ["--real=real.npz", "--images=a.npz", "--run_dir=runs/x"],
            "mutually exclusive",
        ),
    ],
)
def test_mistakes(run, real, run_dir, tmp_path, arguments, message):
    np.savez(tmp_path / "a.npz", arr_0=images(1, 4, 32))
    with pytest.raises(UserError, match=message):
        run(*arguments)


@pytest.mark.slow
def test_a_mistake_ends_the_command_with_2_and_one_line(tmp_path):
    arguments = ("--images=missing", "--real=x", "--features=small_classifier")
    result = runner.run("lada_tf.evaluate", *arguments, directory=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert "error: --images=missing" in result.stderr


def test_real_images_are_resized(run, tmp_path):
    np.savez(tmp_path / "samples.npz", images=images(0, 40, 64))
    arguments = ("--images=samples.npz", "--real=portraits", "--num_real=40")
    with pytest.raises(UserError, match="is 32x32, not 64x64"):
        run(*arguments, "--resize=unchanged")
    for resize in ("pad", "center_crop"):
        record, _ = run(*arguments, f"--resize={resize}")
        assert record["reference"]["num_images"] == 40
        assert f":{resize}:" in record["reference"]["source"]


def test_memorization_of_images(run, real, tmp_path):
    copies = np.concatenate([images(0, 200, 32)[:10], images(1, 40, 32)])
    np.savez(tmp_path / "a.npz", arr_0=copies)
    np.savez(tmp_path / "held_out.npz", arr_0=images(2, 60, 32))
    arguments = "--images=a.npz", real, "--memorization", "--held_out=held_out.npz"
    record, text = run(*arguments)
    found = record["memorization"]
    assert (found["exact_copies"], found["near_copies"]) == (10, 0)
    assert (found["num_generated"], found["num_training"]) == (50, 200)
    assert found["held_out"]["num_images"] == 60
    assert "Near copies: none found by this test" in text
    assert "memorization.png" in text
    assert "memorization.csv" in text
    assert len((tmp_path / "memorization.csv").read_text().splitlines()) == 51
    again, _ = run(*arguments)  # replaces the picture of the same name
    assert again["memorization"] == found


def test_memorization_of_a_run_is_about_its_own_data(run, real, run_dir, tmp_path):
    np.savez(tmp_path / "own.npz", arr_0=images(3, 70, 32))
    preset = dataclasses.replace(PRESETS["tiny"], data=str(tmp_path / "own.npz"))
    start_run(tmp_path, preset=preset)
    flags = "--num_generated=40", "--memorization", "--memorization_picture=p.png"
    record, _ = run("--run_dir=runs/x", real, *flags)
    assert record["reference"]["num_images"] == 200
    assert record["memorization"]["num_training"] == 70
    assert (tmp_path / "p.png").exists()
    with pytest.raises(UserError, match="memorization_picture=p"):
        run("--run_dir=runs/x", real, *flags)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--real=reference.npz"], "memorization needs the training images"),
        (["--real=real.npz", "--held_out=none"], "held_out=none: not found"),
        (["--real=real.npz", "--memorization_picture=p.jpg"], "expected .png"),
    ],
)
def test_memorization_needs_images(run, real, tmp_path, arguments, message):
    np.savez(tmp_path / "a.npz", arr_0=images(1, 150, 32))
    run("--images=a.npz", real, "--export_reference=reference.npz")
    with pytest.raises(UserError, match=message):
        run("--images=a.npz", "--memorization", *arguments)
