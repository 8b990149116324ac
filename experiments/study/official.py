"""The study's second part: the authors' code on the same configuration and data.

    git clone https://github.com/milmor/LadaGAN
    python -m venv official
    official/bin/pip install tensorflow==2.13.1 pillow scipy tqdm
    python -m experiments.study.official --checkout=LadaGAN --python=official/bin/python

Train the authors' networks with their step and the settings of `lada.cfg`, with three
seeds. Evaluate their images as our training does. Write the metrics to
experiments/results/study, next to ours.

Cost: 1,000 steps of 16 images, about six minutes per seed on one CPU core.
Expected: curves within the spread of the seeds; see docs/ablations.md.
"""

from lada_tf import app  # first: it imports TensorFlow without its log lines

# isort: split
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from absl import flags

from benchmarks.sides import official_config
from experiments.study.settings import HERE, variant_preset, variant_settings
from experiments.study.train import RESULTS
from lada_tf.data import open_source
from lada_tf.errors import UserError
from lada_tf.evaluation.distances import frechet_distance
from lada_tf.evaluation.extract_features import compute_features, open_extractor
from lada_tf.evaluation.reference import compute_reference
from lada_tf.models import Preset
from lada_tf.sampling.grids import png_bytes, tile

FLAGS = flags.FLAGS
GRID = 64  # images of the final grid


def main() -> None:
    settings, preset = variant_settings("lada"), variant_preset("lada")
    source = open_source(preset.data, preset.image_size, resize=preset.resize)
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images.npy"
        np.save(images, source.images(np.arange(len(source))))
        for seed in range(FLAGS.seeds):
            results = RESULTS / f"official-{seed}.jsonl"
            output = Path(folder) / str(seed)
            output.mkdir()
            _train(preset, settings, images, output, seed)
            _measure(source, settings, output)
            last = np.load(max(output.glob("samples-*.npy")))[:GRID]
            results.with_suffix(".png").write_bytes(png_bytes(tile(last, 8)))
            results.write_bytes((output / "metrics.jsonl").read_bytes())
            print(f"official-{seed}: done", flush=True)


def _train(preset: Preset, settings, images: Path, output: Path, seed: int) -> None:
    job = output / "job.json"
    job.write_text(
        json.dumps(
            {
                "config": official_config(preset),
                "images": str(images),
                "output": str(output),
                "seed": seed,
                "steps": -(-preset.total_images // preset.batch_size),
                "log_images": int(settings["log_images"]),
                "sample_images": int(settings["eval_images"]),
                "num_samples": int(settings["eval_samples"]),
            }
        ),
        encoding="utf-8",
    )
    result = subprocess.run(
        [
            FLAGS.python,
            "-m",
            "experiments.study.official_worker",
            str(Path(FLAGS.checkout).resolve() / "tensorflow"),
            str(job),
        ],
        env=os.environ | {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
    )
    if result.returncode:
        last = (result.stderr.strip() or "no message").splitlines()[-1]
        raise UserError(
            f"--checkout={FLAGS.checkout}, --python={FLAGS.python}: the authors' code "
            f"failed: {last}"
        )


def _measure(source, settings, output: Path) -> None:
    """Append the distance of each set of samples to the metrics."""
    extractor = open_extractor("small_classifier")
    count = int(settings["eval_samples"])
    real = compute_reference(source, extractor, count, keep_images=False).features
    with (output / "metrics.jsonl").open("a", encoding="utf-8") as log:
        for file in sorted(output.glob("samples-*.npy")):
            features = compute_features(
                np.array_split(np.load(file), 32), count, extractor
            )
            seen = int(re.findall(r"\d+", file.stem)[0])
            distance = frechet_distance(real, features.features)
            values = {"images": seen, extractor.metric_name("FID"): distance}
            print(json.dumps(values), file=log)


if __name__ == "__main__":
    flags.DEFINE_string(
        "checkout", None, "Checkout of the authors' repository.", required=True
    )
    flags.DEFINE_string(
        "python", None, "Interpreter with their TensorFlow.", required=True
    )
    flags.DEFINE_integer("seeds", 3, "Number of seeds.", lower_bound=1)
    app.run(main)
