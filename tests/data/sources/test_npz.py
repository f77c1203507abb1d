"""Source `npz`: keys, shapes, and refusals that say what to write."""

import numpy as np
import pytest

from flowjax_ood import data

GREY = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
RGB = np.arange(5 * 4 * 4 * 3, dtype=np.uint8).reshape(5, 4, 4, 3)


def load(spec, path):
    return data.load(spec, source="npz", path=path)


def test_directory_and_file_with_the_papers_keys(tmp_path):
    file = tmp_path / "notmnist.npz"
    np.savez(file, train=GREY[:2], test=GREY)
    for path in (tmp_path, file):
        found = load("notmnist:train", path)
        np.testing.assert_array_equal(found.images, GREY[:2, ..., None])
        assert found.labels is None
        assert f"key 'train' of {file}" in found.origin
    assert len(load("notmnist", tmp_path)) == 5


def test_named_split_and_labels(tmp_path):
    np.savez(tmp_path / "a.npz", train_images=RGB, train_labels=np.arange(5))
    found = load("a:train", tmp_path)
    np.testing.assert_array_equal(found.images, RGB)
    assert found.labels.dtype == np.int32
    np.testing.assert_array_equal(found.labels, range(5))


def test_images_serve_as_test_alone(tmp_path):
    np.savez(tmp_path / "a.npz", images=RGB, labels=np.zeros(5, np.uint8))
    assert len(load("a:test", tmp_path)) == 5
    assert load("a", tmp_path).labels.dtype == np.int32
    with pytest.raises(ValueError, match=r"'train' is not.*there is: test.*train_imag"):
        load("a:train", tmp_path)


def test_unknown_split_lists_splits(tmp_path):
    np.savez(tmp_path / "a.npz", train=GREY, test_images=GREY, test_labels=np.arange(5))
    with pytest.raises(
        ValueError, match=r"'tran'.*mean 'train'.*there is: test, train"
    ):
        load("a:tran", tmp_path)
    with pytest.raises(ValueError, match="'test_labels' is not"):
        load("a:test_labels", tmp_path)


@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        ({"test": GREY / 255.0}, TypeError, r"float64.*np\.round\(255"),
        ({"test": GREY.astype(np.int32)}, TypeError, "not int32"),
        (
            {"test": RGB.transpose(0, 3, 1, 2)},
            ValueError,
            r"channels first.*transpose\(0, 2, 3, 1\)",
        ),
        ({"test": GREY[0]}, ValueError, r"\(4, 3\)"),
        ({"test": GREY, "test_labels": np.ones(5)}, TypeError, "integers, not float64"),
        (
            {"test": GREY, "test_labels": np.full(5, 2**40)},
            ValueError,
            "do not fit in int32",
        ),
        ({"test": GREY, "test_labels": np.arange(4)}, ValueError, r"\(4,\).*5 images"),
        ({"test": np.array([{}, []], object)}, ValueError, "allow_pickle=False"),
    ],
)
def test_refusals(tmp_path, arrays, error, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(error, match=f"(a.npz|a:test).*{message}"):
        load("a", tmp_path)


def test_missing_set_lists_what_is_there(tmp_path):
    np.savez(tmp_path / "notmnist.npz", test=GREY)
    with pytest.raises(ValueError, match=r"'notmnst'.*mean 'notmnist'.*np\.savez"):
        load("notmnst", tmp_path)
    with pytest.raises(FileNotFoundError, match="absent"):
        load("a", tmp_path / "absent.npz")
    with pytest.raises(ValueError, match="needs path="):
        load("a", None)


def test_not_an_archive(tmp_path):
    file = tmp_path / "a.npz"
    for content in (b"PK\x03\x04 cut short", b"something else", b""):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.npz: not an \.npz archive"):
            load("a", tmp_path)
    np.save(tmp_path / "b.npy", GREY)
    with pytest.raises(ValueError, match=r"b\.npy: holds one array, not a set"):
        load("b", tmp_path / "b.npy")


def test_damaged_member(tmp_path):
    file = tmp_path / "a.npz"
    np.savez(file, test=GREY)
    content = bytearray(file.read_bytes())
    content[content.index(GREY.tobytes()) + 7] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz\['test'\]"):
        load("a", tmp_path)


def test_any_number_of_channels(tmp_path):
    """Two of radar, five of a satellite, as small as a line: none is turned around."""
    for shape in ((6, 8, 8, 2), (6, 8, 8, 5), (6, 1, 40, 4), (6, 3, 3, 7)):
        images = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
        np.savez(tmp_path / "sat.npz", train=images)
        np.testing.assert_array_equal(load("sat:train", tmp_path).images, images)
    small = data.load("sat:train", source="npz", path=tmp_path, image_size=2)
    assert small.images.shape == (6, 2, 2, 7)
    with pytest.raises(ValueError, match="of 7 channels are neither grey"):
        data.load("sat:train", source="npz", path=tmp_path, channels=1)
