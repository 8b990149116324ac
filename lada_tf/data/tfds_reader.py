"""Image datasets of TensorFlow Datasets (TFDS)."""

import os
from collections.abc import Iterator
from typing import NamedTuple

import tensorflow as tf
from absl import logging

from lada_tf.data.readers import Item, Reader
from lada_tf.errors import UserError


class _Slice(NamedTuple):
    """Examples [start, stop) of a split."""

    split: str
    start: int
    stop: int


class TfdsReader(Reader):
    """A split, or part of a split, of a prepared TFDS dataset.

    Reads from the environment variable TFDS_DATA_DIR, or from TFDS's default directory.
    Images are returned encoded, so our decoder makes the same pixels as from files.
    Without `download`, an unprepared dataset raises UserError at once.
    """

    kind = "tfds"

    def __init__(self, name: str, split: str, download: bool):
        self._name = f"tfds:{name}:{split}"
        try:
            import tensorflow_datasets
        except ImportError as error:
            raise UserError(
                f"data={self._name}: requires `pip install 'lada_tf[tfds]'`"
            ) from error
        self._tfds = tensorflow_datasets
        self._builder = self._prepared_builder(name, download)
        self._slices = self._parse_split(split)
        self._feature = self._image_feature()
        self.selection = str(self._slices)
        splits = self._builder.info.splits
        self.files = [
            str(path) for part in self._slices for path in splits[part.split].filepaths
        ]

    def __len__(self) -> int:
        return sum(part.stop - part.start for part in self._slices)

    def items(self, start: int, stop: int) -> Iterator[Item]:
        offset = 0  # index of the first example of `part`
        for part in self._slices:
            first = max(part.start, part.start + start - offset)
            last = min(part.stop, part.start + stop - offset)
            if first < last:
                images = self._read(_Slice(part.split, first, last))
                for index, image in enumerate(images, offset + first - part.start):
                    yield Item(f"{self._name}[{index}]", image.numpy)
            offset += part.stop - part.start

    def _read(self, part: _Slice) -> Iterator[tf.Tensor]:
        tfds = self._tfds
        dataset = self._builder.as_dataset(
            split=tfds.core.ReadInstruction(*part, unit="abs"),
            shuffle_files=False,
            decoders=tfds.decode.PartialDecoding(
                {self._feature: True}, {self._feature: tfds.decode.SkipDecoding()}
            ),
            # Read one file at a time, so that the order does not depend on timing.
            read_config=tfds.ReadConfig(
                interleave_cycle_length=1, try_autocache=False, add_tfds_id=False
            ),
        )
        yield from dataset.map(lambda example: example[self._feature]).prefetch(64)

    def _prepared_builder(self, name: str, download: bool):
        verbosity = logging.get_verbosity()
        logging.set_verbosity(logging.ERROR)  # it warns if the dataset is missing
        try:
            builder = self._tfds.builder(name, data_dir=os.environ.get("TFDS_DATA_DIR"))
            is_prepared = builder.is_prepared()
        except ValueError as error:  # unknown dataset or configuration
            first_line = str(error).strip().split("\n")[0].rstrip(".")
            raise UserError(
                f"data=tfds:{name}: {first_line}. Check the name"
            ) from error
        finally:
            logging.set_verbosity(verbosity)
        if is_prepared:
            return builder
        if not download:
            raise UserError(
                f"data=tfds:{name}: not prepared in {builder.data_dir}. Set "
                f"download=True, run `tfds build {name}`, or set TFDS_DATA_DIR to the "
                "directory that contains it"
            )
        try:
            builder.download_and_prepare()
        except Exception as error:  # network, disk, checksums, manual downloads
            raise UserError(f"data=tfds:{name}: cannot prepare it: {error}") from error
        return builder

    def _parse_split(self, split: str) -> list[_Slice]:
        splits = self._builder.info.splits
        try:
            instruction = self._tfds.core.ReadInstruction.from_spec(split)
            parts = instruction.to_absolute(splits)
        except (ValueError, AssertionError, KeyError) as error:
            raise UserError(
                f"data={self._name}: no such split. The splits are {', '.join(splits)} "
                "and parts of them like train[:20%]"
            ) from error
        slices = []
        for part in parts:
            count = splits[part.splitname].num_examples
            stop = count if part.to is None else part.to
            slices.append(_Slice(part.splitname, part.from_ or 0, stop))
        return [part for part in slices if part.start < part.stop]

    def _image_feature(self) -> str:
        features = self._builder.info.features
        kind = self._tfds.features.Image
        images = [name for name in features if isinstance(features[name], kind)]
        if not images:
            raise UserError(f"data={self._name}: no images, only {', '.join(features)}")
        return "image" if "image" in images else images[0]
