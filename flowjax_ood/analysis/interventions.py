"""A stack of couplings run one at a time, with a hand in between."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from flowjax_ood.analysis.couplings import CouplingRecord, as_record
from flowjax_ood.bijectors import ActNorm, AffineCoupling, Logit, unstacked
from flowjax_ood.distributions import Flow

# layers that may come before, between and after couplings: elementwise in place
IN_PLACE = (Logit, ActNorm)
# event [B, ...] -> event of the same shape
Hook = Callable[[jax.Array], jax.Array]


class UnsuitableFlow(ValueError):
    """One cannot intervene in this flow, whatever the images."""


class CouplingStack:
    """The couplings of a single-scale flow, applied one by one.

    `run(x, {k: hook})` gives the event to `hook` just before coupling k (from 0), and
    goes on with what it returns. Without hooks this is `record_couplings`. Each layer
    is compiled once a batch size.

    For flows whose layers are affine couplings, after a logit and with ActNorms between
    them if need be, in a `Chain` or a `Repeat`. Raises UnsuitableFlow for all others:
    in a multi-scale flow, couplings in a row need not share a layout.
    """

    def __init__(self, flow: Flow, variables: dict):
        params = variables.get("params", {}).get("bijector", {})
        stats = variables.get("batch_stats", {}).get("bijector", {})
        own_stats = {}
        if stats:
            own_stats = {path: s for path, _, s in unstacked(flow.bijector, stats)}
        self.layers = []
        for path, layer, own in unstacked(flow.bijector, params):
            if not isinstance(layer, (AffineCoupling, *IN_PLACE)):
                raise UnsuitableFlow(
                    f"{type(layer).__name__} at {'/'.join(path)}: one can intervene "
                    "between the couplings of a single-scale stack alone, such as "
                    "RealNVP(scales=1, couplings=3, mask='horizontal')"
                )
            of_layer = {"params": own, "batch_stats": own_stats.get(path, {})}
            self.layers.append((path, layer, of_layer, _compiled(layer)))
        if not len(self):
            raise UnsuitableFlow(
                "this flow has no affine couplings to intervene between"
            )

    def __len__(self) -> int:
        """Number of couplings."""
        return sum(isinstance(layer, AffineCoupling) for _, layer, *_ in self.layers)

    def run(
        self, x: jax.Array, before: Mapping[int, Hook] | None = None
    ) -> list[CouplingRecord]:
        """A record of each coupling at work on images `x [B, H, W, C]` in [0, 1).

        Raises ValueError for a hook before a coupling that does not exist, and for one
        that changes the shape of the event.
        """
        before = before or {}
        if unknown := sorted(set(before) - set(range(len(self)))):
            raise ValueError(
                f"hooks before couplings {unknown}; there are {len(self)}, from 0"
            )
        records: list[CouplingRecord] = []
        for path, layer, variables, apply in self.layers:
            coupling = isinstance(layer, AffineCoupling)
            if coupling and (hook := before.get(len(records))) is not None:
                changed = jnp.asarray(hook(x))
                if changed.shape != x.shape:
                    raise ValueError(
                        f"the hook before coupling {len(records)} returned shape "
                        f"{changed.shape}, the event has {x.shape}"
                    )
                x = changed.astype(x.dtype)
            x, sown = apply(variables, x)
            if coupling:
                records.append(as_record(path, layer, jax.device_get(sown)))
        return records


def _compiled(layer):
    @jax.jit
    def apply(variables, x):
        with jax.default_matmul_precision("highest"):
            (z, _), sown = layer.apply(variables, x, mutable=["intermediates"])
        return z, sown.get("intermediates", {})

    return apply
