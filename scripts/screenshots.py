"""Take the screenshots of docs/serving.md: the demo page and the static page.

    make .venv/browser
    .venv/bin/python scripts/screenshots.py

Needs Chromium. The script serves both pages on this machine.
"""

import functools
import http.server
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from absl import app, flags
from playwright.sync_api import sync_playwright

MODEL = flags.DEFINE_string("model", "portraits", "Show this model.")
OUTPUT = flags.DEFINE_string("output", "docs/images", "Output directory.")
SIZE = {"width": 1100, "height": 500}  # full_page adds what is below
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def main(argv: list[str]) -> None:
    del argv
    output = Path(OUTPUT.value)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=ARGUMENTS
        )
        page = browser.new_page(viewport=SIZE)
        picture_static_page(page, Path(folder) / "page", output)
        picture_demo(page, output)


def picture_static_page(page, folder: Path, output: Path) -> None:
    command = [sys.executable, "-m", "lada_tf.export", f"--model={MODEL.value}"]
    subprocess.run([*command, "--format=web", f"--output={folder}"], check=True)
    handler = functools.partial(
        http.server.SimpleHTTPRequestHandler, directory=str(folder)
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.wait_for_function("window.ladagan && !state.textContent", timeout=60_000)
        page.screenshot(path=output / "web_page.png", full_page=True)
        server.shutdown()


def picture_demo(page, output: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "lada_tf.demo", f"--model={MODEL.value}"]
    server = subprocess.Popen([*command, f"--port={port}"])
    url = f"http://127.0.0.1:{port}/"
    try:
        _wait_for(url, server)
        page.goto(url)
        page.wait_for_function(
            "document.querySelectorAll('.grid-wrap img').length == 24"
        )
        _shoot(page, output / "demo_gallery.png")
        page.get_by_role("tab", name="Interpolate").click()
        _shoot(page, output / "demo_between.png")
        page.get_by_role("tab", name="Directions").click()
        page.get_by_label("number input for Direction 1").fill("3")
        page.keyboard.press("Tab")
        _shoot(page, output / "demo_directions.png")
        page.get_by_role("tab", name="Attention").click()
        _shoot(page, output / "demo_attention.png")
    finally:
        server.terminate()
        server.wait()


def _wait_for(url: str, server: subprocess.Popen) -> None:
    while server.poll() is None:
        try:
            urllib.request.urlopen(url)
            return
        except OSError:
            time.sleep(0.5)
    raise SystemExit("lada-tf demo ended before its page opened; its error is above")


def _shoot(page, path: Path) -> None:
    page.wait_for_timeout(4000)  # until the tab shows all its images
    page.screenshot(path=path, full_page=True)


if __name__ == "__main__":
    app.run(main)
