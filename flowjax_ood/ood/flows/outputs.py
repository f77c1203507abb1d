"""One pass of a trained flow over a set: what scores are computed of."""

import hashlib
import zlib
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.data.dequantize import check_values, dequantize, example_keys
from flowjax_ood.ood.batched import at_once, batches, compiled


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["events", "log_pz", "logdet", "latents"],
    meta_fields=["made_by"],
)
@dataclass(frozen=True, eq=False)
class FlowOutputs:
    """The results of a forward pass over N images or vectors, in NumPy.

    `events` as they were given; `log_pz`, `logdet` `[N, S]`: the terms of log p(x) in
    nats that each of the S scales adds, finest first; `latents`, S arrays `[N, ...]`.
    `made_by`: `ScoredFlow.digest`; empty where it is not known.
    """

    events: np.ndarray
    log_pz: np.ndarray
    logdet: np.ndarray
    latents: tuple[np.ndarray, ...]
    made_by: str = field(default="", repr=False)

    @property
    def log_prob(self) -> np.ndarray:
        """Log-density in nats, float64 `[N]`."""
        return self.latent_log_prob + self.log_determinant

    @property
    def latent_log_prob(self) -> np.ndarray:
        """`log p_Z(z)`, float64 `[N]`."""
        return self.log_pz.astype(np.float64).sum(1)

    @property
    def log_determinant(self) -> np.ndarray:
        """`log |det dz/dx|`, float64 `[N]`."""
        return self.logdet.astype(np.float64).sum(1)

    def __len__(self) -> int:
        return len(self.events)

    def rows(self, at) -> "FlowOutputs":
        """Take rows, as indexing a NumPy array does."""
        return jax.tree.map(lambda a: a[at], self)

    def flat_latents(self) -> np.ndarray:
        """All latents of an example in one row, finest scale first: `[N, D]`."""
        return np.concatenate([z.reshape(len(z), -1) for z in self.latents], 1)


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["variables"],
    meta_fields=["flow", "seed", "bins"],
)
@dataclass(frozen=True, eq=False)
class ScoredFlow:
    """A trained flow as scores see it: `flow.apply(variables, x, method=...)`.

    Images are dequantised with noise that depends on `seed` and the image alone. So the
    score of an image is one number, whatever set or batch it comes in; equal images
    have equal scores. Of flows of vectors, rows are scored as they are.

    `flow`: a `Flow` with the base N(0, I); `variables`: of it, batch statistics
    included; `bins`: values of a pixel, as of `data.dequantize`.
    """

    flow: Any
    variables: Any = field(repr=False)
    seed: int = 0
    bins: int = 256

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an event."""
        return tuple(self.flow.event_shape)

    @property
    def of_images(self) -> bool:
        return len(self.shape) == 3

    @cached_property
    def digest(self) -> str:
        """A digest of the variables: outputs are known by it to be of this flow."""
        hashed = hashlib.blake2b(digest_size=16)
        for path, leaf in jax.tree_util.tree_flatten_with_path(self.variables)[0]:
            array = np.asarray(leaf)
            name = jax.tree_util.keystr(path)
            hashed.update(f"{name} {array.dtype} {array.shape}".encode())
            hashed.update(array.tobytes())
        return hashed.hexdigest()

    def check(self, events, what: str = "events") -> np.ndarray:
        """Return events `[N, *shape]` as NumPy.

        Raises TypeError for images that are no integers and vectors that are no floats,
        ValueError for other shapes, values not below `bins`, NaN and infinity.
        """
        events = np.asarray(events)
        if events.shape[1:] != self.shape or not len(events):
            wanted = ", ".join(map(str, self.shape))
            raise ValueError(
                f"{what} must be [N, {wanted}], N at least 1, as the flow's events are;"
                f" got {list(events.shape)}"
            )
        kinds = (np.uint8, np.uint16) if self.of_images else (np.float32, np.float64)
        if events.dtype not in kinds:
            remedy = "images as they are stored, before dequantisation"
            remedy = remedy if self.of_images else "standardised vectors"
            raise TypeError(
                f"{what} must be {kinds[0].__name__} or {kinds[1].__name__} ({remedy}),"
                f" got {events.dtype}"
            )
        if self.of_images:
            check_values(events, self.bins)
        elif not np.isfinite(events).all():
            bad = ~np.isfinite(events).all(1)
            raise ValueError(
                f"{bad.sum()} of {len(bad)} {what} hold NaN or infinity, the first is "
                f"number {int(bad.argmax())}"
            )
        return events

    def inputs(self, events: np.ndarray, draw: int = 0) -> "FlowInputs":
        """Make what compiled programs take of events: the keys of their noise, too.

        Other `draw`s are independent noise.
        """
        numbers = [zlib.crc32(row.tobytes()) for row in np.ascontiguousarray(events)]
        keys = np.stack([np.full(len(events), draw), np.array(numbers)], 1)
        return FlowInputs(events, keys.astype(np.uint32))

    def points(self, inputs: "FlowInputs") -> jax.Array:
        """Dequantise a batch; pure, for use inside `jit`: float32 `[B, *shape]`."""
        if not self.of_images:
            return jnp.asarray(inputs.events)
        key = jax.random.key(self.seed, impl="threefry2x32")
        draws = example_keys(key, inputs.keys[:, 0])
        keys = jax.vmap(jax.random.fold_in)(draws, inputs.keys[:, 1])
        return dequantize(inputs.events, keys, self.bins)

    def collect(
        self, events: np.ndarray, batch_size: int = 250, draw: int = 0
    ) -> FlowOutputs:
        """Run the flow over events `[N, *shape]`, once each. Raises as `check` does."""
        events = self.check(events)
        inputs = self.inputs(events, draw)
        program = partial(_pass, self)
        parts = list(batches(program, inputs, at_once(events, batch_size)))
        joined = jax.tree.map(lambda *a: np.concatenate(a), *parts)
        return FlowOutputs(
            *(events, joined.log_pz, joined.logdet, tuple(joined.latents)),
            made_by=self.digest,
        )


class FlowInputs(NamedTuple):
    """Events `[N, ...]`, and `[N, 2]` uint32: the draw and a digest of each event."""

    # of NumPy, and of JAX inside of programs
    events: Any
    keys: Any


@compiled
def _pass(scored: ScoredFlow, inputs: FlowInputs):
    x = scored.points(inputs)
    return scored.flow.apply(scored.variables, x, method="log_prob_scales")
