"""The shipped samples: counts, labels, disjointness, sums, damage."""

import hashlib
import shutil

import numpy as np
import pytest

from flowjax_ood import data
from flowjax_ood.data.sources import emoji
from flowjax_ood.data.sources.embedded import PARTS, load_embedded
from flowjax_ood.data.sources.shipped import DIRECTORY, SUMS, read_sums


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        ("fashion_mnist:train", 10_000),
        ("fashion_mnist:test", 2_000),
        ("mnist:train", 4_000),
        ("mnist:test", 2_000),
    ],
)
def test_counts_shapes_and_labels(spec, count):
    images = data.load(spec, source="embedded")
    assert images.images.shape == (count, 28, 28, 1)
    assert set(images.labels) == set(range(10))
    # Each class has its share, give or take: labels did not slip.
    assert np.bincount(images.labels).min() > 0.07 * count
    assert images.images.max() == 255
    assert images.source == "embedded"


def test_mnist_splits_are_disjoint_and_say_what_they_are():
    train = data.load("mnist:train", source="embedded")
    test = data.load("mnist:test", source="embedded")
    distinct = {image.tobytes() for image in train.images}
    assert not any(image.tobytes() in distinct for image in test.images)
    assert "training digits" in test.origin
    assert "not of the official test split" in test.origin
    assert "CC BY-SA 3.0" in test.origin
    assert "MIT" in data.load("fashion_mnist", source="embedded").origin


def test_labels_go_with_the_images():
    """The nearest class mean of the training images names most test images right."""
    for name, least in (("fashion_mnist", 0.6), ("mnist", 0.75)):
        train = data.load(f"{name}:train", source="embedded")
        test = data.load(name, source="embedded")
        means = np.stack([train.images[train.labels == c].mean(0) for c in range(10)])
        x = test.images.reshape(len(test), -1).astype(np.float32)
        m = means.reshape(10, -1).astype(np.float32)
        distance = (m**2).sum(1) - 2 * x @ m.T
        assert (distance.argmin(1) == test.labels).mean() > least


def test_sums_cover_exactly_the_parts():
    files = {part.file(kind) for part in PARTS for kind in ("images", "labels")}
    files |= {
        of(p) for p in emoji.PARTS for of in (emoji.images_file, emoji.points_file)
    }
    assert set(read_sums(DIRECTORY)) == files == {p.name for p in DIRECTORY.glob("*xz")}
    for name, digest in read_sums(DIRECTORY).items():
        assert hashlib.sha256((DIRECTORY / name).read_bytes()).hexdigest() == digest


def test_everything_shipped_stays_below_9_mb():
    assert sum(p.stat().st_size for p in DIRECTORY.iterdir()) < 9e6


def test_licences_lie_beside_the_data():
    fashion = (DIRECTORY / "LICENSE-fashion-mnist.txt").read_text()
    assert "Copyright (c) 2017 Zalando SE" in fashion
    assert "Permission is hereby granted, free of charge" in fashion
    mnist = (DIRECTORY / "LICENSE-mnist.txt").read_text()
    assert "creativecommons.org/licenses/by-sa/3.0/" in mnist
    assert "Changes" in mnist
    pictures = (DIRECTORY / "LICENSE-emoji.txt").read_text()
    assert "Apache License" in pictures
    assert "END OF TERMS AND CONDITIONS" in pictures
    assert "Changes" in pictures


@pytest.fixture
def copy(tmp_path):
    for name in (SUMS, "mnist-test-labels-idx1-ubyte.xz"):
        shutil.copy(DIRECTORY / name, tmp_path)
    images = "mnist-test-images-idx3-ubyte.xz"
    shutil.copy(DIRECTORY / images, tmp_path)
    return tmp_path, tmp_path / images


def test_a_truncated_file_is_an_error(copy):
    directory, file = copy
    assert len(load_embedded("mnist", "test", directory)) == 2000
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match=f"{file.name}.*cut short; reinstall"):
        load_embedded("mnist", "test", directory)


def test_a_changed_byte_is_an_error(copy):
    directory, file = copy
    content = bytearray(file.read_bytes())
    content[1000] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match=f"{file.name}.*{SUMS}.*reinstall"):
        load_embedded("mnist", "test", directory)


@pytest.mark.parametrize("missing", [SUMS, "mnist-test-images-idx3-ubyte.xz"])
def test_a_missing_file_is_an_error(copy, missing):
    directory, _ = copy
    (directory / missing).unlink()
    with pytest.raises(FileNotFoundError, match=f"{missing}; reinstall"):
        load_embedded("mnist", "test", directory)


def test_unknown_name_and_split():
    with pytest.raises(
        ValueError, match=r"'cifar10'.*emoji, fashion_mnist, mnist.*'tfds'"
    ):
        data.load("cifar10", source="embedded")
    with pytest.raises(ValueError, match=r"'tets'.*did you mean 'test'.*test, train"):
        data.load("mnist:tets", source="embedded")
