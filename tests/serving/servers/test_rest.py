"""The REST server: both protocols, invalid requests, and 200 clients at once."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lada_tf.sampling import forward_function, to_uint8

LATENTS = np.random.default_rng(0).standard_normal((3, 6)).astype(np.float32)
V1 = "/v1/models/small:predict"
V2 = "/v2/models/small/infer"


def tensor(name="latents", data=LATENTS, shape=None, datatype="FP32"):
    data = np.asarray(data)
    shape = list(data.shape if shape is None else shape)
    values = data.ravel().tolist()
    return {"name": name, "shape": shape, "datatype": datatype, "data": values}


@pytest.fixture(scope="module")
def expected(generator):
    return np.asarray(to_uint8(forward_function(generator)(LATENTS)["images"]))


def assert_same_pictures(images, expected):
    assert np.abs(np.asarray(images, int) - expected).max() <= 1  # level of 255


def test_v1_rows_and_columns(post, expected):
    rows = LATENTS.tolist()
    for instances in (rows, [{"latents": row} for row in rows]):
        status, answer = post(V1, {"instances": instances})
        assert status == 200
        assert_same_pictures(answer["predictions"], expected)
    for inputs in (rows, {"latents": rows}):
        status, answer = post(V1, {"inputs": inputs})
        assert status == 200
        assert_same_pictures(answer["outputs"], expected)


def test_v1_other_signatures(post, expected):
    seeds = {"first_seed": 1, "second_seed": 2, "steps": 3}
    body = {"signature_name": "interpolate", "inputs": seeds}
    status, answer = post(V1, body)
    assert status == 200
    assert np.shape(answer["outputs"]) == (3, 32, 32, 3)
    first = {"seed": 1, "num_images": 1, "truncation": 1}
    _, generated = post(V1, {"signature_name": "generate", "inputs": first})
    assert_same_pictures(answer["outputs"][:1], generated["outputs"])
    body = {"signature_name": "attention", "instances": LATENTS.tolist()}
    _, answer = post(V1, body)
    for row, image in zip(answer["predictions"], expected, strict=True):
        assert set(row) == {"images", "attention_0", "attention_1"}
        assert_same_pictures(row["images"], image)
        assert np.sum(row["attention_0"], axis=-1) == pytest.approx([1, 1])


def test_v2(post, expected):
    status, answer = post(V2, {"inputs": [tensor()]})
    assert status == 200
    (output,) = answer["outputs"]
    assert (output["name"], output["shape"]) == ("images", [3, 32, 32, 3])
    assert_same_pictures(np.reshape(output["data"], output["shape"]), expected)
    body = {"inputs": [tensor()], "parameters": {"signature_name": "attention"}}
    _, answer = post(V2, body)
    assert len(answer["outputs"]) == 3


BAD_V1 = {
    "wrong width": ({"instances": [[1.0, 2.0]]}, "the shape (n, 6), not (1, 2)"),
    "text": ({"instances": [["a"] * 6]}, "an array of numbers"),
    "infinite in float32": ({"instances": [[1e39] * 6]}, "must be finite"),
    "no latent": ({"instances": []}, "the shape (n, 6), not (0)"),
    "batch of 0": (
        {
            "signature_name": "generate",
            "inputs": {"seed": 0, "num_images": 0, "truncation": 1},
        },
        "num_images must be from 1 to 8, not 0",
    ),
    "beyond the limit": ({"instances": [[0] * 6] * 9}, "from 1 to 8, not 9"),
    "not a list": ({"instances": 3}, '"instances" must be a list'),
    "neither": ({}, '"instances" (rows) or "inputs"'),
    "mixed rows": ({"instances": [{"a": 1}, {"b": 1}]}, "different input names"),
    "unknown input": ({"inputs": {"z": [[0] * 6]}}, "takes latents"),
    "unknown signature": (
        {"signature_name": "x", "instances": [[0] * 6]},
        "no signature 'x'",
    ),
    "missing inputs": (
        {"signature_name": "generate", "inputs": {"seed": 1}},
        "takes num_images, seed, truncation",
    ),
    "rows of scalars": (
        {"signature_name": "generate", "instances": [1]},
        '"inputs" with num_images, seed',
    ),
    "not an object": ([1, 2], "must be a JSON object"),
    "many levels": (b'{"instances": %s}' % (b"[" * 900 + b"]" * 900), "numbers"),
    "too many levels": (b"[" * 100_000, "not valid JSON"),
    "an integer of 5000 digits": (
        b'{"signature_name": "generate", "inputs": '
        b'{"seed": %s, "num_images": 1, "truncation": 1}}' % (b"9" * 5000),
        "",
    ),
    "1e400": (b'{"instances": [[1e400, 0, 0, 0, 0, 0]]}', ""),
    "lone surrogate": (rb'{"signature_name": "\ud800"}', "not valid JSON"),
    "number as signature": ({"signature_name": 1, "inputs": 1}, "must be a string"),
    "long name": ({"signature_name": "a" * 10**5, "inputs": 1}, "no signature"),
    "null": (b"null", "must be a JSON object"),
    "not JSON": (b"{latents", "not valid JSON"),
    "NaN": (b'{"instances": [[NaN, 0, 0, 0, 0, 0]]}', "not valid JSON"),
    "not UTF-8": (b'{"\xff": 1}', "not valid JSON"),
    "nothing": (b"", "not valid JSON"),
}


@pytest.mark.parametrize("name", BAD_V1)
def test_bad_v1_requests(name, post):
    body, message = BAD_V1[name]
    status, answer = post(V1, body)
    assert status == 400
    assert message in answer["error"]


@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "application/json; charset=utf-8", "text/a"],
)
def test_the_content_type_does_not_matter(content_type, post):
    """curl says that its data is a form."""
    headers = {"Content-Type": content_type}
    for path, body in ((V1, {"instances": [[0] * 6]}), (V2, {"inputs": [tensor()]})):
        status, answer = post(path, body, headers)
        assert status == 200, answer


def test_bad_requests_leave_no_traceback_in_the_log(server, post):
    for body in ({}, {"instances": [[0]]}, b"{"):
        assert post(V1, body)[0] == 400
    assert post("/v1/models/other:predict", {})[0] == 404
    assert post("/v1/models/small:explain", {})[0] in (404, 501)
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([tensor(data=np.zeros((1, 2)))], "the shape (n, 6), not (1, 2)"),
        ([tensor(data=np.zeros((9, 6)))], "from 1 to 8, not 9"),
        ([tensor(data=np.zeros((0, 6)))], "from 1 to 8, not 0"),
        ([tensor(shape=(4, 6))], "not have the shape [4, 6]"),
        ([tensor(shape=(-3, -6))], "not have the shape [-3, -6]"),
        ([tensor(datatype="BF99")], "datatype"),
        ([tensor(name="z")], "takes latents"),
        ([], "the request has nothing"),
    ],
)
def test_bad_v2_requests(inputs, message, post):
    status, answer = post(V2, {"inputs": inputs})
    assert status == 400
    assert message in answer["error"]


@pytest.mark.parametrize(
    "body",
    [
        b"{inputs",
        {},
        {"inputs": "latents"},
        {"inputs": [1]},
        {"inputs": [{"name": "latents"}]},
        {"inputs": [tensor() | {"name": ["latents"]}]},
        {"inputs": [tensor() | {"data": {}}]},
        {"inputs": [tensor() | {"shape": [1e400]}]},
        {"inputs": [tensor() | {"shape": [True, 6]}]},
        {"inputs": [tensor() | {"shape": [10**30, 10**30]}]},
        {"inputs": [tensor()], "parameters": 1},
        {"inputs": [tensor()], "parameters": {"signature_name": {}}},
        {"inputs": [tensor()], "outputs": ["images"]},
        {"inputs": [tensor()], "outputs": [{"name": "x"}]},
        {"inputs": [tensor()], "id": 1},
    ],
)
def test_malformed_v2_requests(body, post):
    assert post(V2, body)[0] == 400


def test_v2_outputs(post):
    body = {"inputs": [tensor()], "outputs": [{"name": "attention_1"}], "id": "7"}
    status, answer = post(V2, body | {"parameters": {"signature_name": "attention"}})
    assert status == 200
    assert (answer["id"], answer["model_name"]) == ("7", "small")
    assert [output["name"] for output in answer["outputs"]] == ["attention_1"]


def test_metadata_and_health(send):
    for path in ("/v1/models/small", "/v1/models/small/versions/3"):
        _, answer, _ = send(path)
        (state,) = answer["model_version_status"]
        assert (state["version"], state["state"]) == ("3", "AVAILABLE")
    _, answer, _ = send("/v1/models/small/metadata")
    assert answer["model_spec"]["version"] == "3"
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    latents = signatures["serving_default"]["inputs"]["latents"]
    assert latents["dtype"] == "DT_FLOAT"
    assert [side["size"] for side in latents["tensor_shape"]["dim"]] == ["-1", "6"]
    _, answer, _ = send("/v2/models/small")
    latents = {"name": "latents", "datatype": "FP32", "shape": [-1, 6]}
    assert answer["inputs"] == [latents]
    for path in ("health/live", "health/ready", "models/small/ready"):
        assert send(f"/v2/{path}")[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v2/repository/models/small/unload", 404),
        ("POST", "/v2/repository/models/small/load", 404),
        ("POST", "/v2/repository/index", 404),
        ("POST", "/v1/models/small:explain", 404),
        ("POST", "/v1/models/other:predict", 404),
        ("POST", "/v1/models/small/versions/2:predict", 404),
        ("GET", f"/v1/models/small/versions/{'9' * 6000}", 404),
        ("GET", "/v1/models/small/", 404),
        ("GET", "/docs", 404),
        ("GET", "/metrics", 404),
        ("GET", V1, 405),
        ("PUT", V2, 405),
        ("OPTIONS", V1, 405),
        ("DELETE", "/v1/models/small", 405),
    ],
)
def test_there_are_no_other_paths(method, path, status, send):
    data = b"{}" if method == "POST" else None
    assert send(path, data, method=method)[0] == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.com"}, 403),
        ({"Host": "127.0.0.1.evil.com"}, 403),
        ({"Host": "localhost.evil.com:80"}, 403),
        ({"Host": "["}, 403),
        ({"Host": "LOCALHOST:1"}, 200),
        ({"Host": "[::1]:8501"}, 200),
        ({"Host": "10.1.2.3"}, 200),
        ({"Host": "localhost", "Origin": "http://localhost"}, 200),
        ({"Host": "localhost", "Origin": "http://localhost:3000"}, 403),
        ({"Host": "localhost", "Origin": "http://evil.com"}, 403),
        ({"Host": "localhost", "Origin": "null"}, 403),
    ],
)
def test_pages_of_other_hosts_are_refused(headers, status, send):
    body = b'{"instances": [[0, 0, 0, 0, 0, 0]]}'
    found, _, answer_headers = send(V1, body, headers)
    assert found == status
    assert not [name for name in answer_headers if name.startswith("access-control")]


def test_a_long_body_is_refused(post):
    """The server limits the body itself, not only its declared length."""
    body = b'{"instances": [[' + b"0," * 600_000 + b"0]]}"
    status, answer = post(V1, body)
    assert status == 413
    assert "more than 1048576 bytes" in answer["error"]


def test_200_clients_at_once(post):
    """Every client gets its own answer, also next to invalid requests."""
    inputs = [
        {"seed": seed, "num_images": 1, "truncation": 1 if seed % 10 else math.pi}
        for seed in range(200)
    ]
    with ThreadPoolExecutor(200) as clients:
        answers = list(
            clients.map(
                lambda i: post(V1, {"signature_name": "generate", "inputs": i}), inputs
            )
        )
    assert [status for status, _ in answers] == ([400] + [200] * 9) * 20
    _, again = post(V1, {"signature_name": "generate", "inputs": inputs[57]})
    assert answers[57][1] == again
    images = [str(answer["outputs"]) for status, answer in answers if status == 200]
    assert len(set(images)) == 180
