"""The static page, served by Python's web server and used in Chromium."""

import functools
import http.server
import threading

import numpy as np
import pytest

from lada_tf.sampling import latents as seed_latents
from lada_tf.sampling import to_uint8
from lada_tf.serving.exporting import export_generator
from tests.models.test_latents import GOLDEN
from tests.serving.browser.test_demo_page import screenshot

DRAWN = "document.getElementById('state').textContent == '' && window.ladagan"


@pytest.fixture(scope="module")
def address(generator, tmp_path_factory):
    folder = tmp_path_factory.mktemp("web") / "page"
    export_generator(generator, folder, "web")
    handler = functools.partial(
        http.server.SimpleHTTPRequestHandler, directory=str(folder)
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def page(visit, address):
    page = visit(address)
    page.wait_for_function(DRAWN, timeout=60_000)
    return page


def pixels(page, locator):
    """Return the pixels of a canvas, uint8 (H, W, 3)."""
    values = page.locator(locator).evaluate(
        "c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
    )
    side = round((len(values) / 4) ** 0.5)
    return np.array(values, np.uint8).reshape(side, side, 4)[..., :3]


def latents(page, seed, count):
    rows = page.evaluate(
        f"ladagan.latentsOf({seed}, {count}).map(latent => [...latent])"
    )
    return np.array(rows, np.float32)


def check(shown, generator, latent):
    """Compare up to the error of float16 weights, in levels of 255."""
    expected = np.asarray(to_uint8(generator(latent[None])), int)[0]
    assert np.abs(shown - expected).max() <= 8
    assert np.abs(shown - expected).mean() < 1


def test_the_browser_generates_the_same_images(page, generator):
    screenshot(page, "web")
    assert page.locator("#gallery canvas").count() == 24
    drawn = latents(page, 0, 24)
    for i in (0, 23):
        check(pixels(page, f"#gallery canvas >> nth={i}"), generator, drawn[i])
    page.get_by_label("Seed").fill("7")
    page.keyboard.press("Tab")
    page.wait_for_function(DRAWN)
    check(pixels(page, "#gallery canvas >> nth=5"), generator, latents(page, 7, 6)[5])


def test_latents_are_those_of_python(page):
    np.testing.assert_array_equal(latents(page, 3, 500), seed_latents(3, range(500), 6))
    for case in GOLDEN[:-1]:  # JavaScript has no integers above 2^53
        count = min(6, len(case["latent"]))
        latent = page.evaluate(
            f"[...ladagan.latentOf({case['seed']}, {case['index']})]"
        )
        np.testing.assert_array_equal(
            np.array(latent[:count], np.float32),
            np.array(case["latent"][:count], np.float32),
        )


def test_other_seeds_are_refused(page):
    before = pixels(page, "#gallery canvas >> nth=0")
    page.get_by_label("Seed").fill("-1")
    page.keyboard.press("Tab")
    page.wait_for_function(DRAWN)
    np.testing.assert_array_equal(pixels(page, "#gallery canvas >> nth=0"), before)


@pytest.mark.parametrize("arc", [True, False])
def test_two_clicks_choose_the_images_to_interpolate(page, generator, arc):
    page.locator("#gallery canvas").nth(3).click()
    page.locator("#gallery canvas").nth(9).click()
    page.get_by_label("Spherical interpolation").set_checked(arc)
    a, b = latents(page, 0, 10)[[3, 9]]
    middle = (a + b) / 2
    if arc:  # the sine rule at equal weights
        cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        middle = (a + b) / (2 * np.cos(np.arccos(cosine) / 2))
    page.wait_for_function(DRAWN)
    check(pixels(page, "#between"), generator, middle)
    page.get_by_label("Position").fill("1")
    page.wait_for_function(DRAWN)
    check(pixels(page, "#between"), generator, b)
