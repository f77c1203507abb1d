"""Several classifiers of one architecture as one module, to be trained together."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from flowjax_ood.arguments import whole_number
from flowjax_ood.ood.network import Network


class DiverseMembers(nn.Module):
    """M copies of a classifier, each with parameters of its own: `x -> [B, M, C]`.

    The logits of member m are those that `module` alone gives with its part of the
    variables, `member_m`. Members see the same rows, and share nothing else: each is
    initialised, and drops units, by random numbers of its own. The objective `Diverse`
    trains them to differ on outliers.

    They are called one after the other: as one convolution in groups they would be slow
    on CPU. Raises ValueError for fewer than two members.
    """

    module: nn.Module
    members: int = 3

    def __post_init__(self):
        super().__post_init__()
        whole_number("members", self.members, 2)

    def setup(self):
        self.member = [self.module.copy(name=None) for _ in range(self.members)]

    def __call__(self, x: jax.Array) -> jax.Array:
        """Class scores of every member, `[B, M, C]`."""
        return jnp.stack([member(x) for member in self.member], axis=1)

    @nn.nowrap
    def split(self, variables: dict) -> tuple[dict, ...]:
        """The variables of each member, as `module` takes them."""
        return tuple(
            {kind: tree[name] for kind, tree in variables.items() if name in tree}
            for name in self._names()
        )

    @nn.nowrap
    def join(self, variables: Sequence[dict]) -> dict:
        """The variables of members that were trained apart: the inverse of `split`.

        With `fine_tuning_state`, training goes on from there. Raises ValueError unless
        there are those of every member.
        """
        if len(variables) != self.members:
            raise ValueError(
                f"join takes the variables of {self.members} members, got "
                f"{len(variables)}"
            )
        kinds = {kind: None for of_one in variables for kind in of_one}
        return {
            kind: {n: v[kind] for n, v in zip(self._names(), variables) if kind in v}
            for kind in kinds
        }

    @nn.nowrap
    def networks(self, variables: dict) -> tuple[Network, ...]:
        """Each member as detectors see it; they share compiled programs.

        `module` is one of this library's classifiers, or has the same facts.
        """
        return tuple(Network.of(self.module, v) for v in self.split(variables))

    @nn.nowrap
    def _names(self):
        return tuple(f"member_{number}" for number in range(self.members))
