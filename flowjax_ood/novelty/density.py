"""A normalizing flow on the principal components of normal vectors."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.models.real_nvp import TabularRealNVP
from flowjax_ood.novelty.parts import Coordinates
from flowjax_ood.runtime.progress import progress
from flowjax_ood.training.objectives import Likelihood
from flowjax_ood.training.optimizers import make_optimizer, make_schedule
from flowjax_ood.training.state import create_state
from flowjax_ood.training.step import make_train_step

BATCH, WARMUP = 256, 20
# steps between lines of progress
CHUNK = 50


@dataclass(frozen=True)
class FlowSettings:
    """A `TabularRealNVP` and its training: Adam, cosine decay, decoupled decay.

    `components`: how many, from the first on, it is a density of.
    """

    components: int = 64
    couplings: int = 8
    width: int = 128
    max_log_scale: float = 2.0
    steps: int = 600
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2

    def flow(self, dims: int):
        """The flow of so many dimensions."""
        return TabularRealNVP(
            dims,
            couplings=self.couplings,
            mask="halves",
            width=self.width,
            zero_init=True,
            max_log_scale=self.max_log_scale,
        )


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["variables"],
    meta_fields=["settings", "dims"],
)
@dataclass(frozen=True)
class Density:
    """`log p(t / s)` of the first `dims` components by a trained flow, nats."""

    variables: Any
    settings: FlowSettings
    dims: int

    @classmethod
    def fit(
        cls,
        values: np.ndarray,
        settings: FlowSettings,
        seed: int,
        label: str | None = None,
    ) -> "Density":
        """Train on whitened components `[n, R]`; the last state counts.

        `label`: of the progress shown; None shows none. Raises ValueError where
        training did not stay finite.
        """
        dims = min(settings.components, values.shape[1])
        if dims < 2:
            raise ValueError(f"a flow needs 2 components or more, got {dims}")
        x = jnp.asarray(values[:, :dims], jnp.float32)
        flow = settings.flow(dims)
        optimizer = make_optimizer(
            make_schedule(
                settings.learning_rate,
                "cosine",
                settings.steps,
                warmup_steps=min(WARMUP, settings.steps),
            ),
            l2=0.0,
            weight_decay=settings.weight_decay,
            scales_apart=False,
        )
        key = jax.random.key(seed)
        state = create_state(flow, optimizer, key, x[: min(len(x), BATCH)])
        step = make_train_step(Likelihood(flow), optimizer)
        rows = np.random.default_rng(seed)
        batch = min(BATCH, len(x))

        @jax.jit
        def advance(state, chosen):
            def one(state, index):
                state, metrics = step(state, {"x": x[index], "index": index}, key)
                return state, metrics["loss"]

            return jax.lax.scan(one, state, chosen)

        with progress(label, settings.steps, "steps") as shown:
            for done in range(0, settings.steps, CHUNK):
                count = min(CHUNK, settings.steps - done)
                chosen = rows.integers(len(x), size=(count, batch))
                state, losses = advance(state, jnp.asarray(chosen, jnp.int32))
                mean = float(losses.mean())
                if not math.isfinite(mean):
                    raise ValueError(
                        f"training of the flow is not finite after {done + count} "
                        "steps: leave the flow out, or give another seed"
                    )
                shown.advance(done + count, nats=f"{-mean:.2f}")
        return cls(state.variables(), settings, dims)

    def score(self, at: Coordinates[jax.Array]) -> jax.Array:
        x = at.values[:, : self.dims]
        return self.settings.flow(self.dims).apply(self.variables, x, method="log_prob")
