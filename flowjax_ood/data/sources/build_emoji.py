"""Pictures of a font of emoji, what each is a variant of, and which part it is in.

For `build_embedded --font FILE`, which ships them.
"""

import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from flowjax_ood.data.sources.emoji import PARTS, SIZE, images_file, points_file
from flowjax_ood.data.sources.idx import encode_idx

# where Debian's package fonts-noto-color-emoji puts it
DEBIAN_FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
ADULT, CHILD = 0x1F9D1, 0x1F9D2
COUPLE, KISS, HAND_IN_HAND, FAMILY = 0x1F491, 0x1F48F, 0x1F46B, 0x1F46A


def _points(text: str) -> frozenset[int]:
    """Read `"1F466-1F478 1F47C"`: code points and ranges of them, in hex."""
    ends = [[int(end, 16) for end in part.split("-")] for part in text.split()]
    return frozenset(p for e in ends for p in range(e[0], e[-1] + 1))


# Unicode's group "People & Body", without what is of the body alone
PEOPLE = _points(
    "26F9 1F385 1F3C2-1F3C4 1F3C7 1F3CA-1F3CC 1F466-1F47A 1F47C 1F481-1F483 "
    "1F486-1F487 1F48F 1F491 1F574-1F575 1F57A 1F645-1F647 1F64B 1F64D-1F64E 1F6A3 "
    "1F6B4-1F6B6 1F6C0 1F6CC 1F926 1F930-1F931 1F934-1F93A 1F93C-1F93E 1F977 "
    "1F9B8-1F9B9 1F9CD-1F9CF 1F9D1-1F9DF 1FAC3-1FAC5"
)
HANDS = _points(
    "261D 270A-270D 1F442-1F450 1F485 1F4AA 1F590 1F595-1F596 1F64C 1F64F 1F90C 1F90F "
    "1F918-1F91F 1F932-1F933 1F9B5-1F9B6 1F9BB 1FAF0-1FAF8"
)
# FE4E5 on: of a range for private use, flags of ten countries
FLAGS = _points("1F38C 1F3C1 1F3F3-1F3F4 1F6A9 FE4E5-FE4EE")
LETTERS_OF_FLAGS = _points("1F1E6-1F1FF")
# what makes variants: signs of gender, selectors and joiners, tones of the skin, hair,
# and the arrow of those who look to the right
VARIATION = _points("200D 2640 2642 27A1 FE0F 1F3FB-1F3FF 1F9B0-1F9B3")
# emoji of one gender, and that which is of any
_NEUTRAL = {
    0x1F468: ADULT,
    0x1F469: ADULT,
    0x1F466: CHILD,
    0x1F467: CHILD,
    0x1F474: 0x1F9D3,
    0x1F475: 0x1F9D3,
    0x1F478: 0x1FAC5,
    0x1F934: 0x1FAC5,
    0x1F936: 0x1F385,
    0x1F57A: 0x1F483,
    0x1F930: 0x1FAC4,
    0x1FAC3: 0x1FAC4,
    0x1F46C: HAND_IN_HAND,
    0x1F46D: HAND_IN_HAND,
}
# the same picture, of people named one by one
_NAMED = {
    (0x1F384, ADULT): (0x1F385,),
    (0x1F91D, ADULT, ADULT): (HAND_IN_HAND,),
    (0x2764, ADULT, ADULT): (COUPLE,),
    (0x2764, 0x1F48B, ADULT, ADULT): (KISS,),
}


class Picture(NamedTuple):
    """An emoji: its code points, and its image, uint8 `[32, 32, 3]`."""

    points: tuple[int, ...]
    image: np.ndarray


def base(points: Sequence[int]) -> tuple[int, ...]:
    """Reduce code points to what all variants of a picture share, ascending.

    Of people and hands, variants differ in skin tone, hair, gender, direction, or, of
    families, in who is in them.
    """
    kept = (_NEUTRAL.get(p, p) for p in points if p not in VARIATION)
    found = tuple(sorted(kept)) or tuple(points)
    if set(found) == {ADULT, CHILD}:
        return (FAMILY,)
    return _NAMED.get(found, found)


def kind(points: Sequence[int]) -> str:
    """Say whether an emoji is of "people", "hands", "flags" or "things"."""
    has = frozenset(points).isdisjoint
    if not has(PEOPLE):
        return "people"
    if not has(HANDS):
        return "hands"
    # a letter of a flag alone is drawn as a letter
    return "flags" if not has(FLAGS) or _is_country(points) else "things"


def _is_country(points: Sequence[int]) -> bool:
    return len(points) > 1 and not LETTERS_OF_FLAGS.isdisjoint(points)


def rebuild(font: Path) -> dict[str, bytes]:
    """Return `{file name: uncompressed bytes}` of all parts, of a font's pictures.

    Of pictures that are the same, pixel by pixel, the first is taken. A part is ordered
    by the SHA-256 of the code points, which has nothing to do with what is drawn.
    """
    different: dict[bytes, Picture] = {}
    for picture in read_font(font):
        different.setdefault(picture.image.tobytes(), picture)
    parts = divide(different.values())
    files = {}
    for part, pictures in parts.items():
        pictures = sorted(
            pictures, key=lambda p: hashlib.sha256(_hex(p.points).encode()).digest()
        )
        files[images_file(part)] = encode_idx(np.stack([p.image for p in pictures]))
        lines = [f"{_hex(p.points)}\n" for p in pictures]
        files[points_file(part)] = "".join(lines).encode()
    return files


def divide(pictures: Iterable[Picture]) -> dict[str, list[Picture]]:
    """Divide pictures among the parts; of people, every second base is held out.

    Bases are counted in the order of their code points, and the first is held out. No
    two parts share one.
    """
    pictures = list(pictures)
    people = sorted({base(p.points) for p in pictures if kind(p.points) == "people"})
    tested = set(people[::2])
    parts = {part: [] for part in PARTS}
    for picture in pictures:
        part = kind(picture.points)
        if part == "people":
            part += "_test" if base(picture.points) in tested else "_train"
        parts[part].append(picture)
    return parts


def read_font(font: Path) -> list[Picture]:
    """Read all pictures of a font with bitmaps (CBDT), in the order of its glyphs.

    ValueError for a font without, and for a picture that no code points call for.
    """
    # comes with matplotlib
    from fontTools.ttLib import TTFont, TTLibError

    try:
        opened = TTFont(font)
        strike = opened["CBDT"].strikeData[0]
        read = _readings(opened)
    except (TTLibError, KeyError) as error:
        raise ValueError(f"{font}: no font of colour bitmaps ({error})") from error
    pictures = []
    for glyph in opened.getGlyphOrder():
        if glyph in strike:
            if not (readings := read(glyph)):
                raise ValueError(f"{font}: no code points call for {glyph!r}")
            image = _drawn(strike[glyph].imageData)
            pictures.append(Picture(_reading(readings), image))
    return pictures


def _readings(font):
    """Make the function from a glyph to all sequences of code points that call it."""
    points, ligatures = {}, {}
    for point, glyph in font.getBestCmap().items():
        points.setdefault(glyph, []).append((point,))
    for lookup in font["GSUB"].table.LookupList.Lookup:
        for table in lookup.SubTable:
            for first, found in getattr(table, "ligatures", {}).items():
                for ligature in found:
                    parts = [first, *ligature.Component]
                    ligatures.setdefault(ligature.LigGlyph, []).append(parts)

    def read(glyph: str) -> list[tuple[int, ...]]:
        if glyph in points:
            return points[glyph]
        readings = []
        for parts in ligatures.get(glyph, ()):
            start = [()]
            for part in parts:
                start = [one + more for one in start for more in read(part)]
            readings += start
        return readings

    return read


def _reading(readings: list[tuple[int, ...]]) -> tuple[int, ...]:
    """Choose a reading: fonts also have them from right to left, the sign first."""
    first = PEOPLE | HANDS | FLAGS
    return next((r for r in readings if r[0] in first), readings[0])


def _drawn(png: bytes) -> np.ndarray:
    """Lay a picture over white, make it square, and resize it by Lanczos's filter."""
    from PIL import Image

    with Image.open(io.BytesIO(png)) as opened:
        picture = opened.convert("RGBA")
    width, height = picture.size
    side = max(width, height)
    square = Image.new("RGBA", (side, side), "white")
    square.alpha_composite(picture, ((side - width) // 2, (side - height) // 2))
    small = square.convert("RGB").resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    return np.asarray(small)


def _hex(points: Sequence[int]) -> str:
    return " ".join(f"{p:X}" for p in points)
