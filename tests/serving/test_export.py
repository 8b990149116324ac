"""Every format is the generator it was made from; a failed export leaves nothing."""

import numpy as np
import pytest
import tensorflow as tf

from lada_tf.errors import ExportFailed, UserError
from lada_tf.models.networks import networks
from lada_tf.models.presets import get_preset
from lada_tf.serving import FORMATS, export_generator, exporting, load_exported
from lada_tf.serving.litert_file import write_litert
from lada_tf.serving.onnx_file import write_onnx
from tests import runner

PAIRS = [(name, p) for name, form in FORMATS.items() for p in form.precisions]
# Images are about [-1, 1]. Weights have 11 bits in float16; products 8 in the others.
MAX_ERROR = {"float32": 1e-5, "bfloat16": 5e-2, "float16": 2e-2, "int8": 0.5}


@pytest.mark.parametrize(("format", "precision"), PAIRS)
def test_is_the_generator(format, precision, generator, tmp_path):
    comparison = export_generator(generator, tmp_path / "model", format, precision)
    assert comparison.max_error < MAX_ERROR[precision]
    assert (comparison.distance is None) == (precision == "float32")
    assert [p.name for p in tmp_path.iterdir()] == ["model"]

    model = load_exported(tmp_path / "model")
    assert (model.latent_dim, model.image_size) == (6, 32)
    random = np.random.default_rng(1)
    for batch in (1, 3, 3):
        latents = random.standard_normal((batch, 6))
        images, maps = model(latents, return_attention_maps=True)
        expected, expected_maps = generator(latents, return_attention_maps=True)
        assert images.dtype == np.float32
        np.testing.assert_allclose(images, expected, atol=MAX_ERROR[precision])
        for stage, other in zip(maps, expected_maps, strict=True):
            np.testing.assert_allclose(stage, other, atol=MAX_ERROR[precision])


def test_lower_precision_is_a_smaller_file(tmp_path):
    generator, _ = networks(get_preset("tiny"))
    generator.build()
    megabytes = {}
    for write, precision in (
        (write_onnx, "float32"),
        (write_onnx, "float16"),
        (write_litert, "float16"),
        (write_litert, "int8"),
    ):
        write(generator, tmp_path / "file", precision)
        size = (tmp_path / "file").stat().st_size / 1e6
        megabytes[write.__name__, precision] = size
    weights = sum(w.numpy().size for w in generator.weights) / 1e6
    for (_, precision), size in megabytes.items():
        bytes_each = {"float32": 4, "float16": 2, "int8": 1}[precision]
        # The graph, and with int8 the position embeddings, which stay float32.
        assert size < 1.05 * bytes_each * weights + 0.3


def test_a_model_that_differs_is_no_export(generator, tmp_path, monkeypatch):
    write = exporting._write

    def write_another(generator, *rest):
        other = type(generator).from_config(generator.get_config())
        other.build()
        write(other, *rest)

    monkeypatch.setattr(exporting, "_write", write_another)
    with pytest.raises(ExportFailed, match="images differ from Keras' by"):
        export_generator(generator, tmp_path / "model", "onnx")
    assert not list(tmp_path.iterdir())


def test_it_is_compared_in_float32_on_gpus_too(generator, tmp_path, monkeypatch):
    load, within = exporting.load_exported, []

    def load_watched(folder):
        model = load(folder)

        def watched(*args, **kwargs):
            within.append(tf.config.experimental.tensor_float_32_execution_enabled())
            return model(*args, **kwargs)

        return watched

    monkeypatch.setattr(exporting, "load_exported", load_watched)
    tf.config.experimental.enable_tensor_float_32_execution(True)
    export_generator(generator, tmp_path / "model", "keras")
    tf.config.experimental.enable_tensor_float_32_execution(False)
    assert within
    assert not any(within)


def test_an_invalid_file_is_no_export(generator, tmp_path, monkeypatch):
    def write_garbage(generator, path, *rest):
        path.write_bytes(b"garbage")

    monkeypatch.setattr(exporting, "_write", write_garbage)
    for format in ("onnx", "litert", "keras", "savedmodel"):
        with pytest.raises(ExportFailed, match="cannot be loaded"):
            export_generator(generator, tmp_path / "model", format)
    assert not list(tmp_path.iterdir())


def test_what_is_there_stays(generator, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        export_generator(generator, tmp_path / "model")
    assert (tmp_path / "model" / "notes.txt").read_text() == "mine"


def test_nothing_to_load(tmp_path):
    with pytest.raises(UserError, match="no exported model there"):
        load_exported(tmp_path)


def run(*arguments):
    return runner.run("lada_tf.export", *arguments)


def test_the_command_writes_a_model_and_its_card(run_dir, tmp_path):
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
    card = output.with_suffix(".md").read_text()
    for text in (
        "license: apache-2.0",
        "portraits:0123:32px",
        "Preset: custom",
        "Images seen: 0",
        "FD (small classifier): 1.25",
        '"seed": 3',
        "commit ",
        "Limits",
        "| latent_dim | 6 |",
    ):
        assert text in card


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format=onnx", "--precision=int8"], "--format=onnx has float32, float16"),
        (
            ["--format=onnx", "--output=x.tflite"],
            "the ending is that of another format",
        ),
        (
            ["--format=onnx", "--jit_compile"],
            "--jit_compile is for --format=savedmodel",
        ),
        (["--format=tfjs"], "--format=tfjs: value should be one of"),
        (["--evaluation=absent.json"], "--evaluation=absent.json"),
        (["--run_dir=absent"], "--run_dir=absent: no run there"),
        (["--best"], "no best checkpoint there yet"),
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
