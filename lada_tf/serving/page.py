"""The demo page, in Gradio: layout and events; `Explorer` makes the pictures."""

import json
import tempfile
from pathlib import Path

import gradio as gr
import numpy as np

from lada_tf.sampling.grids import magnify, png_bytes, tile
from lada_tf.serving.explorer import MAX_IMAGES, NUM_DIRECTIONS, Explorer
from lada_tf.serving.rate_limit import RateLimit

MAX_SEED = 2**31 - 1
STRIP = 9  # images from one to the other
SIDE = 256  # pixels of a picture by itself, about
# Fonts of the visitor's own machine: nothing is fetched from elsewhere.
FONTS = ("system-ui", "sans-serif")
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
    """The look of the page."""
    return gr.themes.Soft(
        primary_hue="orange", neutral_hue="stone", font=FONTS, font_mono=("monospace",)
    )


def build_page(explorers: dict[str, Explorer], per_minute: int) -> gr.Blocks:
    """The page for these models, by the names that visitors see.

    Args:
        explorers: at least one.
        per_minute: requests that a visitor may make in a minute.
    """
    limit = RateLimit(per_minute)
    names = list(explorers)

    def guarded(request: gr.Request, model, seed, *numbers) -> Explorer:
        """The explorer, once the visitor's numbers are known to be sound."""
        client = request.client.host if request.client else ""
        if not limit.allows(client):
            raise gr.Error(f"More than {per_minute} requests a minute: wait a little.")
        if model not in explorers:
            raise gr.Error("There is no such model.")
        if not (_is_whole(seed) and 0 <= seed <= MAX_SEED):
            raise gr.Error(f"A seed is a whole number from 0 to {MAX_SEED}.")
        if not all(_is_whole(n) and 1 <= n <= MAX_IMAGES for n in numbers):
            raise gr.Error(f"Images are numbered from 1 to {MAX_IMAGES}.")
        return explorers[model]

    def show_gallery(request: gr.Request, model, seed, count):
        explorer = guarded(request, model, seed, count)
        images = magnify(explorer.gallery(int(seed), int(count)), 128)
        return [(image, f"{i + 1}") for i, image in enumerate(images)]

    def show_between(
        request: gr.Request, model, seed, first, second, spherical, position
    ):
        explorer = guarded(request, model, seed, first, second)
        images = explorer.between(
            int(seed), int(first) - 1, int(second) - 1, STRIP, bool(spherical)
        )
        at = round(float(np.clip(position, 0, 1)) * (STRIP - 1))
        return magnify(images, SIDE)[at], tile(magnify(images, 96), STRIP, gap=4)

    def show_moved(request: gr.Request, model, seed, number, *amounts):
        explorer = guarded(request, model, seed, number)
        if not all(isinstance(a, int | float) and abs(a) <= 10 for a in amounts):
            raise gr.Error("A direction goes from -10 to 10.")
        image = explorer.moved(int(seed), int(number) - 1, list(amounts))
        return magnify(image[None], SIDE)[0]

    def show_attention(request: gr.Request, model, seed, number):
        explorer = guarded(request, model, seed, number)
        pictures = explorer.attention(int(seed), int(number) - 1)
        return [(magnify(image[None], 128)[0], text) for image, text in pictures]

    def download(request: gr.Request, model, seed, count):
        explorer = guarded(request, model, seed, count)
        images = explorer.gallery(int(seed), int(count))
        columns = int(np.ceil(len(images) ** 0.5))
        seeds = {"model": model, "seed": int(seed), "images": int(count)}
        made = [
            _file(f"seed-{int(seed)}.png", png_bytes(tile(images, columns))),
            _file(f"seed-{int(seed)}.json", json.dumps(seeds).encode()),
        ]
        return gr.Files(made, visible=True)

    with gr.Blocks(
        title="LadaGAN", analytics_enabled=False, delete_cache=(600, 3600)
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
            dice = gr.Button("Another seed", variant="primary", scale=1)
        with gr.Tab("Gallery"):
            count = gr.Slider(1, MAX_IMAGES, 24, step=1, label="Images")
            gallery = _gallery(columns=8)
            gr.Markdown("Click two images, then look between them.")
            save = gr.Button("Make files of these: a PNG, and the seed")
            files = gr.Files(show_label=False, interactive=False, visible=False)
        with gr.Tab("Between two"):
            with gr.Row():
                first = _number_slider("From image", 1)
                second = _number_slider("To image", 2)
                spherical = gr.Checkbox(True, label="Along an arc")
            position = gr.Slider(0, 1, 0.5, step=1 / (STRIP - 1), label="Position")
            middle, strip = _picture(height=SIDE), _picture()
        with gr.Tab("Directions"):
            base = _number_slider("Image", 1)
            with gr.Row():
                with gr.Column():
                    sliders = [
                        gr.Slider(-6, 6, 0, step=0.25, label=f"Direction {i + 1}")
                        for i in range(NUM_DIRECTIONS)
                    ]
                moved = _picture(height=SIDE * 3 // 2)
            reset = gr.Button("Back to the image")
        with gr.Tab("Attention"):
            looked = _number_slider("Image", 1)
            maps = _gallery(columns=5)

        source = [model, seed]
        dice.click(lambda: int(np.random.default_rng().integers(MAX_SEED)), None, seed)
        for function, own, outputs in (
            (show_gallery, [count], gallery),
            (
                show_between,
                [first, second, spherical, position],
                [middle, strip],
            ),
            (show_moved, [base, *sliders], moved),
            (show_attention, [looked], maps),
        ):
            gr.on(
                [page.load, *(value.change for value in [*source, *own])],
                function,
                [*source, *own],
                outputs,
                show_progress="minimal",
                trigger_mode="always_last",
                api_visibility="private",
            )
        reset.click(lambda: [0] * NUM_DIRECTIONS, None, sliders)
        save.click(download, [*source, count], files, api_visibility="private")
        gallery.select(_chosen, [first, second], [first, second, base, looked])
    return page


def _chosen(first, second, event: gr.SelectData):
    """A click in the gallery: the way goes from the last image clicked to this one."""
    number = event.index + 1
    return second, number, number, number


def _number_slider(label: str, value: int) -> gr.Slider:
    return gr.Slider(1, MAX_IMAGES, value, step=1, label=label)


def _picture(height: int | None = None) -> gr.Image:
    return gr.Image(
        show_label=False,
        format="png",
        interactive=False,
        height=height,
        buttons=["download"],
        elem_classes="pixels",
    )


def _gallery(columns: int) -> gr.Gallery:
    return gr.Gallery(
        show_label=False,
        columns=columns,
        height="auto",
        object_fit="contain",
        format="png",
        buttons=["download"],
        elem_classes="pixels",
    )


def _is_whole(value) -> bool:
    return isinstance(value, int | float) and value == int(value)


def _file(name: str, content: bytes) -> str:
    """A file for the visitor to fetch; Gradio copies it and this one may go."""
    path = Path(tempfile.mkdtemp(prefix="lada_tf-")) / name
    path.write_bytes(content)
    return str(path)
