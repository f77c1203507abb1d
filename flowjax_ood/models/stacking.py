"""How the couplings of a model are stacked: one after another, or one repeated."""

from collections.abc import Callable
from dataclasses import dataclass

from flowjax_ood.bijectors import Bijector, Chain, Repeat
from flowjax_ood.bijectors.repeat import MODES

STACKS = ("chain", *MODES)


@dataclass(frozen=True)
class Stacking:
    """The arguments `stack`, `remat` and `reversible` of a model, checked.

    Raises ValueError for an unknown `stack`, and for options that it does not have.
    """

    stack: str = "chain"
    remat: str | None = None
    reversible: bool = False

    def __post_init__(self):
        if self.stack not in STACKS:
            raise ValueError(
                f"unknown stack {self.stack!r}; known: {', '.join(STACKS)}"
            )
        if self.stack == "chain" and (self.remat or self.reversible):
            raise ValueError(
                "remat and reversible are options of repeated blocks: give stack='scan'"
                " or 'unroll' with them"
            )

    def run(self, block: Callable[[int], list[Bijector]], n: int) -> list[Bijector]:
        """`block(0), ..., block(n - 1)` in a row, or one `Repeat` of `block(0)`."""
        if self.stack == "chain":
            return [bijector for k in range(n) for bijector in block(k)]
        first = block(0)
        one = first[0] if len(first) == 1 else Chain(first)
        return [Repeat(one, n, self.stack, self.remat, self.reversible)]
