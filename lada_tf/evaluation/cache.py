"""Where downloaded graphs are looked for and reference statistics kept."""

import os


def default_cache_dir() -> str:
    """`lada_tf` in XDG_CACHE_HOME or ~/.cache."""
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(caches, "lada_tf")
