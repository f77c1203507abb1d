"""A classifier as detectors see it: one function to activations and logits."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.ood.arrays import as_numpy
from flowjax_ood.ood.batched import at_once, compiled, in_batches
from flowjax_ood.ood.checks import check_inputs
from flowjax_ood.ood.settings import NAMES
from flowjax_ood.precision import at_least_float32

Taps = dict[str, jax.Array]


class Outputs(NamedTuple):
    """The results of a forward pass, reduced so that those of a set fit in memory.

    `logits [N, C]`; `features [N, D]`, the input of the last linear layer (the logits
    where the network names no such tap); `pooled {layer: [N, d]}`, the mean over
    positions of each layer's channels. `of` makes them of arrays of any framework.
    """

    logits: Any
    features: Any
    pooled: dict[str, Any]

    @classmethod
    def of(cls, logits, features=None, pooled=None) -> "Outputs":
        """Check arrays of any framework, and make them NumPy floats of 32 bits or more.

        `features` are the logits where there are none. Raises TypeError for what are no
        real numbers, ValueError for shapes other than `[N, ...]` of one N.
        """
        logits = as_numpy(logits, "logits")
        features = logits if features is None else as_numpy(features, "features")
        pooled = {k: as_numpy(a, f"pooled {k!r}") for k, a in (pooled or {}).items()}
        named = {"logits": logits, "features": features}
        for name, array in (named | pooled).items():
            if array.ndim != 2 or array.shape[1] == 0 or len(array) != len(logits):
                raise ValueError(
                    f"outputs must be [N, ...] of the {len(logits)} rows of logits, "
                    f"{name} has shape {array.shape}"
                )
        return cls(logits, features, pooled)


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["variables", "head"],
    meta_fields=[
        *("apply", "layers", "penultimate", "mean", "std", "sample", "replaced"),
    ],
)
@dataclass(frozen=True, eq=False)
class Network:
    """`apply(variables, x) -> ({tap: array [B, ...]}, logits [B, C])`, and its facts.

    x is what the network takes: pixels in [0, 1] as floats `[B, H, W, C]`, or tokens.
    Stored images, uint8, are divided by 255 wherever detectors take them. Rows must not
    depend on each other, as in evaluation mode: input gradients are taken of sums.

    * `layers`: taps that multi-layer detectors read, shallow to deep;
    * `penultimate`: the tap `[B, D]` that the last linear layer reads, and `head`, that
      layer: `(W [D, C], b [C])` with `logits = penultimate @ W + b`;
    * `mean`, `std`: of the training pixels, per channel, in [0, 1]. Perturbations are
      in pixel units; FSSD's published noise and gradients are in units of std;
    * `sample(variables, x, key) -> logits`: with dropout, for `MCDropout`;
    * `replaced(variables, x, {tap: activations}) -> logits`: with these in place of the
      network's own, for detectors that change a layer or take gradients by it. `of`
      has it from modules with `taps(x, replaced)`.

    Any function that JAX can trace will do: `Network(lambda _, x: (taps, logits))`;
    one that it cannot, of torch for example, through `jax.pure_callback`. Without
    `apply`, a network scores outputs that were computed elsewhere: `score_outputs`.
    Activations of fewer than 32 bits are widened.

    A pytree of its `variables` and `head`: networks whose other facts are equal share
    compiled programs, as those that `of` makes of one module do.
    """

    apply: Callable[[Any, jax.Array], tuple[Taps, jax.Array]] | None = None
    variables: Any = field(default=(), repr=False)
    layers: tuple[str, ...] = ()
    penultimate: str | None = None
    head: tuple[Any, Any] | None = field(default=None, repr=False)
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    sample: Callable[[Any, jax.Array, jax.Array], jax.Array] | None = None
    replaced: Callable[[Any, jax.Array, Taps], jax.Array] | None = None

    def __post_init__(self):
        for name in ("apply", "sample", "replaced"):
            function = getattr(self, name)
            if function is not None and not callable(function):
                raise TypeError(
                    f"Network.{name} must be a function, got {function!r}; of a module "
                    "of this library, Network.of(module, variables)"
                )
        object.__setattr__(self, "head", _head(self.head))
        # static parts of compiled programs, which must hash: no arrays, no lists
        if not NAMES.allows(self.layers):
            raise TypeError(f"Network.layers must be {NAMES}; got {self.layers!r}")
        object.__setattr__(self, "layers", tuple(self.layers))
        for name in ("mean", "std"):
            value = getattr(self, name)
            if value is not None:
                value = tuple(map(float, np.ravel(value)))
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, module, variables) -> "Network":
        """Wrap one of this library's classifiers, or a module with the same facts."""
        # once, not at every call
        variables = jax.tree.map(jnp.asarray, variables)
        replaces = "replaced" in inspect.signature(module.taps).parameters
        return cls(
            apply=_MethodOf(module, "taps"),
            variables=variables,
            layers=tuple(module.layers),
            penultimate=module.penultimate,
            head=module.head(variables),
            mean=getattr(module, "mean", None),
            std=getattr(module, "std", None),
            sample=_MethodOf(module, "__call__"),
            replaced=_ReplacedIn(module, "taps") if replaces else None,
        )

    def taps(self, x: jax.Array) -> tuple[Taps, jax.Array]:
        """Call `apply` on a batch as it is stored; pure, for use inside `jit`."""
        if self.apply is None:
            raise TypeError(
                "this network has no function `apply`: it can score saved outputs "
                "(score_outputs), but it takes no inputs"
            )
        return jax.tree.map(_wide, self.apply(self.variables, as_input(x)))

    def with_taps(self, x: jax.Array, taps: Taps) -> jax.Array:
        """Compute the logits `[B, C]` with activations other than the network's own.

        Compiled, nothing below them is computed. ValueError without `replaced`.
        """
        replaced = self.check_replaced("a change of layers")
        return _wide(replaced(self.variables, as_input(x), taps))

    def check_replaced(self, what: str) -> Callable[[Any, jax.Array, Taps], jax.Array]:
        """Return `replaced`; ValueError where it is missing, which `what` needs."""
        if self.replaced is None:
            raise ValueError(
                f"{what} needs network.replaced, a function (variables, x, {{tap: "
                "activations}) -> logits; Network.of has it for modules with "
                "taps(x, replaced)"
            )
        return self.replaced

    def outputs(self, x: jax.Array) -> Outputs:
        """Compute the `Outputs` of a batch; pure, for use inside `jit`."""
        taps, logits = self.taps(x)
        named = {n for n in (*self.layers, self.penultimate) if n is not None}
        missing = named - set(taps)
        if missing:
            raise ValueError(
                f"the network gives no tap {sorted(missing)}, only {sorted(taps)}"
            )
        features = logits if self.penultimate is None else taps[self.penultimate]
        if logits.ndim != 2:
            raise ValueError(f"logits must be [B, C], they are {logits.shape}")
        if features.ndim != 2:
            raise ValueError(
                f"the tap {self.penultimate!r} must be [B, D], it is {features.shape}"
            )
        pooled = {name: pool(taps[name]) for name in self.layers}
        return Outputs(logits, features, pooled)

    def collect(self, x, batch_size: int = 250) -> Outputs:
        """Compute the `Outputs` of all of `x [N, ...]` as NumPy arrays, in batches.

        `x` may also be an iterable of such arrays. Raises TypeError for what is
        neither, ValueError for no rows and for images that the network would misread.
        """
        if not hasattr(x, "shape"):
            return _concatenated([self.collect(p, batch_size) for p in _parts(x)])
        check_inputs(self, x, "inputs")
        return in_batches(partial(_outputs, self), x, at_once(x, batch_size))


def _parts(x):
    if isinstance(x, Outputs | str | dict) or not hasattr(x, "__iter__"):
        raise TypeError(
            f"collect takes inputs [N, ...] or batches of them, got {type(x).__name__}"
        )
    for number, part in enumerate(x):
        if not hasattr(part, "shape"):
            raise TypeError(
                f"collect takes batches of inputs alone, number {number} is a "
                f"{type(part).__name__}: (x for x, labels in batches)"
            )
        yield part


def _concatenated(parts: list[Outputs]) -> Outputs:
    if not parts:
        raise ValueError("there are no batches: give at least one")
    return jax.tree.map(lambda *a: np.concatenate(a), *parts)


def _head(head):
    """`(W, b)` of arrays of any framework; a bias of None is zeros."""
    if head is None:
        return None
    # JAX also makes networks of placeholders of its own
    if not hasattr(head, "__len__"):
        return head
    if not isinstance(head, tuple | list) or len(head) != 2:
        raise TypeError(
            f"Network.head must be a pair (W [D, C], b [C] or None), got "
            f"{type(head).__name__}"
        )
    w, b = head
    if b is None and len(getattr(w, "shape", ())) == 2:
        b = np.zeros(w.shape[1], np.float32)
    return tuple(
        as_numpy(a, "Network.head") if hasattr(a, "detach") else a for a in (w, b)
    )


def _wide(a: jax.Array) -> jax.Array:
    """Floats of 32 bits or more: sums of fewer lose what detectors compare."""
    if not jnp.issubdtype(a.dtype, jnp.floating):
        return a
    return at_least_float32(a)


@dataclass(frozen=True)
class _OfModule:
    """Base of a module's method as a function, equal where modules are."""

    module: Any
    method: str

    def __hash__(self):
        # fields of modules may be lists, which compare but have no hash
        return hash(type(self.module))


class _MethodOf(_OfModule):
    """The method itself; `key`: of dropout."""

    def __call__(self, variables, x, key=None):
        rngs = None if key is None else {"dropout": key}
        return self.module.apply(variables, x, rngs=rngs, method=self.method)


class _ReplacedIn(_OfModule):
    """The logits of `taps`, with activations other than the network's own."""

    def __call__(self, variables, x, taps):
        return self.module.apply(variables, x, taps, method=self.method)[1]


@compiled
def _outputs(network: Network, x):
    return network.outputs(x)


@compiled
def logits_of(network: Network, x) -> jax.Array:
    """Compute logits alone, `[B, C]`."""
    return network.taps(x)[1]


def as_input(x: jax.Array) -> jax.Array:
    """Divide uint8 pixels by 255, to floats in [0, 1]; all else stays."""
    return x.astype(jnp.float32) / 255 if x.dtype == jnp.uint8 else jnp.asarray(x)


def pool(tap: jax.Array) -> jax.Array:
    """Average over positions: `[B, ..., C]` -> `[B, C]`."""
    return jnp.mean(tap, axis=tuple(range(1, tap.ndim - 1)))


def flat(tap: jax.Array) -> jax.Array:
    """Flatten `[B, ...]` -> `[B, D]`."""
    return tap.reshape(len(tap), -1)


def check_images(x, what: str) -> np.ndarray:
    """Return `x` as an array that gradients can be taken by; TypeError for tokens."""
    x = np.asarray(x)
    if x.dtype != np.uint8 and not np.issubdtype(x.dtype, np.floating):
        raise TypeError(
            f"{what} changes its input along a gradient, which {x.dtype} values have "
            "not; leave the perturbation out (magnitude 0)"
        )
    return x
