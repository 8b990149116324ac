"""A generator as a static page, which runs it in the visitor's browser."""

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from importlib import resources
from pathlib import Path

from lada_tf.errors import UserError
from lada_tf.serving.onnx_file import write_onnx

RUNTIME = "onnxruntime-web@1.30.0"
RUNTIME_FILE = "onnxruntime-web-1.30.0.tgz"  # as `npm pack` names it
RUNTIME_SHA512 = (  # npm's integrity of it
    "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
RUNTIME_PARTS = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
NOTICE = f"{RUNTIME}, (c) Microsoft Corporation, MIT licence.\n"
PAGE_FILES = ("index.html", "page.css", "page.js")


def write_web_page(generator, folder: Path, precision: str, cache_dir: Path) -> None:
    """Writes a folder for any web host: page, ONNX model and its runtime.

    A visitor's browser asks that host only. The runtime, 14 MB of a package of 33, is
    fetched by `npm pack` once and kept in `cache_dir`.

    Args:
        generator: a built `Generator`.
        folder: an empty folder.
        precision: of the stored weights, see `write_onnx`.
        cache_dir: where the runtime's package is kept; without npm or a network, put it
            there.

    Raises:
        UserError: if the runtime cannot be fetched, or is not what npm published.
    """
    package = _runtime_package(cache_dir)
    write_onnx(generator, folder / "generator.onnx", precision)
    model = {"latent_dim": generator.latent_dim, "image_size": generator.image_size}
    (folder / "model.json").write_text(json.dumps(model))
    for name in PAGE_FILES:
        source = resources.files("lada_tf.serving") / "web" / name
        (folder / name).write_bytes(source.read_bytes())
    runtime = folder / "onnxruntime"
    runtime.mkdir()
    with tarfile.open(package) as archive:
        for name in RUNTIME_PARTS:
            member = archive.extractfile(f"package/dist/{name}")
            assert member  # the checksum is right
            with (runtime / name).open("wb") as file:
                shutil.copyfileobj(member, file)
    (runtime / "NOTICE").write_text(NOTICE)


def _runtime_package(cache_dir: Path) -> Path:
    """The runtime's package in the cache, fetched by npm if it is not there."""
    path = cache_dir / RUNTIME_FILE
    if not path.exists():
        cache_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache_dir) as folder:
            _npm_pack(folder, cache_dir)
            (Path(folder) / RUNTIME_FILE).replace(path)
    digest = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    if digest != RUNTIME_SHA512:
        raise UserError(f"{path}: is not {RUNTIME} as npm published it; remove it")
    return path


def _npm_pack(folder: str, cache_dir: Path) -> None:
    try:
        subprocess.run(
            ["npm", "pack", "--silent", RUNTIME],
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=300,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(
            f"`npm pack {RUNTIME}` failed ({error}): install npm, or put "
            f"{RUNTIME_FILE} into {cache_dir}"
        ) from error
