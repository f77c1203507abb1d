"""`hold_back`: a partition that the seed and the number of examples decide alone."""

import logging
import pickle

import numpy as np
import pytest

from flowjax_ood import data
from flowjax_ood.data import checks
from flowjax_ood.data.batching import batch_indices
from flowjax_ood.data.sets import VectorSet
from flowjax_ood.data.splits import held_back_rows, hold_back
from flowjax_ood.data.streaming import StreamedImageSet, stream
from flowjax_ood.training.batches import image_batches
from tests.helpers.prepared_tfds import prepare

COUNT = 23


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    logging.getLogger("absl").setLevel(logging.ERROR)
    path = tmp_path_factory.mktemp("tfds")
    images = np.random.default_rng(0).integers(0, 256, (COUNT, 28, 28, 1), np.uint8)
    prepare(path, {"train": images}, shards=3)
    return {"source": "tfds", "path": path}


@pytest.fixture(scope="module")
def kept(data_dir):
    return data.load("mnist:train", **data_dir)


@pytest.fixture(scope="module")
def streamed(data_dir):
    return stream("mnist:train", **data_dir)


@pytest.mark.parametrize("count", [1, 7, COUNT - 1])
def test_every_example_is_in_one_of_both(kept, count):
    rest, held = hold_back(kept, count, seed=3)
    rows = held_back_rows(COUNT, count, seed=3)
    others = np.setdiff1d(np.arange(COUNT), rows)
    assert len(rows) == len(held) == count
    assert (np.diff(rows) > 0).all()
    for part, at in ((held, rows), (rest, others)):
        np.testing.assert_array_equal(part.images, kept.images[at])
        np.testing.assert_array_equal(part.labels, kept.labels[at])


def test_the_seed_and_the_count_decide():
    rows = held_back_rows(1000, 50, seed=0)
    # for ever: runs that go on hold the same images back
    assert rows[:5].tolist() == [11, 12, 19, 41, 49]
    np.testing.assert_array_equal(rows, held_back_rows(1000, 50, seed=0))
    assert set(rows) < set(held_back_rows(1000, 80, seed=0))
    assert set(rows) != set(held_back_rows(1000, 50, seed=1))
    # not the order that epochs are drawn in
    assert set(rows) != set(batch_indices(1000, 50, 0, 0))


@pytest.mark.parametrize("count", [1, 9, COUNT - 1])
def test_of_a_streamed_set_it_is_the_same(kept, streamed, count):
    rest, held = hold_back(kept, count, seed=5)
    lazy, read = hold_back(streamed, count, seed=5)
    assert isinstance(lazy, StreamedImageSet)
    assert isinstance(read, data.ImageSet)
    np.testing.assert_array_equal(read.images, held.images)
    assert lazy.images.shape == rest.images.shape
    np.testing.assert_array_equal(lazy.images[:], rest.images)
    at = np.arange(len(rest))[::-2]
    np.testing.assert_array_equal(lazy.read(at), rest.images[at])
    np.testing.assert_array_equal(lazy.images[-1], rest.images[-1])
    assert lazy.describe() == rest.describe() | {"streamed": True}
    assert read.describe() == held.describe()
    for step in range(4):
        ours = image_batches(lazy.images, 6, seed=2)(step)
        for name, values in image_batches(rest.images, 6, seed=2)(step).items():
            np.testing.assert_array_equal(ours[name], values)
    with pytest.raises(IndexError, match=f"images 0 to {len(rest) - 1}, not"):
        lazy.read([len(rest)])


def test_what_is_left_of_a_streamed_set_travels_to_its_readers(streamed):
    lazy, _ = hold_back(streamed, 4, seed=1)
    again = pickle.loads(pickle.dumps(lazy))
    np.testing.assert_array_equal(again.images[:], lazy.images[:])


def test_leaving_out_twice_is_leaving_out_both(kept, streamed):
    """Rows are positions among those that are left."""
    first, second = np.array([0, 3, 22]), np.array([0, 1, 19])
    expected = kept.without(first).without(second)
    found = streamed.without(first).without(second)
    assert len(found) == len(expected) == COUNT - 6
    np.testing.assert_array_equal(found.images[:], expected.images)


def test_origins_say_what_was_done(kept):
    rest, held = hold_back(kept, 5, seed=7)
    assert rest.origin == f"{kept.origin}; without the 5 of 23 held back by seed 7"
    assert held.origin == f"{kept.origin}; the 5 of 23 held back by seed 7"


def test_vectors_are_held_back_alike():
    x = np.arange(COUNT, dtype=np.float32)[:, None]
    whole = VectorSet("v", "train", x, None, "synthetic", "numbers")
    rest, held = hold_back(whole, 6, seed=2)
    np.testing.assert_array_equal(held.vectors[:, 0], held_back_rows(COUNT, 6, 2))
    both = np.concatenate([rest.vectors, held.vectors])
    np.testing.assert_array_equal(np.sort(both, axis=0), x)


@pytest.mark.parametrize("count", [-1, 0, COUNT, COUNT + 1])
def test_something_is_left_to_train_on(kept, streamed, count):
    for whole in (kept, streamed):
        said = f"{count} of the 23 images of mnist:train cannot be held back"
        with pytest.raises(ValueError, match=said):
            hold_back(whole, count, seed=0)


def test_what_memory_does_not_take_is_refused_before_it_is_read(
    kept, streamed, tmp_path, monkeypatch
):
    """In memory both parts are copies; of a streamed set, one is read."""
    meminfo = tmp_path / "meminfo"
    monkeypatch.setattr(checks, "MEMINFO", meminfo)
    # room for 8 images of 784 bytes
    meminfo.write_text("MemAvailable: 7 kB\n")
    with pytest.raises(ValueError, match="mnist:train, 8 held back: 23 images take"):
        hold_back(kept, 8, seed=0)
    assert len(hold_back(streamed, 8, seed=0)[1]) == 8
    with pytest.raises(ValueError, match="mnist:train, 10 held back: 10 images take"):
        hold_back(streamed, 10, seed=0)
