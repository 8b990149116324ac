"""Latents by seed and index: golden numbers, which other programs must reproduce."""

import json
from pathlib import Path

import numpy as np
import pytest

from lada_tf.sampling import latents

GOLDEN = json.loads(
    (Path(__file__).parent.parent / "data" / "latents.json").read_text("utf-8")
)


@pytest.mark.parametrize("case", GOLDEN, ids=lambda c: f"{c['seed']}-{c['index']}")
def test_golden_latents(case):
    [latent] = latents(case["seed"], case["index"], len(case["latent"]))
    np.testing.assert_array_equal(latent, np.array(case["latent"], np.float32))


def test_a_latent_depends_only_on_seed_and_index():
    many = latents(3, range(9), 5)
    assert (many.shape, many.dtype) == ((9, 5), "float32")
    np.testing.assert_array_equal(latents(3, [7, 2], 5), many[[7, 2]])
    np.testing.assert_array_equal(latents([3, 3], [7, 2], 5), many[[7, 2]])
    np.testing.assert_array_equal(latents(3, range(9), 3), many[:, :3])
    assert (latents(4, range(9), 5) != many).all()
    assert latents(3, [], 5).shape == (0, 5)


def test_latents_are_standard_normal():
    many = latents(0, range(20_000), 8)
    np.testing.assert_allclose(many.mean(0), 0, atol=0.03)
    np.testing.assert_allclose(np.cov(many.T), np.eye(8), atol=0.03)
    assert abs((many**4).mean() - 3) < 0.1
    neighbors = np.corrcoef(many[:-1].ravel(), many[1:].ravel())[0, 1]
    assert abs(neighbors) < 0.01
    seeds = latents(range(20_000), np.zeros(20_000, int), 8)
    assert abs(np.corrcoef(seeds[:-1].ravel(), seeds[1:].ravel())[0, 1]) < 0.01


@pytest.mark.parametrize("bad", [-1, 2**63, 1.0, "1", True, [2, -3]])
def test_other_seeds_and_indices_are_refused(bad):
    with pytest.raises(ValueError, match="seed="):
        latents(bad, [0, 1], 4)
    with pytest.raises(ValueError, match="indices="):
        latents(0, bad, 4)
