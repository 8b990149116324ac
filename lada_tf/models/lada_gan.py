"""LadaGAN: generator, discriminator and the averaged generator, and how they train."""

import keras
import tensorflow as tf

from lada_tf.kernels.adam import FusedAdam
from lada_tf.layers import DiffAugment
from lada_tf.models.losses import LOSSES
from lada_tf.models.networks import copy_generator, networks
from lada_tf.models.objectives import (
    discriminator_batch,
    discriminator_objectives,
    generator_objective,
    sample_part,
)
from lada_tf.models.optimizer_step import update
from lada_tf.models.presets import Preset, get_preset
from lada_tf.models.pretrained import load_pretrained
from lada_tf.models.running_mean import RunningMean

METRICS = (
    "d_loss",  # adversarial loss of the discriminator alone
    "d_total_loss",  # with weighted R1 and consistency: what it minimizes
    "g_loss",
    "r1",  # before its weight γ; where it is lazy, k times it, or 0
    "r1_weighted",
    "consistency_real",  # before their weights; 0 where bCR is off
    "consistency_fake",
    "real_logits",  # means over the logits of the losses
    "fake_logits",
    "real_accuracy",  # share of real logits above 0
    "fake_accuracy",  # share of fake logits below 0
    "d_grad_norm",  # over all variables of the player
    "g_grad_norm",
)
# A step's random draws have this many seeds to themselves; it takes about 20.
SEEDS_PER_STEP = 1024


@keras.saving.register_keras_serializable("lada_tf")
class LadaGAN(keras.Model):
    """A generator and a discriminator that train against each other.

    One training step, as in the authors' code: the discriminator learns from a
    generated and a real batch (each normalized by its own statistics) with R1 on the
    real one; the generator learns from a new draw of latents; the averaged generator
    follows it. Real and generated images are augmented before the discriminator sees
    them, or, with bCR (`bcr_real` or `bcr_fake` > 0), only in a consistency term.

    Everything random in a step is a function of `seed` and `steps`, so that a restored
    model goes on with the very numbers it would have drawn.

    Args:
        generator: `Generator`, or a Keras model of the same calls and attributes.
        discriminator: `Discriminator`, or the same.
        loss: `"non_saturating"` or `"hinge"`.
        r1_gamma: float γ; the discriminator's loss has γ · mean ‖∇ₓ Σ logits(x)‖².
        r1_interval: int k, steps from one such term to the next, which then counts k times
            (lazy regularization, arXiv:1912.04958). 1 in the paper and its code; else
            the arithmetic is another.
        bcr_real: float λ_real, weight of the mean squared difference of the logits of
            real images with and without augmentation.
        bcr_fake: float λ_fake, the same for generated images.
        augment: str, policy of `DiffAugment`.
        ema_decay: float, the averaged generator's decay a step.
        g_learning_rate: float, for the Adam that `compile()` makes by default.
        d_learning_rate: float, the same.
        g_betas: two floats, β₁ and β₂ of the generator's Adam.
        d_betas: two floats, the same.
        seed: int, of latents and augmentation. (Initial weights follow Keras' global
            seed, `keras.utils.set_random_seed`.)

    Attributes:
        ema_generator: the averaged generator: the one to make images with.
        augment: callable, images → images; replaceable.
        sample_latents: callable, n → (n, latent_dim); replaceable.
        steps: int, training steps so far.
        images_seen: int, real images seen so far.

    Call arguments:
        latents: float tensor (B, latent_dim).

    Returns:
        Images of the averaged generator, float32 (B, size, size, 3), about [-1, 1].

    Example:

    >>> gan = LadaGAN.from_preset("cifar10")
    >>> gan.compile()
    >>> gan.fit(dataset, steps_per_epoch=100, epochs=10)
    >>> images = gan.ema_generator(gan.sample_latents(16))

    References:
        arXiv:2401.09596 (LadaGAN, eqs 14-15); arXiv:1801.04406 (R1);
        arXiv:2006.10738 (DiffAugment); arXiv:2002.04724 (bCR).
    """

    def __init__(
        self,
        generator,
        discriminator,
        *,
        loss="non_saturating",
        r1_gamma=1e-4,
        r1_interval=1,
        bcr_real=0.0,
        bcr_fake=0.0,
        augment="color,translation",
        ema_decay=0.999,
        g_learning_rate=2e-4,
        d_learning_rate=2e-4,
        g_betas=(0.5, 0.99),
        d_betas=(0.5, 0.99),
        seed=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if loss not in LOSSES:
            raise ValueError(f"loss={loss!r} is not one of {', '.join(LOSSES)}")
        if generator.image_size != discriminator.image_size:
            raise ValueError(
                f"the generator makes {generator.image_size}-pixel images and the "
                f"discriminator takes {discriminator.image_size}-pixel ones"
            )
        self.generator = generator
        self.discriminator = discriminator
        self.adversarial_loss = loss
        self.r1_gamma = r1_gamma
        self.r1_interval = r1_interval
        self.bcr_real = bcr_real
        self.bcr_fake = bcr_fake
        self.augment_policy = augment
        self.ema_decay = ema_decay
        self.g_learning_rate = g_learning_rate
        self.d_learning_rate = d_learning_rate
        self.g_betas = tuple(g_betas)
        self.d_betas = tuple(d_betas)
        self.seed = seed
        self.latent_dim = generator.latent_dim
        self.image_size = generator.image_size

        self.seed_generator = keras.random.SeedGenerator(seed)
        self.augment = DiffAugment(augment, seed=self.seed_generator)
        for network in (generator, discriminator):
            if not network.built:
                network.build()
        self.ema_generator = copy_generator(generator)
        self.ema_generator.trainable = False
        self.step_counter = self._counter("step_counter")
        self.image_counter = self._counter("image_counter")
        self.trackers = {name: RunningMean(name) for name in METRICS}
        self.built = True

    @classmethod
    def from_preset(
        cls,
        preset,
        *,
        seed=0,
        precision="float32",
        sync_batch_norm=False,
        **overrides,
    ):
        """A new LadaGAN of a preset (its name, or a `Preset`), untrained.

        Args:
            preset: str or `Preset`.
            seed: int, of latents and augmentation.
            precision: what the networks compute in: `"float32"`, `"bfloat16"` or
                `"float16"`. Weights, normalization, attention scores, R1, images,
                logits and the averaged generator are float32 in each.
            sync_batch_norm: bool, whether batch normalization takes the statistics of
                all replicas of a `tf.distribute` strategy.
            **overrides: fields of `Preset` to replace in a preset given by name.

        Raises:
            ValueError: if the preset or a field is unknown, or its sizes do not fit.
        """
        if not isinstance(preset, Preset):
            preset = get_preset(preset, **overrides)
        generator, discriminator = networks(preset, precision, sync_batch_norm)
        return cls(
            generator,
            discriminator,
            loss=preset.loss,
            r1_gamma=preset.r1_gamma,
            r1_interval=preset.r1_interval,
            bcr_real=preset.bcr_real,
            bcr_fake=preset.bcr_fake,
            augment=preset.augment,
            ema_decay=preset.ema_decay,
            g_learning_rate=preset.g_learning_rate,
            d_learning_rate=preset.d_learning_rate,
            g_betas=preset.g_betas,
            d_betas=preset.d_betas,
            seed=seed,
        )

    @classmethod
    def from_pretrained(cls, folder):
        """The LadaGAN of a folder that `lada_tf.export --hub_layout` wrote.

        Both generators have the averaged weights; `compile()` starts the optimizers
        anew.

        Args:
            folder: path; of a repository of Hugging Face's Hub,
                `huggingface_hub.snapshot_download(name)`.

        Raises:
            UserError: if the folder holds no such model.
        """
        return load_pretrained(cls, folder)

    def compile(
        self,
        g_optimizer=None,
        d_optimizer=None,
        *,
        gradient_accumulation_steps=1,
        gradient_checkpointing=False,
        overlap=False,
        **kwargs,
    ):
        """Sets and builds the optimizers.

        Args:
            g_optimizer: Keras optimizer; by default Adam with the learning rate and β
                given to the constructor, within a `LossScaleOptimizer` where the
                network computes in float16.
            d_optimizer: the same for the discriminator.
            gradient_accumulation_steps: int, micro-batches that each batch is split into, one after the
                other, to save memory. The gradients are those of the whole batch, but
                for batch normalization, which sees a micro-batch at a time.
            gradient_checkpointing: bool, whether gradients compute the activations of
                the networks' stages again, which then need not be kept: the same
                numbers in less memory and more time. Needs our own networks.
            overlap: bool, whether parts of a step that need nothing of one another
                (both of the discriminator's losses; the images for the generator's, and
                halves of them in the discriminator; micro-batches) may be computed at
                once, on threads of a processor, in more memory.
            **kwargs: `jit_compile`, `steps_per_execution`, `run_eagerly`, … of
                `keras.Model.compile`.
        """
        super().compile(optimizer=None, loss=None, **kwargs)
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.gradient_checkpointing = gradient_checkpointing
        self.overlap = overlap
        self.g_optimizer = g_optimizer or _adam(
            self.g_learning_rate, self.g_betas, self.generator
        )
        self.d_optimizer = d_optimizer or _adam(
            self.d_learning_rate, self.d_betas, self.discriminator
        )
        self.g_optimizer.build(self.generator.trainable_variables)
        self.d_optimizer.build(self.discriminator.trainable_variables)

    def call(self, latents, training=None):
        return self.ema_generator(latents)

    def sample_latents(self, n):
        """n latents, standard normal float32 (n, latent_dim)."""
        return keras.random.normal((n, self.latent_dim), seed=self.seed_generator)

    def train_step(self, data):
        """One step; returns the running means of the metrics."""
        real, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        self.step(real)
        return {name: tracker.result() for name, tracker in self.trackers.items()}

    def step(self, real, with_r1=None):
        """One update of both players and of the average.

        To be called in a replica context of `tf.distribute`, which it is outside any.

        Args:
            real: float32 (B, size, size, 3), this replica's part of the real batch.
            with_r1: bool, whether this step has R1. By default that is found from
                `steps` and `r1_interval`, within the graph, where batch normalization
                cannot be synchronized.

        Returns:
            The step's own values of METRICS as a float32 vector, and a bool: whether
            losses and gradients are finite.
        """
        self._seed_step()
        d_values, d_norm, d_finite = self._update_discriminator(real, with_r1)
        # Not both players' activations at once.
        with tf.control_dependencies([] if self.overlap else [d_norm]):
            g_values, g_norm, g_finite = self._update_generator(tf.shape(real)[0])
        with tf.control_dependencies([g_norm]):
            self._update_average()
        self._count(real)
        values = d_values | g_values | {"d_grad_norm": d_norm, "g_grad_norm": g_norm}
        for name, value in values.items():
            self.trackers[name].update_state(value)
        ordered = [values.get(name, tf.zeros(())) for name in METRICS]
        return tf.stack(ordered), tf.logical_and(d_finite, g_finite)

    def _update_discriminator(self, real, with_r1):
        micro_batches = tf.split(real, self.gradient_accumulation_steps)

        def draw(number, part):
            return discriminator_batch(self, micro_batches[number], part)

        objectives = discriminator_objectives(self, with_r1)
        return self._update(draw, objectives, self.discriminator, self.d_optimizer)

    def _update_generator(self, batch_size):
        def draw(number, part):
            return sample_part(
                self, batch_size // self.gradient_accumulation_steps, part
            )

        def objective(drawn, part):
            return generator_objective(self, drawn, part)

        return self._update(draw, [objective], self.generator, self.g_optimizer)

    def _update(self, draw, objectives, network, optimizer):
        return update(
            draw,
            objectives,
            network,
            optimizer,
            self.seed_generator,
            self.gradient_accumulation_steps,
            self.overlap,
        )

    def _update_average(self):
        """EMA over all weights, batch statistics included."""
        rate = tf.constant(1 - self.ema_decay)
        for average, weight in zip(
            self.ema_generator.weights, self.generator.weights, strict=True
        ):
            tf.raw_ops.ResourceApplyGradientDescent(  # in each replica by itself
                var=average.value.handle, alpha=rate, delta=average - weight
            )

    def _seed_step(self):
        step = tf.cast(self.step_counter.value, self.seed_generator.state.dtype)
        self.seed_generator.state.assign(
            tf.stack([tf.constant(self.seed, step.dtype), step * SEEDS_PER_STEP])
        )

    def _count(self, real):
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        self.step_counter.assign_add(1)
        self.image_counter.assign_add(tf.shape(real, out_type=tf.int64)[0] * replicas)

    def _counter(self, name):
        return self.add_weight(
            name=name, shape=(), dtype="int64", initializer="zeros", trainable=False
        )

    @property
    def metrics(self):
        return list(self.trackers.values())

    @property
    def consistent(self):
        """Whether bCR is on."""
        return self.bcr_real > 0 or self.bcr_fake > 0

    @property
    def r1_is_due(self):
        """Whether the next step has R1, a bool tensor."""
        return self.step_counter % self.r1_interval == 0

    @property
    def steps(self):
        return int(self.step_counter.numpy())

    @property
    def images_seen(self):
        return int(self.image_counter.numpy())

    def get_config(self):
        return {
            **super().get_config(),
            "generator": keras.saving.serialize_keras_object(self.generator),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
            "loss": self.adversarial_loss,
            "r1_gamma": self.r1_gamma,
            "r1_interval": self.r1_interval,
            "bcr_real": self.bcr_real,
            "bcr_fake": self.bcr_fake,
            "augment": self.augment_policy,
            "ema_decay": self.ema_decay,
            "g_learning_rate": self.g_learning_rate,
            "d_learning_rate": self.d_learning_rate,
            "g_betas": list(self.g_betas),
            "d_betas": list(self.d_betas),
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        for network in ("generator", "discriminator"):
            config[network] = keras.saving.deserialize_keras_object(config[network])
        return cls(**config)

    def get_compile_config(self):
        return {
            "g_optimizer": keras.saving.serialize_keras_object(self.g_optimizer),
            "d_optimizer": keras.saving.serialize_keras_object(self.d_optimizer),
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
            "gradient_checkpointing": self.gradient_checkpointing,
            "overlap": self.overlap,
        }

    def compile_from_config(self, config):
        for name in ("g_optimizer", "d_optimizer"):
            config[name] = keras.saving.deserialize_keras_object(config[name])
        self.compile(**config)


def _adam(learning_rate, betas, network):
    adam = FusedAdam(learning_rate, beta_1=betas[0], beta_2=betas[1])
    if network.compute_dtype == "float16":
        return keras.optimizers.LossScaleOptimizer(adam)
    return adam
