"""Where the weights of a run came from, for `summary --run_dir` and model cards."""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path

from lada_tf.errors import UserError
from lada_tf.models.hub import HUB_PREFIX
from lada_tf.training.checkpoints import checkpoint_paths, read_manifest
from lada_tf.training.load import find_run
from lada_tf.training.official_checkpoint import OFFICIAL_PREFIX, REPO
from lada_tf.training.run_directory import RunDirectory, read_metrics


@dataclasses.dataclass(frozen=True)
class Origin:
    """What flags.cfg says about the parent of a run.

    Attributes:
        source: the source as given.
        sha256: checksum of the parent's weights.
        images_seen: number of real images that the parent had seen.
        changed: old and new text of each changed setting.
    """

    source: str
    sha256: str
    images_seen: int
    changed: Mapping[str, tuple[str, str]]


def read_origin(run: RunDirectory) -> Origin | None:
    """Return the origin of a run, or None if it started without a parent.

    Raises:
        UserError: if there is no run, or its flags.cfg is damaged.
    """
    text = run.read_setting("parent", "")
    if not text:
        return None
    try:
        facts = json.loads(text)
        changed = {
            str(name): (old or "empty", new or "empty")
            for name, (old, new) in facts["changed"].items()
        }
        return Origin(
            run.settings()["init_from"],
            str(facts["sha256"]),
            int(facts["images_seen"]),
            changed,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{run.flags_file}: the parent is damaged ({error}). Restore the file from "
            "a copy"
        ) from error


def describe_lineage(run_dir: str | os.PathLike) -> str:
    """Describe a run and its parents, as far as their directories exist.

    Each paragraph has the images seen, the best distance, and the changed settings.

    Raises:
        UserError: see `read_origin`.
    """
    run: RunDirectory | None = RunDirectory(run_dir)
    paragraphs: list[str] = []
    seen = set()
    while run is not None and run.path.resolve() not in seen:
        seen.add(run.path.resolve())
        origin = read_origin(run)
        lines = [f"{run.path}: {_images_seen(run):,} images seen", *_best_distance(run)]
        if origin:
            lines.append(
                f"from {origin.source} ({origin.images_seen:,} images seen, SHA-256 "
                f"{origin.sha256[:12]}…)"
            )
            changes = [
                f"{n}: {old} -> {new}" for n, (old, new) in origin.changed.items()
            ]
            lines += [f"  {change}" for change in changes]
        paragraphs.append("\n  ".join(lines))
        parent = find_run(origin.source) if origin else None
        run = RunDirectory(parent.path) if parent else None
    return "\n".join(paragraphs)


def describe_origin(run: RunDirectory) -> tuple[str, str]:
    """Return a run's `base_model` on the Hub, and a sentence on its origin.

    Both are empty for a run without a parent. Model cards are published, so the
    sentence does not contain local paths.

    Raises:
        UserError: see `read_origin`.
    """
    origin = read_origin(run)
    if origin is None:
        return "", ""
    name, base_model = origin.source, ""
    hub_source = REPO if name.startswith(OFFICIAL_PREFIX) else name
    if hub_source.startswith(HUB_PREFIX):
        base_model = hub_source.removeprefix(HUB_PREFIX).partition("@")[0]
    else:
        name = Path(name).name or "a local run"
    changes = [
        n if n == "data" else f"{n} {old} -> {new}"  # data can be a path
        for n, (old, new) in origin.changed.items()
    ]
    return base_model, (
        f"Fine-tuned from {name} (weights SHA-256 {origin.sha256}), changed: "
        f"{', '.join(changes) or 'nothing'}."
    )


def _images_seen(run: RunDirectory) -> int:
    newest = checkpoint_paths(run.checkpoints)[:1]
    return read_manifest(newest[0])["images"] if newest else 0


def _best_distance(run: RunDirectory) -> list[str]:
    """Return a line with the lowest distance of the `best_by` kind, if there is one."""
    kinds = ("KID",) if run.read_setting("best_by", "fd") == "kid" else ("FID", "FD")
    figures = [
        (value, name, record["images"])
        for record in read_metrics(run.metrics_file)
        for name, value in record.items()
        if name.startswith(kinds)
    ]
    if not figures:
        return []
    value, name, images = min(figures)
    return [f"best {name}: {value:.4g} at {images:,} images"]
