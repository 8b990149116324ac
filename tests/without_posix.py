"""A plugin of pytest (`-p tests.without_posix`): hide modules that Windows lacks."""

import sys

# Other packages look at the platform, and this one is POSIX. So they come first.
import portalocker  # noqa: F401

import tests.conftest  # noqa: F401  imports Keras and TensorFlow

HIDDEN = ("fcntl", "grp", "pty", "pwd", "readline", "resource", "syslog", "termios")

assert not any(name.startswith("lada_tf.io") for name in sys.modules)
sys.modules.update(dict.fromkeys(HIDDEN))  # an import raises ModuleNotFoundError
