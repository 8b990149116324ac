"""Keras' training methods for LadaGAN: `compile`, `fit`, `evaluate`."""

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lada_tf.models.fit_callbacks import ProgressBar, prepared
from lada_tf.models.images import check_batch, images_on_replicas, with_first_batch
from lada_tf.models.losses import METRICS, TEST_METRICS
from lada_tf.models.optimizer_step import indivisible_batch
from lada_tf.models.optimizers import Optimizers, make_optimizer

# Feature networks that a saved model may name. Never a path: loading somebody else's
# model must not open a file of their choice.
FEATURES = ("small_classifier", "keras_inception_v3", "inception")


class RunningMean(keras.metrics.Metric):
    """The mean of a metric since its last reset.

    Unlike `keras.metrics.Mean`, it expects the same value on every replica and mirrors
    its variables, so one process can save them alone. Reading a variable of `Mean`
    would sum it over all processes.
    """

    def __init__(self, name: str):
        super().__init__(name=name, dtype="float32")
        self.total = keras.Variable(0.0, dtype=self.dtype, trainable=False)
        self.count = keras.Variable(0.0, dtype=self.dtype, trainable=False)

    def update_state(self, value: tf.Tensor, count: tf.Tensor | float = 1.0) -> None:
        self.total.assign_add(value * count)
        self.count.assign_add(count)

    def result(self) -> tf.Tensor:
        return keras.ops.divide_no_nan(self.total, self.count)


class ImageTrainer(keras.Model):
    """The part of `LadaGAN` that overrides Keras' training methods.

    `fit` and `evaluate` check the first batch of images before they start.

    The subclass has the attributes `generator`, `discriminator`, `ema_generator`,
    `image_size`, `step_counter`, and the settings of the default optimizers. Its
    `train_step` returns `track(values)`. Its `test_step` returns
    `track_test(values, count)`.
    """

    test_function: Any

    def __init__(self, **kwargs: Any):
        if keras.backend.backend() != "tensorflow":
            raise RuntimeError(
                "LadaGAN needs KERAS_BACKEND=tensorflow. Generator and Discriminator "
                "work with every backend"
            )
        super().__init__(**{"dtype": "float32", **kwargs})
        if self.dtype_policy.name != "float32":
            raise ValueError(
                f"dtype={self.dtype_policy.name}: LadaGAN itself must be float32. Pass "
                "dtype to both networks, or precision to from_preset"
            )
        self.trackers = {name: RunningMean(name) for name in METRICS}
        self.features = None
        self._distances = None
        self._is_testing = False

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self.trackers.values())

    def get_metrics_result(self) -> dict[str, tf.Tensor]:
        names = TEST_METRICS if self._is_testing else METRICS
        return {name: self.trackers[name].result() for name in names}

    @property
    def variables(self) -> list[keras.Variable]:
        # Keras lists the seed twice: for the model and for its augmentation.
        return list({id(v): v for v in super().variables}.values())

    def track(self, values: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Update the running means of training metrics.

        Args:
            values: scalars of one step, by name. Metrics without a value are 0.

        Returns:
            The step's own value of each of `METRICS`.
        """
        trackers = [self.trackers[name] for name in values]
        # Add vectors: this takes a few operations instead of several per metric.
        step_values = tf.stack(list(values.values()))
        for variables, change in (
            ([tracker.total for tracker in trackers], step_values),
            ([tracker.count for tracker in trackers], tf.ones(())),
        ):
            sums = tf.stack([variable.value for variable in variables]) + change
            for variable, value in zip(variables, tf.unstack(sums), strict=True):
                variable.assign(value)
        return {name: tf.convert_to_tensor(values.get(name, 0.0)) for name in METRICS}

    def track_test(
        self, values: dict[str, tf.Tensor], count: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Update the running means of test metrics, over the images of all replicas.

        Args:
            values: means over the images of this replica, by name.
            count: number of these images. With 0, the values do not count.

        Returns:
            The means over the images of all replicas, for each of `TEST_METRICS`.
        """
        count = tf.cast(count, tf.float32)
        sums = tf.stack([values[name] for name in TEST_METRICS])
        sums *= count
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync > 1:
            sums, count = context.all_reduce(tf.distribute.ReduceOp.SUM, [sums, count])
        means = dict(zip(TEST_METRICS, tf.unstack(sums / count), strict=True))
        for name, mean in means.items():
            self.trackers[name].update_state(mean, count)
        return means

    def compile(
        self,
        g_optimizer: str | keras.optimizers.Optimizer | None = None,
        d_optimizer: str | keras.optimizers.Optimizer | None = None,
        *,
        optimizer: str | keras.optimizers.Optimizer | None = None,
        features: Any = FEATURES[0],
        gradient_accumulation_steps: int = 1,
        gradient_checkpointing: bool = False,
        jit_compile: bool = False,
        **kwargs,
    ) -> None:
        """Set and build the optimizers.

        Args:
            g_optimizer: the generator's Keras optimizer or its name. The default is
                Adam with the constructor's `g_learning_rate` and `g_betas`. If the
                generator computes in float16, a `LossScaleOptimizer` wraps it.
            d_optimizer: the same for the discriminator.
            optimizer: Keras optimizer or its name. Each network without an optimizer of
                its own gets a copy.
            features: the network whose features `evaluate` compares: a name or path as
                for `lada_tf.evaluation.extract_features.open_extractor`; a callable,
                uint8 images (n, size, size, 3) → array (n, d); or None to compute the
                losses alone.
            gradient_accumulation_steps: int. Split each batch into this many
                micro-batches to save memory. The gradients are those of the whole
                batch, except that batch normalization sees one micro-batch at a time.
            gradient_checkpointing: bool. If True, recompute the activations of the
                networks' stages during the backward pass instead of storing them. The
                results are the same, with less memory and more time. Only `Generator`
                and `Discriminator` support it.
            jit_compile: bool. If True, XLA compiles the step, once per batch size. A
                smaller last batch takes as long to compile as the first one.
            **kwargs: `steps_per_execution`, `run_eagerly`, … of
                `keras.Model.compile`.

        Raises:
            ValueError: for a loss or metrics, or one optimizer for both networks.
        """
        for name, instead in (
            ("loss", "adversarial_loss of the constructor"),
            ("loss_weights", "r1_gamma, bcr_real and bcr_fake of the constructor"),
            ("metrics", "features"),
            ("weighted_metrics", "features"),
        ):
            if kwargs.pop(name, None) is not None:
                raise ValueError(f"{name}: LadaGAN has its own, see {instead}")
        super().compile(optimizer=None, jit_compile=jit_compile, **kwargs)
        if isinstance(g_optimizer, keras.Optimizer) and g_optimizer is d_optimizer:
            raise ValueError("g_optimizer is d_optimizer: create one for each network")
        if isinstance(optimizer, keras.Optimizer):
            optimizer = keras.optimizers.serialize(optimizer)  # one for each network
        self.features = features
        self._distances = None
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.gradient_checkpointing = gradient_checkpointing
        with self.distribute_strategy.scope():
            self.g_optimizer = make_optimizer(
                "g_optimizer",
                g_optimizer or optimizer,
                self.generator,
                self.g_learning_rate,
                self.g_betas,
            )
            self.d_optimizer = make_optimizer(
                "d_optimizer",
                d_optimizer or optimizer,
                self.discriminator,
                self.d_learning_rate,
                self.d_betas,
            )
        self.optimizer = Optimizers(
            self.g_optimizer, self.d_optimizer, self.step_counter
        )

    def get_compile_config(self) -> dict:
        if not (self.features is None or self.features in FEATURES):
            warnings.warn(
                "features is not saved: pass it to compile after loading", stacklevel=2
            )
        return {
            "g_optimizer": keras.saving.serialize_keras_object(self.g_optimizer),
            "d_optimizer": keras.saving.serialize_keras_object(self.d_optimizer),
            "features": self.features if self.features in FEATURES else None,
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
            "gradient_checkpointing": self.gradient_checkpointing,
        }

    def compile_from_config(self, config: dict) -> None:
        features = config.get("features", FEATURES[0])
        config = deserialized(config, ("g_optimizer", "d_optimizer"))
        self.compile(
            **{**config, "features": features if features in FEATURES else None}
        )

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Train on images (B, size, size, 3) in [-1, 1], see `keras.Model.fit`.

        Args:
            x: array, `tf.data.Dataset`, or another source of batches. Labels are
                ignored.
            callbacks: Keras callbacks. Those that change the learning rate change it in
                each of the two optimizers.
            validation_data: images to `evaluate` after each epoch. They do not change
                the random numbers of training.
            **kwargs: the other arguments of `keras.Model.fit`.

        Raises:
            ValueError: if the first batch has another shape, dtype or range, or if a
                callback does not suit a GAN.
        """
        x, first = with_first_batch(x)
        check_batch(first, self.image_size)
        if validation_data is not None:
            images, *rest = keras.utils.unpack_x_y_sample_weight(validation_data)
            images, first = with_first_batch(images)
            try:
                check_batch(first, self.image_size)
            except ValueError as error:
                raise ValueError(f"validation_data: {error}") from error
            kwargs["validation_data"] = (images, *rest)
        if validation_data is not None or validation_split:
            self._open_distances()  # an error shows here, not after an epoch
        kwargs["validation_split"] = validation_split
        callbacks = prepared(callbacks, ProgressBar)
        with warnings.catch_warnings():
            if "shuffle" not in kwargs:  # Keras' default suits arrays only
                warnings.filterwarnings("ignore", "`shuffle=True` was passed")
            try:
                return super().fit(
                    x, y, batch_size, epochs, verbose, callbacks, **kwargs
                )
            except tf.errors.InvalidArgumentError as error:  # with TensorFlow's report
                message = indivisible_batch(self.gradient_accumulation_steps)
                if message in str(error):
                    raise ValueError(message) from None
                raise

    def train_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Run one training step, see `keras.Model.train_on_batch` and `fit`."""
        check_batch(x, self.image_size)
        return super().train_on_batch(x, *args, **kwargs)

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **kwargs: Any,
    ) -> dict[str, float] | list[float]:
        """Compare generated images with real ones, see `keras.Model.evaluate`.

        Every call uses the same latents, and none changes the random numbers of
        training.

        Returns:
            The losses of `test_step`, then two distances unless `compile` had
            `features=None`. They compare the images in `x` with as many images of the
            EMA generator, and are NaN for a single image.

            - `kid`: the kernel distance of `lada_tf.evaluation.kernel_distance`, with
              subsets of up to 1,000 images.
            - `fd`: the Fréchet distance. It is FID only for `features="inception"`.
              With few images, it is biased upwards.
        """
        if not kwargs:  # only `fit` passes any, after it has checked the data
            x, first = with_first_batch(x)
            check_batch(first, self.image_size)
        self._open_distances()
        callbacks = prepared(callbacks)
        self._is_testing = True
        try:
            logs = super().evaluate(
                x,
                y,
                batch_size,
                verbose,
                sample_weight,
                steps,
                callbacks,
                return_dict=True,
                **kwargs,
            )
            logs.update(distances := self.distance_results())
        finally:
            self._is_testing = False
        names = (*TEST_METRICS, *distances)
        return logs if return_dict else [logs[name] for name in names]

    def test_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the losses of a batch. For the distances, use `evaluate`."""
        check_batch(x, self.image_size)
        return super().test_on_batch(x, *args, **kwargs)

    def make_test_function(self, force: bool = False) -> Callable:
        """Return Keras' test function, which also collects features in `evaluate`."""
        if self.test_function is not None and not force:
            return self.test_function
        super().make_test_function(force=True)
        run_steps = self.test_function

        def test_function(iterator):
            batches = list(itertools.islice(iterator, self.steps_per_execution))
            if not batches:
                raise StopIteration
            if self._is_testing and self._distances:
                for batch in batches:
                    for images in images_on_replicas(batch):
                        self._distances.update(np.asarray(images))
            return run_steps(iter(batches))

        self.test_function = test_function
        return test_function

    def reset_metrics(self) -> None:
        super().reset_metrics()
        if self._distances:
            self._distances.reset()

    def distance_results(self) -> dict[str, float]:
        """Return the distances `kid` and `fd` of the latest evaluation, or {}."""
        if self._distances is None:
            return {}
        return self._distances.results(self.ema_generator)

    def _symbolic_build(self, iterator=None, data_batch=None):
        """Do nothing. To build a new `augment`, Keras would pass images to `call`."""

    def _open_distances(self):
        if self._distances is None and self.features is not None:
            from lada_tf.evaluation.validation import FeatureDistances

            self._distances = FeatureDistances(self.features)


def deserialized(config: dict, names: tuple[str, ...]) -> dict:
    """Return a copy of a config in which the named entries are Keras objects."""
    objects = {n: keras.saving.deserialize_keras_object(config[n]) for n in names}
    return {**config, **objects}
