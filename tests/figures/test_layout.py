"""Frames of figures, and the PNG they become."""

import io
import itertools
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from flowjax_ood import figures
from flowjax_ood.figures import layout
from tests.helpers.drawings import ALL, IMAGES, MAP, histograms, latents, normal, roc


@pytest.mark.parametrize("name", ALL)
def test_a_png_has_the_size_of_its_figure_and_cuts_nothing_off(name):
    figure = ALL[name]()
    data = layout.png_bytes(figure, dpi=60)
    with Image.open(io.BytesIO(data)) as picture:
        pixels = np.asarray(picture.convert("RGB"))
        assert set(picture.info) <= {"dpi"}
        assert np.abs(np.array(picture.size) - figure.get_size_inches() * 60).max() < 1
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20
    edge = [pixels[:1], pixels[-1:], pixels[:, :1], pixels[:, -1:]]
    assert all(np.all(side == 255) for side in edge)  # nothing is cut off


def test_equal_figures_give_equal_bytes_in_threads_too():
    expected = layout.png_bytes(latents(), dpi=40)
    with ThreadPoolExecutor(2) as pool:
        drawn = pool.map(lambda _: layout.png_bytes(latents(), dpi=40), range(2))
    assert all(data == expected for data in drawn)


def test_save_writes_one_file_and_returns_its_path(tmp_path):
    path = layout.save(roc(), tmp_path / "new" / "roc.png", dpi=40)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in path.parent.iterdir()] == ["roc.png"]
    with pytest.raises(ValueError, match=r"roc\.pdf should end in \.png"):
        layout.save(roc(), tmp_path / "roc.pdf")


def test_a_failed_save_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        layout.save(roc(), path, dpi=40)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_title_key_and_caption_do_not_overlap_each_other_or_the_panels():
    title = "A title so long that it needs a second line, and therefore more room " * 2
    figure = histograms(title=title)
    layout.png_bytes(figure)
    renderer = figure.canvas.get_renderer()
    top = next(t for t in figure.texts if t.get_text().startswith("A title"))
    caption = next(t for t in figure.texts if t.get_text().startswith("Outside"))
    boxes = [
        item.get_window_extent(renderer) for item in (top, figure.legends[0], caption)
    ]
    boxes.insert(2, figure.axes[0].get_tightbbox(renderer))
    assert "\n" in top.get_text()
    for upper, lower in itertools.pairwise(boxes):
        assert upper.y0 >= lower.y1 - 1
    assert min(box.x0 for box in boxes) >= 0
    assert max(box.x1 for box in boxes) <= figure.bbox.width
    assert boxes[0].y1 <= figure.bbox.height


def test_a_frame_leaves_panels_their_size():
    def panel(**frame):
        figure = layout.new_figure(4, 3)
        axes = figure.subplots()
        layout.frame(figure, **frame)
        figure.canvas.draw()
        return axes.get_position().size * figure.get_size_inches()

    key = layout.line_key({f"a long label {k}": {"color": "k"} for k in range(5)})
    framed = panel(title="A title", key=key, caption="Small print " * 20)
    np.testing.assert_allclose(framed, panel(), atol=0.02)


def test_wrapped_lines_fit():
    figure = layout.new_figure(4, 3)
    lines = layout.wrap(figure, "one two three four five six", 1.0, 12).split("\n")
    assert len(lines) > 1
    assert all(layout.text_width(figure, line, 12) <= 1.0 for line in lines)


def test_importing_figures_leaves_matplotlib_and_jax_alone():
    code = (
        "import sys, flowjax_ood.analysis, flowjax_ood.figures, "
        "flowjax_ood.interface.document; "
        "print([m for m in ('matplotlib', 'PIL', 'jax') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stderr


def test_drawing_needs_no_pyplot():
    code = (
        "import sys, numpy as np; from flowjax_ood import figures; "
        "figures.png_bytes(figures.sample_grid(np.zeros((1, 4, 4, 1)), 't')); "
        "print('matplotlib.pyplot' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "False", run.stderr


NAME = r"a$_$b$\foo$"


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.likelihood_histograms(
            {NAME: {NAME: normal(4.0), "b": normal(3.0)}},
            id_name=NAME,
            auroc={NAME: {"b": (0.1, 0.0, 0.2)}},
        ),
        lambda: figures.sample_grid(IMAGES, NAME),
        lambda: figures.sample_groups(
            {NAME: {NAME: IMAGES}}, reference=(NAME, IMAGES), notes={NAME: {NAME: NAME}}
        ),
        lambda: figures.ablation_rows(
            {NAME: {m: {NAME: [0.5]} for m in ("auroc", "bits_per_dim")}}, id_name="x"
        ),
        lambda: figures.training_curves({NAME: (np.arange(1, 9), np.arange(8.0))}),
        lambda: figures.latent_panels([(NAME, True, IMAGES[0], {NAME: MAP})]),
    ],
)
def test_a_dollar_in_a_name_begins_no_formula(draw):
    """An unknown symbol would end the command, a known one be drawn as another name."""
    figure = draw()
    written = [text.get_text() for text in figure.findobj(Text)]
    assert any(NAME in text for text in written)
    # by whoever draws the figure: `savefig` of a notebook knows nothing of `save`
    figure.savefig(io.BytesIO(), dpi=20)
    parsed = [t for t in figure.findobj(Text) if t.get_parse_math() and t.get_text()]
    assert [t.get_text() for t in parsed if "$" in t.get_text()] == []
