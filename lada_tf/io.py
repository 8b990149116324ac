"""Files: paths, atomic writes, locks, checksums, the cache directory, full disks."""

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import shutil
import stat
import time
import uuid
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from absl import logging

from lada_tf.errors import LadaError, UserError, describe_os_error

# Names that ext4, macOS, Synology, and Windows create.
_SYSTEM_NAMES = ("lost+found", "__MACOSX", "@eaDir", "$RECYCLE.BIN")
# A small file from a stranger must not need much memory or time.
_MAX_JSON_BYTES = 2**25
_MAX_TEXT_BYTES = 2**26
# A file may always decompress to the first, and else to this multiple of its size.
_FREE_BYTES, _MAX_EXPANSION = 2**28, 100
# FAT has the coarsest time stamps of the common file systems: two seconds.
_CLOCK_RESOLUTION_NS = 2 * 10**9
DISK_FULL_ERRORS = tuple(
    os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
)


def user_path(path: str | os.PathLike) -> str:
    """Return a path from the user, with a leading `~` replaced by the home directory.

    Raises:
        UserError: if the home directory is unknown.
    """
    expanded = os.path.expanduser(os.fspath(path))
    is_unknown = expanded.split(os.sep)[0] == "~" or os.environ.get("HOME") == ""
    if os.fspath(path).startswith("~") and is_unknown:
        raise UserError(f"{path}: the home directory is unknown. Write the whole path")
    return expanded


def is_hidden(name: str) -> bool:
    """Return True for a hidden file, or one that the operating system created."""
    return name.startswith(".") or name in _SYSTEM_NAMES


def user_files(directory: str | os.PathLike) -> list[str]:
    """Return the sorted names in a directory, without those that `is_hidden`."""
    return sorted(name for name in os.listdir(directory) if not is_hidden(name))


def utf8_path(name: str, path: str | os.PathLike) -> Path:
    """Return a path, after checking that TensorFlow can open it: it must be UTF-8.

    Raises:
        UserError: if it is not, with `name=path`.
    """
    path = user_path(path)
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{name}={path!a}: is not UTF-8, so TensorFlow cannot open it. Choose "
            "another name"
        ) from error
    return Path(path)


def check_output(
    name: str,
    path: str | os.PathLike,
    endings: Sequence[str],
    overwrite: bool = False,
) -> str:
    """Check the path of an output, before the work that computes the output.

    A path with an ending is a file, unless it is an existing directory or ends with a
    slash. An ending starts with a letter: `models/c10-v1.2` has none.

    Args:
        name: name of the argument, for messages.
        path: path of the output. Its parents need not exist.
        endings: endings of possible files, in lower case; "" allows a directory.
        overwrite: whether the output may exist.

    Returns:
        One of `endings`.

    Raises:
        UserError: if the ending is not one of `endings`, or the output exists or cannot
            be written.
    """
    where, path = f"{name}={os.fspath(path)}", os.fspath(path)
    if not path:
        raise UserError(f"{where}: the path is empty. Set a file or directory")
    suffix = os.path.splitext(path)[1].lower()
    is_directory = os.path.isdir(path) or path.endswith(("/", os.sep))
    is_file = not is_directory and re.fullmatch(r"\.[a-z]\w*", suffix)
    ending = suffix if is_file else ""
    if ending not in endings:
        *kinds, last = [e or "a directory (end it with /)" for e in endings]
        expected = f"{', '.join(kinds)} or {last}" if kinds else last
        raise UserError(f"{where}: expected {expected}")
    exists = user_files(path) if os.path.isdir(path) else os.path.lexists(path)
    if exists and not overwrite:
        raise UserError(
            f"{where}: already exists. Choose another path, or set overwrite=True"
        )
    if exists and not is_directory and not ending:
        raise UserError(f"{where}: is a file, not a directory. Choose another path")
    parent = os.path.abspath(path) if is_directory else os.path.abspath(path + "/..")
    while not os.path.lexists(parent):
        parent = os.path.dirname(parent)
    if not os.path.isdir(parent) or not os.access(parent, os.W_OK | os.X_OK):
        raise UserError(
            f"{where}: cannot write to the directory {parent}. Choose another path"
        )
    return ending


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[str]:
    """Yield a temporary path in the same directory; rename it to `path` at the end.

    If the body raises, the temporary file is removed and `path` stays as it was.
    """
    directory = os.path.dirname(path)
    temporary = _temporary_path(directory, os.path.basename(path))
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)
        raise
    sync_directory(directory)


@contextlib.contextmanager
def replacing_directory(
    path: str | os.PathLike, overwrite: bool = False, sync: bool = True
) -> Iterator[str]:
    """Yield a new temporary directory; rename it to `path` at the end.

    If the body raises, the temporary directory is removed and `path` stays as it was.

    Args:
        path: the directory to write. Missing parents are created.
        overwrite: whether to delete an existing directory first. If False, the new
            files and subdirectories are moved into it one by one, and replace those of
            the same names. So it may be a mount point.
        sync: whether to flush the files to the disk before the rename, in case of a
            power cut. That takes milliseconds per file.
    """
    path = os.path.abspath(path)
    parent, name = os.path.split(path)
    keep = os.path.isdir(path) and not overwrite
    temporary = _temporary_path(path if keep else parent, name)
    os.makedirs(temporary)
    try:
        yield temporary
        for directory, _, files in os.walk(temporary) if sync else ():
            for file in files:
                with open(os.path.join(directory, file), "rb+") as stream:
                    os.fsync(stream.fileno())
            sync_directory(directory)
        moves = [(temporary, path)]
        if keep:
            names = os.listdir(temporary)
            moves = [(os.path.join(temporary, n), os.path.join(path, n)) for n in names]
        for source, target in moves:
            _move(source, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    if keep:
        os.rmdir(temporary)
    sync_directory(path if keep else parent)


def write_atomically(
    path: str | os.PathLike, content: str | bytes | memoryview
) -> None:
    """Write a whole file, or leave `path` as it was if the process dies."""
    if isinstance(content, str):
        content = content.encode("utf-8", "surrogateescape")  # Latin-1 file names
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(content)


def open_file(path: str | os.PathLike) -> io.BufferedReader:
    """Open a regular file. Raise OSError at once for a FIFO or device: it may block."""

    def opener(path: str, flags: int) -> int:
        descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):  # `open` refuses a directory
            return descriptor
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is not a regular file", os.fspath(path))

    return open(path, "rb", opener=opener)


def read_at_most(stream: IO[bytes] | io.BufferedIOBase, size: int) -> bytes:
    """Return the next `size` bytes, or fewer at the end.

    Memory grows with the bytes that exist. `stream.read(size)` can allocate `size`.
    """
    content = io.BytesIO()
    while piece := stream.read(min(2**20, size - content.tell())):
        content.write(piece)
    return content.getvalue()


def read_bytes(path: str | os.PathLike, limit: int) -> bytes:
    """Return the content of a file. Raise OSError if it has more than `limit` bytes."""
    with open_file(path) as file:
        is_small = os.fstat(file.fileno()).st_size <= limit
        content = read_at_most(file, limit + 1) if is_small else b""
    if not is_small or len(content) > limit:  # files in /proc have no size
        raise OSError(errno.EINVAL, f"has more than {limit} bytes", os.fspath(path))
    return content


def open_zip(path: str | os.PathLike) -> zipfile.ZipFile:
    """Open a zip or `.npz` file. Raise ValueError for a decompression bomb.

    Compression methods other than deflate are refused, because Python decompresses them
    without a limit. Damaged files raise almost any exception.
    """
    open_file(path).close()
    archive = zipfile.ZipFile(path)
    members = archive.infolist()
    if {m.compress_type for m in members} - {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise ValueError("a member is neither stored nor deflated")
    check_expansion(sum(m.file_size for m in members), os.path.getsize(path))
    return archive


def check_expansion(size: int, compressed_size: int) -> None:
    """Raise ValueError if a file decompresses to far more than images do."""
    if size > max(_FREE_BYTES, _MAX_EXPANSION * compressed_size):
        raise ValueError(
            f"a decompression bomb: {compressed_size} bytes become {size} bytes"
        )


def read_text(path: str | os.PathLike, limit: int = _MAX_TEXT_BYTES) -> str:
    """Return the text of a file in UTF-8, UTF-16, or UTF-32.

    Invalid bytes, such as in old file names, become surrogates. Raise OSError for files
    that are not regular or have more than `limit` bytes.
    """
    content = read_bytes(path, limit)
    text = content.decode(json.detect_encoding(content), "surrogateescape")
    return text.replace("\r\n", "\n")


def write_json(path: str | os.PathLike, content: dict) -> None:
    """Write a JSON file atomically."""
    write_atomically(path, json.dumps(content, indent=1) + "\n")


def read_json(
    path: str | os.PathLike, fields: Mapping[str, type] | None = None
) -> dict:
    """Read a JSON file that contains an object with these fields, see `has_fields`.

    Raises:
        UserError: if the file is missing or contains something else.
    """
    try:
        text = read_text(path, _MAX_JSON_BYTES)
        content = json.loads(text, parse_constant=int)  # NaN is a ValueError
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{path}: cannot be read: {reason or error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: cannot be read: it is not a JSON object")
    if not has_fields(content, fields or {}):
        raise UserError(
            f"{path}: is damaged, or another program wrote it. Expected the fields "
            f"{', '.join(fields or {})}"
        )
    return content


def has_fields(entry: object, fields: Mapping[str, type]) -> bool:
    """Return True for a dict with fields of these types, and integers in [0, 2**53]."""
    return isinstance(entry, dict) and all(
        type(entry.get(name)) is kind and (kind is not int or 0 <= entry[name] <= 2**53)
        for name, kind in fields.items()
    )


def sha256(path: str | os.PathLike) -> str:
    """Return the SHA-256 checksum of a file in hexadecimal."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_state(paths: Iterable[str]) -> str | None:
    """Return a digest of sizes, times, and inodes, to detect changes of files.

    Return None if there are no files, or if one changed in the last two seconds: the
    next write could get the same time.
    """
    sha, newest = hashlib.sha256(), 0
    for path in paths:
        try:
            stat = os.stat(path)
        except OSError:  # a dead link
            sha.update(f"{os.path.abspath(path)!r} missing\n".encode())
            continue
        times = stat.st_mtime_ns, stat.st_ctime_ns
        newest = max(newest, *times)
        state = os.path.abspath(path), stat.st_size, stat.st_ino, *times
        sha.update(f"{state!r}\n".encode())
    settled = 0 < newest < time.time_ns() - _CLOCK_RESOLUTION_NS
    return sha.hexdigest() if settled else None


def read_cached(key: str, cache_dir: str | None = None) -> str | None:
    """Return the text that `write_cached` stored, or None if there is none."""
    try:
        with open(_cache_path(key, cache_dir), encoding="ascii") as file:
            return file.read()
    except (OSError, ValueError):  # or damaged
        return None


def write_cached(key: str, text: str, cache_dir: str | None = None) -> None:
    """Store a short text in the cache directory, if that can be written."""
    with contextlib.suppress(OSError, UserError):
        path = _cache_path(key, cache_dir)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_atomically(path, text)


def try_lock(file: IO, unsupported: bool | None = True) -> bool | None:
    """Lock an open file for this process. Return False if another process has the lock.

    The operating system releases the lock when the file is closed or the process ends.
    If the system or a network file system has no locks, log a warning and return
    `unsupported`.
    """
    try:
        import portalocker  # which imports fcntl or msvcrt

        portalocker.lock(file, portalocker.LOCK_EX | portalocker.LOCK_NB)
    except ImportError as error:
        reason: object = error
    except portalocker.AlreadyLocked:
        return False
    except portalocker.LockException as error:
        reason = getattr(error.__cause__, "strerror", None) or error
    else:
        return True
    logging.warning(
        "%s: cannot be locked (%s). Do not start two processes that write to this "
        "directory",
        file.name,
        reason,
    )
    return unsupported


def default_cache_dir() -> str:
    """Return the directory `lada_tf` in $XDG_CACHE_HOME or ~/.cache."""
    try:
        parent = user_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    except UserError as error:
        raise UserError(
            "no cache directory, because the home directory is unknown. Set the "
            "environment variable XDG_CACHE_HOME"
        ) from error
    return os.path.join(parent, "lada_tf")


def failure_reason(error: BaseException) -> str:
    """Return why a write failed: "disk full" without details, or the whole message."""
    text = describe_os_error(error) if isinstance(error, OSError) else str(error)
    return next((reason for reason in DISK_FULL_ERRORS if reason in text), text)


@contextlib.contextmanager
def reporting_full_disk(argument: str) -> Iterator[None]:
    """Raise a UserError if a write in the body fails because the disk is full.

    The text of the exception decides, because TensorFlow has its own types.

    Args:
        argument: `name=value` of the argument that names the directory.
    """
    try:
        yield
    except Exception as error:
        reason = failure_reason(error)
        if isinstance(error, LadaError) or reason not in DISK_FULL_ERRORS:
            raise
        raise UserError(
            f"{argument}: {reason}. Free some space and run the same command again; "
            "it resumes where it stopped"
        ) from error


def _cache_path(key: str, cache_dir: str | None) -> str:
    return os.path.join(cache_dir or default_cache_dir(), "digests", key[:32])


def _temporary_path(directory: str, name: str) -> str:
    """Return a hidden path that no other process uses, on any machine."""
    return os.path.join(directory, f".{name[:50]}.{uuid.uuid4().hex[:12]}.partial")


def _move(source: str, target: str) -> None:
    """Rename a file or directory to `target`, which can exist.

    An existing directory is renamed first and deleted last. If the process dies in
    between, both directories still exist.
    """
    if not os.path.isdir(target):
        os.replace(source, target)
        return
    old = _temporary_path(*os.path.split(target))
    os.replace(target, old)
    try:
        os.replace(source, target)
    except BaseException:
        os.replace(old, target)
        raise
    sync_directory(os.path.dirname(target))
    shutil.rmtree(old, ignore_errors=True)


def sync_directory(path: str) -> None:
    """Flush a directory's entries to the disk, where the file system supports it."""
    try:
        descriptor = os.open(path or ".", os.O_RDONLY)
    except OSError:  # Windows, or a directory that can be written but not read
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
