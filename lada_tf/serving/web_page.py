"""Write a static web page that runs a generator in the visitor's browser."""

import base64
import hashlib
import json
import subprocess
import tarfile
import tempfile
from importlib import resources
from pathlib import Path

from lada_tf.errors import UserError
from lada_tf.io import default_cache_dir
from lada_tf.models import Generator
from lada_tf.serving.converters import write_onnx

RUNTIME = "onnxruntime-web@1.30.0"
RUNTIME_PACKAGE = "onnxruntime-web-1.30.0.tgz"  # file name that `npm pack` gives it
RUNTIME_SHA512 = (  # npm's integrity checksum
    "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
RUNTIME_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
NOTICE = f"{RUNTIME}, (c) Microsoft Corporation, MIT license.\n"
PAGE_FILES = ("index.html", "page.css", "page.js")


def write_web_page(generator: Generator, directory: Path, precision: str) -> None:
    """Write a directory for any web host: the page, an ONNX model, and its runtime.

    The page loads nothing from other hosts. `npm pack` downloads the runtime (33 MB, of
    which the page needs 14 MB) once, into lada_tf's cache directory.

    Raises:
        UserError: if the runtime cannot be downloaded or has another checksum.
    """
    package = _runtime_package(Path(default_cache_dir()))
    write_onnx(generator, directory / "generator.onnx", precision)
    model = {"latent_dim": generator.latent_dim, "image_size": generator.image_size}
    (directory / "model.json").write_text(json.dumps(model), "utf-8")
    for name in PAGE_FILES:
        source = resources.files("lada_tf.serving") / "web" / name
        (directory / name).write_bytes(source.read_bytes())
    runtime = directory / "onnxruntime"
    runtime.mkdir()
    with tarfile.open(package) as archive:
        for name in RUNTIME_FILES:
            file = archive.extractfile(f"package/dist/{name}")
            assert file  # for mypy: it is a regular file
            (runtime / name).write_bytes(file.read())
    (runtime / "NOTICE").write_text(NOTICE, "utf-8")


def _runtime_package(cache_dir: Path) -> Path:
    """Return the path of the runtime's npm package; download it if it is missing."""
    path = cache_dir / RUNTIME_PACKAGE
    if not path.exists():
        cache_dir.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", "--silent", RUNTIME]
        with tempfile.TemporaryDirectory(dir=cache_dir) as directory:
            try:
                subprocess.run(
                    command, cwd=directory, check=True, capture_output=True, timeout=300
                )
            except (OSError, subprocess.SubprocessError) as error:
                raise UserError(
                    f"`npm pack {RUNTIME}` failed ({error}). Install npm, or put "
                    f"{RUNTIME_PACKAGE} into {cache_dir}"
                ) from error
            Path(directory, RUNTIME_PACKAGE).replace(path)
    digest = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    if digest != RUNTIME_SHA512:
        raise UserError(
            f"{path}: wrong checksum for {RUNTIME}. Delete the file and try again"
        )
    return path
