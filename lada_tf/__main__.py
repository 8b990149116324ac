"""`lada-tf COMMAND --flags`: the same as `python -m lada_tf.COMMAND --flags`."""

import runpy
import sys
from pathlib import Path

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


def main() -> None:
    here = Path(__file__).parent
    commands = [name for name in COMMANDS if (here / f"{name}.py").exists()]
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command not in commands:
        print(f"usage: lada-tf {{{'|'.join(commands)}}} --help", file=sys.stderr)
        sys.exit(2)
    del sys.argv[1]
    runpy.run_module(f"lada_tf.{command}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
