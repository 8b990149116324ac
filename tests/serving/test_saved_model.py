"""The SavedModel: its signatures, invalid requests, and loading without Keras."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from lada_tf.sampling import generate_images, latents, to_uint8
from lada_tf.serving.saved_model import graph_latents, write_saved_model

pytestmark = pytest.mark.slow

LATENTS = np.random.default_rng(0).standard_normal((3, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(generator, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "1"
    write_saved_model(generator, folder, max_batch=8)
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return tf.saved_model.load(str(folder))


@pytest.fixture
def generate(model):
    def generate(seed, num_images, truncation=1.0):
        return model.signatures["generate"](
            seed=tf.constant(seed, tf.int64),
            num_images=tf.constant(num_images),
            truncation=tf.constant(truncation),
        )["images"].numpy()

    return generate


@pytest.fixture
def interpolate(model):
    def interpolate(first_seed, second_seed, steps):
        return model.signatures["interpolate"](
            first_seed=tf.constant(first_seed, tf.int64),
            second_seed=tf.constant(second_seed, tf.int64),
            steps=tf.constant(steps),
        )["images"].numpy()

    return interpolate


def assert_same_pictures(images, others):
    """Compare up to one level: sums round differently in other batch sizes."""
    others = np.asarray(others)
    assert images.dtype == others.dtype == np.uint8
    difference = np.abs(images.astype(int) - others)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3


def test_images_are_those_of_keras(model, generator):
    expected, expected_maps = generator(LATENTS, return_attention_maps=True)
    latents = tf.constant(LATENTS)
    images = model.signatures["serving_default"](latents=latents)["images"].numpy()
    assert_same_pictures(images, to_uint8(expected))
    outputs = model.signatures["attention"](latents=latents)
    assert_same_pictures(outputs["images"].numpy(), to_uint8(expected))
    for i, stage in enumerate(expected_maps):
        np.testing.assert_allclose(outputs[f"attention_{i}"], stage, atol=1e-6)
    floats = model.signatures["forward"](latents=latents)["images"]
    np.testing.assert_allclose(floats, expected, atol=1e-5)


def test_a_model_for_xla_makes_the_same_pictures(model, generator, tmp_path):
    write_saved_model(generator, tmp_path, jit_compile=True)
    compiled = tf.saved_model.load(str(tmp_path))
    (function,) = compiled.serving_default.concrete_functions
    calls = function.graph.as_graph_def().node
    assert any(call.attr["_XlaMustCompile"].b for call in calls)
    for count in (3, 1):
        latents = tf.constant(LATENTS[:count])
        pictures = [
            each.signatures["serving_default"](latents=latents)["images"].numpy()
            for each in (compiled, model)
        ]
        assert_same_pictures(*pictures)


def test_latents_of_the_graph_are_those_of_numpy():
    graph = tf.function(graph_latents)
    for seed in (0, 42, 2**53 - 1, 2**63 - 1):
        np.testing.assert_array_equal(
            graph(tf.constant(seed, tf.int64), 50, 6), latents(seed, range(50), 6)
        )
    assert graph(tf.constant(0, tf.int64), 0, 6).shape == (0, 6)


def test_images_of_a_seed_are_those_of_python(generate, generator):
    images = generate_images(generator, 5, seed=42, truncation=0.5)
    assert_same_pictures(generate(42, 5, 0.5), images)


def test_interpolation_goes_from_one_seed_to_the_other(interpolate, generate):
    images = interpolate(1, 2, 8)
    assert images.shape == (8, 32, 32, 3)
    assert_same_pictures(images[:1], generate(1, 1))
    assert_same_pictures(images[-1:], generate(2, 1))
    steps = np.abs(np.diff(images.astype(int), axis=0)).mean(axis=(1, 2, 3))
    whole = np.abs(images[-1].astype(int) - images[0]).mean()
    assert steps.max() < 0.6 * whole  # no jump


@pytest.mark.parametrize(
    ("latents", "message"),
    [
        (np.zeros((0, 6)), "from 1 to 8, not"),
        (np.zeros((9, 6)), "from 1 to 8, not"),
        (np.full((2, 6), np.nan), "latents must be finite"),
        (np.full((2, 6), -np.inf), "latents must be finite"),
    ],
)
def test_bad_latents_are_refused(model, latents, message):
    latents = tf.constant(latents, tf.float32)
    for name in ("serving_default", "attention", "forward"):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            model.signatures[name](latents=latents)


def test_a_server_refuses_latents_of_another_width(folder):
    """Servers run the graph in a session, which does not compare shapes."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
        signature = meta.signature_def["serving_default"]
        options = config_pb2.CallableOptions(
            feed=[signature.inputs["latents"].name],
            fetch=[signature.outputs["images"].name],
        )
        call = session._make_callable_from_options(options)
        assert call(LATENTS)[0].shape == (3, 32, 32, 3)
        message = "a latent must have 6 numbers, not"
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            call(LATENTS[:, :5])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 1), "seed must be at least 0"),
        ((0, 0), "num_images must be from 1 to 8"),
        ((0, 9), "num_images must be from 1 to 8"),
        ((0, 1, 0.0), "truncation must be above 0"),
        ((0, 1, 1.1), "truncation must be above 0"),
        ((0, 1, np.nan), "truncation must be above 0"),
    ],
)
def test_bad_requests_to_generate_are_refused(generate, arguments, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        generate(*arguments)


def test_bad_requests_to_interpolate_are_refused(interpolate):
    for arguments in ((-1, 1, 4), (1, -1, 4), (1, 2, 1), (1, 2, 9)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="must be"):
            interpolate(*arguments)


def test_it_holds_only_the_ema_weights(folder, generator):
    saved = tf.train.list_variables(str(folder / "variables" / "variables"))
    count = sum(np.prod(shape) for name, shape in saved if "weights/" in name)
    assert count == sum(w.numpy().size for w in generator.weights)
    assert b"lada_tf" not in (folder / "saved_model.pb").read_bytes()


WITHOUT_KERAS = """
import sys

for name in ("keras", "tf_keras", "lada_tf"):
    sys.modules[name] = None  # as if not installed
import numpy as np, tensorflow as tf

folder, latents = sys.argv[1:]
latents = tf.constant(np.load(latents))
models = [tf.saved_model.load(folder) for _ in range(2)]
images = [m.signatures["serving_default"](latents=latents)["images"] for m in models]
assert np.array_equal(*images)
np.save(folder + ".npy", images[0])
"""


def test_moved_and_twice_in_a_process_without_keras(folder, generator, tmp_path):
    moved = tmp_path / "elsewhere" / "2"
    shutil.copytree(folder, moved)
    np.save(tmp_path / "latents.npy", LATENTS)
    subprocess.run(
        [sys.executable, "-c", WITHOUT_KERAS, moved, tmp_path / "latents.npy"],
        check=True,
    )
    images = np.load(f"{moved}.npy")
    assert_same_pictures(images, to_uint8(generator(LATENTS)))


def test_saved_model_cli_runs_it(folder, generate, tmp_path):
    """This uses a session, like C++ servers, instead of the Python loader."""
    subprocess.run(
        [
            Path(sys.executable).with_name("saved_model_cli"),
            "run",
            f"--dir={folder}",
            "--tag_set=serve",
            "--signature_def=generate",
            "--input_exprs=seed=7;num_images=4;truncation=1.0",
            f"--outdir={tmp_path}",
        ],
        check=True,
        capture_output=True,
    )
    assert_same_pictures(np.load(tmp_path / "images.npy"), generate(7, 4))
