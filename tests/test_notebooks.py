"""The notebooks as stored in git. `make test-notebooks` runs them."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LINK = re.compile(r"\]\(([^)#:]+)\)")  # to a file, not to a website


def clean(text):
    script = ROOT / "scripts" / "clean_notebooks.py"
    spec = importlib.util.spec_from_file_location("clean_notebooks", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.clean(text)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_holds_no_output_and_nothing_of_a_machine(path):
    assert path.read_text() == clean(path.read_text()), (
        "run python scripts/clean_notebooks.py"
    )


def test_cleaning_removes_what_a_run_leaves():
    cell = {
        "cell_type": "code",
        "source": ["1 + 1"],
        "metadata": {
            "execution": {"iopub.status.busy": "2026-01-01"},
            "nbmake": {"mock": {"EPOCHS": 2}},
        },
        "execution_count": 3,
        "outputs": [{"output_type": "stream", "text": ["2"]}],
    }
    notebook = {"cells": [cell], "metadata": {"language_info": {"version": "3.11.7"}}}
    cleaned = json.loads(clean(json.dumps(notebook)))
    assert cleaned["cells"] == [
        {
            "cell_type": "code",
            "source": ["1 + 1"],
            "metadata": {"nbmake": {"mock": {"EPOCHS": 2}}},
            "execution_count": None,
            "outputs": [],
        }
    ]
    assert "3.11" not in json.dumps(cleaned)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_lead_to_files(path):
    cells = json.loads(path.read_text())["cells"]
    prose = ["".join(c["source"]) for c in cells if c["cell_type"] == "markdown"]
    links = LINK.findall("\n".join(prose))
    assert links
    assert [link for link in links if not (path.parent / link).exists()] == []
