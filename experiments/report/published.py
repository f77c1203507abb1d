"""Numbers of the paper's authors: the only ones that reports print as theirs.

The paper's AUROC tables are not among them. Two stored notebooks of its code hold mean
bits/dim, and figures from which an AUROC can be read off. Everything else is
`NOT_AVAILABLE`: a number from memory or from another paper is never compared with ours.
"""

from typing import NamedTuple

NOT_AVAILABLE = "not available"


class Published(NamedTuple):
    """Published numbers of a flow on a pair of sets, and their source.

    `bits` are mean bits/dim of the ID and the OOD test set, by the authors' count,
    0.006 higher than ours. `auroc` was read off a plot, and is printed only so.
    """

    auroc: float
    bits: tuple[float, float]
    source: str


class PublishedBpd(NamedTuple):
    """A flow of the authors: the keys of our config that make the same architecture."""

    train: str
    shape: tuple[int, int, int]
    model: dict
    source: str
    # {OOD set: (AUROC, its bits/dim)}
    ood: dict[str, tuple[float, float]]
    own_bits: float


FLOWS = (
    PublishedBpd(
        "fashion_mnist",
        (28, 28, 1),
        {"name": "glow", "mask": "first_half", "st_net": "highway", "scales": 2},
        "the authors' stored notebook, Glow on FashionMNIST at epoch 80",
        {"mnist": (0.14, 2.0807), "notmnist": (0.80, 4.0647)},
        3.1408,
    ),
    PublishedBpd(
        "celeba",
        (32, 32, 3),
        {
            "name": "real_nvp",
            "mask": "checkerboard",
            "st_net": "resnet",
            "norm": "batch",
            "scales": 3,
            "couplings": 0,
        },
        "the authors' stored notebook, RealNVP on CelebA at epoch 100; batch norm's "
        "outliers spoil these means",
        {"svhn": (0.04, 2.675), "cifar10": (0.68, 6.078)},
        5.268,
    ),
)
# names that TFDS has for the same sets
ALIASES = {"svhn_cropped": "svhn", "celeb_a": "celeba"}


def published(model: dict, data: dict, ood: str) -> Published | None:
    """Look up the published numbers of a flow and a pair of sets; None if unknown.

    Args:
      model: `{key: value}` of the config's `model`.
      data: `data` of results.json: what was trained on and scored.
      ood: the scored set, a key of `data`.

    The architecture must be the authors', whatever its width and depth, both sets must
    be those by name, size and split, and neither fake.
    """
    sets = [data[name] for name in ("train", "test", ood)]
    if "synthetic" in {s["source"] for s in sets} or "negative" in data:
        return None
    if {s["split"] for s in sets[1:]} != {"test"}:
        return None
    names = [common_name(s["name"]) for s in sets]
    shapes = {tuple(s.get("shape", ())) for s in sets}
    for flow in FLOWS:
        same = names[:2] == [flow.train] * 2 and shapes == {flow.shape}
        built = all(model.get(k) == v for k, v in flow.model.items())
        if same and built and names[2] in flow.ood:
            area, bits = flow.ood[names[2]]
            return Published(area, (flow.own_bits, bits), flow.source)
    return None


def common_name(name: str) -> str:
    """A set's name in the paper's code, whichever source it was read from."""
    return ALIASES.get(name, name)
