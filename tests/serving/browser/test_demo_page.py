"""The demo page, used in Chromium. Set $SCREENSHOTS to keep screenshots."""

import contextlib
import io
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lada_tf.serving.saved_model import write_saved_model
from tests.runner import free_ports

# Records every address that the server's process connects to.
WATCH = """
import os, socket
connect = socket.socket.connect
def watched(self, address):
    with open(os.environ["WATCH_FILE"], "a") as file:
        print(address[0] if isinstance(address, tuple) else "unix", file=file)
    return connect(self, address)
socket.socket.connect = watched
"""


@pytest.fixture(scope="module")
def demo(run_dir, generator, tmp_path_factory):
    """Start the page with a run and an exported model; yield its address."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "sitecustomize.py").write_text(WATCH)
    exported = folder / "model" / "7"
    write_saved_model(generator, exported)
    [port] = free_ports(1)
    (folder / "tmp").mkdir()
    log = folder / "log"
    command = [sys.executable, "-m", "lada_tf.demo", f"--run_dir={run_dir}"]
    command += [f"--model={exported}", f"--port={port}", "--requests_per_minute=200"]
    environment = os.environ | {
        # The page must ignore these settings of Gradio.
        "GRADIO_ALLOWED_PATHS": "/",
        "GRADIO_SHARE": "True",
        "GRADIO_MCP_SERVER": "True",
        "TMPDIR": str(folder / "tmp"),
        "WATCH_FILE": str(folder / "connections"),
        "PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}",
    }
    with log.open("w") as file:
        process = subprocess.Popen(command, stderr=file, stdout=file, env=environment)
    url = f"http://127.0.0.1:{port}/"
    deadline = time.monotonic() + 180
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            urllib.request.urlopen(url)
            break
        except OSError:
            time.sleep(0.5)
    yield url
    assert process.poll() is None, log.read_text()
    process.terminate()
    assert process.wait(timeout=30) == 0
    assert not list((folder / "tmp").glob("*lada_tf*"))
    assert not (folder / "connections").exists()
    # Gradio prints a traceback when it rejects a request, and when it rewrites a cached
    # image that it is sending. There must be no others.
    lines = log.read_text().splitlines()
    known = ("gradio.exceptions.Error", "h11._util.LocalProtocolError: Too much data")
    expected = [line for line in lines if line.startswith(known)]
    assert sum(line.startswith("Traceback") for line in lines) == len(expected)


@pytest.fixture
def page(visit, demo):
    page = visit(demo)
    page.wait_for_function("document.querySelectorAll('.grid-wrap img').length == 24")
    return page


def pixels(page, locator):
    """Return the picture that an <img> shows."""
    url = page.locator(locator).first.get_attribute("src")
    return np.asarray(Image.open(io.BytesIO(page.request.get(url).body())))[..., :3]


def screenshot(page, name):
    if folder := os.environ.get("SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.wait_for_timeout(500)  # pictures fade in
        page.screenshot(path=f"{folder}/{name}.png")


def fill(page, label, value):
    """Type a number into the input box of a slider."""
    page.get_by_label(f"number input for {label}").fill(str(value))
    page.keyboard.press("Tab")


def wait_for(page, locator, condition, seconds=30):
    """Wait until an <img> shows a picture for which the condition holds. Return it."""
    deadline = time.monotonic() + seconds
    while not condition(now := pixels(page, locator)):
        assert time.monotonic() < deadline, locator
        page.wait_for_timeout(200)
    return now


def picture_after(page, locator, action):
    """Act, and return the next picture. The action gets the number of the attempt.

    On a busy machine, Gradio can lose an event that arrives while it closes the stream
    of the event before. The next event brings the picture.
    """
    before = pixels(page, locator)
    for attempt in range(3):
        action(attempt)
        with contextlib.suppress(AssertionError):
            return wait_for(
                page, locator, lambda now: not np.array_equal(now, before), seconds=10
            )
    raise AssertionError(f"{locator} shows the same picture")


def test_gallery_shows_the_images_of_each_seed(page, run_dir):
    screenshot(page, "gallery")
    first = pixels(page, ".grid-wrap img")
    assert first.shape == (128, 128, 3)
    dice = page.get_by_role("button", name="Random seed")
    picture_after(page, ".grid-wrap img", lambda _: dice.click())
    page.get_by_label("Seed").fill("0")
    page.keyboard.press("Tab")
    wait_for(page, ".grid-wrap img", lambda now: np.array_equal(now, first))
    fill(page, "Images", 5)
    page.wait_for_function("document.querySelectorAll('.grid-wrap img').length == 5")


def test_other_models_are_named_by_their_folders(page):
    first = pixels(page, ".grid-wrap img")
    page.get_by_label("Model").click()
    names = page.get_by_role("option").all_inner_texts()
    assert [name.strip("✓ \n") for name in names][1] == "model/7"
    page.get_by_role("option", name="model/7").click()
    page.wait_for_timeout(4000)
    # The SavedModel was exported from the run's generator.
    again = pixels(page, ".grid-wrap img").astype(int)
    assert np.abs(again - first).max() <= 1


def test_two_clicks_choose_the_images_to_interpolate(page):
    page.locator(".grid-wrap button.thumbnail-item").nth(4).click()
    page.wait_for_timeout(2000)
    page.keyboard.press("Escape")
    page.locator(".grid-wrap button.thumbnail-item").nth(10).click()
    page.get_by_role("tab", name="Interpolate").click()
    page.wait_for_timeout(2000)
    ends = [
        page.get_by_label(f"number input for {label}").input_value()
        for label in ("From image", "To image")
    ]
    assert ends == ["5", "11"]
    picture = "[role=tabpanel]:visible img"
    screenshot(page, "between")
    picture_after(page, picture, lambda attempt: fill(page, "Position", attempt / 4))


def test_directions_move_an_image_and_back(page):
    page.get_by_role("tab", name="Directions").click()
    picture = "[role=tabpanel]:visible img"
    page.wait_for_selector(picture)
    image = pixels(page, picture)
    picture_after(page, picture, lambda attempt: fill(page, "Direction 1", 4 - attempt))
    screenshot(page, "directions")
    page.get_by_role("button", name="Reset directions").click()
    wait_for(page, picture, lambda now: np.array_equal(now, image))


def test_attention_of_each_stage_and_head(page):
    page.get_by_role("tab", name="Attention").click()
    captions = page.locator("[role=tabpanel]:visible .caption-label")
    captions.first.wait_for()
    # The image comes before each stage: 4×4 with two heads, 8×8 with four.
    assert captions.all_inner_texts() == [
        "the image",
        *(f"4×4, head {i}" for i in (1, 2)),
        "the image",
        *(f"8×8, head {i}" for i in (1, 2, 3, 4)),
    ]
    screenshot(page, "attention")


def test_downloads_are_a_picture_and_its_record(page, generator):
    page.get_by_role("button", name="Prepare files").click()
    links = page.locator("a[download]")
    links.nth(1).wait_for()
    contents = {
        link.get_attribute("download"): page.request.get(
            link.get_attribute("href")
        ).body()
        for link in links.all()
    }
    assert set(contents) == {"seed-0.png", "seed-0.json"}
    record = json.loads(contents["seed-0.json"])
    assert (record["seed"], record["images"]) == (0, 24)
    grid = np.asarray(Image.open(io.BytesIO(contents["seed-0.png"])))
    assert grid.shape == (5 * 32, 5 * 32, 3)


@pytest.mark.parametrize("seed", ["-1", "99999999999"])
def test_an_invalid_seed_shows_a_message(page, seed):
    page.get_by_label("Seed").fill(seed)
    page.keyboard.press("Tab")
    page.get_by_text("Seed").first.wait_for()
    toast = page.locator(".toast-body, [data-testid=toast-body]").first
    toast.wait_for(timeout=15_000)


def answer(demo, path, data=None, **headers):
    """Return the status and body for a request to the running server."""
    request = urllib.request.Request(demo + path, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.mark.parametrize(
    "path",
    [
        "gradio_api/file=/etc/passwd",
        "gradio_api/file=http://example.com/",
        "gradio_api/file=../../../etc/passwd",
        "file=/etc/passwd",
        "gradio_api/info",
        "gradio_api/mcp/sse",
        "monitoring",
        "docs",
        "openapi.json",
    ],
)
def test_routes_that_the_page_does_not_use_are_absent(demo, path):
    assert answer(demo, path)[0] == 404


def test_nothing_can_be_uploaded(demo):
    body = b"--x\r\nContent-Disposition: form-data; name=files; filename=a\r\n\r\na"
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    assert answer(demo, "gradio_api/upload", body, **kind)[0] == 404


def test_calls_from_pages_of_other_hosts_are_refused(demo):
    call = {"data": ["small", 0, 3], "fn_index": 1, "session_hash": "a"}
    run, kind = "gradio_api/queue/join", {"Content-Type": "application/json"}
    body = json.dumps(call).encode()
    status, content = answer(demo, run, body, **kind)
    assert status == 200, content
    assert answer(demo, run, body, Origin="https://evil.example", **kind)[0] == 403
    assert answer(demo, run, body, Host="evil.example", **kind)[0] == 403
    file = {"path": "http://example.com/", "meta": {"_type": "gradio.FileData"}}
    call["data"][1] = file
    assert answer(demo, run, json.dumps(call).encode(), **kind)[0] == 400
