"""`partition`: every example has one client, and clients know what they should."""

import numpy as np
import pytest

from flowjax_ood.federated import partition

LABELS = np.random.default_rng(0).integers(0, 10, 1000)


@pytest.mark.parametrize("way", [{"classes_per_client": 3}, {"dirichlet": 0.5}])
def test_parts_are_disjoint_and_cover_all(way):
    parts = partition(LABELS, 10, **way)
    assert len(parts) == 10
    every = np.concatenate(parts)
    assert sorted(every.tolist()) == list(range(1000))
    assert all((np.diff(part) > 0).all() for part in parts)


def test_each_client_has_exactly_its_classes_and_they_are_shared_evenly():
    parts = partition(LABELS, 10, 3)
    counts = np.stack([np.bincount(LABELS[p], minlength=10) for p in parts])
    assert ((counts > 0).sum(axis=1) == 3).all()
    # thirty places for ten classes
    assert ((counts > 0).sum(axis=0) == 3).all()
    for c in range(10):
        held = counts[counts[:, c] > 0, c]
        assert held.max() - held.min() <= 1


def test_it_is_a_function_of_labels_and_seed():
    first, again, other = (partition(LABELS, 10, 3, seed=s) for s in (1, 1, 2))
    assert all(map(np.array_equal, first, again))
    assert not all(map(np.array_equal, first, other))


def test_a_small_dirichlet_number_concentrates_classes():
    def entropy(dirichlet):
        parts = partition(LABELS, 4, dirichlet=dirichlet, seed=3)
        p = np.stack([np.bincount(LABELS[q], minlength=10) for q in parts]) + 1e-9
        p = p / p.sum(axis=1, keepdims=True)
        return -(p * np.log(p)).sum(axis=1).mean()

    assert entropy(0.2) < entropy(100.0) - 0.3
    assert entropy(1000.0) == pytest.approx(np.log(10), abs=0.1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "give one of .* classes_per_client=None and dirichlet=None"),
        ({"classes_per_client": 3, "dirichlet": 0.1}, "give one of"),
        ({"classes_per_client": 11}, "is 11, and there are 10 classes"),
        ({"classes_per_client": 1}, "classes_per_client must be at least 2, got 1"),
        ({"clients": 2, "classes_per_client": 4}, r"leave out class \d, \d: .* 3 cl"),
        ({"dirichlet": 0.0}, "dirichlet must be positive, got 0"),
        ({"dirichlet": float("nan")}, "dirichlet must be positive, got nan"),
        ({"dirichlet": 1e-4}, r"client \d+ is left with [01] of 2 classes"),
        ({"clients": 0, "dirichlet": 1.0}, "clients must be at least 1"),
        ({"clients": 500, "classes_per_client": 3}, "is left with [012] of 3 classes"),
    ],
)
def test_what_cannot_be_split_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        partition(LABELS, **options)


def test_labels_are_whole_numbers():
    with pytest.raises(ValueError, match="labels must be integers"):
        partition(LABELS / 2, 10, 3)
