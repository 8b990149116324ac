"""Workflows, issue forms and the citation follow their schemas, without a network."""

import re

import check_jsonschema
import pytest

from tests.imports import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FORMS = [
    path
    for path in sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))
    if path.name != "config.yml"
]


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", WORKFLOWS),
        ("custom.github-workflows-require-timeout", WORKFLOWS),
        ("vendor.github-issue-forms", FORMS),
        (
            "vendor.github-issue-config",
            [ROOT / ".github/ISSUE_TEMPLATE/config.yml"],
        ),
        ("vendor.dependabot", [ROOT / ".github/dependabot.yml"]),
        ("vendor.citation-file-format", [ROOT / "CITATION.cff"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_files_follow_their_schemas(schema, files, capsys):
    assert files
    arguments = [f"--builtin-schema={schema}", *map(str, files)]
    status = check_jsonschema.main(arguments, standalone_mode=False)
    assert not status, capsys.readouterr().out


def test_workflows_run_targets_that_exist_and_can_only_read():
    makefile = (ROOT / "Makefile").read_text()
    for path in WORKFLOWS:
        text = path.read_text()
        targets = re.findall(r"make ((?:[\w./-]+ ?)+)$", text, re.MULTILINE)
        matrix = re.findall(r"target: \[(.+)\]", text)
        assert targets or matrix
        for target in re.findall(r"[\w./-]+", " ".join(targets + matrix)):
            rule = target.replace(".venv", "$(VENV)")
            assert f"\n{rule}:" in makefile, target
        assert re.findall(r"^ *permissions:\n((?: .+\n)+)", text, re.MULTILINE) == [
            "  contents: read\n"
        ]
        assert all(
            re.search(r"@v\d+$", use) for use in re.findall(r"uses: (\S+)", text)
        )


def test_the_readme_cites_the_paper_of_citation_cff():
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    preferred = citation.partition("preferred-citation:")[2]
    (title,) = re.findall(r"title: (.+)", preferred)
    readme = (ROOT / "README.md").read_text("utf-8")
    assert title in readme
    for name in re.findall(r"family-names: (.+)", preferred):
        assert f"{name}, " in readme
