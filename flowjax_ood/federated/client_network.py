"""A client's classifier as detectors see it: logits of its own classes alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.ood.batched import in_blocks
from flowjax_ood.ood.network import Network, as_input

# examples that go through a network together
TOGETHER = 64


@dataclass(frozen=True)
class _Restricted:
    """Taps and logits of a module, of the classes `variables["own"]`."""

    module: Any

    def __call__(self, variables: dict, x: jax.Array) -> tuple[dict, jax.Array]:
        taps, logits = self.module.apply(
            {"params": variables["params"]}, x, method="taps"
        )
        return taps, logits[:, variables["own"]]

    def __hash__(self):
        # fields of modules may be lists, which compare but have no hash
        return hash(type(self.module))


def client_network(
    module: nn.Module, params: dict, own: Sequence[int] | np.ndarray
) -> Network:
    """Wrap a client's classifier: `C` logits for its `C` own classes, in their order.

    Taps are the module's; `head` is that of own classes. All clients of a module share
    compiled programs if they have as many classes.
    """
    columns = np.asarray(own, np.int32)
    w, b = module.head({"params": params})
    return Network(
        apply=_Restricted(module),
        variables={"params": params, "own": jnp.asarray(columns)},
        layers=tuple(layer for layer in module.layers),
        penultimate=module.penultimate,
        head=(np.asarray(w)[:, columns], np.asarray(b)[columns]),
        mean=getattr(module, "mean", None),
        std=getattr(module, "std", None),
    )


def features_of(module: nn.Module, params: dict, x: np.ndarray) -> np.ndarray:
    """The input of the last linear layer, float32 `[N, D]`, in evaluation mode."""
    return in_blocks(partial(_features, module, params), x, TOGETHER)


@partial(jax.jit, static_argnums=0)
def _features(module: nn.Module, params: Any, x: jax.Array) -> jax.Array:
    taps, _ = module.apply({"params": params}, as_input(x), method="taps")
    return taps[module.penultimate]
