"""The page to play with trained generators, in the browser.

    python -m lada_tf.demo --run_dir=runs/portraits
    python -m lada_tf.demo --run_dir=runs/a --run_dir=runs/b --model=models/c10/1

It needs `pip install 'lada_tf[demo]'`, listens on this machine only unless --host says
otherwise, and asks nothing of any other machine.
"""

from pathlib import Path

from absl import flags

from lada_tf import app
from lada_tf.errors import UserError
from lada_tf.serving.exported import load_exported
from lada_tf.training import load_generator

flags.DEFINE_multi_string("run_dir", [], "Run folders whose generators to show.")
flags.DEFINE_multi_string("model", [], "Exported models to show.")
flags.DEFINE_string("host", "127.0.0.1", "Address to listen at; 0.0.0.0 for all.")
flags.DEFINE_integer("port", 7860, "Port to listen at.", 1, 65535)
flags.DEFINE_integer("requests_per_minute", 240, "Of one visitor, at most.", 1)
FLAGS = flags.FLAGS


def main() -> None:
    try:
        from lada_tf.serving import page
    except ImportError as error:
        raise UserError(f"{error}: pip install 'lada_tf[demo]'") from error
    from lada_tf.serving.explorer import Explorer

    explorers = {name: Explorer(generator) for name, generator in _generators().items()}
    blocks = page.build_page(explorers, FLAGS.requests_per_minute)
    # TensorFlow uses all cores for one request: more at a time would only compete.
    blocks.queue(default_concurrency_limit=1, max_size=64)
    try:
        blocks.launch(
            server_name=FLAGS.host,
            server_port=FLAGS.port,
            theme=page.theme(),
            css=page.CSS,
            footer_links=[],
        )
    except OSError as error:
        raise UserError(f"--port={FLAGS.port}: {error}") from error


def _generators() -> dict:
    """The models by the names of their folders, which are all that visitors see."""
    if not FLAGS.run_dir and not FLAGS.model:
        raise UserError(
            "give --run_dir=RUN, or --model=EXPORTED; each as often as you like"
        )
    generators: dict = {}
    for folder in FLAGS.run_dir:
        generators[_name(folder, generators)] = load_generator(folder)
    for path in FLAGS.model:
        generators[_name(path, generators)] = load_exported(path)
    return generators


def _name(path: str, taken: dict) -> str:
    parts = Path(path).resolve().parts
    # models/c10/1 is version 1 of c10.
    name = "/".join(parts[-2:]) if parts[-1].isdigit() else parts[-1]
    if name not in taken:
        return name
    return next(new for i in range(2, 10**6) if (new := f"{name} ({i})") not in taken)


if __name__ == "__main__":
    app.run(main)
