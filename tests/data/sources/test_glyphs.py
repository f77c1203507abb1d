"""Source `glyphs`: letters that are what their labels say, and all different."""

import numpy as np
import pytest

from flowjax_ood import data


@pytest.fixture(scope="module")
def letters():
    return data.load("glyphs:test", source="glyphs", limit=300)


@pytest.fixture(scope="module")
def others():
    return data.load("glyphs:train", source="glyphs", limit=600)


def test_grey_antialiased_letters_on_black(letters):
    assert letters.images.shape == (300, 28, 28, 1)
    assert set(letters.labels) == set(range(10))
    assert "Bitstream Vera" in letters.origin
    # strokes are white, their edges grey, and most of an image is black
    assert (letters.images.max(axis=(1, 2, 3)) >= 250).all()
    assert (
        ((letters.images > 0) & (letters.images < 250)).sum(axis=(1, 2, 3)) > 9
    ).all()
    assert 0.5 < (letters.images == 0).mean() < 0.9
    # and nearly all corners
    assert (letters.images[:, ::27, ::27] == 0).mean() > 0.95


def test_all_images_differ_across_splits(letters, others):
    both = np.concatenate([letters.images, others.images])
    assert len({image.tobytes() for image in both}) == 900


def test_labels_name_the_letters(letters, others):
    """The mean letter of each class of one split names most letters of the other."""
    classes = [others.images[others.labels == c] for c in range(10)]
    means = np.stack([x.mean(axis=0).ravel() for x in classes])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    guessed = (letters.images.reshape(300, -1) @ means.T).argmax(axis=1)
    assert (guessed == letters.labels).mean() > 0.6


def test_the_same_whatever_the_seed_and_limit(letters):
    few = data.load("glyphs", source="glyphs", limit=5, seed=1)
    np.testing.assert_array_equal(few.images, letters.images[:5])
    np.testing.assert_array_equal(few.labels, letters.labels[:5])


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("notmnist:test", {}, "not a set of glyphs; there is: glyphs"),
        ("glyphs:extra", {}, "there is: test, train"),
        ("glyphs:test", {"path": "here"}, "'glyphs' reads no path"),
    ],
)
def test_what_there_is_not(spec, options, message):
    with pytest.raises(ValueError, match=message):
        data.load(spec, source="glyphs", **options)


def test_more_than_there_are(monkeypatch):
    monkeypatch.setattr("flowjax_ood.data.sources.glyphs.COUNT", 20)
    with pytest.raises(ValueError, match="holds 20 images, so the first 21"):
        data.load("glyphs:test", source="glyphs", limit=21)


def test_a_font_that_matplotlib_lacks(monkeypatch, tmp_path):
    monkeypatch.setattr("matplotlib.get_data_path", lambda: str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"DejaVuSans\.ttf.*pip install"):
        data.load("glyphs:test", source="glyphs", limit=1)
