"""How every command starts: quiet logs, absl flags, one line for a user's mistake."""

import gc
import os
import sys
import tempfile
from typing import NoReturn

from lada_tf.runtime import without_collection


def _import_tensorflow_quietly() -> None:
    """TensorFlow's native code greets before any log level applies: not for users."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as greeting, without_collection():
        os.dup2(greeting.fileno(), 2)
        try:
            import tensorflow

            tensorflow.config.list_physical_devices()  # looks for CUDA, aloud
        except BaseException:
            greeting.seek(0)
            os.write(stderr, greeting.read())
            raise
        finally:
            gc.freeze()  # not to look for garbage there later either
            os.dup2(stderr, 2)
            os.close(stderr)


_import_tensorflow_quietly()

from absl import app, flags, logging  # noqa: E402

from lada_tf.errors import LadaError, UserError  # noqa: E402


def assume_frozen_weights() -> None:
    """Lets products keep their weights in the layout that they read fastest.

    For commands in which no weight changes once a graph has used it. On processors
    oneDNN, within TensorFlow, then copies a weight once and not in each call, which in
    bfloat16 is a fifth of the time of one image, and in float32 next to nothing. To be
    called before TensorFlow runs its first product.
    """
    os.environ.setdefault("TF_ONEDNN_ASSUME_FROZEN_WEIGHTS", "1")


def run(main) -> None:
    """Parses the flags, calls `main()` and exits with its return value.

    Exit codes: 0 (or what `main` returns); with one line on stderr, 2 for a user's
    mistake (`UserError`, an unknown or malformed flag, a stray argument) and those of
    the other errors in `lada_tf.errors`. Anything else is a defect and keeps its
    traceback.
    """
    logging.set_verbosity(logging.WARNING)  # --verbosity=1 asks for more
    app.run(lambda argv: _guarded(main, argv), flags_parser=_parse_flags)


def _parse_flags(argv: list[str]) -> list[str]:
    try:
        return flags.FLAGS(argv)
    except (flags.Error, OSError) as error:  # OSError: an unreadable --flagfile
        _exit_with(error, UserError.exit_code)
    except SystemExit:  # of --help, which absl ends with 1
        sys.exit(0)


def _guarded(main, argv: list[str]) -> None:
    try:
        if argv[1:]:  # also a flagfile's line that lacks its dashes
            raise UserError(
                f"unexpected argument {argv[1]!r}: flags are written --name=value, "
                "one a line in a flagfile"
            )
        sys.exit(main())
    except LadaError as error:
        _exit_with(error, error.exit_code)


def _exit_with(error: Exception, code: int) -> NoReturn:
    print("error:", " ".join(str(error).split()), file=sys.stderr)
    sys.exit(code)
