"""Exports match their generator in every format; a failed export leaves no files."""

import functools
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from lada_tf.errors import ExportFailed, UserError
from lada_tf.serving import FORMATS, export_generator, exporting, load_exported
from lada_tf.serving.comparison import Comparison
from tests.docs.pages import run_python_blocks

PAIRS = [(name, p) for name, form in FORMATS.items() for p in form.precisions]
# Of pixels in [-1, 1]. float16 weights have 11 bits; int8 and bfloat16 matmuls 8. With
# ICNR, rounding errors of a token are equal in its four sub-pixels and do not cancel.
MAX_ERROR = {"float32": 1e-5, "bfloat16": 0.1, "float16": 2e-2, "int8": 0.5}


@pytest.mark.slow
@pytest.mark.parametrize(("format", "precision"), PAIRS)
def test_an_export_matches_its_generator(format, precision, generator, tmp_path):
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


@pytest.mark.slow
@pytest.mark.parametrize("format", sorted(set(FORMATS) - {"web"}))
def test_the_example_of_a_card_runs_where_the_files_are(
    format, generator, tmp_path, monkeypatch
):
    output = tmp_path / f"faces{FORMATS[format].suffix}"
    export_generator(generator, output, format, card="$usage\n")
    in_directory = output.is_dir()
    card = output / "README.md" if in_directory else Path(f"{output}.md")
    monkeypatch.chdir(card.parent)
    (variables,) = run_python_blocks(card.read_text("utf-8"))
    assert variables["images"].shape == (16, 32, 32, 3)


@pytest.mark.slow
def test_a_file_and_its_card(generator, tmp_path):
    output = tmp_path / "new" / "generator.keras"
    export_generator(generator, output, "keras", card="$usage\n$fidelity\n$1")
    assert {p.name for p in output.parent.iterdir()} == {
        "generator.keras",
        "generator.keras.md",
    }
    card = Path(f"{output}.md").read_text("utf-8")
    assert 'load_model("generator.keras")' in card
    assert "The weights are float32" in card
    assert card.endswith("$1")


@pytest.mark.slow
def test_inaccurate_models_are_not_exported(generator, tmp_path, monkeypatch):
    convert = exporting._convert

    def convert_another(generator, *rest):
        other = type(generator).from_config(generator.get_config())
        other.build()
        convert(other, *rest)

    monkeypatch.setattr(exporting, "_convert", convert_another)
    with pytest.raises(ExportFailed, match="pixel error"):
        export_generator(generator, tmp_path / "model", "onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_models_are_compared_without_tf32(generator, tmp_path, monkeypatch):
    load, seen = exporting.load_exported, []

    def load_watched(path):
        model = load(path)

        def watched(*args, **kwargs):
            seen.append(tf.config.experimental.tensor_float_32_execution_enabled())
            return model(*args, **kwargs)

        return watched

    monkeypatch.setattr(exporting, "load_exported", load_watched)
    tf.config.experimental.enable_tensor_float_32_execution(True)
    export_generator(generator, tmp_path / "model", "keras")
    tf.config.experimental.enable_tensor_float_32_execution(False)
    assert seen
    assert not any(seen)


def test_invalid_files_are_not_exported(generator, tmp_path, monkeypatch):
    def write_garbage(generator, path, *rest):
        path.write_bytes(b"garbage")

    monkeypatch.setattr(exporting, "_convert", write_garbage)
    for format in ("onnx", "litert", "keras", "savedmodel"):
        with pytest.raises(ExportFailed, match="cannot be loaded"):
            export_generator(generator, tmp_path / "model", format)
    assert not list(tmp_path.iterdir())


CARD = f"$usage\n{exporting.CARD_MARK} 1"


@pytest.fixture
def export(generator, monkeypatch):
    """Export files that contain their format's name, without loading them."""

    def convert(generator, path, format, *rest):
        path.write_text(format, "utf-8")

    comparison = Comparison(0, 0, 0, 1)
    monkeypatch.setattr(exporting, "_convert", convert)
    monkeypatch.setattr(exporting, "load_exported", lambda path: None)
    monkeypatch.setattr(exporting, "compare", lambda *args, **kwargs: comparison)
    return functools.partial(export_generator, generator, card=CARD)


def test_each_file_has_its_own_card(export, tmp_path):
    files = {"c10.onnx": "onnx", "c10.tflite": "litert", "c10.KERAS": "keras"}
    for name, format in files.items():
        export(tmp_path / name, format)
    cards = {f"{name}.md" for name in files}
    assert {path.name for path in tmp_path.iterdir()} == set(files) | cards
    assert "onnxruntime" in (tmp_path / "c10.onnx.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("output", "format"), [("model", "savedmodel"), ("x.onnx", "onnx")]
)
def test_existing_exports_are_replaced_only_on_request(
    output, format, export, tmp_path
):
    output = tmp_path / output
    export(output, format)
    with pytest.raises(UserError, match=f"output={output}: already exists"):
        export(output, format)
    export(output, format, overwrite=True)
    notes = tmp_path / "notes"
    notes.write_text("mine", "utf-8")
    export(output, format, overwrite=True)
    assert notes.read_text("utf-8") == "mine"


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("output", "format", "card"),
    [
        ("model", "savedmodel", "model/README.md"),
        ("x.keras", "keras", "x.keras.md"),
    ],
)
def test_files_of_the_user_are_never_replaced(
    overwrite, output, format, card, export, tmp_path
):
    (tmp_path / "model").mkdir()
    for path in (card, "x.md"):
        (tmp_path / path).write_text("mine", "utf-8")
    with pytest.raises(UserError, match=f"output={tmp_path / output}: "):
        export(tmp_path / output, format, overwrite=overwrite)
    for path in (card, "x.md"):
        assert (tmp_path / path).read_text("utf-8") == "mine"


@pytest.mark.parametrize(
    ("name", "format"),
    [("x.h5", "keras"), ("x.tflite", "onnx"), ("x.pb", "savedmodel")],
)
def test_endings_of_other_formats_are_refused(name, format, export, tmp_path):
    with pytest.raises(UserError, match=f"{name}: expected"):
        export(tmp_path / name, format)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["model", "model.keras"])
def test_leftovers_of_killed_exports_are_removed(name, export, tmp_path):
    """Leftovers of an export to a longer name are kept."""
    left = tmp_path / f".{name}.0123456789ab.partial"
    (left / "variables").mkdir(parents=True)
    (tmp_path / f".{name}.md.0123456789ab.partial").write_text("")
    (tmp_path / f".{name}.tmp_name.partial").mkdir()
    others = {f".{name}.onnx.0123456789ab.partial", ".other.0123456789ab.partial"}
    for other in others:
        (tmp_path / other).mkdir()
    export(tmp_path / name, "keras")
    names = {path.name for path in tmp_path.iterdir()}
    assert names - {name, f"{name}.md"} == others


def test_a_card_that_a_killed_export_left_is_replaced(export, tmp_path):
    export(tmp_path / "model.keras", "keras")
    (tmp_path / "model.keras").unlink()  # the card is moved into place first
    export(tmp_path / "model.keras", "keras")
    assert (tmp_path / "model.keras").exists()


def test_a_model_of_another_format_is_replaced(export, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_text("stale")
    (tmp_path / "model" / "notes.txt").write_text("mine")
    export(tmp_path / "model", "keras", overwrite=True)
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert {"generator.keras", "notes.txt"} <= names
    assert "saved_model.pb" not in names
