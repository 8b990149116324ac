"""The model in the package."""

import pytest

from lada_tf.data import open_source
from lada_tf.evaluation.distances import kernel_distance
from lada_tf.evaluation.extract_features import open_extractor
from lada_tf.models import LadaGAN
from lada_tf.models.presets import get_preset
from lada_tf.models.pretrained import BUNDLED
from tests.docs.pages import run_python_blocks

NUM_IMAGES = 200


@pytest.fixture(scope="module")
def gan():
    return LadaGAN.from_preset("tiny", load_weights=True)


def test_its_images_resemble_the_portraits(gan):
    extract = open_extractor("small_classifier")
    real = open_source("portraits", 32).images(range(0, 5 * NUM_IMAGES - 5, 5))
    generated = gan.generate(seed=0, num_images=NUM_IMAGES)
    kid, _ = kernel_distance(
        extract(real).pool, extract(generated).pool, subset_size=len(real)
    )
    # 0.1 measured. After 8,000 images of training, KID is 2 to 5.
    assert kid < 0.3


def test_it_has_the_networks_of_its_preset(gan):
    config = gan.get_config()
    fresh = LadaGAN.from_preset(get_preset("tiny")).get_config()
    for network in ("generator", "discriminator"):
        assert config[network]["config"] == fresh[network]["config"]


def test_the_example_of_its_card_runs():
    card = (BUNDLED / "portraits" / "README.md").read_text("utf-8")
    (variables,) = run_python_blocks(card)
    assert variables["images"].shape == (16, 32, 32, 3)
