"""Scenes: what is drawn, what an exchange keeps, and what is refused."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from flowjax_ood.data import ImageSet, Scenes, exchanged, outfit_scenes
from flowjax_ood.data.scenes import OUTFITS, complete

RNG = np.random.default_rng(0)
CLASSES = 10


def image_set(of_each: int = 30) -> ImageSet:
    labels = np.repeat(np.arange(CLASSES, dtype=np.int32), of_each)
    images = RNG.integers(0, 256, (len(labels), 4, 4, 1), np.uint8)
    return ImageSet("blobs", "train", images, labels, "made", "of this test")


SET = image_set()
SCENES = outfit_scenes(SET, count=400, seed=3)


def scenes(**changes) -> Scenes:
    items = RNG.integers(0, 256, (5, 3, 2, 2, 1), np.uint8)
    fields = {"items": items, "labels": np.zeros((5, 3), int), "adjacency": complete(3)}
    return Scenes(**fields | changes)


def test_classes_are_drawn_from_the_context():
    """Each of its own has the chance 1 / (4 + 6 stray)."""
    assert SCENES.items.shape == (400, 6, 4, 4, 1)
    for context, classes in enumerate(OUTFITS):
        of = SCENES.labels[SCENES.contexts == context].ravel()
        own = np.isin(of, classes).mean()
        expected = 4 / (4 + 6 * 0.005)
        assert abs(own - expected) < 4 * np.sqrt(expected * (1 - expected) / len(of))
        rates = np.bincount(of, minlength=CLASSES)[list(classes)] / len(of)
        assert np.abs(rates - expected / 4).max() < 4 * np.sqrt(0.25 / 4 / len(of)) * 2
    share = np.bincount(SCENES.contexts) / 400
    assert np.abs(share - 1 / 3).max() < 4 * np.sqrt(2 / 9 / 400)
    # without strays, there are none
    pure = outfit_scenes(SET, count=50, seed=3, stray=0.0)
    for labels, context in zip(pure.labels, pure.contexts, strict=True):
        assert set(labels.tolist()) <= set(OUTFITS[context])


def test_images_are_of_their_labels_and_none_twice_while_there_are_enough():
    rows = {image.tobytes(): label for image, label in zip(SET.images, SET.labels)}
    first = SCENES.at(slice(20))
    assert [rows[i.tobytes()] for i in first.flat] == first.labels.ravel().tolist()
    for label in range(CLASSES):
        images = [i.tobytes() for i in SCENES.flat[SCENES.labels.ravel() == label]]
        counts = Counter(images).values()
        assert max(counts) - min(counts) <= 1
        assert len(counts) == min(30, len(images))


def test_more_scenes_have_the_same_first_ones():
    longer = outfit_scenes(SET, count=410, seed=3)
    np.testing.assert_array_equal(longer.items[:400], SCENES.items)
    assert (outfit_scenes(SET, count=400, seed=4).labels != SCENES.labels).any()


def test_an_exchange_keeps_every_image_and_misplaces_both_items():
    before, after = exchanged(SCENES)
    assert len(before) > 100
    same = [Counter(i.tobytes() for i in s.items[:, 0]) for s in (before, after)]
    assert same[0] == same[1]
    np.testing.assert_array_equal(before.items[:, 1:], after.items[:, 1:])
    np.testing.assert_array_equal(before.contexts, after.contexts)
    for old, new, context in zip(
        before.labels[:, 0], after.labels[:, 0], before.contexts, strict=True
    ):
        assert old in OUTFITS[context]
        assert new not in OUTFITS[context]
    # a pair is two neighbouring rows: exchanged again, all is as before
    at = np.arange(len(before)) ^ 1
    np.testing.assert_array_equal(after.items[at, 0], before.items[:, 0])


def test_an_item_is_replaced_in_every_scene():
    given = scenes()
    images = RNG.integers(0, 256, (5, 2, 2, 1), np.uint8)
    changed = given.with_item(1, images, label=2)
    np.testing.assert_array_equal(changed.items[:, 1], images)
    np.testing.assert_array_equal(changed.items[:, ::2], given.items[:, ::2])
    assert changed.labels[:, 1].tolist() == [2] * 5
    assert given.labels[:, 1].tolist() == [0] * 5
    with pytest.raises(ValueError, match="one uint8 image for each scene"):
        given.with_item(1, images[:4])


one_way, linked = complete(3), complete(3)
one_way[0, 2], linked[1, 1] = False, True
BAD = {
    "uint8 images": {"items": np.zeros((5, 3, 2, 2, 1))},
    r"\[S, N, H, W, C\]": {"items": np.zeros((5, 3, 2, 2), np.uint8)},
    "2 items or more, got 1": {
        "items": np.zeros((5, 1, 2, 2, 1), np.uint8),
        "labels": np.zeros((5, 1), int),
        "adjacency": complete(1),
    },
    "labels of scenes must be integers": {"labels": np.zeros((5, 3))},
    "do not go with 5 scenes of 3": {"labels": np.zeros((5, 2), int)},
    "label -2 is of no class": {"labels": np.full((5, 3), -2)},
    r"boolean \[3, 3\], got int64": {"adjacency": complete(3).astype(int)},
    r"boolean \[3, 3\], got bool of shape \(2, 2\)": {"adjacency": complete(2)},
    "one way between items 0 and 2": {"adjacency": one_way},
    "links item 1 to itself": {"adjacency": linked},
    "do not go with 5 scenes$": {"contexts": np.zeros(4, int)},
}


@pytest.mark.parametrize("said", BAD)
def test_scenes_that_are_none(said):
    with pytest.raises((TypeError, ValueError), match=said):
        scenes(**BAD[said])


@pytest.mark.parametrize(
    ("said", "changes"),
    [
        ("items must be at least 2, got 1: an item alone", {"items": 1}),
        ("count must be at least 1", {"count": 0}),
        ("stray must not be negative", {"stray": -0.1}),
        (r"context \(\) must be", {"contexts": ((0,), ())}),
        (r"context \(0, 11\) must be .* 0, 1, 2", {"contexts": ((0, 11),)}),
    ],
)
def test_outfits_that_cannot_be_drawn(said, changes):
    with pytest.raises(ValueError, match=said):
        outfit_scenes(SET, **{"count": 3, "seed": 0} | changes)


def test_nothing_to_draw_from_or_to_exchange():
    with pytest.raises(ValueError, match="images with labels"):
        outfit_scenes(replace(SET, labels=None), count=3, seed=0)
    with pytest.raises(ValueError, match="need contexts"):
        exchanged(scenes())
    with pytest.raises(ValueError, match="no two of the 5 scenes"):
        exchanged(scenes(contexts=np.zeros(5, int)))
