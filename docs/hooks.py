"""Let pages link to files outside of docs/, as GitHub needs it: `../results/demo.json`.

MkDocs serves docs/ alone. So each file of the repository that a page links to is added
to the site under `repository/`, and the link is turned to it. A link to a file that
does not exist stays as it is, and `mkdocs build --strict` fails.

Scripts in examples/ are pages, `examples/NAME.md`, and a link to a script is one to its
page.
"""

import re
import sys
from pathlib import Path

from mkdocs.structure.files import File, InclusionLevel

# what lies beside this file, which MkDocs loads by its path
sys.path.insert(0, str(Path(__file__).resolve().parent))

from cells import EXAMPLES, ROOT
from cells import page as page_of

LINK = re.compile(r"\]\((?P<path>(?:\.\./)+[^)#\s]+)")


def linked(page: str, path: str) -> str | None:
    """Where the site has a file that `page` links to; None if it lies in docs/."""
    target = (ROOT / "docs" / page).parent.joinpath(path).resolve()
    if target.is_relative_to(ROOT / "docs") or not target.is_file():
        return None
    if target.parent == EXAMPLES and target.suffix == ".py":
        return f"examples/{target.stem}.md"
    return f"repository/{target.relative_to(ROOT).as_posix()}"


def on_files(files, config):
    for script in sorted(EXAMPLES.glob("*.py")):
        uri, text = f"examples/{script.stem}.md", page_of(script)
        files.append(File.generated(config, uri, content=text))
        files.append(_of_repository(config, f"repository/examples/{script.name}"))
    for page in list(files.documentation_pages()):
        for link in LINK.finditer(page.content_string):
            uri = linked(page.src_uri, link["path"])
            if uri and files.get_file_from_path(uri) is None:
                files.append(_of_repository(config, uri))
    return files


def _of_repository(config, uri: str) -> File:
    source = ROOT / uri.removeprefix("repository/")
    level = InclusionLevel.NOT_IN_NAV
    return File.generated(config, uri, abs_src_path=str(source), inclusion=level)


def on_page_markdown(markdown, page, config, files):
    here = page.file.src_uri

    def turned(link: re.Match) -> str:
        uri = linked(here, link["path"])
        return f"]({'../' * here.count('/')}{uri}" if uri else link[0]

    return LINK.sub(turned, markdown)
