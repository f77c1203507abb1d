"""Take tensors out of a torch checkpoint, in this library's layouts."""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np


class TensorReader:
    """Takes tensors out of a state by name, and knows which are left."""

    def __init__(self, state: Mapping[str, np.ndarray]):
        self.state = state
        self.left = set(state)

    def take(self, name: str) -> np.ndarray:
        """Take a tensor as float32, in torch's layout; ValueError if it is missing."""
        tensor = self._tensor(name)
        self.left.discard(name)
        return tensor.astype(np.float32)

    def size(self, name: str) -> int:
        """Return the number of outputs of a weight, which stays to be taken."""
        return self._tensor(name).shape[0]

    def _tensor(self, name: str) -> np.ndarray:
        if name not in self.state:
            raise ValueError(f"the checkpoint lacks the tensor {name!r}")
        return self.state[name]

    def holds(self, name: str) -> bool:
        """Return whether there is a tensor of this name."""
        return name in self.state

    def finish(self) -> None:
        """Raise ValueError if a tensor was never taken."""
        if self.left:
            some = ", ".join(sorted(self.left)[:4])
            raise ValueError(f"{len(self.left)} tensors were not used, e.g. {some}")

    def wn_conv(self, prefix: str) -> dict:
        """Take a weight-normed convolution: `v [h, w, I, O]`, `g [O]`, maybe `bias`."""
        v = self.take(prefix + "conv.weight_v").transpose(2, 3, 1, 0)
        out = {"v": v, "g": self.take(prefix + "conv.weight_g").reshape(-1)}
        if prefix + "conv.bias" in self.state:
            out["bias"] = self.take(prefix + "conv.bias")
        return arrays(out)

    def conv(self, prefix: str) -> dict:
        """Take a plain convolution: torch `[O, I, h, w]` to `[h, w, I, O]`."""
        kernel = self.take(prefix + "weight").transpose(2, 3, 1, 0)
        return arrays({"kernel": kernel, "bias": self.take(prefix + "bias")})

    def dense(self, prefix: str) -> dict:
        """Take a linear map: torch `[O, I]` to `[I, O]`."""
        weight, bias = self.take(prefix + "weight"), self.take(prefix + "bias")
        return arrays({"kernel": weight.T, "bias": bias})

    def norm(self, prefix: str) -> tuple[dict, dict]:
        """Take a batch norm: `(params, batch_stats)`."""
        scale, bias, mean, var = (
            self.take(prefix + name)
            for name in ("weight", "bias", "running_mean", "running_var")
        )
        return arrays({"scale": scale, "bias": bias}), arrays(
            {"mean": mean, "var": var}
        )

    def norms(self, prefix: str, params: dict, stats: dict) -> None:
        """Take the batch norms there are, into `params` and `stats`."""
        for name in ("in_norm", "out_norm"):
            if self.holds(f"{prefix}{name}.weight"):
                params[name], stats[name] = self.norm(f"{prefix}{name}.")


def check_fit(module: nn.Module, variables: dict, shape: tuple, fault: str) -> None:
    """Raise ValueError unless all variables of `module` are there, in its shapes.

    `shape` is that of an input; errors begin with `fault`.
    """
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    needed = dict(jax.eval_shape(module.init, jax.random.key(0), x))
    flatten = jax.tree_util.tree_leaves_with_path
    shapes = {path: array.shape for path, array in flatten(variables)}
    for path, like in flatten(needed):
        if shapes.get(path) != like.shape:
            raise ValueError(
                f"{fault}: {'/'.join(key.key for key in path)} needs shape "
                f"{like.shape}, got {shapes.get(path) or 'nothing'}"
            )


def chw_rows(matrix, channels: int):
    """Reorder rows from flattened `[C, H W]` to flattened `[H W, C]`."""
    rows, columns = matrix.shape
    grid = matrix.reshape(channels, rows // channels, columns)
    return grid.transpose(1, 0, 2).reshape(rows, columns)


def arrays(tree: dict[str, np.ndarray]) -> dict[str, jax.Array]:
    """Convert NumPy arrays to JAX arrays."""
    return {k: jnp.asarray(v) for k, v in tree.items()}
