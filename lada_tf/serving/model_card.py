"""Model card: what a generator was trained on, how good it is, and its limits."""

import dataclasses
import json
import os
import re
import string
from importlib import resources
from pathlib import Path
from typing import Any

from absl import logging

import lada_tf
from lada_tf.errors import UserError
from lada_tf.evaluation.metrics import DEVIATION
from lada_tf.evaluation.reporting import format_memorization
from lada_tf.io import read_text
from lada_tf.models import PRESETS, LadaGAN
from lada_tf.models.networks import make_networks
from lada_tf.models.presets import HYPERPARAMETERS, Preset
from lada_tf.training.lineage import describe_origin
from lada_tf.training.run_directory import RunDirectory, read_metrics

UNKNOWN = "not recorded"
# Named data sets: identifier and text of the license, and id of the data on the Hub.
DATA = {
    "portraits": ("apache-2.0", "Apache-2.0 (images of Noto emoji)", None),
    "fashion_mnist": ("mit", "MIT", "zalando-datasets/fashion_mnist"),
    "tfds:cifar10": ("unknown", "none stated by its authors", "uoft-cs/cifar10"),
    "tfds:celeb_a": ("other", "non-commercial research only", None),
    "tfds:lsun/bedroom": ("unknown", "none stated by its authors", None),
}
# Examples by format, and for the Hub. They run in the directory of the files.
_LATENTS = """\
random = np.random.default_rng(0)
latents = random.standard_normal((16, $latent_dim), "float32")"""
_KERAS = f"""```python
import keras, lada_tf  # any Keras backend
import numpy as np

{_LATENTS}
generator = keras.saving.load_model("$file")
images = generator(latents)  # in about [-1, 1]
```"""
USAGES = {
    "savedmodel": f"""```python
import numpy as np
import tensorflow as tf

{_LATENTS}
generate = tf.saved_model.load(".").signatures["serving_default"]
images = generate(latents=tf.constant(latents))["images"]  # uint8
```""",
    "keras": _KERAS,
    "onnx": f"""```python
import numpy as np
import onnxruntime

{_LATENTS}
session = onnxruntime.InferenceSession("$file")
(images,) = session.run(["images"], {{"latents": latents}})  # in about [-1, 1]
```""",
    "web": """```sh
python -m http.server  # then open http://localhost:8000
```""",
    "litert": f"""```python
import numpy as np
from ai_edge_litert.interpreter import Interpreter

{_LATENTS}
interpreter = Interpreter("$file")
outputs = interpreter.get_signature_runner()(latents=latents)
images = outputs["images"]  # in about [-1, 1]
```""",
    "hub": f"""```python
import lada_tf  # pip install 'lada_tf[hub]'

gan = lada_tf.LadaGAN.from_pretrained("$repo_id")  # or a directory with the files
images = gan.generate(seed=0, num_images=16)  # uint8
```

Keras on TensorFlow, JAX or PyTorch loads the generator alone:

{_KERAS.replace("$file", "hf://$repo_id")}""",
}
# Metrics, how they were computed, and the text on memorization.
NOT_EVALUATED: tuple[dict[str, str], str, str] = (
    {},
    "To add metrics, write the JSON line of `lada-tf evaluate` to a file and export "
    "again with `--evaluation=FILE`.",
    "",
)


def describe_run(
    run_dir: str | os.PathLike,
    gan: LadaGAN,
    evaluation: str | os.PathLike | None = None,
    data_license: str | None = None,
) -> str:
    """Return the model card of a run, with front matter for the Hugging Face Hub.

    Args:
        run_dir: path of the run directory.
        gan: the `LadaGAN` loaded from it.
        evaluation: path of a file with the JSON line of `lada_tf.evaluate`. By default,
            the card has the last distances measured during training.
        data_license: license of the training data, if it is not a named data set.

    Returns:
        Markdown with the placeholders `$usage` and `$fidelity`, which `complete_card`
        replaces.

    Raises:
        UserError: if the evaluation cannot be read.
    """
    run = RunDirectory(run_dir)
    preset = run.read_preset()
    # Cards are published: do not include the directories of a local path.
    data = preset.data if preset.data in DATA else Path(preset.data).name
    settings = dataclasses.asdict(preset) | {"data": data}
    fingerprint = run.read_setting("data fingerprint", UNKNOWN)
    base_model, origin = describe_origin(run)
    return _card(
        gan,
        _read_evaluation(evaluation) if evaluation else _read_log(run, gan),
        data,
        data_license,
        data_text=f"{data} ({fingerprint})",
        preset_text=_preset_name(preset) + (f"\n- {origin}" if origin else ""),
        settings=settings,
        base_model=base_model,
    )


def describe_model(
    gan: LadaGAN,
    evaluation: str | os.PathLike | None = None,
    data_license: str | None = None,
) -> str:
    """Return the model card of a `LadaGAN`, see `describe_run`.

    The card describes the run that the model was loaded from. If there is no run, or
    the model was trained after loading, the card has only what the model itself knows.
    If the run cannot be read anymore, a warning is logged.

    Args:
        gan: the model.
        evaluation, data_license: see `describe_run`.

    Raises:
        UserError: if the evaluation cannot be read.
    """
    results = _read_evaluation(evaluation) if evaluation else NOT_EVALUATED
    if gan.origin and gan.origin[1] == gan.images_seen:
        try:
            return describe_run(gan.origin[0], gan, evaluation, data_license)
        except UserError as error:  # it was deleted, or names code to import
            logging.warning("the model card does not describe the run: %s", error)
    return _card(
        gan,
        results,
        UNKNOWN,
        data_license,
        data_text=UNKNOWN,
        preset_text=UNKNOWN,
        settings={name: getattr(gan, name) for name in HYPERPARAMETERS},
    )


def complete_card(card: str, usage: str, fidelity: str, **names: str) -> str:
    """Replace the placeholders of a card.

    Args:
        card: see `describe_run`. A user's own card can contain formulas with `$`.
        usage: a key of `USAGES`.
        fidelity: sentence on how exactly the files store the model.
        **names: values for the placeholders in the example.
    """
    example = string.Template(USAGES[usage]).substitute(names)
    return card.replace("$usage", example).replace("$fidelity", fidelity)


def _card(
    gan: LadaGAN,
    evaluation: tuple[dict, str, str],
    data: str,
    data_license: str | None,
    *,
    data_text: str,
    preset_text: str,
    settings: dict[str, Any],
    base_model: str = "",
) -> str:
    metrics, metrics_source, memorization = evaluation
    license_id, license_text, dataset_id = DATA.get(data, ("other", UNKNOWN, None))
    if data_license:
        license_id, license_text = data_license.lower(), data_license
    size = gan.image_size
    title = ", ".join(n for n in ("LadaGAN", data, f"{size}×{size}") if n != UNKNOWN)
    template = resources.files("lada_tf.serving").joinpath("model_card.md")
    return string.Template(template.read_text("utf-8")).safe_substitute(
        metadata=_metadata(title, license_id, base_model, data, dataset_id, metrics),
        title=title,
        data=data_text,
        license_text=license_text,
        preset=preset_text,
        latent_dim=gan.latent_dim,
        images_seen=f"{gan.images_seen:,}",
        version=lada_tf.__version__,
        metrics="\n".join(f"- {n}: {v}" for n, v in metrics.items())
        or "None measured.",
        metrics_source=metrics_source,
        memorization=memorization
        or "Not tested. To test, run `lada-tf evaluate --memorization`.",
        settings="\n".join(f"| {k} | {json.dumps(v)} |" for k, v in settings.items()),
    )


def _metadata(
    title: str,
    license_id: str,
    base_model: str,
    data: str,
    dataset_id: str | None,
    metrics: dict[str, str],
) -> str:
    """Return the card's front matter: YAML with JSON values."""
    metadata: dict[str, Any] = {
        # Not "keras": the Hub's example for Keras does not import lada_tf, and fails.
        "library_name": "lada_tf",
        "pipeline_tag": "unconditional-image-generation",
        "license": license_id,
        "tags": ["lada_tf", "gan", "ladagan", "linear-attention"],
    }
    if base_model:
        metadata["base_model"] = base_model
    if dataset_id:
        metadata["datasets"] = [dataset_id]
    results = [
        {
            "type": re.sub(r"\W+", "_", name.lower()).strip("_"),
            "name": name,
            "value": float(value.split()[0]),
        }
        for name, value in metrics.items()
        if DEVIATION not in name
    ]
    if results:
        result = {
            "task": {"type": "unconditional-image-generation"},
            "dataset": {"type": dataset_id or data, "name": data},
            "metrics": results,
        }
        metadata["model-index"] = [{"name": title, "results": [result]}]
    lines = (f"{k}: {json.dumps(v, ensure_ascii=False)}" for k, v in metadata.items())
    return "\n".join(lines)


def _preset_name(preset: Preset) -> str:
    """Return the preset with the same networks, and the settings that differ."""

    def networks(preset: Preset) -> list[dict]:
        return [network.get_config() for network in make_networks(preset)]

    settings, ours = dataclasses.asdict(preset), networks(preset)
    changes = {}
    for name, other in PRESETS.items():
        if networks(other) == ours:
            default = dataclasses.asdict(other) | {"data": preset.data}
            default["resize"] = other.resize or preset.resize  # the default of the data
            changes[name] = [key for key in settings if settings[key] != default[key]]
    if not changes:
        return "custom"
    name = min(changes, key=lambda name: len(changes[name]))
    return ", with other ".join(filter(None, (name, ", ".join(changes[name]))))


def _read_evaluation(path: str | os.PathLike) -> tuple[dict, str, str]:
    """Return the metrics, how they were computed, and the text on memorization."""
    try:
        record = json.loads(read_text(path).strip().splitlines()[-1])
        metrics = {n: f"{float(v):.4g}" for n, v in record["metrics"].items()}
        for name, deviation in (record.get("spread") or {}).items():
            metrics[name] += f" ± {deviation:.2g}"
        memorization = record.get("memorization")
        text = format_memorization(memorization) if memorization else ""
        record.pop("memorization", None)
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise UserError(
            f"evaluation={path}: cannot be read ({error}). Expected the JSON line of "
            "`lada-tf evaluate`"
        ) from error
    return metrics, f"Computed by `lada-tf evaluate`: `{json.dumps(record)}`", text


def _read_log(run: RunDirectory, gan: LadaGAN) -> tuple[dict, str, str]:
    """Return the last distances logged, like `_read_evaluation`."""
    for record in reversed(read_metrics(run.metrics_file)):
        names = [n for n in record if n.startswith(("FID", "FD", "KID"))]
        metrics = {name: f"{record[name]:.4g}" for name in names}
        if metrics and record["images"] <= gan.images_seen:
            samples = run.read_setting("eval_samples", UNKNOWN)
            source = (
                f"Measured during training at {record['images']:,} images seen, with "
                f"{samples} generated images against the training data."
            )
            return metrics, source, ""
    return NOT_EVALUATED
