"""RankFeat: logits of feature maps without their largest singular value."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax.numpy as jnp

from flowjax_ood.ood.batched import compiled, in_batches, of_inputs
from flowjax_ood.ood.detector import Detector, Fitted, Staged
from flowjax_ood.ood.detectors.logits import energy
from flowjax_ood.ood.given import Given
from flowjax_ood.ood.network import Network
from flowjax_ood.ood.settings import NAMES, POSITIVE, ranges_of


def without_largest(maps):
    """`X - s u v'` of feature maps `[B, ..., C]`; X is `[positions, C]`.

    s, u and v are X's largest singular value and its vectors. They are of the
    eigenvector of the smaller of X'X and XX': `X - X v v'` or `X - u u' X`.
    """
    x = maps.reshape(len(maps), -1, maps.shape[-1])
    tall = x.shape[1] >= x.shape[2]
    x = x if tall else jnp.swapaxes(x, 1, 2)
    # ascending: the last is of the largest
    top = jnp.linalg.eigh(jnp.swapaxes(x, 1, 2) @ x)[1][:, :, -1:]
    rest = x - (x @ top) @ jnp.swapaxes(top, 1, 2)
    return (rest if tall else jnp.swapaxes(rest, 1, 2)).reshape(maps.shape)


@partial(compiled, static_argnums=2)
def _logits(network: Network, x, layers):
    """Mean of the logits `[B, C]` of all layers, which the temperature is not in."""
    taps, _ = network.taps(x)
    maps = [k for k in network.layers if taps[k].ndim > 2]
    layers = layers or maps[-2:]
    unknown = [k for k in layers if k not in taps or taps[k].ndim < 3]
    if unknown or not layers:
        raise ValueError(
            "RankFeat needs layers that are feature maps [B, ..., C], got "
            f"{', '.join(unknown) or 'none'}; network.layers has "
            f"{', '.join(maps) or 'none'}"
        )
    changed = [network.with_taps(x, {k: without_largest(taps[k])}) for k in layers]
    return sum(changed) / len(changed)


def _measure(network, layers, x, batch_size):
    return of_inputs(lambda rows: _logits(network, rows, layers), x, batch_size)


_energy = compiled(energy)


def _finish(temperature, z, batch_size):
    return in_batches(lambda rows: _energy(rows, temperature), z, batch_size)


@dataclass(frozen=True)
class RankFeat(Detector):
    """`T logsumexp(mean_k z_k / T)`, z_k the logits without a map's largest part.

    z_k are the logits after `X - s1 u1 v1'` in place of the feature map X `[positions,
    channels]` of layer k, s1 its largest singular value: of outliers it is larger, and
    decides their class. `layers`: names of maps; () is the last two of network.layers,
    as published for the last two blocks of a ResNet.

    Needs `network.replaced`. Source: Song et al. 2022.
    """

    layers: tuple[str, ...] = ()
    temperature: float = 1.0
    name = "RankFeat"

    grid: ClassVar = {"temperature": (0.1, 1.0, 10.0, 100.0, 1000.0)}
    ranges = ranges_of(layers=NAMES, temperature=POSITIVE)

    def check(self, network: Network, given: Given) -> None:
        super().check(network, given)
        network.check_replaced(self.name)

    def fit(self, network: Network, given: Given | None = None) -> Fitted:
        given = given or Given()
        self.check(network, given)
        measure = partial(_measure, network, tuple(self.layers))
        function = Staged(measure, partial(_finish, float(self.temperature)))
        return Fitted(self.name, self.requires, network, function, False)
