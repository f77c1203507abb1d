"""`stream`: the images of `load`, bit for bit, and only those that are asked for."""

import logging
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from flowjax_ood import data
from flowjax_ood.data.batching import batch_indices
from flowjax_ood.data.streaming import STREAMED_SOURCES, StreamedImageSet, stream
from flowjax_ood.runtime.shares import Share
from flowjax_ood.training.batches import image_batches
from tests.helpers.prepared_tfds import prepare

COUNT = 23


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    logging.getLogger("absl").setLevel(logging.ERROR)
    path = tmp_path_factory.mktemp("tfds")
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (COUNT, 28, 28, 1), np.uint8)
    prepare(path, {"train": grey}, name="mnist", shards=3)
    colour = rng.integers(0, 256, (COUNT, 32, 32, 3), np.uint8)
    prepare(path, {"train": colour}, name="cifar10")
    return path


WAYS = {
    "as they are": ("mnist:train", {}),
    "the first": ("mnist:train", {"limit": 9}),
    "a slice": ("mnist:train[3:17]", {"limit": 4}),
    "resized": ("mnist:train", {"image_size": 12}),
    "made grey": ("cifar10:train", {"channels": 1}),
    "made colour": ("mnist:train", {"channels": 3}),
    "grey already": ("mnist:train", {"channels": 1}),
    "resized and made grey": ("cifar10:train", {"channels": 1, "image_size": 20}),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_streamed_images_are_those_in_memory(data_dir, way):
    spec, how = way
    how |= {"source": "tfds", "path": data_dir}
    kept, streamed = data.load(spec, **how), stream(spec, **how)
    assert len(streamed) == len(kept)
    assert streamed.images.shape[1:] == kept.images.shape[1:]
    assert streamed.images.shape == streamed.events.shape == kept.images.shape
    assert streamed.describe() == kept.describe() | {"streamed": True}
    every = np.random.default_rng(1).permutation(len(kept))
    np.testing.assert_array_equal(streamed.read(every), kept.images[every])
    np.testing.assert_array_equal(streamed.images[:], kept.images)


@pytest.fixture
def streamed(data_dir):
    return stream("mnist:train", source="tfds", path=data_dir)


@pytest.fixture(scope="module")
def kept(data_dir):
    return data.load("mnist:train", source="tfds", path=data_dir)


@pytest.mark.parametrize(
    "rows",
    [0, -1, np.int32(5), slice(2, 11, 3), [4, 4, 0], np.array([-2, 7]), np.arange(0)],
    ids=str,
)
def test_images_are_indexed_as_an_array_is(streamed, kept, rows):
    found, expected = streamed.images[rows], kept.images[rows]
    if len(np.shape(rows)) == 1 and not len(rows):
        expected = kept.images[:0]
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("row", [COUNT, -COUNT - 1])
def test_an_index_outside_is_refused(streamed, row):
    with pytest.raises(IndexError, match=f"has images 0 to 22, not {row}"):
        streamed.read([0, row])


def test_a_mask_is_no_index(streamed):
    with pytest.raises(TypeError, match=r"not by bool of shape \(23,\)"):
        streamed.images[np.ones(COUNT, bool)]


def test_nobody_gets_the_whole_of_it_by_mistake(streamed):
    with pytest.raises(TypeError, match="read as it is asked for, and something here"):
        np.asarray(streamed.images)


class Counted:
    """A data source that keeps account of what is read."""

    def __init__(self, source):
        self.source, self.read = source, []

    def __len__(self):
        return len(self.source)

    def __getitems__(self, rows):
        self.read += rows
        return self.source.__getitems__(rows)

    def __getitem__(self, row):
        self.read.append(row)
        return self.source[row]


def counted(streamed: StreamedImageSet) -> list[int]:
    """The records read of it from here on."""
    images = streamed.images
    source = Counted(images._prepared.data)
    images.__dict__["_prepared"] = images._prepared._replace(data=source)
    return source.read


def test_only_what_is_asked_for_is_read(streamed):
    read = counted(streamed)
    assert (len(streamed), streamed.images.shape[1:]) == (COUNT, (28, 28, 1))
    streamed.describe()
    assert read == []
    streamed.read([4, 21, 4])
    assert read == [4, 21, 4]
    assert len(streamed.take(2)) == 2
    assert read[3:] == [0, 1]


def test_two_processes_read_each_record_of_a_batch_once(data_dir, kept):
    whole = image_batches(kept.images, 8, seed=5)
    sets = [stream("mnist:train", source="tfds", path=data_dir) for _ in range(2)]
    reads = [counted(one) for one in sets]
    for step in range(7):
        parts = [
            image_batches(one.images, 8, seed=5)(step, Share(index, 2))
            for index, one in enumerate(sets)
        ]
        for name, rows in whole(step).items():
            joined = np.concatenate([part[name] for part in parts])
            np.testing.assert_array_equal(joined, rows)
        global_batch = batch_indices(COUNT, 8, 5, step).tolist()
        assert [*reads[0][-4:], *reads[1][-4:]] == global_batch
        assert [len(read) for read in reads] == [4 * (step + 1)] * 2


def test_it_pickles_as_where_the_images_are(streamed, kept):
    streamed.read([3])
    packed = pickle.dumps(streamed)
    assert len(packed) < 1000
    again = pickle.loads(packed)
    assert again.images.shape == streamed.images.shape
    assert "_prepared" not in vars(again.images)
    np.testing.assert_array_equal(again.read([7, 2]), kept.images[[7, 2]])


def test_threads_read_at_the_same_time(streamed, kept):
    again = pickle.loads(pickle.dumps(streamed))  # opened by several at once
    rows = [np.random.default_rng(i).integers(0, COUNT, 16) for i in range(24)]
    with ThreadPoolExecutor(8) as pool:
        for at, found in zip(rows, pool.map(again.read, rows)):
            np.testing.assert_array_equal(found, kept.images[at])


def test_some_of_it_in_memory(streamed, kept):
    some = streamed.at(np.array([5, 1]))
    assert isinstance(some, data.ImageSet)
    np.testing.assert_array_equal(some.images, kept.images[[5, 1]])


@pytest.mark.parametrize("source", [s for s in data.SOURCES if s != "tfds"])
def test_other_sources_are_refused(source):
    assert STREAMED_SOURCES == ("tfds",)
    with pytest.raises(ValueError, match=f"'{source}' has to be read.*can: tfds"):
        stream("mnist:train", source=source)


@pytest.mark.parametrize(
    ("spec", "how", "said"),
    [
        ("mnist:train", {"limit": 24}, "holds 23 images, so the first 24 cannot"),
        ("mnist:train", {"limit": 0}, "limit must be at least 1, got 0"),
        ("mnist:train", {"channels": 2}, r"channels must be 1 \(grey\), 3"),
        ("mnist:tran", {}, "did you mean 'train'"),
    ],
)
def test_what_load_refuses(data_dir, spec, how, said):
    with pytest.raises(ValueError, match=said):
        stream(spec, source="tfds", path=data_dir, **how)


def test_a_set_that_is_not_prepared_names_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match="`tfds build mnist "):
        stream("mnist:train", source="tfds", path=tmp_path)


def test_images_of_another_size_are_found_when_they_are_read(streamed):
    class Odd(Counted):
        def __getitems__(self, rows):
            found = super().__getitems__(rows)
            return [one | {"image": one["image"][:20]} for one in found]

    images = streamed.images
    odd = images._prepared._replace(data=Odd(images._prepared.data))
    images.__dict__["_prepared"] = odd
    with pytest.raises(ValueError, match=r"image 3 is \(20, 28, 1\).*image_size="):
        streamed.read([3])


def test_records_that_cannot_be_read_name_the_set(streamed):
    class Gone(Counted):
        def __getitems__(self, rows):
            raise OSError("no such file")

    images = streamed.images
    gone = images._prepared._replace(data=Gone(images._prepared.data))
    images.__dict__["_prepared"] = gone
    with pytest.raises(ValueError, match=r"tfds mnist:train: .*\(no such file\)"):
        streamed.read([3])
