"""Densities of a few statistics `[N, J]`, fitted to those of reference images.

Each `fit_...(t)` returns a function of statistics `[M, J]` to float64 `[M]`: the
logarithm of a density, or what ranks like one.
"""

import warnings
from collections.abc import Callable

import numpy as np

Density = Callable[[np.ndarray], np.ndarray]
# added to the variances of a mixture, of standardised statistics
REGULARISATION = 1e-3
RESTARTS = 3
# reference images that kernels are centred on, at most
MOST_CENTRES = 10_000
# standard deviations from the mean: their squares are finite
FURTHEST = 1e100
# rows of a table of kernels that is in memory at a time
_CHUNK = 256


def standardised(t: np.ndarray, names: tuple[str, ...], what: str) -> Density:
    """Return a function that standardises statistics as those of reference images.

    What is further than 1e100 standard deviations away is put there, so that infinite
    statistics have a score. Raises ValueError where one, `names[j]`, is not finite on
    reference images, or has no spread.
    """
    for name, column in zip(names, t.T, strict=True):
        if not np.isfinite(column).all():
            raise ValueError(
                f"{what}: {name} of reference images is not finite at number "
                f"{int(np.argmin(np.isfinite(column)))}"
            )
        # rounding of float32 leaves some spread of equal numbers
        if column.std() <= 1e-6 * np.abs(column).max():
            raise ValueError(
                f"{what}: {name} of all {len(t)} reference images is "
                f"{column[0]:.6g}; a constant has no density, leave it out"
            )
    mean, std = t.mean(0), t.std(0, ddof=1)
    return lambda t: np.clip((t - mean) / std, -FURTHEST, FURTHEST)


def where_known(density: Density, t: np.ndarray) -> np.ndarray:
    """`density(t)`, and NaN for rows that hold NaN: float64 `[N]`."""
    known = ~np.isnan(t).any(1)
    scores = np.full(len(t), np.nan)
    if known.any():
        scores[known] = density(t[known])
    return scores


def fit_kde(t: np.ndarray) -> Density:
    """`sum_j log KDE_j(t_j)`: Gaussian kernels, their widths by Scott's rule.

    The width is `n^(-1/5)` sample standard deviations.
    """
    from scipy.special import logsumexp

    widths = t.std(0, ddof=1) * len(t) ** -0.2
    constant = np.log(len(t) * widths * np.sqrt(2 * np.pi)).sum()

    def part(q):
        # no underflow: far away, the nearest kernel is all that is left
        away = (q[:, None] - t) / widths
        return logsumexp(-(away**2) / 2, axis=1).sum(1) - constant

    def density(q):
        parts = [part(q[i : i + _CHUNK]) for i in range(0, len(q), _CHUNK)]
        return np.concatenate(parts)

    return density


def fit_svm(t: np.ndarray, nu: float) -> Density:
    """Signed distance to a one-class SVM's boundary, with Gaussian kernels.

    `nu`: the share of reference images that may be outside, at most. It is constant
    far away. Raises ImportError without scikit-learn. Source: Schoelkopf 2001.
    """
    svm = _sklearn("svm").OneClassSVM(kernel="rbf", gamma="scale", nu=nu)
    return svm.fit(t).decision_function


def fit_mixture(t: np.ndarray, components: int, seed: int) -> Density:
    """Log density of a mixture of Gaussians with full covariances, the best of 3 fits.

    1e-3 is added to variances. Raises ImportError without scikit-learn.
    """
    model = _sklearn("mixture").GaussianMixture(
        components,
        covariance_type="full",
        reg_covar=REGULARISATION,
        n_init=RESTARTS,
        random_state=seed,
    )
    ignored = _sklearn("exceptions").ConvergenceWarning
    with warnings.catch_warnings():
        # of fewer values that differ than components
        warnings.simplefilter("ignore", ignored)
        return model.fit(t).score_samples


def _sklearn(module: str):
    from importlib import import_module

    try:
        return import_module(f"sklearn.{module}")
    except ImportError as error:
        raise ImportError(
            "densities of statistics other than kernels need scikit-learn: pip install "
            '"flowjax_ood[detect]"'
        ) from error
