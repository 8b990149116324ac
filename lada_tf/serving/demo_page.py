"""Layout and events of the demo page in Gradio. `Explorer` computes the pictures."""

import json
import os
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import fastapi
import gradio as gr
import numpy as np

from lada_tf.sampling.grids import magnify, png_bytes, tile
from lada_tf.serving.explorer import MAX_IMAGES, NUM_DIRECTIONS, Explorer
from lada_tf.serving.guard import Guard, RateLimit

MAX_SEED = 2**31 - 1
CACHE_SECONDS = (60, 600)  # time between two searches for old files, and their age
STRIP = 9  # images on the path between two images
SIDE = 256  # approximate height of a single picture in pixels
PICTURE: dict[str, Any] = {
    "show_label": False,
    "format": "png",
    "buttons": ["download"],
    "elem_classes": "pixels",
}
CSS = """
.gradio-container main {width: min(1100px, 100%) !important; margin: 0 auto}
.pixels img {image-rendering: pixelated}
.pixels .grid-wrap {max-height: none !important}
.pixels .caption-label {font-size: 11px; padding: 1px 6px; opacity: 0.85}
#title h1 {font-weight: 650; letter-spacing: -0.02em; margin-bottom: 0}
#title p {opacity: 0.7; margin-top: 0.2em}
footer {display: none !important}
"""


def theme() -> gr.themes.Base:
    """Return a theme with the fonts of the visitor's system. It downloads no font."""
    return gr.themes.Soft(
        primary_hue="orange",
        neutral_hue="stone",
        font=("system-ui", "sans-serif"),
        font_mono=("monospace",),
    )


def make_app(
    explorers: dict[str, Explorer],
    requests_per_minute: int,
    hosts: Collection[str],
    files: str,
) -> Guard:
    """Return the page as an ASGI app.

    Args:
        explorers: one or more explorers, by the name that visitors see.
        requests_per_minute: maximum number of requests per visitor.
        hosts: host names under which visitors may open the page.
        files: directory of temporary files.
    """
    # Gradio's environment variables could undo the restrictions below.
    for name in [name for name in os.environ if name.startswith("GRADIO_")]:
        del os.environ[name]
    os.environ["GRADIO_TEMP_DIR"] = files
    page = build_page(explorers, files)
    # TensorFlow uses all cores for each request, so serve one at a time.
    page.queue(default_concurrency_limit=1, max_size=64)

    def queued(client: str) -> int:
        """Return how many requests of a client wait; Gradio has no such function."""
        waiting = page._queue.event_queue_per_concurrency_id.values()
        events = [event for queue in list(waiting) for event in list(queue.queue)]
        clients = [event.request.client for event in events]
        return sum(each.host == client for each in clients if each)

    app = gr.mount_gradio_app(
        fastapi.FastAPI(openapi_url=None),
        page,
        "/",
        max_file_size=1,
        run_history=False,
        theme=theme(),
        css=CSS,
        footer_links=[],
    )
    return Guard(app, hosts, RateLimit(requests_per_minute), queued, files)


def build_page(explorers: dict[str, Explorer], files: str) -> gr.Blocks:
    """Build the page. Arguments: see `make_app`."""
    names = list(explorers)

    def check(model, seed, *numbers) -> tuple[Any, ...]:
        """Check the values of a request. Return the explorer, the seed and numbers."""
        if model not in explorers:
            raise gr.Error("Unknown model. Choose one from the list.")
        if not (_is_whole(seed) and 0 <= seed <= MAX_SEED):
            raise gr.Error(f"The seed must be a whole number from 0 to {MAX_SEED}.")
        if not all(_is_whole(n) and 1 <= n <= MAX_IMAGES for n in numbers):
            raise gr.Error(f"Image numbers must be from 1 to {MAX_IMAGES}.")
        return explorers[model], int(seed), *map(int, numbers)

    def show_gallery(model, seed, count):
        explorer, seed, count = check(model, seed, count)
        images = magnify(explorer.gallery(seed, count), 128)
        return [(image, f"{i + 1}") for i, image in enumerate(images)]

    def show_between(model, seed, first, second, spherical, position):
        explorer, seed, first, second = check(model, seed, first, second)
        images = explorer.between(seed, first - 1, second - 1, STRIP, bool(spherical))
        index = round(float(np.clip(position, 0, 1)) * (STRIP - 1))
        return magnify(images, SIDE)[index], tile(magnify(images, 96), STRIP, gap=4)

    def show_moved(model, seed, number, *amounts):
        explorer, seed, number = check(model, seed, number)
        if not all(isinstance(a, int | float) and abs(a) <= 10 for a in amounts):
            raise gr.Error("Directions must be from -10 to 10.")
        image = explorer.moved(seed, number - 1, list(amounts))
        return magnify(image[None], SIDE)[0]

    def show_attention(model, seed, number):
        explorer, seed, number = check(model, seed, number)
        pictures = explorer.attention(seed, number - 1)
        return [(magnify(image[None], 128)[0], text) for image, text in pictures]

    def download(model, seed, count):
        explorer, seed, count = check(model, seed, count)
        images = explorer.gallery(seed, count)
        columns = int(np.ceil(count**0.5))
        record = {"model": model, "seed": seed, "images": count}
        # Gradio deletes old directories in its cache, such as this one.
        path = Path(tempfile.mkdtemp(dir=files)) / f"seed-{seed}"
        path.with_suffix(".png").write_bytes(png_bytes(tile(images, columns)))
        path.with_suffix(".json").write_text(json.dumps(record), "utf-8")
        paths = [str(path.with_suffix(suffix)) for suffix in (".png", ".json")]
        return gr.Files(paths, visible=True)

    with gr.Blocks(
        title="LadaGAN", analytics_enabled=False, delete_cache=CACHE_SECONDS
    ) as page:
        gr.Markdown(
            "# LadaGAN\nImages by Transformers with linear additive attention.",
            elem_id="title",
        )
        with gr.Row():
            model = gr.Dropdown(names, value=names[0], label="Model", scale=3)
            seed = gr.Number(
                0, label="Seed", precision=0, minimum=0, maximum=MAX_SEED, scale=2
            )
            dice = gr.Button("Random seed", variant="primary", scale=1)
        with gr.Tab("Gallery"):
            count = gr.Slider(1, MAX_IMAGES, 24, step=1, label="Images")
            gallery = _gallery(columns=8)
            gr.Markdown("Click two images, then open the next tab to interpolate.")
            save = gr.Button("Prepare files: a PNG and the seed")
            downloads = gr.Files(show_label=False, interactive=False, visible=False)
        with gr.Tab("Interpolate"):
            with gr.Row():
                first = _number_slider("From image", 1)
                second = _number_slider("To image", 2)
                spherical = gr.Checkbox(True, label="Spherical interpolation")
            position = gr.Slider(0, 1, 0.5, step=1 / (STRIP - 1), label="Position")
            middle = gr.Image(interactive=False, height=SIDE, **PICTURE)
            strip = gr.Image(interactive=False, **PICTURE)
        with gr.Tab("Directions"):
            base = _number_slider("Image", 1)
            with gr.Row():
                with gr.Column():
                    sliders = [
                        gr.Slider(-6, 6, 0, step=0.25, label=f"Direction {i + 1}")
                        for i in range(NUM_DIRECTIONS)
                    ]
                moved = gr.Image(interactive=False, height=SIDE * 3 // 2, **PICTURE)
            reset = gr.Button("Reset directions")
        with gr.Tab("Attention"):
            attended = _number_slider("Image", 1)
            maps = _gallery(columns=5)

        source = [model, seed]
        plain: dict[str, Any] = {"api_visibility": "private"}
        dice.click(
            lambda: int(np.random.default_rng().integers(MAX_SEED)), None, seed, **plain
        )
        for function, values, outputs in (
            (show_gallery, [count], gallery),
            (show_between, [first, second, spherical, position], [middle, strip]),
            (show_moved, [base, *sliders], moved),
            (show_attention, [attended], maps),
        ):
            inputs = [*source, *values]
            gr.on(
                [page.load, *(component.change for component in inputs)],
                function,
                inputs,
                outputs,
                show_progress="minimal",
                trigger_mode="always_last",
                **plain,
            )
        reset.click(lambda: [0] * NUM_DIRECTIONS, None, sliders, **plain)
        save.click(download, [*source, count], downloads, **plain)
        ends = [first, second]
        gallery.select(_select, ends, [*ends, base, attended], **plain)
    return page


def _select(first, second, event: gr.SelectData):
    """Let the path start at its old end, and end at the clicked image."""
    number = event.index + 1
    return second, number, number, number


def _number_slider(label: str, value: int) -> gr.Slider:
    return gr.Slider(1, MAX_IMAGES, value, step=1, label=label)


def _gallery(columns: int) -> gr.Gallery:
    return gr.Gallery(columns=columns, height="auto", object_fit="contain", **PICTURE)


def _is_whole(value) -> bool:
    return isinstance(value, int | float) and value % 1 == 0
