"""A folder in the layout of Hugging Face's Hub."""

import numpy as np

from lada_tf.errors import ExportFailed
from lada_tf.models import LadaGAN
from lada_tf.models.pretrained import save_pretrained
from lada_tf.serving.exporting import new_folder
from lada_tf.serving.model_card import CARD, ModelCard, card_text

USAGE = """```python
import huggingface_hub, lada_tf

folder = huggingface_hub.snapshot_download("NAME/OF-THIS-REPOSITORY")
gan = lada_tf.LadaGAN.from_pretrained(folder)
images = gan.ema_generator(gan.sample_latents(16))  # about [-1, 1]
```

`generator.keras` is the generator alone, for TensorFlow, JAX or PyTorch, whichever
Keras runs on: `import lada_tf; keras.saving.load_model("generator.keras")`."""


def export_for_hub(gan: LadaGAN, output, card: ModelCard) -> None:
    """Writes a new folder that `huggingface_hub.upload_folder` can upload as it is.

    Raises:
        UserError: if the output exists or cannot be written.
        ExportFailed: if what was written makes other images.
    """
    with new_folder(output) as folder:
        save_pretrained(gan, folder)
        text = card_text(card, USAGE, "The averaged weights, float32.")
        (folder / CARD).write_text(text)
        latents = np.zeros((1, gan.latent_dim), np.float32)
        images = LadaGAN.from_pretrained(folder).ema_generator(latents)
        if not np.array_equal(images, gan.ema_generator(latents)):
            raise ExportFailed(f"{output}: what was written makes other images")
