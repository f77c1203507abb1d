"""Real sets of other images that ship with the package, or are drawn."""

import numpy as np

from flowjax_ood import data


def other_images(shape: tuple[int, int, int], count: int) -> dict[str, np.ndarray]:
    """Letters, and emoji of things: `{"glyphs", "emoji"}`, uint8 `[N, *shape]`.

    As large as the images of `shape`, and grey where they are; N is `count`, or as many
    as there are. Square shapes of 1 or 3 channels have them, others none.
    """
    height, width, channels = shape
    if height != width or channels not in (1, 3):
        return {}
    like = {"image_size": height, "channels": channels}
    specs = {"glyphs": ("glyphs:test", "glyphs"), "emoji": ("emoji:things", "embedded")}
    return {
        name: data.load(spec, source=source, **like).images[:count]
        for name, (spec, source) in specs.items()
    }
