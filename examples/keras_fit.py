"""Train LadaGAN with Keras: a directory of images, callbacks, save, export.

    python examples/keras_fit.py --images=photos --output=trained --epochs=50

The directory or its subdirectories contain images of any size. The `tiny` preset needs
about 40,000 images seen, for example 50 epochs of 800. For long runs, use
`lada-tf train`.
"""

import argparse
import pathlib

import keras

import lada_tf


def main(
    images: str,
    output: str,
    preset: str = "tiny",
    epochs: int = 10,
    batch_size: int = 16,
    **changes,
) -> dict[str, float]:
    """Train, and return the metrics of the best epoch.

    Args:
        images: directory of images; a fifth of them is for validation.
        output: directory for the best model, its export, 16 images and the log.
        preset: name of a preset.
        epochs: number of passes over the training images.
        batch_size: images per step.
        **changes: fields of the preset to replace.
    """
    output = pathlib.Path(output)
    output.mkdir(parents=True, exist_ok=True)
    gan = lada_tf.LadaGAN.from_preset(preset, **changes)
    gan.summary()

    train, validation = keras.utils.image_dataset_from_directory(
        images,
        labels=None,
        image_size=(gan.image_size, gan.image_size),
        crop_to_aspect_ratio=True,
        batch_size=batch_size,
        validation_split=0.2,
        subset="both",
        seed=0,
    )
    rescale = keras.layers.Rescaling(1 / 127.5, -1)  # [0, 255] to [-1, 1]
    train, validation = train.map(rescale), validation.map(rescale)

    gan.compile(features="small_classifier")  # features for val_kid and val_fd
    best_file = output / "best.keras"
    gan.fit(
        train,
        validation_data=validation,
        epochs=epochs,
        callbacks=[
            keras.callbacks.ModelCheckpoint(
                best_file, monitor="val_kid", save_best_only=True
            ),
            keras.callbacks.EarlyStopping(monitor="val_kid", patience=50),
            keras.callbacks.ReduceLROnPlateau(monitor="val_kid", patience=20),
            keras.callbacks.BackupAndRestore(output / "backup"),
            keras.callbacks.CSVLogger(output / "log.csv"),
        ],
    )

    best = keras.saving.load_model(best_file)
    best.export(output / "generator")  # a SavedModel: latents in, images out
    samples = best.predict(best.sample_latents(16))
    for i, image in enumerate(samples):
        keras.utils.save_img(output / f"{i:02}.png", (image.clip(-1, 1) + 1) * 127.5)
    return best.evaluate(validation, return_dict=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--preset", default="tiny", choices=lada_tf.LadaGAN.presets)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch_size", type=int, default=16)
    print(main(**vars(parser.parse_args())))
