"""How well couplings predict what they change, over many images (paper, Sec. 6)."""

from collections.abc import Iterable

import jax
import numpy as np

from flowjax_ood.analysis.couplings import CouplingRecord, coupling_recorder
from flowjax_ood.analysis.moments import PairMoments
from flowjax_ood.distributions import Flow


class CouplingStatistics:
    """What one coupling does to a set of images, added batch by batch.

    The prediction is -t and the target the coupling's own input, on the changed part:
    logits of pixels at the first layers, what the layers before made of them later.
    """

    def __init__(self):
        self.moments = PairMoments()
        self.scale = 0.0
        self.record: CouplingRecord | None = None

    def add(self, record: CouplingRecord) -> None:
        changed = record.changed
        self.moments.add(-record.t[:, changed], record.x[:, changed])
        self.scale += record.s[:, changed].sum(dtype=np.float64)
        # what describes the layer; the images are not kept
        self.record = record._replace(**{k: record.x[:0] for k in ("x", "z", "s", "t")})

    def measures(self) -> dict:
        """JSON-ready numbers, of `PairMoments` and:

        * `mean_s`: nats per changed dimension;
        * `logdet`: what the coupling adds to log p(x), nats an image.

        NaN is None.
        """
        if self.record is None:
            raise ValueError("no images were added")
        changed = int(self.record.changed.sum())
        logdet = float(self.scale / self.moments.count)
        numbers = self.moments.measures()
        numbers |= {"mean_s": logdet / changed, "logdet": logdet}
        return {k: v if np.isfinite(v) else None for k, v in numbers.items()}

    def describe(self) -> dict:
        """The layer: its path, the shape of its event, dimensions seen and changed."""
        r = self.record
        return {
            "path": "/".join(r.path),
            "shape": list(r.changed.shape),
            "seen": int(r.seen.sum()),
            "changed": int(r.changed.sum()),
        }


def coupling_statistics(
    flow: Flow, variables: dict, batches: Iterable[jax.Array | tuple]
) -> list[CouplingStatistics]:
    """`CouplingStatistics` of every affine coupling, first to last.

    `batches`: dequantised images `x [B, H, W, C]`, of one size to compile once, or
    pairs `(x, mask [B])` whose rows with a False mask (padding) are left out. Memory is
    that of one batch. Raises ValueError for no batch, and for a flow without affine
    couplings.
    """
    record = coupling_recorder(flow)
    layers: list[CouplingStatistics] = []
    for batch in batches:
        x, mask = batch if isinstance(batch, tuple) else (batch, slice(None))
        records = record(variables, x)
        if not records:
            raise ValueError("this flow has no affine couplings to measure")
        layers = layers or [CouplingStatistics() for _ in records]
        for layer, r in zip(layers, records, strict=True):
            kept = {k: getattr(r, k)[mask] for k in ("x", "z", "s", "t")}
            layer.add(r._replace(**kept))
    if not layers:
        raise ValueError("coupling_statistics needs at least one batch, got none")
    return layers
