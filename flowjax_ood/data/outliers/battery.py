"""A battery of tests for detectors: many kinds of outliers, in three blocks.

A detector that was made while looking at some kinds may be good at those alone. So the
kinds are told apart by what their makers knew of them:

* "seen": kinds that detectors were compared on while they were made;
* "told": kinds that some scores are made of, such as poses and common corruptions;
* "kept back": kinds that nothing was chosen by, to be looked at once, at the end.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from flowjax_ood.arguments import whole_number
from flowjax_ood.data.checks import unknown
from flowjax_ood.data.corruptions import corrupt, corruptions_for
from flowjax_ood.data.outliers import battery_patterns as patterns
from flowjax_ood.data.outliers import battery_poses as poses
from flowjax_ood.data.outliers import battery_values as values
from flowjax_ood.data.outliers.images import KINDS as PSEUDO
from flowjax_ood.data.random import Streams
from flowjax_ood.data.sets import check_images

SEEN, TOLD, KEPT_BACK = BLOCKS = ("seen", "told", "kept back")
SEVERITY = 3
_CHUNK = 1024  # images at a time: floats of all may not fit in memory


class CommonCorruption(NamedTuple):
    """A kind of `data.corruptions`."""

    kind: str
    severity: int = SEVERITY


_KEPT_CORRUPTIONS = {
    "elastic": CommonCorruption("elastic_transform"),
    "pixelated": CommonCorruption("pixelate"),
    "low_contrast": CommonCorruption("contrast"),
    "jpeg": CommonCorruption("jpeg_compression", 2),
}
# the same as those, or much like salt and pepper
_NOT_TOLD = {"impulse_noise", *(c.kind for c in _KEPT_CORRUPTIONS.values())}
_TOLD_CORRUPTIONS = {
    kind: CommonCorruption(kind)
    for kind in corruptions_for(channels=3)
    if kind not in _NOT_TOLD
}
# block -> name -> what is done to images
KINDS: dict[str, dict[str, CommonCorruption | Callable]] = {
    SEEN: {
        "inverted": PSEUDO["inverted"],
        "upside_down": poses.upside_down,
        "rotated": poses.rotated,
        "dimmed": values.dimmed,
        "bright": values.bright,
        "blurred": PSEUDO["blurred"],
        "noisy": values.noisy,
        "uniform": PSEUDO["uniform_noise"],
        "constant": patterns.constant,
        "tiles": PSEUDO["patches_permuted"],
        "mean_of_two": PSEUDO["averaged"],
    },
    TOLD: {
        "mirrored": poses.mirrored,
        "rotated_180": poses.rotated_180,
        "rotated_270": poses.rotated_270,
        "transposed": poses.transposed,
        "antitransposed": poses.antitransposed,
        "mutated": values.mutated,
        **_TOLD_CORRUPTIONS,
    },
    KEPT_BACK: {
        "half_of_another": values.half_of_another,
        "shifted": poses.shifted,
        "smaller": poses.smaller,
        "larger": poses.larger,
        "rotated_30": poses.rotated_30,
        **_KEPT_CORRUPTIONS,
        "salt_and_pepper": values.salt_and_pepper,
        "cutout": values.cutout,
        "phase_scrambled": patterns.phase_scrambled,
        "edges": values.edges,
        "gradients": patterns.gradients,
        "chequers": patterns.chequers,
    },
}
# sets of other images, which the caller has: the block of each
OTHERS = {
    "digits": SEEN,
    "glyphs": SEEN,
    "emoji": SEEN,
    "inverted_emoji": SEEN,
    "class_left_out": KEPT_BACK,
    "sklearn_digits": KEPT_BACK,
}
SQUARE = ("rotated", "rotated_270", "transposed", "antitransposed")
# not made of images, row by row
UNPAIRED = ("uniform", "constant", "gradients", "chequers")


class BatterySet(NamedTuple):
    """Outliers of one kind, uint8 `[N, H, W, C]`; if `paired`, row i is of image i."""

    block: str
    images: np.ndarray
    paired: bool


class Battery(NamedTuple):
    """`sets`, by name and block after block, and why others are missing."""

    sets: dict[str, BatterySet]
    left_out: dict[str, str]

    def of_block(self, block: str) -> dict[str, np.ndarray]:
        """Images of the kinds of a block, by name. ValueError for no block."""
        if block not in BLOCKS:
            raise unknown("a block of the battery", block, BLOCKS)
        return {n: s.images for n, s in self.sets.items() if s.block == block}


def battery(
    images: np.ndarray,
    seed: int,
    others: Mapping[str, np.ndarray] | None = None,
    *,
    blocks: Sequence[str] = BLOCKS,
) -> Battery:
    """Make outliers of many kinds of in-distribution test images.

    Args:
        images: uint8 `[N, H, W, C]`, C 1 or 3, sides even and of at least 8 pixels, N
            at least 2: images of no training.
        seed: not negative.
        others: real sets of other images, `{name: uint8 [M, H, W, C]}`, of which the
            first N are taken. `OTHERS` says what blocks they are of; all other names
            are "seen". Without "inverted_emoji", it is made of "emoji".
        blocks: makes only the kinds of these, in this order.

    Returns:
        A `Battery`. All sets are of the shape of `images` but for their number, which
        others may have less of. A set follows from (seed, its name, images); its row
        from (seed, its name, row, images).

    Raises:
        ValueError: images of other shapes, an unknown block, a name of `others` that a
            kind has already.
        TypeError: images that are not uint8.
    """
    images = _checked(images)
    seed = whole_number("seed", seed, least=0)
    for block in blocks:
        if block not in BLOCKS:
            raise unknown("a block of the battery", str(block), BLOCKS)
    others = _others(images, others or {})
    sets, left_out = {}, {}
    for block in dict.fromkeys(blocks):
        for name in (n for n, of in OTHERS.items() if of == block):
            if name not in others:
                left_out[name] = "a set of other images, which was not given"
        for name, other in others.items():
            if OTHERS.get(name, SEEN) == block:
                sets[name] = BatterySet(block, other, paired=False)
        for name, kind in KINDS[block].items():
            if why := _unfit(images, name, kind):
                left_out[name] = why
                continue
            made = _made(images, seed, name, kind)
            sets[name] = BatterySet(block, made, name not in UNPAIRED)
    return Battery(sets, left_out)


def _made(images: np.ndarray, seed: int, name: str, kind) -> np.ndarray:
    if isinstance(kind, CommonCorruption):
        return corrupt(images, *kind, seed)
    out = np.empty_like(images)
    for start in range(0, len(images), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(images)))
        made = kind(images, rows, Streams(seed, f"battery {name}", rows))
        out[rows] = made if made.dtype == np.uint8 else np.rint(made).clip(0, 255)
    return out


def _unfit(images: np.ndarray, name: str, kind) -> str:
    """Say why a kind cannot be made of these images; empty where it can."""
    _, height, width, channels = images.shape
    if name in SQUARE and height != width:
        return f"images of {height} x {width} are not square"
    is_corruption = isinstance(kind, CommonCorruption)
    if is_corruption and kind.kind not in corruptions_for(channels):
        return "grey images have no colours"
    return ""


def _checked(images: np.ndarray) -> np.ndarray:
    check_images(images, "battery")
    count, height, width, channels = images.shape
    if channels not in (1, 3):
        raise ValueError(f"images of a battery have 1 or 3 channels, not {channels}")
    if min(height, width) < 8 or height % 2 or width % 2:
        raise ValueError(
            f"images of {height} x {width} make no battery: sides must be even and of "
            "at least 8 pixels; resize them"
        )
    if count < 2:
        raise ValueError("a battery mixes images with others: give at least 2")
    return images


def _others(images: np.ndarray, others: Mapping) -> dict[str, np.ndarray]:
    """Other images, at most as many; the inverted emoji among them."""
    others = dict(others)
    if "emoji" in others:
        others.setdefault("inverted_emoji", 255 - others["emoji"])
    made = {name for kinds in KINDS.values() for name in kinds}
    for name, other in others.items():
        if name in made:
            raise ValueError(
                f"others holds {name!r}, which is a kind made of images; rename it"
            )
        check_images(other, f"the set {name!r} of a battery")
        if other.shape[1:] != images.shape[1:]:
            raise ValueError(
                f"the set {name!r} is of images {list(other.shape[1:])}, the battery "
                f"of {list(images.shape[1:])}; resize them, or change their channels"
            )
    # the order of the table, then what it does not have
    order = sorted(others, key=lambda n: [*OTHERS, n].index(n))
    return {name: others[name][: len(images)] for name in order}
