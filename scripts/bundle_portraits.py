"""Train the portraits model again and write it into lada_tf/models/bundled.

    python scripts/bundle_portraits.py --output=runs

The first run trains with the settings of `tiny`. The second run starts from these
weights, with translated images, half the learning rates and a slower EMA. It removes
most of the noise from the images. We chose its length by the KID of 5,000 images
(`lada-tf evaluate --all_checkpoints`): later checkpoints were no better.

Run the command again to resume.
"""

import subprocess
import sys
from pathlib import Path

from absl import flags

from lada_tf import app
from lada_tf.models.pretrained import BUNDLED
from lada_tf.serving.model_card import describe_model
from lada_tf.training import load_run

EVALUATION = (
    "--num_generated=5000",
    "--features=small_classifier",
    "--memorization",
    "--overwrite",
)
USAGE = """```python
import lada_tf

gan = lada_tf.LadaGAN.from_pretrained("portraits")
images = gan.generate(seed=0, num_images=16)  # uint8
```

```sh
lada-tf sample --model=portraits --output=grid.png
```"""
OUTPUT = flags.DEFINE_string("output", "runs", "Directory of the two runs.")


def main() -> None:
    start = Path(OUTPUT.value, "portraits-start")
    final = Path(OUTPUT.value, "portraits")
    run("train", "--preset=tiny", "--total_images=48000", f"--run_dir={start}")
    run(
        "train",
        f"--init_from={start}",
        "--augment=translation",
        "--g_learning_rate=5e-4",
        "--d_learning_rate=5e-4",
        "--ema_decay=0.999",
        "--total_images=84000",
        f"--run_dir={final}",
    )
    picture = f"--memorization_picture={final / 'copies.png'}"
    evaluation = final / "evaluation.json"
    evaluation.write_text(
        run("evaluate", f"--model={final}", picture, *EVALUATION), encoding="utf-8"
    )
    gan = load_run(final)
    card = describe_model(gan, evaluation).replace("$usage", USAGE)
    directory = BUNDLED / "portraits"
    gan.save_pretrained(directory, dtype="float16", card=card, overwrite=True)
    print(f"{directory}: done")


def run(command: str, *arguments: str) -> str:
    """Run a command of lada-tf and return what it prints to stdout."""
    return subprocess.run(
        [sys.executable, "-m", f"lada_tf.{command}", *arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


if __name__ == "__main__":
    app.run(main)
