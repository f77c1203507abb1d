"""The rows of a table of detectors, and what each is fitted on."""

from dataclasses import replace

import numpy as np
from ml_collections import ConfigDict

from experiments.sets import Sets
from flowjax_ood import ood
from flowjax_ood.data.pseudo_outliers import KINDS, NOISE, pseudo_outliers
from flowjax_ood.ood import protocols
from flowjax_ood.ood.detector import Detector, Given
from flowjax_ood.ood.network import Network, Outputs

# what validation data a detector's settings were chosen by
REPOSITORY, LEAK_FREE, NONE = "repository", "leak_free", "none"


def plain() -> list[Detector]:
    """Detectors that choose nothing by validation data: the same in every protocol."""
    of_outputs = [
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
    ]
    return [
        *of_outputs,
        ood.FSSD(label="FSSD, uniform weights"),
        ood.MahalanobisLayers(
            weights="uniform", magnitudes=(0.0,), label="Mahalanobis, uniform weights"
        ),
        # as published by Liang et al. for their networks, without a choice
        ood.ODIN(
            magnitudes=(0.0014,), temperatures=(1000.0,), label="ODIN, fixed setting"
        ),
        ood.MCDropout(label="MC Dropout, mean"),
        ood.MCDropout(scoring="var", label="MC Dropout, variance"),
    ]


def chosen(ood_count: int, grid: str) -> list[Detector]:
    """Detectors whose settings are chosen by validation outliers of a protocol.

    `grid`: "full" is the published magnitudes, "few" two of them.
    """
    few = (0.01, 0.0) if grid == "few" else None
    step = {"magnitudes": few} if few else {}
    return [
        ood.ODIN(**step),
        ood.MahalanobisLayers(**step),
        ood.FSSD.repository(ood_count=ood_count, **step),
        ood.FSSD.repository(
            ood_count=ood_count, magnitudes=(0.0,), label="FSSD without perturbation"
        ),
        ood.FSSD(
            weights="logistic",
            magnitudes=few or (0.1, 0.04, 0.02, 0.01, 0.004, 0.001, 0.0),
            label="FSSD, sign steps",
        ),
    ]


def evaluated(sets: Sets, config: ConfigDict) -> dict[str, np.ndarray]:
    """`{set: inputs}` to test on: what both protocols leave of every test set.

    An OOD set is cut to as many as there are in-distribution inputs.
    """
    size = config.detect.validation
    found = {sets.test.name: sets.inputs(sets.test)}
    kept = {name: x[protocols.split(len(x), size).test] for name, x in found.items()}
    limit = len(kept[sets.test.name])
    for name, one in sets.ood.items():
        x = sets.inputs(one)
        kept[name] = x[protocols.split(len(x), size).test[:limit]]
    return kept


def given(sets: Sets, config: ConfigDict, protocol: str, train: Outputs, ood_name: str):
    """What detectors are fitted on under a protocol, and a note of it.

    `repository`: real validation images of the test sets, those of the very OOD set
    that is tested. `leak_free`: training images, and other training images made into
    outliers. `train` are the outputs of the training images at `fitted_rows`.
    """
    size = config.detect.validation
    rows = fitted_rows(sets, config)
    labels = sets.train.labels[rows]
    if protocol == REPOSITORY:
        tests = (sets.inputs(sets.test), sets.inputs(sets.ood[ood_name]))
        inliers, outliers = (_both(x, protocols.split(len(x), size)) for x in tests)
    else:
        x = sets.inputs(sets.train)
        order = np.random.RandomState(protocols.SEED).permutation(len(x))
        inliers = x[order[:size]]
        # noise marks the singularity: FSSD would find it without learning anything
        kinds = [kind for kind in KINDS if kind not in NOISE]
        outliers, _ = pseudo_outliers(x[order[size : 2 * size]], config.seed, kinds)
    return Given(train, labels, inliers, outliers, config.seed)


def _both(x, split):
    return x[np.concatenate([split.fit, split.choose])]


def fitted_rows(sets: Sets, config: ConfigDict) -> np.ndarray:
    """Rows of the training set that detectors are fitted on, ascending."""
    count, limit = len(sets.train), config.detect.limit_fit
    if not 0 < limit < count:
        return np.arange(count)
    # by chance: files may be sorted by class
    return np.sort(np.random.default_rng(config.seed).permutation(count)[:limit])


def train_outputs(network: Network, sets: Sets, config: ConfigDict) -> Outputs:
    """Outputs of the training images that detectors are fitted on."""
    rows = fitted_rows(sets, config)
    return network.collect(sets.inputs(sets.train)[rows], config.eval.batch_size)


def without_outliers(found: Given) -> Given:
    """The same without validation outliers, for detectors that must not see any."""
    return replace(found, ood_validation=None)
