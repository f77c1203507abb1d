"""What each coupling layer predicts: its input, s and t, recorded in one pass."""

from typing import NamedTuple

import jax
import numpy as np

from flowjax_ood.bijectors import AffineCoupling, unstacked
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
    """A `CouplingRecord` for every affine coupling of the flow, first to last.

    `x`, and `cond` for a conditional flow: as for `Flow.log_prob`.
    """
    _, sown = flow.apply(
        variables, x, cond, method="latents", mutable=["intermediates"]
    )
    records = []
    layers = unstacked(flow.bijector, sown["intermediates"]["bijector"])
    for path, bijector, node in layers:
        if not isinstance(bijector, AffineCoupling):
            continue
        value = {k: np.asarray(node[k][0]) for k in ("x", "s", "t")}
        mask = bijector.coupling_mask(value["x"].shape[1:])
        s, t = (_full(value[k], mask) for k in ("s", "t"))
        z = np.where(mask.changed, (value["x"] + t) * np.exp(s), value["x"])
        records.append(
            CouplingRecord(path, value["x"], z, s, t, mask.seen, mask.changed)
        )
    return records


def prediction_correlation(record: CouplingRecord) -> float:
    """Correlation of -t with the changed part of the input, over all values.

    The paper's point (section 6): a coupling raises the likelihood by letting -t
    predict the values it is about to change. NaN if either side is constant.
    """
    predicted, target = -record.t[:, record.changed], record.x[:, record.changed]
    if predicted.std() == 0 or target.std() == 0:
        return float("nan")
    return float(np.corrcoef(predicted.ravel(), target.ravel())[0, 1])


def _full(part: np.ndarray, mask) -> np.ndarray:
    """s or t at the shape of the coupling's input, zero where nothing changes."""
    if mask.layout == "channel":
        channels = mask.changed.shape[-1]
        full = np.zeros((*part.shape[:-1], channels), part.dtype)
        # the same at every position of an image; a vector has one
        full[..., mask.changed.reshape(-1, channels)[0]] = part
        return full
    return np.where(mask.changed, part, 0)
