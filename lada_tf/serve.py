"""Serve an exported SavedModel over REST and gRPC, like TensorFlow Serving.

    python -m lada_tf.serve --model=models/c10

REST is KServe's server (v1 and v2 protocols), and gRPC is TensorFlow Serving's
`PredictionService`. Install both with `pip install 'lada_tf[serve]'`. On SIGTERM, the
server finishes the current requests and exits.
"""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from absl import flags

from lada_tf import app, runtime
from lada_tf.errors import UserError
from lada_tf.serving.predictor import Predictor

app.DEFINE_path(
    "model", None, "Serve this SavedModel or directory of versions.", required=True
)
flags.DEFINE_string(
    "name", None, "Set the name for clients. The default is the directory's."
)
flags.DEFINE_string("host", "127.0.0.1", "Listen on this address. 0.0.0.0 means all.")
flags.DEFINE_integer("rest_port", 8501, "Listen on this port for REST.", 1, 65535)
flags.DEFINE_integer("grpc_port", 8500, "Listen on this port for gRPC.", 1, 65535)
flags.DEFINE_integer("max_request_mb", 4, "Refuse requests of more MiB.", 1)
FLAGS = flags.FLAGS


def main() -> None:
    try:
        from lada_tf.serving.grpc_service import grpc_server
        from lada_tf.serving.rest import KServeModel, rest_server
    except ImportError as error:
        raise UserError(f"{error}: pip install 'lada_tf[serve]'") from error

    host = FLAGS.host.strip("[]")
    url_host = f"[{host}]" if ":" in host else host  # an IPv6 address
    if FLAGS.rest_port == FLAGS.grpc_port:
        raise UserError(f"rest_port={FLAGS.rest_port}: must differ from grpc_port")
    app.check_port("rest_port", host, FLAGS.rest_port)
    app.check_port("grpc_port", host, FLAGS.grpc_port)
    predictor = Predictor(FLAGS.model)
    if predictor.has_bfloat16:
        runtime.assume_frozen_weights()
    path = Path(FLAGS.model).resolve()
    name = FLAGS.name or (path.parent.name if path.name.isdigit() else path.name)
    max_bytes = FLAGS.max_request_mb * 2**20
    # TensorFlow uses all cores for each request, so more threads would not help.
    with ThreadPoolExecutor(os.cpu_count()) as executor:
        model = KServeModel(name, predictor, executor)
        rest = rest_server(model, host, FLAGS.rest_port, max_bytes)
        try:
            server = grpc_server(
                name, predictor, executor, url_host, FLAGS.grpc_port, max_bytes
            )
        except RuntimeError as error:
            raise UserError(f"grpc_port={FLAGS.grpc_port}: {error}") from error
        server.start()
        print(
            f"{name}: http://{url_host}:{FLAGS.rest_port}/v1/models/{name}:predict, "
            f"gRPC at {url_host}:{FLAGS.grpc_port}",
            flush=True,
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            # After its shutdown, uvicorn raises the signal again. Ignore it.
            signal.signal(number, lambda *_: None)
        rest.run()
        server.stop(grace=5).wait()


if __name__ == "__main__":
    app.run(main)
