"""Image data sets of TensorFlow Datasets, by name.

The encoded images are read and go through our own decoder, so that a TFDS set and a
folder of the same files give the same pixels.
"""

import os
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import tensorflow as tf

from lada_tf.data.reader import Item, Reader, digest
from lada_tf.errors import UserError


class TfdsReader(Reader):
    """One split, or slice of a split, of a prepared TFDS data set.

    Args:
        name: as TFDS calls it: "cifar10", "celeb_a", "lsun/bedroom".
        split: "train", "train[:20%]", "train+test", ...
        download: prepare it first if it is not there. Otherwise that is an error, at
            once: TFDS by itself would retry for minutes.

    Prepared data are looked for in the environment's TFDS_DATA_DIR, by default TFDS's
    own folder.
    """

    kind = "tfds"

    def __init__(self, name: str, split: str, download: bool):
        self._tfds = _import_tfds(name)
        self._name = f"tfds:{name}:{split}"
        self._builder = self._find(name)
        if not self._builder.is_prepared():
            self._prepare(name, download)
        self._slices = self._absolute(split)
        self._feature = self._image_feature()
        self.identity = digest(self._builder.info.full_name, *self._slices)

    def __len__(self) -> int:
        return sum(piece.stop - piece.start for piece in self._slices)

    def items(self, start: int, stop: int) -> Iterator[Item]:
        number = start
        for image in self._encoded(start, stop):
            yield Item(f"{self._name}[{number}]", partial(_bytes, image))
            number += 1

    def _encoded(self, start: int, stop: int) -> Iterator[tf.Tensor]:
        begin = 0
        for piece in self._slices:
            end = begin + piece.stop - piece.start
            first, last = max(start, begin), min(stop, end)
            if first < last:
                offset = piece.start - begin
                yield from self._read(
                    _Slice(piece.split, first + offset, last + offset)
                )
            begin = end

    def _read(self, piece: "_Slice") -> Iterator[tf.Tensor]:
        tfds = self._tfds
        dataset = self._builder.as_dataset(
            split=tfds.core.ReadInstruction(*piece, unit="abs"),
            shuffle_files=False,
            decoders=tfds.decode.PartialDecoding(
                {self._feature: True}, {self._feature: tfds.decode.SkipDecoding()}
            ),
            # One file after the other: the order must not depend on timing.
            read_config=tfds.ReadConfig(
                interleave_cycle_length=1, try_autocache=False, add_tfds_id=False
            ),
        )
        yield from dataset.map(lambda example: example[self._feature]).prefetch(64)

    def _find(self, name: str):
        try:
            return self._tfds.builder(name, data_dir=os.environ.get("TFDS_DATA_DIR"))
        except ValueError as error:  # no such name, or no such configuration
            first_line = str(error).strip().split("\n")[0]
            raise UserError(f"tfds:{name} is not in TFDS: {first_line}") from error

    def _prepare(self, name: str, download: bool) -> None:
        if not download:
            raise UserError(
                f"tfds:{name} is not prepared in {self._builder.data_dir}: add "
                f"--download, or run `tfds build {name}`, or set TFDS_DATA_DIR to "
                "where it is"
            )
        try:
            self._builder.download_and_prepare()
        except Exception as error:  # network, disk, checksums, manual downloads
            raise UserError(f"tfds:{name} cannot be prepared: {error}") from error

    def _absolute(self, split: str) -> list["_Slice"]:
        splits = self._builder.info.splits
        try:
            instruction = self._tfds.core.ReadInstruction.from_spec(split)
            pieces = instruction.to_absolute(splits)
        except (ValueError, AssertionError, KeyError) as error:
            raise UserError(
                f"{self._name}: no such split; there are {', '.join(splits)}, and "
                "slices of them like train[:20%]"
            ) from error
        slices = [
            _Slice(
                piece.splitname,
                piece.from_ or 0,
                splits[piece.splitname].num_examples if piece.to is None else piece.to,
            )
            for piece in pieces
        ]
        return [piece for piece in slices if piece.start < piece.stop]

    def _image_feature(self) -> str:
        features = self._builder.info.features
        images = [
            key
            for key, feature in features.items()
            if isinstance(feature, self._tfds.features.Image)
        ]
        if not images:
            raise UserError(f"{self._name} has no images; it has {', '.join(features)}")
        return "image" if "image" in images else images[0]


class _Slice(NamedTuple):
    """Examples [start, stop) of a split."""

    split: str
    start: int
    stop: int


def _bytes(image: tf.Tensor) -> bytes:
    return image.numpy()


def _import_tfds(name: str):
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise UserError(
            f"tfds:{name} needs TensorFlow Datasets: `pip install lada_tf[tfds]`"
        ) from error
    return tensorflow_datasets
