"""Scenes of several items, each with its neighbours; outfits, and items exchanged.

What is unusual about an item may be the item itself, or its company: of two scenes
whose items changed places, every item is as usual as it was before.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from flowjax_ood.arguments import whole_number
from flowjax_ood.data.random import bits, permutation
from flowjax_ood.data.sets import ImageSet

# of an item without a label
UNKNOWN = -1
# what is worn together, by FashionMNIST's classes: T-shirt, trouser, dress, sandal;
# pullover, coat, bag, boot; trouser, shirt, sneaker, bag
OUTFITS = ((0, 1, 3, 5), (2, 4, 8, 9), (1, 6, 7, 8))
# the weight of a class that does not belong to the context, of one that does: 1
STRAY = 0.005


@dataclass(frozen=True, eq=False)
class Scenes:
    """S scenes of N items each, and which items of a scene are neighbours.

    * `items`: uint8 `[S, N, H, W, C]`;
    * `labels`: int `[S, N]`, the class of each item, -1 where nobody knows it;
    * `adjacency`: bool `[N, N]`, symmetric and without self-links, of all scenes;
    * `contexts`: int `[S]`, where the scenes were drawn from contexts.

    Raises TypeError for items or labels of another type, ValueError for other shapes,
    fewer than 2 items, a label below -1, and an adjacency that is not as said.
    """

    items: np.ndarray
    labels: np.ndarray
    adjacency: np.ndarray
    contexts: np.ndarray | None = None

    def __post_init__(self):
        items, labels = self.items, self.labels
        if items.dtype != np.uint8:
            raise TypeError(f"items of scenes must be uint8 images, got {items.dtype}")
        if items.ndim != 5 or not len(items):
            raise ValueError(
                f"items of scenes must be [S, N, H, W, C], got shape {items.shape}"
            )
        if items.shape[1] < 2:
            raise ValueError(
                f"a scene has 2 items or more, got {items.shape[1]}: an item alone has "
                "no context"
            )
        if labels.dtype.kind not in "iu":
            raise TypeError(f"labels of scenes must be integers, got {labels.dtype}")
        if labels.shape != items.shape[:2]:
            raise ValueError(
                f"labels of shape {labels.shape} do not go with {items.shape[0]} "
                f"scenes of {items.shape[1]} items"
            )
        if labels.min() < UNKNOWN:
            raise ValueError(
                f"the label {labels.min()} is of no class: labels are 0, 1, ..., or "
                f"{UNKNOWN} where the class is not known"
            )
        check_adjacency(self.adjacency, items.shape[1])
        if self.contexts is not None and np.shape(self.contexts) != (len(items),):
            raise ValueError(
                f"contexts of shape {np.shape(self.contexts)} do not go with "
                f"{len(items)} scenes"
            )

    def __len__(self) -> int:
        return len(self.items)

    @property
    def flat(self) -> np.ndarray:
        """All items as images `[S * N, H, W, C]`, scene by scene."""
        return self.items.reshape(-1, *self.items.shape[2:])

    def at(self, rows) -> "Scenes":
        """Take the scenes at `rows`: indices, a slice or a mask `[S]`."""
        contexts = None if self.contexts is None else self.contexts[rows]
        return replace(
            self, items=self.items[rows], labels=self.labels[rows], contexts=contexts
        )

    def with_item(self, number: int, images: np.ndarray, label: int = UNKNOWN):
        """Put an image of `images [S, H, W, C]` in place of one item of every scene."""
        if images.shape != self.items[:, number].shape or images.dtype != np.uint8:
            raise ValueError(
                f"there must be one uint8 image for each scene, of shape "
                f"{self.items[:, number].shape}; got {images.dtype} of {images.shape}"
            )
        items, labels = self.items.copy(), self.labels.copy()
        items[:, number], labels[:, number] = images, label
        return replace(self, items=items, labels=labels)


def check_adjacency(adjacency: np.ndarray, items: int) -> None:
    """Raise ValueError unless it is bool `[items, items]`, symmetric, of no self-link.

    With a self-link, an item would be explained by itself.
    """
    shape = np.shape(adjacency)
    if shape != (items, items) or np.asarray(adjacency).dtype != bool:
        raise ValueError(
            f"adjacency must be boolean [{items}, {items}], got "
            f"{np.asarray(adjacency).dtype} of shape {shape}"
        )
    apart = adjacency != adjacency.T
    if apart.any():
        i, j = (int(n) for n in np.argwhere(apart)[0])
        raise ValueError(
            f"adjacency must be symmetric: it links one way between items {i} and {j}; "
            "adjacency | adjacency.T links both ways"
        )
    if adjacency.diagonal().any():
        raise ValueError(
            f"adjacency links item {int(adjacency.diagonal().argmax())} to itself; set "
            "its diagonal to False"
        )


def complete(items: int) -> np.ndarray:
    """The adjacency of `items` which are all neighbours: bool `[items, items]`."""
    return ~np.eye(items, dtype=bool)


def outfit_scenes(
    images: ImageSet,
    contexts: Sequence[Sequence[int]] = OUTFITS,
    *,
    items: int = 6,
    count: int,
    seed: int,
    stray: float = STRAY,
) -> Scenes:
    """`count` scenes of `items` images: a context each, and classes drawn from it.

    A context is drawn with equal chances, and then the class of every item by itself:
    classes of the context have weight 1, all others of `images` the weight `stray`. Of
    a class, images are taken in a random order, and again from the first when all have
    been taken: no image twice as long as there are enough. More scenes have the same
    first ones. All items of a scene are neighbours.

    Raises ValueError for images without labels, a context of no class, a class without
    images, fewer than 2 items, and a negative `stray`.
    """
    items = whole_number("items", items, 2, ": an item alone has no context")
    count = whole_number("count", count, least=1)
    seed = whole_number("seed", seed, least=0)
    if images.labels is None:
        raise ValueError("outfits are of images with labels, and these have none")
    if not 0 <= stray < np.inf:
        raise ValueError(f"stray must not be negative or infinite, got {stray}")
    classes = np.unique(images.labels)
    for context in contexts:
        if not len(context) or not set(context) <= set(classes.tolist()):
            raise ValueError(
                f"the context {tuple(context)} must be of one class or more that has "
                f"images: {', '.join(map(str, classes.tolist()))}"
            )
    weights = np.array([np.where(np.isin(classes, c), 1.0, stray) for c in contexts])
    limits = np.cumsum(weights, 1) / weights.sum(1, keepdims=True)
    orders = {}
    for c in classes.tolist():
        rows = np.flatnonzero(images.labels == c)
        orders[c] = rows[permutation(len(rows), seed, "images of a class", c)]
    taken = dict.fromkeys(orders, 0)
    drawn = np.empty(count, np.int64)
    chosen = np.empty((count, items), np.int64)
    for scene in range(count):
        # uniform in [0, 1), the first for the context
        u = (bits(items + 1, seed, "outfits", scene) >> np.uint64(11)) * 2.0**-53
        drawn[scene] = int(u[0] * len(contexts))
        for item, where in enumerate(u[1:]):
            # the last limit is 1, whatever rounding made of it
            at = np.searchsorted(limits[drawn[scene], :-1], where, "right")
            c = int(classes[at])
            chosen[scene, item] = orders[c][taken[c] % len(orders[c])]
            taken[c] += 1
    return Scenes(
        images.images[chosen], images.labels[chosen], complete(items), contexts=drawn
    )


def exchanged(
    scenes: Scenes, contexts: Sequence[Sequence[int]] = OUTFITS
) -> tuple[Scenes, Scenes]:
    """Pairs of scenes before and after their items 0 changed places.

    Two scenes are a pair where their contexts differ, each item 0 belongs to its own
    scene's context and neither to the other's. Before and after, items 0 are the same
    images: nothing about single items can tell one from the other. Scenes that find no
    partner are left out; pairs are formed in the order of the scenes.

    Raises ValueError for scenes without contexts, and where there is no pair.
    """
    if scenes.contexts is None:
        raise ValueError("scenes to exchange items of need contexts: see outfit_scenes")
    sets = [set(context) for context in contexts]
    first = scenes.labels[:, 0].tolist()
    of = scenes.contexts.tolist()
    waiting: list[int] = []
    pairs: list[tuple[int, int]] = []
    for scene in range(len(scenes)):
        if first[scene] not in sets[of[scene]]:
            continue
        for other in waiting:
            belongs = first[scene] in sets[of[other]] or first[other] in sets[of[scene]]
            if of[scene] != of[other] and not belongs:
                waiting.remove(other)
                pairs.append((other, scene))
                break
        else:
            waiting.append(scene)
    if not pairs:
        raise ValueError(
            f"no two of the {len(scenes)} scenes have items 0 that do not belong to "
            "each other's context: draw more scenes"
        )
    rows = np.array(pairs)
    before = scenes.at(rows.ravel())
    given = rows[:, ::-1].ravel()
    items, labels = before.items.copy(), before.labels.copy()
    items[:, 0], labels[:, 0] = scenes.items[given, 0], scenes.labels[given, 0]
    return before, replace(before, items=items, labels=labels)
