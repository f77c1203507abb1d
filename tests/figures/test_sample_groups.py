"""A table of groups of samples: every image in its place, every label in the figure."""

import numpy as np
import pytest

from flowjax_ood import figures
from flowjax_ood.figures.samples import mosaic

RNG = np.random.default_rng(0)


def images(count, channels=1, side=5):
    return RNG.integers(0, 256, (count, side, side, channels), dtype=np.uint8)


ROWS = {
    "one\n3.1 bits/dim": {"T = 0.5": images(5), "T = 1": images(5)},
    "two\n4.2 bits/dim\nAUROC digits 0.62": {"T = 0.5": images(2), "T = 1": images(5)},
}
NOTES = {label: {"T = 1": "d 1.50   r 0.78   s 0.47"} for label in ROWS}
REAL = ("held-out", images(20))


def draw(rows=ROWS, **changed):
    arguments = {"reference": REAL, "notes": NOTES, "columns": 3} | changed
    return figures.sample_groups(rows, **arguments)


def pictures(figure):
    return [a.images[0].get_array() for a in figure.axes if a.images]


def test_every_image_is_in_its_place():
    top, *groups = pictures(draw())
    # as many real images as fit across both columns
    np.testing.assert_allclose(top, mosaic(rgb(REAL[1][:6]), 6))
    expected = [group for row in ROWS.values() for group in row.values()]
    assert len(groups) == len(expected)
    for found, group in zip(groups, expected):
        np.testing.assert_allclose(found, mosaic(rgb(group), 3))


def rgb(images):
    return np.repeat(images / 255, 3, -1)


def test_labels_titles_and_notes_are_written_once():
    figure = draw(title="A title", caption="Small print")
    texts = [t.get_text() for a in figure.axes for t in a.texts if t.get_text()]
    assert texts[0] == "held-out"
    assert texts[1:] == [
        "one",
        "3.1 bits/dim",
        "two",
        "4.2 bits/dim",
        "AUROC digits 0.62",
    ]
    titles = [a.get_title() for a in figure.axes if a.get_title()]
    assert titles == ["T = 0.5", "T = 1"]
    assert [a.get_xlabel() for a in figure.axes if a.images][1:] == [
        "",
        "d 1.50   r 0.78   s 0.47",
    ] * 2
    assert {t.get_text() for t in figure.texts} == {"A title", "Small print"}


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_nothing_is_cut_off_and_groups_do_not_overlap(columns):
    figure = draw(title="A title", caption="Small print", columns=columns)
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    width, height = figure.get_size_inches() * figure.dpi
    shown = [a for a in figure.axes if a.images]
    boxes = [a.get_tightbbox(renderer) for a in shown]
    words = [t for a in figure.axes for t in a.texts if t.get_text()]
    for box in boxes + [t.get_window_extent(renderer) for t in words]:
        assert 0 <= box.x0 <= box.x1 <= width
        assert 0 <= box.y0 <= box.y1 <= height
    for k, box in enumerate(boxes):
        for other in boxes[:k]:
            apart = box.x0 >= other.x1 - 1 or other.x0 >= box.x1 - 1
            assert apart or box.y0 >= other.y1 - 1 or other.y0 >= box.y1 - 1


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"rows": {}}, "no rows"),
        ({"rows": {"a": {}}}, "without columns"),
        (
            {"rows": {"a": {"x": images(1)}, "b": {"y": images(1)}}},
            r"row 'b' has the columns \['y'\], the first row \['x'\]",
        ),
        ({"rows": {"a": {"x": images(1, side=4)}}}, "several sizes"),
        ({"rows": {"a": {"x": images(1)[0]}}}, r"'x' of 'a' must have the shape"),
        ({"reference": ("real", images(1, side=4))}, "several sizes"),
        ({"columns": 0}, "columns must be at least 1, not 0"),
    ],
)
def test_tables_that_cannot_be_drawn_are_refused(changed, said):
    with pytest.raises(ValueError, match=said):
        draw(**changed)
