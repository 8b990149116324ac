"""Packs about 1,000 emoji portraits into lada_tf/data/embedded/portraits.npz.

The images are Google's Noto emoji as the npm package `emoji-datasource-google`
distributes them: 64x64 PNGs with alpha. Kept are the designs of people (base designs
and skin tones), composited on white and halved to 32x32 by averaging 2x2 pixels.

    python scripts/pack_portraits.py                  # fetches with `npm pack`
    python scripts/pack_portraits.py --tarball=emoji-datasource-google-16.0.0.tgz
"""

import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile

import numpy as np
from absl import app, flags
from PIL import Image

PACKAGE = "emoji-datasource-google@16.0.0"
CATEGORY = "People & Body"
SUBCATEGORIES = ("person", "person-role", "person-fantasy", "person-gesture")
IMAGE_SIZE = 32
EMBEDDED = pathlib.Path(__file__).parents[1] / "lada_tf" / "data" / "embedded"

TARBALL = flags.DEFINE_string("tarball", None, f"{PACKAGE} as `npm pack` names it.")
OUTPUT = flags.DEFINE_string("output", str(EMBEDDED / "portraits.npz"), "File to make.")


def main(argv: list[str]) -> None:
    del argv
    with tempfile.TemporaryDirectory() as folder:
        tarball = TARBALL.value or npm_pack(folder)
        with tarfile.open(tarball) as package:
            images = portraits(package)
    write_npz(images, pathlib.Path(OUTPUT.value))
    digest = hashlib.sha256(images.tobytes()).hexdigest()
    print(f"{OUTPUT.value}: {images.shape}, sha256 of the pixels {digest}")


def npm_pack(folder: str) -> str:
    """Downloads the package's tarball into `folder` and returns its path."""
    command = ["npm", "pack", "--silent", PACKAGE]
    name = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE)
    return os.path.join(folder, name.stdout.decode().split()[-1])


def portraits(package: tarfile.TarFile) -> np.ndarray:
    """The portraits in the order of `emoji.json`: uint8 (N, 32, 32, 3)."""
    members = {member.name: member for member in package}
    emoji = json.loads(read(package, members["package/emoji.json"]))
    return np.stack(
        [
            portrait(read(package, members[f"package/img/google/64/{name}"]))
            for name in image_names(emoji)
        ]
    )


def image_names(emoji: list[dict]) -> list[str]:
    """File names of the designs and skin tones that have an image of Google's."""
    people = (
        entry
        for entry in emoji
        if entry["category"] == CATEGORY and entry["subcategory"] in SUBCATEGORIES
    )
    return [
        variant["image"]
        for entry in people
        for variant in (entry, *entry.get("skin_variations", {}).values())
        if variant["has_img_google"]
    ]


def portrait(png: bytes) -> np.ndarray:
    """A PNG on white, 32x32: the box filter at 64 -> 32 is the mean of 2x2 pixels."""
    image = Image.open(io.BytesIO(png)).convert("RGBA")
    on_white = Image.new("RGBA", image.size, "white")
    on_white.alpha_composite(image)
    size = (IMAGE_SIZE, IMAGE_SIZE)
    return np.asarray(on_white.convert("RGB").resize(size, Image.Resampling.BOX))


def read(package: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = package.extractfile(member)
    if file is None:
        sys.exit(f"{member.name} in the tarball is not a file")
    return file.read()


def write_npz(images: np.ndarray, path: pathlib.Path) -> None:
    """NumPy dates every member 1980-01-01, so that equal arrays give equal bytes."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        np.savez_compressed(file, images=images)
    os.replace(temporary, path)


if __name__ == "__main__":
    app.run(main)
