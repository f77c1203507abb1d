"""What counts as IMAGES, and how pictures are read."""

import gzip
import struct

import numpy as np
import pytest
from PIL import Image

from flowjax_ood.interface.errors import UserError
from flowjax_ood.tool.extraction import brought_to, packed, thumbnail, unpacked
from flowjax_ood.tool.reading import read_examples
from tests.tool.conftest import normal_images, write


def one(examples, row=0):
    return next(examples.pictures([row]))


def test_links_to_folders_are_followed_once(tmp_path):
    write(tmp_path / "elsewhere", normal_images(2, 0))
    folder = write(tmp_path / "set" / "a", normal_images(1, 1)).parent
    (folder / "b").symlink_to(tmp_path / "elsewhere")
    (folder / "c").symlink_to(tmp_path / "elsewhere")
    (folder / "round").symlink_to(folder)
    assert read_examples(folder).names == ("a/000.png", "b/000.png", "b/001.png")


def test_a_folder_is_read_with_those_below_it_in_order(tmp_path):
    write(tmp_path / "b", normal_images(2, 0))
    write(tmp_path / "a", normal_images(1, 1))
    write(tmp_path / ".hidden", normal_images(1, 2))
    (tmp_path / "a" / "note.txt").write_text("no image")
    examples = read_examples(tmp_path)
    assert examples.names == ("a/000.png", "b/000.png", "b/001.png")
    assert examples.classes == ("a", "b")
    np.testing.assert_array_equal(examples.labels, [0, 1, 1])
    np.testing.assert_array_equal(one(examples, 1).made[..., 0], normal_images(2, 0)[0])


def test_one_folder_or_images_beside_folders_are_no_classes(tmp_path):
    write(tmp_path / "only", normal_images(2, 0))
    assert read_examples(tmp_path).labels is None
    write(tmp_path / "more", normal_images(2, 0))
    write(tmp_path, normal_images(1, 0))
    assert read_examples(tmp_path).labels is None


def test_archives_hold_images_or_embeddings_and_labels(tmp_path):
    images = normal_images(3, 0)
    np.savez(tmp_path / "grey.npz", images=images, labels=np.array([5, 2, 5]))
    examples = read_examples(tmp_path / "grey.npz")
    assert examples.images.shape == (3, 12, 12, 1)
    assert examples.classes == ("2", "5")
    np.testing.assert_array_equal(examples.labels, [1, 0, 1])
    np.savez(tmp_path / "any.npz", whatever=np.ones((4, 9)))
    examples = read_examples(tmp_path / "any.npz")
    assert examples.vectors.shape == (4, 9)
    assert examples.vectors.dtype == np.float32
    assert len(examples.rows([2, 0])) == 2


def test_an_idx_file_takes_its_labels_along(tmp_path):
    images = normal_images(3, 0)
    header = b"\0\0\x08\x03" + struct.pack(">3I", 3, 12, 12)
    file = tmp_path / "train-images-idx3-ubyte.gz"
    file.write_bytes(gzip.compress(header + images.tobytes()))
    assert read_examples(file).labels is None
    header = b"\0\0\x08\x01" + struct.pack(">I", 3)
    labels = tmp_path / "train-labels-idx1-ubyte.gz"
    labels.write_bytes(gzip.compress(header + bytes([1, 0, 1])))
    examples = read_examples(file)
    np.testing.assert_array_equal(examples.images[..., 0], images)
    np.testing.assert_array_equal(examples.labels, [1, 0, 1])


def test_a_photograph_is_upright_and_transparency_is_white(tmp_path):
    image = np.zeros((4, 8, 3), np.uint8)
    image[:, :4] = 200
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees to the right
    Image.fromarray(image).save(tmp_path / "a.png", exif=exif)
    clear = np.zeros((4, 4, 4), np.uint8)
    Image.fromarray(clear).save(tmp_path / "b.png")
    examples = read_examples(tmp_path)
    turned = one(examples, 0).made
    assert turned.shape == (8, 4, 3)
    assert (turned[:4] == 200).all()
    assert [header.size for header in examples.headers()] == [(8, 4), (4, 4)]
    assert (one(examples, 1).made == 255).all()


def test_a_single_image_file_is_one_example(tmp_path):
    write(tmp_path, normal_images(1, 0))
    examples = read_examples(tmp_path / "000.png")
    assert examples.names == ("000.png",)
    assert one(examples).made.shape == (12, 12, 1)


def test_digests_are_of_the_pixels_alone(tmp_path):
    image = normal_images(1, 0)[0]
    Image.fromarray(image).save(tmp_path / "a.png")
    Image.fromarray(image).save(tmp_path / "b.bmp")
    Image.fromarray(image.T.copy()).save(tmp_path / "c.png")
    a, b, c = read_examples(tmp_path).pictures([0, 1, 2])
    assert a.digest == b.digest != c.digest


def test_what_cannot_be_read_has_a_problem(tmp_path):
    write(tmp_path, normal_images(1, 0))
    (tmp_path / "broken.png").write_bytes((tmp_path / "000.png").read_bytes()[:60])
    deep = np.zeros((4, 4), np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    good, broken, deep, gone = read_examples(tmp_path).pictures([0, 1, 2, 3])
    assert "gone.png: No such file" in gone.problem
    headers = list(read_examples(tmp_path).headers())
    assert headers[1] is None or not headers[1].colour
    assert headers[2].colour is False
    assert good.problem == ""
    assert "cannot be decoded" in broken.problem
    assert "16" in deep.problem
    assert next(iter(read_examples(tmp_path).headers())).size == (12, 12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p / "none", "there is no .*none; give a folder"),
        (lambda p: p, "no image files in"),
        (lambda p: (p / "a.txt").write_text("x") and p / "a.txt", "another kind"),
        (lambda p: archive(p, a=1, b=2), "holds a, b, none of which"),
        (lambda p: archive(p, images=np.zeros((0, 4, 4), np.uint8)), "is empty"),
        (lambda p: archive(p, images=np.zeros((9, 0, 4), np.uint8)), "is empty"),
        (lambda p: archive(p, images=np.uint8(1)), "is empty"),
        (lambda p: archive(p, x=np.full((3, 4), 1e39)), "3 of 3 .*in float32"),
        (lambda p: archive(p, images=np.zeros((3, 4, 4, 2), np.uint8)), "2 channels"),
        (lambda p: archive(p, x=np.zeros((3, 4), int)), "give images as uint8"),
        (lambda p: archive(p, x=np.full((3, 4), np.inf)), "3 of 3 embeddings hold"),
        (
            lambda p: archive(p, x=np.zeros((3, 4)), labels=np.zeros(2, int)),
            "labels have shape",
        ),
        (lambda p: archive(p, x=np.array([{}])), "pickle|object"),
    ],
)
def test_what_is_no_examples_is_refused(tmp_path, make, message):
    with pytest.raises(UserError, match=message):
        read_examples(make(tmp_path))


def archive(folder, **arrays):
    np.savez(folder / "a.npz", **arrays)
    return folder / "a.npz"


def test_images_are_brought_to_a_size_as_a_whole():
    image = np.zeros((40, 20, 3), np.uint8)
    image[:20] = 255
    small = brought_to(image, (4, 4, 1))
    assert small.shape == (4, 4, 1)
    assert (small[0] > 240).all()
    assert (small[3] < 15).all()
    assert brought_to(image, image.shape) is image


def test_small_pictures_are_packed_and_unpacked():
    pictures = [
        thumbnail(normal_images(1, 0)[0][..., None]),
        b"",
        thumbnail(np.zeros((300, 200, 3), np.uint8)),
    ]
    assert pictures[0].startswith(b"\x89PNG")
    assert pictures[2].startswith(b"\xff\xd8\xff")
    arrays = packed(pictures)
    assert unpacked(arrays["bytes"], arrays["ends"]) == pictures
