"""Masks: which part of an image a coupling layer sees, and which part it changes.

A mask is a boolean array `[H, W, C]` (`[D]` for vectors, `[T, C]` for tokens); True
means *seen by the st-network and left unchanged*. A *strategy* `(k, shape) ->
CouplingMask` says what the k-th coupling of a stack sees and changes. Any function of
that form is a strategy:

    def diagonal(k, shape):
        h, w, c = shape
        upper = np.arange(h)[:, None] < np.arange(w)[None, :]
        return complementary(broadcast(upper ^ (k % 2 == 1), shape))

Source: Kirichenko et al. 2020, sections 6 and 7; Dinh et al. 2017, section 3.4;
Kolesnikov et al. 2024, section 3.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from flowjax_ood.arguments import event_shape, whole_number
from flowjax_ood.bound import Bound


class CouplingMask(NamedTuple):
    """The visible and the changed part of an event, for one coupling.

    `seen`, `changed`: boolean, of the event's shape, nowhere both True. Positions that
    are neither (cycle-mask) pass through unseen. `layout`:

    * `"spatial"`: the st-network gets the whole event with unseen positions zeroed;
    * `"channel"`: the masks depend on the channel alone (for vectors: any mask), every
      channel is either seen or changed, and the st-network gets the seen ones only.
    """

    seen: np.ndarray
    changed: np.ndarray
    layout: str = "spatial"

    @property
    def changed_channels(self) -> np.ndarray:
        """Of the layout "channel", which channels are changed: boolean `[C]`."""
        return self.changed.reshape(-1, self.changed.shape[-1])[0]


MaskStrategy = Callable[[int, Sequence[int]], CouplingMask]


def broadcast(plane: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Repeat a `[H, W]` plane over the channels of `shape = (H, W, C)`."""
    h, w, c = _image_shape(shape)
    return np.broadcast_to(np.asarray(plane, bool)[:, :, None], (h, w, c)).copy()


def complementary(seen: np.ndarray, layout: str = "spatial") -> CouplingMask:
    """The usual coupling: whatever is not seen is changed."""
    return CouplingMask(seen, ~seen, layout)


# --- masks: pure functions of the event's shape ------------------------------------


def checkerboard(shape: Sequence[int], reverse: bool = False) -> np.ndarray:
    """`b[i, j] = (i + j) odd`, the same in all channels: the top-left pixel changes."""
    h, w, _ = _image_shape(shape)
    plane = (np.arange(h)[:, None] + np.arange(w)[None, :]) % 2 == 1
    return broadcast(plane ^ reverse, shape)


def channel_wise(shape: Sequence[int], reverse: bool = False) -> np.ndarray:
    """The second half of the channels is seen; reversed, the first. C must be even."""
    h, w, c = _image_shape(shape)
    if c % 2:
        raise ValueError(
            f"a channel-wise mask needs an even number of channels, got {c} in shape "
            f"{(h, w, c)}; squeeze the image first"
        )
    channels = (np.arange(c) >= c // 2) ^ reverse
    return np.broadcast_to(channels, (h, w, c)).copy()


def horizontal(shape: Sequence[int], reverse: bool = False) -> np.ndarray:
    """The top `H // 2` rows are seen; reversed, the rows below."""
    h, w, _ = _image_shape(shape, halves=True)
    rows = (np.arange(h) < h // 2) ^ reverse
    return broadcast(np.broadcast_to(rows[:, None], (h, w)), shape)


def vertical(shape: Sequence[int], reverse: bool = False) -> np.ndarray:
    """The left `W // 2` columns are seen; reversed, the columns to the right."""
    h, w, _ = _image_shape(shape, halves=True)
    columns = (np.arange(w) < w // 2) ^ reverse
    return broadcast(np.broadcast_to(columns[None, :], (h, w)), shape)


def quadrant(shape: Sequence[int], index: int) -> np.ndarray:
    """True in one quadrant, clockwise from 0, the top-left: 3 is bottom-left.

    Odd sizes are cut at `H // 2` and `W // 2`, so the four always tile the image.
    """
    if index not in (0, 1, 2, 3):
        raise ValueError(f"quadrant index must be 0, 1, 2 or 3, got {index!r}")
    h, w, _ = _image_shape(shape, halves=True)
    top = (np.arange(h) < h // 2)[:, None]
    left = (np.arange(w) < w // 2)[None, :]
    rows = top if index in (0, 1) else ~top
    columns = left if index in (0, 3) else ~left
    return broadcast(rows & columns, shape)


def sub_quadrant(shape: Sequence[int], index: int, factor: int = 2) -> np.ndarray:
    """`quadrant(index)` inside each tile of a `factor x factor` grid of tiles."""
    h, w, c = _image_shape(shape)
    if factor < 1 or h % (2 * factor) or w % (2 * factor):
        raise ValueError(
            f"a sub-quadrant mask with factor {factor} needs height and width divisible"
            f" by {2 * factor}, got {h}x{w}"
        )
    tile = quadrant((h // factor, w // factor, c), index)
    return np.tile(tile, (factor, factor, 1))


def center(shape: Sequence[int], margin: int = 4, reverse: bool = False) -> np.ndarray:
    """The image without a frame of `margin` pixels is seen; reversed, the frame."""
    h, w, _ = _image_shape(shape)
    if not 0 < 2 * margin < min(h, w):
        raise ValueError(
            f"a center mask needs 0 < 2 * margin < min(height, width), got margin "
            f"{margin} on {h}x{w}"
        )
    plane = np.zeros((h, w), bool)
    plane[margin : h - margin, margin : w - margin] = True
    return broadcast(plane ^ reverse, shape)


def tabular(shape: Sequence[int], reverse: bool = False) -> np.ndarray:
    """The first `D // 2` dimensions are seen; reversed, the rest. `shape` is `(D,)`."""
    if len(shape) != 1 or shape[0] < 2:
        raise ValueError(
            f"a tabular mask needs an event of shape (D,) with D >= 2, got "
            f"{tuple(shape)}"
        )
    return (np.arange(shape[0]) < shape[0] // 2) ^ reverse


# --- strategies: what coupling k sees and changes ----------------------------------


def alternate(mask: Callable[..., np.ndarray], layout="spatial") -> MaskStrategy:
    """Make the strategy that is `mask`, reversed for odd k.

    It can be pickled, and equals another of the same mask.
    """
    return Bound(_alternating, mask, layout)


def _alternating(mask, layout, k: int, shape: Sequence[int]) -> CouplingMask:
    return complementary(mask(shape, reverse=k % 2 == 1), layout)


alternate_checkerboard = alternate(checkerboard)
"""Checkerboards, reversed for odd k."""
alternate_channel_wise = alternate(channel_wise, layout="channel")
"""Halves of the channels; the st-network gets C/2 of them."""
alternate_horizontal = alternate(horizontal)
"""Top and bottom half."""
alternate_vertical = alternate(vertical)
"""Left and right half."""
alternate_center = alternate(center)
"""The centre, without a frame of 4 pixels, and the frame."""
alternate_tabular = alternate(tabular)
"""Halves of the dimensions, as in the paper: the st-network gets zeros for one half."""
alternate_halves = alternate(tabular, layout="channel")
"""The same halves; the st-network gets the seen one alone, which is faster."""


def cycle(k: int, shape: Sequence[int]) -> CouplingMask:
    """Cycle-mask: coupling k sees quadrant `k mod 4` alone and changes the next one.

    Information in a quadrant must pass through four couplings before it is back in
    that quadrant (paper, section 7 and figure 13).
    """
    return CouplingMask(quadrant(shape, k % 4), quadrant(shape, (k + 1) % 4))


def sub_cycle(k: int, shape: Sequence[int]) -> CouplingMask:
    """The cycle-mask inside each tile of a 2 x 2 grid of tiles."""
    return CouplingMask(sub_quadrant(shape, k % 4), sub_quadrant(shape, (k + 1) % 4))


JET_KINDS = ("channel",) * 4 + ("spatial",)
# which tokens are seen first, by parity of these numbers
JET_PLANES = {
    "checkerboard": lambda rows, columns: rows + columns,
    "vstripes": lambda rows, columns: columns,
    "hstripes": lambda rows, columns: rows,
}


def jet(
    kinds: Sequence[str] = JET_KINDS,
    spatial: Sequence[str] = tuple(JET_PLANES),
    seed: int = 0,
    grid: tuple[int, int] | None = None,
) -> MaskStrategy:
    """Make the strategy of Jet for tokens `(T, C)`: coupling k is of kind `k mod n`.

    * `kinds`: "channel" couplings see `C // 2` random channels of every token, drawn
      by (`seed`, k), and change the others; "spatial" ones see whole tokens;
    * `spatial`: planes that spatial couplings take in turn, each followed by its
      reverse: "checkerboard", "vstripes" or "hstripes", of which tokens at even row +
      column, column or row are seen. Of an odd number the halves are unequal, and no
      token is left out;
    * `grid`: rows and columns of the tokens; a square unless given.

    It can be pickled, and equals another of the same arguments. Raises ValueError for
    unknown names, and, where it is asked for a mask, for tokens that do not fill the
    grid or cannot be halved. Source: Kolesnikov et al. 2024, section 3.
    """
    kinds, spatial = tuple(kinds), tuple(spatial)
    given = (("kinds", kinds, ("channel", "spatial")), ("spatial", spatial, JET_PLANES))
    for name, values, known in given:
        if not values or (unknown := [v for v in values if v not in known]):
            wrong = f"names {unknown[0]!r}" if values else "is empty"
            raise ValueError(f"{name} {wrong}; known: {', '.join(known)}")
    size = None if grid is None else event_shape("grid", grid)
    if size is not None and len(size) != 2:
        raise ValueError(f"grid must be (rows, columns), got {size}")
    return Bound(_jet, kinds, spatial, whole_number("seed", seed, 0), size)


def _jet(kinds, spatial, seed, grid, k: int, shape: Sequence[int]) -> CouplingMask:
    if len(shape) != 2:
        raise ValueError(
            f"masks of Jet need tokens of shape (T, C), got {tuple(shape)}; cut images "
            "into tokens by bijectors.Patches"
        )
    tokens, channels = shape
    if kinds[k % len(kinds)] == "channel":
        if channels < 2:
            raise ValueError(
                f"tokens of {channels} channel cannot be halved: take larger patches, "
                "or spatial couplings alone"
            )
        order = np.random.default_rng((seed, k)).permutation(channels)
        seen = np.zeros(channels, bool)
        seen[order[: channels // 2]] = True
        seen = np.broadcast_to(seen, (tokens, channels)).copy()
        return complementary(seen, layout="channel")
    rows, columns = grid or (math.isqrt(tokens),) * 2
    if rows * columns != tokens or min(rows, columns) < 2:
        raise ValueError(
            f"spatial couplings need at least 2 x 2 tokens in a grid, got {tokens} in "
            f"one of {rows} x {columns}"
        )
    # spatial couplings before this one
    before = kinds.count("spatial") * (k // len(kinds))
    before += kinds[: k % len(kinds)].count("spatial")
    parity = JET_PLANES[spatial[before // 2 % len(spatial)]]
    plane = parity(np.arange(rows)[:, None], np.arange(columns)[None]) % 2 == before % 2
    whole = np.broadcast_to(plane, (rows, columns)).reshape(tokens, 1)
    return complementary(np.broadcast_to(whole, (tokens, channels)).copy())


STRATEGIES: dict[str, MaskStrategy] = {
    "checkerboard": alternate_checkerboard,
    "channel": alternate_channel_wise,
    "horizontal": alternate_horizontal,
    "vertical": alternate_vertical,
    "cycle": cycle,
    "sub_cycle": sub_cycle,
    "center": alternate_center,
    "tabular": alternate_tabular,
    "halves": alternate_halves,
}


def strategy(name: str | MaskStrategy) -> MaskStrategy:
    """The strategy of that name; a function is taken as it is."""
    if callable(name):
        return name
    if not isinstance(name, str) or name not in STRATEGIES:
        raise ValueError(
            f"unknown mask strategy {name!r}; known: {', '.join(sorted(STRATEGIES))}; "
            "or pass a function (k, shape) -> CouplingMask"
        )
    return STRATEGIES[name]


def _image_shape(shape: Sequence[int], halves: bool = False) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise ValueError(
            f"an image mask needs an event of shape (H, W, C), got {tuple(shape)}"
        )
    h, w, c = (int(n) for n in shape)
    if min(h, w, c) < 1 or (halves and min(h, w) < 2):
        raise ValueError(f"the image {(h, w, c)} is too small for this mask")
    return h, w, c
