"""What commands leave that compare scores: results, a table, a page, a picture."""

from collections.abc import Callable
from pathlib import Path

from experiments.core import drawing
from experiments.core.results import write_json
from flowjax_ood.interface.document import Document


def leave(
    out: Path,
    results: dict,
    name: str,
    picture: str,
    figure: Callable,
    document: Callable[[dict, bytes | None], Document],
    tell: Callable[[dict], None],
) -> None:
    """Write results.json, table.md, NAME.html and the picture; `tell` what is in them.

    `figure()` draws; `document(results, png)` has both, or None where drawing failed.
    """
    write_json(out / "results.json", results)
    drawn = drawing.draw(out / picture, figure)
    page = document(results, (out / picture).read_bytes() if drawn else None)
    page.write(out / "table.md")
    page.write(out / f"{name}.html")
    tell(results)
    print(f"results.json, table.md, {name}.html and {picture} are in {out}")
