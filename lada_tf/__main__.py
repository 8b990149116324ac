"""`lada-tf COMMAND --flags`: the same as `python -m lada_tf.COMMAND --flags`."""

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
USAGE = "usage: lada-tf COMMAND --flags    (lada-tf COMMAND --help lists them)"


def main() -> None:
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
        near = difflib.get_close_matches(command, COMMANDS, n=1)
        cure = (
            f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
        )
        _fail(f"error: no command {command!r}: {cure}")


def _fail(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(2)


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {_summary(name)}" for name in COMMANDS]
    return "\n".join([USAGE, "", *lines])


def _summary(command: str) -> str:
    """The first line of the command's docstring, without the seconds of its import."""
    source = Path(__file__).with_name(f"{command}.py").read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(source)) or ""
    return docstring.partition("\n")[0]


if __name__ == "__main__":
    main()
