"""Write tests/data/evaluation/packages.json: metrics as other packages compute them.

    python -m venv other
    other/bin/pip install torch torch-fidelity prdc
    other/bin/python -m scripts.golden_metrics

The inputs are made from seeds in tests/evaluation/recipes.py.
"""

import importlib.metadata
import json
import pathlib

import prdc
import torch
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from tests.evaluation.recipes import frechet_case, logits_case, manifold_case

OUTPUT = pathlib.Path(__file__).parents[1] / "tests/data/evaluation/packages.json"
MANIFOLD_CASES = ("d16", "d64", "d2048", "dup_vs_other", "collapse", "disjoint")


def main() -> None:
    golden: dict = {"kid": {}, "inception_score": {}, "density_coverage": {}}
    for name in ("big_n",):
        real, generated = map(torch.from_numpy, frechet_case(name))
        values = kid_features_to_metric(real, generated, verbose=False)
        golden["kid"][name] = list(values.values())
    for name in ("a_C1008_N5000", "b_C10_N50000"):
        logits = torch.from_numpy(logits_case(name))
        values = isc_features_to_metric(logits, shuffle=False)
        golden["inception_score"][name] = list(values.values())
    for name in MANIFOLD_CASES:
        real, generated = manifold_case(name)
        values = prdc.compute_prdc(real, generated, nearest_k=5)
        golden["density_coverage"][name] = [values["density"], values["coverage"]]
    golden["versions"] = {
        package: importlib.metadata.version(package)
        for package in ("torch", "torch-fidelity", "prdc")
    }
    OUTPUT.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
