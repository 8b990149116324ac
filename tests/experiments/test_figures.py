"""Figure 5, from the run directory of a small run."""

import json

import pytest
from PIL import Image

from experiments.figure5 import read_curves, read_runs
from lada_tf.errors import UserError
from tests.runner import succeed
from tests.small import SMALL_FLAGS


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run-0"
    flags = "--total_images=16 --log_images=4 --sample_images=8 --eval_images=8"
    flags += f" --eval_samples=32 --run_dir={path}"
    succeed("lada_tf.train", *SMALL_FLAGS, *flags.split())
    return path


@pytest.mark.slow
def test_figure5(run_dir, tmp_path):
    output = tmp_path / "figure5.png"
    succeed("experiments.figure5", f"--runs={run_dir}", f"--output={output}")
    assert Image.open(output).size == (1300, 400)


def test_curves_are_what_was_logged(tmp_path):
    for seed in (0, 1):
        lines = [
            {"images": 4, "g_grad_norm": 1.0 + seed, "d_grad_norm": 5.0},
            {"images": 4, "FD (small classifier)": 9.0},
            {"images": 8, "g_grad_norm": 2.0, "d_grad_norm": 6.0},
        ]
        text = "\n".join(map(json.dumps, lines))
        (tmp_path / f"lada-{seed}.jsonl").write_text(text)
    curves = read_curves(tmp_path / "lada-1.jsonl")
    assert {name: curve.tolist() for name, curve in curves.items()} == {
        "g_grad_norm": [[4, 8], [2, 2]],
        "d_grad_norm": [[4, 8], [5, 6]],
        "distance": [[4], [9]],
    }
    runs = read_runs([f"{tmp_path}/lada-*.jsonl"])
    assert list(runs) == ["lada"]
    assert len(runs["lada"]["g_grad_norm"]) == 2
    with pytest.raises(UserError, match="no such run"):
        read_runs([f"{tmp_path}/swin-*"])
    (tmp_path / "bad.jsonl").write_text("{")
    with pytest.raises(UserError, match=r"bad\.jsonl"):
        read_curves(tmp_path / "bad.jsonl")
