"""The messages that docs/troubleshooting.md explains are those of the code."""

import ast
import re

from tests.docs.pages import ROOT
from tests.imports import MODULES

PAGE = ROOT / "docs/troubleshooting.md"
NOT_OURS = (
    "ResourceExhaustedError",
    "OOM when allocating tensor",
    "Killed",
    "nonfinite-….json",  # a file
)


def messages():
    """Yield the text of each error that the code raises, with … for its values."""
    for path in MODULES.values():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                for value in node.exc.args:
                    yield text_of(value)


def text_of(node):
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(text_of, node.values))
    if isinstance(node, ast.BinOp):
        return text_of(node.left) + text_of(node.right)
    return "…"


def test_every_message_is_one_of_the_code():
    known = list(messages())
    quoted = re.findall(r"^### (.*`.+`.*)$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert len(quoted) > 25
    unknown = []
    for message in re.findall("`(.+?)`", "".join(quoted)):
        parts = message.replace("--", "").split("…")
        pattern = re.compile(".*".join(map(re.escape, parts)), re.DOTALL)
        if message not in NOT_OURS and not any(map(pattern.search, known)):
            unknown.append(message)
    assert not unknown
