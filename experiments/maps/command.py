"""`maps --workdir DIR [DIR ...] --out=DIR`: log p(x) pixel by pixel, flow by flow."""

from argparse import Namespace
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.core import drawing
from experiments.core.evaluation import TrainedFlow
from experiments.core.flow_passes import scored_flow
from experiments.core.results import finite, versions, write_json
from experiments.core.sets import check_images
from experiments.core.several_runs import check_alike, run_names
from experiments.core.workdir import check_writable
from experiments.maps.outputs import picture, print_table
from flowjax_ood.distributions import bits_per_dim
from flowjax_ood.interface.errors import UserError, user_errors, writing
from flowjax_ood.ood.flows.likelihood_map import event_maps
from flowjax_ood.runtime.progress import progress

NATS = float(np.log(2))  # of a bit


class Maps(NamedTuple):
    """What a flow makes of the pixels of a set, in bits; channels are summed.

    Maps are differences to the median test image, pixel by pixel; positive is likelier.
    `typical` `[H, W]` is that of the set's median, `shown` `[images, H, W]` those of
    the images shown. `bits_per_dim` and `median_bits_per_dim` are of images shown, and
    the median of the set.
    """

    typical: np.ndarray
    shown: np.ndarray
    bits_per_dim: np.ndarray
    median_bits_per_dim: float


def run(args: Namespace, overrides: Sequence[str]) -> None:
    """Leave maps.png and maps.json of the runs in `args.workdir`.

    Raises UserError for runs that are not of images, or of different ones, that lack
    the images to show, and whose flows have no likelihood maps.
    """
    runs: list[TrainedFlow] = []
    for workdir, name in run_names(args.workdir).items():
        trained = TrainedFlow.restore(workdir, overrides, name)
        if len(trained.sets.event_shape) != 3:
            raise UserError(f"{workdir} holds a flow of vectors; maps are of images")
        runs.append(trained)
        check_alike(runs[0], trained)
    sets = runs[0].sets
    check_images(sets, args.images)
    check_writable("--out", args.out)
    found = {trained.label: _of_run(trained, args) for trained in runs}
    dims = int(np.prod(sets.event_shape))
    content = {
        "in_distribution": sets.test.name,
        "images": {n: min(args.count, len(x)) for n, x in sets.scored.items()},
        "shown": list(args.images),
        "runs": {name: _described(of_run, dims) for name, of_run in found.items()},
        "versions": versions(),
    }
    with writing("--out", args.out):
        write_json(args.out / "maps.json", content)
    where = args.out / "maps.png"
    drawing.draw(where, lambda: picture(found, sets, args.images, args.count, where))
    print_table(content)
    print(f"maps.png and maps.json are in {args.out}")


def _of_run(trained: TrainedFlow, args: Namespace) -> dict[str, Maps]:
    """Maps of every set by one flow, the in-distribution set first."""
    flow, found = scored_flow(trained), {}
    size = trained.config.eval.batch_size
    usual = None
    with progress(trained.label, len(trained.sets.scored), "sets") as shown:
        for number, (name, image_set) in enumerate(trained.sets.scored.items(), 1):
            count = min(args.count, len(image_set))
            # the first ones, and those shown that are not among them
            rows = np.union1d(np.arange(count), args.images)
            with user_errors(f"{trained.workdir}: no likelihood map", ValueError):
                maps = event_maps(flow, image_set.events[rows], size)
            many, few = maps[:count], maps[np.searchsorted(rows, args.images)]
            median = np.median(many.sum(-1), 0)
            # the test set is the first
            usual = median if usual is None else usual
            found[name] = Maps(
                (median - usual) / NATS,
                (few.sum(-1) - usual) / NATS,
                _bits(few, flow.bins),
                float(np.median(_bits(many, flow.bins))),
            )
            shown.advance(number, set=name)
    return found


def _bits(maps: np.ndarray, bins: int) -> np.ndarray:
    """bits/dim of images, by the sums of their maps."""
    flat = maps.reshape(len(maps), -1)
    return np.asarray(bits_per_dim(flat.sum(1), flat.shape[1], bins))


def _described(of_run: dict[str, Maps], dims: int) -> dict:
    return {
        name: {
            "median_bits_per_dim": finite(maps.median_bits_per_dim),
            # of the typical map, where it is likelier than usual, and where less
            "gained_bits_per_dim": finite(maps.typical.clip(min=0).sum() / dims),
            "lost_bits_per_dim": finite((-maps.typical).clip(min=0).sum() / dims),
            "median_difference_bits": [
                [finite(v) for v in row] for row in maps.typical.round(4)
            ],
            "bits_per_dim_of_shown": [finite(b) for b in maps.bits_per_dim],
        }
        for name, maps in of_run.items()
    }
