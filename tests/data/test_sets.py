"""ImageSet: what it accepts, describes and hands out."""

import json

import numpy as np
import pytest

from flowjax_ood.data import ImageSet
from flowjax_ood.data.corruptions import corrupt
from flowjax_ood.data.outliers.images import pseudo_outliers
from flowjax_ood.data.preprocess import resize_all


def make(images=None, labels=None, **changes):
    if images is None:
        images = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3, 1)
    fields = {
        "name": "digits",
        "split": "test",
        "images": images,
        "labels": labels,
        "source": "npz",
        "origin": "made for a test",
    }
    return ImageSet(**(fields | changes))


def test_describe_is_json_and_complete():
    described = make().describe()
    assert json.loads(json.dumps(described)) == {
        "name": "digits",
        "split": "test",
        "source": "npz",
        "count": 5,
        "shape": [4, 3, 1],
        "origin": "made for a test",
    }


def test_take_cuts_images_and_labels_together():
    whole = make(labels=np.arange(5, dtype=np.int32))
    part = whole.take(2)
    assert len(whole) == 5
    assert len(part) == 2
    np.testing.assert_array_equal(part.images, whole.images[:2])
    np.testing.assert_array_equal(part.labels, [0, 1])
    assert part.origin == whole.origin
    assert make().take(5).labels is None


@pytest.mark.parametrize("n", [0, -1, 6])
def test_take_of_too_many_names_both_numbers(n):
    with pytest.raises(ValueError, match=rf"digits:test .* 5 images.* first {n} "):
        make().take(n)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (np.zeros((2, 4, 4, 1), np.float32), TypeError, r"float32.*np\.round"),
        (np.zeros((2, 4, 4, 1), np.int64), TypeError, "uint8 array, not int64"),
        ([[1]], TypeError, "not list"),
        (np.zeros((4, 4, 1), np.uint8), ValueError, r"\(4, 4, 1\)"),
        (np.zeros((0, 4, 4, 1), np.uint8), ValueError, "no images"),
        (np.zeros((2, 1, 40, 28), np.uint8), ValueError, "look like channels first"),
        (np.zeros((2, 3, 8, 8), np.uint8), ValueError, "look like channels first"),
        (np.zeros((2, 3, 4, 4), np.uint8), ValueError, r"transpose\(0, 2, 3, 1\)"),
    ],
)
def test_refuses_what_is_not_images(images, error, message):
    with pytest.raises(error, match=f"digits:test.*{message}"):
        make(images)


def test_refuses_wrong_labels():
    with pytest.raises(TypeError, match="int32 array, not int64"):
        make(labels=np.zeros(5, np.int64))
    with pytest.raises(ValueError, match=r"\(4,\).*5 images"):
        make(labels=np.zeros(4, np.int32))


@pytest.mark.parametrize("origin", ["", "two\nlines"])
def test_origin_is_one_line(origin):
    with pytest.raises(ValueError, match="one line"):
        make(origin=origin)


def test_sixteen_bit_images_are_kept_and_refused_by_what_acts_on_eight():
    images = make(np.full((2, 8, 8, 1), 300, np.uint16))
    assert images.take(1).images.dtype == np.uint16
    for act in (
        lambda x: corrupt(x, "gaussian_noise", 1),
        lambda x: pseudo_outliers(x, 0),
    ):
        with pytest.raises(TypeError, match=r"not uint16; .*\(x >> 8\)"):
            act(images.images)
    with pytest.raises(ValueError, match="not uint16"):
        resize_all(images.images, 4)
