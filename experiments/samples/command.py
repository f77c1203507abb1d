"""`samples --workdir DIR [DIR ...] --out=DIR`: compare fidelity with OOD detection.

One figure for several runs, from the same noise: what their samples look like at
several temperatures, their bits/dim, and what they make of OOD data.
"""

from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.core import build, drawing
from experiments.core.evaluation import TrainedFlow
from experiments.core.kept_results import evaluate_again, read_results
from experiments.core.results import versions, write_json
from experiments.core.several_runs import check_alike, run_names
from experiments.core.workdir import check_writable
from experiments.samples.outputs import picture, print_table
from flowjax_ood.analysis.fidelity import RealImages
from flowjax_ood.analysis.latents import latents_at_pixels
from flowjax_ood.data.dequantize import quantize
from flowjax_ood.interface.errors import UserError, user_errors, writing

# samples a temperature that numbers are of; drawn by BATCH, whatever is shown
MEASURED, BATCH = 256, 64
# of results.json, repeated in samples.json
KEYS = ("in_distribution", "steps", "params", "bits_per_dim", "auroc", "auroc_ci95")
NOT_FINITE = 0.5  # grey, in place of a sample that is not finite


class Drawing(NamedTuple):
    """A trained flow with its results.json, ready to draw from.

    `images` is `f(variables, z, temperature) -> images` of the latents z times the
    temperature, compiled once for all temperatures.
    """

    trained: TrainedFlow
    results: dict
    images: Callable


def run(args: Namespace, overrides: Sequence[str]) -> None:
    """Leave samples.png and samples.json of the runs in `args.workdir`.

    Raises UserError, before anything is drawn, for runs that were not evaluated as they
    are now, that are not of images, or that are of different images.
    """
    runs: list[Drawing] = []
    for workdir, name in run_names(args.workdir).items():
        runs.append(load(workdir, overrides, name))
        check_alike(runs[0].trained, runs[-1].trained)
    check_writable("--out", args.out)
    sets = runs[0].trained.sets
    noise = jax.random.normal(
        build.random_key(args.seed), (MEASURED, *sets.event_shape)
    )
    shown: dict[str, dict[float, np.ndarray]] = {}
    content = {}
    for sampled in runs:
        name, held_out = sampled.trained.label, sampled.trained.sets.test
        with user_errors(f"{held_out.name}:{held_out.split}", ValueError):
            real = RealImages(held_out.events, bins=sets.bins)
        shown[name], measured = {}, {}
        for temperature in args.temperatures:
            images, finite = draw(sampled, noise, temperature)
            shown[name][temperature] = sets.pictures(images[: args.count])
            measured[f"{temperature:g}"] = measure(real, images[finite], finite)
        content[name] = {
            "held_out": held_out.describe(),
            **{key: sampled.results[key] for key in KEYS},
            "temperatures": measured,
        }
    summary = {"samples": MEASURED, "seed": args.seed, "runs": content}
    with writing("--out", args.out):
        write_json(args.out / "samples.json", summary | {"versions": versions()})
    drawing.draw(
        args.out / "samples.png",
        lambda: picture(shown, content, sets, MEASURED),
    )
    print_table(content)
    print(f"samples.png and samples.json are in {args.out}")


def load(workdir: Path, overrides: Sequence[str], name: str) -> Drawing:
    """Restore the run of `workdir`, which has to be evaluated as it is now."""
    trained = TrainedFlow.restore(workdir, overrides, name)
    if len(trained.sets.event_shape) != 3:
        raise UserError(f"{workdir} holds a flow of vectors; samples are of images")
    trained.refuse_classes(
        "here all flows are given the same noise, which is no latent of a class; "
        "samples.png of the workdir shows samples of its classes"
    )
    with user_errors(f"{workdir}: samples start from noise at pixels", ValueError):
        latents_at_pixels(trained.flow, jnp.zeros((1, *trained.sets.event_shape)))
    file = workdir / "results.json"
    results = read_results(workdir)
    if results["steps"] != trained.step:
        raise UserError(
            f"{file} is of step {results['steps']}, the newest checkpoint of step "
            f"{trained.step}; {evaluate_again(workdir)}"
        )
    if results["in_distribution"] != trained.sets.test.name:
        raise UserError(
            f"{file} is of {results['in_distribution']}, not of "
            f"{trained.sets.test.name}; {evaluate_again(workdir)}"
        )

    @jax.jit
    def images(variables, z, temperature):
        z = jax.tree.map(lambda part: temperature * part, z)
        with jax.default_matmul_precision("highest"):
            drawn: Any = trained.flow.apply(variables, z, method="from_latents")
            return trained.cleaned(variables, drawn)

    return Drawing(trained, results, images)


def draw(sampled: Drawing, noise, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw `(samples as stored [N, H, W, C], which of them are finite [N])`."""
    flow, variables = sampled.trained.flow, sampled.trained.variables
    parts = []
    for start in range(0, len(noise), BATCH):
        z = latents_at_pixels(flow, noise[start : start + BATCH])
        parts.append(np.asarray(sampled.images(variables, z, temperature)))
    x = np.concatenate(parts)
    finite = np.isfinite(x).all(axis=(1, 2, 3))
    x[~finite] = NOT_FINITE
    return np.asarray(quantize(x, sampled.trained.sets.bins)), finite


def measure(real: RealImages, samples: np.ndarray, finite: np.ndarray) -> dict:
    """Fidelity of the finite samples, and how many are not; None where too few are."""
    fidelity = dict.fromkeys(("distance", "roughness", "spread"))
    if len(samples) > 1:
        fidelity = real.fidelity(samples)._asdict()
    return fidelity | {"non_finite": int((~finite).sum())}
