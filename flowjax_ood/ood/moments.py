"""Means and scatter of features by class, gathered in one pass over batches."""

import numpy as np

# rows that are widened to float64 at a time
CHUNK = 4096


class Moments:
    """Counts and means by class, and the scatter about them, of rows added so far.

    Batches of any size and order give the same to rounding: chunks are merged by the
    differences of their means (Chan, Golub & LeVeque 1979), in float64, so nothing is
    lost where features are far from the origin. `D^2 + K D` numbers for K classes.
    """

    def __init__(self, dims: int):
        self._at: dict[int, int] = {}
        self._counts = np.zeros(0, np.int64)
        self._means = np.zeros((0, dims))
        self.scatter = np.zeros((dims, dims))  # about the means of the classes

    def add(self, x: np.ndarray, labels: np.ndarray | None = None) -> "Moments":
        """Add rows `[n, D]` with their classes, any integers `[n]`; None is one."""
        labels = np.zeros(len(x), np.int64) if labels is None else labels
        for start in range(0, len(x), CHUNK):
            part = slice(start, start + CHUNK)
            self._add(np.asarray(x[part], np.float64), labels[part])
        return self

    def _add(self, x, labels):
        from scipy.sparse import csc_array

        classes, index, counts = np.unique(
            labels, return_inverse=True, return_counts=True
        )
        members = csc_array((np.ones(len(x)), index, np.arange(len(x) + 1)))
        means = members @ x / counts[:, None]
        away = np.take(means, index, axis=0)  # faster than means[index]
        np.subtract(x, away, out=away)
        rows = self._rows(classes)
        before = self._counts[rows]
        after = before + counts
        apart = means - self._means[rows]
        shared = apart * np.sqrt(before * (counts / after))[:, None]
        self.scatter += away.T @ away + shared.T @ shared
        self._means[rows] += apart * (counts / after)[:, None]
        self._counts[rows] = after

    def _rows(self, classes) -> np.ndarray:
        """Where classes are kept; new ones come last."""
        for c in classes.tolist():
            self._at.setdefault(c, len(self._at))
        more = len(self._at) - len(self._counts)
        self._counts = np.pad(self._counts, (0, more))
        self._means = np.pad(self._means, ((0, more), (0, 0)))
        return np.array([self._at[c] for c in classes.tolist()])

    @property
    def count(self) -> int:
        return int(self._counts.sum())

    @property
    def means(self) -> np.ndarray:
        """The means of the classes, `[K, D]`, in ascending order of their labels."""
        return self._means[[self._at[c] for c in sorted(self._at)]]

    @property
    def mean(self) -> np.ndarray:
        """The mean of all rows, `[D]`."""
        return self._counts @ self._means / self.count

    @property
    def covariance(self) -> np.ndarray:
        """The covariance about the means of the classes, `[D, D]`."""
        return self.scatter / self.count

    @property
    def total(self) -> np.ndarray:
        """The covariance about the mean of all rows, `[D, D]`."""
        return self.second_moment(self.mean)

    def second_moment(self, origin: np.ndarray) -> np.ndarray:
        """The mean of `(x - o)(x - o)^T`, `[D, D]`."""
        between = (self._means - origin) * np.sqrt(self._counts)[:, None]
        return (self.scatter + between.T @ between) / self.count

    @property
    def sizes(self) -> np.ndarray:
        """The root mean squares of the columns, `[D]`."""
        squares = self._counts @ self._means**2 + np.diag(self.scatter)
        return np.sqrt(squares / self.count)
