"""Train `lada_tf.evaluation.model_features.SmallClassifier` and write its weights.

python -m scripts.train_small_classifier --labels=train-labels-idx1-ubyte.gz \
    --output=lada_tf/evaluation/small_classifier.npz

Needs Debian's package `dataset-fashion-mnist`. Two tasks share the features. The first
is Fashion-MNIST's ten classes, in random colors. The second is to recognize each of the
997 portraits under shifts, flips and scaling, so that the features see color. Each
portrait is a class (Dosovitskiy et al. 2014).
"""

import gzip

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from lada_tf import app, data
from lada_tf.evaluation.model_features import build_small_classifier

flags.DEFINE_string("labels", None, "IDX file of Fashion-MNIST's training labels.")
flags.DEFINE_string("output", None, "The .npz to write.")
flags.DEFINE_integer("steps", 3000, "Optimizer steps of 64 + 64 images.")
flags.mark_flags_as_required(["labels", "output"])
FLAGS = flags.FLAGS
BATCH = 64


def main() -> None:
    keras.utils.set_random_seed(0)
    garments = data.open_source("fashion_mnist", 32)
    portraits = data.open_source("portraits", 32)
    with gzip.open(FLAGS.labels) as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    features = build_small_classifier()
    model = keras.Model(
        features.input,
        keras.layers.Dense(10 + len(portraits))(features.layers[-2].output),
    )
    schedule = keras.optimizers.schedules.CosineDecay(2e-3, FLAGS.steps)
    model.compile(
        keras.optimizers.Adam(schedule),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    batches = tf.data.Dataset.zip(
        _shuffled(garments, labels.astype(np.int32)).map(_recolor),
        _shuffled(portraits, 10 + np.arange(len(portraits), dtype=np.int32)),
    ).map(_join, tf.data.AUTOTUNE)
    model.fit(
        batches.prefetch(2), steps_per_epoch=FLAGS.steps // 10, epochs=10, verbose=2
    )
    weights = features.get_weights()
    np.savez_compressed(
        FLAGS.output,
        **{f"{index:02}": w.astype(np.float16) for index, w in enumerate(weights)},
    )


def _shuffled(source: data.ImageSource, labels: np.ndarray) -> tf.data.Dataset:
    images = source.images(np.arange(len(source)))
    pairs = tf.data.Dataset.from_tensor_slices((images, labels))
    return pairs.shuffle(len(labels), seed=0).repeat().batch(BATCH)


def _recolor(images, labels):
    """Map gray levels to a gradient between two random colors."""
    shade = tf.cast(images, tf.float32) / 255
    ground, figure = tf.unstack(tf.random.uniform((2, BATCH, 1, 1, 3), 0, 255))
    return ground + shade * (figure - ground), labels


def _join(first, second):
    images = tf.concat([first[0], tf.cast(second[0], tf.float32)], axis=0)
    return _distort(images), tf.concat([first[1], second[1]], axis=0)


def _distort(images):
    images = tf.image.random_flip_left_right(images)
    # Crop boxes with sides of 0.8 to 1.1 of the image. Outside the image is white.
    count = tf.shape(images)[0]
    side = tf.random.uniform((count, 1), 0.8, 1.1)
    corner = tf.random.uniform((count, 2), -0.1, 1.1 - side)
    boxes = tf.concat([corner, corner + side], axis=1)
    return tf.image.crop_and_resize(
        images, boxes, tf.range(count), images.shape[1:3], extrapolation_value=255
    )


if __name__ == "__main__":
    app.run(main)
