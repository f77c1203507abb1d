"""How the couplings of a model are stacked: one after another, or one repeated."""

from flowjax_ood.bijectors.repeat import MODES

STACKS = ("chain", *MODES)


def check_stack(stack: str, remat: str | None, reversible: bool) -> None:
    """Raise ValueError for an unknown `stack`, or options it does not have."""
    if stack not in STACKS:
        raise ValueError(f"unknown stack {stack!r}; known: {', '.join(STACKS)}")
    if stack == "chain" and (remat or reversible):
        raise ValueError(
            "remat and reversible are options of repeated blocks: give stack='scan' or "
            "'unroll' with them"
        )
