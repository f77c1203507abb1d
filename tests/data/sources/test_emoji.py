"""Shipped emoji: counts, origin, what is held out, the rules that divide them."""

import io
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from flowjax_ood import data
from flowjax_ood.data.sources import build_emoji, emoji
from flowjax_ood.data.sources.build_embedded import main
from flowjax_ood.data.sources.build_emoji import DEBIAN_FONT, Picture, divide
from flowjax_ood.data.sources.emoji_bases import base, kind
from flowjax_ood.data.sources.shipped import DIRECTORY, SUMS

# all pictures of the font, as they were resized before this package had them
ARCHIVE = Path(__file__).parents[4] / "shared" / "data" / "emoji32.npz"
COUNTS = {
    "people_train": 1074,
    "people_test": 860,
    "things": 1307,
    "hands": 316,
    "flags": 359,
}


@pytest.fixture(scope="module")
def parts():
    return {p: data.load(f"emoji:{p}", source="embedded").images for p in COUNTS}


@pytest.fixture(scope="module")
def points():
    return {part: emoji.code_points(part) for part in COUNTS}


def test_groups_are_the_bases(points):
    groups = emoji.groups("people")
    people = points["people_train"] + points["people_test"]
    assert len(groups) == len(people)
    assert groups.max() + 1 == len(set(map(base, people))) == 96
    where = {}
    for number, each in zip(groups, people, strict=True):
        assert where.setdefault(base(each), number) == number


def test_counts_and_shapes(parts, points):
    for part, images in parts.items():
        assert images.shape == (COUNTS[part], 32, 32, 3)
        assert images.dtype == np.uint8
        assert len(points[part]) == len(images)
        # laid over white, which most corners show
        assert np.median(images[:, 0, 0]) == 255
        # in colour
        assert np.ptp(images.astype(int), axis=3).max() > 200
    whole = data.load("emoji:people", source="embedded")
    expected = np.concatenate([parts["people_train"], parts["people_test"]])
    np.testing.assert_array_equal(whole.images, expected)
    assert emoji.code_points("people") == points["people_train"] + points["people_test"]
    assert whole.labels is None
    assert (whole.source, whole.name, whole.split) == ("embedded", "emoji", "people")
    assert "Noto Color Emoji" in whole.origin
    assert "Apache-2.0" in whole.origin


def test_no_image_and_no_base_is_in_two_parts(parts, points):
    images = [x.tobytes() for part in parts.values() for x in part]
    assert len(set(images)) == len(images) == sum(COUNTS.values())
    bases = [{base(p) for p in of_part} for of_part in points.values()]
    assert sum(map(len, bases)) == len(set().union(*bases))
    assert [len(b) for b in bases[:2]] == [48, 48]


def test_held_out_people_are_no_twins_of_those_to_train_on(parts, points):
    """Variants lie within 13 grey levels of each other, the held out beyond 20."""
    train, test = (
        parts[p].reshape(COUNTS[p], -1).astype(np.float32) for p in list(parts)[:2]
    )

    def nearest(x):
        squares = (train**2).sum(1) + (x**2).sum(1)[:, None] - 2 * x @ train.T
        return np.sqrt(squares.clip(0) / x.shape[1])

    held_out = nearest(test).min(1)
    assert held_out.min() > 20
    assert np.median(held_out) > 53
    # the second: the nearest is the image itself
    assert np.median(np.sort(nearest(train[:200]), 1)[:, 1]) < 14


def test_parts_hold_what_they_say(points):
    for part, of_part in points.items():
        assert {kind(p) for p in of_part} == {part.partition("_")[0]}
    # runners, women who run, a couple; a raised hand, an ear; Japan; a letter, a pig
    for found, expected in (
        ((0x1F3C3,), "people"),
        ((0x1F3C3, 0x1F3FD, 0x200D, 0x2640), "people"),
        ((0x1F9D1, 0x200D, 0x1F91D, 0x200D, 0x1F9D1), "people"),
        ((0x26F9, 0x1F3FB), "people"),
        ((0x270B, 0x1F3FF), "hands"),
        ((0x1F442,), "hands"),
        ((0x1F1EF, 0x1F1F5), "flags"),
        ((0x1F3F3, 0x200D, 0x1F308), "flags"),
        ((0x1F1EF,), "things"),
        ((0x1F3FD,), "things"),
        ((0x1F437,), "things"),
    ):
        assert kind(found) == expected
    # nothing of Unicode's that takes a tone of the skin is a thing or a flag
    tones = set(range(0x1F3FB, 0x1F400))
    for part in ("things", "flags"):
        assert not any(len(p) > 1 and tones & set(p) for p in points[part])


def test_variants_have_one_base():
    woman, man, person, dark, join = 0x1F469, 0x1F468, 0x1F9D1, 0x1F3FF, 0x200D
    pilot = {base((p, *tone, join, 0x2708)) for p in (woman, man, person)
             for tone in ((), (dark,))}  # fmt: skip
    assert pilot == {(0x2708, person)}
    run = [(0x1F3C3,), (0x1F3C3, dark), (0x1F3C3, join, 0x2642)]
    run += [(0x1F3C3, join, 0x2640, join, 0x27A1)]
    assert {base(p) for p in run} == {(0x1F3C3,)}
    families = [(0x1F46A,), (man, join, woman, join, 0x1F466)]
    families += [(woman, join, 0x1F467, join, 0x1F466), (person, join, 0x1F9D2)]
    assert {base(p) for p in families} == {(0x1F46A,)}
    for one, other in (
        ((0x1F46B,), (man, dark, join, 0x1F91D, join, man)),
        ((0x1F491,), (woman, join, 0x2764, join, man, dark)),
        ((0x1F48F,), (woman, join, 0x2764, join, 0x1F48B, join, man)),
        ((0x1F385,), (person, join, 0x1F384)),
        ((0x1F478,), (0x1F934, dark)),
        ((person,), (woman, dark, join, 0x1F9B0)),
    ):
        assert base(one) == base(other)
    # a tone alone is a picture of its own
    assert base((dark,)) == (dark,)
    assert base((0x1F3C3,)) != base((0x1F3C4,))


def test_every_second_base_is_held_out():
    blank = np.zeros((32, 32, 3), np.uint8)
    people = [0x1F466, 0x1F46E, 0x1F470, 0x1F471, 0x1F472, 0x1F473, 0x1F476]
    # the boy's base is the child's, which comes last
    made = [Picture((p, *tone), blank) for p in people for tone in ((), (0x1F3FB,))]
    found = divide(made[::-1])
    held = {p.points[0] for p in found["people_test"]}
    assert held == {0x1F46E, 0x1F471, 0x1F473, 0x1F466}
    assert {p.points[0] for p in found["people_train"]} == set(people) - held
    assert len(found["people_test"]) == 8
    assert found["things"] == found["hands"] == found["flags"] == []


def test_the_order_says_nothing(points):
    """In the order of a hash, the first tenth has as many tones as all."""
    tones = set(range(0x1F3FB, 0x1F400))
    toned = np.array([bool(tones & set(p)) for p in points["people_train"]])
    assert abs(toned[:130].mean() - toned.mean()) < 0.1
    signs = [unicodedata.category(chr(p[0])) for p in points["things"]]
    assert {"So", "Sm"} <= set(signs[:200])


def test_an_unknown_split_is_refused_with_those_near():
    near = (
        r"'people_tset' is not a split of embedded 'emoji'; did you mean 'people_test'"
    )
    with pytest.raises(ValueError, match=near):
        data.load("emoji:people_tset", source="embedded")
    with pytest.raises(ValueError, match=r"'hand'.*'hands'.*flags, hands, people, "):
        emoji.code_points("hand")


def test_damage_is_an_error(tmp_path):
    for name in (SUMS, emoji.images_file("hands"), emoji.points_file("hands")):
        shutil.copy(DIRECTORY / name, tmp_path)
    assert len(emoji.load_emoji("hands", tmp_path)) == COUNTS["hands"]
    file = tmp_path / emoji.points_file("hands")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"code-points.*cut short; reinstall"):
        emoji.code_points("hands", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"emoji-flags-images.*reinstall"):
        emoji.load_emoji("flags", tmp_path)


def test_pictures_are_laid_over_white_made_square_and_resized():
    from PIL import Image

    clear = Image.new("RGBA", (136, 128))
    clear.paste((200, 0, 0, 255), (40, 30, 90, 90))
    png = io.BytesIO()
    clear.save(png, "PNG")
    found = build_emoji._drawn(png.getvalue())
    assert found.shape == (32, 32, 3)
    # what is clear is black underneath, and four rows are added above
    np.testing.assert_array_equal(found[0, 0], [255, 255, 255])
    np.testing.assert_array_equal(found[15, 15], [200, 0, 0])
    rows = np.flatnonzero(found[:, 15, 1] < 128)
    assert (rows[0], rows[-1]) == (34 * 32 // 136, 94 * 32 // 136 - 1)


def test_another_file_is_no_font(tmp_path):
    file = tmp_path / "font.ttf"
    file.write_bytes(b"not a font")
    with pytest.raises(SystemExit, match=r"font.ttf: no font of colour bitmaps"):
        main(["--font", str(file), "--check"])


def test_a_font_without_pictures_is_refused():
    import matplotlib

    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    with pytest.raises(ValueError, match=r"cmr10.ttf: no font of colour bitmaps.*CBDT"):
        build_emoji.read_font(fonts / "cmr10.ttf")


@pytest.mark.skipif(not ARCHIVE.exists(), reason=f"no {ARCHIVE}")
def test_the_shipped_pictures_are_those_of_the_archive(parts):
    with np.load(ARCHIVE) as archive:
        whole = {x.tobytes() for x in archive["x"]}
    assert {x.tobytes() for part in parts.values() for x in part} == whole


@pytest.mark.skipif(not DEBIAN_FONT.exists(), reason=f"no {DEBIAN_FONT}")
def test_the_shipped_files_equal_a_rebuild(capsys):
    main(["--font", str(DEBIAN_FONT), "--check"])
    assert "10 files, 3.44 MB, agree with the rebuild" in capsys.readouterr().out
