"""`load`: specs, sources, limits and sizes; and a light import."""

import subprocess
import sys

import numpy as np
import pytest

from flowjax_ood import data
from flowjax_ood.data.loading import parse_spec


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("mnist", ("mnist", "test")),
        ("mnist:train", ("mnist", "train")),
        ("mnist:train[:100]", ("mnist", "train[:100]")),
    ],
)
def test_parse_spec(spec, expected):
    assert parse_spec(spec) == expected


@pytest.mark.parametrize("spec", ["", ":test", "mnist:"])
def test_malformed_spec(spec):
    with pytest.raises(ValueError, match=f"not '{spec}'"):
        data.load(spec, source="synthetic")


@pytest.mark.parametrize("spec", ["mn\x1b[2Jist", "mnist:te\nst", "\x9bmnist"])
def test_a_spec_that_a_terminal_would_obey(spec):
    with pytest.raises(ValueError, match="no control characters, unlike") as e:
        parse_spec(spec)
    assert str(e.value).isprintable()


def test_spec_must_be_a_string():
    with pytest.raises(TypeError, match="None"):
        data.load(None, source="synthetic")


def test_unknown_source_lists_all_and_the_close_one():
    with pytest.raises(ValueError, match="did you mean 'embedded'") as error:
        data.load("mnist", source="embeded")
    assert all(source in str(error.value) for source in data.SOURCES)


def test_limit_takes_the_first_and_is_never_exceeded_silently():
    whole = data.load("mnist", source="embedded")
    part = data.load("mnist", source="embedded", limit=np.int64(7))
    np.testing.assert_array_equal(part.images, whole.images[:7])
    np.testing.assert_array_equal(part.labels, whole.labels[:7])
    with pytest.raises(ValueError, match=r"2000 images.* first 2001 "):
        data.load("mnist", source="embedded", limit=2001)


@pytest.mark.parametrize("argument", ["limit", "image_size"])
@pytest.mark.parametrize("value", [0, -3, 2.0])
def test_bad_numbers_name_the_argument(argument, value):
    with pytest.raises(ValueError, match=f"{argument}.*{value}"):
        data.load("mnist", source="embedded", **{argument: value})


def test_image_size_resizes_and_says_so():
    resized = data.load("mnist", source="embedded", limit=3, image_size=32)
    assert resized.images.shape == (3, 32, 32, 1)
    assert "resized to 32 (PIL bilinear), centre-cropped" in resized.origin
    original = data.load("mnist", source="embedded", limit=3)
    for index in range(3):
        np.testing.assert_array_equal(
            resized.images[index], data.resize_center_crop(original.images[index], 32)
        )


def test_image_size_already_there_changes_nothing():
    plain = data.load("mnist", source="embedded", limit=3)
    same = data.load("mnist", source="embedded", limit=3, image_size=28)
    np.testing.assert_array_equal(plain.images, same.images)
    assert plain.origin == same.origin


def test_channels_are_converted_and_the_origin_says_so():
    grey = data.load("mnist", source="embedded", limit=3)
    rgb = data.load("mnist", source="embedded", limit=3, channels=3)
    np.testing.assert_array_equal(rgb.images, data.to_rgb(grey.images))
    assert rgb.origin == f"{grey.origin}; grey repeated as RGB"
    colour = data.load("cifar10", source="synthetic", limit=3)
    small = data.load("cifar10", source="synthetic", limit=3, channels=1)
    np.testing.assert_array_equal(small.images, data.to_grayscale(colour.images))
    assert "made grey (ITU-R 601 luma)" in small.origin
    same = data.load("mnist", source="embedded", limit=3, channels=1)
    assert same.origin == grey.origin
    with pytest.raises(ValueError, match=r"1 \(grey\), 3 \(RGB\) or None, not 2"):
        data.load("mnist", source="embedded", channels=2)


def test_embedded_refuses_a_path_and_synthetic_ignores_it(tmp_path):
    with pytest.raises(ValueError, match=r"path=.*use source 'idx'"):
        data.load("mnist", source="embedded", path=tmp_path)
    fake = data.load("mnist", source="synthetic", path=tmp_path, limit=2)
    assert fake.source == "synthetic"


def test_import_is_light():
    code = (
        "import sys, flowjax_ood.data\n"
        "heavy = {'jax', 'flax', 'PIL', 'tensorflow', 'tensorflow_datasets',"
        " 'matplotlib'}\n"
        "found = heavy & set(sys.modules)\n"
        "sys.exit(f'imported {sorted(found)}' if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
