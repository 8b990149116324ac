"""The built package has all files of lada_tf, and runs outside the checkout."""

import configparser
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.parser import BytesParser
from pathlib import Path

import pytest

from tests.small import SMALL_FLAGS

ROOT = Path(__file__).parents[1]
NEEDED = ("lada_tf", "pyproject.toml", "setup.cfg", "README.md", "LICENSE")
IGNORED = shutil.ignore_patterns("__pycache__", "*.egg-info")
MAX_WHEEL_BYTES = 5_000_000


def run(*command, cwd, **environment):
    result = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    return result.returncode, result.stdout, result.stderr


def git(*arguments, cwd):
    identity = ("-c", "user.name=T", "-c", "user.email=t@example.org")
    subprocess.run(
        ["git", *identity, *arguments], cwd=cwd, check=True, capture_output=True
    )


def commit(sources, *names):
    """Make a git repository of some of the files, with a tag."""
    git("init", "--quiet", cwd=sources)
    git("add", *names, cwd=sources)
    git("commit", "--quiet", "--message=one", cwd=sources)
    git("tag", "v1.2.3", cwd=sources)


def copy_sources(folder):
    """Copy the files that a build needs, without git."""
    folder.mkdir()
    for name in NEEDED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=IGNORED)
        else:
            shutil.copy(ROOT / name, folder)
    return folder


def build(kind, sources):
    """Call the build backend as `python -m build` does. Return the built file."""
    code = f"from setuptools import build_meta; build_meta.build_{kind}('dist')"
    status, _, errors = run("-c", code, cwd=sources)
    assert status == 0, errors
    (file,) = (sources / "dist").iterdir()
    return file


def read_metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("/METADATA"))
        return BytesParser().parsebytes(archive.read(name))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build a wheel without git, which would determine the version and files."""
    return build("wheel", copy_sources(tmp_path_factory.mktemp("wheel") / "sources"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Install the wheel into a directory. This Python has its requirements."""
    target = tmp_path_factory.mktemp("installed")
    options = ("--quiet", "--no-deps", "--no-index", "--target")
    status, _, errors = run("-m", "pip", "install", *options, target, wheel, cwd="/")
    assert status == 0, errors
    return target


def test_requirements_are_those_of_setup_cfg():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    needed = config["options"]["install_requires"].split()
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == needed


def test_contributing_gives_a_reason_for_every_dependency():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")

    def names(requirements):
        found = re.findall(r"^([\w-]+)", requirements.strip(), re.MULTILINE)
        return ", ".join(found)

    for package in names(config["options"]["install_requires"]).split(", "):
        assert f"\n| {package} | " in text
    for extra, packages in config["options.extras_require"].items():
        if extra != "test":
            assert f"\n| `{extra}` | {names(packages)} | " in text


def test_wheel_holds_the_package_and_nothing_else(wheel):
    assert wheel.stat().st_size < MAX_WHEEL_BYTES
    with zipfile.ZipFile(wheel) as archive:
        names = {n for n in archive.namelist() if ".dist-info/" not in n}
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "lada_tf").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == expected


def test_wheel_has_its_licenses(wheel):
    metadata = read_metadata(wheel)
    assert metadata["License"] == "MIT AND Apache-2.0"
    with zipfile.ZipFile(wheel) as archive:
        licenses = {
            name.partition(".dist-info/licenses/")[2]: archive.read(name).decode()
            for name in archive.namelist()
            if ".dist-info/licenses/" in name
        }
    assert set(metadata.get_all("License-File")) == set(licenses)
    assert "Apache License" in licenses["lada_tf/data/embedded/APACHE-2.0"]
    assert "Noto Emoji" in licenses["lada_tf/data/embedded/NOTICE"]


def test_version_without_git_is_the_fallback(wheel):
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    fallback = settings["tool"]["setuptools_scm"]["fallback_version"]
    assert read_metadata(wheel)["Version"] == fallback


@pytest.mark.slow
def test_a_shallow_clone_without_tags_builds(tmp_path):
    sources = copy_sources(tmp_path / "sources")
    commit(sources, ".")
    git("commit", "--quiet", "--allow-empty", "--message=two", cwd=sources)
    shallow = tmp_path / "shallow"
    git("clone", "--depth=1", sources.as_uri(), shallow, cwd=tmp_path)
    assert build("wheel", shallow).name.startswith("lada_tf-0.1.")


def test_sdist_makes_the_same_wheel(wheel, tmp_path):
    """Built from a checkout, the sdist has all files of git, also the tests."""
    sources = copy_sources(tmp_path / "sources")
    (sources / "tests").mkdir()
    (sources / "tests" / "test_a.py").write_text("")
    (sources / "stray.txt").write_text("not git's")
    commit(sources, *NEEDED, "tests")
    shutil.unpack_archive(build("sdist", sources), tmp_path, filter="data")
    unpacked = tmp_path / "lada_tf-1.2.3"
    assert (unpacked / "tests" / "test_a.py").exists()
    assert not (unpacked / "stray.txt").exists()
    rebuilt = build("wheel", unpacked)
    assert rebuilt.name == "lada_tf-1.2.3-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(rebuilt) as other:
        first, second = (
            {n for n in a.namelist() if ".dist-info/" not in n} for a in (one, other)
        )
    assert first == second


def succeed(installed, directory, *arguments):
    """Run the installed command and return what it printed."""
    program = installed / "bin" / "lada-tf"
    path = str(installed)
    status, printed, errors = run(program, *arguments, cwd=directory, PYTHONPATH=path)
    assert status == 0, errors
    return printed


@pytest.mark.slow
def test_installed_package_trains_outside_the_checkout(installed, tmp_path):
    arguments = (*SMALL_FLAGS, "--total_images=4", "--run_dir=run")
    printed = succeed(installed, tmp_path, "train", *arguments)
    assert (tmp_path / "run" / "samples" / "grid-0000000004.png").exists()
    assert "samples: run/samples" in printed


def test_installed_package_has_a_trained_model(installed, tmp_path):
    arguments = ("--model=portraits", "--output=grid.png")
    succeed(installed, tmp_path, "sample", *arguments)
    assert (tmp_path / "grid.png").exists()


def test_help_lists_every_command_at_once(installed, tmp_path):
    """It must not import TensorFlow, which takes seconds."""
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('was imported')")
    status, printed, errors = run(
        installed / "bin" / "lada-tf",
        "--help",
        cwd=tmp_path,
        PYTHONPATH=f"{tmp_path}{os.pathsep}{installed}",
    )
    assert status == 0, errors
    apps = {
        path.stem
        for path in (ROOT / "lada_tf").glob("*.py")
        if "app.run(main" in path.read_text()
    }
    described = dict(
        line.split(maxsplit=1) for line in printed.splitlines() if line.startswith("  ")
    )
    assert set(described) == apps


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "usage: lada-tf COMMAND"),
        (("tarin",), "error: unknown command 'tarin': did you mean train?"),
        (
            ("--preset=tiny",),
            "error: unknown command '--preset=tiny': expected one of train,",
        ),
    ],
)
def test_without_a_command_it_ends_with_2(arguments, message, installed):
    status, _, errors = run("-m", "lada_tf", *arguments, cwd=installed)
    assert status == 2
    assert errors.startswith(message)


def test_version_is_that_of_the_distribution(wheel, installed):
    status, printed, _ = run("-m", "lada_tf", "--version", cwd=installed)
    assert (status, printed) == (0, f"lada_tf {read_metadata(wheel)['Version']}\n")


def test_a_checkout_that_is_not_installed_has_a_version(tmp_path):
    """Like after `pip install -r requirements.txt`. -S hides installed packages."""
    sources = copy_sources(tmp_path / "sources")
    result = run("-S", "-m", "lada_tf", "--version", cwd=sources)
    assert result == (0, "lada_tf 0+unknown\n", "")


def test_extras_in_messages_and_pages_are_quoted_and_exist():
    """Shells such as zsh expand unquoted brackets."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    known = set(config["options.extras_require"]) | {"{form.extra}", "{name}"}
    paths = [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("lada_tf/**/*.py"),
    ]
    for path in paths:
        for before, names, after in re.findall(
            r"pip install.*?(.)(?:lada_tf|\.)\[(.+?)\](.)", path.read_text("utf-8")
        ):
            assert before == after == "'", path
            assert set(names.split(",")) <= known, path
