"""Explore trained generators on a page in the browser.

    python -m lada_tf.demo --run_dir=runs/portraits
    python -m lada_tf.demo --run_dir=runs/a --run_dir=runs/b --model=models/c10/1

Install Gradio with `pip install 'lada_tf[demo]'`. By default, only this machine can
open the page. It loads nothing from other hosts.
"""

from pathlib import Path

from absl import flags

from lada_tf import app
from lada_tf.errors import UserError
from lada_tf.serving.explorer import Explorer
from lada_tf.serving.exported import load_exported
from lada_tf.training import load_generator

app.DEFINE_paths("run_dir", "Show the generator of this run. Can be repeated.")
app.DEFINE_paths("model", "Show this exported model. Can be repeated.")
app.DEFINE_safe_mode()
flags.DEFINE_string("host", "127.0.0.1", "Listen on this address. 0.0.0.0 means all.")
flags.DEFINE_integer("port", 7860, "Listen on this port.", 1, 65535)
flags.DEFINE_integer(
    "requests_per_minute", 240, "Refuse more requests of a visitor per minute.", 1
)
FLAGS = flags.FLAGS


def main() -> None:
    try:
        from lada_tf.serving import demo_page
    except ImportError as error:
        raise UserError(f"{error}: pip install 'lada_tf[demo]'") from error

    app.check_port("port", FLAGS.host.strip("[]"), FLAGS.port)
    page = demo_page.build_page(_explorers(), FLAGS.requests_per_minute)
    # TensorFlow uses all cores for each request, so serve one at a time.
    page.queue(default_concurrency_limit=1, max_size=64)
    page.launch(
        server_name=FLAGS.host,
        server_port=FLAGS.port,
        theme=demo_page.theme(),
        css=demo_page.CSS,
        footer_links=[],
    )


def _explorers() -> dict[str, Explorer]:
    """Return the explorers by the names of their directories: visitors see no paths."""
    if not FLAGS.run_dir and not FLAGS.model:
        raise UserError("at least one --run_dir=RUN or --model=EXPORTED is required")
    explorers: dict[str, Explorer] = {}
    for paths, load in ((FLAGS.run_dir, load_generator), (FLAGS.model, load_exported)):
        for path in paths:
            explorers[_name(path, explorers)] = Explorer(load(path))
    return explorers


def _name(path: str, taken: dict) -> str:
    parts = Path(path).resolve().parts
    # models/c10/1 is version 1 of c10.
    name = "/".join(parts[-2:]) if parts[-1].isdigit() else parts[-1]
    if name not in taken:
        return name
    return next(new for i in range(2, 10**6) if (new := f"{name} ({i})") not in taken)


if __name__ == "__main__":
    app.run(main)
