"""Pictures of Noto Color Emoji, a part of source `embedded`: colour, 32 x 32."""

import lzma
from pathlib import Path

import numpy as np

from flowjax_ood.data.checks import unknown
from flowjax_ood.data.sets import ImageSet
from flowjax_ood.data.sources.emoji_bases import base
from flowjax_ood.data.sources.idx import decode_idx
from flowjax_ood.data.sources.shipped import DIRECTORY, read_checked

NAME, SIZE = "emoji", 32
# as they are shipped, each in files of its own
PARTS = {
    "people_train": "people and their families",
    "people_test": "people and their families, of other bases than people_train",
    "things": "smileys, animals, food, objects and signs",
    "hands": "hands and other parts of the body",
    "flags": "flags",
}
SPLITS = {"people": ("people_train", "people_test")} | {p: (p,) for p in PARTS}
LICENCE = "artwork (c) Google, Apache-2.0; most flags in the public domain"


def load_emoji(split: str, directory: Path = DIRECTORY) -> ImageSet:
    """Load `emoji:split`, uint8 `[N, 32, 32, 3]`, without labels.

    In an order that says nothing, so that the first N are a fair sample. `people` is
    `people_train`, then `people_test`: these share no base, which is a picture without
    its skin tones, hair, gender and direction (`emoji_bases.base`).

    Raises ValueError for another split or a damaged file, FileNotFoundError for one
    that is missing.
    """
    parts = _parts(split)
    read = [
        decode_idx(read_checked(directory, file), 4, directory / file)
        for file in map(images_file, parts)
    ]
    images = np.concatenate(read) if len(read) > 1 else read[0]
    origin = (
        f"Noto Color Emoji 2.042: {' and '.join(PARTS[p] for p in parts)}; over white, "
        f"{SIZE} x {SIZE}; shipped with flowjax_ood; {LICENCE}"
    )
    return ImageSet(NAME, split, images, None, "embedded", origin)


def code_points(split: str, directory: Path = DIRECTORY) -> list[tuple[int, ...]]:
    """Say which emoji the images of `emoji:split` are: code points of each, in order.

    Raises as `load_emoji` does.
    """
    found = []
    for file in map(points_file, _parts(split)):
        text = lzma.decompress(read_checked(directory, file)).decode("ascii")
        found += [tuple(int(p, 16) for p in line.split()) for line in text.splitlines()]
    return found


def groups(split: str, directory: Path = DIRECTORY) -> np.ndarray:
    """Number the bases of the images of `emoji:split`, in order: int64 `[N]`.

    Images of one number are variants of one picture. Raises as `load_emoji` does.
    """
    bases = [base(points) for points in code_points(split, directory)]
    return np.unique([repr(b) for b in bases], return_inverse=True)[1]


def images_file(part: str) -> str:
    """Return the name of a part's file of images."""
    return f"{NAME}-{part.replace('_', '-')}-images-idx4-ubyte.xz"


def points_file(part: str) -> str:
    """Return the name of a part's file of code points: a line of hex an image."""
    return f"{NAME}-{part.replace('_', '-')}-code-points.xz"


def _parts(split: str) -> tuple[str, ...]:
    if split not in SPLITS:
        raise unknown(f"a split of embedded {NAME!r}", split, SPLITS)
    return SPLITS[split]
