"""Outputs are checked before work starts; text is UTF-8; directories may be mounted."""

import ast
import errno
import os
from pathlib import Path

import pytest

from lada_tf.errors import UserError
from lada_tf.io import (
    check_output,
    read_json,
    read_text,
    replacing,
    replacing_directory,
    sha256,
    try_lock,
    utf8_path,
    write_atomically,
    write_json,
)

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("path", "ending"),
    [
        ("grid.PNG", ".png"),
        ("new/parents/a.npz", ".npz"),
        ("directory", ""),
        ("model-v1.2", ""),
        ("photos.jpg/", ""),
        ("exists.d", ""),
    ],
)
def test_kinds_of_outputs(path, ending, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("exists.d").mkdir()
    assert check_output("output", path, (".png", ".npz", "")) == ending


@pytest.mark.parametrize(
    ("path", "endings"),
    [
        ("grid.jpg", (".png", "")),
        ("x.h5", (".keras", "")),
        ("x.keras", ("",)),
        ("directory", (".npz",)),
        ("used.png", (".png",)),
        ("used", ("",)),
        ("used/", ("",)),
        ("used.png/grid.png", (".png",)),
        ("used.png/sub/directory", ("",)),
        ("", ("",)),  # would replace the working directory
    ],
)
def test_outputs_that_cannot_be_written_are_refused(
    path, endings, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("used.png").touch()
    Path("used").mkdir()
    Path("used", "notes").touch()
    with pytest.raises(UserError, match=f"^output={path}: "):
        check_output("output", path, endings)
    if path.startswith("used") and "/" not in path:
        check_output("output", path, endings, overwrite=True)


def test_a_directory_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # tests run as root
    with pytest.raises(UserError, match=str(tmp_path)):
        check_output("output", tmp_path / "a" / "b.png", (".png",))


def test_a_mounted_directory_gets_the_files(tmp_path):
    """It cannot be renamed or removed. Its other files stay."""
    before = tmp_path.stat().st_ino
    (tmp_path / "notes").write_text("mine", "utf-8")
    (tmp_path / "variables").mkdir()
    (tmp_path / "variables" / "old").touch()
    with replacing_directory(tmp_path) as directory:
        Path(directory, "variables").mkdir()
        Path(directory, "variables", "new").touch()
    assert tmp_path.stat().st_ino == before
    files = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")}
    assert files == {"notes", "variables", "variables/new"}


def test_a_failed_directory_leaves_nothing(tmp_path):
    for path in (tmp_path, tmp_path / "new"):
        with pytest.raises(FileExistsError), replacing_directory(path) as directory:
            [Path(directory, "half").touch(exist_ok=False) for _ in range(2)]
    assert not list(tmp_path.iterdir())


def test_text_keeps_names_that_are_not_utf8(tmp_path):
    text = "--data=caf\udce9 \xe9\n"
    write_atomically(tmp_path / "file", text)
    assert read_text(tmp_path / "file") == text


def test_paths_for_tensorflow_are_utf8():
    assert utf8_path("run_dir", "caf\xe9") == Path("caf\xe9")
    with pytest.raises(UserError, match="run_dir="):
        utf8_path("run_dir", "caf\udce9")


@pytest.mark.parametrize(
    ("number", "locked"),
    [
        ("EWOULDBLOCK", False),
        ("EACCES", False),
        ("ENOLCK", True),
        ("ENOSYS", True),
        ("EOPNOTSUPP", True),
        ("EINVAL", True),
    ],
)
def test_a_missing_lock_is_not_a_held_one(
    tmp_path, monkeypatch, number, locked, caplog
):
    def flock(file, operation):
        raise OSError(getattr(errno, number), "reason")

    monkeypatch.setattr("portalocker.portalocker.LOCKER", flock)
    with (tmp_path / "lock").open("a") as file:
        assert try_lock(file) is locked
    assert ("cannot be locked (reason)" in caplog.text) == locked


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, "old")

    def fail(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_path_do_not_meet(tmp_path):
    path = tmp_path / "file"
    with replacing(path) as first, replacing(path) as second:
        for temporary in (first, second):
            with open(temporary, "w") as file:
                file.write(temporary)
    assert path.read_text() == first  # the last to finish
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(
    "content",
    [
        *("[]", "3", "null", "", "{", "[" * 10**5, '{"a":' * 10**5),
        *('{"a": NaN}', '{"a": -Infinity}', '{"a": ' + "9" * 5000 + "}", "\xff\xfe\0"),
    ],
)
def test_json_that_is_no_object(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(UserError, match=r"a\.json: cannot be read"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("value", "is_valid"),
    [
        *((0, True), (3, True), (-1, False), (10**30, False), (3.0, False)),
        *((True, False), ("3", False), ([3], False), (None, False)),
    ],
)
def test_fields_of_json_have_exact_types(tmp_path, value, is_valid):
    write_json(tmp_path / "a.json", {"count": value, "other": None})
    fields = {"count": int, "other": type(None)}
    if is_valid:
        assert read_json(tmp_path / "a.json", fields)["count"] == value
    else:
        with pytest.raises(UserError, match=r"a\.json: is damaged"):
            read_json(tmp_path / "a.json", fields)


@pytest.mark.parametrize("kind", ["fifo", "device", "directory", "huge"])
def test_files_that_do_not_end_are_refused_at_once(tmp_path, kind):
    path = tmp_path / "a.json"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "directory":
        path.mkdir()
    else:
        with path.open("wb") as file:
            file.truncate(2**40)
    with pytest.raises(UserError, match=r"a\.json: cannot be read"):
        read_json(path)
    with pytest.raises(OSError, match=r"a\.json"):
        read_text(path)
    if kind != "huge":
        with pytest.raises(OSError, match=r"a\.json"):
            sha256(path)


@pytest.mark.parametrize("package", ["lada_tf", "benchmarks", "experiments", "scripts"])
def test_text_files_have_an_explicit_encoding(package):
    """The default is the locale's. Ruff's rule does not see `self.path.read_text()`."""
    calls = [
        (path, node)
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and _opens_text(node)
    ]
    wrong = [f"{path.relative_to(ROOT)}:{node.lineno}" for path, node in calls]
    assert not wrong


def _opens_text(call: ast.Call) -> bool:
    """Return True for `open`, `.open`, `.read_text`, `.write_text` without encoding."""
    if any(keyword.arg == "encoding" for keyword in call.keywords):
        return False
    if isinstance(call.func, ast.Name):
        return call.func.id == "open" and not _is_binary(call, 1)
    name = getattr(call.func, "attr", "")
    owner = getattr(call.func, "value", None)
    owner = getattr(owner, "id", getattr(owner, "attr", ""))
    binary = ("os", "lmdb", "gzip", "Image", "tarfile", "archive", "_zip")
    if name == "open" and owner not in binary:
        return not _is_binary(call, 0)
    positions = {"read_text": 0, "write_text": 1}
    return name in positions and len(call.args) <= positions[name]


def _is_binary(call: ast.Call, position: int) -> bool:
    arguments = call.args[position : position + 1]
    arguments += [k.value for k in call.keywords if k.arg == "mode"]
    modes = [a.value for a in arguments if isinstance(a, ast.Constant)]
    return any("b" in str(mode) for mode in modes)
