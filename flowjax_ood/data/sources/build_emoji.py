"""Pictures of a font of emoji, and which part of those shipped each is in.

For `build_embedded --font FILE`, which ships them.
"""

import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from flowjax_ood.data.sources.emoji import PARTS, SIZE, images_file, points_file
from flowjax_ood.data.sources.emoji_bases import FLAGS, HANDS, PEOPLE, base, kind
from flowjax_ood.data.sources.idx import encode_idx

# where Debian's package fonts-noto-color-emoji puts it
DEBIAN_FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")


class Picture(NamedTuple):
    """An emoji: its code points, and its image, uint8 `[32, 32, 3]`."""

    points: tuple[int, ...]
    image: np.ndarray


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
    parts: dict[str, list[Picture]] = {part: [] for part in PARTS}
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
    points: dict[str, list[tuple[int, ...]]] = {}
    ligatures: dict[str, list[list[str]]] = {}
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
        readings: list[tuple[int, ...]] = []
        for parts in ligatures.get(glyph, ()):
            start: list[tuple[int, ...]] = [()]
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
