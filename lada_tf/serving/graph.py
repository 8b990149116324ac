"""The generator as a TensorFlow function that every converter understands."""

import tensorflow as tf


def forward_function(generator, jit_compile=False):
    """A generator's inference as a `tf.function` of latents alone.

    Args:
        generator: a built `Generator`.
        jit_compile: bool, whether XLA compiles it, anew for each batch size.

    Returns:
        A `tf.function`, float32 latents (B, latent_dim), any B, to a dict: `images`,
        float32 (B, H, W, 3) meant for [-1, 1], and `attention_0`, `attention_1`, …,
        float32 (B, heads, tokens), one a stage.
    """
    spec = tf.TensorSpec((None, generator.latent_dim), tf.float32, name="latents")
    grids = zip(generator.num_heads, generator.resolutions, strict=True)
    shapes = [(None, heads, side**2) for heads, side in grids]

    @tf.function(input_signature=[spec], jit_compile=jit_compile or None)
    def forward(latents):
        images, maps = generator(latents, training=False, return_attention_maps=True)
        images.set_shape((None, generator.image_size, generator.image_size, 3))
        for stage, shape in zip(maps, shapes, strict=True):
            stage.set_shape(shape)
        return {"images": images} | {f"attention_{i}": m for i, m in enumerate(maps)}

    return forward


def as_module(generator, **functions) -> tf.Module:
    """A `tf.Module` that owns a generator's weights and some functions of it.

    Keras' own objects would bring their classes and configuration into a SavedModel;
    plain variables leave nothing that a reader has to know.
    """
    module = tf.Module()
    module.weights = [weight.value for weight in generator.weights]
    for name, function in functions.items():
        setattr(module, name, function)
    return module
