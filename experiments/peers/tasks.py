"""What is compared, flows or detectors, its size, and the libraries that have it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

OURS = "flowjax_ood"


@dataclass(frozen=True)
class Shape:
    """A flow on vectors that every library can build.

    `couplings` couplings, each conditioned on one half of the `dim` values by an MLP
    with `layers` hidden layers of `width`; splines have `bins` bins on [-5, 5]. As many
    autoregressive maps have masked MLPs of that size.
    """

    dim: int = 64
    couplings: int = 8
    width: int = 256
    layers: int = 2
    bins: int = 8
    batch: int = 512

    def data(self) -> np.ndarray:
        """Draw a batch, float32 `[batch, dim]`."""
        import numpy as np  # the command line is read without

        x = np.random.default_rng(0).standard_normal((self.batch, self.dim))
        return x.astype(np.float32)

    def examples(self, mode: str) -> int:
        """Count the examples of a call."""
        return self.batch


class Features(NamedTuple):
    """Non-negative features of a classifier, and its last layer, all float32.

    `train [N, D]`, their `labels [N]`, `scored [M, D]`, half of it outliers; logits are
    `features @ weights + bias`, with `weights [D, C]`.
    """

    train: np.ndarray
    labels: np.ndarray
    scored: np.ndarray
    weights: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class FeatureShape:
    """`rows` training features of `dim` values in `classes`, and `scored` to score."""

    rows: int = 50_000
    dim: int = 512
    classes: int = 100
    scored: int = 5_000

    def data(self) -> Features:
        """Draw classes about means of their own, cut at 0, and a matched last layer."""
        import numpy as np

        random = np.random.default_rng(0)
        means = random.standard_normal((self.classes, self.dim)).astype(np.float32)

        def near(labels):
            noise = random.standard_normal((len(labels), self.dim), np.float32)
            return np.maximum(means[labels] + noise, 0)

        labels = np.arange(self.rows) % self.classes
        known = near(np.arange(self.scored - self.scored // 2) % self.classes)
        noise = random.standard_normal((self.scored // 2, self.dim), np.float32)
        outliers = np.maximum(1.4 * noise, 0)
        weights = (np.maximum(means, 0) - 0.4) / 10
        bias = -0.5 * np.sum(weights * np.maximum(means, 0), axis=1)
        scored = np.concatenate([known, outliers])
        return Features(near(labels), labels, scored, weights.T, bias)

    def examples(self, mode: str) -> int:
        """Count the examples of a call."""
        return self.rows if mode == "fit" else self.scored


class Calls(NamedTuple):
    """A flow ready to be timed; every call returns when its work is done.

    `train`: one Adam step on the mean negative log-likelihood of the batch, which is
    returned (nats). `log_prob`: the log-density of the batch, without gradients.
    `sample`: as many new vectors.
    """

    parameters: int
    train: Callable[[], float]
    log_prob: Callable[[], object]
    sample: Callable[[], object]


class DetectorCalls(NamedTuple):
    """A detector ready to be timed; every call returns when its work is done.

    `parameters`: numbers of the last layer. `fit`: to the training features. `score`:
    those to be scored, higher for more in-distribution, `[M]`.
    """

    parameters: int
    fit: Callable[[], object]
    score: Callable[[], np.ndarray]


class Library(NamedTuple):
    """A row of the table: `builder` is a function of `module`, by name.

    `package` is what pip installs and what the builder imports; `how` says which of
    its ways was taken, `lacks` for which tasks it has nothing.
    """

    package: str
    module: str
    builder: str
    how: str
    lacks: tuple[str, ...] = ()


class Contest(NamedTuple):
    """A comparison: its libraries, tasks, timed calls, default shape and file.

    `modes` are names of fields of what a library's builder returns.
    """

    libraries: dict[str, Library]
    tasks: tuple[str, ...]
    modes: tuple[str, ...]
    shape: Any
    file: str


JAX, TORCH = "experiments.peers.jax_flows", "experiments.peers.torch_flows"
FLOWS = Contest(
    libraries={
        OURS: Library(OURS, JAX, "ours", "jit; a Chain"),
        f"{OURS} scan": Library(OURS, JAX, "ours_scan", "jit; Repeat, one body"),
        "flowjax": Library("flowjax", JAX, "flowjax", "jit; its own flows (scan)"),
        "distrax": Library(
            *("distrax", JAX, "distrax", "jit; Chain of SplitCoupling"),
            lacks=("autoregressive",),
        ),
        "zuko": Library("zuko", TORCH, "zuko", "eager; NICE, MAF"),
        "nflows": Library("nflows", TORCH, "nflows", "eager; CompositeTransform"),
        "normflows": Library("normflows", TORCH, "normflows", "eager; NormalizingFlow"),
    },
    tasks=("affine", "spline", "autoregressive"),
    modes=("train", "log_prob", "sample"),
    shape=Shape(),
    file="peers.json",
)
PYTORCH_OOD = "experiments.peers.torch_detectors"
DETECTORS = Contest(
    libraries={
        OURS: Library(OURS, "experiments.peers.jax_detectors", "ours", "jit"),
        "pytorch-ood": Library("pytorch_ood", PYTORCH_OOD, "pytorch_ood", "eager"),
    },
    # classes of `flowjax_ood.ood`. What reads layers or drops units has no features in
    # common (Gram, NACUE, RankFeat, MCDropout), and GMM is another density there
    tasks=(
        *("MSP", "MaxLogit", "Energy", "Entropy", "GEN", "KLMatching", "TempScale"),
        *("KNN", "MahalanobisFeatures", "RelativeMahalanobis", "ViM", "ReAct", "ASH"),
        *("SCALE", "DICE", "SHE", "FDBD", "NNGuide", "GradNorm", "NCI", "VRA", "LTS"),
        *("OpenMax", "PNML", "GradUncertainty", "ODIN"),
    ),
    modes=("fit", "score"),
    shape=FeatureShape(),
    file="peers_detectors.json",
)
CONTESTS = {"flows": FLOWS, "detectors": DETECTORS}
LEARNING_RATE = 1e-4
