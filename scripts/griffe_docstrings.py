"""A griffe extension that reads our docstrings for the documentation site.

Our docstrings differ from Google's style in two ways: layers have "Call arguments:",
and examples are not indented.
"""

import re

import griffe

# An "Example:" and the prompts and output under it, up to the next blank line.
EXAMPLE = re.compile(r"^Examples?:\n\n(>>> (?:.+\n?)+)", re.MULTILINE)


class KerasDocstrings(griffe.Extension):
    """Rewrite docstrings before griffe parses them."""

    def on_object(self, *, obj: griffe.Object, **kwargs) -> None:
        if obj.docstring:
            obj.docstring.value = rewrite(obj.docstring.value)


def rewrite(docstring: str) -> str:
    """Return a docstring in the style that griffe parses."""
    docstring = re.sub(
        r"^Call arguments:$",
        "Other Parameters: Call arguments",
        docstring,
        flags=re.MULTILINE,
    )
    return EXAMPLE.sub(lambda m: f"Example:\n\n```pycon\n{m[1]}\n```\n", docstring)
