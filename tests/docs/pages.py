"""Read the project's Markdown pages: blocks, prose, tables."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
FENCE = re.compile(r"^(```+)(\w*)\n(.*?)^\1\n", re.MULTILINE | re.DOTALL)
MARKER = re.compile(r"<!-- not run here: ([^>]+) -->\s*$")


class Block(NamedTuple):
    """A fenced block. `reason` tells why it does not run, from the comment above it."""

    page: str
    line: int
    language: str
    text: str
    reason: str | None

    @property
    def commands(self) -> list[str]:
        """The lines of a shell block: continued ones joined, without comments."""
        joined = re.sub(r"\\\n\s*", "", self.text)
        lines = (re.sub(r"(^|\s+)#.*", "", line) for line in joined.splitlines())
        return [line for line in lines if line.strip()]


def blocks() -> list[Block]:
    """Return every fenced block of every page, in order."""
    return [block for page in PAGES for block in blocks_of(page)]


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    result = []
    for match in FENCE.finditer(text):
        before = text[: match.start()]
        marker = MARKER.search(before)
        result.append(
            Block(
                str(page.relative_to(ROOT)),
                before.count("\n") + 1,
                match[2],
                match[3],
                marker[1] if marker else None,
            )
        )
    return result


def run_python_blocks(text: str) -> list[dict]:
    """Run each Python block of a text by itself, and return their variables."""
    results = []
    for match in FENCE.finditer(text):
        if match[2] == "python":
            results.append({})
            exec(match[3], results[-1])
    return results


def prose(page: Path) -> str:
    """Return the page without its fenced blocks."""
    return FENCE.sub("", page.read_text())


def table(page: Path, first_header: str) -> list[dict[str, str]]:
    """Return the rows of the page's table with this first header cell."""
    lines = page.read_text().splitlines()
    (start,) = [
        i for i, line in enumerate(lines) if line.startswith(f"| {first_header} |")
    ]
    header = cells(lines[start])
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append(dict(zip(header, cells(line), strict=True)))
    assert rows
    return rows


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]
