"""Links and images between the pages have targets."""

import re

import pytest

from lada_tf import data, evaluation, layers, models, serving, training
from tests.docs.pages import PAGES, ROOT, prose

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def slugs(page):
    """Return the anchors of a page's headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    kept = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings]
    names = re.findall(r"^::: (\S+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"\s", "-", heading) for heading in kept} | set(names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links(page):
    text = prose(page)
    broken = []
    for target in LINK.findall(text):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in slugs(file)):
            broken.append(target)
        if page.is_relative_to(ROOT / "docs") and not file.is_relative_to(
            ROOT / "docs"
        ):
            broken.append(f"{target} (not on the site)")
    assert not broken


def test_the_navigation_of_the_site_has_every_page():
    """`zensical build --strict` does not check this."""
    navigation = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M)
    docs = ROOT / "docs"
    pages = [page.relative_to(docs).as_posix() for page in docs.rglob("*.md")]
    assert sorted(navigation) == sorted(pages)


@pytest.mark.parametrize(
    "package", [data, evaluation, layers, models, serving, training]
)
def test_the_reference_has_every_public_class_and_function(package):
    listed = "\n".join(page.read_text() for page in (ROOT / "docs/api").glob("*.md"))
    names = {name for name in package.__all__ if callable(getattr(package, name))}
    assert not {name for name in names if f".{name}\n" not in f"{listed}\n"}
