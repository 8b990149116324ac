import keras
import numpy as np
import pytest

from lada_tf.errors import UserError
from lada_tf.evaluation.extract_features import open_extractor
from lada_tf.evaluation.model_features import (
    KerasInceptionV3,
    ModelFeatures,
    SmallClassifier,
)
from lada_tf.models.networks import keras_defaults
from tests.evaluation.recipes import images


def means_model(size=None, dtype="float32"):
    """Return a model that maps images to their mean colors (n, 3)."""
    inputs = keras.Input((size, size, 3), dtype=dtype)
    x = keras.layers.Rescaling(1.0)(inputs)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


@pytest.fixture(params=["keras", "saved_model"])
def save(request, tmp_path):
    def save(model):
        path = str(tmp_path / "net")
        if request.param == "keras":
            model.save(path := path + ".keras")
        else:
            model.export(path, verbose=False)
        return path

    return save


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_a_model_sees_images_of_0_to_255(save, dtype):
    batch = images(0, 4, 8)
    extractor = open_extractor(path := save(means_model(dtype=dtype)))
    result = extractor(batch)
    np.testing.assert_allclose(result.pool, batch.mean(axis=(1, 2)), rtol=1e-5)
    assert result.spatial is None
    assert result.probabilities is None
    assert extractor.metric_name("FID") == f"FD ({path.rsplit('/')[-1]})"


def test_images_are_resized_to_a_fixed_input(save):
    batch = np.repeat(np.repeat(images(0, 2, 8), 4, axis=1), 4, axis=2)
    extractor = ModelFeatures(save(means_model(size=8)))
    # 3: an antialiasing filter reaches a little beyond the border of a 4x4 block.
    np.testing.assert_allclose(extractor(batch).pool, batch.mean(axis=(1, 2)), atol=3)


def test_maps_are_averaged(save):
    inputs = keras.Input((None, None, 3))
    extractor = ModelFeatures(
        save(keras.Model(inputs, keras.layers.MaxPool2D(2)(inputs)))
    )
    batch = np.repeat(np.repeat(images(0, 2, 4), 2, axis=1), 2, axis=2)
    np.testing.assert_allclose(
        extractor(batch).pool, batch.mean(axis=(1, 2)), rtol=1e-5
    )


def test_the_identity_changes_with_the_weights(tmp_path):
    def identity(bias):
        inputs = keras.Input((None, None, 3))
        layer = keras.layers.Conv2D(
            2, 1, bias_initializer=keras.initializers.Constant(bias)
        )
        keras.Model(inputs, layer(inputs)).save(tmp_path / "net.keras")
        return ModelFeatures(str(tmp_path / "net.keras")).identity

    assert identity(0.0) != identity(1.0)


@pytest.mark.parametrize("size", [32, 48])
def test_a_keras_json_of_another_project_changes_no_features(size):
    batch = images(0, 4, size)
    expected = SmallClassifier()(batch).pool
    with keras_defaults():  # restores them
        keras.config.set_floatx("float16")
        keras.config.set_dtype_policy("float16")
        keras.config.set_image_data_format("channels_first")
        found = SmallClassifier()(batch).pool
        inception = KerasInceptionV3(weights=None)
    np.testing.assert_array_equal(found, expected)
    assert {weight.dtype for weight in inception._model.weights} == {"float32"}
    assert inception._model.output_shape == (None, 2048)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.keras", None, "does not exist"),
        ("bad.keras", b"not a model", "features=.*loaded"),
        ("folder", "directory", "features=.*loaded"),
    ],
)
def test_models_that_cannot_be_loaded(tmp_path, name, content, message):
    path = tmp_path / name
    if content == "directory":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        ModelFeatures(str(path))


def test_a_model_of_vectors_is_refused(save):
    inputs = keras.Input((8,))
    with pytest.raises(UserError, match=r"shape \(None, 8\)"):
        ModelFeatures(save(keras.Model(inputs, keras.layers.Dense(2)(inputs))))


@pytest.mark.slow
def test_keras_inception_is_fed_minus_one_to_one():
    extractor = KerasInceptionV3(weights=None)
    batch = images(0, 1, 32)
    network = extractor._model.layers[-1]
    resized = keras.layers.Resizing(299, 299)(batch.astype(np.float32))
    expected = network(keras.applications.inception_v3.preprocess_input(resized))
    # The same float32 layers, but the scaling can round differently.
    np.testing.assert_allclose(extractor(batch).pool, expected, rtol=1e-3, atol=1e-5)
    assert extractor.metric_name("FID") == "FD (Keras InceptionV3)"


def test_keras_inception_without_weights_names_the_file(tmp_path):
    with pytest.raises(UserError, match=KerasInceptionV3.WEIGHTS_FILE):
        KerasInceptionV3(weights=str(tmp_path / "missing.weights.h5"))
