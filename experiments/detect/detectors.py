"""The rows of a table of detectors, and what each is fitted on."""

from dataclasses import replace

import numpy as np
from ml_collections import ConfigDict

from experiments.core.keys import Kind
from experiments.core.sets import Sets
from flowjax_ood import ood
from flowjax_ood.data.outliers.images import KINDS, NOISE, pseudo_outliers
from flowjax_ood.data.outliers.tokens import pseudo_outlier_tokens
from flowjax_ood.ood import protocols
from flowjax_ood.ood.detector import Detector, Given
from flowjax_ood.ood.network import Network, Outputs

# what validation data a detector's settings were chosen by
REPOSITORY, LEAK_FREE, NONE = "repository", "leak_free", "none"
# below so many images to choose by, a long grid of magnitudes says nothing
FEW = 500
# detectors that are followed along the severity of corruptions
SEVERITY = (
    ("MSP", NONE),
    ("Energy", NONE),
    ("KNN", NONE),
    ("ViM", NONE),
    ("Mahalanobis (uniform weights)", NONE),
    ("FSSD (last layer)", NONE),
    ("FSSD (no perturbation)", LEAK_FREE),
)


def plain(
    config: ConfigDict, layers: tuple[str, ...], ood_count: int
) -> list[Detector]:
    """Detectors that choose nothing by validation data: the same in every protocol.

    `layers` of the network, shallow to deep; `ood_count` of the first OOD set, which
    FSSD's published noise depends on.
    """
    found = [
        ood.MSP(),
        ood.MaxLogit(),
        ood.Energy(),
        ood.Entropy(),
        ood.GEN(),
        ood.KLMatching(),
        ood.KNN(),
        ood.MahalanobisFeatures(),
        ood.RelativeMahalanobis(),
        ood.ViM(),
        ood.ReAct(),
        ood.ASH(),
        ood.SCALE(),
        ood.DICE(),
        ood.SHE(),
        ood.FDBD(),
        ood.NNGuide(),
        ood.GradNorm(),
        ood.MahalanobisLayers(
            weights="uniform", magnitudes=(0.0,), label="Mahalanobis (uniform weights)"
        ),
    ]
    if config.detect.fssd_noise != "validation":
        # from the mean of in-distribution inputs, unlike from noise, nobody knows which
        # way is out: weights have to be fitted
        found += [
            ood.FSSD(label="FSSD (uniform weights)", noise="uniform"),
            ood.FSSD.repository(
                noise=config.detect.fssd_noise,
                ood_count=ood_count,
                weights=layers[-1],
                magnitudes=(0.0,),
                label="FSSD (last layer)",
            ),
        ]
    if config.detect.perturb:
        # as published by Liang et al. for their networks, without a choice
        setting = {"magnitudes": (0.0014,), "temperatures": (1000.0,)}
        found.append(ood.ODIN(**setting, label="ODIN (fixed setting)"))
    if config.detect.dropout_passes:
        passes = {"passes": config.detect.dropout_passes}
        found += [
            ood.MCDropout(**passes, label="MC Dropout (mean)"),
            ood.MCDropout(**passes, scoring="var", label="MC Dropout (variance)"),
        ]
    return found


def chosen(config: ConfigDict, ood_count: int) -> list[Detector]:
    """Detectors whose settings are chosen by validation outliers of a protocol.

    From the published magnitudes, or two of them where there are few images to choose
    by; from no step alone where inputs have no gradient.
    """
    steps, still = {}, {"magnitudes": (0.0,)}
    if config.detect.validation < FEW:
        steps = {"magnitudes": (0.01, 0.0)}
    signs = steps or {"magnitudes": (0.1, 0.04, 0.02, 0.01, 0.004, 0.001, 0.0)}
    published = {"ood_count": ood_count, "noise": config.detect.fssd_noise}
    without = ood.FSSD.repository(**published, **still, label="FSSD (no perturbation)")
    if not config.detect.perturb:
        return [ood.ODIN(**still), ood.MahalanobisLayers(**still), without]
    found = [
        ood.ODIN(**steps),
        ood.MahalanobisLayers(**steps),
        ood.FSSD.repository(**published, **steps),
        without,
    ]
    if config.detect.fssd_noise != "validation":
        # as the slides have it
        slides = {"noise": "uniform", "weights": "logistic", **signs}
        found.append(ood.FSSD(**slides, label="FSSD (sign steps)"))
    return found


def against_severity(config: ConfigDict) -> list[tuple[str, str]]:
    """`(detector, protocol)` of those that also see the corrupted images.

    Some of each kind, of those without a step: there are up to 95 such sets.
    """
    names = config.detect.detectors
    return [pair for pair in SEVERITY if not names or pair[0] in names]


def evaluated(sets: Sets, config: ConfigDict) -> dict[str, np.ndarray]:
    """`{set: inputs}` to test on: what both protocols leave of every test set.

    An OOD set is cut to as many as there are in-distribution inputs.
    """
    size, limit, kept = config.detect.validation, None, {}
    for name, one in {sets.test.name: sets.test, **sets.ood}.items():
        rows = protocols.split(len(one), size).test[:limit]
        kept[name] = sets.inputs(one, rows)
        limit = limit or len(rows)
    return kept


def given(
    sets: Sets,
    config: ConfigDict,
    protocol: str,
    train: Outputs | None,
    ood_name: str,
) -> Given:
    """What detectors are fitted on under a protocol.

    In-distribution validation inputs are of the test set, none of those tested.
    Outliers to choose by are real ones under `repository`, of the very OOD set that is
    tested; under `leak_free` they are made of training inputs. `train` are the outputs
    of the training inputs at `fitted_rows`.
    """
    size = config.detect.validation
    labels = sets.train.labels[fitted_rows(sets, config)]
    inliers = _validation(sets, sets.test, size)
    if protocol == REPOSITORY:
        outliers = _validation(sets, sets.ood[ood_name], size)
    else:
        rows = np.random.RandomState(protocols.SEED).permutation(len(sets.train))
        x = sets.inputs(sets.train, rows[:size])
        outliers = made_outliers(sets, x, config.seed)
    return Given(train, labels, inliers, outliers, config.seed)


def _validation(sets: Sets, one, size: int) -> np.ndarray:
    found = protocols.split(len(one), size)
    return sets.inputs(one, np.concatenate([found.fit, found.choose]))


def made_outliers(sets: Sets, x: np.ndarray, seed: int) -> np.ndarray:
    """An outlier of each training input; of images, none that is noise.

    Noise marks the singularity: FSSD would find it without learning anything.
    """
    if sets.kind is Kind.TOKENS:
        return pseudo_outlier_tokens(x, len(sets.train.alphabet), seed)[0]
    kinds = [kind for kind in KINDS if kind not in NOISE]
    return pseudo_outliers(x, seed, kinds)[0]


def fitted_rows(sets: Sets, config: ConfigDict) -> np.ndarray:
    """Rows of the training set that detectors are fitted on, ascending."""
    count, limit = len(sets.train), config.detect.limit_fit
    if not 0 < limit < count:
        return np.arange(count)
    # by chance: files may be sorted by class
    return np.sort(np.random.default_rng(config.seed).permutation(count)[:limit])


def train_outputs(network: Network, sets: Sets, config: ConfigDict) -> Outputs:
    """Outputs of the training images that detectors are fitted on."""
    x = sets.inputs(sets.train, fitted_rows(sets, config))
    return network.collect(x, config.eval.batch_size)


def without_outliers(found: Given) -> Given:
    """The same without validation outliers, for detectors that must not see any."""
    return replace(found, ood_validation=None)
