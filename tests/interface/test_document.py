"""Documents: valid, self-contained, escaped HTML, and the same text in Markdown."""

import base64
import re
import struct
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest

from flowjax_ood.interface.document import CSS, Document

VOID = {"meta", "img", "br", "link"}
EVIL = "<script>alert('x')</script> & \"quotes\""


def png(width=300, height=150) -> bytes:
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width + 1) * height))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


class Page(HTMLParser):
    """Collects elements and fails on tags that do not nest."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.elements, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


def full_document() -> Document:
    return (
        Document(EVIL, EVIL)
        .facts({EVIL: EVIL, "images": 10000})
        .section(EVIL)
        .text(f"{EVIL}\n\nsecond {{paragraph}}")
        .table(["flow", EVIL], [[EVIL, 0.5], ["b", None]], EVIL, highlight={(0, 1)})
        .section("Pictures")
        .figure(png(), EVIL, EVIL)
    )


def test_page_is_balanced_accessible_and_in_order():
    text = full_document().html()
    assert text.startswith("<!DOCTYPE html>")
    page = Page(text)
    assert page.all("html") == [{"lang": "en"}]
    headings = [tag for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert headings == ["h1", "h2", "h2"]
    assert len(page.all("caption")) == len(page.all("table")) == 1
    assert len(page.all("p")) == 3
    assert {a["scope"] for a in page.all("th")} == {"col", "row"}
    assert [a["alt"] for a in page.all("img")] == [EVIL]


def test_all_text_is_escaped_and_arrives_as_it_was():
    page = Page(full_document().html())
    assert page.all("script") == []
    # Title twice, subtitle, fact name and value, heading, text, header, cell,
    # caption of the table and of the figure.
    assert sum(EVIL in words for words in page.words) == 11
    assert any("second {paragraph}" in words for words in page.words)


def test_page_loads_nothing():
    page = Page(full_document().html())
    for _, attrs in page.elements:
        assert "href" not in attrs
        assert not any(name.startswith("on") for name in attrs)
        assert attrs.get("src", "data:").startswith("data:")
    assert page.all("link") == []
    assert "url(" not in CSS
    assert "@import" not in CSS
    (policy,) = [a for a in page.all("meta") if "http-equiv" in a]
    assert "default-src 'none'" in policy["content"]


def test_style_serves_dark_mode_and_print():
    assert "prefers-color-scheme: dark" in CSS
    assert "@media print" in CSS
    assert CSS.count("{") == CSS.count("}")


def test_figures_are_embedded_from_bytes_and_files(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png())
    by_path = Document("t").figure(path, "c", "alt").html()
    assert by_path == Document("t").figure(png(), "c", "alt").html()
    (image,) = Page(by_path).all("img")
    assert base64.b64decode(image["src"].split(",")[1]) == png()
    # 150 pixels to the inch, 96 CSS pixels to the inch.
    assert (image["width"], image["height"]) == ("192", "96")


def test_figures_that_are_no_png_or_have_no_alt_are_refused(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"GIF89a")
    with pytest.raises(ValueError, match=r"a\.png is not a PNG"):
        Document("t").figure(path, "c", "alt")
    with pytest.raises(ValueError, match="alternative text"):
        Document("t").figure(png(), "c", " ")
    with pytest.raises(FileNotFoundError):
        Document("t").figure(tmp_path / "missing.png", "c", "alt")


def test_table_aligns_highlights_and_formats():
    rows = [["a", np.float32(0.123456), 14707336], ["b", None, True]]
    report = Document("t").table(["x", "y", "z"], rows, "c", "lcr", highlight=[(0, 1)])
    text = report.html()
    assert '<td class="c"><strong>0.1235</strong></td>' in text
    assert '<td class="r">14,707,336</td>' in text
    assert '<td class="c">–</td><td class="r">True</td>' in text
    assert text.count("<strong>") == 1


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"rows": [["a"]]}, "row 0 has 1 cells, the table 2 columns"),
        ({"headers": [], "rows": []}, "at least one column"),
        ({"align": "lx"}, "'lx'"),
        ({"align": "l"}, "2 letters"),
        ({"highlight": [(1, 0)]}, r"highlight \(1, 0\)"),
    ],
)
def test_bad_tables_are_named(kwargs, message):
    table = {"headers": ["a", "b"], "rows": [["x", 1]], "caption": "c"} | kwargs
    with pytest.raises(ValueError, match=message):
        Document("t").table(**table)


def test_write_replaces_in_one_step_and_is_reproducible(tmp_path):
    path = tmp_path / "deep" / "report.html"
    assert full_document().write(path) == path
    first = path.read_bytes()
    full_document().write(path)
    assert path.read_bytes() == first
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    assert first.decode("utf-8") == full_document().html()


def test_markdown_has_the_text_and_the_tables():
    document = (
        Document("All <b>", "of it")
        .text("first\n\nsecond\nline & more")
        .facts({"images": 10000, "rate": None})
        .section("Only a picture")
        .figure(png(), "caption", "alt")
        .section("Numbers")
        .figure(png(), "caption", "alt")
        .table(["flow", "AUROC"], [["a|b", 0.04212], ["<i>\nx", None]], "Each row.")
    )
    assert document.markdown().split("\n") == [
        "# All &lt;b&gt;",
        "",
        "of it",
        "",
        "first",
        "",
        "second line &amp; more",
        "",
        "* images: 10,000",
        "* rate: –",
        "",
        "## Numbers",
        "",
        "Each row.",
        "",
        "| flow | AUROC |",
        "| --- | ---: |",
        "| a\\|b | 0.04212 |",
        "| &lt;i&gt; x | – |",
        "",
    ]


def test_the_suffix_says_which_form_is_written(tmp_path):
    document = full_document()
    path = document.write(tmp_path / "report.md")
    assert path.read_text() == document.markdown()
    assert "<script>" not in path.read_text()
