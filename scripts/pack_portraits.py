"""Pack emoji of people into a file such as lada_tf/data/embedded/portraits.npz.

    python scripts/pack_portraits.py                  # downloads with `npm pack`
    python scripts/pack_portraits.py --tarball=emoji-datasource-google-16.0.0.tgz
    python scripts/pack_portraits.py --groups=person-activity,person-sport \\
        --output=activities.npz

The images are Google's Noto emoji from the npm package `emoji-datasource-google`: PNGs
of 64x64 with alpha. We keep some groups of people in all skin tones, put each image on
white, and average 2x2 pixels to get 32x32. The default groups are the portraits in the
package.
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
PORTRAITS = ["person", "person-role", "person-fantasy", "person-gesture"]
IMAGE_SIZE = 32
EMBEDDED = pathlib.Path(__file__).parents[1] / "lada_tf" / "data" / "embedded"

TARBALL = flags.DEFINE_string("tarball", None, f"{PACKAGE} as `npm pack` names it.")
GROUPS = flags.DEFINE_list("groups", PORTRAITS, "Subcategories of emoji.json to pack.")
OUTPUT = flags.DEFINE_string(
    "output", str(EMBEDDED / "portraits.npz"), "File to write."
)


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
    """Download the package's tarball into `folder` and return its path."""
    command = ["npm", "pack", "--silent", PACKAGE]
    name = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE)
    return os.path.join(folder, name.stdout.decode().split()[-1])


def portraits(package: tarfile.TarFile) -> np.ndarray:
    """Return the portraits in the order of `emoji.json`: uint8 (N, 32, 32, 3)."""
    members = {member.name: member for member in package}
    emoji = json.loads(read(package, members["package/emoji.json"]))
    return np.stack(
        [
            portrait(read(package, members[f"package/img/google/64/{name}"]))
            for name in image_names(emoji)
        ]
    )


def image_names(emoji: list[dict]) -> list[str]:
    """Return the file names of designs and skin tones with an image by Google."""
    people = (
        entry
        for entry in emoji
        if entry["category"] == CATEGORY and entry["subcategory"] in GROUPS.value
    )
    return [
        variant["image"]
        for entry in people
        for variant in (entry, *entry.get("skin_variations", {}).values())
        if variant["has_img_google"]
    ]


def portrait(png: bytes) -> np.ndarray:
    """Return a PNG as RGB pixels on white, 32x32. The filter averages 2x2 pixels."""
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
    """Write the images. The bytes are reproducible: NumPy dates them 1980-01-01."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        np.savez_compressed(file, images=images)
    os.replace(temporary, path)


if __name__ == "__main__":
    app.run(main)
