"""`reconstruct --config=FILE[:VARIANT] --workdir=DIR`: views to volumes, certified.

Trains flows level by level, with checkpoints in flows/ and adapted/, and keeps each
measurement in stages/: the same command goes on where it was interrupted.
"""

from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from experiments.core.data_identity import keep_data, of_sets
from experiments.core.keys import Kind
from experiments.core.reports import leave
from experiments.core.results import versions
from experiments.core.systems import opened, stage
from experiments.reconstruct.adaptation import (
    Reconstructing,
    mended,
    stream_pairs,
    watch,
)
from experiments.reconstruct.controls import LocalLinearGaussian, volume_gaussian
from experiments.reconstruct.measures import certificate, psnr
from experiments.reconstruct.page import document, figure, print_results
from experiments.reconstruct.pairs import (
    Images,
    Pairs,
    changed_pairs,
    load_images,
    pairs,
    seen,
)
from experiments.reconstruct.training import Trained, make_flow, train
from flowjax_ood.interface.errors import user_errors

# names of rows: page.py says what they are
BLOCKS = {"coupling": "couplings", "affine": "affine"}
LINEAR, GAUSSIAN = "local linear", "PCA Gaussian"
RESIDUAL, OPTICS = "residual", "known optics"
PICTURE = "reconstruct.png"


def run(args: Namespace, overrides: Sequence[str]) -> None:
    """Run `reconstruct`."""
    with opened(args, overrides, Kind.LIGHT_FIELD) as config:
        results, shown = main(config, args.workdir)
        leave(
            args.workdir,
            results,
            "reconstruct",
            PICTURE,
            lambda: figure(results, shown),
            document,
            print_results,
        )


def main(config: ConfigDict, workdir: Path) -> tuple[dict, dict]:
    """`(results, {set: (views, volume, reconstruction)})`; see the module."""
    images = load_images(config)
    training, *roles = images.roles.items()
    parts = {f"images of {role!r}": x for role, x in roles}
    keep_data(training[1], workdir, None, **parts, **of_sets(images.others))
    with user_errors("config.light_field"):
        data = _data(images, config)
        of_block = {b: make_flow(config, b, data.training.x.shape[1:]) for b in BLOCKS}
    flows = {}
    for block, flow in of_block.items():
        where, steps = workdir / "flows" / block, config.light_field.steps
        trained = train(flow, data.training, config, where, block, steps=steps)
        flows[block] = Trained(flow, trained)
    main_flow = flows["coupling"]
    linear = LocalLinearGaussian.fit(main_flow.flow, data.training)
    gaussian = volume_gaussian(data.training.x)
    made = {BLOCKS[b]: of for b, of in flows.items()} | {LINEAR: linear}

    rows = []
    for number, (name, of) in enumerate(made.items()):
        compute = partial(_row, name, of.score, of.reconstruct, data)
        rows.append(stage(workdir, f"row_{number}", compute))

    def left(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        views = seen(x, config, noise=0.0)
        return -((y - views) ** 2).mean(axis=(1, 2, 3), dtype=np.float64)

    scores = {
        RESIDUAL: lambda p: left(main_flow.reconstruct(p.y), p.y),
        OPTICS: lambda p: left(p.x, p.y),
        GAUSSIAN: lambda p: gaussian(p.x),
    }
    for name, score in scores.items():
        compute = partial(_row, name, score, None, data)
        rows.append(stage(workdir, f"row_{len(rows)}", compute))

    stream = stage(
        workdir,
        "stream",
        partial(_stream, flows, linear, images, data, config, workdir),
    )
    results = {
        "config": config.to_dict(),
        "in_distribution": images.test,
        "outliers": list(images.others),
        "sets": [name for name in data.sets if name != images.test],
        "volume_shape": list(data.training.x.shape[1:]),
        "mean_volume_psnr": psnr(data.training.x.mean(0)[None], data.test.x),
        "rows": rows,
        "stream": stream,
        "versions": versions(),
    }
    shown = {
        name: (p.y[0], p.x[0], main_flow.reconstruct(p.y[:1])[0])
        for name, p in data.sets.items()
    }
    return results, shown


class Data(NamedTuple):
    """Pairs to train and to calibrate by, and `{set: Pairs}` to score, tests first."""

    training: Pairs
    calibration: Pairs
    sets: dict[str, Pairs]

    @property
    def test(self) -> Pairs:
        """The in-distribution pairs."""
        return next(iter(self.sets.values()))


def _data(images: Images, config: ConfigDict) -> Data:
    c = config.light_field
    counts = {
        "train": c.train_volumes,
        "calibrate": c.calibrate_volumes,
        "test": c.test_volumes,
    }
    training, calibration, test = (
        pairs(images.roles[role], role, count, config) for role, count in counts.items()
    )
    sets = {images.test: test} | changed_pairs(images, test, config)
    return Data(training, calibration, sets)


def _row(name: str, score: Callable, reconstruct: Callable | None, data: Data) -> dict:
    """The certificate of a score, and PSNR of what it reconstructs of every set."""
    scored = {"calibration": data.calibration} | data.sets
    scores = {n: score(p) for n, p in scored.items()}
    test = next(iter(data.sets))
    row = certificate(name, scores, test) | {"mean_score": float(scores[test].mean())}
    if reconstruct is None:
        return row | {"psnr": None}
    return row | {
        "psnr": {n: psnr(reconstruct(p.y), p.x) for n, p in data.sets.items()}
    }


def _stream(
    flows: dict[str, Trained],
    linear: LocalLinearGaussian,
    images: Images,
    data: Data,
    config: ConfigDict,
    workdir: Path,
) -> dict:
    """What monitors ring of, and what the pairs gathered after an alarm mend."""
    main_flow, c = flows["coupling"], config.light_field
    stream = stream_pairs(images, config)
    watched = {}
    models: dict[str, Reconstructing] = {BLOCKS["coupling"]: main_flow, LINEAR: linear}
    for name, of in models.items():
        before, after = (of.score(stream[when]) for when in ("before", "after"))
        watched[name] = watch(of.score(data.calibration), before, after, config)
    tuned = {}
    for name, start in (("fine_tuned", main_flow.variables), ("anew", None)):
        variables = train(
            main_flow.flow,
            stream["adapt"],
            config,
            workdir / "adapted" / name,
            name.replace("_", "-"),
            steps=c.adapt_steps,
            start=start,
        )
        tuned[name] = Trained(main_flow.flow, variables)
    again = LocalLinearGaussian.fit(main_flow.flow, stream["adapt"])
    kinds: dict[str, tuple[Reconstructing, Reconstructing]] = {
        "not adapted": (main_flow, main_flow),
        f"fine-tuned, {c.adapt_steps} steps": (tuned["fine_tuned"], main_flow),
        f"anew, {c.adapt_steps} steps": (tuned["anew"], main_flow),
        f"{LINEAR}, not adapted": (linear, linear),
        f"{LINEAR}, anew": (again, linear),
    }
    rows = [
        {"name": name}
        | mended(of, unmended.score(data.calibration), stream, data.test, config)
        for name, (of, unmended) in kinds.items()
    ]
    return {"watched": watched, "adapted": rows}
