"""The trained flow and the images that `inspect` looks at."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from experiments.core import build
from experiments.core.evaluation import TrainedFlow
from experiments.inspect import InspectOptions
from flowjax_ood.analysis.latents import latent_images
from flowjax_ood.data.batching import padded_batches
from flowjax_ood.data.dequantize import dequantize, example_keys
from flowjax_ood.data.sets import StoredSet
from flowjax_ood.distributions import Flow
from flowjax_ood.runtime.progress import progress

BATCH = 50  # images at a time: a deep flow's couplings are all kept for them


class Mode(NamedTuple):
    """A choice of batch norm's statistics.

    `batch`: from the batch itself; else they are those in `variables`. `latents`: from
    dequantised images, in image layout, compiled.
    """

    variables: dict
    batch: bool
    latents: Callable[[jax.Array], jax.Array]


class Subject(NamedTuple):
    """The inspected flow and its images.

    `flow` has batch norm over whole batches where `trained.flow` has it over groups.
    `modes`: the first is that of reported likelihoods; a flow without batch norm has no
    other. `sets`: `{name: images}` that numbers are taken over, the ID set first.
    """

    trained: TrainedFlow
    flow: Flow
    modes: dict[str, Mode]
    sets: dict[str, StoredSet]

    @property
    def whole(self) -> dict[str, StoredSet]:
        """The sets with all their images."""
        return self.trained.sets.scored

    @property
    def id_name(self) -> str:
        return self.trained.sets.test.name

    @property
    def label(self) -> str:
        return self.trained.label

    @property
    def group(self) -> int:
        """Images that share batch statistics in training, or the smallest set."""
        c = self.trained.config
        group = c.model.get("norm_group") or c.train.batch_size
        return min(group, *map(len, self.sets.values()))

    def draw(self, name: str, at: np.ndarray, draw: int = 0) -> jax.Array:
        """The images at positions `at [B]` of a set, dequantised.

        Reported likelihoods are of draw 0.
        """
        key = build.random_key(self.trained.config.eval.seed)
        key = key if draw == 0 else jax.random.fold_in(key, draw)
        images, bins = self.whole[name].events[at], self.trained.sets.bins
        return dequantize(images, example_keys(key, at), bins)

    def batches(
        self, name: str, size: int, what: str, full: bool = False
    ) -> Iterator[tuple]:
        """`(x [size, ...], mask)` over a set; `full` leaves out a last, smaller one."""
        count = len(self.sets[name])
        label = f"{self.label}: {what} of {name}"
        with progress(label, count, "images") as shown:
            for n, (at, mask) in enumerate(padded_batches(count, size), start=1):
                shown.advance(min(size * n, count))
                if mask.all() or not full:
                    yield self.draw(name, at), mask


def subject(trained: TrainedFlow, options: InspectOptions) -> Subject:
    """Prepare what is inspected; batch-norm statistics, if any, are recomputed."""
    if trained.config.data.get("condition") == "couplings":
        trained.refuse_classes(
            "its couplings are given the class (config.data.condition): an image has "
            "other latents for each; inspect one whose base alone is given it"
        )
    flow, variables = trained.flow, trained.variables
    named = {"evaluation": (variables, False)}
    if trained.batch_norm:
        named = {
            "recomputed": (variables, False),
            "running": (trained.running, False),
            "batch": (trained.running, True),
        }
        # a batch here is one group, and may be of the smallest set
        config = trained.config.copy_and_resolve_references()
        if config.model.get("norm_group"):
            config.model.norm_group = 0
        flow = build.flow(config, flow.event_shape)
    modes = {}
    for name, (variables, batch) in named.items():
        latents = partial(latent_images(flow, batch_statistics=batch), variables)
        modes[name] = Mode(variables, batch, latents)
    first = {
        name: images.take(min(options.count, len(images)))
        for name, images in trained.sets.scored.items()
    }
    return Subject(trained, flow, modes, first)
