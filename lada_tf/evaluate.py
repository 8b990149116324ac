"""Scores a trained generator, or images of any origin, against real ones.

    python -m lada_tf.evaluate --run_dir=runs/c10 --protocol=cifar10_50k
    python -m lada_tf.evaluate --images=samples.npz --real=photos/ --num_generated=10000
    python -m lada_tf.evaluate --run_dir=runs/demo --real=portraits \
        --num_generated=1000 --features=small_classifier

Prints one JSON line on stdout, and a table beside the paper's figures on stderr.
"""

import dataclasses
import functools
import json
import sys
import time
from collections.abc import Callable, Iterable

import numpy as np
import tqdm
from absl import flags

from lada_tf import app
from lada_tf.errors import UserError
from lada_tf.evaluation import images, measure, protocols, reference
from lada_tf.evaluation.extractor import Extractor
from lada_tf.evaluation.open_extractor import open_extractor
from lada_tf.io import default_cache_dir
from lada_tf.runtime import without_tf32

flags.DEFINE_string("run_dir", None, "Run folder whose EMA generator is scored.")
flags.DEFINE_boolean("best", False, "Take its best checkpoint, not the last one.")
flags.DEFINE_string("images", None, "Folder, .npz or .npy of images, scored instead.")
flags.DEFINE_enum("protocol", None, sorted(protocols.PROTOCOLS), "The paper's.")
flags.DEFINE_string(
    "real", None, "Real images (as --data of train), or an ADM reference .npz."
)
flags.DEFINE_string(
    "resize", None, "How real images get their size, as for train: plain, lsun or pad."
)
flags.DEFINE_integer(
    "num_generated", None, "How many images; with --images all by default.", 2
)
flags.DEFINE_integer("num_real", None, "That many random real images, not all.", 2)
flags.DEFINE_string(
    "features",
    "inception",
    "inception (FID), keras_inception_v3, small_classifier (offline), or the path of a "
    ".keras file or SavedModel.",
)
flags.DEFINE_string("inception_graph", None, "The 2015 graph's .pb file.")
flags.DEFINE_string("inception_sha256", None, "Checksum, to accept another graph.")
flags.DEFINE_integer("seed", 0, "Of the latents.")
flags.DEFINE_integer("batch_size", 64, "Images at a time.", 1)
flags.DEFINE_integer("splits", None, "Inception score in parts, not ADM's chunks.", 1)
flags.DEFINE_enum(
    "precision_recall", "float32", ["float32", "adm_float16"], "Arithmetic."
)
flags.DEFINE_string("cache_dir", None, "Of reference statistics; ~/.cache/lada_tf.")
flags.DEFINE_string("export_reference", None, "Write the real side as an ADM .npz.")
FLAGS = flags.FLAGS


@dataclasses.dataclass
class Generated:
    """The generated side: where it comes from, and its images, in batches."""

    origin: dict
    image_size: int
    available: int | None  # None: as many as one likes
    batches: Callable[[int], Iterable[np.ndarray]]


@without_tf32()
def main() -> None:
    start = time.time()
    protocol = _protocol()
    generated = _open_images() if FLAGS.images else _open_run()
    count = _num_generated(protocol, generated)
    if protocol.image_size:
        measure.check_size(generated.image_size, protocol.image_size)
    extractor = open_extractor(
        FLAGS.features, FLAGS.inception_graph, FLAGS.inception_sha256
    )
    real = _reference(protocol, generated.image_size, extractor)
    options = {"splits": FLAGS.splits, "arithmetic": FLAGS.precision_recall}
    metrics = measure.measure(
        generated.batches(count),
        count,
        real,
        extractor,
        progress=_progress("generated images", count),
        **options,
    )
    record = {
        "metrics": metrics,
        "protocol": FLAGS.protocol,
        "num_generated": count,
        **generated.origin,
        **measure.provenance(real, extractor, **options),
        "seconds": round(time.time() - start, 1),
    }
    print(measure.table(metrics, protocol.paper), file=sys.stderr)
    print(json.dumps(record), flush=True)


def _protocol() -> protocols.Protocol:
    """The one named, or one of the user's own data, with what the flags change."""
    if not FLAGS.protocol:
        if not FLAGS.real:
            raise UserError("give --protocol=NAME, or --real=SOURCE to compare with")
        return protocols.Protocol(
            image_size=None,
            num_generated=FLAGS.num_generated,
            num_real=FLAGS.num_real,
            source=FLAGS.real,
            resize=FLAGS.resize,
            paper={},
        )
    for name in ("num_generated", "num_real", "resize"):
        if FLAGS[name].value is not None:
            raise UserError(
                f"--{name} is fixed by --protocol={FLAGS.protocol}: leave one out"
            )
    protocol = protocols.protocol(FLAGS.protocol)
    source = FLAGS.real or protocol.source
    if source is None:
        raise UserError(f"--protocol={FLAGS.protocol} needs --real: {protocol.needs}")
    return dataclasses.replace(protocol, source=source)


def _open_images() -> Generated:
    if FLAGS.run_dir:
        raise UserError("--run_dir and --images exclude each other")
    source = images.ImagesOnDisk(FLAGS.images)
    return Generated(
        {"images": source.fingerprint},
        source.image_size,
        len(source),
        lambda count: images.batches(source, np.arange(count), FLAGS.batch_size),
    )


def _open_run() -> Generated:
    if not FLAGS.run_dir:
        raise UserError("give --run_dir=RUN, or --images=FOLDER or .npz")
    from lada_tf.training import load_run  # TensorFlow's import, only where needed

    gan = load_run(FLAGS.run_dir, best=FLAGS.best)
    generate = functools.partial(
        images.generate,
        images.quantized(gan.ema_generator),
        gan.latent_dim,
        seed=FLAGS.seed,
        batch_size=FLAGS.batch_size,
    )
    size = next(generate(num_images=1)).shape[1]
    origin = {
        "run_dir": FLAGS.run_dir,
        "images_seen": int(gan.images_seen),
        "seed": FLAGS.seed,
    }
    return Generated(origin, size, None, lambda count: generate(num_images=count))


def _num_generated(protocol: protocols.Protocol, generated: Generated) -> int:
    count = protocol.num_generated or generated.available
    if count is None:
        raise UserError("give --num_generated=N (50000 is usual), or a --protocol")
    if generated.available is not None and count > generated.available:
        raise UserError(
            f"{count} generated images are needed; --images={FLAGS.images} has "
            f"{generated.available}"
        )
    return count


def _reference(
    protocol: protocols.Protocol, image_size: int, extractor: Extractor
) -> reference.Reference:
    assert protocol.source
    if reference.is_reference(protocol.source):
        real = reference.load_reference(
            protocol.source,
            extractor,
            FLAGS.batch_size,
            _progress("reference batch", None),
        )
        if real.images is not None:
            measure.check_size(image_size, real.images.shape[1])
    else:
        from lada_tf.data import open_source

        source = open_source(protocol.source, image_size, resize=protocol.resize)
        if protocol.count and len(source) != protocol.count:
            raise UserError(
                f"--real={protocol.source} holds {len(source)} images; "
                f"--protocol={FLAGS.protocol} is defined on {protocol.count}"
            )
        count = protocol.num_real or len(source)
        real = reference.cached_reference(
            source,
            extractor,
            FLAGS.cache_dir or default_cache_dir(),
            protocol.num_real,
            batch_size=FLAGS.batch_size,
            progress=_progress("real images", count),
        )
    if FLAGS.export_reference:
        reference.save_reference(real, FLAGS.export_reference, extractor)
    return real


def _progress(what: str, count: int | None):
    """Wraps batches in a bar that counts images."""

    def wrap(batches):
        with tqdm.tqdm(total=count, desc=what, unit="img", disable=None) as bar:
            for batch in batches:
                yield batch
                bar.update(len(batch))

    return wrap


if __name__ == "__main__":
    app.run(main)
