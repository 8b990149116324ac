"""The `lada-tf` command: `lada-tf COMMAND` runs `python -m lada_tf.COMMAND`."""

import ast
import difflib
import runpy
import sys
from pathlib import Path
from typing import NoReturn

COMMANDS = (
    "train",
    "sample",
    "evaluate",
    "export",
    "serve",
    "prepare_data",
    "import_official",
    "summary",
    "demo",
)
USAGE = "usage: lada-tf COMMAND --flags    (lada-tf COMMAND --help lists the flags)"


def main() -> None:
    """Run the command that the first argument names."""
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command in ("--help", "-h", "help"):
        print(_help())
    elif not command:
        _fail(_help())
    elif command == "--version":
        from lada_tf import __version__

        print(f"lada_tf {__version__}")
    elif command in COMMANDS:
        del sys.argv[1]
        runpy.run_module(f"lada_tf.{command}", run_name="__main__", alter_sys=True)
    else:
        matches = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = (
            f"did you mean {matches[0]}?"
            if matches
            else f"expected one of {', '.join(COMMANDS)}"
        )
        _fail(f"error: unknown command {command!r}: {hint}")


def _fail(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(2)


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {_summary(name)}" for name in COMMANDS]
    return "\n".join([USAGE, "", *lines])


def _summary(command: str) -> str:
    """Return the first line of a command's docstring without importing the command."""
    source = Path(__file__).with_name(f"{command}.py").read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(source)) or ""
    return docstring.partition("\n")[0]


if __name__ == "__main__":
    main()
