"""The Dockerfile and compose.yaml pass their linters. Nothing here needs Docker."""

import re
import shutil
import subprocess
import sysconfig

import pytest

from tests.imports import ROOT
from tests.test_packaging import NEEDED

DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
COMPOSE = (ROOT / "compose.yaml").read_text("utf-8")


@pytest.mark.parametrize(
    "command",
    [
        ("hadolint", "Dockerfile"),
        (
            "check-jsonschema",
            "--builtin-schema=vendor.compose-spec",
            "compose.yaml",
        ),
    ],
    ids=lambda command: command[0],
)
def test_linters(command):
    linter = shutil.which(command[0], path=sysconfig.get_path("scripts"))
    result = subprocess.run(
        [linter, *command[1:]], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_image_gets_the_files_that_a_build_needs():
    copied = re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE)
    context = (ROOT / ".dockerignore").read_text("utf-8")
    allowed = re.findall(r"^!(.+)$", context, re.MULTILINE)
    assert set(" ".join(copied).split()) == set(allowed) == set(NEEDED)


def test_all_images_have_one_version_of_tensorflow():
    tags = re.findall(r"tensorflow/\w+:(\d+\.\d+)", DOCKERFILE + COMPOSE)
    assert len(tags) == 4
    assert len(set(tags)) == 1
