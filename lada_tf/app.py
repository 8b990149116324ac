"""Entry point of all commands: parse flags, run, report errors in one line.

A command imports this module before any module that imports TensorFlow. Otherwise,
TensorFlow's log lines appear on stderr.
"""

import functools
import itertools
import logging as python_logging
import os
import socket
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterable, Mapping

from lada_tf import runtime
from lada_tf.errors import UserError, one_line_errors

with one_line_errors():
    runtime.import_tensorflow_quietly()

from absl import app, flags, logging

from lada_tf.io import read_text, user_path

SOURCES = (
    "a run directory RUN, its best checkpoint RUN:best, a directory that "
    "save_pretrained wrote, hf://USER/REPO on the Hugging Face Hub, official:NAME (the "
    "authors' weights), or a bundled model such as portraits"
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


def DEFINE_source(doc: str, others: str = "") -> None:
    """Define `--model`, its alias `--run_dir`, `--best`, and `--safe_mode`.

    `get_source` returns the model that they name.

    Args:
        doc: what the command does with the model.
        others: kinds of models that the command accepts besides `SOURCES`.
    """
    DEFINE_path("model", None, f"{doc}: {others}{SOURCES}.")
    DEFINE_path("run_dir", None, "The same as --model.")
    flags.DEFINE_boolean(
        "best", False, "Use the best checkpoint of a run instead of the last one."
    )
    DEFINE_safe_mode()


def get_source() -> str:
    """Return the source of the model that the flags name, such as RUN or RUN:best.

    Raises:
        UserError: if there is none, or more than one.
    """
    model, run_dir = flags.FLAGS.model, flags.FLAGS.run_dir
    if model and run_dir:
        raise UserError("--run_dir means the same as --model. Set only one of them")
    source = model or run_dir
    if not source:
        raise UserError(f"no model given. Set --model to {SOURCES}")
    if not flags.FLAGS.best:
        return source
    if not os.path.exists(os.path.join(source, "flags.cfg")):
        raise UserError(f"--best: {source} is not a run directory. Leave out --best")
    return f"{source}:best"


def DEFINE_safe_mode() -> None:
    """Define `--safe_mode`. If it is false, `run` turns off Keras' safe mode, too."""
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
    examples = [line for line in lines if line.startswith(("python -m ", "lada-tf "))]
    examples.sort(key=lambda line: f"--{name}=" not in line)
    hint = f"Example: {examples[0]}" if examples else "See --help"
    raise UserError(f"--{name} is required. {hint}")


def run(
    main: Callable[[], int | None],
    topics: Mapping[str, str] | None = None,
    positional: str = "",
) -> None:
    """Parse the flags, call `main()`, and exit with its return value.

    Errors of the user or the system end with one line, see `one_line_errors`. So do
    invalid flags and extra arguments, with code 2.

    Args:
        main: returns the exit code, or None for 0.
        topics: sections of `--help`: title -> names of flags, separated by spaces.
            Other flags follow in the order of their definition.
        positional: name of a flag. The first argument can be its value alone.
    """
    logging.set_verbosity(logging.WARNING)  # --verbosity=1 shows more
    if sys.stderr and sys.stderr.isatty():  # a file also gets the time and the module
        logging.get_absl_handler().setFormatter(_TerminalFormatter())
        warnings.formatwarning = _format_warning
    with one_line_errors(list(flags.FLAGS)):
        if positional and sys.argv[1:] and not sys.argv[1].startswith("-"):
            sys.argv[1] = f"--{positional}={sys.argv[1]}"
        try:
            app.run(
                lambda argv: _run_main(main, argv),
                flags_parser=lambda argv: _parse_flags(argv, topics or {}),
            )
        except flags.UnrecognizedFlagError as error:
            text = str(error).replace(" ?", "?")  # after a suggestion
            end = "" if text.endswith("?") else "."
            raise UserError(f"{text}{end} --help lists the flags") from error
        except flags.Error as error:
            raise UserError(str(error).removeprefix("flag ")) from error


def check_port(name: str, host: str, port: int) -> None:
    """Check that a server can listen on a port.

    Args:
        name: name of the port's flag, for the error.
        host: name or address on which the server listens.
        port: number of the port.

    Raises:
        UserError: if another server uses the port, or there is no such host.
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


def _format_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    return f"warning: {message}\n"


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
            doc, _, _ = flag.help.partition(";\n")  # absl's note on repeated flags
            default = (flag.default_as_str or "").strip("'")
            note = f" The default is {default}." if default.strip("[]") else ""
            text += f"  --{'[no]' if flag.boolean else ''}{name}\n"
            text += textwrap.indent(textwrap.fill(f"{doc}{note}", 80), " " * 6) + "\n"
    return f"{text}\n--helpfull also lists the flags of absl and TensorFlow."


def _expand_flagfiles(arguments: Iterable[str], opened: tuple = ()) -> list[str]:
    """Replace each `--flagfile=PATH` by the flags in that file.

    absl would decode the file with the locale's encoding, and reject a byte order mark.

    Args:
        arguments: arguments of the command.
        opened: paths of the flagfiles that contain these arguments.
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
    if argv[1:]:  # an argument, or a line of a flagfile, without dashes
        raise UserError(
            f"unexpected argument {argv[1]!r}: write flags as --name=value, one per "
            "line in a flagfile"
        )
    if "safe_mode" in flags.FLAGS and not flags.FLAGS.safe_mode:
        import keras

        keras.config.enable_unsafe_deserialization()
    sys.exit(main())
