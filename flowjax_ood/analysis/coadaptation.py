"""Whether couplings leak their input through one another: co-adaptation (Sec. 6).

With a horizontal mask, coupling 1 sees the top half and rewrites the bottom half;
coupling 2 reads that bottom half and predicts the top half. The paper claims that
coupling 1 writes a *code* of the top half there, for coupling 2 to decode: so even a
mask that is hard to predict across gives accurate predictions, in and out of
distribution. Here the claim is put to the test by intervention. Each swap gives an
image something of another one, its *donor*, and asks whose pixels coupling 2 predicts:

* `untouched`: nothing is done;
* `half_swapped`: coupling 2 reads the donor's rewritten half, code and content;
* `half_noise`: coupling 2 reads noise of that half's per-pixel means and variances;
* `code_swapped`: coupling 1 saw the donor's top half: the code is the donor's, the
  half it is written into the image's own. Then the image's own top half is put back;
* `content_swapped`: the code of the image's own top half, written into the donor's
  bottom half;
* `unwritten`: coupling 2 reads the image's own half as it was before coupling 1.

What it shows. If predictions follow the code (`code_swapped` falls for the image and
rises for its donor, while `content_swapped` stays), coupling 2 decodes what coupling 1
wrote; if they follow the content, it reads the ordinary statistical relation of the
two halves. The interventions act on the trained network itself, so this is a statement
about what its couplings use, not a correlation.

What it does not show. It does not show that the code is a copy, or how it is laid out;
nor that co-adaptation is why a set gets its likelihood. Swaps pair halves that the
network never saw together, noise is no half at all, and `unwritten` takes away a change
of scale along with the code: part of a fall in any of them can be unfamiliarity alone.
A fall towards the donor cannot be. `correlation` and `r2` also count the set's mean
image, which survives a swap: the measures `_within` do not.
"""

from collections.abc import Callable, Iterable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.analysis.couplings import (
    CouplingRecord,
    CouplingStatistics,
    as_record,
)
from flowjax_ood.analysis.moments import PairMoments, without_nan
from flowjax_ood.bijectors import ActNorm, AffineCoupling, Logit, unstacked
from flowjax_ood.distributions import Flow

INTERVENTIONS = (
    "untouched",
    "half_swapped",
    "half_noise",
    "code_swapped",
    "content_swapped",
    "unwritten",
)
# which of them have a donor
SWAPS = ("half_swapped", "code_swapped", "content_swapped")
# layers that may come before, between and after couplings: elementwise in place
IN_PLACE = (Logit, ActNorm)
# event [B, ...] -> event of the same shape
Hook = Callable[[jax.Array], jax.Array]


class UnsuitableFlow(ValueError):
    """Raised for a flow that allows no intervention, whatever the images."""


class CouplingStack:
    """Run the couplings of a single-scale flow one by one, with hooks between them.

    `run(x, {k: hook})` gives the event to `hook` just before coupling k (from 0), and
    goes on with what it returns. Without hooks this is `record_couplings`. Each layer
    is compiled once for each batch size.

    For flows whose layers are affine couplings, after a logit and with ActNorms between
    them if need be, in a `Chain` or a `Repeat`. Raises UnsuitableFlow for all others:
    in a multi-scale flow, couplings in a row need not share a layout.
    """

    def __init__(self, flow: Flow, variables: dict):
        collections = (
            unstacked(flow.bijector, variables.get(kind, {}).get("bijector", {}))
            for kind in ("params", "batch_stats")
        )
        self.layers = []
        for (path, layer, params), (*_, stats) in zip(*collections):
            if not isinstance(layer, (AffineCoupling, *IN_PLACE)):
                raise UnsuitableFlow(
                    f"{type(layer).__name__} at {'/'.join(path)}: one can intervene "
                    "between the couplings of a single-scale stack alone, such as "
                    "RealNVP(scales=1, couplings=3, mask='horizontal')"
                )
            of_layer = {"params": params, "batch_stats": stats}
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
        """Record each coupling at work on images `x [B, H, W, C]` in [0, 1).

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
            hook = before.get(len(records))
            if isinstance(layer, AffineCoupling) and hook is not None:
                changed = jnp.asarray(hook(x))
                if changed.shape != x.shape:
                    raise ValueError(
                        f"the hook before coupling {len(records)} returned shape "
                        f"{changed.shape}, the event has {x.shape}"
                    )
                x = changed.astype(x.dtype)
            x, sown = apply(variables, x)
            if isinstance(layer, AffineCoupling):
                records.append(as_record(path, layer, jax.device_get(sown)))
        return records


def donors(count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a permutation of `count` images without a fixed point: one long cycle."""
    if count < 2:
        raise ValueError(
            f"a donor is another image: at least 2 are needed, got {count}"
        )
    order = rng.permutation(count)
    donor = np.empty(count, np.int64)
    donor[order] = np.roll(order, 1)
    return donor


def interventions(
    records: list[CouplingRecord], depth: int, donor: np.ndarray, noise: np.ndarray
) -> dict[str, dict[int, Hook]]:
    """Make the hooks for `CouplingStack.run` of each of `INTERVENTIONS`.

    Args:
        records: The untouched run's.
        depth: Number of couplings before the intervention, at least 1.
        donor: Indices into the batch, `[B]`.
        noise: Standard normal, `[B, H, W, C]`.

    Raises:
        UnsuitableFlow: The coupling after the intervention does not read just what the
            coupling before it rewrote: no half could hide a code.
    """
    if not 1 <= depth < len(records):
        raise UnsuitableFlow(
            f"one acts between two couplings: depth must be in 1 ... "
            f"{len(records) - 1}, got {depth}"
        )
    writer, reader = records[depth - 1], records[depth]
    half = writer.changed
    if not (half == reader.seen).all():
        raise UnsuitableFlow(
            f"coupling {depth + 1} does not read just what coupling {depth} rewrote; "
            "this experiment is for alternating and cyclic spatial masks"
        )
    drawn = reader.x.mean(0) + reader.x.std(0) * noise

    def put(mask: np.ndarray, values: np.ndarray) -> Hook:
        return lambda x: jnp.where(mask, values, x)

    return {
        "untouched": {},
        "half_swapped": {depth: put(half, reader.x[donor])},
        "half_noise": {depth: put(half, drawn)},
        "code_swapped": {
            depth - 1: put(writer.seen, writer.x[donor]),
            depth: put(~half, reader.x),
        },
        "content_swapped": {depth - 1: put(half, writer.x[donor])},
        "unwritten": {depth: put(half, writer.x)},
    }


def coadaptation(
    flow: Flow,
    variables: dict,
    batches: Iterable[jax.Array],
    *,
    depth: int = 1,
    seed: int = 0,
) -> dict[str, list[dict]]:
    """Measure what couplings still predict under each of `INTERVENTIONS`.

    Args:
        flow: A single-scale flow; see `CouplingStack`.
        variables: Its variables.
        batches: Dequantised images `x [B, H, W, C]`; donors are of the same batch.
        depth: Number of couplings before the intervention, at least 1.
        seed: Fixes donors and noise.

    Returns:
        For each intervention and every coupling from the first, `{"own": ...,
        "donor": ..., "mean_s": ...}`: the measures of `PairMoments` of -t against what
        that coupling changes in the *untouched* run of the image itself, and of its
        donor (None without a donor), and s in nats per changed dimension. Couplings
        before the intervention are as they were.

    Raises:
        UnsuitableFlow: As in `CouplingStack` and `interventions`.
        ValueError: There is no batch, or a batch of a single image.
    """
    stack = CouplingStack(flow, variables)
    rng = np.random.default_rng(seed)
    layers = range(len(stack))
    own = {name: [CouplingStatistics() for _ in layers] for name in INTERVENTIONS}
    others = {name: [PairMoments() for _ in layers] for name in INTERVENTIONS}
    for x in batches:
        untouched = stack.run(x)
        donor = donors(len(x), rng)
        noise = rng.standard_normal(x.shape, np.float32)
        acts = interventions(untouched, depth, donor, noise)
        for name, hooks in acts.items():
            records = stack.run(x, hooks) if hooks else untouched
            for k, (record, target) in enumerate(zip(records, untouched)):
                own[name][k].add(record, target.x)
                if name in SWAPS:
                    at = record.changed
                    others[name][k].add(-record.t[:, at], target.x[donor][:, at])
    if not own["untouched"][0].moments.count:
        raise ValueError("coadaptation needs at least one batch, got none")

    def measures(name: str, k: int) -> dict:
        mine, other = own[name][k], others[name][k]
        return {
            "own": without_nan(mine.moments.measures()),
            "donor": without_nan(other.measures()) if other.count else None,
            "mean_s": mine.measures()["mean_s"],
        }

    return {name: [measures(name, k) for k in layers] for name in INTERVENTIONS}


def _compiled(layer):
    @jax.jit
    def apply(variables, x):
        with jax.default_matmul_precision("highest"):
            (z, _), sown = layer.apply(variables, x, mutable=["intermediates"])
        return z, sown.get("intermediates", {})

    return apply
