"""What is stolen: one network, members trained apart, and members that differ.

Every training has a directory of its own, where it is resumed; one that is done is
restored. What depends on what: members start apart; the plain ones are trained further
as before, the diverse ones with outliers, for as many images of the training set.
"""

from functools import cached_property
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from experiments.core.build import random_key
from experiments.core.classifier import classifier
from experiments.steal.images import Images
from flowjax_ood import defence
from flowjax_ood.data.random import bits, generator
from flowjax_ood.ood.network import Network
from flowjax_ood.runtime.parallel import Parallel
from flowjax_ood.runtime.processes import fetch
from flowjax_ood.training.batches import batches_with_outliers, labelled_batches
from flowjax_ood.training.classifier_objectives import (
    CrossEntropy,
    Diverse,
    OutlierExposure,
)
from flowjax_ood.training.loop import Plan, fit
from flowjax_ood.training.members import DiverseMembers
from flowjax_ood.training.state import create_state, fine_tuning_state
from flowjax_ood.training.step import make_train_step

# names of what is stolen
ONE, PLAIN, KEYED = "one network", "members, keyed", "diverse, keyed"
PERCEPTUAL, TOLD = "diverse, perceptual", "diverse, told of lower digits, keyed"
# members of what is stolen, as detectors name them
MEMBERS = {PLAIN: "members", KEYED: "diverse", TOLD: "diverse, told of lower digits"}
# of Outlier Exposure, as published
EXPOSURE_WEIGHT = 0.5


class Trained:
    """The networks of one seed, each trained when it is first asked for."""

    def __init__(self, config: ConfigDict, images: Images, workdir: Path, number: int):
        self.config, self.images, c = config, images, config.served
        self.seed = config.seed + number
        self.workdir = workdir / "networks" / f"seed_{self.seed}"
        self.label = f"seed {number + 1} of {c.seeds}"
        self.module = classifier(images.train, images.classes)
        self.members = DiverseMembers(self.module, c.members)

    def train(self) -> None:
        """Train all networks, or restore them."""
        for name in ("plain", "diverse", "told", "exposed", "hash_network"):
            getattr(self, name)

    def served(self, name: str) -> defence.Served:
        """What answers queries, by its name."""
        if name == PERCEPTUAL:
            route = defence.Perceptual(
                self.hash_network,
                trained_on=self.images.hashed,
                target_trained_on=self.images.train,
            )
            return defence.Served(self.diverse, route)
        networks = {ONE: "one", PLAIN: "plain", KEYED: "diverse", TOLD: "told"}[name]
        return defence.Served(getattr(self, networks), defence.Keyed(self.secret))

    @property
    def secret(self) -> bytes:
        """Of the route; drawn by the seed, as an experiment is to be repeated.

        In service, `secrets.token_bytes(32)`: who knows the seed knows this one.
        """
        return generator(self.seed, "secret of the route").bytes(32)

    @property
    def one(self) -> Network:
        """The first member that was trained without outliers."""
        return self.plain[0]

    @cached_property
    def plain(self) -> tuple[Network, ...]:
        """Members trained apart, without outliers."""
        variables = [
            self._alone(f"plain_{m}", m, self.config.served.joint_epochs, self.start[m])
            for m in range(self.config.served.members)
        ]
        return self.members.networks(self.members.join(variables))

    @cached_property
    def diverse(self) -> tuple[Network, ...]:
        """Members trained further to differ on outliers made of training images."""
        return self._further("diverse", self.images.made(self.seed))

    @cached_property
    def told(self) -> tuple[Network, ...]:
        """Members trained further to differ on the lower half of the queries."""
        x = self.images
        return self._further("told", x.queries[~x.upper(x.query_classes)])

    @cached_property
    def exposed(self) -> Network:
        """The first member, trained further by Outlier Exposure to those outliers."""
        objective = OutlierExposure(self.module, None, EXPOSURE_WEIGHT)
        variables = self._with_outliers(
            "exposed", objective, self.start[0], self.images.made(self.seed)
        )
        return Network.of(self.module, variables)

    @cached_property
    def hash_network(self) -> Network:
        """The network of another set that chooses members by how images look."""
        x, labels = self.images.hashed, self.images.hash_labels
        module = classifier(x, int(labels.max()) + 1)
        batches = labelled_batches(x, labels, self._size, self._draw("hash"))
        variables = self._fit(
            "hash",
            CrossEntropy(module),
            batches,
            self._steps(len(x), self.config.served.hash_epochs),
        )
        return Network.of(module, variables)

    @cached_property
    def start(self) -> tuple[dict, ...]:
        """Variables of members that were trained apart for the first epochs."""
        c = self.config.served
        return tuple(
            self._alone(f"start_{m}", m, c.epochs, None) for m in range(c.members)
        )

    def _alone(self, name: str, member: int, epochs: int, start: dict | None) -> dict:
        x = self.images
        batches = labelled_batches(x.train, x.labels, self._size, self._draw(name))
        steps = self._steps(len(x.train), epochs)
        return self._fit(name, CrossEntropy(self.module), batches, steps, start)

    def _further(self, name: str, outliers: np.ndarray) -> tuple[Network, ...]:
        c = self.config.served
        objective = Diverse(self.members, None, c.weight, c.agreement)
        start = self.members.join(self.start)
        variables = self._with_outliers(name, objective, start, outliers)
        return self.members.networks(variables)

    def _with_outliers(self, name: str, objective, start: dict, outliers) -> dict:
        x, size = self.images, self._size
        batches = batches_with_outliers(
            x.train, x.labels, outliers, size, size, self._draw(name)
        )
        steps = self._steps(len(x.train), self.config.served.joint_epochs)
        return self._fit(name, objective, batches, steps, start)

    def _fit(self, name: str, objective, batches, steps: int, start=None) -> dict:
        """Train, or resume, in a directory of this name; the variables."""
        optimizer = optax.adam(self.config.served.learning_rate)
        keys = jax.random.split(random_key(self._draw(f"keys of {name}")))

        def initial():
            if start is not None:
                return fine_tuning_state(optimizer, start)
            example = jnp.zeros((1, *self.images.train.shape[1:]), jnp.uint8)
            return create_state(objective.module, optimizer, keys[0], example)

        c = self.config.served
        run = fit(
            initial,
            make_train_step(objective, optimizer),
            batches,
            Plan(steps, log_every=25, checkpoint_every=c.checkpoint_every),
            key=keys[1],
            batch_size=c.batch_size,
            parallel=Parallel("jit"),
            workdir=self.workdir / name,
            label=f"{self.label}, {name.replace('_', ' ')}",
        )
        return fetch(run.state.variables())

    @property
    def _size(self) -> int:
        return self.config.served.batch_size

    def _steps(self, count: int, epochs: int) -> int:
        return -(-epochs * count // self._size)

    def _draw(self, name: str) -> int:
        """A seed of its own for each training."""
        return int(bits(1, self.seed, name)[0] >> np.uint64(33))
