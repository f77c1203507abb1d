"""One round of a federation: clients learn in turn, the server averages."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from flowjax_ood.data.checks import unknown
from flowjax_ood.data.sets import class_labels
from flowjax_ood.federated.averaging import average, mean_head
from flowjax_ood.federated.client_network import features_of
from flowjax_ood.federated.generator import FeatureGenerator, make_generator_step
from flowjax_ood.federated.objective import VirtualOutliers, make_client_step
from flowjax_ood.federated.settings import Recipe, Settings
from flowjax_ood.federated.tails import external_features, tail_features
from flowjax_ood.ood.moments import Moments
from flowjax_ood.training.batches import Stream
from flowjax_ood.training.logs.window import NonFiniteLossError
from flowjax_ood.training.state import TrainState, fine_tuning_state

# streams of random numbers that follow from the key of a federation
INITIAL, GENERATOR, ORDER, ROUND = range(4)
# of a client's examples, how many its Gaussians are fitted to
FITTED = 512


@struct.dataclass
class FederationState:
    """All that is known between two rounds, a pytree: one checkpoint holds this.

    `round`: how many are done. `shared`: the parameters that are averaged, by layer;
    `private`: those of each client.
    """

    round: jax.Array
    shared: dict
    private: tuple
    generator: TrainState

    def params(self, client: int) -> dict:
        """The parameters of a client."""
        return self.shared | self.private[client]


class Federation:
    """Clients with their examples, and a server: `advance` trains one round.

    Every random number follows from `(key, round, client)`. So a federation goes on
    from a kept state bit for bit, and clients may be visited in any order.

    Args:
        module: a classifier with `taps(x)`, `head(variables)` and `penultimate`, as
            those of `models` have, without batch norm; as many logits as classes.
        parts: rows of each client, as `partition` makes them.
        images: uint8 `[N, H, W, C]`, or floats that the module takes, `[N, ...]`.
        labels: int `[N]`, 0, 1, ...
        settings: how it is trained.
        key: of all randomness.

    Raises ValueError for rows that are out of range or given twice, a client with fewer
    examples than a batch or fewer than two classes, one that has all classes where
    outliers are wanted, a class that no client has where they are generated or real,
    private names that are no layers, another number of logits, and
    a module with batch norm.
    """

    def __init__(
        self,
        module: nn.Module,
        parts: Sequence[np.ndarray],
        images: np.ndarray,
        labels: np.ndarray,
        settings: Settings,
        key: jax.Array,
    ):
        self.module, self.settings, self.key = module, settings, key
        self.images, self.labels = images, class_labels(labels, len(images))
        self.parts = [np.asarray(part) for part in parts]
        self._check_parts()
        classes = int(self.labels.max()) + 1
        self.counts = np.stack(
            [np.bincount(self.labels[p], minlength=classes) for p in self.parts]
        )
        # a generator learns every class of a head, which nobody has for such a class
        absent = np.flatnonzero(self.counts.sum(axis=0) == 0)
        if settings.outliers in ("generated", "real") and len(absent):
            raise ValueError(
                f"no client has class {absent[0]}, and outliers={settings.outliers!r} "
                "are of all classes: give it to a client, or drop its images, and "
                "number the labels anew"
            )
        known = [np.flatnonzero(count) for count in self.counts]
        every = [np.arange(classes)] * len(known)
        self.own = known if settings.restricted else every
        for client, own in enumerate(known):
            if settings.outliers != "none" and len(own) == classes:
                raise ValueError(
                    f"client {client} has all {classes} classes: there is no external "
                    "class to make outliers of; set outliers='none'"
                )
        dims = self._check_module(classes)
        self.generator = FeatureGenerator(classes, dims, hidden=settings.hidden)

    def _check_parts(self) -> None:
        seen = np.zeros(len(self.labels), bool)
        for client, part in enumerate(self.parts):
            whole = part.dtype.kind in "iu" and part.ndim == 1
            if not whole or not ((part >= 0) & (part < len(seen))).all():
                raise ValueError(
                    f"client {client}: parts must be rows 0 ... {len(seen) - 1}, got "
                    f"{part.dtype} of shape {part.shape}; partition makes them"
                )
            if len(part) < self.settings.batch_size:
                raise ValueError(
                    f"client {client} has {len(part)} examples, fewer than a batch of "
                    f"{self.settings.batch_size}"
                )
            if len(np.unique(self.labels[part])) < 2:
                raise ValueError(f"client {client} has fewer than two classes")
            if seen[part].any() or len(np.unique(part)) < len(part):
                raise ValueError(f"client {client} has rows that are given twice")
            seen[part] = True

    def _check_module(self, classes: int) -> int:
        """The number of features that the head reads."""
        variables = jax.eval_shape(self.module.init, self.key, self._example())
        if "batch_stats" in variables:
            raise ValueError(
                "a federation averages parameters alone, and this module has batch "
                "statistics: use one without batch norm, such as LeNet"
            )
        for name in self.settings.private:
            if name not in variables["params"]:
                raise unknown("a layer of the module", name, variables["params"])
        w, _ = jax.eval_shape(self.module.head, variables)
        if w.shape[1] != classes:
            raise ValueError(
                f"the module has {w.shape[1]} logits, and labels are of {classes} "
                "classes: they must be as many"
            )
        return w.shape[0]

    def _example(self) -> jax.Array:
        return jnp.zeros((1, *self.images.shape[1:]), jnp.float32)

    def start(self) -> FederationState:
        """The state before the first round: all clients begin alike."""
        init = jax.jit(self.module.init)
        shared, private = self._split(
            init(self._key(INITIAL), self._example())["params"]
        )
        key = self._key(GENERATOR)
        variables = _initial(self.generator)(key, jnp.zeros(1, jnp.int32), key)
        optimizer = self.settings.generator_optimizer()
        return FederationState(
            round=jnp.zeros((), jnp.int32),
            shared=shared,
            private=(private,) * len(self.parts),
            generator=fine_tuning_state(optimizer, variables),
        )

    def advance(
        self, state: FederationState, order: Iterable[int] | None = None
    ) -> tuple[FederationState, dict[str, float]]:
        """Train one round, and return the state after it and its means.

        `order`: in which clients are visited, each once; it changes nothing. Metrics:
        `loss`, `accuracy` and, with outliers, `outlier_loss` and `outlier_norm`, the
        length of these features, means over clients; `generator_loss`,
        `generator_accuracy`.

        Raises ValueError for another order, and NonFiniteLossError, which names client
        and round; nothing is averaged.
        """
        clients = range(len(self.parts))
        order = clients if order is None else list(order)
        if sorted(order) != list(clients):
            raise ValueError(
                f"order must name each of the {len(clients)} clients once, got {order}"
            )
        number, s = int(state.round), self.settings
        outliers = s.outliers != "none" and number >= s.begin
        generator = state.generator
        metrics: dict[str, float] = {}
        if outliers and s.outliers == "generated":
            generator, metrics = self._taught(state)
        trained, logs = {}, {}
        for client in order:
            params, pool = state.params(client), None
            if outliers:
                pool = self._pool(client, params, generator, number)
            trained[client], logs[client] = self._learn(client, params, number, pool)
        sizes = [len(part) for part in self.parts]
        averaged = average([trained[c] for c in clients], sizes, s.private)
        apart = [self._split(params) for params in averaged]
        names = logs[0]
        metrics |= {n: float(np.mean([logs[c][n] for c in clients])) for n in names}
        after = FederationState(
            round=jnp.asarray(number + 1, jnp.int32),
            shared=apart[0][0],
            private=tuple(private for _, private in apart),
            generator=generator,
        )
        return after, metrics

    def head(self, state: FederationState) -> tuple[np.ndarray, np.ndarray]:
        """`(W, b)`: of each class the mean over the clients that have it."""
        clients = range(len(self.parts))
        heads = [self.module.head({"params": state.params(c)}) for c in clients]
        return mean_head(heads, self.counts)

    def _learn(
        self, client: int, params: dict, number: int, pool: np.ndarray | None
    ) -> tuple[dict, dict[str, float]]:
        """A client's parameters after the steps of a round, and means of these."""
        s, own = self.settings, self.own[client].astype(np.int32)
        done = number * s.steps
        state = _continued(s.recipe.optimizer(), params, done)
        objective = None if pool is None else s.objective
        step, key = (
            _client_step(self.module, s.recipe, objective),
            self._of(client, number),
        )
        rows = []
        for at in range(s.steps):
            batch = self._batches[client](done + at) | {"own": own}
            if pool is not None:
                places = at * s.batch_size + np.arange(s.batch_size)
                batch["feature"] = pool[places % len(pool)]
            state, metrics = step(state, batch, key)
            rows.append(metrics)
        rows = jax.device_get(rows)
        for name in ("loss", "grad_norm"):
            values = np.array([row[name] for row in rows])
            if not np.isfinite(values).all():
                at = int(np.argmin(np.isfinite(values)))
                what = f"client {client}, round {number}: {name} is {values[at]}"
                raise NonFiniteLossError(done + at, what)
        names = [n for n in ("loss", "accuracy", "outlier_loss") if n in rows[0]]
        means = {n: float(np.mean([row[n] for row in rows])) for n in names}
        if pool is not None:
            means["outlier_norm"] = float(np.linalg.norm(pool, axis=1).mean())
        return state.params, means

    def _taught(self, state: FederationState) -> tuple[TrainState, dict[str, float]]:
        """The generator after the steps of a round, against the heads as they are."""
        s, number = self.settings, int(state.round)
        key = jax.random.fold_in(self._key(GENERATOR), number)
        head = tuple(map(jnp.asarray, self.head(state)))
        step = _generator_step(self.generator, s.generator_rate, s.generator_decay)
        generator = jax.tree.map(jnp.copy, state.generator)
        metrics = {}
        for at in range(s.generator_steps):
            size, classes = (s.generator_batch,), self.generator.classes
            asked = jax.random.randint(jax.random.fold_in(key, at), size, 0, classes)
            generator, metrics = step(generator, asked, head, key)
        loss, accuracy = (float(metrics[k]) for k in ("loss", "accuracy"))
        if not np.isfinite(loss):
            what = f"generator, round {number}: loss is {loss}"
            raise NonFiniteLossError(int(generator.step), what)
        return generator, {"generator_loss": loss, "generator_accuracy": accuracy}

    def _pool(
        self, client: int, params: dict, generator: TrainState, number: int
    ) -> np.ndarray:
        """Virtual outliers of a client for a round, float32 `[pool, D]`."""
        s, key = self.settings, jax.random.fold_in(self._of(client, number), 1)
        tail = {"draws": s.draws, "keep": s.keep}
        if s.outliers == "generated":
            variables, own = generator.variables(), self.own[client]
            return external_features(
                self.generator, variables, own, s.pool, key, **tail
            )
        if s.outliers == "own_tails":
            chosen = jax.random.permutation(
                jax.random.fold_in(key, 1), self.parts[client]
            )
            rows = np.asarray(chosen[:FITTED])
            features = features_of(self.module, params, self.images[rows])
            moments = Moments(features.shape[1]).add(features, self.labels[rows])
            return tail_features(moments.means, moments.covariance, s.pool, key, **tail)
        others = np.flatnonzero(~np.isin(self.labels, self.own[client]))
        rows = others[np.asarray(jax.random.randint(key, (s.pool,), 0, len(others)))]
        return features_of(self.module, params, self.images[rows])

    @cached_property
    def _batches(self) -> list[Stream]:
        kind = "image" if self.images.dtype == np.uint8 else "x"
        streams = []
        for client, (part, own) in enumerate(zip(self.parts, self.own, strict=True)):
            key = jax.random.fold_in(self._key(ORDER), client)
            seed = int(jax.random.bits(key, dtype=jnp.uint32))
            positions = np.searchsorted(own, self.labels[part]).astype(np.int32)
            columns = {kind: self.images[part], "label": positions}
            streams.append(Stream(columns, self.settings.batch_size, seed))
        return streams

    def _split(self, params: dict) -> tuple[dict, dict]:
        """Parameters that are averaged, and those that are not."""
        own = self.settings.private
        shared = {name: leaf for name, leaf in params.items() if name not in own}
        return shared, {name: leaf for name, leaf in params.items() if name in own}

    def _key(self, stream: int) -> jax.Array:
        return jax.random.fold_in(self.key, stream)

    def _of(self, client: int, number: int) -> jax.Array:
        return jax.random.fold_in(jax.random.fold_in(self._key(ROUND), number), client)


def _continued(
    optimizer: optax.GradientTransformation, params: dict, done: int
) -> TrainState:
    """The state of a client as a round begins: steps are counted on, no momentum."""
    state = fine_tuning_state(optimizer, {"params": params})

    def counted(leaf):
        counts = leaf.ndim == 0 and jnp.issubdtype(leaf.dtype, jnp.integer)
        return leaf + done if counts else leaf

    opt_state = jax.tree.map(counted, state.opt_state)
    return replace(state, step=state.step + done, opt_state=opt_state)


# compiled programs are those of all federations of a module


@lru_cache(maxsize=16)
def _initial(module: nn.Module):
    return jax.jit(module.init)


@lru_cache(maxsize=16)
def _client_step(module: nn.Module, recipe: Recipe, objective: VirtualOutliers | None):
    step = make_client_step(module, recipe.optimizer(), objective)
    return jax.jit(step, donate_argnums=0)


@lru_cache(maxsize=4)
def _generator_step(generator: FeatureGenerator, rate: float, decay: float):
    optimizer = Settings(generator_rate=rate, generator_decay=decay)
    step = make_generator_step(generator, optimizer.generator_optimizer())
    return jax.jit(step, donate_argnums=0)
