"""How Keras trains LadaGAN: `compile`, `fit`, `evaluate`, their metrics and checks."""

import importlib
import itertools
import os
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lada_tf.models.discriminator import check_images, check_range
from lada_tf.models.fit_callbacks import ProgressBar, prepared
from lada_tf.models.losses import METRICS, TEST_METRICS
from lada_tf.models.optimizer_step import Optimizers, indivisible_batch, make_optimizer

# Networks that a saved model may name. A path could belong to somebody else's file.
FEATURES = ("small_classifier", "keras_inception_v3", "inception")


class RunningMean(keras.metrics.Metric):
    """The mean of a metric since its last reset.

    Unlike `keras.metrics.Mean`, it expects the same value on every replica. Its
    variables are mirrored, so that one process may save them alone. Those of `Mean` are
    summed over all processes whenever they are read.
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
    """A GAN whose `fit` takes images: it looks at the first batch before it starts.

    Subclasses have the attributes `generator`, `discriminator`, `ema_generator`,
    `latent_dim`, `image_size`, `step_counter`, and those of the default optimizers.
    Their `train_step` returns `track(values)`, and `test_step` `track_test(values, n)`.
    """

    test_function: Any

    def __init__(self, **kwargs: Any):
        if keras.backend.backend() != "tensorflow":
            raise RuntimeError(
                "LadaGAN needs KERAS_BACKEND=tensorflow. Its networks do not"
            )
        super().__init__(**{"dtype": "float32", **kwargs})
        if self.dtype_policy.name != "float32":
            raise ValueError(
                f"dtype={self.dtype_policy.name}: give it to the networks, or "
                "precision= to from_preset"
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
        # Keras lists the seed twice that the augmentation shares.
        return list({id(v): v for v in super().variables}.values())

    def track(self, values: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Update the running means. Return a step's own value of each of `METRICS`."""
        trackers = [self.trackers[name] for name in values]
        # As vectors: a few operations instead of several per metric.
        steps = tf.stack(list(values.values()))
        for variables, change in (
            ([tracker.total for tracker in trackers], steps),
            ([tracker.count for tracker in trackers], tf.ones(())),
        ):
            sums = tf.stack([variable.value for variable in variables]) + change
            for variable, value in zip(variables, tf.unstack(sums), strict=True):
                variable.assign(value)
        return {name: tf.convert_to_tensor(values.get(name, 0.0)) for name in METRICS}

    def track_test(
        self, values: dict[str, tf.Tensor], count: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Do the same with `TEST_METRICS`: means over the images of all replicas.

        Args:
            values: means over the images of this replica.
            count: number of these images; 0 if the values have none.
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
            g_optimizer: Keras optimizer or its name. The default is Adam with the
                learning rate and β given to the constructor. It is put into a
                `LossScaleOptimizer` if the generator computes in float16.
            d_optimizer: the same for the discriminator.
            optimizer: an optimizer of which each network gets a copy, unless it has its
                own.
            features: the network whose features `evaluate` compares: a name or path as
                for `lada_tf.evaluation.extract_features.open_extractor`; a callable,
                uint8 images (n, size, size, 3) → array (n, d); or None for the losses
                alone.
            gradient_accumulation_steps: int. Split each batch into this many
                micro-batches to save memory. The gradients are those of the whole
                batch, except that batch normalization sees one micro-batch at a time.
            gradient_checkpointing: bool. If True, recompute the activations of the
                networks' stages during the backward pass instead of storing them. The
                numbers are the same, with less memory and more time. This needs our own
                networks.
            jit_compile: bool. Whether XLA compiles the step. It does so again for a
                last batch of another size, for as long as the first time.
            **kwargs: `steps_per_execution`, `run_eagerly`, … of
                `keras.Model.compile`.
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
            x: arrays, `tf.data.Dataset`, or another source of batches. Labels are
                ignored.
            callbacks: Keras callbacks. Those that change the learning rate change each
                optimizer's own.
            validation_data: images to `evaluate` after each epoch. Training draws the
                same random numbers with and without it.
            **kwargs: the other arguments of `keras.Model.fit`.

        Raises:
            ValueError: if the first batch has another shape, dtype or range; or if a
                callback cannot work.
        """
        x, first = _with_first_batch(x)
        self._check(first)
        if validation_data is not None:
            images, *rest = keras.utils.unpack_x_y_sample_weight(validation_data)
            images, first = _with_first_batch(images)
            try:
                self._check(first)
            except ValueError as error:
                raise ValueError(f"validation_data: {error}") from error
            kwargs["validation_data"] = (images, *rest)
        if validation_data is not None or validation_split:
            self._open_distances()  # fails here, and not after an epoch
        kwargs["validation_split"] = validation_split
        callbacks = prepared(callbacks, ProgressBar)
        with warnings.catch_warnings():
            if "shuffle" not in kwargs:  # Keras' default is for arrays alone
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
        self._check(x)
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
        """Compare the generator with images, see `keras.Model.evaluate`.

        The latents are the same in every call, and training draws the same random
        numbers after it.

        Returns:
            The losses, see `test_step`; and with `compile(features=)`, for the EMA
            generator and as many images as `x` has:

            - `kid`, the kernel distance of `lada_tf.evaluation.kernel_distance`. Its
              subsets have up to 1,000 images.
            - `fd`, the Fréchet distance. It is FID for `features="inception"` alone,
              and biased upwards for few images.

            They are NaN for a single image. The list is in this order.
        """
        if not kwargs:  # Only `fit` passes some, and it has checked the data.
            x, first = _with_first_batch(x)
            self._check(first)
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
        """Return the losses of a batch. The distances need a set: use `evaluate`."""
        self._check(x)
        return super().test_on_batch(x, *args, **kwargs)

    def make_test_function(self, force: bool = False) -> Callable:
        """Let `evaluate` collect the features of the real images of each step."""
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
                    for images in _on_replicas(batch):
                        self._distances.update(np.asarray(images))
            return run_steps(iter(batches))

        self.test_function = test_function
        return test_function

    def reset_metrics(self) -> None:
        super().reset_metrics()
        if self._distances:
            self._distances.reset()

    def distance_results(self) -> dict[str, float]:
        """Return the distances of the generator to the images of an evaluation."""
        if self._distances is None:
            return {}
        return self._distances.results(self.ema_generator)

    def save(self, filepath: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """Save the model, see `keras.Model.save`. HDF5 files have no optimizers."""
        if str(filepath).endswith((".h5", ".hdf5")):
            kwargs = {"include_optimizer": False, **kwargs}
        super().save(filepath, *args, **kwargs)

    def export(self, filepath: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """Export the EMA generator, see `keras.Model.export`."""
        self.ema_generator.export(filepath, *args, **kwargs)

    def quantize(self, *args: Any, **kwargs: Any) -> None:
        raise ValueError(
            "a quantized LadaGAN cannot train: quantize its ema_generator, or export "
            "with lada_tf.serving.export_generator(format='litert', precision='int8')"
        )

    def _symbolic_build(self, iterator=None, data_batch=None):
        """Build nothing. Keras would call the model with images to build `augment`."""

    def _open_distances(self):
        if self._distances is None and self.features is not None:
            # By name, because models import nothing of evaluation.
            validation = importlib.import_module("lada_tf.evaluation.validation")
            self._distances = validation.FeatureDistances(self.features)

    def _check(self, batch):
        images = next(_on_replicas(batch), None)
        if images is not None:
            check_images(images, self.image_size)
            if 0 in images.shape:
                raise ValueError("images are empty")
            check_range(images)


def deserialized(config: dict, names: tuple[str, ...]) -> dict:
    """Return a copy of the config with the Keras objects of these names."""
    objects = {n: keras.saving.deserialize_keras_object(config[n]) for n in names}
    return {**config, **objects}


def _on_replicas(batch) -> Iterator[tf.Tensor]:
    """Yield the images of a batch on each replica."""
    images, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
    if isinstance(images, tf.distribute.DistributedValues):
        yield from images.values
    elif images is not None:
        yield images


def _with_first_batch(data):
    """Return data for `fit`, from which nothing was taken, and its first batch."""
    if isinstance(data, types.GeneratorType):
        first = list(itertools.islice(data, 1))
        return (batch for batch in itertools.chain(first, data)), *(first or [None])
    if hasattr(data, "shape"):
        return data, data[:64]
    if isinstance(data, (dict, list, tuple)):
        raise ValueError(
            f"images must be one array or dataset, not {type(data).__name__}: join "
            "arrays with numpy.stack or numpy.concatenate"
        )
    if data is None:
        return data, data
    return data, next(iter(data), None)
