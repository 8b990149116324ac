"""Chromium, without access to other hosts."""

import shutil
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import sync_playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


# Playwright runs an event loop in this thread, where other tests call asyncio.run().
@pytest.fixture(scope="package")
def browser():
    program = shutil.which("chromium")
    assert program, "no chromium: apt install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Return a function that opens a URL; fail if the page contacts another host."""
    asked, errors = [], []
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.on("request", lambda request: asked.append(urlsplit(request.url)))
    page.on("pageerror", lambda error: errors.append(str(error)))

    def visit(url):
        page.goto(url)
        return page

    yield visit
    page.close()
    outside = [url for url in asked if url.hostname not in ("127.0.0.1", None)]
    assert asked
    assert not outside
    assert not errors
