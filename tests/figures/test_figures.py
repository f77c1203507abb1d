"""Figures: what they draw, how they read bad input, and the PNG they become."""

import io
import itertools
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from flowjax_ood import figures
from flowjax_ood.figures import layout, style

RNG = np.random.default_rng(0)
ID, OOD = "FashionMNIST", "MNIST"
IMAGES = RNG.integers(0, 256, (7, 8, 8, 1), dtype=np.uint8)
MAP = RNG.normal(size=(8, 8, 1))


def normal(mean, count=400):
    return np.random.default_rng(count).normal(mean, 0.3, count)


def histograms(**kwargs):
    panels = {"baseline": {ID: normal(4.0), OOD: normal(3.0, 300)}}
    auroc = {"baseline": {OOD: (0.04, 0.03, 0.05)}}
    return figures.likelihood_histograms(panels, id_name=ID, auroc=auroc, **kwargs)


def roc():
    rate = np.linspace(0, 1, 20)
    return figures.roc_curves({"baseline": {OOD: (rate, rate**3, 0.25)}})


def split():
    terms = {ID: (normal(-900.0), normal(3000.0)), OOD: (normal(-1100), normal(3500))}
    return figures.split_likelihood({"baseline": terms}, id_name=ID, dims=784)


def latents():
    rows = [(ID, True, IMAGES[0], {"z": MAP}), (OOD, False, IMAGES[1], {"z": MAP})]
    return figures.latent_panels(rows)


def coupling(correlation=None):
    hidden = np.where(np.arange(8)[:, None, None] < 4, np.nan, MAP)
    names = ("input", "s", "-t", "target")
    panels = {"image": IMAGES[0]} | dict.fromkeys(names, hidden)
    rows = [(ID, True, panels), (OOD, False, panels)]
    return figures.coupling_panels(rows, correlation=correlation)


def training():
    seen = np.arange(1, 501) * 64
    return figures.training_curves(
        {"a": (seen, 3 + 900 / seen), "b": (seen, 4 + 0 * seen)}
    )


ALL = {
    "histograms": histograms,
    "roc": roc,
    "grid": lambda: figures.sample_grid(IMAGES, "Samples", columns=4),
    "comparison": lambda: figures.sample_comparison(
        {"data": IMAGES, "baseline, T = 0.7": IMAGES / 255}, title="Samples"
    ),
    "latents": latents,
    "coupling": coupling,
    "training": training,
    "split": split,
}


def texts(figure):
    from matplotlib.text import Text

    return [t.get_text() for t in figure.findobj(Text) if t.get_text()]


@pytest.mark.parametrize("name", ALL)
def test_png_has_the_size_of_the_figure_and_equal_input_gives_equal_bytes(name):
    figure = ALL[name]()
    data = layout.png_bytes(figure, dpi=60)
    with Image.open(io.BytesIO(data)) as picture:
        pixels = np.asarray(picture.convert("RGB"))
        assert set(picture.info) <= {"dpi"}
        assert np.abs(np.array(picture.size) - figure.get_size_inches() * 60).max() < 1
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20
    edge = [pixels[:1], pixels[-1:], pixels[:, :1], pixels[:, -1:]]
    assert all(np.all(side == 255) for side in edge)  # nothing is cut off
    assert data == layout.png_bytes(ALL[name](), dpi=60)


def test_threads_draw_the_same_bytes():
    expected = layout.png_bytes(latents(), dpi=40)
    with ThreadPoolExecutor(2) as pool:
        drawn = pool.map(lambda _: layout.png_bytes(latents(), dpi=40), range(4))
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


def test_id_is_blue_and_the_first_ood_set_vermilion_in_every_figure():
    for figure in (histograms(), split()):
        for axes in figure.axes:
            drawn = {p.get_label(): to_hex(p.get_edgecolor()) for p in axes.patches}
            assert drawn[ID].upper() == style.ID_COLOR
            assert drawn[OOD].upper() == style.OOD_COLORS[0]
    for figure in (latents(), coupling()):
        labels = {a.get_ylabel().split("\n")[0]: a.yaxis.label for a in figure.axes}
        assert labels[ID].get_color() == style.ID_COLOR
        assert labels[OOD].get_color() == style.OOD_COLORS[0]
    assert style.OOD_COLORS[0] in [line.get_color() for line in roc().axes[0].lines]
    flow_colors = [line.get_color() for line in training().axes[0].lines]
    assert not set(flow_colors) & {style.ID_COLOR, *style.OOD_COLORS}


def test_colours_follow_the_order_of_the_sets_and_run_out_loudly():
    colors = style.set_colors("id", ["a", "id", "b", "a"])
    assert colors == {
        "id": style.ID_COLOR,
        "a": style.OOD_COLORS[0],
        "b": style.OOD_COLORS[1],
    }
    with pytest.raises(ValueError, match="7 OOD sets"):
        style.set_colors("id", "abcdefg")


def test_histograms_put_more_likely_at_the_right_and_say_what_they_show():
    figure = histograms()
    (axes,) = figure.axes
    assert "log-likelihood (bits/dim)" in axes.get_xlabel()
    peak = {}
    for patch in axes.patches:
        density, edges, _ = patch.get_data()
        peak[patch.get_label()] = edges[np.argmax(density)]
    assert peak[ID] == pytest.approx(-4, abs=0.4)
    assert peak[OOD] == pytest.approx(-3, abs=0.4)
    shown = texts(figure)
    assert f"{OOD} more likely than {ID}" in shown
    assert "AUROC 0.040\n[0.030, 0.050]" in shown


@pytest.mark.parametrize(
    ("shift", "verdict"), [(-1, "more likely than"), (0, "as likely as"), (1, "less")]
)
def test_verdict_of_a_panel_follows_the_data(shift, verdict):
    panels = {"flow": {ID: normal(4.0), OOD: normal(4.0) + shift}}
    shown = texts(figures.likelihood_histograms(panels, id_name=ID))
    assert any(text.startswith(f"{OOD} {verdict}") for text in shown)


def test_histogram_is_a_density_over_all_images_also_those_outside():
    bits = np.concatenate([normal(4.0, 990), np.full(10, 1e6)])
    figure = figures.likelihood_histograms({"flow": {ID: bits}}, id_name=ID)
    patch = next(p for p in figure.axes[0].patches if p.get_label() == ID)
    density, edges, _ = patch.get_data()
    inside = np.sum(density * np.diff(edges))
    assert 0.97 < inside <= 0.9901


def test_limits_ignore_outliers_and_the_caption_counts_them():
    bits = normal(4.0, 1000)
    bits[:60] = 10.0 ** np.arange(60)  # 6%: more than the quantiles alone would cut
    bits[60], bits[61] = np.inf, np.nan
    panels = {"flow": {ID: bits, OOD: normal(3.0)}}
    figure = figures.likelihood_histograms(panels, id_name=ID)
    low, high = figure.axes[0].get_xlim()
    assert -7 < low < -4.5
    assert -2.5 < high < 0
    caption = next(t for t in texts(figure) if t.startswith("Outside"))
    hidden = int(np.sum(~((-bits >= low) & (-bits <= high))))
    assert hidden >= 60
    assert f"{hidden} of 1,000 {ID} (1 not a number)" in caption.replace("\n", " ")


def test_panels_share_the_axis_only_if_their_ranges_are_comparable():
    near = {"a": {ID: normal(4.0)}, "b": {ID: normal(4.5)}}
    far = {"a": {ID: normal(4.0)}, "b": {ID: normal(40.0)}}
    a, b = figures.likelihood_histograms(near, id_name=ID).axes
    assert a.get_xlim() == b.get_xlim()
    a, b = figures.likelihood_histograms(far, id_name=ID).axes
    assert a.get_xlim()[0] > b.get_xlim()[1]


def test_one_constant_set_still_has_an_axis():
    panels = {"flow": {ID: np.full(5, 4.0)}}
    (axes,) = figures.likelihood_histograms(panels, id_name=ID).axes
    assert axes.get_xlim()[0] < -4 < axes.get_xlim()[1]
    with pytest.raises(ValueError, match="not one value is finite"):
        figures.likelihood_histograms({"flow": {ID: np.full(5, np.inf)}}, id_name=ID)


def test_split_shows_bits_per_dimension():
    pair = (np.full(9, -784 * np.log(2)), np.full(9, 3 * 784 * np.log(2)))
    figure = figures.split_likelihood({"f": {ID: pair}}, id_name=ID, dims=784)
    for axes, bits in zip(figure.axes, (-1.0, 3.0)):
        assert np.mean(axes.get_xlim()) == pytest.approx(bits)


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


def test_wrapped_lines_fit():
    figure = layout.new_figure(4, 3)
    lines = layout.wrap(figure, "one two three four five six", 1.0, 12).split("\n")
    assert len(lines) > 1
    assert all(layout.text_width(figure, line, 12) <= 1.0 for line in lines)


def test_roc_has_equal_axes_a_diagonal_and_a_title_that_fits_the_curves():
    figure = roc()
    (axes,) = figure.axes
    assert axes.get_aspect() == 1
    assert any(
        np.array_equal(line.get_xydata(), [[0, 0], [1, 1]]) for line in axes.lines
    )
    assert any(text.startswith("Below the diagonal") for text in texts(figure))
    good = figures.roc_curves({"f": {OOD: (np.array([0, 0, 1]), [0, 1, 1], 1.0)}})
    assert any(text.startswith("Above the diagonal") for text in texts(good))


def test_sample_grid_places_images_in_reading_order():
    picture = figures.sample_grid(IMAGES, "t", columns=3).axes[0].images[0].get_array()
    for k, (row, column) in {0: (0, 0), 2: (0, 20), 4: (10, 10), 6: (20, 0)}.items():
        tile = picture[row : row + 8, column : column + 8]
        np.testing.assert_allclose(tile, np.repeat(IMAGES[k] / 255, 3, axis=-1))
    np.testing.assert_array_equal(picture[20:, 20:], 1)  # empty places are white


def test_colour_images_keep_their_colours():
    red = np.zeros((1, 4, 4, 3))
    red[..., 0] = 1
    picture = figures.sample_grid(red, "t").axes[0].images[0].get_array()
    np.testing.assert_array_equal(picture, red[0])


def test_latents_share_one_symmetric_scale():
    images = [axes.images[0] for axes in latents().axes if axes.images]
    maps = [image for image in images if image.get_array().ndim == 2]
    assert {image.get_clim() for image in maps} == {(-3, 3)}
    assert len(maps) == 2


def test_coupling_shows_prediction_and_target_on_one_scale_and_masked_in_grey():
    figure = coupling({ID: 0.91, OOD: 0.93})
    limits = {}
    for axes in figure.axes[:10]:
        image = axes.images[0]
        limits.setdefault(axes.get_subplotspec().colspan.start, set()).add(
            image.get_clim()
        )
    _, seen, predicted, target, scale = (limits[c] for c in range(5))
    assert seen == predicted == target
    assert len(seen) == 1
    ((low, high),) = scale
    assert low == -high
    image = figure.axes[2].images[0]
    masked = image.cmap(image.norm(image.get_array()))[0, 0]
    assert to_hex(masked).upper() == style.MASKED
    shown = texts(figure)
    assert any("predicts hidden pixels of MNIST as well as" in t for t in shown)
    assert any("corr(−t, x) = 0.93" in text for text in shown)
    worse = texts(coupling({ID: 0.91, OOD: 0.4}))
    assert any("less well than" in text.replace("\n", " ") for text in worse)
    assert not any("as well as" in text for text in texts(coupling()))


def test_training_curve_is_not_squashed_by_its_first_steps():
    seen = np.arange(1, 101)
    bits = np.full(100, 3.0) + 0.01 * np.sin(seen)
    bits[:3] = 1e5
    figure = figures.training_curves({"flow": (seen, bits)})
    assert figure.axes[0].get_ylim()[1] < 4
    assert "Outside the axes: 3 of 100 records (flow)." in texts(figure)


def test_training_curves_of_vectors_are_in_nats():
    figure = figures.training_curves({"flow": ([10, 20], [9.0, 8.0])}, unit="nats")
    axes = figure.axes[0]
    assert axes.get_xlabel() == "training vectors seen"
    assert axes.get_ylabel() == "negative log-likelihood (nats)"
    title = "Negative log-likelihood (nats) during training (lower is better)"
    assert title in texts(figure)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: figures.likelihood_histograms({}, id_name=ID), "no flow to draw"),
        (
            lambda: figures.likelihood_histograms({"f": {OOD: [1.0]}}, id_name=ID),
            "no in-distribution set 'FashionMNIST'",
        ),
        (
            lambda: figures.likelihood_histograms({"f": {ID: MAP}}, id_name=ID),
            r"bits_per_dim of 'FashionMNIST' \(f\).*\(8, 8, 1\)",
        ),
        (
            lambda: figures.likelihood_histograms(
                {"f": {ID: [1.0], OOD: [2.0]}},
                id_name=ID,
                auroc={"f": {OOD: (0.9, 0.95, 0.99)}},
            ),
            r"low <= value <= high",
        ),
        (
            lambda: figures.likelihood_histograms(
                {"f": {ID: [1.0]}}, id_name=ID, auroc={"f": {OOD: (0.5, 0.4, 0.6)}}
            ),
            r"names \['MNIST'\]; its OOD sets are \[\]",
        ),
        (
            lambda: figures.split_likelihood(
                {"f": {ID: ([1.0], [1.0, 2.0])}}, id_name=ID, dims=4
            ),
            "must describe the same images",
        ),
        (lambda: figures.roc_curves({}), "no ROC curve"),
        (lambda: figures.roc_curves({"f": {OOD: ([0, 1], [0, 2], 0.5)}}), "tpr of"),
        (lambda: figures.roc_curves({"f": {OOD: ([0, 1], [1], 0.5)}}), "one length"),
        (lambda: figures.sample_grid(IMAGES[0], "t"), r"\[N, H, W, C\].*\(8, 8, 1\)"),
        (lambda: figures.sample_grid(IMAGES[..., [0, 0]], "t"), "C = 1 or 3"),
        (lambda: figures.sample_grid(IMAGES * 1.0, "t"), r"from 0 to 2\d\d"),
        (lambda: figures.sample_grid(IMAGES / np.nan, "t"), "expected in"),
        (lambda: figures.sample_grid(IMAGES.astype(int), "t"), "int64"),
        (lambda: figures.sample_grid(IMAGES, "t", columns=0), "at least 1"),
        (lambda: figures.sample_comparison({"a": IMAGES}, columns=9), "'a' has 7"),
        (
            lambda: figures.latent_panels([(ID, True, IMAGES[0], {"z": MAP[..., 0]})]),
            r"latent 'z' of 'FashionMNIST'.*\(8, 8\)",
        ),
        (
            lambda: figures.latent_panels(
                [(ID, True, IMAGES[0], {"z": MAP}), (OOD, False, IMAGES[0], {"y": MAP})]
            ),
            "all rows need the same",
        ),
        (
            lambda: figures.coupling_panels([(ID, True, {"t": MAP})]),
            r"unknown panels \['t'\]",
        ),
        (
            lambda: figures.coupling_panels(
                [(ID, True, {"s": MAP})], correlation={OOD: 1.0}
            ),
            "which no row shows",
        ),
        (lambda: figures.training_curves({"f": ([1, 2], [3.0])}), "one length"),
        (
            lambda: figures.training_curves({"f": ([1], [3.0])}, unit="bits"),
            "unknown unit 'bits'; known: bits/dim, nats",
        ),
        (lambda: figures.training_curves({"f": ([2, 1], [3.0, 3.0])}), "falls"),
    ],
)
def test_bad_input_is_named(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_importing_the_room_leaves_matplotlib_and_jax_alone():
    code = (
        "import sys, flowjax_ood.analysis, flowjax_ood.figures, "
        "experiments.core.html; "
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
