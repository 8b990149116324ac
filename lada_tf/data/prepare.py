"""Write records from any reader, in shards, resumable at any time.

Shard k contains the usable images among the reader's images [k * n, (k + 1) * n). A run
writes a shard, then adds it to `progress.json`. After the last shard, it completes this
file and renames it to `manifest.json`. Each file is written atomically.
"""

import contextlib
import glob
import itertools
import os
import time
from collections.abc import Iterator

import tensorflow as tf
from absl import logging

from lada_tf.data.loading import BadImages, Failure, decode_images
from lada_tf.data.readers import Reader
from lada_tf.data.records import (
    FORMAT,
    MANIFEST,
    PROGRESS_FIELDS,
    check_shard,
    read_manifest,
    record_bytes,
)
from lada_tf.errors import UserError
from lada_tf.io import (
    replacing,
    reporting_full_disk,
    sha256,
    try_lock,
    user_files,
    user_path,
    write_json,
)
from lada_tf.runtime import progress_bar

PROGRESS = "progress.json"
LOCK = "lock"
_SHARD_BYTES = 2**30


def prepare_records(
    reader: Reader,
    output: str,
    image_size: int,
    resize: str,
    bad_images: BadImages,
    images_per_shard: int | None = None,
    is_cache: bool = False,
) -> dict:
    """Write a directory of records, or resume writing it. Return the manifest.

    `output` must be a new or empty directory, or one that this function started to
    write. If it is finished and has the same images and settings, nothing is written.
    The default number of images per shard makes shards of 1 GiB. If `is_cache` and
    another process is writing to `output`, wait for it: it writes the same records.

    Raises:
        UserError: `output` contains something else, another process is writing to it,
            no image is usable, or an image is damaged and `bad_images` stops there.
    """
    output = user_path(output)
    argument = f"{'cache_dir' if is_cache else 'output'}={output}"
    per_shard = images_per_shard or max(1, _SHARD_BYTES // record_bytes(image_size))
    plan = {
        "format": FORMAT,
        "image_size": image_size,
        "resize": resize,
        "source": {"kind": reader.kind, "identity": reader.identity},
        "images_in_source": len(reader),
        "images_per_shard": per_shard,
    }
    manifest_path = os.path.join(output, MANIFEST)
    if not os.path.exists(manifest_path):  # finished records may be read-only
        with _locked(output, argument, wait=is_cache), reporting_full_disk(argument):
            if not os.path.exists(manifest_path):
                return _write_records(reader, output, argument, plan, bad_images)
    manifest = _read_planned(manifest_path, argument, plan)
    _report_finished(manifest["shards"], bad_images)
    return manifest


def _write_records(
    reader: Reader, output: str, argument: str, plan: dict, bad_images: BadImages
) -> dict:
    image_size, resize = plan["image_size"], plan["resize"]
    total, per_shard = len(reader), plan["images_per_shard"]
    progress_path = os.path.join(output, PROGRESS)
    shards = _finished_shards(output, argument, plan)
    _report_finished(shards, bad_images)
    start, num_shards = len(shards) * per_shard, -(-total // per_shard)
    decoded = decode_images(reader, image_size, resize, start, total)
    images = iter(progress_bar(decoded, total, "preparing", start))
    for index in range(len(shards), num_shards):
        name = f"images-{index:05d}-of-{num_shards:05d}.tfrecord"
        path = os.path.join(output, name)
        shard_images = itertools.islice(images, per_shard)
        shards.append(_write_shard(path, shard_images, bad_images))
        write_json(progress_path, {**plan, "shards": shards})
    count = sum(shard["count"] for shard in shards)
    if not count:
        raise UserError(f"{argument}: none of {total} images is usable")
    fingerprint = reader.fingerprint(image_size, resize, count)
    manifest = {**plan, "count": count, "fingerprint": fingerprint, "shards": shards}
    write_json(progress_path, manifest)
    os.replace(progress_path, os.path.join(output, MANIFEST))
    return manifest


def _write_shard(path: str, images: Iterator, bad_images: BadImages) -> dict:
    """Write the usable images. Return the shard's entry in the manifest."""
    count, enlarged, failures = 0, 0, []
    with replacing(path) as temporary:
        with tf.io.TFRecordWriter(temporary) as writer:
            for image in images:
                if isinstance(image, Failure):
                    bad_images.report(image)
                    failures.append(image._asdict())
                else:
                    writer.write(image.pixels.tobytes())
                    count += 1
                    enlarged += image.enlarged
        checksum = sha256(temporary)
    bad_images.enlarged += enlarged
    return {
        "file": os.path.basename(path),
        "count": count,
        "sha256": checksum,
        "enlarged": enlarged,
        "bad_images": failures,
    }


def _finished_shards(output: str, argument: str, plan: dict) -> list[dict]:
    """Return the entries of the shards that an interrupted run has finished."""
    path = os.path.join(output, PROGRESS)
    if not os.path.exists(path):
        write_json(path, {**plan, "shards": []})
    shards = _read_planned(path, argument, plan)["shards"]
    for index, shard in enumerate(shards):
        try:
            check_shard(output, shard, plan["image_size"])
        except UserError:
            return shards[:index]  # write it and the following ones again
    return shards


def _report_finished(shards: list[dict], bad_images: BadImages) -> None:
    """Report the images that an earlier run skipped or enlarged."""
    for shard in shards:
        bad_images.enlarged += shard.get("enlarged", 0)
        for failure in shard.get("bad_images", []):
            bad_images.report(Failure(failure["name"], failure["reason"]))


def _read_planned(path: str, argument: str, plan: dict) -> dict:
    """Read a manifest or progress file. Raise UserError if its settings differ."""
    found = read_manifest(path, PROGRESS_FIELDS)
    for key, planned in plan.items():
        if found.get(key) != planned:
            raise UserError(
                f"{argument}: contains records with different settings: {key} is "
                f"{found.get(key)!s:.99}, not {planned}. Delete them or choose another "
                "directory"
            )
    return found


@contextlib.contextmanager
def _locked(output: str, argument: str, wait: bool) -> Iterator[None]:
    """Create the directory and lock it: only one process may write to it."""
    try:
        os.makedirs(output, exist_ok=True)
        names = user_files(output)
        others = [n for n in names if not n.startswith((LOCK, MANIFEST, "images-"))]
        if others and PROGRESS not in names:
            raise UserError(
                f"{argument}: contains {others[0]!r}, but no records. Choose another "
                "directory"
            )
        lock = open(os.path.join(output, LOCK), "ab+")  # noqa: SIM115
    except OSError as error:
        raise UserError(
            f"{argument}: cannot write to the directory: {error.strerror or error}"
        ) from error
    with lock:
        is_locked = try_lock(lock, unsupported=None)
        if is_locked is False and not wait:
            raise UserError(f"{argument}: another process is writing here. Wait for it")
        if is_locked is False:
            logging.warning(
                "%s: waiting for another process that is writing here", argument
            )
        while is_locked is False:
            time.sleep(0.5)
            is_locked = try_lock(lock, unsupported=None)
        if is_locked:  # otherwise, another process could be writing these files
            for path in glob.glob(os.path.join(glob.escape(output), ".*.partial")):
                os.remove(path)  # from a killed run
        yield
