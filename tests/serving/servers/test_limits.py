"""Slow clients, a full queue and shutdown, on a server in this process."""

import socket
import threading
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

BODY = b'{"instances": [[0, 0, 0, 0, 0, 0]]}'
HEADER = b"POST /v1/models/fake:predict HTTP/1.1\r\nHost: 127.0.0.1\r\n"
WHOLE = HEADER + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
PREDICT = "/tensorflow.serving.PredictionService/Predict"


@pytest.fixture
def connect(fake):
    """Return a function that connects and sends bytes."""
    sockets = []

    def connect(data):
        sockets.append(socket.create_connection(("127.0.0.1", fake.port), 10))
        sockets[-1].sendall(data)
        return sockets[-1]

    yield connect
    for each in sockets:
        each.close()


@pytest.fixture
def channel(fake):
    with grpc.insecure_channel(f"127.0.0.1:{fake.grpc_port}") as channel:
        yield channel


def message():
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "fake"
    latents = tf.make_tensor_proto(np.zeros((1, 6), np.float32))
    request.inputs["latents"].CopyFrom(latents)
    return request.SerializeToString()


def wait_for(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"", b""),
        (HEADER, b""),
        (HEADER + b"Content-Length: 100\r\n\r\n{", b"HTTP/1.1 408"),
        (HEADER + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", b"HTTP/1.1 408"),
    ],
)
def test_slow_clients_are_disconnected(data, answer, fake, connect):
    fake.model.go_on.set()
    slow = [connect(data) for _ in range(20)]
    assert connect(WHOLE).recv(15) == b"HTTP/1.1 200 OK"
    assert {each.recv(12) for each in slow} == {answer}
    wait_for(lambda: not fake.rest.server_state.connections)


@pytest.mark.parametrize(
    "start", [HEADER + b"a: ", HEADER + b"Content-Length: 999\r\n\r\n"]
)
def test_slow_senders_are_disconnected(start, fake, connect):
    slow = connect(start)

    def is_disconnected():
        try:
            slow.sendall(b"a")
        except OSError:
            return True

    wait_for(is_disconnected)


@pytest.mark.parametrize("count", [1, 4])
def test_slow_readers_are_disconnected(count, fake, connect):
    """Also clients that send several requests and read no answer."""
    fake.model.size = 4 * 10**6
    fake.model.go_on.set()
    client = connect(WHOLE * count)
    wait_for(lambda: fake.model.num_predictions)
    wait_for(lambda: not fake.rest.server_state.connections)
    client.close()


def test_a_full_queue_refuses_requests(fake, connect, channel):
    clients = [connect(WHOLE) for _ in range(4)]
    wait_for(lambda: fake.num_waiting() == 4)
    refused = connect(WHOLE).recv(1000).lower()
    assert refused.startswith(b"http/1.1 503")
    assert b"retry-after: 1" in refused
    with pytest.raises(grpc.RpcError) as error:
        channel.unary_unary(PREDICT)(message(), timeout=10)
    assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    fake.model.go_on.set()
    for each in clients:
        assert each.recv(15) == b"HTTP/1.1 200 OK"


def test_requests_of_departed_clients_are_not_computed(fake, connect, channel):
    connect(WHOLE)
    wait_for(lambda: fake.model.num_predictions == 1)
    departed = connect(WHOLE)
    cancelled = channel.unary_unary(PREDICT).future(message())
    late = channel.unary_unary(PREDICT).future(message(), timeout=0.3)
    wait_for(lambda: fake.num_waiting() == 4)
    departed.close()
    cancelled.cancel()
    assert late.exception().code() == grpc.StatusCode.DEADLINE_EXCEEDED
    wait_for(lambda: fake.num_waiting() == 1)
    fake.model.go_on.set()
    assert connect(WHOLE).recv(15) == b"HTTP/1.1 200 OK"
    assert fake.model.num_predictions == 2


def test_half_sent_calls_end(fake, channel):
    fake.model.go_on.set()
    never = threading.Event()
    calls = channel.stream_unary(PREDICT)
    slow = [calls.future(iter(never.wait, True)) for _ in range(20)]
    channel.unary_unary(PREDICT)(message(), timeout=10)
    for call in slow:
        assert call.exception(timeout=10).code() == grpc.StatusCode.INVALID_ARGUMENT
    never.set()


def test_stop_with_slow_clients_and_a_running_prediction(fake, connect):
    slow = connect(HEADER + b"Content-Length: 100\r\n\r\n{")
    running = [connect(WHOLE) for _ in range(2)]
    wait_for(lambda: fake.model.num_predictions)
    start = time.monotonic()
    fake.rest.should_exit = True
    for each in (slow, *running):
        assert each.recv(12) in (b"HTTP/1.1 408", b"HTTP/1.1 503")
    fake.thread.join(10)
    assert time.monotonic() - start < 5
