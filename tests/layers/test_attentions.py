"""The attentions of the ablations, each against an independent reference."""

import sys
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from lada_tf.layers import (
    DotProductAttention,
    FastformerAttention,
    LadaAttention,
    Ladaformer,
    LinformerAttention,
    PixelShuffle,
    SpaceToDepth,
    WindowAttention,
)
from lada_tf.layers.attentions import NAMES, make_attention
from lada_tf.models import Discriminator, Generator
from tests.layers.layer_checks import run_layer_test

BATCH, SIDE, WIDTH, HEADS = 2, 8, 12, 3
TOKENS, SIZE = SIDE**2, WIDTH // HEADS
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def tokens(count=TOKENS):
    return tf.random.normal((BATCH, count, WIDTH))


def built(layer, count=TOKENS):
    """Build the layer with random weights. Keras would start biases at zero."""
    layer.build((None, count, WIDTH))
    for weight in layer.weights:
        weight.assign(tf.random.normal(weight.shape) / 2)
    return layer


def keras_attention(layer):
    """`keras.layers.MultiHeadAttention` with the weights of a dot-product layer."""
    attention = keras.layers.MultiHeadAttention(HEADS, SIZE)
    attention.build((None, None, WIDTH), (None, None, WIDTH))
    by_head = [
        array.reshape(shape)
        for dense in (layer.query, layer.key, layer.value)
        for array, shape in zip(
            dense.get_weights(), [(WIDTH, HEADS, SIZE), (HEADS, SIZE)], strict=True
        )
    ]
    kernel, bias = layer.output_projection.get_weights()
    attention.set_weights([*by_head, kernel.reshape(HEADS, SIZE, WIDTH), bias])
    return attention


def test_dot_products_are_keras_multi_head_attention():
    layer, x = built(DotProductAttention(HEADS)), tokens()
    output, maps = layer(x, return_attention_maps=True)
    expected, scores = keras_attention(layer)(x, x, return_attention_scores=True)
    np.testing.assert_allclose(output, expected, **CLOSE)
    np.testing.assert_allclose(maps, tf.reduce_mean(scores, 2), **CLOSE)


def test_dot_product_windows_are_keras_attention_on_each_window():
    layer = built(WindowAttention(DotProductAttention(HEADS), window_size=4))
    x = tokens()
    attention = keras_attention(layer.attention)
    grid = tf.reshape(x, (BATCH, SIDE, SIDE, WIDTH)).numpy()
    expected, expected_maps = np.zeros_like(grid), np.zeros((BATCH, HEADS, SIDE, SIDE))
    for top in (0, 4):
        for left in (0, 4):
            part = np.s_[top : top + 4, left : left + 4]
            window = grid[:, *part].reshape(BATCH, 16, WIDTH)
            mixed, scores = attention(window, window, return_attention_scores=True)
            expected[:, *part] = np.reshape(mixed, (BATCH, 4, 4, WIDTH))
            maps = np.mean(scores, axis=2).reshape(BATCH, HEADS, 4, 4)
            expected_maps[:, :, *part] = maps / 4
    output, maps = layer(x, return_attention_maps=True)
    np.testing.assert_allclose(output, expected.reshape(x.shape), **CLOSE)
    np.testing.assert_allclose(maps, expected_maps.reshape(maps.shape), **CLOSE)


def test_one_window_is_the_attention_itself():
    layer, x = built(WindowAttention(LadaAttention(HEADS), window_size=16)), tokens()
    np.testing.assert_array_equal(layer(x), layer.attention(x))


def test_linformer_that_keeps_every_token_is_full_attention():
    layer, x = built(LinformerAttention(HEADS, projected_tokens=TOKENS)), tokens()
    for projection in (layer.key_projection, layer.value_projection):
        projection.assign(tf.eye(TOKENS))
    output, maps = layer(x, return_attention_maps=True)
    expected, scores = keras_attention(layer)(x, x, return_attention_scores=True)
    np.testing.assert_allclose(output, expected, **CLOSE)
    np.testing.assert_allclose(maps, tf.reduce_mean(scores, 2), **CLOSE)


def test_linformer_attends_to_projected_keys_and_values():
    layer, x = built(LinformerAttention(HEADS, projected_tokens=5)), tokens()
    attention = keras_attention(layer)
    # Keras' attention over five tokens, whose keys and values are the projected ones.
    query, key, value = (
        dense(x).numpy() for dense in (layer.query, layer.key, layer.value)
    )
    key, value = layer.key_projection @ key, layer.value_projection @ value
    identity = np.eye(WIDTH, dtype=np.float32).reshape(WIDTH, HEADS, SIZE)
    attention.set_weights(
        [identity, np.zeros((HEADS, SIZE))] * 3 + attention.get_weights()[6:]
    )
    expected = attention(query, value, key)
    np.testing.assert_allclose(layer(x), expected, **CLOSE)


def fastformer_equations(layer, x):
    """Compute the paper's equations per head and per token, in float64."""
    weights = {
        w.path.split("/", 1)[1]: w.numpy().astype(np.float64) for w in layer.weights
    }
    x = x.numpy().astype(np.float64)

    def linear(name, values):
        return values @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]

    query, key = linear("query", x), linear("key", x)
    output, maps = np.zeros_like(x), np.zeros((BATCH, HEADS, x.shape[1]))
    for b in range(BATCH):

        def softmax(name, values, head):
            exponents = np.exp(linear(name, values)[:, head] / np.sqrt(SIZE))
            return exponents / exponents.sum()

        heads = [slice(h * SIZE, (h + 1) * SIZE) for h in range(HEADS)]
        p = np.zeros_like(key[b])
        for h, own in enumerate(heads):
            alpha = softmax("query_score", query[b], h)
            g = sum(alpha[i] * query[b, i, own] for i in range(len(alpha)))
            p[:, own] = g * key[b, :, own]
        u = np.zeros_like(p)
        for h, own in enumerate(heads):
            maps[b, h] = softmax("key_score", p, h)
            k = sum(maps[b, h, i] * p[i, own] for i in range(len(p)))
            u[:, own] = k * query[b, :, own]
        output[b] = linear("transform", u) + query[b]
    return output, maps


def test_fastformer_equations():
    layer, x = built(FastformerAttention(HEADS)), tokens(11)
    output, maps = layer(x, return_attention_maps=True)
    expected, expected_maps = fastformer_equations(layer, x)
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(maps, expected_maps, atol=1e-5)


@pytest.mark.parametrize(
    "layer",
    [
        DotProductAttention(HEADS),
        LinformerAttention(HEADS, projected_tokens=5),
        FastformerAttention(HEADS),
        WindowAttention(DotProductAttention(HEADS), window_size=4),
        WindowAttention(LadaAttention(HEADS), window_size=4),
    ],
    ids=lambda layer: layer.name,
)
def test_common_behaviour(layer, tmp_path):
    shape = (BATCH, TOKENS, WIDTH)
    run_layer_test(layer, [shape], shape, tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_every_attention_in_a_block(name):
    block, x = Ladaformer(HEADS, 16, norm="layer_norm", attention=name), tokens(256)
    output, maps = block(x, return_attention_maps=True)
    assert output.shape == x.shape
    assert maps.shape == (BATCH, HEADS, 256)
    assert maps.dtype == "float32"
    if name != "linformer":  # its projection has either sign
        np.testing.assert_allclose(tf.reduce_sum(maps, -1), np.ones((2, HEADS)), 1e-4)
    copy = Ladaformer.from_config(block.get_config())
    copy(x)
    copy.set_weights(block.get_weights())
    np.testing.assert_allclose(copy(x), output, **CLOSE)


@keras.saving.register_keras_serializable("tests")
class MeanAttention(keras.layers.Layer):
    """A user's own attention: every token becomes the mean of all."""

    def __init__(self, num_heads, kernel_initializer="orthogonal", **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads

    def call(self, inputs, return_attention_maps=False):
        output = tf.reduce_mean(inputs, 1, keepdims=True) + tf.zeros_like(inputs)
        maps = tf.ones((tf.shape(inputs)[0], self.num_heads, tf.shape(inputs)[1]))
        return (output, maps) if return_attention_maps else output


@pytest.mark.parametrize("name", [f"{__name__}:MeanAttention", "tests>MeanAttention"])
def test_a_users_attention_by_import_path_or_registered_name(name):
    block = Ladaformer(HEADS, 16, norm="layer_norm", attention=name)
    assert block(tokens()).shape == (BATCH, TOKENS, WIDTH)
    assert type(block.attention).__name__ == "MeanAttention"


@pytest.fixture
def payload(tmp_path, monkeypatch):
    """An importable module that creates a file when it is imported."""
    (tmp_path / "payload.py").write_text(
        "import pathlib, keras\n"
        "pathlib.Path(__file__).with_name('ran').touch()\n"
        "from lada_tf.layers import LadaAttention as Attention\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "ran"
    sys.modules.pop("payload", None)


TINY = {"widths": (4, 8), "out_widths": (4, 4), "num_heads": 1, "mlp_dim": 4}


@pytest.mark.parametrize(
    "network",
    [
        lambda name: Ladaformer(1, 4, norm="layer_norm", attention=name),
        lambda name: Generator(16, widths=(8, 4), mlp_dim=4, attention=name),
        lambda name: Discriminator(32, attention=name, **TINY),
    ],
    ids=["block", "generator", "discriminator"],
)
def test_a_saved_config_does_not_import_code(network, payload, tmp_path):
    name = f"{__name__}:MeanAttention"
    model = network(name)
    if isinstance(model, Ladaformer):
        model = keras.Sequential([keras.Input((4, 8)), model])
    else:
        model.build()
    model.save(tmp_path / "good.keras")
    with (
        zipfile.ZipFile(tmp_path / "good.keras") as good,
        zipfile.ZipFile(tmp_path / "bad.keras", "w") as bad,
    ):
        for entry in good.namelist():
            content = good.read(entry)
            if entry == "config.json":
                content = content.replace(name.encode(), b"payload:Attention")
            bad.writestr(entry, content)
    with pytest.raises(ValueError, match=r"payload:Attention.*safe_mode=False"):
        keras.saving.load_model(tmp_path / "bad.keras")
    assert not payload.exists()
    keras.saving.load_model(tmp_path / "good.keras", safe_mode=False)
    scope = {name: MeanAttention}
    keras.saving.load_model(tmp_path / "good.keras", custom_objects=scope)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("performer", "attention='performer' is not one of"),
        ("no_such_module:Layer", "cannot be imported: No module named"),
        ("lada_tf.layers:Nothing", "cannot be imported"),
        ("os:system", "is not a Keras layer"),
    ],
)
def test_unknown_attentions(name, message):
    with pytest.raises(ValueError, match=message):
        Ladaformer(HEADS, attention=name)
    with pytest.raises(ValueError, match=message):
        make_attention(name, HEADS, "joint", "zeros", "float32")


def test_sizes_that_do_not_fit():
    window = WindowAttention(LadaAttention(HEADS), window_size=3)
    with pytest.raises(ValueError, match="square number of tokens, not 11"):
        window.build((None, 11, WIDTH))
    with pytest.raises(ValueError, match="window_size=3 does not divide the 8×8"):
        window.build((None, 64, WIDTH))
    with pytest.raises(ValueError, match="fixed number of tokens"):
        LinformerAttention(HEADS).build((None, None, WIDTH))
    with pytest.raises(ValueError, match="num_heads=5 does not divide the width 12"):
        DotProductAttention(5).build((None, 4, WIDTH))


MASKING = {
    "lada": LadaAttention,
    "fastformer": FastformerAttention,
    "linformer": LinformerAttention,
    "dot_product": DotProductAttention,
}


@pytest.mark.parametrize("name", MASKING)
def test_masked_tokens_have_the_weight_0(name):
    layer, x = built(MASKING[name](HEADS), 8), tokens(8)
    mask = tf.constant([[True] * 5 + [False] * 3] * BATCH)
    kept = tf.cast(mask, tf.float32)[:, :, None]
    output, maps = layer(x, mask=mask, return_attention_maps=True)
    other, _ = layer(x + 9 * (1 - kept), mask=mask, return_attention_maps=True)
    np.testing.assert_array_equal(maps[..., 5:], 0)
    np.testing.assert_allclose(output * kept, other * kept, **CLOSE)
    if name != "linformer":  # its number of tokens is fixed
        np.testing.assert_allclose(output[:, :5], layer(x[:, :5]), **CLOSE)
    # Keras passes the mask of the previous layer, and the layer passes it on.
    masked = keras.layers.Masking()(x * kept)
    np.testing.assert_array_equal(layer(masked), layer(x * kept, mask=mask))
    assert layer(masked)._keras_mask is not None
    nothing = layer(x, mask=tf.zeros_like(mask))
    assert np.isfinite(nothing).all()


@pytest.mark.parametrize("name", MASKING)
def test_quantize(name, tmp_path):
    inputs = keras.Input((6, 16))
    layer = MASKING[name](num_heads=2)
    model = keras.Model(inputs, layer(inputs))
    tokens = np.random.default_rng(0).normal(size=(2, 6, 16)).astype("float32")
    before = np.asarray(model(tokens))
    layer.quantize("int8")
    error = np.abs(np.asarray(model(tokens)) - before).max()
    assert 0 < error < 0.05 * np.abs(before).max()
    with pytest.raises(ValueError, match="quantized to int8"):
        model.save(tmp_path / "quantized.keras")


@pytest.mark.parametrize("name", MASKING)
def test_shapes_without_a_call(name):
    layer, symbol = MASKING[name](HEADS), keras.Input((8, WIDTH))
    assert layer.compute_output_shape((None, 8, WIDTH)) == (None, 8, WIDTH)
    output, maps = layer(symbol, return_attention_maps=True)
    assert (output.shape, maps.shape) == ((None, 8, WIDTH), (None, HEADS, 8))
    assert maps.dtype == "float32"


@pytest.mark.parametrize("attention", [*MASKING.values(), WindowAttention, Ladaformer])
def test_inputs_that_are_not_tokens(attention):
    options = {"norm": "layer_norm"} if attention is Ladaformer else {}
    first = DotProductAttention(HEADS) if attention is WindowAttention else HEADS
    for shape in ((4, WIDTH), (2, 8, 8, WIDTH)):
        with pytest.raises(ValueError, match=r"ndim=3|\(batch, tokens, width\)"):
            attention(first, **options)(tf.zeros(shape))
    with pytest.raises(ValueError, match="a fixed width"):
        attention(first, **options)(keras.Input((4, None)))
    layer = attention(first, **options)
    layer(tokens(4))
    for other in (tf.zeros((2, 4)), tf.zeros((2, 4, 2 * WIDTH))):
        with pytest.raises(ValueError, match="incompatible with the layer"):
            layer(other)


@pytest.mark.parametrize("name", MASKING)
def test_one_input(name):
    with pytest.raises(ValueError, match="takes one input"):
        MASKING[name](HEADS)(tokens(4), tokens(4))


@pytest.mark.parametrize("size", [0, -1, 1.5, None, "4"])
def test_sizes_are_positive_integers(size):
    for attention in (*MASKING.values(), Ladaformer):
        with pytest.raises(ValueError, match=f"num_heads={size!r} must be an integer"):
            attention(size)
    with pytest.raises(ValueError, match=f"projected_tokens={size!r} must"):
        LinformerAttention(HEADS, projected_tokens=size)
    with pytest.raises(ValueError, match=f"window_size={size!r} must"):
        WindowAttention(LadaAttention(HEADS), window_size=size)
    for layer in (PixelShuffle, SpaceToDepth):
        with pytest.raises(ValueError, match=f"factor={size!r} must"):
            layer(size)
    with pytest.raises(ValueError, match=f"mlp_dim={size!r} must"):
        Ladaformer(HEADS, mlp_dim=size)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("floatx", ["float16", "float64"])
def test_other_floatx(name, floatx):
    """Layers have the dtype that Keras is set to, like Keras' own layers."""
    layer = make_attention(name, HEADS, "joint", "orthogonal", floatx)
    output, maps = layer(tokens(), return_attention_maps=True)
    assert (output.dtype, maps.dtype) == (floatx, "float32")
    assert np.isfinite(output).all()
