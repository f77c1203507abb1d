"""`samples --workdir DIR [DIR ...] --out=DIR`: fidelity beside OOD detection.

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
from ml_collections import ConfigDict

from experiments.core import build, evaluation
from experiments.core.errors import UserError, user_errors, writing
from experiments.core.results import versions, write_json
from experiments.core.sets import Sets, load_sets
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


class Subject(NamedTuple):
    """A trained run, ready to draw from."""

    flow: Flow
    variables: dict
    sets: Sets
    results: dict
    images: Callable


def run(args: Namespace, overrides: Sequence[str]) -> None:
    """Run `samples`."""
    options = SampleOptions.of(args)
    configs = {w: evaluation.read_run(w, overrides) for w in options.workdirs}
    main(configs, options)


def main(configs: dict[Path, ConfigDict], options: SampleOptions) -> None:
    """Leave samples.png and samples.json of the runs of `configs`, by workdir.

    Raises UserError, before anything is drawn, for runs that were not evaluated as they
    are now, that are not of images, or that are of different images.
    """
    subjects = {}
    for workdir, name in run_names(list(configs)).items():
        subjects[name] = load(configs[workdir], workdir, name)
        check_alike(subjects)
    shape = next(iter(subjects.values())).sets.event_shape
    noise = jax.random.normal(build.random_key(options.seed), (MEASURED, *shape))
    drawn, content = {}, {}
    for name, subject in subjects.items():
        real = held_out(subject.sets)
        drawn[name], measured = {}, {}
        for temperature in options.temperatures:
            images, finite = draw(subject, noise, temperature)
            drawn[name][temperature] = images
            measured[f"{temperature:g}"] = measure(real, images[finite], finite)
        content[name] = describe(subject) | {"temperatures": measured}
    with writing("--out", options.out):
        options.out.mkdir(parents=True, exist_ok=True)
    test = next(iter(subjects.values())).sets.test
    shown = {
        name: {t: images[: options.count] for t, images in groups.items()}
        for name, groups in drawn.items()
    }
    figure = picture(shown, content, test, MEASURED)
    figures.save(figure, options.out / "samples.png")
    found = {"samples": MEASURED, "seed": options.seed, "runs": content}
    write_json(options.out / "samples.json", found | {"versions": versions()})
    print_table(content)
    print(f"samples.png and samples.json are in {options.out}")


def run_names(workdirs: list[Path]) -> dict[Path, str]:
    """What each run is called: the part of its path by which it differs.

    Without what all paths end in: rows of an ablation have the same `seed_0`.
    """
    paths = [w.resolve().parts for w in workdirs]
    if len(set(paths)) < len(paths):
        raise UserError("--workdir names a run more than once")
    while len(paths) > 1 and len({parts[-1] for parts in paths}) == 1:
        paths = [parts[:-1] for parts in paths]
    names, length = [], 0
    while len(set(names)) < len(paths):
        length += 1
        names = ["/".join(parts[-length:]) for parts in paths]
    return dict(zip(workdirs, names))


def load(config: ConfigDict, workdir: Path, name: str) -> Subject:
    """The run of `workdir` as it was evaluated, with its held-out images."""
    sets = load_sets(config, workdir)
    if len(sets.event_shape) != 3:
        raise UserError(f"{workdir} holds a flow of vectors; samples are of images")
    run = evaluation.restore(config, workdir, sets)
    file = workdir / "results.json"
    results = json.loads(file.read_text()) if file.is_file() else {}
    if results.get("steps") != int(run.state.step):
        there = f"of step {results['steps']}" if results else "missing"
        raise UserError(
            f"{file} is {there}, the newest checkpoint of step {int(run.state.step)}; "
            f"run `evaluate --workdir={workdir}` first"
        )
    flow, variables = build.flow(config, sets.event_shape), run.state.variables()
    if variables.get("batch_stats"):
        # those that the likelihoods in results.json come from
        variables = evaluation.precise_variables(config, flow, variables, sets, name)
    return Subject(flow, variables, sets, results, sampler(flow))


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


def check_alike(subjects: dict[str, Subject]) -> None:
    """Raise UserError unless all runs model the same set, in the same size."""
    (first, one), *others = subjects.items()
    for name, other in others:
        for what in ("event_shape", "test set"):
            here, there = (
                s.sets.event_shape if what == "event_shape" else s.sets.test.name
                for s in (one, other)
            )
            if here != there:
                what = what.replace("event_shape", "images")
                raise UserError(
                    f"{first} and {name} cannot be compared: {what} {here} there, "
                    f"{there} here; give runs of the same images"
                )


def draw(subject: Subject, noise, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """`(uint8 samples [N, H, W, C], which of them are finite [N])` of the noise."""
    parts = []
    for start in range(0, len(noise), BATCH):
        z = latents_at_pixels(subject.flow, noise[start : start + BATCH])
        parts.append(np.asarray(subject.images(subject.variables, z, temperature)))
    x = np.concatenate(parts)
    finite = np.isfinite(x).all(axis=(1, 2, 3))
    samples = np.full(x.shape, NOT_FINITE, np.uint8)
    samples[finite] = np.asarray(quantize(x[finite]))
    return samples, finite


def held_out(sets: Sets) -> RealImages:
    """What samples are measured against; UserError where nothing can be by them."""
    with user_errors(f"{sets.test.name}:{sets.test.split}", ValueError):
        return RealImages(sets.test.images)


def measure(real: RealImages, samples: np.ndarray, finite: np.ndarray) -> dict:
    """Fidelity of the finite samples, and how many are not; None where too few are."""
    found = dict.fromkeys(("distance", "roughness", "spread"))
    if len(samples) > 1:
        found = real.fidelity(samples)._asdict()
    return found | {"non_finite": int((~finite).sum())}


def describe(subject: Subject) -> dict:
    """What results.json says of the likelihoods."""
    keys = ("in_distribution", "steps", "params", "bits_per_dim", "auroc", "auroc_ci95")
    return {
        "held_out": subject.sets.test.describe(),
        **{key: subject.results[key] for key in keys},
    }
