"""The flow that is compared, its size, and the libraries that can build it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

TASKS = ("affine", "spline")
MODES = ("train", "log_prob")
OURS = "flowjax_ood"


@dataclass(frozen=True)
class Shape:
    """A coupling flow on vectors that every library can build.

    `couplings` couplings, each conditioned on one half of the `dim` values by an MLP
    with `layers` hidden layers of `width`; splines have `bins` bins on [-5, 5].
    """

    dim: int = 64
    couplings: int = 8
    width: int = 256
    layers: int = 2
    bins: int = 8
    batch: int = 512


class Calls(NamedTuple):
    """A flow ready to be timed; every call returns when its work is done.

    `train`: one Adam step on the mean negative log-likelihood of the batch, which is
    returned (nats). `log_prob`: the log-density of the batch, without gradients.
    """

    parameters: int
    train: Callable[[], float]
    log_prob: Callable[[], object]


class Library(NamedTuple):
    """A row of the table: `builder` is a function of `module`, by name.

    `package` is what pip installs and what the builder imports; `how` says which of
    its ways was taken.
    """

    package: str
    module: str
    builder: str
    how: str


JAX, TORCH = "experiments.peers.jax_flows", "experiments.peers.torch_flows"
LIBRARIES = {
    OURS: Library(OURS, JAX, "ours", "jit; a Chain of couplings"),
    f"{OURS} scan": Library(OURS, JAX, "ours_scan", "jit; Repeat, one compiled body"),
    "flowjax": Library("flowjax", JAX, "flowjax", "jit; coupling_flow (scan)"),
    "distrax": Library("distrax", JAX, "distrax", "jit; Chain of SplitCoupling"),
    "zuko": Library("zuko", TORCH, "zuko", "eager; NICE"),
    "nflows": Library("nflows", TORCH, "nflows", "eager; CompositeTransform"),
}
LEARNING_RATE = 1e-4
