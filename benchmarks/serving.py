"""Measure exported generators and the server: size, start, errors, and speed.

    python -m benchmarks.serving --output=docs/data/serving.json

Needs `pip install 'lada_tf[onnx,litert,serve]'`. The reference, TensorFlow, is the
Keras generator as a `tf.function` in this process. Each format is exported, loaded in
its own runtime and timed on the same latents. The server is `lada-tf serve`, another
process on this machine. All take turns, and "×" compares the medians: below 1 is faster
than TensorFlow.

"start" is the time from the start of a process to its first image, with imports. Only
Keras files need lada_tf. The server's start ends when it is ready.
"""

from lada_tf import app  # first: it imports TensorFlow without its log lines

# isort: split
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from absl import flags

from benchmarks.report import machine, print_markdown, write_json

BATCHES = (1, 16)
CALLS = 3  # per turn
CLIENTS = 16
REQUESTS = 200  # of all clients together
REFERENCE = "TensorFlow"
# Format: program that starts and generates one image. `web` runs in browsers only.
STARTS = {
    "savedmodel": """
import numpy, tensorflow
run = tensorflow.saved_model.load(path).signatures["serving_default"]
run(latents=tensorflow.zeros((1, dim)))
""",
    "keras": """
import lada_tf, keras, numpy
keras.saving.load_model(path + "/generator.keras")(numpy.zeros((1, dim), "float32"))
""",
    "onnx": """
import numpy, onnxruntime
run = onnxruntime.InferenceSession(path + "/generator.onnx").run
run(None, {"latents": numpy.zeros((1, dim), "float32")})
""",
    "litert": """
import numpy
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(path + "/generator.tflite")
interpreter.get_signature_runner()(latents=numpy.zeros((1, dim), "float32"))
""",
}


def main() -> None:
    import tensorflow_serving.apis  # noqa: F401, if missing, fail before measuring

    from lada_tf.models.networks import make_networks
    from lada_tf.models.presets import get_preset

    generator, _ = make_networks(get_preset(flags.FLAGS.preset))
    generator.build()
    dim = generator.latent_dim
    with tempfile.TemporaryDirectory() as directory:
        exports, models = export_all(generator, Path(directory))
        for name, export in exports.items():
            export["start_seconds"] = seconds_to_start(name, directory, dim)
        with Server(Path(directory, "savedmodel float32")) as server:
            clients = {"REST v1, JSON": server.rest, "gRPC": server.grpc_client()}
            report = {
                "machine": machine(),
                "preset": flags.FLAGS.preset,
                "exports": exports,
                "server_start_seconds": server.start_seconds,
                "seconds": time_in_turns(models | clients, dim),
                "clients": {n: time_clients(call, dim) for n, call in clients.items()},
            }
    for table in tables(report):
        print_markdown(table)
        print()
    write_json(flags.FLAGS.output, report)


def export_all(generator, directory: Path) -> tuple[dict, dict]:
    """Export in the formats of `STARTS`. Return sizes and errors, and the models."""
    import tensorflow as tf

    from lada_tf.serving import FORMATS, export_generator, load_exported

    graph = tf.function(generator, reduce_retracing=True)
    models = {REFERENCE: lambda z: graph(z).numpy(), "Keras, eager": generator}
    exports = {}
    for form in STARTS:
        for precision in FORMATS[form].precisions:
            name = f"{form} {precision}"
            path = directory / name
            errors = export_generator(generator, path, form, precision)
            files = [file for file in path.rglob("*") if file.is_file()]
            exports[name] = {
                "megabytes": sum(file.stat().st_size for file in files) / 1e6,
                "max_error": errors.max_error,
                "mean_error": errors.mean_error,
                "distance": errors.distance,
            }
            if form != "keras":  # the same computation as the reference
                models[name] = load_exported(path)
    return exports, models


class Server:
    """`lada-tf serve` in another process."""

    def __init__(self, export: Path):
        self._rest, self._grpc = free_ports(2)
        self._command = [sys.executable, "-m", "lada_tf.serve", f"--model={export}"]
        self._command += ["--name=model", f"--rest_port={self._rest}"]
        self._command += [f"--grpc_port={self._grpc}"]

    def __enter__(self):
        start = time.perf_counter()
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while self._process.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self._rest}/v2/health/ready")
                break
            except OSError:
                time.sleep(0.1)
        self.start_seconds = time.perf_counter() - start
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait()

    def rest(self, latents):
        url = f"http://127.0.0.1:{self._rest}/v1/models/model:predict"
        body = json.dumps({"instances": latents.tolist()}).encode()
        with urllib.request.urlopen(url, body) as response:
            return np.asarray(json.load(response)["predictions"], np.uint8)

    def grpc_client(self):
        import grpc
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

        channel = grpc.insecure_channel(
            f"127.0.0.1:{self._grpc}", [("grpc.max_receive_message_length", -1)]
        )
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

        def predict(latents):
            request = predict_pb2.PredictRequest()
            request.model_spec.name = "model"
            request.inputs["latents"].CopyFrom(tf.make_tensor_proto(latents))
            return tf.make_ndarray(stub.Predict(request).outputs["images"])

        return predict


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def time_in_turns(models: dict, latent_dim: int) -> dict[str, dict[str, float]]:
    """Return the median seconds per call, per batch size and name."""
    results = {}
    for batch in BATCHES:
        latents = np.random.default_rng(batch).standard_normal((batch, latent_dim))
        latents = latents.astype(np.float32)
        times: dict[str, list[float]] = {name: [] for name in models}
        for turn in range(flags.FLAGS.turns + 1):
            for name, call in models.items():
                np.asarray(call(latents))  # fills the caches again
                for _ in range(CALLS):
                    start = time.perf_counter()
                    np.asarray(call(latents))
                    if turn:  # The first turn includes tracing and allocation.
                        times[name].append(time.perf_counter() - start)
        results[str(batch)] = {
            name: statistics.median(values) for name, values in times.items()
        }
    return results


def time_clients(call, latent_dim: int) -> dict[str, float]:
    """Return latencies and throughput of concurrent clients, one image per request."""
    latents = np.zeros((1, latent_dim), np.float32)

    def timed(_):
        start = time.perf_counter()
        call(latents)
        return time.perf_counter() - start

    start = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as clients:
        times = sorted(clients.map(timed, range(REQUESTS)))
    return {
        "median_seconds": statistics.median(times),
        "seconds_99": times[int(0.99 * len(times))],
        "images_per_second": REQUESTS / (time.perf_counter() - start),
    }


def seconds_to_start(name: str, directory: str, latent_dim: int) -> float:
    """Return the shorter of 2 times: the first start reads the files from disk."""
    path = str(Path(directory, name))
    code = f"path, dim = {path!r}, {latent_dim}" + STARTS[name.split()[0]]
    times = []
    for _ in range(2):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL
        )
        times.append(time.perf_counter() - start)
    return min(times)


def tables(report: dict) -> list[list[dict[str, str]]]:
    """Return three tables: the exports, their speed, and concurrent clients."""
    exports = [
        {
            "export": name,
            "MB": f"{export['megabytes']:.1f}",
            "start, s": f"{export['start_seconds']:.1f}",
            "max error": f"{export['max_error']:.2g}",
            "mean error": f"{export['mean_error']:.2g}",
            "FD (small classifier)": (
                "" if export["distance"] is None else f"{export['distance']:.4f}"
            ),
        }
        for name, export in report["exports"].items()
    ]
    speeds = []
    for name in report["seconds"][str(BATCHES[0])]:
        line = {"run by": name}
        for batch, seconds in report["seconds"].items():
            ratio = seconds[name] / seconds[REFERENCE]
            line[f"batch {batch}: ms"] = f"{1000 * seconds[name]:.1f}"
            line[f"batch {batch}: ×"] = f"{ratio:.2f}"
            line[f"batch {batch}: images/s"] = f"{int(batch) / seconds[name]:.0f}"
        speeds.append(line)
    clients = [
        {
            f"{CLIENTS} clients at once": name,
            "median ms": f"{1000 * row['median_seconds']:.0f}",
            "99% ms": f"{1000 * row['seconds_99']:.0f}",
            "images/s": f"{row['images_per_second']:.0f}",
        }
        for name, row in report["clients"].items()
    ]
    return [exports, speeds, clients]


if __name__ == "__main__":
    flags.DEFINE_string("preset", "cifar10", "Preset, with random weights.")
    flags.DEFINE_integer("turns", 7, "Turns per model.", lower_bound=1)
    flags.DEFINE_string("output", None, "JSON file to write.")
    app.run(main)
