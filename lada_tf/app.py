"""Entry point that all commands share: parse flags, run, report errors in one line.

A command imports this module before anything that imports TensorFlow, so that it prints
none of TensorFlow's log lines.
"""

import itertools
import sys
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from lada_tf import runtime

runtime.import_tensorflow_quietly()

from absl import app, flags, logging  # noqa: E402

from lada_tf.errors import LadaError, UserError  # noqa: E402
from lada_tf.io import user_path  # noqa: E402

HELP = {"-h", "--h", "-help", "--help", "-?"}

flags.disclaim_key_flags()  # --help lists the flags below as those of the command


def DEFINE_path(name: str, default: str | None, doc: str, **kwargs: Any) -> None:
    """Define a flag whose value is a path, like absl's `DEFINE_string`.

    A leading `~` is expanded here, since shells do not expand it after `=`.
    """
    flags.DEFINE(_PathParser(), name, default, doc, **kwargs)


def run(
    main: Callable[[], int | None], topics: Mapping[str, str] | None = None
) -> None:
    """Parse the flags, call `main()`, and exit with its return value.

    `--help` and `-h` list the flags by topic, and the others in the order of their
    definition. `topics` maps a title to names with spaces between them.

    Errors in `lada_tf.errors` print one line on stderr and exit with their own code.
    So do flag errors and extra arguments, with code 2. Any other exception is a bug and
    keeps its traceback.
    """
    logging.set_verbosity(logging.WARNING)  # --verbosity=1 shows more
    app.run(
        lambda argv: _run_main(main, argv),
        flags_parser=lambda argv: _parse_flags(argv, topics or {}),
    )


class _PathParser(flags.ArgumentParser):
    def parse(self, argument: str) -> str:
        return user_path(argument)


def _parse_flags(argv: list[str], topics: Mapping[str, str]) -> list[str]:
    if HELP.intersection(itertools.takewhile(lambda word: word != "--", argv[1:])):
        print(_help(topics))
        sys.exit(0)
    try:
        return flags.FLAGS(argv)
    except (flags.Error, OSError) as error:  # OSError: an unreadable --flagfile
        _exit_with(error, UserError.exit_code)
    except SystemExit:  # absl exits with 1 after --help
        sys.exit(0)


def _help(topics: Mapping[str, str]) -> str:
    """Return the command's docstring and its flags, by topic."""
    text = (sys.modules["__main__"].__doc__ or "").strip() + "\n"
    key_flags = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
    grouped = {name for names in topics.values() for name in names.split()}
    others = [flag.name for flag in key_flags if flag.name not in grouped]
    everything = {**topics, "Other flags" if topics else "Flags": " ".join(others)}
    for topic, names in everything.items():
        if not names:
            continue
        text += f"\n{topic}:\n"
        for name in names.split():
            flag = flags.FLAGS[name]
            default = (flag.default_as_str or "").strip("'")
            note = f" The default is {default}." if default else ""
            text += f"  --{'[no]' if flag.boolean else ''}{name}\n"
            text += (
                textwrap.indent(textwrap.fill(f"{flag.help}{note}", 80), " " * 6) + "\n"
            )
    return f"{text}\n--helpfull lists the flags of absl and TensorFlow too."


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
