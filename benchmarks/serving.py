"""Measure exported generators: size, start-up, latency and throughput.

    python -m benchmarks.serving --preset=cifar10 --output=serving.json
    python -m benchmarks.serving --run_dir=runs/portraits

Needs `pip install 'lada_tf[onnx,litert,serve]'`. The reference, TensorFlow, is the
Keras generator as a `tf.function` in this process. Each format is exported, loaded in
its own runtime and timed on the same latents. The servers are those of `lada_tf.serve`,
another process, over loopback. All take turns. "ratio" compares the medians of this
run: above 1 is slower than TensorFlow.

"start" is the time from the start of a process to its first image, including imports,
without lada_tf except for Keras files. For the servers, it is the time to the first
answer.
"""

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
from lada_tf import app

RUN_DIR = flags.DEFINE_string("run_dir", None, "Run directory of the generator.")
PRESET = flags.DEFINE_string(
    "preset", "cifar10", "Preset with random weights, if there is no run_dir."
)
BATCHES = flags.DEFINE_list("batches", ["1", "16"], "Images per request.")
ROUNDS = flags.DEFINE_integer("rounds", 7, "Turns per contender.", 1)
CLIENTS = flags.DEFINE_integer("clients", 16, "Concurrent clients.", 1)
REQUESTS = flags.DEFINE_integer("requests", 200, "Requests of all clients together.", 1)
OUTPUT = flags.DEFINE_string("output", None, "JSON file to write.")

REFERENCE = "TensorFlow"
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
    generator = open_generator()
    with tempfile.TemporaryDirectory() as folder:
        exports = export_all(generator, Path(folder))
        contenders = load_all(generator, exports)
        with Server(exports["savedmodel float32"]["path"]) as server:
            clients = server.clients()
            latencies = time_in_turns({**contenders, **clients}, generator.latent_dim)
            load = {
                name: time_clients(call, generator.latent_dim)
                for name, call in clients.items()
            }
            starts = {"server": server.start_seconds}
        for name, export in exports.items():
            starts[name] = seconds_to_start(name, export["path"], generator.latent_dim)
    report = {
        "machine": machine(),
        "generator": RUN_DIR.value or PRESET.value,
        "megabytes": {name: export["megabytes"] for name, export in exports.items()},
        "errors": {name: export["errors"] for name, export in exports.items()},
        "start_seconds": starts,
        "latency": latencies,
        "under_load": load,
    }
    print_report(report)
    write_json(OUTPUT.value, report)


def open_generator():
    if RUN_DIR.value:
        from lada_tf import load_generator

        return load_generator(RUN_DIR.value)
    from lada_tf.models.networks import make_networks
    from lada_tf.models.presets import get_preset

    generator, _ = make_networks(get_preset(PRESET.value))
    generator.build()
    return generator


def export_all(generator, folder: Path) -> dict:
    """Export the generator in every format and precision."""
    from lada_tf.serving import FORMATS, export_generator

    exports = {}
    for name, form in FORMATS.items():
        for precision in form.precisions:
            path = folder / f"{name}_{precision}"
            comparison = export_generator(generator, path, name, precision)
            files = [file for file in path.rglob("*") if file.is_file()]
            exports[f"{name} {precision}"] = {
                "path": path,
                "megabytes": sum(file.stat().st_size for file in files) / 1e6,
                "errors": {
                    "max": comparison.max_error,
                    "mean": comparison.mean_error,
                    "FD (small classifier)": comparison.distance,
                },
            }
    return exports


def load_all(generator, exports: dict) -> dict:
    import tensorflow as tf

    from lada_tf.serving import load_exported

    graph = tf.function(generator, reduce_retracing=True)
    contenders = {REFERENCE: lambda z: graph(z).numpy(), "Keras, eager": generator}
    for name, export in exports.items():
        if not name.startswith("keras"):  # loading it returns the same object
            contenders[name] = load_exported(export["path"])
    return contenders


class Server:
    """`lada_tf.serve` in another process."""

    def __init__(self, folder):
        self._rest, self._grpc = free_ports(2)
        self._command = [sys.executable, "-m", "lada_tf.serve", f"--model={folder}"]
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

    def clients(self) -> dict:
        return {
            "REST v1, JSON": self._rest_v1,
            "REST v2, JSON": self._rest_v2,
            "gRPC": self._grpc_client(),
        }

    def _rest_v1(self, latents):
        answer = self._post("v1/models/model:predict", {"instances": latents.tolist()})
        return np.asarray(answer["predictions"], np.uint8)

    def _rest_v2(self, latents):
        tensor = {"name": "latents", "datatype": "FP32", "shape": latents.shape}
        tensor["data"] = latents.ravel().tolist()
        answer = self._post("v2/models/model/infer", {"inputs": [tensor]})
        (output,) = answer["outputs"]
        return np.asarray(output["data"], np.uint8).reshape(output["shape"])

    def _post(self, path, body):
        url = f"http://127.0.0.1:{self._rest}/{path}"
        with urllib.request.urlopen(url, json.dumps(body).encode()) as response:
            return json.load(response)

    def _grpc_client(self):
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


def time_in_turns(contenders: dict, latent_dim: int) -> dict:
    """Return median ms, ratio to TensorFlow and images/s, per batch and name."""
    results = {}
    for batch in map(int, BATCHES.value):
        latents = np.random.default_rng(batch).standard_normal((batch, latent_dim))
        latents = latents.astype(np.float32)
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for turn in range(ROUNDS.value + 1):
            for name, call in contenders.items():
                np.asarray(call(latents))  # fills the caches again
                for _ in range(3):
                    start = time.perf_counter()
                    np.asarray(call(latents))
                    if turn:  # the first one traces and allocates
                        times[name].append(time.perf_counter() - start)
        medians = {name: statistics.median(values) for name, values in times.items()}
        results[batch] = {
            name: {
                "ms": 1000 * median,
                "ratio": median / medians[REFERENCE],
                "images_per_second": batch / median,
            }
            for name, median in medians.items()
        }
    return results


def time_clients(call, latent_dim: int) -> dict:
    """Return latencies and throughput of concurrent clients, one image per request."""
    latents = np.zeros((1, latent_dim), np.float32)

    def timed(_):
        start = time.perf_counter()
        call(latents)
        return time.perf_counter() - start

    start = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS.value) as clients:
        times = sorted(clients.map(timed, range(REQUESTS.value)))
    seconds = time.perf_counter() - start
    return {
        "clients": CLIENTS.value,
        "requests": REQUESTS.value,
        "ms_median": 1000 * statistics.median(times),
        "ms_99": 1000 * times[int(0.99 * len(times))],
        "images_per_second": REQUESTS.value / seconds,
    }


def seconds_to_start(name: str, path: Path, latent_dim: int) -> float:
    """Return the shorter of 2 times: the first start reads the files from disk."""
    code = f"path, dim = {str(path)!r}, {latent_dim}" + STARTS[name.split()[0]]
    times = []
    for _ in range(2):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL
        )
        times.append(time.perf_counter() - start)
    return min(times)


def print_report(report: dict) -> None:
    print(f"{report['generator']}; {report['machine']}; no GPU used")
    print_markdown([export_cells(name, report) for name in report["megabytes"]])
    print(f"server: ready after {report['start_seconds']['server']:.1f} s\n")
    for batch, contenders in report["latency"].items():
        print_markdown(
            [
                {
                    f"batch {batch}": name,
                    "ms": f"{row['ms']:.1f}",
                    "ratio": f"{row['ratio']:.2f}",
                    "images/s": f"{row['images_per_second']:.0f}",
                }
                for name, row in contenders.items()
            ]
        )
        print()
    print_markdown(
        [
            {
                f"{CLIENTS.value} concurrent clients": name,
                "median ms": f"{row['ms_median']:.0f}",
                "99% ms": f"{row['ms_99']:.0f}",
                "images/s": f"{row['images_per_second']:.0f}",
            }
            for name, row in report["under_load"].items()
        ]
    )


def export_cells(name: str, report: dict) -> dict[str, str]:
    """Return an export's line of the table of size, start-up and errors."""
    errors = report["errors"][name]
    distance = errors["FD (small classifier)"]
    return {
        "export": name,
        "MB": f"{report['megabytes'][name]:.1f}",
        "start, s": f"{report['start_seconds'][name]:.1f}",
        "max error": f"{errors['max']:.1e}",
        "mean error": f"{errors['mean']:.1e}",
        "FD (small classifier)": "" if distance is None else f"{distance:.4f}",
    }


if __name__ == "__main__":
    app.run(main)
