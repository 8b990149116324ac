import numpy as np
import pytest

from lada_tf.data import open_source
from lada_tf.errors import UserError


def subset_images(share: float, seed: int = 0) -> set[bytes]:
    source = open_source("portraits", 32, subset=share, subset_seed=seed)
    return {image.tobytes() for image in source.images(np.arange(len(source)))}


def test_subsets_are_nested_and_have_the_right_size():
    tenth, fifth, all_images = (
        subset_images(0.1),
        subset_images(0.2),
        subset_images(1.0),
    )
    assert [len(images) for images in (tenth, fifth, all_images)] == [100, 199, 997]
    assert tenth < fifth < all_images


def test_subsets_depend_only_on_the_seed():
    assert subset_images(0.1) == subset_images(0.1)
    # Two random subsets of 100 out of 997 images share about 10.
    assert len(subset_images(0.1) & subset_images(0.1, seed=1)) < 30


def test_fingerprints_differ():
    sources = [
        open_source("portraits", 32, subset=share, subset_seed=seed)
        for share, seed in [(1.0, 0), (0.1, 0), (0.2, 0), (0.1, 1)]
    ]
    assert len({source.fingerprint for source in sources}) == 4


@pytest.mark.parametrize("share", [0, -0.1, 1.1])
def test_subset_out_of_range(share):
    with pytest.raises(UserError, match=f"subset={share}"):
        open_source("portraits", 32, subset=share)
