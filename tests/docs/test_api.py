"""The reference: every public name is shown there, and every page has an example."""

import re
from functools import cache

import griffe
import pytest

from tests.docs.manual import DOCS, ROOT, blocks

API = DOCS / "api"
PAGES = sorted(page.name for page in API.glob("*.md") if page.name != "index.md")
SHOWN = re.findall(
    r"^::: ([\w.]+)$", "\n".join((API / page).read_text() for page in PAGES), re.M
)


@cache
def library() -> griffe.Object:
    """The library, read as the manual reads it: without importing it."""
    return griffe.load("flowjax_ood", search_paths=[ROOT])


def with_names() -> list[str]:
    """The packages that list their public names."""
    files = (ROOT / "flowjax_ood").rglob("__init__.py")
    folders = [f.parent for f in files if "__all__ = " in f.read_text()]
    return sorted(str(f.relative_to(ROOT)).replace("/", ".") for f in folders)


def left_out(package: str) -> list[str]:
    """The public names of a package that no page shows."""
    scope = library()[package.partition(".")[2]]
    assert package in SHOWN, package
    missing = []
    for name in map(str, scope.exports):
        member = scope[name]
        if member.is_module:
            # its file hides it, or it is a file: it is shown by its own directive
            shown = any(s.startswith(f"{package}.{name}.") for s in SHOWN)
        else:
            shown = bool(member.docstring and member.docstring.value.strip())
        missing += [] if shown else [name]
    return missing


def test_packages_are_found():
    assert {"flowjax_ood.ood", "flowjax_ood.data.corruptions"} <= set(with_names())


@pytest.mark.parametrize("package", with_names())
def test_every_public_name_is_shown_and_explained(package):
    assert left_out(package) == []


@pytest.mark.parametrize("shown", SHOWN)
def test_what_is_shown_exists_and_is_explained(shown):
    found = library()[shown.partition(".")[2]]
    assert found.docstring.value.strip()
    public = [m for m in found.members.values() if m.is_public and not m.is_alias]
    silent = [m.name for m in public if m.is_function or m.is_class]
    assert [name for name in silent if not found[name].docstring] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_page_has_an_example(page):
    assert blocks((API / page).read_text(), "python"), "tests/docs/test_snippets.py"


@pytest.mark.parametrize("page", PAGES)
def test_the_index_names_every_page(page):
    assert f"]({page})" in (API / "index.md").read_text()
