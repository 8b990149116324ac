"""Explore trained generators on a page in the browser.

    lada-tf demo --model=portraits
    lada-tf demo --model=runs/a --model=runs/b:best --model=models/c10/1

Install Gradio with `pip install 'lada_tf[demo]'`. By default, only this machine can
open the page. The page loads nothing from other hosts.
"""

import signal
import sys
import tempfile
from pathlib import Path

from absl import flags

from lada_tf import app
from lada_tf.errors import UserError
from lada_tf.serving.explorer import Explorer
from lada_tf.serving.loading import load_generator

app.DEFINE_paths(
    "model", f"Show this model: an exported model, {app.SOURCES}. Can be repeated."
)
app.DEFINE_paths("run_dir", "The same as --model.")
app.DEFINE_safe_mode()
flags.DEFINE_string(
    "host", "127.0.0.1", "Listen on this address. 0.0.0.0 means all addresses."
)
flags.DEFINE_integer("port", 7860, "Listen on this port.", 1, 65535)
flags.DEFINE_list(
    "allowed_hosts",
    [],
    "Accept requests to these host names too. IP addresses, localhost and --host are "
    "always accepted. * accepts every name.",
)
flags.DEFINE_list(
    "proxies",
    [],
    "Trust the header X-Forwarded-For of proxies at these IP addresses. Without it, "
    "all visitors behind a proxy share one request limit.",
)
flags.DEFINE_integer(
    "requests_per_minute",
    240,
    "Refuse more than this many requests per visitor and minute.",
    1,
)
FLAGS = flags.FLAGS


def main() -> None:
    try:
        import uvicorn

        from lada_tf.serving import demo_page
    except ImportError as error:
        raise UserError(f"{error}. Run: pip install 'lada_tf[demo]'") from error

    host = FLAGS.host.strip("[]")
    app.check_port("port", host, FLAGS.port)
    explorers = _explorers()
    names = ["localhost", host, *FLAGS.allowed_hosts]
    # uvicorn raises the signal again after it has stopped. `sys.exit` then lets Python
    # remove the temporary directory.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="lada_tf-demo-") as files:
        page = demo_page.make_app(explorers, FLAGS.requests_per_minute, names, files)
        url_host = f"[{host}]" if ":" in host else host  # an IPv6 address
        print(f"Open http://{url_host}:{FLAGS.port}", flush=True)
        uvicorn.run(
            page,
            host=host,
            port=FLAGS.port,
            workers=1,
            log_level="warning",
            ws="none",
            proxy_headers=bool(FLAGS.proxies),
            forwarded_allow_ips=FLAGS.proxies,
            server_header=False,
            timeout_graceful_shutdown=5,
        )


def _explorers() -> dict[str, Explorer]:
    """Return the explorers by name. Visitors see the names, but no whole paths."""
    sources = [*FLAGS.run_dir, *FLAGS.model]
    if not sources:
        raise UserError(f"no model given. Set --model to {app.SOURCES}")
    explorers: dict[str, Explorer] = {}
    for source in sources:
        explorers[_name(source, explorers)] = Explorer(load_generator(source))
    return explorers


def _name(source: str, taken: dict) -> str:
    parts = Path(source).resolve().parts
    # models/c10/1 is version 1 of c10.
    name = "/".join(parts[-2:]) if parts[-1].isdigit() else parts[-1]
    if name not in taken:
        return name
    return next(new for i in range(2, 10**6) if (new := f"{name} ({i})") not in taken)


if __name__ == "__main__":
    app.run(main)
