import numpy as np
import pytest

from lada_tf.data import open_source
from lada_tf.errors import UserError


def kept(share: float, seed: int = 0) -> set[bytes]:
    source = open_source("portraits", 32, subset=share, subset_seed=seed)
    return {image.tobytes() for image in source.images(np.arange(len(source)))}


def test_subsets_are_nested_and_of_the_right_size():
    tenth, fifth, all_images = kept(0.1), kept(0.2), kept(1.0)
    assert [len(images) for images in (tenth, fifth, all_images)] == [100, 199, 997]
    assert tenth < fifth < all_images


def test_subsets_depend_on_the_seed_alone():
    assert kept(0.1) == kept(0.1)
    # Of 100 random images among 997 about 10 are shared.
    assert len(kept(0.1) & kept(0.1, seed=1)) < 30


def test_fingerprints_differ():
    sources = [
        open_source("portraits", 32, subset=share, subset_seed=seed)
        for share, seed in [(1.0, 0), (0.1, 0), (0.2, 0), (0.1, 1)]
    ]
    assert len({source.fingerprint for source in sources}) == 4


@pytest.mark.parametrize("share", [0, -0.1, 1.1])
def test_share_out_of_range(share):
    with pytest.raises(UserError, match="subset must be"):
        open_source("portraits", 32, subset=share)
