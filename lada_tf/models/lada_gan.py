"""LadaGAN: generator, discriminator and the averaged generator, and how they train."""

import keras
import tensorflow as tf

from lada_tf.layers import DiffAugment
from lada_tf.models.discriminator import Discriminator
from lada_tf.models.generator import Generator
from lada_tf.models.losses import LOSSES
from lada_tf.models.presets import Preset, get_preset

METRICS = (
    "d_loss",  # adversarial loss of the discriminator alone
    "d_total_loss",  # with weighted R1 and consistency: what it minimizes
    "g_loss",
    "r1",  # before its weight
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
        # Overwritten at once: orthogonal numbers would take seconds to draw.
        self.ema_generator = type(generator).from_config(
            {**generator.get_config(), "initializer": "zeros"}
        )
        self.ema_generator.build()
        self.ema_generator.set_weights(generator.get_weights())
        self.ema_generator.trainable = False
        self.step_counter = self._counter("step_counter")
        self.image_counter = self._counter("image_counter")
        self.trackers = {name: keras.metrics.Mean(name=name) for name in METRICS}
        self.built = True

    @classmethod
    def from_preset(cls, preset, *, seed=0, **overrides):
        """A new LadaGAN of a preset (its name, or a `Preset`), untrained.

        Args:
            preset: str or `Preset`.
            seed: int, of latents and augmentation.
            **overrides: fields of `Preset` to replace in a preset given by name.

        Raises:
            ValueError: if the preset or a field is unknown, or its sizes do not fit.
        """
        if not isinstance(preset, Preset):
            preset = get_preset(preset, **overrides)
        generator = Generator(
            preset.image_size,
            widths=preset.g_widths,
            head=preset.head,
            decoder_widths=preset.decoder_widths,
            num_heads=preset.g_heads,
            mlp_dim=preset.g_mlp,
            latent_dim=preset.latent_dim,
            base_resolution=preset.base_resolution,
            score=preset.score,
            initializer=preset.g_initializer,
            name="generator",
        )
        discriminator = Discriminator(
            preset.image_size,
            widths=preset.d_widths,
            kind=preset.discriminator,
            out_widths=preset.d_out_widths,
            num_heads=preset.d_heads,
            mlp_dim=preset.d_mlp,
            batch_norm=preset.d_batch_norm,
            score=preset.score,
            initializer=preset.d_initializer,
            name="discriminator",
        )
        return cls(
            generator,
            discriminator,
            loss=preset.loss,
            r1_gamma=preset.r1_gamma,
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

    def compile(self, g_optimizer=None, d_optimizer=None, **kwargs):
        """Sets and builds the optimizers.

        Args:
            g_optimizer: Keras optimizer; by default Adam with the learning rate and β
                given to the constructor.
            d_optimizer: the same for the discriminator.
            **kwargs: `jit_compile`, `steps_per_execution`, `run_eagerly`, … of
                `keras.Model.compile`.
        """
        super().compile(optimizer=None, loss=None, **kwargs)
        self.g_optimizer = g_optimizer or _adam(self.g_learning_rate, self.g_betas)
        self.d_optimizer = d_optimizer or _adam(self.d_learning_rate, self.d_betas)
        self.g_optimizer.build(self.generator.trainable_variables)
        self.d_optimizer.build(self.discriminator.trainable_variables)

    def call(self, latents, training=None):
        return self.ema_generator(latents)

    def sample_latents(self, n):
        """n latents, standard normal float32 (n, latent_dim)."""
        return keras.random.normal((n, self.latent_dim), seed=self.seed_generator)

    def train_step(self, data):
        """One update of both players and the average; returns running metric means."""
        real, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        self._seed_step()
        self._update_discriminator(real)
        self._update_generator(tf.shape(real)[0])
        self._update_average()
        self.step_counter.assign_add(1)
        self.image_counter.assign_add(tf.shape(real, out_type=tf.int64)[0])
        return {name: tracker.result() for name, tracker in self.trackers.items()}

    def _update_discriminator(self, real):
        # Outside the tape: no gradient of this update reaches the generator.
        fake = self.generator(self.sample_latents(tf.shape(real)[0]), training=True)
        consistent = self.bcr_real > 0 or self.bcr_fake > 0
        if consistent:
            augmented = tf.concat([self.augment(real), self.augment(fake)], axis=0)
        else:
            fake = self.augment(fake)
            real = self.augment(real)

        with tf.GradientTape() as tape:
            fake_logits = self.discriminator(fake, training=True)
            real_logits, r1 = self._real_logits_and_r1(real)
            d_loss = LOSSES[self.adversarial_loss].discriminator(
                real_logits, fake_logits
            )
            terms = [d_loss, self.r1_gamma * r1]
            if consistent:
                logits = self.discriminator(augmented, training=True)
                real_augmented, fake_augmented = tf.split(logits, 2)
                consistency_real = _mean_square(real_logits - real_augmented)
                consistency_fake = _mean_square(fake_logits - fake_augmented)
                terms.append(self.bcr_real * consistency_real)
                terms.append(self.bcr_fake * consistency_fake)
                self._track(
                    consistency_real=consistency_real, consistency_fake=consistency_fake
                )

            # One reduction: TensorFlow may reorder a chain of additions, differently in
            # each process, and with it the last bit of what is logged.
            total = tf.reduce_sum(tf.stack(terms))
        norm = self._apply(tape, total, self.d_optimizer, self.discriminator)
        self._track(
            d_loss=d_loss,
            d_total_loss=total,
            r1=r1,
            r1_weighted=self.r1_gamma * r1,
            real_logits=tf.reduce_mean(real_logits),
            fake_logits=tf.reduce_mean(fake_logits),
            real_accuracy=tf.reduce_mean(tf.cast(real_logits > 0, tf.float32)),
            fake_accuracy=tf.reduce_mean(tf.cast(fake_logits < 0, tf.float32)),
            d_grad_norm=norm,
        )

    def _real_logits_and_r1(self, real):
        """Logits of real images and mean ‖∇ₓ Σ logits(x)‖² (eq 14), in one pass."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(real)
            logits = self.discriminator(real, training=True)
        gradients = tape.gradient(logits, real)  # of the sum over an image's logits
        return logits, tf.reduce_mean(tf.reduce_sum(gradients**2, axis=(1, 2, 3)))

    def _update_generator(self, batch_size):
        latents = self.sample_latents(batch_size)
        with tf.GradientTape() as tape:
            fake = self.generator(latents, training=True)
            if not (self.bcr_real > 0 or self.bcr_fake > 0):
                fake = self.augment(fake)
            logits = self.discriminator(fake, training=True)
            g_loss = LOSSES[self.adversarial_loss].generator(logits)
        norm = self._apply(tape, g_loss, self.g_optimizer, self.generator)
        self._track(g_loss=g_loss, g_grad_norm=norm)

    def _apply(self, tape, loss, optimizer, network):
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply(gradients, network.trainable_variables)
        return tf.linalg.global_norm(gradients)

    def _update_average(self):
        """EMA over all weights, batch statistics included."""
        for average, weight in zip(
            self.ema_generator.weights, self.generator.weights, strict=True
        ):
            average.assign(self.ema_decay * average + (1 - self.ema_decay) * weight)

    def _seed_step(self):
        step = tf.cast(self.step_counter.value, self.seed_generator.state.dtype)
        self.seed_generator.state.assign(
            tf.stack([tf.constant(self.seed, step.dtype), step * SEEDS_PER_STEP])
        )

    def _track(self, **values):
        for name, value in values.items():
            self.trackers[name].update_state(value)

    def _counter(self, name):
        return self.add_weight(
            name=name, shape=(), dtype="int64", initializer="zeros", trainable=False
        )

    @property
    def metrics(self):
        return list(self.trackers.values())

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
        }

    def compile_from_config(self, config):
        self.compile(
            **{
                name: keras.saving.deserialize_keras_object(optimizer)
                for name, optimizer in config.items()
            }
        )


def _adam(learning_rate, betas):
    return keras.optimizers.Adam(learning_rate, beta_1=betas[0], beta_2=betas[1])


def _mean_square(difference):
    return tf.reduce_mean(difference**2)
