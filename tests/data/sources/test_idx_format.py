"""The IDX format: round trip, compression, and every way a file can be wrong."""

import gzip
import lzma
import struct

import numpy as np
import pytest

from flowjax_ood.data.sources.idx import decode_idx, encode_idx, read_idx

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
        (GOOD[:-1], r"truncated: 135 bytes, dimensions \(6, 5, 4\) take 136"),
        (GOOD + b"\x00", "trailing bytes: 137 bytes"),
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
