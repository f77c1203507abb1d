"""`VectorSet`: what it refuses, and what it says of itself."""

import json

import numpy as np
import pytest

from flowjax_ood.data.sets import VectorSet


def made(vectors=None, labels=None, **changed):
    if vectors is None:
        vectors = np.arange(12, dtype=np.float32).reshape(4, 3)
    fields = {"name": "a", "split": "test", "source": "npz", "origin": "made up"}
    return VectorSet(vectors=vectors, labels=labels, **(fields | changed))


def test_it_describes_itself():
    found = made()
    assert json.loads(json.dumps(found.describe())) == {
        "name": "a",
        "split": "test",
        "source": "npz",
        "count": 4,
        "shape": [3],
        "origin": "made up",
    }
    assert (len(found), found.dims) == (4, 3)


def test_rows_keep_their_labels():
    labels = np.array([5, 6, 7, 8], np.int32)
    found = made(labels=labels).at(np.array([3, 1]))
    np.testing.assert_array_equal(found.labels, [8, 6])
    np.testing.assert_array_equal(found.vectors[:, 0], [9, 3])
    np.testing.assert_array_equal(made(labels=labels).take(2).labels, [5, 6])
    assert made().take(4).labels is None


@pytest.mark.parametrize("n", [0, 5])
def test_more_than_there_are_is_refused(n):
    with pytest.raises(ValueError, match=f"holds 4 vectors, so the first {n} cannot"):
        made().take(n)


@pytest.mark.parametrize(
    ("vectors", "error", "said"),
    [
        (np.zeros((4, 3)), TypeError, r"float32 array, not float64; write np\.asarray"),
        ([[1.0]], TypeError, "not list"),
        (
            np.zeros((4, 2, 2, 1), np.float32),
            ValueError,
            r"not of shape \(4, 2, 2, 1\)",
        ),
        (np.zeros((0, 3), np.float32), ValueError, "no vectors"),
        (np.zeros((3, 0), np.float32), ValueError, "no vectors"),
    ],
)
def test_other_arrays_are_refused(vectors, error, said):
    with pytest.raises(error, match=said):
        made(vectors)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_with_its_row(value):
    vectors = np.zeros((5, 3), np.float32)
    vectors[3, 1] = value
    with pytest.raises(ValueError, match=r"1 of 5 vectors .* first in row 3"):
        made(vectors)


def test_infinities_that_cancel_are_refused():
    vectors = np.array([[np.inf, -np.inf]], np.float32)
    with pytest.raises(ValueError, match="1 of 1 vectors"):
        made(vectors)


def test_large_finite_values_pass():
    largest = np.finfo(np.float32).max
    assert len(made(np.full((100, 2), largest, np.float32))) == 100


@pytest.mark.parametrize(
    ("labels", "error", "said"),
    [
        (np.zeros(4, np.int64), TypeError, "int32 array, not int64"),
        (np.zeros(3, np.int32), ValueError, r"\(3,\) do not go with 4 vectors"),
    ],
)
def test_other_labels_are_refused(labels, error, said):
    with pytest.raises(error, match=said):
        made(labels=labels)


def test_origin_is_one_line():
    with pytest.raises(ValueError, match="one line"):
        made(origin="a\nb")
