"""The trained flow and the images that `inspect` looks at."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments.core import build, evaluation
from experiments.core.sets import Sets
from experiments.inspect import InspectOptions
from flowjax_ood.analysis.latents import latent_images
from flowjax_ood.data.batching import padded_batches
from flowjax_ood.data.dequantize import dequantize, example_keys
from flowjax_ood.data.sets import ImageSet
from flowjax_ood.distributions import Flow
from flowjax_ood.runtime.progress import progress
from flowjax_ood.training.loop import Run

BATCH = 50  # images at a time: a deep flow's couplings are all kept for them


class Mode(NamedTuple):
    """Where batch norm's statistics come from.

    `batch`: from the batch itself; else they are those in `variables`. `latents`: from
    dequantised images, in image layout, compiled.
    """

    variables: dict
    batch: bool
    latents: Callable[[jax.Array], jax.Array]


class Subject(NamedTuple):
    """What is inspected.

    `modes`: the first one is that of reported likelihoods; a flow without batch norm
    has no other. `sets`: `{name: images}` that numbers are taken over, the ID set
    first; `whole`: those sets with all their images; `key`: of dequantisation.
    """

    config: ConfigDict
    flow: Flow
    modes: dict[str, Mode]
    id_name: str
    sets: dict[str, ImageSet]
    whole: dict[str, ImageSet]
    key: jax.Array
    label: str

    @property
    def variables(self) -> dict:
        return next(iter(self.modes.values())).variables

    @property
    def group(self) -> int:
        """Images that share batch statistics in training, or the smallest set."""
        trained = self.config.model.get("norm_group") or self.config.train.batch_size
        return min(trained, *map(len, self.sets.values()))

    def draw(self, name: str, at: np.ndarray, draw: int = 0) -> jax.Array:
        """The images at positions `at [B]` of a set, dequantised.

        Draw 0 is the one that reported likelihoods are of.
        """
        key = self.key if draw == 0 else jax.random.fold_in(self.key, draw)
        return dequantize(self.whole[name].images[at], example_keys(key, at))

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


def subject(
    config: ConfigDict, sets: Sets, run: Run, options: InspectOptions, label: str
) -> Subject:
    """Everything that is inspected; batch-norm statistics, if any, are recomputed."""
    flow = build.flow(config, sets.test.images.shape[1:])
    variables = run.state.variables()
    named = {"evaluation": (variables, False)}
    if variables.get("batch_stats"):
        precise = evaluation.precise_variables(config, flow, variables, sets, label)
        named = {
            "recomputed": (precise, False),
            "running": (variables, False),
            "batch": (variables, True),
        }
        # a batch here is one group, and may be of the smallest set
        flow = build.flow(_ungrouped(config), flow.event_shape)
    modes = {name: _mode(flow, *how) for name, how in named.items()}
    whole = {sets.test.name: sets.test, **sets.ood}
    first = {n: s.take(min(options.count, len(s))) for n, s in whole.items()}
    key = build.random_key(config.eval.seed)
    return Subject(config, flow, modes, sets.test.name, first, whole, key, label)


def _ungrouped(config: ConfigDict) -> ConfigDict:
    if not config.model.get("norm_group"):
        return config
    config = config.copy_and_resolve_references()
    config.model.norm_group = 0
    return config


def _mode(flow: Flow, variables: dict, batch: bool) -> Mode:
    compiled = latent_images(flow, batch_statistics=batch)
    return Mode(variables, batch, lambda x: compiled(variables, x))
