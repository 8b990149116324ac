"""The export command: model files, model cards, the Hub's layout, mistakes."""

import keras
import numpy as np
import pytest
from huggingface_hub import ModelCard as HubCard

from lada_tf import LadaGAN
from lada_tf.serving import load_exported
from tests import other_backends, runner
from tests.small import assert_equal

LATENTS = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)


def run(*arguments):
    return runner.run("lada_tf.export", *arguments)


@pytest.mark.slow
def test_a_model_and_its_card(run_dir, tmp_path):
    output = tmp_path / "generator.onnx"
    evaluation = tmp_path / "evaluation.json"
    evaluation.write_text('{"metrics": {"FD (small classifier)": 1.25}, "seed": 3}\n')
    result = run(
        f"--run_dir={run_dir}",
        f"--output={output}",
        "--format=onnx",
        f"--evaluation={evaluation}",
    )
    assert result.returncode == 0, result.stderr
    assert "largest pixel error" in result.stdout
    assert load_exported(output).image_size == 32
    card = (tmp_path / "generator.onnx.md").read_text("utf-8")
    assert "$" not in card  # placeholders
    for text in (
        'license: "apache-2.0"',
        "portraits:0123:32px",
        "Preset: custom",
        "Images seen: 0",
        "FD (small classifier): 1.25",
        '"seed": 3',
        "Limits",
        "| latent_dim | 6 |",
    ):
        assert text in card


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format=onnx", "--jit_compile"], "--jit_compile"),
        (["--format=onnx", "--hub_layout"], "--hub_layout"),
        (["--format=tfjs"], "--format=tfjs"),
        (["--evaluation=absent.json"], "evaluation=absent.json"),
        (["--run_dir=absent"], "absent: no such model"),
        (["--best"], "best checkpoint"),
    ],
)
def test_mistakes_exit_with_2_and_one_line(arguments, message, run_dir, tmp_path):
    output = f"--output={tmp_path / 'model'}"
    result = run(f"--run_dir={run_dir}", output, *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def exported(run_dir, tmp_path_factory):
    path = tmp_path_factory.mktemp("hub") / "small"
    runner.succeed(
        "lada_tf.export", f"--run_dir={run_dir}", "--hub_layout", f"--output={path}"
    )
    return path


@pytest.mark.slow
def test_the_hub_layout_restores_both_networks(exported, gan):
    again = LadaGAN.from_pretrained(exported)
    unnamed = {"name": None}  # Keras numbers the models in a process
    assert again.get_config() | unnamed == gan.get_config() | unnamed
    assert again.images_seen == gan.images_seen
    for network in ("ema_generator", "discriminator"):
        assert_equal(getattr(again, network).weights, getattr(gan, network).weights)
    assert_equal(again.generator.weights, gan.ema_generator.weights)
    again.compile()
    again.train_on_batch(np.zeros((4, 32, 32, 3), np.float32))
    assert again.images_seen == gan.images_seen + 4


@pytest.mark.slow
def test_a_model_that_is_not_a_run(exported, generator, tmp_path):
    output = tmp_path / "again.keras"
    result = run(f"--model={exported}", "--format=keras", f"--output={output}")
    assert result.returncode == 0, result.stderr
    np.testing.assert_array_equal(load_exported(output)(LATENTS), generator(LATENTS))
    assert "Data: not recorded" in (tmp_path / "again.keras.md").read_text("utf-8")


@pytest.mark.slow
def test_the_hub_reads_the_card(exported):
    names = {path.name for path in exported.iterdir()}
    assert names == {
        "README.md",
        "config.json",
        "discriminator.weights.h5",
        "model.weights.h5",
    }
    card = HubCard.load(exported / "README.md")
    assert card.data.license == "apache-2.0"
    assert card.data.pipeline_tag == "unconditional-image-generation"
    assert card.data.library_name == "lada_tf"
    assert 'LadaGAN.from_pretrained("USER/REPO")' in card.text


SAMPLE = """
import keras, lada_tf, numpy as np
file, latents, output = sys.argv[1:]
images = keras.saving.load_model(file).predict(np.load(latents), verbose=0)
np.save(output, images)
"""


@pytest.mark.slow
@other_backends.each_backend
def test_the_generator_runs_on_another_backend(backend, exported, tmp_path):
    np.save(tmp_path / "latents.npy", LATENTS)
    paths = [exported, tmp_path / "latents.npy", tmp_path / "x.npy"]
    other_backends.run(backend, SAMPLE, *paths)
    expected = keras.saving.load_model(paths[0])(LATENTS)
    np.testing.assert_allclose(np.load(paths[2]), expected, rtol=0, atol=1e-5)
