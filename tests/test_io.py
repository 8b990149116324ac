import errno
import os

import pytest

from lada_tf import io
from lada_tf.errors import UserError


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

    monkeypatch.setattr("fcntl.flock", flock)
    with (tmp_path / "lock").open("a") as file:
        assert io.try_lock(file) is locked
    assert ("has no locks (reason)" in caplog.text) == locked


def test_two_writers_of_one_path_do_not_meet(tmp_path):
    path = tmp_path / "file"
    with io.replacing(path) as first, io.replacing(path) as second:
        for temporary in (first, second):
            with open(temporary, "w") as file:
                file.write(temporary)
    assert path.read_text() == first  # the last to finish
    assert os.listdir(tmp_path) == ["file"]


def test_an_empty_directory_is_filled_in_place(tmp_path):
    # A mount point can be neither removed nor renamed.
    path = tmp_path / "out"
    (path / "lost+found").mkdir(parents=True)
    before = path.stat().st_ino
    with io.replacing_directory(path) as temporary:
        os.mkdir(os.path.join(temporary, "sub"))
        for name in ("a", "sub/b"):
            with open(os.path.join(temporary, name), "w") as file:
                file.write(name)
        assert os.path.dirname(temporary) == str(path)
    assert path.stat().st_ino == before
    assert sorted(os.listdir(path)) == ["a", "lost+found", "sub"]
    assert (path / "sub" / "b").read_text() == "sub/b"


def test_a_used_directory_is_not_filled(tmp_path):
    path = tmp_path / "out"
    path.mkdir()
    (path / "thesis.doc").write_text("precious")
    with pytest.raises(OSError, match="not empty"), io.replacing_directory(path) as new:
        open(os.path.join(new, "thesis.doc"), "w").close()
    assert os.listdir(path) == ["thesis.doc"]
    assert (path / "thesis.doc").read_text() == "precious"


@pytest.mark.parametrize("content", ["[]", "3", "null", "", "{", "[" * 10**5])
def test_json_that_is_no_object(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(UserError, match=r"a\.json: cannot be read"):
        io.read_json(tmp_path / "a.json")
