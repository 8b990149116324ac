"""The model card: what a generator was made of, how good it is, and its limits."""

import dataclasses
import json
import subprocess
from pathlib import Path

import lada_tf
from lada_tf.errors import UserError
from lada_tf.models import LadaGAN
from lada_tf.models.presets import PRESETS
from lada_tf.training.run_directory import RunDirectory

CARD = "README.md"
UNKNOWN = "not recorded"
# Licences of the data sets that have a name here: (identifier, words).
LICENCES = {
    "portraits": ("apache-2.0", "Apache-2.0 (images of Noto emoji)"),
    "fashion_mnist": ("mit", "MIT"),
    "tfds:cifar10": ("unknown", "none stated by its authors"),
    "tfds:celeb_a": ("other", "non-commercial research only"),
    "tfds:lsun/bedroom": ("unknown", "none stated by its authors"),
}
CITATION = "https://arxiv.org/abs/2401.09596"
TITLE = "LadaGAN"


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """What the card says, but for the exported file itself.

    Attributes:
        data: the data set's name or path, as training was told.
        fingerprint: of the images that training saw.
        licence: of the data: an identifier of Hugging Face's list, and words.
        preset: its name, or `"custom"`.
        images_seen: real images, repetitions counted.
        settings: every setting of the run, by name.
        metrics: by name.
        metrics_made: how the metrics were made.
        commit: of the code that exported.
    """

    data: str
    fingerprint: str
    licence: tuple[str, str]
    preset: str
    images_seen: int
    image_size: int
    settings: dict
    metrics: dict[str, float]
    metrics_made: str
    commit: str


def describe(run_dir, gan: LadaGAN, evaluation=None, data_licence=None) -> ModelCard:
    """The card of a run.

    Args:
        run_dir: path of the run folder.
        gan: the `LadaGAN` loaded from it.
        evaluation: path of a file with the JSON line of `lada_tf.evaluate`. Without it,
            the Fréchet distance that training measured, if it did, stands in the card.
        data_licence: str, licence of the training data, where the card cannot know it.

    Raises:
        UserError: if the evaluation cannot be read.
    """
    folder = RunDirectory(run_dir)
    preset = folder.read_preset()
    names = [name for name, other in PRESETS.items() if other == preset]
    licence = LICENCES.get(preset.data, ("other", UNKNOWN))
    if data_licence:
        licence = (data_licence.lower(), data_licence)
    metrics, made = (
        _read_evaluation(Path(evaluation)) if evaluation else _read_log(folder, gan)
    )
    # A card is published: a path tells of the machine that it was trained on.
    data = preset.data if preset.data in LICENCES else Path(preset.data).name
    return ModelCard(
        data=data,
        fingerprint=folder.read_setting("data fingerprint", UNKNOWN),
        licence=licence,
        preset=names[0] if names else "custom",
        images_seen=gan.images_seen,
        image_size=preset.image_size,
        settings=dataclasses.asdict(preset) | {"data": data},
        metrics=metrics,
        metrics_made=made,
        commit=_commit(),
    )


def card_text(card: ModelCard, usage: str, fidelity: str) -> str:
    """The card as Markdown, with the front matter of Hugging Face's Hub.

    Args:
        card: what it is to say.
        usage: Markdown, how the exported files are used.
        fidelity: how they compare with Keras.
    """
    identifier, licence = card.licence
    settings = "\n".join(
        f"| {name} | {json.dumps(value)} |" for name, value in card.settings.items()
    )
    metrics = "\n".join(f"- {name}: {v:.4g}" for name, v in card.metrics.items())
    return f"""---
library_name: keras
pipeline_tag: unconditional-image-generation
license: {identifier}
tags:
- gan
- ladagan
- linear-attention
---

# {TITLE}, {card.data}, {card.image_size}×{card.image_size}

The averaged (EMA) generator of a LadaGAN: latents of {card.settings["latent_dim"]}
standard normal numbers to RGB images. [The paper]({CITATION}).

## Use

{usage}

{fidelity}

## Training

- Data: {card.data} ({card.fingerprint})
- Licence of the data: {licence}
- Preset: {card.preset}
- Images seen: {card.images_seen:,}
- Exported by: lada_tf {lada_tf.__version__}, commit {card.commit}

## Metrics

{metrics or "None measured."}

{card.metrics_made}

## Limits

- It makes images like those it learned from, at one size, without a condition. What
  the data lacks or misrepresents, the images lack or misrepresent too.
- A small data set can be memorized: look for the nearest training images before you
  call an image new.
- Images of people that do not exist can deceive: say that they are generated.
- A Fréchet distance over features other than the 2015 Inception graph's is no FID, and
  distances of different numbers of images are not comparable.

## Settings

| setting | value |
|---|---|
{settings}
"""


def _read_evaluation(path: Path) -> tuple[dict, str]:
    try:
        record = json.loads(path.read_text().strip().splitlines()[-1])
        metrics = {name: float(value) for name, value in record["metrics"].items()}
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise UserError(
            f"--evaluation={path}: no JSON line of lada_tf.evaluate ({error})"
        ) from error
    return metrics, f"Made by `lada_tf.evaluate`: `{json.dumps(record)}`"


def _read_log(folder: RunDirectory, gan: LadaGAN) -> tuple[dict, str]:
    """The last distance that training measured up to the images seen."""
    if folder.metrics_file.exists():
        for text in reversed(folder.metrics_file.read_text().splitlines()):
            line = json.loads(text)
            found = {name: v for name, v in line.items() if name.startswith("FD")}
            if found and line["images"] <= gan.images_seen:
                samples = folder.read_setting("fd_samples", UNKNOWN)
                return found, (
                    f"Measured during training at {line['images']:,} images, "
                    f"{samples} generated images against the training data."
                )
    return {}, "`lada_tf.evaluate` measures; `--evaluation` puts its result here."


def _commit() -> str:
    """Of the checkout that this code runs from, if it is one."""
    folder = Path(__file__).parent
    try:
        result = subprocess.run(
            ["git", "-C", folder, "describe", "--always", "--dirty", "--abbrev=40"],
            capture_output=True,
            text=True,
        )
    except OSError:  # no git
        return UNKNOWN
    return result.stdout.strip() if result.returncode == 0 else UNKNOWN
