"""The authors' checkpoints: their `tf.train.Checkpoint` layout and `config.json`.

Their object graph names every tensor by the path of attributes that leads to it, for
example `generator/block_8/attn/wq/kernel`. Adam's slots lie in a flat list of pairs
(momentum, velocity), in the order in which the player's trainable variables were made.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from lada_tf.errors import UserError
from lada_tf.models import LadaGAN, Preset
from lada_tf.training.checkpoints import VALUE, Checkpoints
from lada_tf.training.run_directory import RunDirectory

LOSSES = {"nsl": "non_saturating", "hinge": "hinge"}


def load_official_checkpoint(checkpoint, config):
    """Reads a checkpoint of the authors' TensorFlow code.

    Args:
        checkpoint: path of a checkpoint's folder (its newest checkpoint is read) or of
            one checkpoint, without its `.index` suffix.
        config: path of its `config.json`, or its content as a dict.

    Returns:
        A compiled `LadaGAN` with the weights of both players and of the averaged
        generator, the state of both Adams, and the count of images.

    Raises:
        UserError: if there is no checkpoint, a key of the configuration is missing or
            not supported, or a tensor is missing or has another shape; the message
            names it.
    """
    gan = _build(_read_preset(config))
    tensors = _Tensors(checkpoint)
    for name, generator in (
        ("generator", gan.generator),
        ("ema_generator", gan.ema_generator),
    ):
        tensors.assign_all(_generator_paths(generator), name)
    tensors.assign_all(_discriminator_paths(gan.discriminator), "discriminator")
    tensors.assign_adam(gan.g_optimizer, _generator_paths(gan.generator), "g_optimizer")
    tensors.assign_adam(
        gan.d_optimizer, _discriminator_paths(gan.discriminator), "d_optimizer"
    )
    gan.image_counter.assign(int(tensors.read("n_images", ())))
    gan.step_counter.assign(int(gan.g_optimizer.iterations.numpy()))
    return gan


def import_official_checkpoint(checkpoint, config, run_dir, data=""):
    """Writes an authors' checkpoint as a run folder of ours.

    Args:
        checkpoint: as for `load_official_checkpoint`.
        config: the same.
        run_dir: path of the folder to make.
        data: dataset to write into its flags, for training to go on with.

    Returns:
        The `LadaGAN`.

    Raises:
        UserError: as `load_official_checkpoint`, or if the folder holds a run already.
    """
    folder = RunDirectory(run_dir)
    if folder.flags_file.exists():
        raise UserError(f"--run_dir={run_dir} holds a run already: give a new folder")
    gan = load_official_checkpoint(checkpoint, config)
    preset = dataclasses.replace(
        _read_preset(config), data=data, total_images=gan.images_seen
    )
    folder.start(preset, {"seed": gan.seed})
    Checkpoints(folder.checkpoints, gan).save()
    return gan


def _read_preset(config):
    """The `Preset` of an authors' config.json (path or content)."""
    if not isinstance(config, dict):
        try:
            config = json.loads(Path(config).read_text())
        except (OSError, ValueError) as error:
            raise UserError(
                f"{config}: not a readable config.json ({error})"
            ) from error
    try:
        return _preset(config)
    except KeyError as error:
        raise UserError(f"config.json lacks the key {error.args[0]!r}") from None


def _preset(config):
    size = config["img_size"]
    decoder_widths = tuple(config.get("dec_dim") or ())
    loss = config["loss"]
    if loss not in LOSSES:
        raise UserError(f"config.json: loss {loss!r} is not one of {', '.join(LOSSES)}")
    consistency = config["cr_weight"] if config["bcr"] else 0.0
    return Preset(
        data="",
        image_size=size,
        g_widths=tuple(config["g_dim"]),
        output_head="decoder" if decoder_widths else "pixel" if size == 32 else "patch",
        decoder_widths=decoder_widths,
        d_widths=tuple(config["d_enc_dim"]),
        batch_size=config["batch_size"],
        augment=config.get("policy", ""),
        total_images=0,
        latent_dim=config["noise_dim"],
        g_heads=tuple(config["g_heads"]),
        g_mlp_dim=tuple(config["g_mlp"]),
        d_out_widths=tuple(config["d_out_dim"]),
        d_heads=config["d_heads"],
        d_mlp_dim=config["d_mlp"],
        g_initializer=config.get("g_initializer", "orthogonal"),
        d_initializer=config.get("d_initializer", "orthogonal"),
        loss=LOSSES[loss],
        r1_gamma=config["gp_weight"],
        bcr_real=consistency,
        bcr_fake=consistency,
        g_learning_rate=config["g_lr"],
        d_learning_rate=config["d_lr"],
        g_betas=(config["g_beta1"], config["g_beta2"]),
        d_betas=(config["d_beta1"], config["d_beta2"]),
        ema_decay=config["ema_decay"],
    )


def _build(preset):
    try:
        gan = LadaGAN.from_preset(preset)
    except ValueError as error:
        raise UserError(f"config.json: {error}") from error
    gan.compile()
    return gan


class _Tensors:
    """The tensors of a checkpoint, each read once and checked against its variable."""

    def __init__(self, checkpoint):
        path = Path(checkpoint)
        prefix = tf.train.latest_checkpoint(path) if path.is_dir() else str(path)
        try:
            self.reader = tf.train.load_checkpoint(prefix)
        except (TypeError, ValueError, tf.errors.OpError) as error:
            raise UserError(
                f"{checkpoint}: no readable TensorFlow checkpoint"
            ) from error
        self.prefix = prefix
        self.shapes = self.reader.get_variable_to_shape_map()

    def read(self, name, shape):
        if name + VALUE not in self.shapes:
            raise UserError(f"{self.prefix} lacks the tensor {name}")
        found = tuple(self.shapes[name + VALUE])
        if found != tuple(shape):
            raise UserError(
                f"{self.prefix}: tensor {name} has shape {found}, the configuration "
                f"asks for {tuple(shape)}"
            )
        return self.reader.get_tensor(name + VALUE)

    def assign_all(self, paths, player):
        for path, variable in paths:
            variable.assign(self.read(f"{player}/{path}", variable.shape))

    def assign_adam(self, optimizer, paths, name):
        slots = {
            id(variable): index
            for index, variable in enumerate(optimizer._trainable_variables)
        }
        trainable = [variable for _, variable in paths if id(variable) in slots]
        for theirs, variable in enumerate(trainable):
            ours = slots[id(variable)]
            for offset, slot in (
                (1, optimizer._momentums[ours]),
                (2, optimizer._velocities[ours]),
            ):
                path = f"{name}/_variables/{2 * theirs + offset}"
                slot.assign(self.read(path, variable.shape))
        optimizer.iterations.assign(np.int64(self.read(f"{name}/_iterations", ())))
        optimizer.learning_rate.assign(self.read(f"{name}/_learning_rate", ()))


def _generator_paths(generator):
    """(their path, our variable) in the order in which they make them."""
    paths = [("init/layer_with_weights-0/kernel", generator.latent_projection.kernel)]
    for i, side in enumerate(generator.resolutions):
        if i > 0:
            convolution = generator.expansions[i - 1].convolution
            paths += _kernel_bias(f"conv_{side // 2}", convolution)
        paths += _position(f"pos_emb_{side}", generator.position_embeddings[i])
        paths += _block(f"block_{side}", generator.blocks[i])
    # Their decoder is a Sequential: convolution, normalization, convolution, …
    for i, level in enumerate(generator.decoder):
        paths += _kernel_bias(f"dec/layer_with_weights-{2 * i}", level.convolution)
        paths += _batch_norm(f"dec/layer_with_weights-{2 * i + 1}", level.norm)
    return paths + _kernel_bias("ch_conv", generator.to_rgb)


def _discriminator_paths(discriminator):
    paths = [
        (
            "inp_conv/layer_with_weights-0/kernel",
            discriminator.input_convolution.kernel,
        )
    ]
    for i, block in enumerate(discriminator.down_blocks):
        for j, (path, first) in enumerate((("main", 0), ("main", 2), ("direct", 0))):
            prefix = f"encoder/{i}/{path}/layer_with_weights-"
            paths.append((f"{prefix}{first}/kernel", block.convolutions[j].kernel))
            paths += _batch_norm(f"{prefix}{first + 1}", block.norms[j])
    paths += _position("pos_emb_8", discriminator.position_embedding)
    paths += _block("block_8", discriminator.block)
    paths += _kernel_bias("conv_4", discriminator.merge)
    down = "down_4/layer_with_weights-"
    return [
        *paths,
        (f"{down}0/kernel", discriminator.hidden_convolution.kernel),
        (f"{down}1/kernel", discriminator.to_logits.kernel),
    ]


def _block(prefix, block):
    attention = block.attention
    paths = []
    for theirs, ours in (
        ("wq", attention.query),
        ("wk", attention.key),
        ("wv", attention.value),
        ("q_attn", attention.score_map),
        ("to_out", attention.output_projection),
    ):
        paths += _kernel_bias(f"{prefix}/attn/{theirs}", ours)
    paths += _kernel_bias(f"{prefix}/mlp/layer_with_weights-0", block.mlp_hidden)
    paths += _kernel_bias(f"{prefix}/mlp/layer_with_weights-1", block.mlp_output)
    for theirs, norm in (("norm1", block.attention_norm), ("norm2", block.mlp_norm)):
        if block.norm == "sln":
            for part in ("hidden", "gamma", "beta"):
                theirs_part = "h" if part == "hidden" else part
                paths += _kernel_bias(
                    f"{prefix}/{theirs}/{theirs_part}", getattr(norm, part)
                )
        else:
            paths += [
                (f"{prefix}/{theirs}/gamma", norm.gamma),
                (f"{prefix}/{theirs}/beta", norm.beta),
            ]
    return paths


def _kernel_bias(prefix, layer):
    return [(f"{prefix}/kernel", layer.kernel), (f"{prefix}/bias", layer.bias)]


def _position(prefix, layer):
    return [(f"{prefix}/position_embedding/embeddings", layer.embeddings)]


def _batch_norm(prefix, layer):
    return [
        (f"{prefix}/{name}", getattr(layer, name))
        for name in ("gamma", "beta", "moving_mean", "moving_variance")
    ]
