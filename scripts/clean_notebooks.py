"""Remove outputs, execution counts and machine-specific metadata from the notebooks.

python scripts/clean_notebooks.py
"""

import json
from pathlib import Path

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def clean(text: str) -> str:
    """Return a notebook as it is stored in git."""
    notebook = json.loads(text)
    notebook["metadata"] = METADATA
    for cell in notebook["cells"]:
        # `make test-notebooks` replaces values in a cell by those in `nbmake`.
        cell["metadata"] = {k: v for k, v in cell["metadata"].items() if k == "nbmake"}
        if cell["cell_type"] == "code":
            cell |= {"execution_count": None, "outputs": []}
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def main() -> None:
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        before = path.read_text(encoding="utf-8")
        after = clean(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"cleaned {path.name}")


if __name__ == "__main__":
    main()
