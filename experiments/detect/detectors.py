"""The rows of a table of detectors, and the data that each is fitted on."""

from typing import Any

import numpy as np
from ml_collections import ConfigDict

from experiments.core.sets import Sets, drawn_rows
from flowjax_ood import ood
from flowjax_ood.data.outliers.images import KINDS, NOISE, pseudo_outliers
from flowjax_ood.data.outliers.tokens import pseudo_outlier_tokens
from flowjax_ood.data.sets import StoredSet, TokenSet
from flowjax_ood.ood import protocols
from flowjax_ood.ood.detector import Detector
from flowjax_ood.ood.given import Given
from flowjax_ood.ood.network import Network, Outputs

# the validation data that a detector's settings were chosen by
REPOSITORY, LEAK_FREE, NONE = "repository", "leak_free", "none"
# below so many images to choose by, a long grid of magnitudes says nothing
FEW = 500
# rows that also see the corrupted images, up to 95 sets: some detectors of each kind,
# of those without a step
SEVERITY = (
    ("MSP", NONE),
    ("Energy", NONE),
    ("KNN", NONE),
    ("ViM", NONE),
    ("Mahalanobis (uniform weights)", NONE),
    ("FSSD (last layer)", NONE),
    ("FSSD (no perturbation)", LEAK_FREE),
)
# as published, without a choice; those that have a grid are also rows that choose
PUBLISHED = (
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
    ood.WeiPer(),
    ood.NACUE(),
    ood.Gram(),
    ood.NCI(),
    ood.Relation(),
    ood.VRA(),
    ood.CARef(),
    ood.CADRef(),
    ood.NECO(),
    ood.Residual(),
    ood.MahalanobisPlusPlus(),
    ood.RelativeMahalanobisPlusPlus(),
    ood.LTS(),
    ood.OpenMax(),
    ood.PNML(),
    ood.GMM(),
    ood.CFOOD(),
    ood.GradUncertainty(),
)
# of images alone: they need feature maps, or gradients by pixels
OF_IMAGES = (
    ood.RankFeat(),
    ood.AdaSCALE("a"),
    ood.AdaSCALE("l"),
    ood.IODIN(),
)


def plain(
    config: ConfigDict, layers: tuple[str, ...], ood_count: int
) -> list[Detector]:
    """List the detectors that choose nothing by validation data.

    `layers` of the network, shallow to deep; `ood_count` of the first OOD set, which
    FSSD's published noise depends on.
    """
    listed = [
        *PUBLISHED,
        ood.TempScale(),
        # tokens have no noise
        ood.GrOOD("mean" if config.detect.fssd_noise == "validation" else "noise"),
        ood.MahalanobisLayers(
            weights="uniform", magnitudes=(0.0,), label="Mahalanobis (uniform weights)"
        ),
    ]
    if config.detect.fssd_noise != "validation":
        # from the mean of in-distribution inputs, unlike from noise, nobody knows which
        # way is out: weights have to be fitted
        listed += [
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
        listed += OF_IMAGES
        # as published by Liang et al. for their networks, without a choice
        setting = (0.0014,), (1000.0,)
        listed.append(ood.ODIN(*setting, label="ODIN (fixed setting)"))
    if config.detect.dropout_passes:
        passes = {"passes": config.detect.dropout_passes}
        listed += [
            ood.MCDropout(**passes, label="MC Dropout (mean)"),
            ood.MCDropout(**passes, scoring="var", label="MC Dropout (variance)"),
            ood.MCDropout(**passes, scoring="logits", label="MC Dropout (mean logits)"),
            ood.MCDropout(
                **passes, scoring="softmax_var", label="MC Dropout (softmax variance)"
            ),
        ]
    return listed


def chosen(config: ConfigDict, ood_count: int) -> list[Detector]:
    """List the detectors whose settings are chosen by a protocol's outliers.

    Those of `PUBLISHED` and `OF_IMAGES` choose among their grids. Those that step along
    gradients choose from the published magnitudes, or from two where there are few
    images to choose by; where inputs have no gradient, they take no step.
    """
    steps: dict[str, Any] = {}
    still: dict[str, Any] = {"magnitudes": (0.0,)}
    if config.detect.validation < FEW:
        steps = {"magnitudes": (0.01, 0.0)}
    signs = steps or {"magnitudes": (0.1, 0.04, 0.02, 0.01, 0.004, 0.001, 0.0)}
    published = {"ood_count": ood_count, "noise": config.detect.fssd_noise}
    without = ood.FSSD.repository(**published, **still, label="FSSD (no perturbation)")
    tuned = [ood.Tuned(detector) for detector in PUBLISHED if detector.grid]
    if not config.detect.perturb:
        return [*tuned, ood.ODIN(**still), ood.MahalanobisLayers(**still), without]
    listed = [
        *tuned,
        *(ood.Tuned(detector) for detector in OF_IMAGES if detector.grid),
        ood.ODIN(**steps),
        ood.MahalanobisLayers(**steps),
        ood.FSSD.repository(**published, **steps),
        without,
    ]
    if config.detect.fssd_noise != "validation":
        # as the slides have it
        label = "FSSD (sign steps)"
        listed.append(
            ood.FSSD(noise="uniform", weights="logistic", label=label, **signs)
        )
    return listed


def wanted(config: ConfigDict, name: str) -> bool:
    """Tell whether a detector is among those of `detect.detectors`; () is all."""
    names = config.detect.detectors
    return not names or name in names


def evaluated(sets: Sets, config: ConfigDict) -> dict[str, np.ndarray]:
    """Leave of every test set what both protocols test on: `{set: inputs}`.

    An OOD set is cut to as many as there are in-distribution inputs.
    """
    size, limit, kept = config.detect.validation, None, {}
    for name, events in sets.scored.items():
        rows = protocols.split(len(events), size).test[:limit]
        kept[name] = sets.inputs(events, rows)
        limit = limit or len(rows)
    return kept


def given(
    sets: Sets,
    config: ConfigDict,
    protocol: str,
    train: Outputs | None,
    ood_name: str | None,
) -> Given:
    """Gather the data that detectors are fitted on under a protocol.

    In-distribution validation inputs are of the test set, none of those tested.
    Outliers to choose by are real ones under `repository`, of the very OOD set that is
    tested; under `leak_free` they are made of training inputs; else there are none.
    `train` are the outputs of the training inputs that detectors are fitted on.
    """
    size, outliers = config.detect.validation, None
    if protocol == REPOSITORY:
        assert ood_name is not None  # each OOD set has a row of its own
        outliers = validation(sets.ood[ood_name], sets, config)
    elif protocol == LEAK_FREE:
        rows = np.random.RandomState(protocols.SEED).permutation(len(sets.train))
        x = sets.inputs(sets.train, rows[:size])
        outliers = made_outliers(sets, x, config.seed)
    rows = fitted_rows(sets, config)
    inputs = sets.inputs(sets.train, rows)
    x, of_x = validation(sets.test, sets, config), None
    if sets.test.labels is not None:
        tested = protocols.split(len(sets.test), size)
        of_x = sets.test.labels[np.concatenate([tested.fit, tested.choose])]
    labels = sets.train_labels[rows]
    return Given(train, labels, x, outliers, config.seed, inputs, of_x)


def validation(events: StoredSet, sets: Sets, config: ConfigDict) -> np.ndarray:
    """Inputs of a test set that settings are chosen by, none of those tested."""
    rows = protocols.split(len(events), config.detect.validation)
    return sets.inputs(events, np.concatenate([rows.fit, rows.choose]))


def made_outliers(sets: Sets, x: np.ndarray, seed: int) -> np.ndarray:
    """Make an outlier of each training input; of images, none that is noise.

    Noise marks the singularity: FSSD would find it without learning anything.
    """
    if isinstance(sets.train, TokenSet):
        return pseudo_outlier_tokens(x, len(sets.train.alphabet), seed)[0]
    kinds = [kind for kind in KINDS if kind not in NOISE]
    return pseudo_outliers(x, seed, kinds)[0]


def fitted_rows(sets: Sets, config: ConfigDict) -> np.ndarray:
    """Draw the rows of the training set that detectors are fitted on, ascending."""
    return drawn_rows(len(sets.train), config.detect.limit_fit, config.seed)


def train_outputs(network: Network, sets: Sets, config: ConfigDict) -> Outputs:
    """Collect the outputs of the training inputs that detectors are fitted on."""
    x = sets.inputs(sets.train, fitted_rows(sets, config))
    return network.collect(x, config.eval.batch_size)
