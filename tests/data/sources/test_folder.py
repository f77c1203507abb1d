"""Source `folder`: layouts, order, colours, and files that cannot be read."""

import numpy as np
import pytest
from PIL import Image

from flowjax_ood import data
from flowjax_ood.data import checks
from flowjax_ood.data.sources import folder

RNG = np.random.default_rng(0)
LETTERS = "ABC"


def pixels(*shape):
    return RNG.integers(0, 256, shape, np.uint8)


def save(file, image, **options):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(file, **options)
    return image


def load(spec, path, **kwargs):
    return data.load(spec, source="folder", path=path, **kwargs)


@pytest.fixture
def letters(tmp_path):
    """As notMNIST_small: A/ ... with four files each, and B/ with one more."""
    root = tmp_path / "notMNIST_small"
    images = {}
    for letter in LETTERS:
        for name in ["z", "b", "Y", "_"] + ["zz"] * (letter == "B"):
            images[letter, name] = save(root / letter / f"{name}.png", pixels(6, 6))
    return root, images


def test_classes_take_turns_in_the_order_of_file_names(letters):
    root, images = letters
    found = load("notmnist:test", root)
    order = [(c, n) for n in ("Y", "_", "b", "z") for c in LETTERS] + [("B", "zz")]
    expected = np.stack([images[key] for key in order])[..., None]
    np.testing.assert_array_equal(found.images, expected)
    np.testing.assert_array_equal(found.labels, [LETTERS.index(c) for c, _ in order])
    assert found.labels.dtype == np.int32
    assert (found.name, found.split, found.source) == ("notmnist", "test", "folder")
    assert found.origin == (f"image files in {root}; 3 classes taking turns (A, B, C)")
    # a limit is a fair sample of the classes
    few = load("notmnist", root, limit=4)
    np.testing.assert_array_equal(few.images, expected[:4])
    np.testing.assert_array_equal(few.labels, [0, 1, 2, 0])


def test_a_limit_above_the_images_is_refused(letters):
    root, _ = letters
    with pytest.raises(ValueError, match=r"holds 13 readable images.* first 14 "):
        load("notmnist", root, limit=14)


def test_flat_splits_beside_each_other_in_a_directory_of_sets(tmp_path):
    made = {}
    for split in ("train", "test"):
        for name in ("2.PNG", "10.png"):
            file = tmp_path / "faces" / split / name
            made[split, name] = save(file, pixels(5, 4, 3))
    (tmp_path / "faces" / "test" / ".hidden.png").write_bytes(b"not an image")
    (tmp_path / "faces" / "test" / "read.me").write_text("not an image")
    (tmp_path / "digits").mkdir()
    for path in (tmp_path, tmp_path / "faces"):
        for split in ("train", "test"):
            found = load(f"faces:{split}", path)
            expected = [made[split, "10.png"], made[split, "2.PNG"]]
            np.testing.assert_array_equal(found.images, expected)
            assert found.labels is None
            assert found.origin == f"image files in {tmp_path / 'faces' / split}"


def test_splits_with_class_directories(tmp_path):
    for split, count in (("train", 3), ("test", 2)):
        for label in ("cat", "dog"):
            for index in range(count):
                save(tmp_path / split / label / f"{index}.png", pixels(4, 4, 3))
    assert len(load("pets:train", tmp_path)) == 6
    np.testing.assert_array_equal(load("pets", tmp_path).labels, [0, 1, 0, 1])
    with pytest.raises(ValueError, match=r"'tets' is not a split of 'pets'.*'test'"):
        load("pets:tets", tmp_path)


def test_without_split_directories_there_is_only_the_split_test(letters):
    root, _ = letters
    with pytest.raises(ValueError, match=r"are the split 'test', not 'train'"):
        load("notmnist:train", root)


def broken(root, *names):
    for name in names:
        file = root / "A" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")


@pytest.fixture
def with_two_broken(tmp_path):
    """200 files in A/, two of them empty, and as many in B/."""
    sound = {}
    for index in range(200):
        sound["B", index] = save(tmp_path / "B" / f"{index:03}.png", pixels(3, 3))
        if index not in (1, 5):
            sound["A", index] = save(tmp_path / "A" / f"{index:03}.png", pixels(3, 3))
    broken(tmp_path, "001.png", "005.png")
    return tmp_path, sound


def test_unreadable_files_are_left_out_named_and_recorded(with_two_broken):
    root, sound = with_two_broken
    with pytest.warns(UserWarning, match=r"left out 2 files.*: A/001.png, A/005.png"):
        found = load("letters", root)
    assert len(found) == 398
    assert "left out 2 files that cannot be read: A/001.png, A/005.png" in found.origin
    order = [(c, i) for i in range(200) for c in "AB" if (c, i) in sound]
    expected = np.stack([sound[key] for key in order])[..., None]
    np.testing.assert_array_equal(found.images, expected)
    np.testing.assert_array_equal(found.labels, ["AB".index(c) for c, _ in order])


def test_a_limit_counts_readable_files(with_two_broken, monkeypatch):
    root, _ = with_two_broken
    monkeypatch.setattr(folder, "MOST_UNREADABLE", 0.2)
    with pytest.warns(UserWarning, match="left out 2 files"):
        part = load("letters", root, limit=12)
    with pytest.warns(UserWarning, match="left out 2 files"):
        whole = load("letters", root)
    np.testing.assert_array_equal(part.images, whole.images[:12])
    np.testing.assert_array_equal(part.labels, whole.labels[:12])


def test_truncated_files_are_unreadable(tmp_path):
    for index in range(100):
        save(tmp_path / f"{index:03}.png", pixels(9, 9))
    file = tmp_path / "007.png"
    file.write_bytes(file.read_bytes()[:90])
    with pytest.warns(UserWarning, match=r"left out 1 file that.*007.png"):
        assert len(load("letters", tmp_path)) == 99


def test_many_unreadable_files_are_an_error(letters):
    root, _ = letters
    broken(root, "broken.png")
    with pytest.raises(ValueError, match=r"1 of 14 image files cannot .*more than 1%"):
        load("notmnist", root)
    for file in root.rglob("*.png"):
        file.write_bytes(b"")
    with pytest.raises(ValueError, match=r"14 of 14 .* and 9 more"):
        load("notmnist", root)


def test_grey_and_colour_together_need_a_decision(tmp_path):
    grey = save(tmp_path / "a.png", pixels(4, 4))
    colour = save(tmp_path / "b.png", pixels(4, 4, 3))
    with pytest.raises(ValueError, match=r"b.png is colour, .*a.png grey; pass channe"):
        load("mixed", tmp_path)
    as_grey = load("mixed", tmp_path, channels=1)
    expected = [grey[..., None], data.to_grayscale(colour[None])[0]]
    np.testing.assert_array_equal(as_grey.images, expected)
    assert as_grey.origin.endswith("as grey (ITU-R 601 luma)")
    as_rgb = load("mixed", tmp_path, channels=3)
    np.testing.assert_array_equal(
        as_rgb.images, [np.repeat(grey[..., None], 3, 2), colour]
    )


@pytest.mark.parametrize(
    ("mode", "channels"),
    [("1", 1), ("L", 1), ("LA", 1), ("P", 3), ("RGB", 3), ("RGBA", 3), ("CMYK", 3)],
)
def test_stored_modes(tmp_path, mode, channels):
    image = Image.fromarray(pixels(8, 8, 3)).convert(mode)
    file = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image.save(file)
    found = load("one", tmp_path).images[0]
    assert found.shape == (8, 8, channels)
    expected = image.convert("L" if channels == 1 else "RGB")
    np.testing.assert_array_equal(np.squeeze(found), np.asarray(expected))


@pytest.mark.parametrize("channels", [None, 1, 3])
def test_what_has_no_one_reading_is_refused(tmp_path, channels):
    file = tmp_path / "a.png"
    save(file, pixels(4, 4).astype(np.uint16) * 257)
    with pytest.raises(ValueError, match=r"a.png has more than 8 bits a value"):
        load("deep", tmp_path, channels=channels)
    save(file, np.dstack([pixels(4, 4, 3), np.full((4, 4), 254, np.uint8)]))
    with pytest.raises(ValueError, match=r"a.png has transparent pixels"):
        load("clear", tmp_path, channels=channels)
    Image.fromarray(np.full((4, 4), 200, np.uint8)).save(file, transparency=200)
    with pytest.raises(ValueError, match=r"a.png has transparent pixels"):
        load("keyed", tmp_path, channels=channels)


def test_no_image_file_is_passed_over(tmp_path):
    """What Pillow reads counts by any of its names, and what it cannot is said."""
    first = save(tmp_path / "a.jpg", pixels(4, 4))
    (tmp_path / "a.jpg").rename(tmp_path / "a.JFIF")
    assert load("faces", tmp_path).images.shape == (1, *first.shape, 1)
    (tmp_path / "b.heic").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(ValueError, match=r"1 of 2 .*/b.heic.*convert them to PNG"):
        load("faces", tmp_path)


def test_too_long_an_image_is_not_resized(tmp_path):
    """Of 1 x 100,000 pixels, resized to a side of 64, 64 x 6,400,000 are cropped."""
    save(tmp_path / "long.png", np.zeros((1, 100_000), np.uint8))
    with pytest.raises(ValueError, match=r"long.png: an image of 1 x 100000 .*crop it"):
        load("lines", tmp_path, image_size=64)
    assert load("lines", tmp_path, image_size=8).images.shape == (1, 8, 8, 1)


def test_a_class_has_one_number_in_all_splits(tmp_path):
    grey = {"2": 20, "10": 30, "bag": 40, "coat": 50}
    for split, names in (("train", grey), ("test", ("coat", "10")), ("val", ("2",))):
        for name in names:
            save(tmp_path / split / name / "0.png", np.full((2, 2), grey[name], "u1"))
    for split, labels in (("train", [0, 1, 2, 3]), ("test", [1, 3]), ("val", [0])):
        part = load(f"clothes:{split}", tmp_path)
        np.testing.assert_array_equal(part.labels, labels)
        values = np.array(list(grey.values()))
        np.testing.assert_array_equal(part.images[:, 0, 0, 0], values[labels])
    assert part.origin.endswith(
        "4 classes taking turns (2, 10, bag, coat), 1 of them here"
    )


def test_sizes_must_agree_or_be_brought_to_one(tmp_path):
    images = [
        save(tmp_path / "a.png", pixels(10, 8, 3)),
        save(tmp_path / "b.png", pixels(9, 12, 3)),
    ]
    with pytest.raises(ValueError, match=r"b.png is \(9, 12, 3\).*pass image_size="):
        load("faces", tmp_path)
    found = load("faces", tmp_path, image_size=6)
    expected = [data.resize_center_crop(image, 6) for image in images]
    np.testing.assert_array_equal(found.images, expected)
    assert "resized to 6 (PIL bilinear)" in found.origin


def test_a_misspelt_set_is_not_taken_for_the_directory_of_sets(letters):
    root, _ = letters
    above = root.parent
    with pytest.raises(ValueError, match=r"did you mean 'notMNIST_small'\?"):
        load("notMNIST_smal", above)
    with pytest.raises(ValueError, match=r"'mnist' is not a directory in"):
        load("mnist", above)


def test_directories_that_are_no_layout(tmp_path):
    with pytest.raises(ValueError, match="needs path="):
        load("a", None)
    with pytest.raises(FileNotFoundError, match="no directory '/no/such'"):
        load("a", "/no/such")
    with pytest.raises(FileNotFoundError, match="no image files in"):
        load("a", tmp_path)
    save(tmp_path / "a" / "A" / "1.png", pixels(2, 2))
    (tmp_path / "a" / "B").mkdir()
    with pytest.raises(ValueError, match=r"class directory .*B holds no image files"):
        load("a", tmp_path)
    save(tmp_path / "a" / "B" / "more" / "1.png", pixels(2, 2))
    with pytest.raises(ValueError, match=r"taken for a class, yet it holds dir"):
        load("a", tmp_path)
    save(tmp_path / "a" / "1.png", pixels(2, 2))
    with pytest.raises(ValueError, match=r"holds images \(1.png\) and directories"):
        load("a", tmp_path)


def test_images_that_do_not_fit_in_memory_are_refused_first(letters, monkeypatch):
    root, _ = letters
    meminfo = root.parent / "meminfo"
    meminfo.write_text("MemTotal: 900 kB\nMemAvailable:       0 kB\n")
    monkeypatch.setattr(checks, "MEMINFO", meminfo)
    with pytest.raises(ValueError, match=r"13 images take 0.0 GB of memory.* limit="):
        load("notmnist", root)
    meminfo.unlink()
    assert len(load("notmnist", root)) == 13
