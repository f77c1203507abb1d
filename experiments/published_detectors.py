"""FSSD's published table of detectors: the only numbers printed as published.

Source: Huang et al. 2021, table 2 of the slides, and other values in the README of the
code where it has some. Settings, and the signs of scores, were chosen there by outliers
of the tested set: ours under the protocol `repository`.
"""

from typing import NamedTuple

from ml_collections import ConfigDict


class Published(NamedTuple):
    """`(AUROC, AUPRC, FPR80)` in per cent, and the code's README's if it has others."""

    slides: tuple[float, float, float]
    readme: tuple[float, float, float] | None = None

    def text(self) -> str:
        """All of them, as a table has it."""
        found = [self.slides] + ([self.readme] if self.readme else [])
        return " or ".join("/".join(map(str, numbers)) for numbers in found)


# {(in-distribution set, OOD set): {row: numbers}}. Rows of MC Dropout of CIFAR-10 (its
# network here has no dropout) and of genomes (of which of both scores is not said) are
# left out.
TABLE = {
    ("fashion_mnist", "mnist"): {
        "MSP": Published((77.3, 79.2, 43.5), (77.3, 79.2, 42.5)),
        "ODIN": Published((96.9, 93.0, 2.5), (87.9, 88.0, 20.0)),
        "Mahalanobis": Published((99.6, 99.7, 0.0)),
        "Deep Ensembles (mean max)": Published((83.9, 83.3, 27.5)),
        "MC Dropout (variance)": Published((81.7, 85.3, 36.8), (76.5, 79.3, 42.3)),
        "Outlier Exposure": Published((99.6, 99.6, 0.0)),
        "FSSD": Published((99.6, 99.7, 0.0)),
    },
    ("cifar10", "svhn_cropped"): {
        "MSP": Published((89.9, 85.4, 10.1)),
        "ODIN": Published((96.7, 92.5, 4.7), (96.6, 96.7, 4.8)),
        "Mahalanobis": Published((99.1, 98.1, 0.3)),
        "Deep Ensembles (mean max)": Published((93.7, 90.6, 3.7), (96.0, 93.9, 1.2)),
        "Outlier Exposure": Published((90.4, 89.8, 12.5)),
        "FSSD": Published((99.5, 99.5, 0.4)),
    },
    ("genomics", "genomics:test_ood"): {
        "MSP": Published((69.6, 69.9, 57.4)),
        "ODIN": Published((70.6, 71.9, 55.9)),
        "Mahalanobis": Published((70.4, 69.3, 53.7)),
        "Deep Ensembles (mean max)": Published((70.0, 56.0, 30.0)),
        "FSSD (no perturbation)": Published((74.8, 75.8, 47.4)),
    },
}
# rows whose settings were chosen by outliers of the tested set
CHOSEN = ("ODIN", "Mahalanobis", "FSSD", "FSSD (no perturbation)")
# data that the published numbers are not of
OTHER = ("synthetic", "embedded")
NOTES = {
    "Deep Ensembles (mean max)": "published of five networks",
    "Outlier Exposure": "published with outliers that are not named, likely handwritten"
    " letters for clothing; other outliers give other numbers",
}


def published(id_name: str, ood_name: str, row: dict) -> Published | None:
    """The numbers a row of a table is to be compared with, or None."""
    if row["name"] in CHOSEN and row["protocol"] != "repository":
        return None
    return TABLE.get((id_name, ood_name), {}).get(row["name"])


def comparable(config: ConfigDict) -> bool:
    """Whether a run is of the published sets, whole, with the published validation."""
    c = config.data
    places = {c.source, *c.ood_source}
    limited = c.limit_train or 0 < c.limit_test < 10_000 or c.image_size or c.channels
    whole = config.detect.validation == 1000 and not limited
    return whole and not places & set(OTHER)
