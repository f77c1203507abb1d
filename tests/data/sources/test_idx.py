"""Source `idx`: the names it knows, what wins, and what it says when nothing fits."""

import gzip
import lzma
import struct
import tracemalloc

import numpy as np
import pytest

from flowjax_ood import data
from flowjax_ood.data import checks
from flowjax_ood.data.sources import idx
from flowjax_ood.data.sources.idx import decode_idx, encode_idx, read_idx

COMPRESS = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}


def put(directory, images_name, fill, labels=True, count=4):
    """A tiny data set of constant images `fill`, labels 0, 1, 2, ..."""
    directory.mkdir(parents=True, exist_ok=True)
    compress = COMPRESS[images_name[images_name.index("ubyte") + 5 :]]
    images = np.full((count, 3, 2), fill, np.uint8)
    (directory / images_name).write_bytes(compress(encode_idx(images)))
    if labels:
        name = images_name.replace("images", "labels").replace("idx3", "idx1")
        array = np.arange(count, dtype=np.uint8)
        (directory / name).write_bytes(compress(encode_idx(array)))


def load(spec, path):
    return data.load(spec, source="idx", path=path)


@pytest.mark.parametrize("folder", ["", "fashion-mnist", "FashionMNIST/raw"])
@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
@pytest.mark.parametrize(
    ("stem", "spec"),
    [
        ("train-images-idx3-ubyte", "fashion_mnist:train"),
        ("t10k-images-idx3-ubyte", "fashion_mnist"),
        ("t10k-images.idx3-ubyte", "fashion-mnist:test"),
        ("train10k-images-idx3-ubyte", "fashion_mnist:train10k"),
    ],
)
def test_standard_names(tmp_path, folder, suffix, stem, spec):
    put(tmp_path / folder, stem + suffix, fill=9)
    images = load(spec, tmp_path)
    assert images.images.shape == (4, 3, 2, 1)
    assert (images.images == 9).all()
    np.testing.assert_array_equal(images.labels, range(4))
    assert stem + suffix in images.origin
    assert ("its name says no data set" in images.origin) == (folder == "")
    assert ("MIT" in images.origin) == (folder != "")


def test_prefixed_names_tell_data_sets_apart(tmp_path):
    put(tmp_path, "fashion-mnist-train-images-idx3-ubyte.gz", fill=1)
    put(tmp_path, "mnist-train10k-images-idx3-ubyte.gz", fill=2, labels=False)
    assert (load("fashion_mnist:train", tmp_path).images == 1).all()
    digits = load("mnist:train10k", tmp_path)
    assert (digits.images == 2).all()
    assert digits.labels is None
    assert "without labels" in digits.origin
    assert "CC BY-SA" in digits.origin


def test_missing_split_says_what_there_is_and_what_to_write(tmp_path):
    put(tmp_path, "mnist-train10k-images-idx3-ubyte.gz", fill=2)
    with pytest.raises(ValueError, match=r"no split 'test'.*Write 'mnist:train10k'"):
        load("mnist:test", tmp_path)


def test_a_bare_file_is_not_taken_beside_files_that_name_the_set(tmp_path):
    put(tmp_path, "mnist-train-images-idx3-ubyte", fill=2)
    put(tmp_path, "t10k-images-idx3-ubyte", fill=3)
    with pytest.raises(ValueError, match=r"no split 'test' of 'mnist'.*mnist:train"):
        load("mnist:test", tmp_path)


def test_a_directory_named_after_another_set_is_not_taken(tmp_path):
    directory = tmp_path / "fashion-mnist"
    put(directory, "t10k-images-idx3-ubyte.gz", fill=3)
    assert "MIT" in load("fashion_mnist", directory).origin
    with pytest.raises(ValueError, match=r"'mnist:test' is not.*fashion_mnist:test"):
        load("mnist", directory)


def test_the_uncompressed_file_wins(tmp_path):
    for fill, suffix in enumerate([".xz", ".gz", ""]):
        put(tmp_path, f"t10k-images-idx3-ubyte{suffix}", fill=fill)
    assert (load("mnist", tmp_path).images == 2).all()


def test_labels_come_from_beside_the_images(tmp_path):
    put(tmp_path / "mnist", "t10k-images-idx3-ubyte", fill=1, labels=False)
    put(tmp_path / "kmnist", "t10k-images-idx3-ubyte", fill=2)
    assert load("mnist", tmp_path).labels is None


def test_mismatched_labels(tmp_path):
    put(tmp_path, "t10k-images-idx3-ubyte", fill=1)
    labels = encode_idx(np.zeros(3, np.uint8))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(labels)
    with pytest.raises(ValueError, match=r"mnist:test.*\(3,\).*4 images"):
        load("mnist", tmp_path)


def test_empty_directory(tmp_path):
    with pytest.raises(ValueError, match=r"there is: nothing; put kmnist-train-images"):
        load("kmnist", tmp_path)


def test_missing_directory(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no directory '.*absent'"):
        load("mnist", tmp_path / "absent")


def test_default_directory_is_debians(tmp_path, monkeypatch):
    assert str(idx.DEBIAN_FASHION_MNIST) == "/usr/share/datasets/fashion-mnist"
    monkeypatch.setattr(idx, "DEBIAN_FASHION_MNIST", tmp_path / "fashion-mnist")
    with pytest.raises(FileNotFoundError, match="apt install dataset-fashion-mnist"):
        load("fashion_mnist", None)
    put(tmp_path / "fashion-mnist", "t10k-images-idx3-ubyte.gz", fill=5)
    assert (load("fashion_mnist", None).images == 5).all()
    with pytest.raises(ValueError, match=r"no default directory for 'mnist'.*path="):
        load("mnist", None)


IMAGES = np.random.default_rng(0).integers(0, 256, (6, 5, 4), np.uint8)


def test_layout():
    expected = b"\x00\x00\x08\x01" + struct.pack(">I", 3) + bytes([7, 8, 9])
    assert encode_idx(np.array([7, 8, 9], np.uint8)) == expected


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress)],
)
def test_round_trip(tmp_path, suffix, compress):
    file = tmp_path / f"images-idx3-ubyte{suffix}"
    file.write_bytes(compress(encode_idx(IMAGES)))
    found = read_idx(file, rank=3)
    np.testing.assert_array_equal(found, IMAGES)
    assert found.flags.writeable


def test_encode_refuses_other_types():
    with pytest.raises(TypeError, match="int64"):
        encode_idx(np.arange(3))


GOOD = encode_idx(IMAGES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"<htm", "not an IDX file.*0x3c68746d"),
        (b"\x00\x00\x0d\x03" + GOOD[4:], "must be uint8.*not float32"),
        (b"\x00\x00\x07\x03" + GOOD[4:], "unknown type 0x07"),
        (b"\x00\x00\x08\x01" + GOOD[4:], "1 dimensions, expected 3"),
        (GOOD[:10], "truncated: 10 bytes, the header alone takes 16"),
        (GOOD[:-1], r"truncated: 119 bytes, dimensions \(6, 5, 4\) take 120"),
        (GOOD + b"\x00", r"trailing bytes: dimensions \(6, 5, 4\) take 120 bytes"),
    ],
)
def test_faults_name_the_file(content, message):
    with pytest.raises(ValueError, match=f"^broken-ubyte: .*{message}"):
        decode_idx(content, 3, "broken-ubyte")


@pytest.mark.parametrize(
    ("suffix", "compress"), [(".gz", gzip.compress), (".xz", lzma.compress)]
)
@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: GOOD])
def test_damaged_compression_names_the_file(tmp_path, suffix, compress, damage):
    file = tmp_path / f"images{suffix}"
    file.write_bytes(damage(compress(GOOD)))
    with pytest.raises(ValueError, match=rf"images\{suffix}: not a complete"):
        read_idx(file, rank=3)


@pytest.mark.parametrize(
    ("suffix", "compress"), [(".gz", gzip.compress), (".xz", lzma.compress)]
)
def test_no_more_is_decompressed_than_the_header_says(
    tmp_path, suffix, compress, monkeypatch
):
    """A bomb of 64 MB ends after the bytes announced, or before, if they are many."""
    file = tmp_path / f"images{suffix}"
    file.write_bytes(compress(GOOD + bytes(2**26)))
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"trailing bytes: .* take 120 bytes"):
        read_idx(file, rank=3)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()
    (tmp_path / "meminfo").write_text("MemAvailable:  1000 kB\n")
    monkeypatch.setattr(checks, "MEMINFO", tmp_path / "meminfo")
    file.write_bytes(compress(GOOD[:4] + struct.pack(">3I", 2**20, 28, 28)))
    with pytest.raises(
        ValueError, match=r"images\..*take 0\.8 GB .* 0\.0 GB are avail"
    ):
        read_idx(file, rank=3)
