"""Real sets of other images that ship with the package, or are drawn."""

from functools import partial

import numpy as np

from flowjax_ood import data

# letters of the set that is drawn
GLYPHS = 10_000


def other_images(shape: tuple[int, int, int], count: int) -> dict[str, np.ndarray]:
    """Letters, and emoji of things: `{"glyphs", "emoji"}`, uint8 `[N, *shape]`.

    As large as the images of `shape`, and grey where they are; N is `count`, or as many
    as there are. Square shapes of 1 or 3 channels have them, others none.
    """
    height, width, channels = shape
    if height != width or channels not in (1, 3):
        return {}
    load = partial(data.load, image_size=height, channels=channels)
    # drawn one by one, so no more than are wanted
    letters = load("glyphs:test", source="glyphs", limit=min(count, GLYPHS))
    emoji = load("emoji:things", source="embedded")
    return {"glyphs": letters.images, "emoji": emoji.images[:count]}
