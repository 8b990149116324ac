"""Output of the benchmarks: the machine, ratios with their range, tables, JSON."""

import json
import os
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path

# Training images per second on one RTX 3080 Ti, from the paper's Table V.
PAPER_THROUGHPUT = {
    "cifar10": 416.66,
    "celeba64": 333.33,
    "ffhq128": 192.30,
    "bedroom128": 192.30,
    "bedroom256": 63.69,
}


def machine() -> str:
    """Return the CPU's name and number of cores."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(": ")[1] for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} cores, {names[0] if names else platform.machine()}"


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> str:
    """Return the ratio of the medians, and the range of the turns' ratios."""
    turns = [a / b for a, b in zip(numerators, denominators, strict=True)]
    middle = statistics.median(numerators) / statistics.median(denominators)
    return f"{middle:.2f} ({min(turns):.2f}-{max(turns):.2f})"


def print_markdown(rows: Sequence[dict[str, str]]) -> None:
    """Print a table of rows with the same keys."""
    print("| " + " | ".join(rows[0]) + " |")
    print("|---" * len(rows[0]) + "|")
    for row in rows:
        print("| " + " | ".join(row.values()) + " |", flush=True)


def write_json(path: str | None, report: dict | list) -> None:
    if path:
        Path(path).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
