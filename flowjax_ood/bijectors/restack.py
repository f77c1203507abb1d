"""Between separate layers and `Repeat`: the same parameters, arranged anew."""

from collections.abc import Iterator

from flowjax_ood.bijectors.base import Bijector, walk
from flowjax_ood.bijectors.conv1x1 import InvertibleConv1x1
from flowjax_ood.bijectors.coupling import Coupling
from flowjax_ood.bijectors.repeat import Repeat, stack_layers, unstack_layers


def unstacked(
    bijector: Bijector, tree: dict, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Bijector, dict]]:
    """Yield `(path, leaf, its part of tree)`, every `Repeat` taken apart.

    `tree` is one collection of the bijector's variables. In the order forward applies
    the leaves; a repetition counts in the path (`"0"`, `"1"`, ...), and a coupling
    comes with the mask index it has there.
    """
    for own, leaf in walk(bijector):
        node = _at(tree, own)
        if not isinstance(leaf, Repeat):
            yield (*path, *own), leaf, node
            continue
        layers = unstack_layers(node) if node else [{}] * leaf.n
        couplings = sum(isinstance(b, Coupling) for _, b in walk(leaf.block))
        for r, layer in enumerate(layers):
            for where, inner, part in unstacked(leaf.block, layer):
                if isinstance(inner, Coupling):
                    inner = inner.clone(index=inner.index + r * couplings)
                yield (*path, *own, str(r), *where), inner, part


def restack(source: Bijector, tree: dict, target: Bijector) -> dict:
    """One collection of `source`'s variables in the arrangement of `target`.

    The two must apply the same layers in the same order, however they are stacked:
    `Chain` of n couplings, `Repeat` of one. Raises ValueError where they do not, and
    for "plu" convolutions of different seeds: what these fix is not in the parameters.
    """
    parts = list(unstacked(source, tree))
    needed = [leaf for _, leaf, _ in unstacked(target, {})]
    wanted = [type(leaf).__name__ for leaf in needed]
    given = [type(leaf).__name__ for _, leaf, _ in parts]
    if wanted != given:
        raise ValueError(
            "cannot rearrange parameters between different stacks of layers: "
            f"{_summary(given)} given, {_summary(wanted)} needed"
        )
    for (_, own, _), leaf in zip(parts, needed, strict=True):
        _check_seeds(own, leaf)
    left = iter([part for _, _, part in parts])
    return _filled(target, left)


def _check_seeds(given: Bijector, needed: Bijector) -> None:
    if not isinstance(given, InvertibleConv1x1) or given.mode != "plu":
        return
    if needed.mode == "plu" and needed.seed != given.seed:
        raise ValueError(
            'cannot move the parameters of an InvertibleConv1x1("plu") of seed '
            f"{given.seed} to one of seed {needed.seed}: the seed fixes its permutation"
            " and signs, and a Repeat has one for all its steps; use "
            'conv1x1="dense", or build both with the same seed'
        )


def _filled(bijector: Bijector, parts: Iterator[dict]) -> dict:
    if isinstance(bijector, Repeat):
        layers = [_filled(bijector.block, parts) for _ in range(bijector.n)]
        return stack_layers(layers) if any(layers) else {}
    children = bijector.children()
    if not children:
        return next(parts)
    filled = {name: _filled(child, parts) for name, child in children}
    return {name: part for name, part in filled.items() if part}


def _at(tree: dict, path: tuple[str, ...]) -> dict:
    for name in path:
        tree = tree.get(name, {})
    return tree


def _summary(names: list[str]) -> str:
    return f"{len(names)} layers ({', '.join(names[:4])}, ...)"
