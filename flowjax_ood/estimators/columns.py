"""Columns of a table in units of their own, before they are rounded to float32."""

from dataclasses import dataclass

import numpy as np

from flowjax_ood.ood.features import ledoit_wolf, shrunk

# standard deviations beyond which all values count alike: squares stay finite
LIMIT = 1e4
# A column varies by more than its values are rounded. It differs from a constant one
# by more than float32 would.
LEAST_STD, LEAST_DIFFERENCE = 1e-12, 1e-6
# of the variances of standardised columns: what follows from others to 1 % counts as
# noise of that size
LEAST_SHRINKAGE = 1e-4


@dataclass(frozen=True, eq=False)
class Columns:
    """`z = R ((x - mean) / scale)` of the columns that vary, computed in float64.

    `root` R is the symmetric inverse root of their correlations, shrunk as Ledoit and
    Wolf (2004) do, or the identity. It is continuous in X, so nothing hangs on the
    order or sign of principal components.
    """

    mean: np.ndarray  # [D]
    scale: np.ndarray  # [D], 1 for constant columns
    varies: np.ndarray  # [D]
    root: np.ndarray | None  # [V, V]

    @classmethod
    def fit(cls, x: np.ndarray, whiten: bool) -> "Columns":
        """Fit to rows `[n, D]`. Raises ValueError where no column varies."""
        mean, deviations, varies = _moments(x)
        scale, root = np.where(varies, deviations, 1.0), None
        if whiten and varies.sum() > 1:
            z = ((x - mean) / scale)[:, varies]
            correlation = z.T @ z / len(z)
            one = np.zeros(len(z), np.int64)
            share = ledoit_wolf(z, np.zeros((1, z.shape[1])), one, correlation)
            shares = max(share, LEAST_SHRINKAGE)
            variances, directions = np.linalg.eigh(shrunk(correlation, shares))
            root = directions / np.sqrt(variances) @ directions.T
        return cls(mean, scale, varies, root)

    @classmethod
    def keeping_all(cls, x: np.ndarray) -> "Columns":
        """Fit to rows `[n, D]`: constant columns are measured as the median other."""
        mean, deviations, varies = _moments(x)
        scale = np.where(varies, deviations, np.median(deviations[varies]))
        return cls(mean, scale, np.ones(len(mean), bool), None)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Standardise rows `[N, D]`: float32 `[N, V]`, within 10,000 deviations."""
        with np.errstate(over="ignore"):
            z = ((x - self.mean) / self.scale)[:, self.varies]
        z = np.clip(z, -LIMIT, LIMIT)
        if self.root is not None:
            z = np.clip(z @ self.root, -LIMIT, LIMIT)
        return z.astype(np.float32)

    @property
    def log_det(self) -> float:
        """`log |det dz/dx|`, nats."""
        of_root = 0.0 if self.root is None else np.linalg.slogdet(self.root)[1]
        return float(of_root - np.log(self.scale[self.varies]).sum())

    def differing(self, x: np.ndarray) -> np.ndarray:
        """Count the constant columns that rows `[N, D]` differ from: `[N]`."""
        known, x = self.mean[~self.varies], x[:, ~self.varies]
        allowed = LEAST_DIFFERENCE * np.abs(known)
        return (np.abs(x - known) > allowed).sum(1)


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means and standard deviations of columns, and which vary."""
    mean, deviations = x.mean(0), x.std(0)
    varies = deviations > LEAST_STD * np.abs(x).max(0)
    if not varies.any():
        raise ValueError(
            f"no column varies among the {len(x)} rows fitted to: nothing tells an "
            "outlier"
        )
    # a constant is known exactly, its mean is rounded
    return np.where(varies, mean, x[0]), deviations, varies
