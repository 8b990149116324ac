"""Serve a generator over REST and gRPC, like TensorFlow Serving.

    lada-tf serve --model=portraits
    lada-tf serve --model=models/c10

Install the servers with `pip install 'lada_tf[serve]'`. The REST server has TensorFlow
Serving's protocol and Open Inference (v2). The gRPC server has TensorFlow Serving's
`PredictionService`.

In a directory of SavedModels, such as models/c10/1 and models/c10/2, the newest version
is served. A new version needs no restart. Other models are converted at the start.

On SIGTERM, the server finishes the current requests within 6 seconds and exits. A
second signal ends it at once.
"""

import asyncio
import os
import re
import socket
import tempfile
from pathlib import Path
from typing import NoReturn

from absl import flags

from lada_tf import app
from lada_tf.errors import UserError
from lada_tf.serving.served_model import PredictionQueue, ServedModel, find_versions

app.DEFINE_source("Serve this model", "a SavedModel, a directory of its versions, ")
flags.DEFINE_string(
    "name",
    None,
    "Serve the model under this name. The default comes from --model: c10 for "
    "models/c10/1.",
)
flags.DEFINE_string(
    "host", "127.0.0.1", "Listen on this address. 0.0.0.0 means all addresses."
)
flags.DEFINE_list(
    "allowed_hosts",
    [],
    "Accept requests to these host names too. IP addresses, localhost, --host and the "
    "name of this machine are always accepted. * accepts every name.",
)
flags.DEFINE_integer("rest_port", 8501, "Listen on this port for REST.", 1, 65535)
flags.DEFINE_integer("grpc_port", 8500, "Listen on this port for gRPC.", 1, 65535)
flags.DEFINE_integer(
    "max_request_mb", 4, "Refuse requests larger than this many MiB.", 1
)
flags.DEFINE_integer(
    "max_queue", 512, "Refuse requests while this many wait or run.", 1
)
FLAGS = flags.FLAGS

TOPICS = {
    "Common flags": "model name host rest_port grpc_port",
    "Limits": "allowed_hosts max_request_mb max_queue",
    "Model": "best run_dir safe_mode",
}

GRACE_SECONDS = 6


def main() -> None:
    try:
        from lada_tf.serving import grpc_service, rest_server  # noqa: F401
    except ImportError as error:
        raise UserError(f"{error}. Run: pip install 'lada_tf[serve]'") from error

    host = FLAGS.host.strip("[]")
    if FLAGS.rest_port == FLAGS.grpc_port:
        raise UserError(
            f"rest_port={FLAGS.rest_port}, grpc_port={FLAGS.grpc_port}: both are the "
            "same. Choose two ports"
        )
    app.check_port("rest_port", host, FLAGS.rest_port)
    app.check_port("grpc_port", host, FLAGS.grpc_port)
    source = app.get_source()
    path = Path(source).resolve()
    name = path.parent.name if path.name.isdigit() else path.name
    if not path.exists():  # such as RUN:best and hf://USER/REPO@REVISION
        name = re.sub(r"[:@]", "-", name)
    asyncio.run(_serve(_open(source), FLAGS.name or name, host))


def _open(source: str) -> ServedModel:
    """Load the SavedModels of a source, or convert its generator to a SavedModel."""
    if find_versions(Path(source)):
        return ServedModel(source)
    from lada_tf.serving.exported import ExportedModel, KerasFile  # slow to import
    from lada_tf.serving.loading import load_generator
    from lada_tf.serving.saved_model import write_saved_model

    generator = load_generator(source)
    if isinstance(generator, KerasFile):
        generator = generator.generator
    if isinstance(generator, ExportedModel):
        raise UserError(
            f"model={source}: cannot be converted to a SavedModel. Serve the original "
            "model instead of this export"
        )
    with tempfile.TemporaryDirectory(prefix="lada_tf-serve-") as directory:
        write_saved_model(generator, directory)
        return ServedModel(directory)


async def _serve(model: ServedModel, name: str, host: str) -> NoReturn:
    """Serve until a signal arrives, and exit."""
    from lada_tf.serving.grpc_service import PredictionService, grpc_server
    from lada_tf.serving.rest import RestService
    from lada_tf.serving.rest_server import rest_server

    max_bytes = FLAGS.max_request_mb * 2**20
    url_host = f"[{host}]" if ":" in host else host  # an IPv6 address
    queue = PredictionQueue(FLAGS.max_queue)
    names = ["localhost", host, socket.gethostname(), *FLAGS.allowed_hosts]
    rest_service = RestService(name, model, queue, max_bytes)
    rest = rest_server(rest_service, host, FLAGS.rest_port, names, GRACE_SECONDS)
    try:
        grpc_service = PredictionService(name, model, queue)
        grpc = grpc_server(grpc_service, url_host, FLAGS.grpc_port, max_bytes)
    except RuntimeError as error:
        raise UserError(f"grpc_port={FLAGS.grpc_port}: {error}") from error
    await grpc.start()
    model.follow()
    print(
        f"{name}: http://{url_host}:{FLAGS.rest_port}/v1/models/{name}:predict, "
        f"gRPC at {url_host}:{FLAGS.grpc_port}",
        flush=True,
    )
    await rest.serve()
    await grpc.stop(grace=1)
    await asyncio.sleep(0.1)  # for the last answers
    os._exit(0)  # do not wait for running predictions, which cannot be stopped


if __name__ == "__main__":
    app.run(main, TOPICS)
