"""Source `tfds`: mocked sets, a really prepared one, and no TensorFlow anywhere."""

import logging
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from flowjax_ood import data
from flowjax_ood.data import checks
from tests.helpers.prepared_tfds import prepare

COUNT = 5


@pytest.fixture(autouse=True)
def _without_tensorflow():
    logging.getLogger("absl").setLevel(logging.ERROR)
    yield
    assert "tensorflow" not in sys.modules


@pytest.fixture
def mock(tmp_path):
    """Any TFDS name yields COUNT images of noise, of its true shape."""
    with tfds.testing.mock_data(
        num_examples=COUNT,
        policy=tfds.testing.MockPolicy.USE_CODE,
        data_dir=str(tmp_path),
    ):
        yield lambda spec, **kwargs: data.load(
            spec, source="tfds", path=tmp_path, **kwargs
        )


@pytest.mark.parametrize(
    ("spec", "tfds_name", "shape", "labelled"),
    [
        ("fashion_mnist:train", "fashion_mnist", (28, 28, 1), True),
        ("mnist", "mnist", (28, 28, 1), True),
        ("cifar10:train", "cifar10", (32, 32, 3), True),
        ("svhn_cropped", "svhn_cropped", (32, 32, 3), True),
        ("svhn", "svhn_cropped", (32, 32, 3), True),
        ("celeba", "celeb_a", (32, 32, 3), False),
    ],
)
def test_mocked_sets(mock, spec, tfds_name, shape, labelled):
    images = mock(spec)
    assert images.images.shape == (COUNT, *shape)
    assert images.images.std() > 5
    assert (images.labels is not None) == labelled
    assert tfds_name in images.origin
    assert images.name == spec.partition(":")[0]
    np.testing.assert_array_equal(images.images, mock(spec).images)


def test_order_and_pixels_are_those_of_the_data_source(mock):
    images = mock("cifar10")
    source = tfds.data_source("cifar10", split="test", download=False)
    for index in range(COUNT):
        np.testing.assert_array_equal(images.images[index], source[index]["image"])
        assert images.labels[index] == source[index]["label"]


def test_celeba_is_resized_and_cropped(mock):
    source = tfds.data_source("celeb_a", split="test", download=False)
    for size, images in ((32, mock("celeba")), (16, mock("celeba", image_size=16))):
        assert f"resized to {size} (PIL bilinear)" in images.origin
        for index in range(COUNT):
            expected = data.resize_center_crop(source[index]["image"], size)
            np.testing.assert_array_equal(images.images[index], expected)


def test_imagenet64_is_known_by_its_short_name(tmp_path):
    def pictures(builder, **_):
        return [{"image": np.full((64, 64, 3), i, np.uint8)} for i in range(COUNT)]

    with tfds.testing.mock_data(as_data_source_fn=pictures, data_dir=str(tmp_path)):
        found = data.load("imagenet64:validation", source="tfds", path=tmp_path)
    assert (found.name, found.split) == ("imagenet64", "validation")
    assert found.images.shape == (COUNT, 64, 64, 3)
    assert found.labels is None
    assert "downsampled_imagenet/64x64" in found.origin


def test_a_set_larger_than_memory_is_refused(mock, tmp_path, monkeypatch):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 100 kB\nMemAvailable: 11 kB\n")
    monkeypatch.setattr(checks, "MEMINFO", meminfo)
    with pytest.raises(ValueError, match=r"cifar10:test: 5 images .* available; take"):
        mock("cifar10")
    assert len(mock("cifar10", limit=3)) == 3


def test_limit(mock):
    whole = mock("mnist")
    part = mock("mnist", limit=2)
    np.testing.assert_array_equal(part.images, whole.images[:2])
    with pytest.raises(ValueError, match=r"holds 5 images, so the first 6 "):
        mock("mnist", limit=6)


def test_unknown_name(mock):
    with pytest.raises(ValueError, match=r"'celba'.*did you mean 'celeba'.*cifar10"):
        mock("celba")


def test_not_an_image_set(mock):
    with pytest.raises(ValueError, match=r"'ag_news_subset' has no feature 'image'"):
        mock("ag_news_subset")


def test_images_of_several_sizes_need_image_size(tmp_path):
    def pictures(builder, **_):
        sizes = [(30, 40), (30, 40), (50, 35)]
        return [{"image": np.zeros((*s, 3), np.uint8), "label": 1} for s in sizes]

    with tfds.testing.mock_data(as_data_source_fn=pictures, data_dir=str(tmp_path)):
        with pytest.raises(ValueError, match=r"image 2 is \(50, 35, 3\).*image_size="):
            data.load("oxford_flowers102", source="tfds", path=tmp_path)
        resized = data.load(
            "oxford_flowers102", source="tfds", path=tmp_path, image_size=24
        )
    assert resized.images.shape == (3, 24, 24, 3)


def test_not_prepared_names_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing is downloaded") as error:
        data.load("celeba", source="tfds", path=tmp_path)
    command = f"`tfds build celeb_a --file_format=array_record --data_dir={tmp_path}`"
    assert command in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def prepared(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (9, 28, 28, 1), np.uint8)
    prepare(tmp_path, {"test": images})
    return tmp_path, images


def test_reads_prepared_data(prepared):
    data_dir, expected = prepared
    images = data.load("mnist", source="tfds", path=data_dir)
    np.testing.assert_array_equal(images.images, expected)
    np.testing.assert_array_equal(images.labels, range(9))
    assert "mnist/3" in images.origin
    sliced = data.load("mnist:test[2:5]", source="tfds", path=data_dir)
    np.testing.assert_array_equal(sliced.images, expected[2:5])


def test_unknown_split_lists_the_prepared_ones(prepared):
    data_dir, _ = prepared
    with pytest.raises(
        ValueError, match=r"'tset'.*did you mean 'test'.*there is: test"
    ):
        data.load("mnist:tset", source="tfds", path=data_dir)
    with pytest.raises(ValueError, match=r"tfds mnist:test\[x\]"):
        data.load("mnist:test[x]", source="tfds", path=data_dir)


def test_prepared_without_random_access(tmp_path):
    images = np.zeros((1, 28, 28, 1), np.uint8)
    prepare(tmp_path, {"test": images}, file_format="tfrecord")
    with pytest.raises(FileNotFoundError, match=r"not for random access.*--overwrite"):
        data.load("mnist", source="tfds", path=tmp_path)


def test_neither_tensorflow_nor_jax_is_imported(prepared):
    data_dir, _ = prepared
    code = (
        "import sys\n"
        "from flowjax_ood import data\n"
        f"assert len(data.load('mnist', source='tfds', path={str(data_dir)!r})) == 9\n"
        "found = {'tensorflow', 'jax'} & set(sys.modules)\n"
        "sys.exit(f'imported {found}' if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
