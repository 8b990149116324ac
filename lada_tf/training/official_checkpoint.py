"""The authors' checkpoints: their `tf.train.Checkpoint` layout and `config.json`.

Their checkpoint names every tensor by its path of attributes, for example
`generator/block_8/attn/wq/kernel`. Adam's slots are in a flat list of pairs (momentum,
velocity), in the order in which the network's trainable variables were created.
"""

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lada_tf.errors import UserError
from lada_tf.io import read_json, user_files
from lada_tf.models import LadaGAN, Preset, hub
from lada_tf.training.checkpoints import VALUE, Checkpoints
from lada_tf.training.run_directory import RunDirectory

# The authors' weights on the Hub: `official:cifar10` is their directory cifar10.
OFFICIAL_PREFIX = "official:"
REPO = f"{hub.HUB_PREFIX}milmor/LadaGAN"
NAMES = ("cifar10", "celeba_64", "ffhq_128", "bedroom_128")
CHECKPOINTS = "best-training-checkpoints"
LOSSES = {"nsl": "non_saturating", "hinge": "hinge"}
NORM = ("gamma", "beta", "moving_mean", "moving_variance")  # batch normalization


def load_official_checkpoint(
    checkpoint: str | os.PathLike, config: str | os.PathLike | dict | None = None
) -> LadaGAN:
    """Load a checkpoint of the authors' TensorFlow code.

    Args:
        checkpoint: path of a directory, to load its newest checkpoint; path of one
            checkpoint, without its `.index` suffix; or `"official:NAME"` with one of
            `NAMES`, to download the authors' weights.
        config: path of the run's `config.json`, or its content. The default is the file
            next to the directory of the checkpoint.

    Returns:
        A compiled `LadaGAN` with the weights of the generator, the EMA generator, and
        the discriminator, both optimizer states, and the number of images seen.

    Raises:
        UserError: if there is no checkpoint, a key of the configuration is missing or
            not supported, or a tensor is missing or has another shape.
    """
    checkpoint, config = _find(checkpoint, config)
    preset = _read_preset(config)
    try:
        gan = LadaGAN.from_preset(preset)
    except ValueError as error:
        raise UserError(f"config.json: {error}") from error
    gan.compile()
    tensors = _Tensors(checkpoint)
    g_paths = _generator_paths(gan.generator)
    d_paths = _discriminator_paths(gan.discriminator)
    tensors.assign_weights(g_paths, "generator")
    tensors.assign_weights(_generator_paths(gan.ema_generator), "ema_generator")
    tensors.assign_weights(d_paths, "discriminator")
    tensors.assign_adam(gan.g_optimizer, g_paths, "g_optimizer")
    tensors.assign_adam(gan.d_optimizer, d_paths, "d_optimizer")
    gan.image_counter.assign(int(tensors.read("n_images", ())))
    gan.step_counter.assign(int(gan.g_optimizer.iterations.numpy()))
    return gan


def import_official_checkpoint(
    checkpoint: str | os.PathLike,
    config: str | os.PathLike | dict | None,
    run_dir: str | os.PathLike,
    data: str = "",
) -> LadaGAN:
    """Convert a checkpoint of the authors' code to a run directory.

    Args:
        checkpoint, config: see `load_official_checkpoint`.
        run_dir: path of the directory to create.
        data: dataset for further training, written to the run's `flags.cfg`.

    Raises:
        UserError: see `load_official_checkpoint`; or if `run_dir` is not empty.
    """
    directory = RunDirectory(run_dir)
    if directory.path.exists() and user_files(directory.path):
        raise UserError(f"run_dir={run_dir}: is not empty. Choose a new directory")
    checkpoint, config = _find(checkpoint, config)
    gan = load_official_checkpoint(checkpoint, config)
    preset = _read_preset(config)
    preset = dataclasses.replace(preset, data=data, total_images=gan.images_seen)
    directory.start(preset, {"seed": gan.seed})
    Checkpoints(directory.checkpoints, gan).save()
    return gan


def _find(
    checkpoint: str | os.PathLike, config: str | os.PathLike | dict | None
) -> tuple[str | os.PathLike, str | os.PathLike | dict]:
    """Return the paths of a checkpoint and its configuration. Download `official:`."""
    text = os.fspath(checkpoint)
    if text.startswith(OFFICIAL_PREFIX):
        name = text.removeprefix(OFFICIAL_PREFIX)
        if name not in NAMES:
            known = ", ".join(OFFICIAL_PREFIX + name for name in NAMES)
            raise UserError(f"{text}: expected one of {known}")
        checkpoint = _download(name) / name / CHECKPOINTS
    if config is None:
        path = Path(checkpoint)
        directory = path if path.is_dir() else path.parent
        config = directory.absolute().parent / "config.json"
        if not config.exists():
            raise UserError(
                f"{config}: cannot be read: no such file. Set config to the "
                "config.json of the run"
            )
    return checkpoint, config


def _download(name: str) -> Path:
    """Download the authors' directory of that name, and return its parent."""
    files = f"{name}/config.json", f"{name}/{CHECKPOINTS}/*"
    try:
        return hub.download(REPO, files)
    except UserError as error:
        raise UserError(
            f"{OFFICIAL_PREFIX}{name}: {error}. Or download {files[0]} and the files "
            f"in {name}/{CHECKPOINTS} from {REPO} on another machine, copy them to "
            f"DIR/{name}, and run import_official with "
            f"checkpoint=DIR/{name}/{CHECKPOINTS}"
        ) from error


def _read_preset(config: str | os.PathLike | dict) -> Preset:
    """Convert the authors' config.json (path or content) to a `Preset`."""
    try:
        return _preset(config if isinstance(config, dict) else read_json(config))
    except KeyError as error:
        raise UserError(f"config.json: the key {error.args[0]!r} is missing") from None


def _preset(config: dict[str, Any]) -> Preset:
    size = config["img_size"]
    decoder_widths = tuple(config.get("dec_dim") or ())
    loss = config["loss"]
    if loss not in LOSSES:
        raise UserError(
            f"config.json: unknown loss {loss!r}. Expected one of {', '.join(LOSSES)}"
        )
    consistency = config["cr_weight"] if config["bcr"] else 0.0
    return Preset(
        data="",
        image_size=size,
        resize="plain",
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


class _Tensors:
    """Reads the tensors of a checkpoint and assigns them to our variables."""

    def __init__(self, checkpoint: str | os.PathLike):
        path = Path(checkpoint)
        self._prefix = tf.train.latest_checkpoint(path) if path.is_dir() else str(path)
        try:
            self._reader = tf.train.load_checkpoint(self._prefix)
        except (TypeError, ValueError, tf.errors.OpError) as error:
            raise UserError(
                f"checkpoint={checkpoint}: no checkpoint found. Expected a directory "
                "of checkpoints, or the path of one without .index"
            ) from error
        self._shapes = self._reader.get_variable_to_shape_map()

    def read(self, name: str, shape: Iterable[int]) -> np.ndarray:
        """Return a tensor after checking its shape."""
        actual, expected = self._shapes.get(name + VALUE), tuple(shape)
        if actual is None:
            raise UserError(f"{self._prefix}: tensor {name} is missing")
        if tuple(actual) != expected:
            raise UserError(
                f"{self._prefix}: tensor {name} has shape {tuple(actual)}, but "
                f"config.json implies {expected}"
            )
        return self._reader.get_tensor(name + VALUE)

    def assign_weights(self, paths: list, network: str) -> None:
        for path, variable in paths:
            variable.assign(self.read(f"{network}/{path}", variable.shape))

    def assign_adam(self, optimizer: keras.Optimizer, paths: list, name: str) -> None:
        indices = {id(v): i for i, v in enumerate(optimizer._trainable_variables)}
        trainable = [variable for _, variable in paths if id(variable) in indices]
        for official_index, variable in enumerate(trainable):
            index = indices[id(variable)]
            for slot, values in enumerate(
                (optimizer._momentums, optimizer._velocities)
            ):
                path = f"{name}/_variables/{2 * official_index + 1 + slot}"
                values[index].assign(self.read(path, variable.shape))
        optimizer.iterations.assign(np.int64(self.read(f"{name}/_iterations", ())))
        optimizer.learning_rate.assign(self.read(f"{name}/_learning_rate", ()))


def _generator_paths(generator):
    """Return pairs (official path, our variable) in the official creation order."""
    paths = [("init/layer_with_weights-0/kernel", generator.latent_projection.kernel)]
    for i, side in enumerate(generator.resolutions):
        if i > 0:
            convolution = generator.expansions[i - 1].convolution
            paths += _variables(f"conv_{side // 2}", convolution)
        paths += _position(side, generator.position_embeddings[i])
        paths += _block(f"block_{side}", generator.blocks[i])
    # The official decoder is a Sequential: convolution, normalization, convolution, …
    for i, level in enumerate(generator.decoder):
        paths += _variables(f"dec/layer_with_weights-{2 * i}", level.convolution)
        paths += _variables(f"dec/layer_with_weights-{2 * i + 1}", level.norm, NORM)
    return paths + _variables("ch_conv", generator.to_rgb)


def _discriminator_paths(discriminator):
    """Return the same pairs for the discriminator."""
    stem = discriminator.input_convolution
    paths = [("inp_conv/layer_with_weights-0/kernel", stem.kernel)]
    for i, block in enumerate(discriminator.down_blocks):
        for j, (path, first) in enumerate((("main", 0), ("main", 2), ("direct", 0))):
            prefix = f"encoder/{i}/{path}/layer_with_weights-"
            paths.append((f"{prefix}{first}/kernel", block.convolutions[j].kernel))
            paths += _variables(f"{prefix}{first + 1}", block.norms[j], NORM)
    paths += _position(8, discriminator.position_embedding)
    paths += _block("block_8", discriminator.block)
    paths += _variables("conv_4", discriminator.merge)
    down = "down_4/layer_with_weights-"
    paths.append((f"{down}0/kernel", discriminator.hidden_convolution.kernel))
    return [*paths, (f"{down}1/kernel", discriminator.to_logits.kernel)]


def _block(prefix, block):
    attention = block.attention
    paths = []
    for name, layer in (
        ("attn/wq", attention.query),
        ("attn/wk", attention.key),
        ("attn/wv", attention.value),
        ("attn/q_attn", attention.score_map),
        ("attn/to_out", attention.output_projection),
        ("mlp/layer_with_weights-0", block.mlp_hidden),
        ("mlp/layer_with_weights-1", block.mlp_output),
    ):
        paths += _variables(f"{prefix}/{name}", layer)
    for name, norm in (("norm1", block.attention_norm), ("norm2", block.mlp_norm)):
        if block.norm == "sln":
            paths += _variables(f"{prefix}/{name}/h", norm.hidden)
            paths += _variables(f"{prefix}/{name}/gamma", norm.gamma)
            paths += _variables(f"{prefix}/{name}/beta", norm.beta)
        else:
            paths += _variables(f"{prefix}/{name}", norm, ("gamma", "beta"))
    return paths


def _position(side, layer):
    return _variables(f"pos_emb_{side}/position_embedding", layer, ("embeddings",))


def _variables(prefix, layer, names=("kernel", "bias")):
    return [(f"{prefix}/{name}", getattr(layer, name)) for name in names]
