"""Deep stacks: one block repeated, its parameters stacked along a leading axis."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import core
from flax.core.scope import subtract_filters
from jax import lax

from flowjax_ood.arguments import whole_number
from flowjax_ood.bijectors.actnorm import ActNorm, check_varies
from flowjax_ood.bijectors.base import Bijector, walk, zero_logdet
from flowjax_ood.bijectors.coupling import FLOW_NAME, Coupling

MODES = ("scan", "unroll")
REMAT = (None, "full", "st")
# the collection in which a block is given the masks of its repetition
MASKS = "masks"


class Repeat(Bijector):
    """`block` applied `n` times, each time with its own parameters.

    The block must map events to events of the same shape. Parameters live in `stack`,
    with a leading axis n, in every mode, so a checkpoint serves all of them; so does
    every other collection of the block, and each repetition has its own part of every
    random stream. The collection `masks` alone is `Repeat`'s own. In the r-th
    repetition the j-th of the block's m couplings uses mask `index + r m`: masks
    are data, and alternating couplings share one compiled body.

    * `mode`: "scan" compiles the block once; "unroll" n times, which runs faster on
      CPU (XLA's convolution gradients are slow inside a loop there);
    * `remat`: "full" keeps only the events between repetitions for the gradient and
      recomputes the rest, "st" keeps what couplings produce and recomputes the
      st-networks, None keeps all;
    * `reversible`: keeps the last event alone and reconstructs the others by the
      inverse: memory does not grow with n, unless the block writes collections. Not
      with batch norm in training mode, where the inverse does not undo the forward map.

    All settings give the same values and, up to rounding, the same gradients.
    """

    block: Bijector
    n: int
    mode: str = "scan"
    remat: str | None = None
    reversible: bool = False

    def forward(self, x, cond=None):
        return self._run(x, cond, "forward")

    def inverse(self, z, cond=None):
        return self._run(z, cond, "inverse")

    @nn.nowrap
    def latent_shape(self, shape):
        self._check()
        for _, coupling, indices in _couplings(self.block, self.n):
            _masks(coupling, indices, shape)
        latent = self.block.latent_shape(shape)
        if latent != shape:
            raise ValueError(
                f"Repeat needs a block that keeps the event's shape; it maps {shape} "
                f"to {latent}"
            )
        return shape

    @nn.nowrap
    def _check(self):
        if whole_number("n", self.n) < 1:
            raise ValueError(f"Repeat needs n >= 1, got {self.n}")
        if self.mode not in MODES:
            raise ValueError(f"unknown mode {self.mode!r}; known: {MODES}")
        if self.remat not in REMAT:
            raise ValueError(f"unknown remat {self.remat!r}; known: {REMAT}")
        if self.reversible and self.remat:
            raise ValueError(
                "reversible keeps no activations to rematerialise: give remat=None"
            )

    @nn.compact
    def _run(self, x, cond, method):
        self._check()
        block = self.block.clone(parent=None, _deep_clone=True)
        masks = mask_data(block, self.n, x.shape[1:])
        assert self.scope is not None, "within init or apply"
        rngs = {
            stream: jax.random.split(self.make_rng(stream), self.n)
            for stream in self.scope.rngs
        }
        writable = subtract_filters(self.scope.mutable, [MASKS])
        started = any("stack" in tree for tree in self.variables.values())
        if self.is_initializing() and not started:
            out, start = _initial(block, writable, masks, rngs, x, cond, method)
            for collection, tree in start.items():
                self.put_variable(collection, "stack", tree)
            return out
        # no repetition changes its parameters
        writable = subtract_filters(writable, ["params"])
        stack = {
            collection: tree["stack"]
            for collection, tree in self.variables.items()
            if "stack" in tree and collection != MASKS
        }

        def step(layer, x, cond):
            variables, rngs = layer
            out, updates = block.apply(
                variables, x, cond, method=method, mutable=writable, rngs=rngs
            )
            return out, updates

        layers = (stack | {MASKS: masks}, rngs)
        reverse = method == "inverse"
        unroll = self.n if self.mode == "unroll" else 1
        # a training step lets every flow write batch statistics; few have any
        written = _written(step, layers, x, cond) if self.reversible else ()
        if self.reversible and not written:
            backward = _other(block, method)
            return _reversible(step, backward, reverse, unroll, layers, x, cond)
        if "batch_stats" in written:
            raise ValueError(
                "reversible back-propagation cannot train batch norm: its inverse does "
                "not undo the forward map; use norm='none', or reversible=False"
            )
        step = self._rematerialised(step)

        def body(carry, layer):
            x, total = carry
            (x, logdet), updates = step(layer, x, cond)
            return (x, total + logdet), updates

        start_at = (x, zero_logdet(x))
        (x, total), updates = lax.scan(
            body, start_at, layers, reverse=reverse, unroll=unroll
        )
        for collection, tree in updates.items():
            self.put_variable(collection, "stack", tree)
        return x, total

    @nn.nowrap
    def _rematerialised(self, step):
        if self.remat is None:
            return step
        policy = None
        if self.remat == "st":
            policy = jax.checkpoint_policies.save_only_these_names(FLOW_NAME)
        # a scan body is compiled once: nothing there can undo the rematerialisation
        return jax.checkpoint(step, policy=policy, prevent_cse=self.mode == "unroll")


def mask_data(block: Bijector, n: int, shape) -> dict:
    """Masks of every coupling of the block, for each of n repetitions, as variables."""
    tree: dict = {}
    for path, coupling, indices in _couplings(block, n):
        layers = _masks(coupling, indices, shape)
        node = tree
        for name in path:
            node = node.setdefault(name, {})
        for name in layers[0]:
            node[name] = jnp.asarray(np.stack([layer[name] for layer in layers]))
    return tree


def stack_layers(layers: list[dict]) -> dict:
    """Parameters of n separate blocks as those of a `Repeat`: `{"stack": ...}`."""
    return {"stack": jax.tree.map(lambda *leaves: jnp.stack(leaves), *layers)}


def unstack_layers(stacked: dict) -> list[dict]:
    """The inverse of `stack_layers`."""
    leaves, structure = jax.tree.flatten(stacked["stack"])
    return [jax.tree.unflatten(structure, layer) for layer in zip(*leaves, strict=True)]


def _couplings(block: Bijector, n: int) -> list[tuple]:
    """`(path, coupling, its mask index in each of n repetitions)`."""
    couplings = [(path, b) for path, b in walk(block) if isinstance(b, Coupling)]
    return [
        (path, b, [b.index + r * len(couplings) for r in range(n)])
        for path, b in couplings
    ]


def _masks(coupling: Coupling, indices: list[int], shape) -> list[dict]:
    """The coupling's mask variables in each repetition; ValueError if they differ."""
    layers = [coupling.mask_variables(shape, index) for index in indices]
    shapes = [{name: a.shape for name, a in layer.items()} for layer in layers]
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError(
            "Repeat needs masks of one layout that see equally many channels in every "
            f"repetition; those of event shape {tuple(shape)} do not; use separate "
            "couplings in a Chain"
        )
    return layers


def _written(step, layers, x, cond) -> tuple[str, ...]:
    """Names of the collections that a block writes, of those it may."""

    def updates(layers):
        first = jax.tree.map(lambda leaf: leaf[0], layers)
        return step(first, x, cond)[1]

    return tuple(jax.eval_shape(updates, layers))


def _initial(block, writable, masks, rngs, x, cond, method) -> tuple:
    """What the stack gives, and its variables.

    Each block is initialised on what the ones before it give.
    """
    if method == "forward" and isinstance(next(walk(block))[1], ActNorm):
        check_varies(x)  # inside the loop no values are known

    def body(carry, layer):
        x, total = carry
        rngs, masks = layer

        def initialise(scope):
            module = block.clone(parent=scope, _deep_clone=True)
            return getattr(module, method)(x, cond)

        # Module.init takes no variables, and the masks are some
        run = core.apply(
            initialise,
            mutable=writable,
            flags={"initializing": True},
        )
        (x, logdet), variables = run({MASKS: masks}, rngs=rngs)
        return (x, total + logdet), variables

    start, layers = (x, zero_logdet(x)), (rngs, masks)
    return lax.scan(body, start, layers, reverse=method == "inverse")


def _reversible(step, inverse_of, reverse, unroll, layers, x, cond):
    """`scan(step)` whose gradient reconstructs each input from its output."""
    variables, rngs = layers
    params = {k: v for k, v in variables.items() if _differentiable(v)}
    rest = {k: v for k, v in variables.items() if k not in params}, rngs

    def joined(params, rest):
        variables, rngs = rest
        return params | variables, rngs

    @jax.custom_vjp
    def run(params, rest, x, cond):
        def body(carry, layer):
            x, total = carry
            (x, logdet), _ = step(joined(*layer), x, cond)
            return (x, total + logdet), None

        start, both = (x, zero_logdet(x)), (params, rest)
        return lax.scan(body, start, both, reverse=reverse, unroll=unroll)[0]

    def forward(params, rest, x, cond):
        z, total = run(params, rest, x, cond)
        return (z, total), (params, rest, z, cond)

    def backward(kept, cotangents):
        params, rest, z, cond = kept
        dz, dlogdet = cotangents
        dcond = jax.tree.map(jnp.zeros_like, cond)

        def body(carry, layer):
            z, dz, dcond = carry
            own, rest = layer
            x = inverse_of(joined(own, rest), z, cond)

            def again(own, x, cond):
                return step(joined(own, rest), x, cond)[0]

            _, pull = jax.vjp(again, own, x, cond)
            down, dx, dc = pull((dz, dlogdet))
            return (x, dx, jax.tree.map(jnp.add, dcond, dc)), down

        start, both = (z, dz, dcond), (params, rest)
        (_, dx, dcond), dparams = lax.scan(
            body, start, both, reverse=not reverse, unroll=unroll
        )
        # masks, counts and random keys get no gradient
        return dparams, None, dx, dcond

    run.defvjp(forward, backward)
    return run(params, rest, x, cond)


def _differentiable(tree) -> bool:
    return all(jnp.issubdtype(a.dtype, jnp.inexact) for a in jax.tree.leaves(tree))


def _other(block: Bijector, method: str):
    """The event a block's `method` was applied to, from what it gave."""
    other = "inverse" if method == "forward" else "forward"

    def undo(layer, z, cond):
        variables, rngs = layer
        return block.apply(variables, z, cond, method=other, rngs=rngs)[0]

    return undo
