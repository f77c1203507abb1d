"""Score every image of a set by its likelihood, exactly once."""

import math
from collections.abc import Callable
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding

from flowjax_ood.arguments import whole_number
from flowjax_ood.data.batching import padded_batches
from flowjax_ood.data.dequantize import check_values, dequantize, example_keys
from flowjax_ood.distributions import ClassMixture, Flow, bits_per_dim
from flowjax_ood.runtime.parallel import Parallel
from flowjax_ood.runtime.progress import progress


class Likelihoods(NamedTuple):
    """Per image, in the order of the set: both terms in nats on [0, 1)^D, float32.

    Of vectors: in nats on R^D, and without bits/dim.
    """

    log_pz: np.ndarray
    logdet: np.ndarray
    dims: int
    bins: int = 256

    @property
    def log_prob(self) -> np.ndarray:
        """Log-density in nats, float64 `[N]`."""
        # float64: the two terms are large and of opposite sign
        return self.log_pz.astype(np.float64) + self.logdet

    @property
    def bits_per_dim(self) -> np.ndarray:
        """Bits per dimension of images of `bins` values a pixel, float64 `[N]`."""
        return bits_per_dim(self.log_prob, self.dims, self.bins)


def evaluate_likelihood(
    flow: Flow,
    variables: dict,
    images: np.ndarray,
    *,
    key: jax.Array,
    batch_size: int,
    parallel: Parallel,
    cond: np.ndarray | None = None,
    bins: int = 256,
    label: str | None = "likelihood",
) -> Likelihoods:
    """Score images, or vectors as they are, with running batch statistics.

    One dequantisation draw per image, which depends on `key` and the image's position
    alone: up to rounding, the result does not depend on `batch_size` (rounded up to a
    multiple of the devices) or on the devices. Compiles once a flow and batch size, not
    once a set of images.

    Of several processes, all call it with all the images; each scores its own part of
    every batch, and all get the likelihoods.

    Args:
        flow: of these variables.
        variables: of the flow.
        images: uint8 or uint16 `[N, H, W, C]` of values below `bins`, or vectors,
            floating-point `[N, D]`.
        key: typed PRNG key of the dequantisation.
        batch_size: how many are scored at a time.
        parallel: the devices that share every batch.
        cond: floating-point `[N, K]` or `[N, h, w, K]`, a condition for each image.
        bins: how many values a pixel has, as of `dequantize`.
        label: of the progress that is shown; None shows none.

    Raises:
        ValueError: another number of conditions than of images, or values not below
            `bins`.
    """
    if cond is not None:
        cond = np.asarray(cond)
        if cond.shape[:1] != (len(images),):
            raise ValueError(
                f"cond must have one row for each of the {len(images)} images, got "
                f"shape {cond.shape}"
            )
    how = (key, batch_size, parallel, bins, label)
    parts = _in_batches(flow, "log_prob_parts", variables, images, cond, *how)
    return Likelihoods(parts.log_pz, parts.logdet, flow.dims, bins)


def evaluate_class_log_joint(
    flow: ClassMixture,
    variables: dict,
    images: np.ndarray,
    *,
    key: jax.Array,
    batch_size: int,
    parallel: Parallel,
    bins: int = 256,
    label: str | None = "classes",
) -> np.ndarray:
    """`log p(x, y)` of every class y of a mixture: `[N, K]`, nats.

    Under the noise, and with the arguments, of `evaluate_likelihood`.
    """
    how = (key, batch_size, parallel, bins, label)
    return _in_batches(flow, "class_log_joint", variables, images, None, *how)


def _in_batches(
    flow: Flow,
    method: str,
    variables: dict,
    images: np.ndarray,
    cond: np.ndarray | None,
    key: jax.Array,
    batch_size: int,
    parallel: Parallel,
    bins: int,
    label: str | None,
) -> Any:
    """What a method of the flow gives for all images, as NumPy."""
    batch_size = parallel.multiple(batch_size)
    variables, key = parallel.place_copies((variables, key))
    # what processes share must be whole on each of them
    whole = parallel.replicated if parallel.part.count > 1 else None
    score = _score_of(_Same(flow), method, whole, bins)
    outputs = []
    kind, unit = "image", "images"
    if np.issubdtype(images.dtype, np.floating):
        kind, unit = "x", "vectors"
    else:
        check_values(images, bins)
    with shown_batches(len(images), batch_size, label, unit) as batches:
        for at, mask in batches:
            batch = {kind: images[at], "index": at.astype(np.int32)}
            if cond is not None:
                batch["cond"] = cond[at]
            batch = parallel.place_rows(batch)
            given = jax.device_get(score(variables, batch, key))
            outputs.append(jax.tree.map(lambda a, mask=mask: a[mask], given))
    return jax.tree.map(lambda *parts: np.concatenate(parts), *outputs)


@contextmanager
def shown_batches(count: int, batch_size: int, label: str | None, unit: str):
    """Give `padded_batches`, with a progress of this label; None shows none."""

    def batches():
        done = 0
        for at, mask in padded_batches(count, batch_size):
            yield at, mask
            done += int(mask.sum())
            shown.advance(done)

    with progress(label, count, unit) as shown:
        yield batches()


def importance_log_prob(
    flow: Flow,
    variables: dict,
    images: jax.Array,
    key: jax.Array,
    draws: int = 16,
    *,
    index: jax.Array | None = None,
    cond: jax.Array | None = None,
    bins: int = 256,
) -> jax.Array:
    """`log mean_d p(x_d)` over `draws` of dequantisation noise: `[B]`, nats.

    Minus `D log bins`, this is in expectation a lower bound of the images'
    log-probability. It rises with `draws` and converges to it, faster with learned
    noise (`models.variationally_dequantized`) than with uniform. Training and reported
    results use one draw. Works under jit.

    `images` uint8 or uint16 `[B, H, W, C]`; `index` int `[B]`, their places in the set,
    by default 0, 1, ...: noise depends on key, draw and place alone. Raises ValueError
    for less than one draw. Source: Burda et al. 2016; Ho et al. 2019, section 4.
    """
    whole_number("draws", draws, 1)
    index = jnp.arange(len(images)) if index is None else index

    def one(total, draw):
        keys = example_keys(jax.random.fold_in(key, draw), index)
        x = dequantize(images, keys, bins)
        log_prob: Any = flow.apply(variables, x, cond)
        return jnp.logaddexp(total, log_prob), None

    start = jnp.full(len(images), -jnp.inf, jnp.float32)
    with jax.default_matmul_precision("highest"):
        total, _ = jax.lax.scan(one, start, jnp.arange(draws))
    return total - math.log(draws)


class _Same:
    """A flow compared by identity: its fields need not be hashable."""

    def __init__(self, flow: Flow):
        self.flow = flow

    def __eq__(self, other):
        return isinstance(other, _Same) and self.flow is other.flow

    def __hash__(self):
        return id(self.flow)


# room for a few flows: what is compiled for one lives as long as its entry
@lru_cache(maxsize=4)
def _score_of(
    same: _Same, method: str, whole: NamedSharding | None, bins: int
) -> Callable:
    @partial(jax.jit, out_shardings=whole)
    def score(variables, batch, key):
        x = batch.get("x")
        if x is None:
            x = dequantize(batch["image"], example_keys(key, batch["index"]), bins)
        # accelerators multiply float32 in fewer bits unless told otherwise
        with jax.default_matmul_precision("highest"):
            cond = batch.get("cond")
            given = () if cond is None else (cond,)
            return same.flow.apply(variables, x, *given, method=method)

    return score


def batch_likelihood_terms(flow: Flow) -> Callable[[dict, jax.Array], tuple]:
    """`f(variables, x [B, H, W, C]) -> (log_pz [B], logdet [B])`, nats, compiled.

    Batch norm uses the mean and variance of this very batch, as in training. The result
    is a score of an image *in its group*: a batch of OOD images alone tells the layers
    so. To score images one by one, use running statistics
    (`evaluate_likelihood`). The variables are not changed.
    """

    @jax.jit
    def terms(variables, x):
        with jax.default_matmul_precision("highest"):
            parts, _ = flow.apply(
                variables, x, method="log_prob_parts", mutable=["batch_stats"]
            )
        return parts.log_pz, parts.logdet

    return terms
