"""A plugin of pytest (`-p tests.without_posix`): hide modules that Windows lacks."""

import sys

# These look at the platform, which is POSIX here, so import them first.
import portalocker  # noqa: F401

import tests.conftest  # noqa: F401  imports Keras and TensorFlow
from tests.imports import POSIX

sys.modules.update(dict.fromkeys(POSIX))  # an import raises ModuleNotFoundError
