"""Makes our own records from any reader: once, in shards, whatever interrupts it.

Shard k holds the usable images among the reader's [k*n, (k+1)*n). No shard depends on
another: one that is finished stays, and the others come out alike whenever they are
made. On disk come, in this order, a shard, its entry in `progress.json`, and at the end
`manifest.json`; each is whole or absent.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from lada_tf.data.load import Bad, BadImages, decoded, progress
from lada_tf.data.reader import Reader
from lada_tf.data.records import FORMAT, MANIFEST, record_bytes
from lada_tf.data.resize import RESIZES
from lada_tf.data.source import fingerprint
from lada_tf.errors import UserError
from lada_tf.io import read_json, replacing, sha256, write_json

PROGRESS = "progress.json"
_SHARD_BYTES = 2**30


def prepare_records(
    reader: Reader,
    output: str,
    image_size: int,
    resize: str,
    bad_images: BadImages,
    images_per_shard: int | None = None,
) -> dict:
    """Writes the folder `output`, or what of it is not there yet.

    Args:
        reader: where the images come from.
        output: absent, empty, or a folder that this function began.
        image_size: height and width in pixels.
        resize: a name in `RESIZES`.
        bad_images: what to do about images that cannot be used.
        images_per_shard: by default as many as make 1 GiB.

    Returns:
        The manifest. If it is there already, made from the same images in the same way,
        nothing is done.

    Raises:
        UserError: `output` holds anything else; a bad image, under that policy; no
            usable image.
    """
    per_shard = images_per_shard or max(1, _SHARD_BYTES // record_bytes(image_size))
    plan = {
        "format": FORMAT,
        "image_size": image_size,
        "resize": resize,
        "how": (RESIZES[resize].__doc__ or "").split("\n")[0],
        "source": {"kind": reader.kind, "identity": reader.identity},
        "images_in_source": len(reader),
        "images_per_shard": per_shard,
    }
    with _locked(output):
        if os.path.exists(_in(output, MANIFEST)):
            manifest = _made_as_planned(output, MANIFEST, plan)
            _report_again(manifest["shards"], bad_images)
            return manifest
        shards = _shards_begun(output, plan)
        _report_again(shards, bad_images)
        bar = progress(None, len(reader), "preparing")
        for number, (name, start, stop) in enumerate(_ranges(len(reader), per_shard)):
            if number == len(shards):
                images = decoded(reader, image_size, resize, start, stop)
                path = _in(output, name)
                shards.append(_write_shard(path, images, bad_images, bar))
                write_json(_in(output, PROGRESS), {**plan, "shards": shards})
            else:
                bar.update(stop - start)
        bar.close()
        return _finish(output, plan, shards)


def _ranges(count: int, per_shard: int) -> Iterator[tuple[str, int, int]]:
    total = -(-count // per_shard)
    for number in range(total):
        name = f"images-{number:05d}-of-{total:05d}.tfrecord"
        start = number * per_shard
        yield name, start, min(start + per_shard, count)


def _write_shard(
    path: str, images: Iterable[np.ndarray | Bad], bad_images: BadImages, bar: tqdm
) -> dict:
    """Writes the usable images and returns the shard's entry in the manifest."""
    count, bad = 0, []
    with replacing(path) as temporary:
        with tf.io.TFRecordWriter(temporary) as writer:
            for image in images:
                if isinstance(image, Bad):
                    bad_images.report(image)
                    bad.append(image._asdict())
                else:
                    writer.write(image.tobytes())
                    count += 1
                bar.update()
        checksum = sha256(temporary)
    file = os.path.basename(path)
    return {"file": file, "count": count, "sha256": checksum, "bad_images": bad}


def _finish(output: str, plan: dict, shards: list[dict]) -> dict:
    count = sum(shard["count"] for shard in shards)
    if not count:
        raise UserError(f"none of the {plan['images_in_source']} images can be used")
    source, size = plan["source"], plan["image_size"]
    name = fingerprint(source["kind"], source["identity"], size, plan["resize"], count)
    manifest = {**plan, "count": count, "fingerprint": name, "shards": shards}
    write_json(_in(output, MANIFEST), manifest)
    os.remove(_in(output, PROGRESS))
    return manifest


def _shards_begun(output: str, plan: dict) -> list[dict]:
    """The entries of the shards that an interrupted run has finished."""
    if os.path.exists(_in(output, PROGRESS)):
        shards = _made_as_planned(output, PROGRESS, plan)["shards"]
        whole = [os.path.exists(_in(output, shard["file"])) for shard in shards]
        return shards[: whole.index(False)] if False in whole else shards
    ours = ("images-", PROGRESS)  # killed before the first shard was noted
    others = [name for name in os.listdir(output) if not name.startswith(ours)]
    if others:
        raise UserError(
            f"{output} holds {others[0]} and is not a folder of records: choose "
            "another --output"
        )
    write_json(_in(output, PROGRESS), {**plan, "shards": []})
    return []


def _report_again(shards: list[dict], bad_images: BadImages) -> None:
    for shard in shards:
        for bad in shard["bad_images"]:
            bad_images.report(Bad(**bad))


def _made_as_planned(output: str, name: str, plan: dict) -> dict:
    found = read_json(_in(output, name))
    for key, planned in plan.items():
        if found.get(key) != planned:
            raise UserError(
                f"{output} holds records made otherwise ({key} is {found.get(key)}, "
                f"not {planned}): choose another --output, or delete it"
            )
    return found


@contextlib.contextmanager
def _locked(output: str) -> Iterator[None]:
    """Makes the folder; only one process at a time may fill it."""
    try:
        os.makedirs(output, exist_ok=True)
        folder = os.open(output, os.O_RDONLY)
    except OSError as error:
        raise UserError(f"{output} cannot be made: {error.strerror}") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise UserError(f"{output} is being prepared by another process") from error
    finally:
        os.close(folder)


def _in(folder: str, name: str) -> str:
    return os.path.join(folder, name)
