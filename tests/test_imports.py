"""Imports point one way; see the table in CONTRIBUTING.md."""

import ast

import pytest

from tests.imports import MODULES, POSIX, ROOT, imports_of

# Each package may import those before it, and itself.
ORDER = (
    "kernels",
    "layers",
    "models",
    "data",
    "sampling",
    "evaluation",
    "training",
    "serving",
)
# Everything except kernels and layers may import these.
SHARED = ("errors", "io", "runtime")


def package_of(module):
    """Return the second part of a module's name; "" for `lada_tf` itself."""
    return f"{module}.".split(".")[1]


COMMANDS = {
    module
    for module in MODULES
    if module.count(".") == 1 and package_of(module) not in (*ORDER, *SHARED, "app")
}


def may_import(package, imported):
    """Whether a module of a package may import one of another package."""
    if imported == "":  # lada_tf/__init__.py, which has names of every package
        return package not in ORDER[:-1] + SHARED
    if package in SHARED:
        return imported in SHARED
    if imported in SHARED:
        return package not in ("kernels", "layers")
    if package in ORDER:
        return imported in ORDER[: ORDER.index(package) + 1]
    return True


def test_imports_point_one_way():
    wrong = []
    for module, file in MODULES.items():
        for line, imported in imports_of(module):
            if imported in COMMANDS and module != "lada_tf.__main__":
                reason = "nothing imports a command"
            elif not may_import(package_of(module), package_of(imported)):
                reason = f"{package_of(module)} must not"
            else:
                continue
            where = f"{file.relative_to(ROOT)}:{line}"
            wrong.append(f"{where} imports {imported}: {reason}")
    assert not wrong, "\n".join(["", *wrong])


@pytest.mark.parametrize("package", ["benchmarks", "lada_tf"])
def test_experiments_are_imported_by_nothing(package):
    wrong = []
    for path in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in getattr(node, "names", ())]
            for name in (getattr(node, "module", None), *names):
                if str(name).split(".")[0] == "experiments":
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not wrong


def test_windows_can_import_every_module():
    """Only statements in functions and in `try` may import what Windows lacks."""
    wrong = []
    for path in MODULES.values():
        for node in ast.parse(path.read_text("utf-8")).body:
            names = [alias.name for alias in getattr(node, "names", ())]
            if {getattr(node, "module", None), *names} & set(POSIX):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not wrong
