"""Couplings at work: input, s and t of each, recorded in one pass and summed up."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from flowjax_ood.analysis.moments import PairMoments, without_nan
from flowjax_ood.analysis.positions import placed_leaves, to_image
from flowjax_ood.bijectors import ShiftScaleCoupling, unstacked
from flowjax_ood.distributions import Flow


class CouplingRecord(NamedTuple):
    """One coupling at work on a batch of events, images `[B, H, W, C]` or vectors.

    `x` is its input and `z` its output; `s` and `t` are zero where nothing is changed:
    all `[B, ...]` in the coupling's own layout. `seen` and `changed` are its masks,
    without B.
    """

    path: tuple[str, ...]
    x: np.ndarray
    z: np.ndarray
    s: np.ndarray
    t: np.ndarray
    seen: np.ndarray
    changed: np.ndarray


def record_couplings(
    flow: Flow, variables: dict, x: jax.Array, cond=None
) -> list[CouplingRecord]:
    """Record every affine coupling of the flow, first to last.

    `x`, and `cond` for a conditional flow: as for `Flow.log_prob`.
    """
    return _records(flow, _sown(flow, variables, x, cond))


def coupling_recorder(flow: Flow) -> Callable[..., list[CouplingRecord]]:
    """Compile `record_couplings` of a flow, for many batches of one size.

    Returns `record(variables, x, cond=None)`.
    """
    sown = jax.jit(partial(_sown, flow))
    return lambda variables, x, cond=None: _records(flow, sown(variables, x, cond))


def as_record(path, coupling: ShiftScaleCoupling, sown: dict) -> CouplingRecord:
    """Make the record of a coupling from what it sowed in `intermediates`."""
    x, s, t = (np.asarray(sown[k][0]) for k in ("x", "s", "t"))
    mask = coupling.coupling_mask(x.shape[1:])
    s, t = _full(s, mask), _full(t, mask)
    z = np.where(mask.changed, (x + t) * np.exp(s), x)
    return CouplingRecord(path, x, z, s, t, mask.seen, mask.changed)


def prediction_correlation(record: CouplingRecord) -> float:
    """Correlate -t with the changed part of the input, over all values.

    The paper's point (section 6): a coupling raises the likelihood by letting -t
    predict the values it is about to change. NaN if either side is constant.
    """
    moments = PairMoments()
    moments.add(-record.t[:, record.changed], record.x[:, record.changed])
    return moments.correlation


def image_maps(
    flow: Flow, records: list[CouplingRecord], fill: float = np.nan
) -> list[dict[str, np.ndarray]]:
    """Lay out every record as `{name: [B, H, W, C]}`, each value at its own pixel.

    The names are "-t" and "s", what the coupling says of the part it changes; "target",
    that part of its input; and "input", the part its st-network sees. Elsewhere, and
    where values were factored out before the coupling, they hold `fill`: NaN is left
    blank by figures. Behind a 1x1 convolution the channels are mixtures
    (`positions`). Raises ValueError for flows of vectors.
    """
    shape = tuple(flow.event_shape)
    if len(shape) != 3:
        raise ValueError(f"events of shape {shape} are not images (H, W, C)")
    source = {leaf.path: leaf.source for leaf in placed_leaves(flow.bijector, shape)}
    maps = []
    for r in records:
        parts = {
            "-t": (-r.t, r.changed),
            "s": (r.s, r.changed),
            "target": (r.x, r.changed),
            "input": (r.x, r.seen),
        }
        maps.append(
            {
                name: to_image(np.where(mask, v, fill), source[r.path], shape, fill)
                for name, (v, mask) in parts.items()
            }
        )
    return maps


class CouplingStatistics:
    """Measures of a coupling over a set of images, added batch by batch.

    The prediction is -t and the target, by default, the coupling's own input, on the
    changed part: logits of pixels at the first layers, outputs of earlier layers at
    later ones.
    """

    def __init__(self):
        self.moments, self.scale = PairMoments(), 0.0
        self.path: tuple[str, ...] = ()
        self.seen: np.ndarray | None = None
        self.changed: np.ndarray | None = None

    def add(self, record: CouplingRecord, target: np.ndarray | None = None) -> None:
        """Add the images of a record; `target` is of the shape of its input."""
        self.path, self.seen, self.changed = record.path, record.seen, record.changed
        target = record.x if target is None else target
        self.moments.add(-record.t[:, self.changed], target[:, self.changed])
        self.scale += record.s[:, self.changed].sum(dtype=np.float64)

    def measures(self) -> dict:
        """All measures, ready for JSON: those of `PairMoments`, with None for NaN.

        With them `mean_s` in nats per changed dimension, and `logdet`, the coupling's
        part of log p(x), in nats per image. Raises ValueError before the first image.
        """
        if self.changed is None:
            raise ValueError("no images were added")
        logdet = float(self.scale / self.moments.count)
        own = {"mean_s": logdet / int(self.changed.sum()), "logdet": logdet}
        return without_nan(self.moments.measures() | own)

    def describe(self) -> dict:
        """Describe the layer: path, shape of its event, dimensions seen and changed.

        Raises ValueError before the first image.
        """
        if self.seen is None or self.changed is None:
            raise ValueError("no images were added")
        return {
            "path": "/".join(self.path),
            "shape": list(self.changed.shape),
            "seen": int(self.seen.sum()),
            "changed": int(self.changed.sum()),
        }


def coupling_statistics(
    flow: Flow, variables: dict, batches: Iterable[jax.Array | tuple]
) -> list[CouplingStatistics]:
    """Measure every affine coupling of a flow, first to last.

    Memory is that of one batch.

    Args:
        flow: Has affine couplings.
        variables: Its variables.
        batches: Dequantised images `x [B, H, W, C]`, of one size to compile once, or
            pairs `(x, mask [B])` whose rows with a False mask (padding) are left out.

    Raises:
        ValueError: There is no batch, or the flow has no affine couplings.
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


def _sown(flow: Flow, variables: dict, x, cond) -> dict:
    _, sown = flow.apply(
        variables, x, cond, method="latents", mutable=["intermediates"]
    )
    # a flow without couplings sows nothing
    return sown.get("intermediates", {}).get("bijector", {})


def _records(flow: Flow, sown: dict) -> list[CouplingRecord]:
    return [
        as_record(path, bijector, node)
        for path, bijector, node in unstacked(flow.bijector, jax.device_get(sown))
        if isinstance(bijector, ShiftScaleCoupling)
    ]


def _full(part: np.ndarray, mask) -> np.ndarray:
    """Spread s or t to the shape of the coupling's input, zero where none changes."""
    if mask.layout == "channel":
        channels = mask.changed.shape[-1]
        full = np.zeros((*part.shape[:-1], channels), part.dtype)
        # the same at every position of an image; a vector has one
        full[..., mask.changed_channels] = part
        return full
    return np.where(mask.changed, part, 0)
