"""Standardisation of vectors by training statistics, and PCA after it."""

import os
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from flowjax_ood.data.archives import open_archive, write_archive

# share of a feature's largest magnitude below which its spread is rounding of float32
CONSTANT = 1e-6
CHOICES = ("error", "drop")
# value of `pca` that keeps all components
ALL = -1
# bound on standardised values: a density takes their squares, in float32
LARGEST = 1e18
# rows transformed at a time: float64 on the way takes bounded memory
ROWS = 65536


@dataclass(frozen=True, eq=False)
class Standardizer:
    """`z = ((x[kept] - mean) / std) @ components`, fitted on training vectors alone.

    Without PCA `components` is None and z has one number for each kept feature. With
    it, z is the projection on the first principal components of the standardised
    features, each divided by its standard deviation where whitened.

    Attributes, all float64 but `kept`:
        kept: int64 `[K]`, the features that vary, of `dims` there are.
        mean, std: `[K]`, of the training vectors; std with divisor N.
        components: `[K, P]` or None.
        variances: `[K]` or None: of all principal components, descending.
        whiten: whether `components` divide by standard deviations.
    """

    dims: int
    kept: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    components: np.ndarray | None = None
    variances: np.ndarray | None = None
    whiten: bool = False

    @property
    def output_dims(self) -> int:
        """Length of a transformed vector."""
        return len(self.kept) if self.components is None else self.components.shape[1]

    @property
    def log_abs_det(self) -> float | None:
        """`log |det dz/dx[kept]|` in nats: log p(x) = log p(z) + it.

        None where PCA keeps fewer dimensions than there are: a density of the
        projection says nothing of that of the whole vector.
        """
        if self.output_dims < len(self.kept):
            return None
        scale = -np.log(self.std).sum()
        if self.whiten and self.variances is not None:
            scale -= np.log(self.variances).sum() / 2
        return float(scale)

    def transform(self, vectors: np.ndarray) -> np.ndarray:
        """Map vectors `[N, dims]` to float32 `[N, output_dims]`.

        Raises ValueError for another shape, and for values that are too far from those
        of training for a density in float32.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.dims:
            raise ValueError(
                f"the standardisation was fitted on vectors [N, {self.dims}], got "
                f"shape {vectors.shape}"
            )
        out = np.empty((len(vectors), self.output_dims), np.float32)
        for start in range(0, len(vectors), ROWS):
            rows = slice(start, start + ROWS)
            z = (vectors[rows][:, self.kept] - self.mean) / self.std
            self._check_size(z)
            out[rows] = z if self.components is None else z @ self.components
        return out

    def _check_size(self, z: np.ndarray) -> None:
        """Raise ValueError naming a feature of `z`, float64 `[N, K]`, too far out."""
        largest = np.abs(z).max(axis=0, initial=0)
        if not (largest < LARGEST).all():
            k = int(np.argmax(~(largest < LARGEST)))
            raise ValueError(
                f"feature {self.kept[k]} lies {largest[k]:.3g} standard deviations from"
                f" the mean of training, {self.std[k]:.3g} each, too far for float32; "
                "rescale it, or leave it out of all sets"
            )

    def describe(self) -> dict[str, Any]:
        """Return an account of what is done to a vector, for `results.json`."""
        dropped = np.setdiff1d(np.arange(self.dims), self.kept)
        account = {
            "features": self.dims,
            "dropped_constant_features": [int(i) for i in dropped],
            "dims": self.output_dims,
            "pca": 0 if self.components is None else self.output_dims,
            "log_abs_det": self.log_abs_det,
        }
        if self.components is not None and self.variances is not None:
            share = self.variances[: self.output_dims].sum() / self.variances.sum()
            account |= {"whiten": self.whiten, "explained_variance": float(share)}
        return account

    def save(self, path: str | os.PathLike) -> None:
        """Write to `path` (`*.npz`) in one step."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        write_archive(path, {k: v for k, v in values.items() if v is not None})

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Standardizer":
        """Read what `save` wrote. Raises ValueError for any other file."""
        try:
            with open_archive(path) as archive:
                values: dict[str, Any] = {k: archive.read(k) for k in archive.keys}
            values["dims"] = int(values["dims"])
            values["whiten"] = bool(values["whiten"])
            return cls(**values)
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise ValueError(
                f"{path} holds no standardisation ({error}); restore it"
            ) from error


def fit_standardizer(
    vectors: np.ndarray, *, constant: str = "error", pca: int = 0, whiten: bool = True
) -> Standardizer:
    """Fit a `Standardizer` to training vectors `[N, D]`.

    Args:
        vectors: float32 `[N, D]`, N at least 2.
        constant: what to do with features without spread: `"error"`, or `"drop"` them
            (and with them whatever they could tell of other data).
        pca: principal components to keep; 0 is no PCA, -1 keeps all that the training
            vectors span.
        whiten: divide each component by its standard deviation.

    Returns:
        The map. Components are unique up to rounding: the largest entry of each is
        positive.

    Raises:
        ValueError: another `constant`, fewer than two vectors, constant features that
            are not to be dropped or nothing else, and more components than the training
            vectors span.
    """
    if constant not in CHOICES:
        raise ValueError(f"unknown constant {constant!r}; known: {', '.join(CHOICES)}")
    if len(vectors) < 2:
        raise ValueError(
            f"{len(vectors)} vector has no spread to standardise by: give at least 2"
        )
    mean = vectors.mean(axis=0, dtype=np.float64)
    # two passes: a difference of large squares would cancel
    std = np.sqrt(np.square(vectors - mean).mean(axis=0))
    varies = std > CONSTANT * np.abs(vectors).max(axis=0)
    still = np.flatnonzero(~varies)
    if len(still) and constant == "error":
        some = ", ".join(map(str, still[:10])) + (", ..." if len(still) > 10 else "")
        raise ValueError(
            f"{len(still)} of {len(std)} features never change in the training vectors "
            f"({some}): they cannot be standardised. constant='drop' leaves them out"
        )
    if not varies.any():
        raise ValueError(
            "no feature changes in the training vectors: give vectors that differ"
        )
    kept = np.flatnonzero(varies)
    plain = Standardizer(vectors.shape[1], kept, mean[kept], std[kept])
    return _with_pca(plain, vectors, pca, whiten) if pca else plain


def _with_pca(plain: Standardizer, vectors, pca: int, whiten: bool) -> Standardizer:
    z = (vectors[:, plain.kept] - plain.mean) / plain.std
    variances, components = np.linalg.eigh(z.T @ z / len(z))
    variances, components = variances[::-1].clip(min=0), components[:, ::-1]
    rank = int((variances > 1e-9 * variances[0]).sum())
    if pca != ALL and not 1 <= pca <= rank:
        raise ValueError(
            f"pca={pca}: the {len(z)} training vectors span {rank} dimensions; "
            f"ask for 1 to {rank}, for {ALL}, all of them, or for 0, no PCA"
        )
    pca = rank if pca == ALL else pca
    components = components[:, :pca]
    largest = np.abs(components).argmax(axis=0)
    components = components * np.sign(components[largest, np.arange(pca)])
    if whiten:
        components = components / np.sqrt(variances[:pca])
    return replace(plain, components=components, variances=variances, whiten=whiten)
