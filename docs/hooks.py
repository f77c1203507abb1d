"""Let pages link to files outside of docs/, as GitHub needs it: `../results/demo.json`.

MkDocs serves docs/ alone. So each file of the repository that a page links to is added
to the site under `repository/`, and the link is turned to it. A link to a file that
does not exist stays as it is, and `mkdocs build --strict` fails.
"""

import re
from pathlib import Path

from mkdocs.structure.files import File, InclusionLevel

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\]\((?P<path>(?:\.\./)+[^)#\s]+)")


def linked(page: str, path: str) -> str | None:
    """Where the site has a file that `page` links to; None if it lies in docs/."""
    target = (ROOT / "docs" / page).parent.joinpath(path).resolve()
    if target.is_relative_to(ROOT / "docs") or not target.is_file():
        return None
    return f"repository/{target.relative_to(ROOT).as_posix()}"


def on_files(files, config):
    for page in list(files.documentation_pages()):
        for link in LINK.finditer(page.content_string):
            uri = linked(page.src_uri, link["path"])
            if uri and files.get_file_from_path(uri) is None:
                source = ROOT / uri.removeprefix("repository/")
                level = InclusionLevel.NOT_IN_NAV
                files.append(
                    File.generated(
                        config, uri, abs_src_path=str(source), inclusion=level
                    )
                )
    return files


def on_page_markdown(markdown, page, config, files):
    here = page.file.src_uri

    def turned(link: re.Match) -> str:
        uri = linked(here, link["path"])
        return f"]({'../' * here.count('/')}{uri}" if uri else link[0]

    return LINK.sub(turned, markdown)
