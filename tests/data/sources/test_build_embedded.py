"""The script that builds the shipped samples, on tiny files and on the real ones."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

from flowjax_ood.data.sources.build_embedded import check, main, rebuild
from flowjax_ood.data.sources.embedded import Part
from flowjax_ood.data.sources.idx import decode_idx, encode_idx
from flowjax_ood.data.sources.shipped import DIRECTORY, SUMS, read_checked, read_sums

REAL = Path(__file__).parents[4] / "shared" / "data"
PARTS = (
    Part("fashion_mnist", "test", taken_from="test", start=0, count=3, story="three"),
    Part("mnist", "train", taken_from="train10k", start=2, count=4, story="four"),
)


@pytest.fixture
def idx(tmp_path):
    """Directory of two tiny data sets, and their arrays."""
    directory, arrays = tmp_path / "idx", {}
    directory.mkdir()
    rng = np.random.default_rng(0)
    for stem in ("fashion-mnist-t10k", "mnist-train10k"):
        images = rng.integers(0, 256, (7, 4, 5), np.uint8)
        labels = rng.integers(0, 10, 7, np.uint8)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            file = directory / f"{stem}-{kind}-ubyte.gz"
            file.write_bytes(gzip.compress(encode_idx(array)))
        arrays[stem] = images, labels
    return directory, arrays


def test_builds_the_named_rows_in_file_order(idx, tmp_path, capsys):
    directory, arrays = idx
    out = tmp_path / "out"
    main(["--idx", str(directory), "--out", str(out)], PARTS)
    assert "4 files" in capsys.readouterr().out
    images, labels = arrays["mnist-train10k"]
    for name, rank, expected in (
        ("mnist-train-images-idx3-ubyte.xz", 3, images[2:6]),
        ("mnist-train-labels-idx1-ubyte.xz", 1, labels[2:6]),
        ("fashion-mnist-test-images-idx3-ubyte.xz", 3, arrays["fashion-mnist-t10k"][0]),
    ):
        found = decode_idx(read_checked(out, name), rank, name)
        np.testing.assert_array_equal(found, expected[: len(found)])
        assert len(found) in (3, 4)
    main(["--idx", str(directory), "--out", str(out), "--check"], PARTS)
    assert "agree" in capsys.readouterr().out


def test_building_twice_gives_the_same_bytes(idx, tmp_path):
    directory, _ = idx
    for out in ("one", "two"):
        main(["--idx", str(directory), "--out", str(tmp_path / out)], PARTS)
    names = {p.name for p in (tmp_path / "one").iterdir()}
    assert len(names) == 5
    for name in names:
        one, two = ((tmp_path / d / name).read_bytes() for d in ("one", "two"))
        assert one == two
    sums = read_sums(tmp_path / "one")
    assert sums == {
        name: hashlib.sha256((tmp_path / "one" / name).read_bytes()).hexdigest()
        for name in names - {SUMS}
    }


def test_check_finds_what_differs(idx, tmp_path):
    directory, _ = idx
    out = tmp_path / "out"
    main(["--idx", str(directory), "--out", str(out)], PARTS)
    shifted = (PARTS[0], Part("mnist", "train", "train10k", 1, 4, "shifted"))
    with pytest.raises(SystemExit, match=r"mnist-train-images.*differs"):
        main(["--idx", str(directory), "--out", str(out), "--check"], shifted)
    (out / "other.xz").write_bytes(b"")
    (out / "mnist-train-labels-idx1-ubyte.xz").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="does not agree with SHA256SUMS") as error:
        check(rebuild(directory, PARTS), out)
    assert "other.xz: not part of the rebuild" in str(error.value)


def test_one_origin_alone_leaves_the_files_of_the_other(idx, tmp_path):
    directory, _ = idx
    out = tmp_path / "out"
    main(["--idx", str(directory), "--out", str(out)], PARTS[:1])
    before = read_sums(out)
    main(["--idx", str(directory), "--out", str(out)], PARTS[1:])
    assert before.items() < read_sums(out).items()
    main(["--idx", str(directory), "--out", str(out), "--check"], PARTS[:1])


def test_no_origin_is_an_error(capsys):
    with pytest.raises(SystemExit):
        main(["--check"])
    assert "give --idx or --font" in capsys.readouterr().err


def test_too_few_images_is_an_error_before_anything_is_written(idx, tmp_path):
    directory, _ = idx
    out = tmp_path / "out"
    long = (Part("mnist", "train", "train10k", 2, 6, "too long"),)
    with pytest.raises(SystemExit, match=r"images 2 to 7 .* there are 7 images"):
        main(["--idx", str(directory), "--out", str(out)], long)
    assert not out.exists()


def test_missing_labels_is_an_error(idx):
    directory, _ = idx
    (directory / "mnist-train10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(ValueError, match="7 images without labels"):
        rebuild(directory, PARTS)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the full IDX files are not in {REAL}")
def test_the_shipped_files_equal_a_rebuild(capsys):
    main(["--idx", str(REAL), "--check"])
    assert f"8 files, 5.35 MB, agree with the rebuild: {DIRECTORY}" in (
        capsys.readouterr().out
    )
