"""The same networks as detectors: disagreement, and a Gaussian of pixels beside it."""

import numpy as np

from experiments.core.pixel_gaussian import NAME as PCA
from experiments.core.pixel_gaussian import pixel_gaussian
from experiments.steal.images import CLOTHING, DIGITS, MADE_OF_TEST, UPPER, Images
from experiments.steal.targets import KEYED, MEMBERS, ONE, PLAIN, TOLD, Trained
from flowjax_ood import ood

EXPOSED = "one network, Outlier Exposure: MSP"
COHERENCE, INFORMATION, MEAN = "coherence", "mutual information", "mean MSP"
DETECTORS = {
    MEAN: ood.DeepEnsemble("mean_max"),
    INFORMATION: ood.DeepEnsemble("neg_mutual_information"),
    COHERENCE: ood.Coherence(),
}


def row_name(target: str, detector: str) -> str:
    """The row of members, as they are stolen, and a detector of them."""
    return f"{MEMBERS[target]}: {detector}"


def measure(trained: Trained) -> dict:
    """`auroc` of every row by set, and mean coherence of members by set, in [0, 1].

    Members are not asked about digits where they were told of half of these: neither
    has an AUROC (it is left out) nor a coherence (None).
    """
    images = trained.images
    scores = {PCA: pixel_gaussian(images.train, images.sets)}
    for name, network in ((f"{ONE}: MSP", trained.one), (EXPOSED, trained.exposed)):
        fitted = ood.MSP().fit(network)
        scores[name] = {n: fitted.score(x) for n, x in images.sets.items()}
    for target in (PLAIN, KEYED, TOLD):
        networks = trained.served(target).networks
        for name, detector in DETECTORS.items():
            fitted = detector.fit(networks)
            scores[row_name(target, name)] = {
                n: fitted.score(x) for n, x in images.sets.items()
            }
    told = row_name(TOLD, "")
    means = {
        MEMBERS[t]: {
            # the score is the largest cosine less 1; half of digits were told
            n: None if t == TOLD and n == DIGITS else 1 + float(np.mean(s))
            for n, s in scores[row_name(t, COHERENCE)].items()
        }
        for t in (PLAIN, KEYED, TOLD)
    }
    return {
        "auroc": {
            name: {
                n: ood.auroc(of[CLOTHING], s).value
                for n, s in of.items()
                # of what was told, nothing is asked
                if n != CLOTHING and not (n == DIGITS and name.startswith(told))
            }
            for name, of in scores.items()
        },
        "coherence": means,
    }


def tested(images: Images) -> list[str]:
    """Names of the sets that are detected, as columns; made outliers last."""
    first = [DIGITS, UPPER]
    rest = [n for n in images.sets if n not in (*first, CLOTHING, MADE_OF_TEST)]
    return [*first, *rest, MADE_OF_TEST]
