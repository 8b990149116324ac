"""What the benchmarks write: the machine, medians with their spread, tables, JSON."""

import json
import os
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path


def machine() -> str:
    """The processor, in words."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(": ")[1] for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} cores, {names[0] if names else platform.machine()}"


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> str:
    """The ratio of the medians, and the least and largest ratio of a turn."""
    turns = [a / b for a, b in zip(numerators, denominators, strict=True)]
    middle = statistics.median(numerators) / statistics.median(denominators)
    return f"{middle:.2f} ({min(turns):.2f}-{max(turns):.2f})"


def print_markdown(rows: Sequence[dict[str, str]]) -> None:
    """A table of rows that share their keys."""
    print("| " + " | ".join(rows[0]) + " |")
    print("|---" * len(rows[0]) + "|")
    for row in rows:
        print("| " + " | ".join(row.values()) + " |", flush=True)


def write_json(path: str | None, report: dict) -> None:
    if path:
        Path(path).write_text(json.dumps(report, indent=1) + "\n")
