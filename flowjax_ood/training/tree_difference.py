"""Where two pytrees of arrays differ in structure, shapes or dtypes, in words."""

from typing import Any

import jax
import numpy as np


def difference(template: Any, metadata: Any) -> str:
    """The first leaf that differs between a pytree and the one that was saved."""
    wanted = _leaves(template)
    # older orbax gives the tree itself
    found = _leaves(getattr(metadata, "tree", metadata))
    for name in [*wanted, *found]:
        want, got = wanted.get(name), found.get(name)
        if want != got:
            return (
                f"{name} is {got or 'not in it'}, the model "
                f"{'needs ' + want if want else 'has none'}"
            )
    return ""


def _leaves(tree: Any) -> dict[str, str]:
    """`{"params.layer.kernel": "float32[3, 4]"}`, the same before and after saving."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): (
            f"{np.dtype(leaf.dtype)}{list(leaf.shape)}"
        )
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
