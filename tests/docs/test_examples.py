"""Pages of examples: made of the scripts, all of them, with what they say in place."""

import ast
import re

import pytest

from docs.cells import EXAMPLES, Cell, cells, moved, page
from tests.docs.manual import DOCS, ROOT, blocks, read

SCRIPTS = sorted(EXAMPLES.glob("*.py"))
BY_NAME = pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)


def test_cells_of_a_script():
    source = (
        "# ---\n# jupyter:\n# ---\n\n# %% [markdown]\n# # T\n#\n# a\n\n# %%\nx = 1\n\n"
    )
    assert cells(source) == [Cell(True, "# T\n\na"), Cell(False, "x = 1")]


def test_links_lead_to_the_manual_and_to_other_files():
    text = "[a](../docs/x.md#y) [b](../results/z.json) [c](https://d.org)"
    assert moved(text) == "[a](../x.md#y) [b](../../results/z.json) [c](https://d.org)"


def test_a_script_without_a_title_is_refused(tmp_path):
    script = tmp_path / "x.py"
    script.write_text("# %%\nx = 1\n")
    with pytest.raises(ValueError, match="title"):
        page(script)


@BY_NAME
def test_a_page_holds_all_of_its_script(script):
    source, text = script.read_text(), page(script)
    code = "\n".join(blocks(text, "python"))
    assert ast.dump(ast.parse(code)) == ast.dump(ast.parse(source))
    assert text.startswith("# ")
    # no heading is lost in a paragraph, and none but the first is a title
    assert len(re.findall(r"^# ", re.sub(r"(?s)```.*?```", "", text), re.M)) == 1


@BY_NAME
def test_the_first_cell_says_how_to_run_it_and_how_long_it_takes(script):
    first = cells(script.read_text())[0].text
    assert f"python examples/{script.name}" in first
    assert re.search(r"minute|second", first)
    assert "two\ncores" in first or "two cores" in first


@BY_NAME
def test_links_of_a_script_resolve(script):
    for path in re.findall(r"\]\((\.\./[^)#\s]+)", script.read_text()):
        assert (script.parent / path).resolve().is_file(), path


@BY_NAME
def test_every_example_is_listed_tested_and_in_the_menu(script):
    assert f"](../examples/{script.name})" in read("docs/examples.md")
    assert f" examples/{script.stem}.md\n" in (ROOT / "mkdocs.yml").read_text()
    assert (ROOT / f"tests/examples/test_{script.stem}.py").is_file()


def test_there_are_no_copies():
    assert not (DOCS / "examples").exists()
