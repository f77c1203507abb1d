"""`load_vectors`: the one door to sources of vectors. Nothing is swapped silently."""

import os

from flowjax_ood.data.loading import parse_spec
from flowjax_ood.data.suggestions import unknown
from flowjax_ood.data.vector_set import VectorSet

SOURCES = ("embeddings", "sklearn", "synthetic", "uci")


def load_vectors(
    spec: str,
    *,
    source: str,
    path: str | os.PathLike | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> VectorSet:
    """The vectors of `spec`, `"name"` or `"name:split"` (split `"test"` by default).

    Args:
        spec: for example `"hepmass0:train"`.
        source: `uci` (published files of HEPMASS and MiniBooNE), `sklearn` (tables
            that scikit-learn ships), `embeddings` (NumPy archives), or `synthetic`.
        path: the directory of `uci`, the file or directory of `embeddings`. Refused by
            `sklearn`; not looked at by `synthetic`, so that a config's source alone
            can be swapped for a smoke run.
        limit: take the first `limit` vectors; more than there are is an error.
        seed: of the splits of `sklearn` and the fake vectors of `synthetic`.

    Returns a `VectorSet`. Raises `ValueError`, `FileNotFoundError` and `ImportError`,
    which say what there is and how to get the rest.
    """
    name, split = parse_spec(spec)
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, not {limit}; None means no limit")
    match source:
        case "embeddings":
            from flowjax_ood.data.embeddings import load_embeddings

            vectors = load_embeddings(name, split, path=path)
        case "sklearn":
            from flowjax_ood.data.sklearn_tables import load_sklearn

            if path is not None:
                raise ValueError(
                    f"source 'sklearn' reads no path, got path={os.fspath(path)!r}"
                )
            vectors = load_sklearn(name, split, seed=seed)
        case "synthetic":
            from flowjax_ood.data.synthetic_vectors import load_synthetic_vectors

            vectors = load_synthetic_vectors(name, split, count=limit, seed=seed)
        case "uci":
            from flowjax_ood.data.uci import load_uci

            vectors = load_uci(name, split, path=path)
        case _:
            raise unknown("a source of vectors", str(source), SOURCES)
    return vectors if limit is None else vectors.take(limit)
