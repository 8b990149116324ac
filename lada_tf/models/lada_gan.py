"""LadaGAN: generator, discriminator and EMA generator, and their training step."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from lada_tf import kernels
from lada_tf.layers.diff_augment import DiffAugment
from lada_tf.models import losses
from lada_tf.models.fit import ImageTrainer, deserialized
from lada_tf.models.images import as_float32_images
from lada_tf.models.latents import latents
from lada_tf.models.networks import copy_generator, to_uint8
from lada_tf.models.optimizer_step import OptimizerStep, Shard, update_average
from lada_tf.models.presets import HYPERPARAMETERS, Preset
from lada_tf.models.pretrained_model import PretrainedModel

# Number of seeds reserved for each training step. A step uses about 20 of them.
SEEDS_PER_STEP = 1024


@keras.saving.register_keras_serializable("lada_tf")
class LadaGAN(ImageTrainer, PretrainedModel):
    """A generator and a discriminator that train against each other.

    Each step follows the authors' code:

    1. The discriminator learns from a generated batch, then from a real batch. Batch
       normalization treats them separately. R1 applies to the real batch.
    2. The generator learns from new latents.
    3. The EMA generator is updated.

    Without bCR, the discriminator and R1 see augmented images. With bCR (`bcr_real` or
    `bcr_fake` > 0), they see plain images, and augmented images appear only in the
    consistency term.

    All random numbers of a step are a function of `seed` and `steps`. A restored model
    therefore resumes with the random numbers of an uninterrupted training.

    Args:
        generator: `Generator`, or a Keras model with the same calls and attributes.
        discriminator: `Discriminator`, or a Keras model like it.
        adversarial_loss: `"non_saturating"` or `"hinge"`.
        r1_gamma: float γ, weight of R1: γ · mean ‖∇ₓ Σ logits(x)‖² over the real images
            that the discriminator sees. There is no factor ½.
        r1_interval: int k. Apply R1 every k steps, with k times its weight (lazy
            regularization, arXiv:1912.04958). The paper does not do this (k = 1), so
            results will differ.
        bcr_real: float λ_real, weight of the mean squared difference of the logits of
            real images with and without augmentation.
        bcr_fake: float λ_fake, the same for generated images.
        augment_policy: str, policy of `DiffAugment`.
        ema_decay: float, decay of the EMA generator per step.
        g_learning_rate: float, for the generator's default Adam, see `compile`.
        d_learning_rate: float, for the discriminator's default Adam.
        g_betas: two floats, β₁ and β₂ of the generator's default Adam.
        d_betas: two floats, β₁ and β₂ of the discriminator's default Adam.
        freeze_d: int, number of stages for `Discriminator.freeze`.
        seed: int, seed of latents and augmentation. For the initial weights, use
            `keras.utils.set_random_seed`.

    Attributes:
        ema_generator: the EMA generator. Use it to generate images.
        augment: callable, images → images; replaceable.
        sample_latents: callable, n → (n, latent_dim); replaceable.
        steps: int, number of training steps done.
        images_seen: int, number of real images seen.
        origin: the run directory that the model was loaded from, and `images_seen` at
            that time. None for a model of another source.

    Call arguments:
        latents: float tensor (B, latent_dim).

    Returns:
        Images of the EMA generator, float32 (B, size, size, 3), about [-1, 1].

    Raises:
        ValueError: if the networks' image sizes differ, if their weights are not
            float32, or if the adversarial loss is unknown.

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
        generator: keras.Model,
        discriminator: keras.Model,
        *,
        adversarial_loss: str = Preset.loss,
        r1_gamma: float = Preset.r1_gamma,
        r1_interval: int = Preset.r1_interval,
        bcr_real: float = Preset.bcr_real,
        bcr_fake: float = Preset.bcr_fake,
        augment_policy: str = "color,translation",
        ema_decay: float = Preset.ema_decay,
        g_learning_rate: float = Preset.g_learning_rate,
        d_learning_rate: float = Preset.d_learning_rate,
        g_betas: tuple[float, float] = Preset.g_betas,
        d_betas: tuple[float, float] = Preset.d_betas,
        freeze_d: int = Preset.freeze_d,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if adversarial_loss not in losses.LOSSES:
            raise ValueError(
                f"adversarial_loss={adversarial_loss!r} is not one of "
                f"{', '.join(losses.LOSSES)}"
            )
        _check_networks(generator, discriminator)
        self.generator = generator
        self.discriminator = discriminator
        self.adversarial_loss = adversarial_loss
        self.r1_gamma = r1_gamma
        self.r1_interval = r1_interval
        self.bcr_real = bcr_real
        self.bcr_fake = bcr_fake
        self.augment_policy = augment_policy
        self.ema_decay = ema_decay
        self.g_learning_rate = g_learning_rate
        self.d_learning_rate = d_learning_rate
        self.g_betas = tuple(g_betas)
        self.d_betas = tuple(d_betas)
        self.freeze_d = freeze_d
        self.seed = seed
        self.latent_dim = generator.latent_dim
        self.image_size = generator.image_size
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.augment = DiffAugment(
            augment_policy, seed=self.seed_generator, dtype="float32"
        )
        # Build also networks that are built already: `summary` then knows the shapes.
        images_shape = (None, self.image_size, self.image_size, 3)
        generator.build((None, self.latent_dim))
        discriminator.build(images_shape)
        if freeze_d:
            discriminator.freeze(freeze_d)
        self.augment.build(images_shape)
        self.ema_generator = copy_generator(generator, name="ema_generator")
        self.ema_generator.trainable = False
        self.step_counter = self._add_counter("step_counter")
        self.image_counter = self._add_counter("image_counter")
        self.origin: tuple[Path, int] | None = None  # set by `load_run`
        self.built = True

    def call(
        self, latents: kernels.Tensor, training: bool | None = None
    ) -> kernels.Tensor:
        return self.ema_generator(latents)

    def generate(
        self, seed: int = 0, num_images: int = 16, truncation: float = 1.0
    ) -> np.ndarray:
        """Generate the first images of a seed with the EMA generator.

        Args:
            seed: int in [0, 2^63). Image i of a seed does not depend on `num_images`,
                and all commands of lada_tf generate the same one.
            num_images: int.
            truncation: float in (0, 1], factor of the latents. Lower values give more
                typical and less diverse images.

        Returns:
            A uint8 array (num_images, H, W, 3).

        Raises:
            ValueError: if an argument is out of range, or a pixel is NaN or infinite.
        """
        if not 0 < truncation <= 1:
            raise ValueError(f"truncation={truncation}: must be above 0 and at most 1")
        z = latents(seed, range(num_images), self.latent_dim)
        images = self.predict(z * np.float32(truncation), verbose=0)
        if not np.isfinite(images).all():
            raise ValueError("the generator returns NaN or infinite pixels")
        return np.asarray(to_uint8(images))

    def sample_latents(self, n: int | tf.Tensor) -> tf.Tensor:
        """Return n latents, standard normal float32 (n, latent_dim)."""
        return keras.random.normal(
            (n, self.latent_dim), dtype="float32", seed=self.seed_generator
        )

    def train_step(
        self, data: tf.Tensor | tuple, with_r1: bool | None = None
    ) -> dict[str, tf.Tensor]:
        """Update the discriminator, then the generator, then the EMA generator.

        Call it in a replica context of `tf.distribute`, which is the default.

        Args:
            data: real images, float32 (B, size, size, 3) in [-1, 1]: this replica's
                rows of the batch.
            with_r1: bool. Whether this step includes R1. If None, decided in the graph
                from `steps` and `r1_interval`. With several replicas and lazy R1, the
                caller must decide, because replicas cannot communicate in a `tf.cond`.

        Returns:
            This step's own value of each of `METRICS`. `fit` reports their means.
        """
        real, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        real = as_float32_images(real, self.image_size)
        self._start_random_numbers(self.step_counter.value)
        with kernels.fast():
            d_metrics = self._update_discriminator_with_lazy_r1(real, with_r1)
            # Do not store the activations of both networks at once.
            with tf.control_dependencies([d_metrics["d_grad_norm"]]):
                g_metrics = self._update_generator(real)
            # Without this dependency, several replicas were seen to deadlock.
            with tf.control_dependencies([g_metrics["g_grad_norm"]]):
                update_average(self.ema_generator, self.generator, self.ema_decay)
        self._count(real)
        return self.track({**d_metrics, **g_metrics})

    def _update_discriminator_with_lazy_r1(self, real, with_r1):
        """Update the discriminator. If `with_r1` is None, decide it in the graph."""
        if self.r1_interval == 1 and with_r1 is None:
            with_r1 = True
        if with_r1 is not None:
            return self._update_discriminator(real, with_r1)
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            raise ValueError(
                f"r1_interval={self.r1_interval} with several replicas: fit cannot "
                "skip R1. Use r1_interval=1, or lada_tf.training.train"
            )
        return tf.cond(
            self.r1_is_due,
            lambda: self._update_discriminator(real, with_r1=True),
            lambda: self._update_discriminator(real, with_r1=False),
        )

    def _update_discriminator(self, real, with_r1):
        """Minimize eq 14. No gradient reaches the generator: it runs outside a tape."""
        step = self._optimizer_step(self.discriminator, self.d_optimizer)
        for shard, x in step.micro_batches(real):  # (B, H, W, 3)
            z = self._sample_latents_like(x, shard)  # (B, latent_dim)
            fake = tf.cast(self.generator(z, training=True), tf.float32)  # (B, H, W, 3)
            if self.uses_bcr:
                both = [self._augment(x, shard), self._augment(fake, shard)]
                # One batch, as in the authors' code: batch normalization sees both.
                augmented = tf.concat(both, axis=0)  # (2B, H, W, 3)
                step.differentiate(self._bcr_loss, x, fake, augmented, with_r1)
            else:
                fake, x = self._augment(fake, shard), self._augment(x, shard)
                # Two losses, so that the first frees its activations before R1's peak.
                step.differentiate(self._fake_loss, fake)
                step.differentiate(self._real_loss, x, with_r1)
        return step.apply("d_grad_norm")

    def _update_generator(self, real):
        """Minimize eq 15 with new latents, as many as there are real images."""
        step = self._optimizer_step(self.generator, self.g_optimizer)
        for shard, x in step.micro_batches(real):
            z = self._sample_latents_like(x, shard)  # (B, latent_dim)
            step.differentiate(self._generator_loss, z, shard)
        return step.apply("g_grad_norm")

    def _fake_loss(self, fake):
        """Second term of eq 14: softplus(D(G(z)))."""
        logits = self._logits(fake)  # (B, 25)
        loss = self._adversarial.fake(logits)  # (14), fake term
        metrics = {"d_loss": loss, "d_total_loss": loss}
        return loss, metrics | losses.fake_metrics(logits)

    def _real_loss(self, real, with_r1):
        """First term of eq 14, softplus(-D(x)), and γ R1."""
        logits, r1 = self._logits_and_r1(real, with_r1)  # (B, 25), ()
        loss = self._adversarial.real(logits)  # (14), real term
        total = losses.total([loss, self.r1_gamma * r1])  # (14) with γ R1
        metrics = {"d_loss": loss, "d_total_loss": total}
        return total, metrics | losses.real_metrics(logits, r1, self.r1_gamma)

    def _bcr_loss(self, real, fake, augmented, with_r1):
        """Eq 14 of plain images, γ R1, and consistency with augmented images (bCR)."""
        fake_logits = self._logits(fake)  # (B, 25)
        real_logits, r1 = self._logits_and_r1(real, with_r1)  # (B, 25), ()
        logits = self._logits(augmented)  # (2B, 25)
        real_augmented, fake_augmented = tf.split(logits, 2)  # (B, 25) each

        d_loss = self._adversarial.real(real_logits)
        d_loss += self._adversarial.fake(fake_logits)  # (14)
        consistency_real = losses.consistency(real_logits, real_augmented)
        consistency_fake = losses.consistency(fake_logits, fake_augmented)
        total = losses.total(
            [
                d_loss,
                self.r1_gamma * r1,
                self.bcr_real * consistency_real,
                self.bcr_fake * consistency_fake,
            ]
        )
        metrics = {
            "d_loss": d_loss,
            "d_total_loss": total,
            "consistency_real": consistency_real,
            "consistency_fake": consistency_fake,
            **losses.fake_metrics(fake_logits),
        }
        return total, metrics | losses.real_metrics(real_logits, r1, self.r1_gamma)

    def _generator_loss(self, z, shard):
        """Eq 15: softplus(-D(G(z)))."""
        fake = self.generator(z, **self._training_arguments())  # (B, H, W, 3)
        fake = tf.cast(fake, tf.float32)
        if not self.uses_bcr:
            fake = self._augment(fake, shard)
        logits = self._logits(fake)  # (B, 25)
        loss = self._adversarial.generator(logits)  # (15)
        return loss, {"g_loss": loss}

    def _logits(self, images):
        """Return the discriminator's logits of a training pass, float32 (B, 25)."""
        logits = self.discriminator(images, **self._training_arguments())
        return tf.cast(logits, tf.float32)

    def _logits_and_r1(self, real, with_r1):
        """Return logits, float32 (B, 25), and R1 for lazy regularization, or 0."""
        if not with_r1:
            return self._logits(real), 0.0
        logits, gradients = losses.logits_and_input_gradients(
            self.discriminator, real, self.gradient_checkpointing
        )
        return logits, self.r1_interval * losses.r1_penalty(gradients)

    def test_step(self, data: tf.Tensor | tuple) -> dict[str, tf.Tensor]:
        """Compute the losses of both networks (eqs 14-15) in inference mode.

        Images are not augmented, and there is no R1 or bCR.

        Args:
            data: see `train_step`.

        Returns:
            This step's own value of each of `TEST_METRICS`. `evaluate` reports their
            means.
        """
        real, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        real = as_float32_images(real, self.image_size)
        count = tf.shape(real)[0]
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync > 1:  # turn an empty shard into a gray image
            real = tf.pad(real, [[0, tf.cast(count == 0, tf.int32)], *[[0, 0]] * 3])
        z = self._test_latents(real, context)  # (B, latent_dim)
        fake_logits = self.discriminator(self.generator(z, training=False))
        fake_logits = tf.cast(fake_logits, tf.float32)  # (B, 25)
        real_logits = tf.cast(self.discriminator(real), tf.float32)  # (B, 25)
        d_loss = self._adversarial.real(real_logits)
        d_loss += self._adversarial.fake(fake_logits)  # (14)
        values = {
            "d_loss": d_loss,
            "g_loss": self._adversarial.generator(fake_logits),  # (15)
            **losses.fake_metrics(fake_logits),
            **losses.real_metrics(real_logits),
        }
        return self.track_test(values, count)

    def _test_latents(self, real, context):
        """Return latents for a test step, without changing those of training."""
        training_state = tf.identity(self.seed_generator.state.value)
        # Training steps are numbered 0, 1, …. Test steps have negative numbers.
        images_tested = tf.cast(self.trackers["g_loss"].count.value, tf.int64)
        self._start_random_numbers(-1 - images_tested)
        shard = Shard(context.replica_id_in_sync_group, context.num_replicas_in_sync)
        z = self._sample_latents_like(real, shard)
        self.seed_generator.state.assign(training_state)
        return z

    def _optimizer_step(self, network, optimizer):
        return OptimizerStep(
            network, optimizer, self.seed_generator, self.gradient_accumulation_steps
        )

    def _sample_latents_like(self, images, shard: Shard):
        return shard.rows(self.sample_latents, tf.shape(images)[0])

    def _augment(self, images, shard: Shard):
        if isinstance(self.augment, DiffAugment):
            return self.augment(images, shard=shard)
        # A replacement does not know shards, and may return another dtype.
        return tf.cast(self.augment(images), images.dtype)

    def _training_arguments(self):
        # Other networks have no gradient_checkpointing argument.
        if self.gradient_checkpointing:
            return {"training": True, "gradient_checkpointing": True}
        return {"training": True}

    def _start_random_numbers(self, step):
        step = tf.cast(step, self.seed_generator.state.dtype)
        self.seed_generator.state.assign(
            tf.stack([tf.constant(self.seed, step.dtype), step * SEEDS_PER_STEP])
        )

    def _count(self, real):
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        self.step_counter.assign_add(1)
        self.image_counter.assign_add(tf.shape(real, out_type=tf.int64)[0] * replicas)

    def _add_counter(self, name):
        return self.add_weight(
            name=name, shape=(), dtype="int64", initializer="zeros", trainable=False
        )

    @property
    def _adversarial(self) -> losses.AdversarialLoss:
        return losses.LOSSES[self.adversarial_loss]

    @property
    def uses_bcr(self) -> bool:
        """Whether the loss has a consistency term."""
        return self.bcr_real > 0 or self.bcr_fake > 0

    @property
    def r1_is_due(self) -> tf.Tensor:
        """Whether the next step includes R1, a bool tensor."""
        return self.step_counter % self.r1_interval == 0

    @property
    def steps(self) -> int:
        return int(self.step_counter.numpy())

    @property
    def images_seen(self) -> int:
        return int(self.image_counter.numpy())

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "generator": keras.saving.serialize_keras_object(self.generator),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
            "adversarial_loss": self.adversarial_loss,
            "augment_policy": self.augment_policy,
            "seed": self.seed,
            **{name: getattr(self, name) for name in HYPERPARAMETERS},
        }

    @classmethod
    def from_config(cls, config: dict) -> "LadaGAN":
        return cls(**deserialized(config, ("generator", "discriminator")))


def _check_networks(generator, discriminator):
    if generator.image_size != discriminator.image_size:
        raise ValueError(
            f"the generator makes {generator.image_size}-pixel images and the "
            f"discriminator takes {discriminator.image_size}-pixel ones: create both "
            "with the same image_size"
        )
    for network in (generator, discriminator):
        if network.variable_dtype != "float32":
            raise ValueError(
                f"dtype={network.dtype_policy.name}: weights must be float32 to be "
                "trained, for example with dtype='mixed_bfloat16'"
            )
