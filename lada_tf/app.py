"""Entry point that all commands share: parse flags, run, report errors in one line.

A command imports this module before anything that imports TensorFlow, so that it prints
none of TensorFlow's log lines.
"""

import sys
from collections.abc import Callable
from typing import Any, NoReturn

from lada_tf import runtime

runtime.import_tensorflow_quietly()

from absl import app, flags, logging  # noqa: E402

from lada_tf.errors import LadaError, UserError  # noqa: E402
from lada_tf.io import user_path  # noqa: E402

flags.disclaim_key_flags()  # --help lists the flags below as those of the command


def DEFINE_path(name: str, default: str | None, doc: str, **kwargs: Any) -> None:
    """Define a flag whose value is a path, like absl's `DEFINE_string`.

    A leading `~` is expanded here, since shells do not expand it after `=`.
    """
    flags.DEFINE(_PathParser(), name, default, doc, **kwargs)


def run(main: Callable[[], int | None]) -> None:
    """Parse the flags, call `main()`, and exit with its return value.

    Errors in `lada_tf.errors` print one line on stderr and exit with their own code.
    So do flag errors and extra arguments, with code 2. Any other exception is a bug and
    keeps its traceback.
    """
    logging.set_verbosity(logging.WARNING)  # --verbosity=1 shows more
    app.run(lambda argv: _run_main(main, argv), flags_parser=_parse_flags)


class _PathParser(flags.ArgumentParser):
    def parse(self, argument: str) -> str:
        return user_path(argument)


def _parse_flags(argv: list[str]) -> list[str]:
    try:
        return flags.FLAGS(argv)
    except (flags.Error, OSError) as error:  # OSError: an unreadable --flagfile
        _exit_with(error, UserError.exit_code)
    except SystemExit:  # absl exits with 1 after --help
        sys.exit(0)


def _run_main(main: Callable[[], int | None], argv: list[str]) -> None:
    try:
        if argv[1:]:  # or a line of a flagfile without its dashes
            raise UserError(
                f"unexpected argument {argv[1]!r}: write flags as --name=value, one "
                "per line in a flagfile"
            )
        sys.exit(main())
    except LadaError as error:
        _exit_with(error, error.exit_code)


def _exit_with(error: Exception, code: int) -> NoReturn:
    print("error:", " ".join(str(error).split()), file=sys.stderr)
    sys.exit(code)
