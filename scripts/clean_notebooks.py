"""Takes outputs, counts and what a machine left out of the notebooks.

python scripts/clean_notebooks.py            # rewrites those that are not clean
python scripts/clean_notebooks.py --check    # names them, and exits with 1
"""

import json
import sys
from pathlib import Path

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def clean(text: str) -> str:
    """The notebook as it belongs into git."""
    notebook = json.loads(text)
    notebook["metadata"] = METADATA
    for cell in notebook["cells"]:
        cell["metadata"] = {}
        if cell["cell_type"] == "code":
            cell |= {"execution_count": None, "outputs": []}
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def main(check: bool) -> int:
    dirty = [
        path
        for path in sorted(NOTEBOOKS.glob("*.ipynb"))
        if path.read_text() != clean(path.read_text())
    ]
    for path in dirty:
        print(path.name)
        if not check:
            path.write_text(clean(path.read_text()))
    return 1 if check and dirty else 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
