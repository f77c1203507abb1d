"""README and the pages of the manual, and what is in them."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?")
README = ROOT / "README.md"
# what people read, and what is checked; pages of API are directives alone
PAGES = [README, ROOT / "results" / "README.md", *sorted(DOCS.rglob("*.md"))]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]


def read(name: str) -> str:
    """The text of a page, by its path in the repository."""
    return (ROOT / name).read_text()


def results(name: str) -> dict:
    """The content of `results/NAME.json`."""
    return json.loads((ROOT / "results" / f"{name}.json").read_text())


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def without_blocks(text: str) -> str:
    """The text outside of fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs name them."""
    headings = re.findall(r"^#+ (.+)$", without_blocks(text), re.M)
    kept = [re.sub(r"[^\w\s-]", "", h.replace("`", "").lower()) for h in headings]
    return {re.sub(r"\s+", "-", h.strip()) for h in kept}


def shows(text: str, value: float) -> bool:
    """Whether `text` is `value`, rounded to the digits that are shown."""
    digits = text.replace(",", "")
    if "e" in digits:
        return float(digits) == float(f"{value:.0e}")
    decimals = len(digits.partition(".")[2])
    return f"{value:.{decimals}f}" == digits


def check(text: str, values: list[float]) -> None:
    """The numbers in `text` are `values`, in this order."""
    quoted = NUMBER.findall(text)
    assert len(quoted) == len(values), f"{text}: {values}"
    wrong = [(q, v) for q, v in zip(quoted, values) if not shows(q, v)]
    assert wrong == [], text


def at(results, path: str) -> float:
    """The number at `a/b/0` of a JSON value; `@NAME/b` begins at a row of scores.

    `a/b%` is in per cent.
    """
    if path.endswith("%"):
        return 100 * at(results, path[:-1])
    if path.startswith("@"):
        name, _, path = path[1:].partition("/")
        (results,) = [row for row in results["rows"] if row["score"] == name]
    for step in path.split("/"):
        results = results[int(step) if isinstance(results, list) else step]
    return results
