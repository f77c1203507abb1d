"""Real images altered: further sets to score, where no other data is at hand."""

from dataclasses import replace

import numpy as np

from flowjax_ood.data.checks import unknown
from flowjax_ood.data.sets import ImageSet

# what it is called -> what becomes of pixels k, uint8 [N, H, W, C]
ALTERATIONS = {
    "inverted": lambda k: 255 - k,
    "dimmed": lambda k: k // 2,
    "upside_down": lambda k: k[:, ::-1],
}


def altered(images: ImageSet, how: str) -> ImageSet:
    """The same images, each altered: `inverted` (255 - k), `dimmed` (half as bright),
    or `upside_down`.

    Edges and shapes are those of the originals, or their mirror image; what differs is
    which values are common where. The set's name and origin say what was done. Raises
    ValueError for an unknown alteration.
    """
    if how not in ALTERATIONS:
        raise unknown("an alteration of images", how, ALTERATIONS)
    return replace(
        images,
        name=f"{images.name} {how}",
        images=np.ascontiguousarray(ALTERATIONS[how](images.images)),
        origin=f"{images.origin}; {how}",
    )
