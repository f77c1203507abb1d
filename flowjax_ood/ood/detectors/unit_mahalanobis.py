"""Mahalanobis distances of features of length 1."""

from dataclasses import dataclass

from flowjax_ood.ood.detector import score_of
from flowjax_ood.ood.detectors.features import MahalanobisFeatures
from flowjax_ood.ood.detectors.fitting import unit, unit_rows
from flowjax_ood.ood.summaries import MomentsOf


def _distance(f, fitted):
    return fitted.score(unit(f))


@dataclass(frozen=True)
class MahalanobisPlusPlus(MahalanobisFeatures):
    """`- min_c (u - m_c)' S^+ (u - m_c)`, `u = f / |f|` (Müller & Hein 2025).

    Means and covariance are of such u, too: lengths of features vary between classes,
    which a covariance for all of them cannot say.
    """

    name = "Mahalanobis++"
    moments = MomentsOf(of_rows=unit_rows)

    def prepared(self, network, given):
        return score_of(_distance, "features", fitted=self.fitted(given))


@dataclass(frozen=True)
class RelativeMahalanobisPlusPlus(MahalanobisPlusPlus):
    """The same less the distance to one Gaussian of all u (Müller & Hein 2025)."""

    name = "Relative Mahalanobis++"
    relative = True
