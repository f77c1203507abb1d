"""Source `glyphs`: the letters A to J in matplotlib's fonts, like notMNIST, not digits.

Outliers for grey 28 x 28 images that need no download: drawn when they are asked for,
from the font files that matplotlib ships.
"""

import math
from pathlib import Path

import numpy as np

from flowjax_ood.data.checks import unknown
from flowjax_ood.data.random import bits
from flowjax_ood.data.sets import ImageSet

LETTERS = "ABCDEFGHIJ"
SIZE, COUNT = 28, 10_000
SPLITS = ("train", "test")
# sans, mono and serif, upright and slanted, light and bold; cmmi10 is mathematical
# italic, cmsy10 calligraphic
FONTS = (
    *(
        f"DejaVu{face}{style}"
        for face, slanted in (
            ("Sans", "Oblique"),
            ("SansMono", "Oblique"),
            ("Serif", "Italic"),
        )
        for style in ("", "-Bold", f"-{slanted}", f"-Bold{slanted}")
    ),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *(f"cm{style}10" for style in ("r", "b", "ss", "ti", "tt", "mi", "sy")),
)
# A letter is drawn large, placed on a canvas of this many points a pixel by one affine
# map, and averaged over each pixel.
_SCALE = 4
_DRAWN = 128  # points of the font
# bounds of what varies: longer side and shift in pixels, degrees, stretch and slant
_SIDE, _SHIFT, _TURN, _STRETCH, _SLANT = (17.0, 26.0), 2.0, 12.0, 0.12, 0.15


def load_glyphs(name: str, split: str, *, limit: int | None = None) -> ImageSet:
    """Draw 10,000 letters, uint8 `[N, 28, 28, 1]`, white on black, labels 0 to 9.

    Labels 0 to 9 are A to J, at random and about evenly. Each image has a font, size,
    place, rotation, width and slant of its own, which follow from the split and the
    image's number: the set is the same for every seed and limit, and the same bit for
    bit with one version of Pillow and matplotlib. The splits share the fonts.

    Raises ValueError for another name or split, and FileNotFoundError where matplotlib
    lacks a font.
    """
    if name != "glyphs":
        raise unknown("a set of glyphs", name, ("glyphs",))
    if split not in SPLITS:
        raise unknown("a split of glyphs", split, SPLITS)
    count = COUNT if limit is None else min(limit, COUNT)
    drawn = _drawn_letters()
    words = bits(8 * COUNT, f"glyphs:{split}").reshape(COUNT, 8)[:count]
    # uniform in [0, 1) from the upper 53 bits, alike on every platform
    uniform = (words >> np.uint64(11)) * 2.0**-53
    letters = (uniform[:, 0] * len(LETTERS)).astype(np.int32)
    fonts = (uniform[:, 1] * len(FONTS)).astype(np.int32)
    images = np.empty((count, SIZE, SIZE, 1), np.uint8)
    for i, (font, letter) in enumerate(zip(fonts, letters)):
        images[i, ..., 0] = _pose(drawn[font][letter], *uniform[i, 2:])
    origin = (
        f"letters A to J drawn by flowjax_ood in {len(FONTS)} fonts that matplotlib "
        "ships: DejaVu (Bitstream Vera licence), STIX (SIL OFL), Computer Modern "
        "(BaKoMa)"
    )
    return ImageSet(name, split, images, letters, "glyphs", origin)


def _drawn_letters() -> list[list]:
    """Draw the letters of every font, each cut to what is not black."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    directory = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    drawn = []
    for font in FONTS:
        file = directory / f"{font}.ttf"
        if not file.is_file():
            raise FileNotFoundError(
                f"no {file}; source 'glyphs' draws with the fonts of matplotlib, so "
                "install it from PyPI: pip install --force-reinstall matplotlib"
            )
        # the basic layout is in every build of Pillow
        type_ = ImageFont.truetype(file, _DRAWN, layout_engine=ImageFont.Layout.BASIC)
        row = []
        for letter in LETTERS:
            canvas = Image.new("L", (3 * _DRAWN, 3 * _DRAWN))
            ImageDraw.Draw(canvas).text((_DRAWN, _DRAWN), letter, 255, type_)
            row.append(canvas.crop(canvas.getbbox()))
        drawn.append(row)
    return drawn


def _pose(
    letter,
    side: float,
    across: float,
    down: float,
    turn: float,
    stretch: float,
    slant: float,
) -> np.ndarray:
    """Place a drawn letter in an image, uint8 `[28, 28]`, by six numbers in [0, 1)."""
    from PIL import Image

    signed = [2 * u - 1 for u in (across, down, turn, stretch, slant)]
    shift_x, shift_y = (_SHIFT * u for u in signed[:2])
    angle = math.radians(_TURN * signed[2])
    width, height = letter.size
    # points of the drawing to points of the canvas
    to = np.diag([1 + _STRETCH * signed[3], 1.0])
    to = np.array([[1.0, _SLANT * signed[4]], [0.0, 1.0]]) @ to
    cos, sin = math.cos(angle), math.sin(angle)
    to = np.array([[cos, sin], [-sin, cos]]) @ to
    # as large as the longer side of what is drawn, wherever rotation takes its corners
    extent = np.abs(to) @ (width, height)
    pixels = _SIDE[0] + (_SIDE[1] - _SIDE[0]) * side
    to *= _SCALE * pixels / extent.max()
    canvas = _SCALE * SIZE
    centre = canvas / 2 + _SCALE * np.array([shift_x, shift_y])
    back = np.linalg.inv(to)
    start = np.array([width, height]) / 2 - back @ centre
    affine = (*back[0], start[0], *back[1], start[1])
    placed = letter.transform(
        (canvas, canvas), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR
    )
    return np.asarray(placed.reduce(_SCALE))
