"""The manual: its two commands, the files and links it names, its pages in the menu."""

import re
from urllib.parse import unquote

import pytest

from flowjax_ood import __version__
from tests.docs.manual import DOCS, NAMES, README, ROOT, anchors, read, without_blocks

DEMO = (
    "python3 -m venv .venv && .venv/bin/pip install -e . && "
    ".venv/bin/python -m experiments demo"
)
TEST = re.compile(
    r"python3 -m venv \.venv && \.venv/bin/pip install -e '\.\[test\]' && "
    r"\.venv/bin/(python -m )?pytest\b"
)


def test_the_two_commands_are_in_the_readme():
    lines = README.read_text().splitlines()
    assert DEMO in lines
    commands = [line for line in lines if TEST.match(line)]
    assert len(commands) == 1, "one command that installs .[test] and runs pytest"


def test_the_readme_is_short():
    assert len(README.read_text().splitlines()) <= 200


@pytest.mark.parametrize("name", NAMES)
def test_every_file_named_exists(name):
    text = read(name)
    named = set(re.findall(r"\bresults/[\w./-]+\.(?:json|png|html|csv|md)", text))
    named |= set(re.findall(r"\bexperiments/configs/\w+\.py", text))
    named |= set(re.findall(r"\b(?:flowjax_ood|tests)/[\w/]+\.py", text))
    named |= {f"experiments/configs/{n}" for n in re.findall(r"`(\w+_\w+\.py)", text)}
    assert sorted(n for n in named if not (ROOT / n).is_file()) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_relative_link_resolves(name):
    here, broken = ROOT / name, []
    for link in re.findall(r"\]\(([^)\s]+)[^)]*\)", without_blocks(read(name))):
        if "://" in link:
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (here.parent / path).resolve() if path else here
        if not target.is_file() or (
            anchor and anchor not in anchors(target.read_text())
        ):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("name", NAMES)
def test_no_placeholder_is_left(name):
    assert re.findall(r"@@\w*|TODO|FIXME|XXX", read(name)) == []


def test_every_page_is_in_the_menu():
    menu = (ROOT / "mkdocs.yml").read_text()
    pages = [page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")]
    missing = [p for p in pages if not re.search(rf"[ :]{re.escape(p)}$", menu, re.M)]
    assert missing == []


def test_the_api_pages_name_modules_that_exist():
    named = re.findall(
        r"^::: ([\w.]+)$",
        "\n".join(page.read_text() for page in (DOCS / "api").glob("*.md")),
        re.M,
    )
    assert named
    for module in named:
        path = ROOT.joinpath(*module.split("."))
        # a module, a package, or a name in a module
        files = (path.with_suffix(".py"), path / "__init__.py")
        files += (path.parent.with_suffix(".py"),)
        assert any(file.is_file() for file in files), module


@pytest.mark.parametrize(
    "path", sorted((ROOT / "results").glob("*.json")), ids=lambda p: p.name
)
def test_results_name_no_folder_of_one_machine(path):
    """Data lie in DIR: where they lay says nothing to anyone else."""
    text = path.read_text()
    found = re.findall(r'"(?:[^"]* )?(/(?:home|tmp|work|root|mnt|Users)/[^"]*)"', text)
    assert found == []


def test_the_version_is_the_same_everywhere():
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
