"""Features from the tails of Gaussians, one Gaussian a class: outliers by design."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.arguments import whole_number
from flowjax_ood.federated.generator import FeatureGenerator
from flowjax_ood.ood.moments import Moments

# added to the diagonal of covariances, as published
RIDGE = 1e-4


def external_features(
    generator: FeatureGenerator,
    variables: dict,
    own: Sequence[int] | np.ndarray,
    num: int,
    key: jax.Array,
    *,
    draws: int = 1000,
    keep: int = 1,
) -> np.ndarray:
    """Make `num` features of classes that are not `own`, float32 `[num, D]`.

    A row's class is uniform over external classes. Each class has a Gaussian with the
    mean of `draws` generated features, and all share a covariance; the row is from its
    tail, as `tail_features` has it. A row depends on `key` and its number alone.

    Raises ValueError for own classes that are unknown or are all there are, and as
    `tail_features` does. Source: Yu et al. 2023, section 4.2.
    """
    classes = generator.classes
    known = {whole_number("an own class", c, 0) for c in own}
    if wrong := sorted(c for c in known if c >= classes):
        raise ValueError(f"own class {wrong[0]} is none of {classes} classes")
    external = np.array(sorted({*range(classes)} - known), np.int32)
    if not len(external):
        raise ValueError(
            f"all {classes} classes are the client's own: there is no external class "
            "to make outliers of; leave virtual outliers out for it"
        )
    _check_draws(num, draws, keep)
    labels = np.repeat(external, draws)
    made = _generated(generator, variables, labels, jax.random.fold_in(key, 0))
    moments = Moments(generator.features).add(np.asarray(made), labels)
    return tail_features(
        moments.means,
        moments.covariance,
        num,
        jax.random.fold_in(key, 1),
        draws=draws,
        keep=keep,
    )


def tail_features(
    means: np.ndarray,
    covariance: np.ndarray,
    num: int,
    key: jax.Array,
    *,
    draws: int = 1000,
    keep: int = 1,
) -> np.ndarray:
    """Draw `num` rows of low density from Gaussians, float32 `[num, D]`.

    A row picks a mean at random, and is one of the `keep` of lowest density among
    `draws` draws of `N(mean, covariance + 1e-4 I)`; with `keep = draws` it is a draw of
    the Gaussian. The draws themselves are not made: the density falls with the length
    of a whitened draw, whose square is chi-square of D degrees. So the length follows
    from the law of the largest of so many, and its direction is uniform: any number of
    draws costs the same.

    Args:
        means: `[E, D]`.
        covariance: `[D, D]`, shared.
        num: rows.
        key: row i depends on `fold_in(key, i)` alone.
        draws: of which the rarest are kept, at least 1.
        keep: from 1 to `draws`.

    Raises ValueError for numbers out of range, other shapes, and what is not finite.
    Source: Du et al. 2022, section 3.1, for tails of class Gaussians.
    """
    from scipy.special import betaincinv, gammainccinv

    _check_draws(num, draws, keep)
    means, covariance = (np.asarray(a, np.float64) for a in (means, covariance))
    dims = means.shape[-1]
    if means.ndim != 2 or covariance.shape != (dims, dims):
        raise ValueError(
            f"need means [E, D] and a covariance [D, D], got {list(means.shape)} and "
            f"{list(covariance.shape)}"
        )
    if not (np.isfinite(means).all() and np.isfinite(covariance).all()):
        raise ValueError("means and covariance must be finite: features are not")
    root = np.linalg.cholesky(covariance + RIDGE * np.eye(dims))
    bits, direction = map(np.asarray, _drawn(num, dims, key))
    # inside (0, 1): the end points would be infinitely far
    at, rank, share = ((bits + 0.5) / 2**32).T
    j = 1 + np.floor(keep * rank)
    # the share of draws that are farther: of n uniform numbers, the j-th least
    beyond = betaincinv(j, draws - j + 1, share)
    length = np.sqrt(2 * gammainccinv(dims / 2, beyond))
    away = direction / np.linalg.norm(direction, axis=1, keepdims=True)
    centre = means[np.floor(len(means) * at).astype(int)]
    return (centre + (length[:, None] * away) @ root.T).astype(np.float32)


@partial(jax.jit, static_argnums=(0, 1))
def _drawn(num: int, dims: int, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Three numbers of 32 bits and a normal vector, each row by a key of its own."""

    def row(i):
        numbers, way = jax.random.split(jax.random.fold_in(key, i))
        bits = jax.random.bits(numbers, (3,), jnp.uint32)
        return bits, jax.random.normal(way, (dims,))

    return jax.vmap(row)(jnp.arange(num))


def _check_draws(num: int, draws: int, keep: int) -> None:
    whole_number("num", num, 1)
    whole_number("draws", draws, 1)
    if not 1 <= whole_number("keep", keep) <= draws:
        raise ValueError(f"keep must lie in 1 ... draws ({draws}), got {keep}")


@partial(jax.jit, static_argnums=0)
def _generated(generator: FeatureGenerator, variables, labels, key):
    return generator.apply(variables, labels, key)
