"""The import statements of lada_tf, read from its source."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Modules that Windows does not have.
POSIX = ("fcntl", "grp", "pty", "pwd", "readline", "resource", "syslog", "termios")

# Methods of `LadaGAN` that call packages above their own import them when they run.
UPWARD = {
    ("lada_tf.models.fit", "lada_tf.evaluation.validation"),
    ("lada_tf.models.pretrained_model", "lada_tf.serving.exporting"),
    ("lada_tf.models.pretrained_model", "lada_tf.training.sources"),
}


def modules(package: str = "lada_tf") -> dict[str, Path]:
    """Return every module of the package: dotted name -> file."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports_of(module: str) -> Iterator[tuple[int, str]]:
    """Yield (line, module of ours) for each import statement, also in functions.

    `from lada_tf.a import b` imports `lada_tf.a.b` if that is a module, else
    `lada_tf.a`. Imports for type checkers only, and those in `UPWARD`, are left out.
    """
    for node in _nodes(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}:{node.lineno}: relative import"
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else str(node.module) for name in full]
        else:
            continue
        for name in names:
            if name.partition(".")[0] == "lada_tf" and (module, name) not in UPWARD:
                yield node.lineno, name


def files_reached_by(module: str) -> set[str]:
    """Return the modules that a reader of the module may need.

    These are the module itself and those that import statements name, transitively. A
    package's `__init__.py` counts only if a statement names the package. The directory
    `lada_tf/kernels` counts as one file.
    """
    seen: set[str] = set()
    remaining = [module]
    while remaining:
        name = remaining.pop()
        if name not in seen:
            seen.add(name)
            remaining += [imported for _, imported in imports_of(name)]
    return {
        "lada_tf.kernels" if name.startswith("lada_tf.kernels.") else name
        for name in seen
    }


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _nodes(child)
