"""Seeded inputs of the golden tests, the same on any machine."""

import json
import pathlib

import numpy as np

DATA = pathlib.Path(__file__).parents[1] / "data/evaluation"
GOLDEN = json.loads((DATA / "golden.json").read_text())
# Arguments of `features` for real and generated images.
FRECHET = {
    "d64": ((0, 500, 64), (1, 600, 64, 0.1, 1.2)),
    "d2048": ((2, 2500, 2048), (3, 3000, 2048, 0.02, 1.05)),
    "d2048_singular": ((4, 1000, 2048), (5, 800, 2048, 0.02, 1.05)),
    "d64_singular": ((6, 32, 64), (7, 40, 64, 0.1, 1.2)),
    "big_n": ((20, 50000, 64), (21, 50000, 64, 0.001, 1.0)),
}
MANIFOLDS = {
    "d16": ((30, 200, 16), (31, 300, 16, 0.05, 0.8)),
    "d64": ((32, 1000, 64), (33, 1500, 64, 0.02, 0.9)),
    "d2048": ((34, 1000, 2048), (35, 1200, 2048, 0.01, 0.95)),
    "d2048_close": ((34, 1000, 2048), (36, 1000, 2048, 0.0, 0.99)),
    "n4": ((40, 4, 16), (41, 4, 16)),
}


def normal(seed, rows, columns):
    return np.random.default_rng(seed).standard_normal((rows, columns))


def features(seed, rows, columns, shift=0.0, scale=1.0):
    z = normal(seed, rows, columns)
    x = z + 0.5 * np.roll(z, 1, axis=1) + 0.25 * np.roll(z, 7, axis=1)
    falling = 1.0 / (1.0 + 8.0 * np.arange(columns) / columns)
    return np.maximum(0.0, 0.4 + shift + 0.35 * scale * falling * x)


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def images(seed, count, size):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, size, size, 3)).astype(np.uint8)


def frechet_case(name):
    if name.endswith("_f32"):
        return tuple(x.astype(np.float32) for x in frechet_case(name[:-4]))
    if name in FRECHET:
        return tuple(features(*arguments) for arguments in FRECHET[name])
    pair, z = frechet_case("d64"), normal(8, 500, 64)
    if name == "dead_channels":
        for x in pair:
            x[:, :8] = 0.25
    return {
        "identical_d64": (pair[0], pair[0]),
        "mean_shift": (z, z + 0.5),
        "scaled": (z, 2.0 * z),
        "zero_cov": (np.ones((10, 64)), 2 * np.ones((10, 64))),
        "dead_channels": pair,
        "duplicates": (np.repeat(features(0, 100, 64), 5, axis=0), pair[1]),
        "disjoint": (z, z + 100.0),
    }[name]


def logits_case(name):
    rows = np.arange(1000)
    if name.startswith("onehot"):
        logits = np.full((1000, 20 if "unused" in name else 10), -1e4)
        logits[rows, rows % 10] = 1e4
        return logits
    return {
        "a_C1008_N5000": lambda: 3.0 * normal(10, 5000, 1008),
        "b_C10_N50000": lambda: 2.0 * normal(11, 50000, 10),
        "d_C1008_N19962": lambda: 3.0 * normal(13, 19962, 1008),
        "uniform_C1008_N1000": lambda: np.zeros((1000, 1008)),
    }[name]()


def manifold_case(name):
    if name in MANIFOLDS:
        return tuple(features(*arguments) for arguments in MANIFOLDS[name])
    base, few = features(32, 1000, 64), features(39, 500, 32)
    repeated = np.repeat(features(37, 100, 16), 5, axis=0)
    return {
        "identical": (base, base.copy()),
        "disjoint": (base, base + 100.0),
        "dup_vs_other": (repeated, features(38, 300, 16, 0.05, 0.8)),
        "collapse": (few, np.repeat(few[:5], 100, axis=0)),
    }[name]
