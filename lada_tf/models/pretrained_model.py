"""Create a LadaGAN from a preset, and load, save, export and share trained ones."""

import os
import types
from collections.abc import Mapping
from typing import Any, Self

import keras

from lada_tf.models import hub
from lada_tf.models.networks import make_networks
from lada_tf.models.presets import HYPERPARAMETERS, PRESETS, Preset, get_preset
from lada_tf.models.pretrained import BUNDLED_PRESETS, bundled_directory


class PretrainedModel(keras.Model):
    """The part of `LadaGAN` that deals with presets and files.

    Three methods call packages above `lada_tf.models`. They import them when they run.
    """

    ema_generator: Any

    presets = types.MappingProxyType(PRESETS)  # the names that from_preset accepts

    @classmethod
    def from_preset(
        cls,
        preset: str | os.PathLike | Preset,
        *,
        load_weights: bool | None = None,
        seed: int = 0,
        precision: str | None = None,
        sync_batch_norm: bool = False,
        **overrides: Any,
    ) -> Self:
        """Create a LadaGAN with the configuration of a preset.

        Args:
            preset: a name from `LadaGAN.presets`, a `Preset`, or a directory that
                `save_to_preset` wrote.
            load_weights: bool. If True, load trained weights. Of the names, only
                `"tiny"` has some. If None, load those of a directory. A trained model
                keeps its own configuration, so all other arguments must be omitted.
            seed: int, seed of latents and augmentation.
            precision: dtype of the networks' arithmetic: `"float32"`, `"bfloat16"` or
                `"float16"`. Weights, normalization, attention scores, R1, images,
                logits and the EMA generator are always float32. If None, Keras' global
                policy if it is for mixed precision, else float32.
            sync_batch_norm: bool. If True, batch normalization uses the statistics of
                all replicas of a `tf.distribute` strategy.
            **overrides: fields of `Preset` to replace in a preset given by name.

        Raises:
            ValueError: if the preset or a field is unknown, or its sizes do not fit.
            UserError: if the directory does not contain such a model.
        """
        directory = _trained_directory(preset, load_weights)
        if directory is not None:
            if overrides or precision or sync_batch_norm or seed:
                raise ValueError(
                    f"preset={str(preset)!r} has its own configuration: leave out the "
                    "other arguments"
                )
            gan = cls.from_pretrained(directory)
            return cls.from_config(gan.get_config()) if load_weights is False else gan
        if not isinstance(preset, Preset):
            preset = get_preset(str(preset), **overrides)
        generator, discriminator = make_networks(
            preset, precision, sync_batch_norm, build=True
        )
        return cls(
            generator,
            discriminator,
            adversarial_loss=preset.loss,
            augment_policy=preset.augment,
            seed=seed,
            **{name: getattr(preset, name) for name in HYPERPARAMETERS},
        )

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike,
        *,
        revision: str | None = None,
        token: str | None = None,
        custom_objects: Mapping[str, Any] | None = None,
        safe_mode: bool = True,
    ) -> Self:
        """Load a trained model from the Hugging Face Hub, a directory, or a run.

        Training of a run or of the authors' checkpoint resumes exactly. A model from
        any other source has EMA weights in both generators, and `compile()` gives it
        new optimizers.

        Args:
            source: one of these. A local model takes precedence.

                - `"user/repo"` or `"hf://user/repo@revision"` on the Hub
                - a directory that `save_pretrained` wrote
                - a run directory, or `"RUN:best"`
                - `"official:NAME"`, a checkpoint of the authors
                - the name of a model that comes with this package
            revision: branch, tag or commit on the Hub.
            token: token for a private repository. The default is that of `hf auth
                login`.
            custom_objects: your own layers, by the names that the files use.
            safe_mode: bool. If True, refuse files that name code to import.

        Raises:
            UserError: if there is no such model, or it cannot be loaded.

        Example:

        >>> gan = LadaGAN.from_pretrained("user/repo")
        >>> images = gan.generate(seed=0, num_images=16)
        """
        from lada_tf.training.sources import load_source

        source = hub.as_source(os.fspath(source), revision)
        return load_source(source, custom_objects, safe_mode, cls, token)

    def save_pretrained(
        self,
        directory: str | os.PathLike,
        *,
        dtype: str = "float32",
        card: str | None = None,
        overwrite: bool = False,
    ) -> None:
        """Write a directory for `from_pretrained` and the Hub, without optimizers.

        Args:
            directory: path of the directory. If writing fails, it is not created.
            dtype: `"float32"`, or `"float16"` for files of half the size. The loaded
                model has float32 weights.
            card: text of the model card. If None, it describes the run that the model
                was loaded from or, without a run, the model itself.
            overwrite: bool. If True, replace an earlier model. Other files are kept.

        Raises:
            UserError: if the directory exists or cannot be written.
        """
        from lada_tf.serving.exporting import export_for_hub

        export_for_hub(self, directory, card, overwrite, dtype)

    def save_to_preset(self, preset_dir: str | os.PathLike) -> None:
        """Write a directory for `from_preset`: KerasHub's name of `save_pretrained`."""
        self.save_pretrained(preset_dir)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        revision: str | None = None,
        commit_message: str | None = None,
        token: str | None = None,
        dtype: str = "float32",
        card: str | None = None,
    ) -> str:
        """Upload the model to the Hugging Face Hub, for `from_pretrained(repo_id)`.

        Args:
            repo_id: `"user/repo"`. It is created if it does not exist.
            private: bool. Whether a new repository is private. If None, the user's
                settings on the Hub decide.
            revision: branch. The default is the main branch.
            commit_message: message of the commit.
            token: token with write access. The default is that of `hf auth login`.
            dtype: see `save_pretrained`.
            card: see `save_pretrained`. If None, an existing card is kept.

        Returns:
            The URL of the repository.

        Raises:
            UserError: if `huggingface_hub` is not installed, or the upload fails.
        """
        from lada_tf.serving.exporting import push_to_hub

        return push_to_hub(
            self,
            repo_id,
            dtype,
            card,
            commit_message,
            private=private,
            revision=revision,
            token=token,
        )

    def save(self, filepath: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """Save the model, see `keras.Model.save`. HDF5 files have no optimizers."""
        if str(filepath).endswith((".h5", ".hdf5")):
            kwargs = {"include_optimizer": False, **kwargs}
        super().save(filepath, *args, **kwargs)

    def export(self, filepath: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """Export the EMA generator, see `keras.Model.export`."""
        self.ema_generator.export(filepath, *args, **kwargs)

    def quantize(self, *args: Any, **kwargs: Any) -> None:
        """Raise ValueError: a quantized LadaGAN cannot train."""
        raise ValueError(
            "a quantized LadaGAN cannot train: quantize its ema_generator, or export "
            "with lada_tf.serving.export_generator(format='litert', precision='int8')"
        )


def _trained_directory(preset, load_weights):
    """Return the directory of a trained model, or None if `preset` has none."""
    if isinstance(preset, os.PathLike):
        return preset
    if isinstance(preset, str) and preset not in PRESETS and os.path.isdir(preset):
        return preset
    if not load_weights:
        return None
    bundled = BUNDLED_PRESETS.get(str(preset))
    if bundled is None:
        raise ValueError(
            f"preset={preset!r} has no weights: use load_weights=False, or one of "
            f"{', '.join(BUNDLED_PRESETS)}"
        )
    return bundled_directory(bundled)
