"""Error reporting, output streams and flagfiles of all commands."""

import ast
import errno
import io
import logging
import os
import re
import socket
import subprocess
import sys
import types
import warnings

import pytest

from lada_tf import app
from lada_tf.errors import TrainingDiverged, UserError, one_line_errors
from tests.imports import MODULES


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("data=x: not found\nor so"), 2, "--data=x: not found or so"),
        (
            UserError("set a (seed=1) or x=y, not /seed=2"),
            2,
            "(--seed=1) or x=y, not /",
        ),
        (UserError("set seed=True or data=Trueman"), 2, "--seed or --data=Trueman"),
        (TrainingDiverged("step 3"), 3, "step 3"),
        (PermissionError(errno.EACCES, "Permission denied", "a.png"), 2, "a.png: Perm"),
        (
            OSError(errno.EBUSY, "Busy", "a.partial", None, "mounted"),
            2,
            "mounted: Busy",
        ),
        (FileNotFoundError(errno.ENOENT, "No usable temporary"), 2, "No usable temp"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_expected_errors_end_with_one_line(error, code, line, capsys):
    with pytest.raises(SystemExit) as end, one_line_errors(["data", "seed"]):
        raise error
    assert end.value.code == code
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert line in printed
    assert printed.count("\n") == 1


def test_messages_of_library_code_name_arguments_without_dashes():
    """A Python caller has no flags, and a command may lack this one."""
    wrong = [
        f"{module}:{node.lineno}"
        for module, path in MODULES.items()
        if path.parent.name != "lada_tf"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Raise)
        and re.search(r"(?<![\w-])--\w", ast.unparse(node))
    ]
    assert not wrong


@pytest.mark.parametrize("kind", [RuntimeError, ValueError, KeyError, MemoryError])
def test_defects_keep_their_traceback(kind):
    with pytest.raises(kind), one_line_errors():
        raise kind("x")


def test_any_text_can_be_printed_on_an_ascii_terminal(monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    with one_line_errors():
        print("β caf\udce9.png")
    assert terminal.buffer.getvalue() == b"\\u03b2 caf\\udce9.png\n"


@pytest.mark.parametrize(
    ("flags", "source"),
    [
        ({"model": "hf://user/repo"}, "hf://user/repo"),
        ({"run_dir": "run"}, "run"),
        ({"model": "run", "best": True}, "run:best"),
        ({}, "no model given"),
        ({"model": "a", "run_dir": "b"}, "Set only one of them"),
        ({"model": "portraits", "best": True}, "--best: portraits is not a run"),
    ],
)
def test_the_source_of_a_model(flags, source, tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "flags.cfg").touch()
    monkeypatch.chdir(tmp_path)
    values = {"model": None, "run_dir": None, "best": False} | flags
    monkeypatch.setattr(app.flags, "FLAGS", types.SimpleNamespace(**values))
    if " " not in source:
        assert app.get_source() == source
    else:
        with pytest.raises(UserError, match=source):
            app.get_source()


@pytest.mark.parametrize(
    ("docstring", "example"),
    [
        ("Do it.\n\n  python -m x --a=1\n  python -m x \\\n  --b=2", "x --b=2"),
        ("Do it.\n\nlada-tf x --a=1", "x --a=1"),
        ("Do it.", "--help"),
    ],
)
def test_a_missing_flag_is_named_with_an_example(docstring, example, monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("main", docstring))
    assert app.check_given("b", 1)
    with pytest.raises(UserError, match=f"^--b .*{example}$"):
        app.check_given("b", None)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_warnings_on_a_terminal_are_plain_text(is_terminal, monkeypatch):
    """Files get the time and the module, too."""
    handler = app.logging.ABSLHandler(app.logging.PythonFormatter())
    terminal = io.StringIO()
    terminal.isatty = lambda: is_terminal
    monkeypatch.setattr(app.logging, "get_absl_handler", lambda: handler)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "argv", ["x", "--absent"])
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    with pytest.raises(SystemExit):
        app.run(lambda: None)
    record = logging.makeLogRecord(
        {"msg": "skipped %s", "args": ("a.png",), "levelname": "WARNING", "levelno": 30}
    )
    assert (handler.format(record) == "warning: skipped a.png") == is_terminal
    text = warnings.formatwarning("few images", UserWarning, "a.py", 1)
    assert (text == "warning: few images\n") == is_terminal


PYTHON = f"{sys.executable} -m lada_tf"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "code", "stderr"),
    [
        (f"{PYTHON} --help | true; exit ${{PIPESTATUS[0]}}", 141, ""),
        (f"{PYTHON} unknown 2>&-", 2, ""),
        (f"{PYTHON} unknown >&- 2>&-", 2, ""),
        (f"{PYTHON} --help >/dev/full", 2, "error: No space left on device\n"),
    ],
)
def test_streams_that_nobody_reads(command, code, stderr):
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (code, "", stderr)


def test_closed_streams_are_opened_before_any_file(tmp_path):
    """Otherwise, the first file would get their numbers, and the log lines."""
    source = (
        "import os, sys; sys.argv[0] = 'lada-tf'\n"  # imports little
        "from lada_tf.errors import one_line_errors\n"
        "with one_line_errors():\n"
        "  with open(sys.argv[1], 'w') as file:\n"
        "    os.write(2, b'log'); print('log', file=sys.stderr)\n"
    )
    file = tmp_path / "file"
    command = [sys.executable, "-c", source, str(file)]
    closed = ["bash", "-c", '"$@" >&- 2>&-', "bash", *command]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(closed, check=True, env=environment)
    assert file.read_text() == ""


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le"]
)
def test_flagfiles_in_any_encoding(encoding, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    text = "# a comment\r\n--data=caf\xe9 1\r\n\r\n// too\r\n--seed=3"
    (tmp_path / "outer.cfg").write_text("--flip\n--flagfile=~/inner.cfg\n", "utf-8")
    (tmp_path / "inner.cfg").write_bytes(text.encode(encoding))
    for arguments in (["--flagfile=~/outer.cfg"], ["--flagfile", "~/outer.cfg"]):
        flags = app._expand_flagfiles(["--a", *arguments, "--b"])
        assert flags == ["--a", "--flip", "--data=caf\xe9 1", "--seed=3", "--b"]


def test_flagfiles_that_cannot_be_read(tmp_path):
    loop = tmp_path / "loop.cfg"
    loop.write_text(f"--flagfile={loop}\n", "utf-8")
    for path in (loop, tmp_path, tmp_path / "absent"):
        with pytest.raises(UserError, match=f"--flagfile={path}"):
            app._expand_flagfiles([f"--flagfile={path}"])


def test_ports_in_use_are_refused():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"rest_port={port}"):
            app.check_port("rest_port", "127.0.0.1", port)
    app.check_port("rest_port", "127.0.0.1", port)
    with pytest.raises(UserError, match="host=no such host"):
        app.check_port("rest_port", "no such host", port)
