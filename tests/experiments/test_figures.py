"""Figure 5: its curves and its picture."""

import json

import pytest
from PIL import Image

from experiments.figure5 import read_curves, read_runs
from lada_tf.errors import UserError
from tests.imports import ROOT
from tests.runner import succeed


@pytest.mark.slow
def test_figure5(tmp_path):
    runs = [f"--runs=experiments/results/study/lada-{seed}.jsonl" for seed in (0, 1)]
    output = tmp_path / "figure5.png"
    succeed("experiments.figure5", *runs, f"--output={output}", directory=ROOT)
    assert Image.open(output).size == (1300, 400)


def test_curves_are_what_was_logged(tmp_path):
    for seed in (0, 1):
        lines = [
            {"images": 4, "g_grad_norm": 1.0 + seed, "d_grad_norm": 5.0},
            {"images": 4, "FD (small classifier)": 9.0},
            {"images": 8, "g_grad_norm": 2.0, "d_grad_norm": 6.0},
        ]
        run = tmp_path / f"lada-{seed}"
        run.mkdir()
        (run / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    curves = read_curves(run / "metrics.jsonl")
    assert {name: curve.tolist() for name, curve in curves.items()} == {
        "g_grad_norm": [[4, 8], [2, 2]],
        "d_grad_norm": [[4, 8], [5, 6]],
        "distance": [[4], [9]],
    }
    runs = read_runs([f"{tmp_path}/lada-*"])
    assert list(runs) == ["lada"]
    assert len(runs["lada"]["g_grad_norm"]) == 2
    with pytest.raises(UserError, match="no such run"):
        read_runs([f"{tmp_path}/swin-*"])
    (tmp_path / "bad.jsonl").write_text("{")
    with pytest.raises(UserError, match=r"bad\.jsonl"):
        read_curves(tmp_path / "bad.jsonl")
