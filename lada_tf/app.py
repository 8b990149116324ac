"""Entry point that all commands share: parse flags, run, report errors in one line.

A command imports this module before anything that imports TensorFlow, so that it prints
none of TensorFlow's log lines.
"""

import functools
import itertools
import logging as python_logging
import os
import socket
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping

from lada_tf import runtime
from lada_tf.errors import UserError, one_line_errors

with one_line_errors():
    runtime.import_tensorflow_quietly()

from absl import app, flags, logging

from lada_tf.io import read_text, user_path

SOURCES = (
    "a run directory RUN, RUN:best, hf://USER/REPO, official:NAME, a bundled name such "
    "as portraits, or what save_pretrained wrote"
)
HELP = {"-h", "--h", "-help", "--help", "-?"}

flags.disclaim_key_flags()  # --help lists the flags below as those of the command


def DEFINE_path(
    name: str, default: str | None, doc: str, required: bool = False
) -> None:
    """Define a flag whose value is a path, like absl's `DEFINE_string`.

    A leading `~` is expanded here, since shells do not expand it after `=`.
    """
    flags.DEFINE(_PathParser(), name, default, doc)
    if required:  # absl's own message is longer, and gives no example
        flags.register_validator(name, functools.partial(check_given, name))


def DEFINE_paths(name: str, doc: str) -> None:
    """Define a flag that can be repeated, with a path as each value."""
    flags.DEFINE_multi(_PathParser(), flags.ArgumentSerializer(), name, [], doc)


def DEFINE_source(doc: str) -> None:
    """Define `--model` and its alias `--run_dir`, `--best` and `--safe_mode`.

    `get_source` returns their value.
    """
    DEFINE_path("model", None, f"{doc}: {SOURCES}.")
    DEFINE_path("run_dir", None, "The same as --model.")
    flags.DEFINE_boolean(
        "best", False, "Use the best checkpoint of a run instead of the last one."
    )
    DEFINE_safe_mode()


def get_source() -> str:
    """Return the source of a model, such as RUN or RUN:best.

    Raises:
        UserError: if there is none, or more than one.
    """
    model, run_dir = flags.FLAGS.model, flags.FLAGS.run_dir
    if model and run_dir:
        raise UserError("--run_dir is the same as --model: set one of them")
    source = model or run_dir
    if not source:
        raise UserError(f"no model given. Set --model to {SOURCES}")
    if not flags.FLAGS.best:
        return source
    if not os.path.exists(os.path.join(source, "flags.cfg")):
        raise UserError(f"best=true: {source} is not a run directory. Leave out --best")
    return f"{source}:best"


def DEFINE_safe_mode() -> None:
    """Define `--safe_mode`. Without it, `run` turns off Keras' safe mode."""
    flags.DEFINE_boolean(
        "safe_mode",
        True,
        "Refuse a run or model that names code to import, such as an attention "
        "module:Class. Turn this off only for files that you trust.",
    )


def check_given(name: str, value: object) -> bool:
    """Return True if a flag has a value.

    Raises:
        UserError: if it has none, with an example from the docstring of the command.
    """
    if value is not None:
        return True
    text = (sys.modules["__main__"].__doc__ or "").replace("\\\n", " ")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    examples = [line for line in lines if line.startswith("python -m ")]
    examples.sort(key=lambda line: f"--{name}=" not in line)
    raise UserError(f"--{name} is required. Example: {examples[0]}")


def run(
    main: Callable[[], int | None],
    topics: Mapping[str, str] | None = None,
    positional: str = "",
) -> None:
    """Parse the flags, call `main()`, and exit with its return value.

    `--help` and `-h` list the flags by topic, and the others in the order of their
    definition. `topics` maps a title to names with spaces between them. The flag that
    `positional` names can be the first argument, without `--name=`.

    Errors of the user or the system end with one line, see `one_line_errors`. So do
    flag errors and extra arguments, with code 2.
    """
    logging.set_verbosity(logging.WARNING)  # --verbosity=1 shows more
    if sys.stderr and sys.stderr.isatty():  # a file also gets the time and the module
        logging.get_absl_handler().setFormatter(_TerminalFormatter())
    with one_line_errors(list(flags.FLAGS)):
        if positional and sys.argv[1:] and not sys.argv[1].startswith("-"):
            sys.argv[1] = f"--{positional}={sys.argv[1]}"
        try:
            app.run(
                lambda argv: _run_main(main, argv),
                flags_parser=lambda argv: _parse_flags(argv, topics or {}),
            )
        except flags.Error as error:
            raise UserError(str(error)) from error


def check_port(name: str, host: str, port: int) -> None:
    """Check that a server can listen on a port, before the work to start it.

    Raises:
        UserError: if it cannot, with `name=port`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise UserError(
            f"{name}={port}, host={host}: cannot listen there ({error.strerror}). "
            "Choose another port or host"
        ) from error


class _TerminalFormatter(python_logging.Formatter):
    """Formats log lines like error messages, such as `warning: text`."""

    def format(self, record: python_logging.LogRecord) -> str:
        return f"{record.levelname.lower()}: {super().format(record)}"


class _PathParser(flags.ArgumentParser):
    def parse(self, argument: str) -> str:
        return user_path(argument)


def _parse_flags(argv: list[str], topics: Mapping[str, str]) -> list[str]:
    if HELP.intersection(itertools.takewhile(lambda word: word != "--", argv[1:])):
        print(_help(topics))
        sys.exit(0)
    try:
        return flags.FLAGS([argv[0], *_expand_flagfiles(argv[1:])])
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


def _expand_flagfiles(arguments: Iterable[str], opened: tuple = ()) -> list[str]:
    """Replace each `--flagfile=PATH` by the flags in that file.

    absl would read the file in the encoding of the locale, and reject a BOM.
    """
    expanded = []
    iterator = iter(arguments)
    for argument in iterator:
        name, has_value, path = argument.partition("=")
        if name not in ("--flagfile", "-flagfile"):
            expanded.append(argument)
            continue
        path = user_path(path if has_value else next(iterator, ""))
        if path in opened:
            raise UserError(f"--flagfile={path}: the file includes itself")
        try:
            lines = [line.strip() for line in read_text(path).split("\n")]
        except (OSError, UnicodeError) as error:
            raise UserError(f"--flagfile={path}: cannot be read ({error})") from error
        lines = [line for line in lines if line and not line.startswith(("#", "//"))]
        expanded += _expand_flagfiles(lines, (*opened, path))
    return expanded


def _run_main(main: Callable[[], int | None], argv: list[str]) -> None:
    if argv[1:]:  # or a line of a flagfile without its dashes
        raise UserError(
            f"unexpected argument {argv[1]!r}: write flags as --name=value, one per "
            "line in a flagfile"
        )
    if "safe_mode" in flags.FLAGS and not flags.FLAGS.safe_mode:
        import keras

        keras.config.enable_unsafe_deserialization()
    sys.exit(main())
