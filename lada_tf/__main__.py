"""The `lada-tf` command: `lada-tf COMMAND` runs `python -m lada_tf.COMMAND`."""

import ast
import difflib
import runpy
import sys
from pathlib import Path

from lada_tf.errors import one_line_errors

COMMANDS = (
    "train",
    "sample",
    "evaluate",
    "doctor",
    "export",
    "serve",
    "prepare_data",
    "import_official",
    "summary",
    "demo",
)
USAGE = """\
usage: lada-tf COMMAND --flag=value

`lada-tf COMMAND --help` lists the flags of a command. The commands are:"""


def main() -> None:
    """Run the command that the first argument names."""
    with one_line_errors():
        _run_command()


def _run_command() -> None:
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    error = ""
    if command in ("--help", "-h", "help"):
        print(_help())
    elif not command:
        error = _help()
    elif command == "--version":
        from lada_tf import __version__

        print(f"lada_tf {__version__}")
    elif command in COMMANDS:
        del sys.argv[1]
        runpy.run_module(f"lada_tf.{command}", run_name="__main__", alter_sys=True)
    else:
        error = f"error: unknown command {command!r}: "
        if matches := difflib.get_close_matches(command, COMMANDS, n=1):
            error += f"did you mean {matches[0]}?"
        else:
            error += f"expected one of {', '.join(COMMANDS)}"
    if error:
        print(error, file=sys.stderr)
        sys.exit(2)


def _help() -> str:
    """Return the commands with the first line of each docstring, without imports."""
    text = f"{USAGE}\n"
    for name in COMMANDS:
        source = Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
        docstring = ast.get_docstring(ast.parse(source)) or ""
        first_line = docstring.partition("\n")[0]
        text += f"\n  {name:15}  {first_line}"
    return text


if __name__ == "__main__":
    main()
