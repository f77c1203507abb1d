"""`samples --workdir DIR [DIR ...] --out=DIR`: compare fidelity with OOD detection.

One figure for several runs, from the same noise: what their samples look like at
several temperatures, their bits/dim, and what they make of OOD data.
"""

import json
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from experiments.core import build, text
from experiments.core.errors import UserError, user_errors, writing
from experiments.core.evaluation import TrainedFlow
from experiments.core.results import versions, write_json
from experiments.core.sets import Sets
from experiments.samples import SampleOptions
from experiments.samples.outputs import picture, print_table
from flowjax_ood import figures
from flowjax_ood.analysis.fidelity import RealImages
from flowjax_ood.analysis.latents import latents_at_pixels
from flowjax_ood.data.dequantize import quantize
from flowjax_ood.distributions import Flow

# samples a temperature that numbers are of; drawn by BATCH, whatever is shown
MEASURED, BATCH = 256, 64
NOT_FINITE = 128  # grey, in place of a sample that is not finite


class Drawing(NamedTuple):
    """A trained flow with its results.json, ready to draw from.

    `images` is `f(variables, z, temperature) -> images`, compiled.
    """

    trained: TrainedFlow
    results: dict
    images: Callable


def run(args: Namespace, overrides: Sequence[str]) -> None:
    """Run `samples`."""
    main(SampleOptions.of(args), overrides)


def main(options: SampleOptions, overrides: Sequence[str] = ()) -> None:
    """Leave samples.png and samples.json of the runs in `options.workdirs`.

    Raises UserError, before anything is drawn, for runs that were not evaluated as they
    are now, that are not of images, or that are of different images.
    """
    runs: dict[str, Drawing] = {}
    for workdir, name in run_names(options.workdirs).items():
        runs[name] = load(workdir, overrides, name)
        check_alike(runs)
    sets = next(iter(runs.values())).trained.sets
    noise = jax.random.normal(
        build.random_key(options.seed), (MEASURED, *sets.event_shape)
    )
    drawn, content = {}, {}
    for name, drawing in runs.items():
        real = held_out(drawing.trained.sets)
        drawn[name], measured = {}, {}
        for temperature in options.temperatures:
            images, finite = draw(drawing, noise, temperature)
            drawn[name][temperature] = images
            measured[f"{temperature:g}"] = measure(real, images[finite], finite)
        content[name] = describe(drawing) | {"temperatures": measured}
    with writing("--out", options.out):
        options.out.mkdir(parents=True, exist_ok=True)
    shown = {
        name: {t: images[: options.count] for t, images in groups.items()}
        for name, groups in drawn.items()
    }
    figure = picture(shown, content, sets.test, MEASURED)
    figures.save(figure, options.out / "samples.png")
    summary = {"samples": MEASURED, "seed": options.seed, "runs": content}
    write_json(options.out / "samples.json", summary | {"versions": versions()})
    print_table(content)
    print(f"samples.png and samples.json are in {options.out}")


def run_names(workdirs: Sequence[Path]) -> dict[Path, str]:
    """Name each run by the part of its path by which it differs.

    Without what all paths end in: rows of an ablation have the same `seed_0`.
    """
    paths = [w.resolve() for w in workdirs]
    if len(set(paths)) < len(paths):
        raise UserError("--workdir names a run more than once")
    while len(paths) > 1 and len({path.name for path in paths}) == 1:
        paths = [path.parent for path in paths]
    names = text.run_names(paths)
    return {w: names[path] for w, path in zip(workdirs, paths)}


def load(workdir: Path, overrides: Sequence[str], name: str) -> Drawing:
    """Restore the run of `workdir`, which has to be evaluated as it is now."""
    trained = TrainedFlow.restore(workdir, overrides, name)
    if len(trained.sets.event_shape) != 3:
        raise UserError(f"{workdir} holds a flow of vectors; samples are of images")
    file = workdir / "results.json"
    results = json.loads(file.read_text()) if file.is_file() else {}
    if results.get("steps") != trained.step:
        there = f"of step {results['steps']}" if results else "missing"
        raise UserError(
            f"{file} is {there}, the newest checkpoint of step {trained.step}; "
            f"run `evaluate --workdir={workdir}` first"
        )
    return Drawing(trained, results, sampler(trained.flow))


def sampler(flow: Flow) -> Callable:
    """`f(variables, z, temperature) -> images` of the latents times the temperature.

    Compiled once for all temperatures.
    """

    @jax.jit
    def images(variables, z, temperature):
        z = jax.tree.map(lambda part: temperature * part, z)
        with jax.default_matmul_precision("highest"):
            return flow.apply(variables, z, method="from_latents")

    return images


def check_alike(runs: dict[str, Drawing]) -> None:
    """Raise UserError unless all runs model the same set, in the same size."""
    modelled = {
        name: {"images": sets.event_shape, "test set": sets.test.name}
        for name, sets in (
            (name, drawing.trained.sets) for name, drawing in runs.items()
        )
    }
    (first, expected), *others = modelled.items()
    for name, other in others:
        for what, here in expected.items():
            there = other[what]
            if here != there:
                raise UserError(
                    f"{first} and {name} cannot be compared: {what} {here} there, "
                    f"{there} here; give runs of the same images"
                )


def draw(drawing: Drawing, noise, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw `(uint8 samples [N, H, W, C], which of them are finite [N])`."""
    parts = []
    for start in range(0, len(noise), BATCH):
        z = latents_at_pixels(drawing.trained.flow, noise[start : start + BATCH])
        parts.append(
            np.asarray(drawing.images(drawing.trained.variables, z, temperature))
        )
    x = np.concatenate(parts)
    finite = np.isfinite(x).all(axis=(1, 2, 3))
    samples = np.full(x.shape, NOT_FINITE, np.uint8)
    samples[finite] = np.asarray(quantize(x[finite]))
    return samples, finite


def held_out(sets: Sets) -> RealImages:
    """Images to measure samples against; UserError where they cannot serve."""
    with user_errors(f"{sets.test.name}:{sets.test.split}", ValueError):
        return RealImages(sets.test.images)


def measure(real: RealImages, samples: np.ndarray, finite: np.ndarray) -> dict:
    """Fidelity of the finite samples, and how many are not; None where too few are."""
    fidelity = dict.fromkeys(("distance", "roughness", "spread"))
    if len(samples) > 1:
        fidelity = real.fidelity(samples)._asdict()
    return fidelity | {"non_finite": int((~finite).sum())}


def describe(drawing: Drawing) -> dict:
    """The held-out images, and what results.json says of the likelihoods."""
    keys = ("in_distribution", "steps", "params", "bits_per_dim", "auroc", "auroc_ci95")
    return {
        "held_out": drawing.trained.sets.test.describe(),
        **{key: drawing.results[key] for key in keys},
    }
