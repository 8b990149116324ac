"""The project's own files agree with each other."""

import configparser
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_requirements_are_those_of_setup_cfg():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    needed = config["options"]["install_requires"].split()
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == needed
