"""`detect --config=FILE[:VARIANT] --workdir=DIR`: detectors on a classifier's features.

Trains the networks of the config in `DIR/networks`, or restores them, fits every
detector on each, and writes scores/, results.json, table.md and figures. Run again, it
goes on: neither a network nor a score is computed twice. Of several processes, all
compute a part of every batch, and process 0 writes.
"""

import importlib.util
import itertools
from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from experiments.core import drawing
from experiments.core.config import load_config
from experiments.core.drawing import told_apart
from experiments.core.keys import kind
from experiments.core.options import refuse_overrides
from experiments.core.results import versions, write_json
from experiments.core.run_config import check_hosts
from experiments.core.sets import Sets, load_sets
from experiments.core.workdir import check_writable
from experiments.detect import (
    corruptions,
    detectors,
    exposure,
    networks,
    saved,
    scores,
    table,
)
from experiments.detect.flow_scores import flow_score_runs
from experiments.detect.flows import TERMS, flow_runs, trained_flows
from flowjax_ood import figures, ood
from flowjax_ood.evaluation.devices import on_all_devices
from flowjax_ood.interface.errors import UserError, user_errors
from flowjax_ood.ood.network import Network
from flowjax_ood.runtime.files import write_bytes
from flowjax_ood.runtime.processes import on_all, on_lead

PROTOCOLS = {
    detectors.REPOSITORY: "settings chosen by images of the tested OOD set",
    detectors.LEAK_FREE: "settings chosen by training images and outliers made of them",
    detectors.NONE: "no settings chosen",
}


def run(args: Namespace, overrides: Sequence[str]) -> None:
    """Run `detect`."""
    if args.outputs is None:
        if args.validation is not None:
            raise UserError(
                "--validation is of --outputs; of a config it is "
                "--config.detect.validation"
            )
        main(load_config(args.config, overrides), args.workdir)
        return
    refuse_overrides("detect --outputs", overrides)
    if args.distributed:
        raise UserError("--outputs is read by one process; leave --distributed out")
    validation = 1000 if args.validation is None else args.validation
    saved.main(args.outputs, args.workdir, validation)


def main(config: ConfigDict, workdir: Path) -> None:
    """Train or restore the networks, run all detectors, and write the results."""
    if not kind(config).classifies:
        raise UserError("this config trains a flow; use the command `train`")
    check_hosts(config)
    check_names(config)
    # a host without the data would keep the others waiting
    sets = on_all(lambda: load_sets(config))
    check(config, sets)
    flows = trained_flows(config, sets)
    tests = detectors.evaluated(sets, config)
    corrupted = corruptions.corrupted_sets(config, sets, tests)
    outliers = on_all(lambda: exposure.outliers(config, sets))
    check_writable("--workdir", workdir)
    trained = _networks(config, workdir, sets, outliers)
    every = tests | {corruptions.set_name(*pair): x for pair, x in corrupted.items()}
    with on_all_devices():
        runs = _runs(config, sets, workdir, trained, tests, every)
        layers = _layers(config, sets, trained[0].network, tests)
    runs |= flow_runs(flows, every, workdir / "scores")
    runs |= flow_score_runs(flows, config, sets, tests, workdir / "scores")

    def write() -> None:
        results = _results(config, sets, trained, tests, corrupted, runs)
        write_json(workdir / "results.json", results)
        text = table.markdown(results, sets.test.name, table.comparable(config))
        write_bytes(workdir / "table.md", text.encode())
        print(text)
        shown = list(told_apart(tests, sets.test.name, workdir))
        drawn = _figures(config, results, runs, shown, layers)
        pictures = [n for n, f in drawn.items() if drawing.draw(workdir / n, f)]
        print(f"wrote results.json, table.md, {', '.join(pictures)} in {workdir}")

    on_lead(write)


class Trained(NamedTuple):
    """A trained classifier and, with outlier exposure, `(fine-tuned copy, facts)`."""

    workdir: Path
    network: Network
    facts: dict
    exposed: tuple[Network, dict] | None


def _networks(
    config: ConfigDict, workdir: Path, sets: Sets, outliers: np.ndarray | None
) -> list[Trained]:
    """Train or restore all networks, before any detector."""
    trained, count = [], config.detect.networks
    for number in range(count):
        seeded = networks.seeded(config, number)
        own = networks.network_workdir(workdir, seeded)
        label = f"network {number + 1} of {count}"
        module, variables, facts = networks.train_classifier(seeded, own, sets, label)
        network, exposed = networks.network_on_all_devices(module, variables), None
        if outliers is not None:
            label += ", exposed to outliers"
            exposed = exposure.exposed_network(
                seeded, sets, own, network, outliers, label
            )
        trained.append(Trained(own, network, facts, exposed))
    return trained


def _runs(
    config, sets: Sets, workdir: Path, trained: list[Trained], tests: dict, every: dict
) -> dict[tuple[str, str], list]:
    """`{(row, protocol): scores of each network}`."""
    runs: dict[tuple[str, str], list] = {}
    for number, (own, network, _, exposed) in enumerate(trained, 1):
        directory = workdir / "scores" / own.name
        label = f"detectors on network {number} of {len(trained)}"
        scored = scores.network_runs(config, sets, network, every, directory, label)
        if exposed:
            run = exposure.exposed_run(config, *exposed, tests, directory)
            scored[exposure.NAME, detectors.NONE] = [run]
        for row, found in scored.items():
            runs.setdefault(row, []).append(found)
    members = [network for _, network, *_ in trained]
    together = scores.ensemble_runs(config, members, tests, workdir / "scores")
    return runs | {row: [run] for row, run in together.items()}


def _results(config, sets: Sets, trained, tests: dict, corrupted: dict, runs) -> dict:
    """Gather the content of results.json."""
    rows = [
        table.row(name, protocol, scored, list(tests))
        for (name, protocol), scored in runs.items()
    ]
    results = {
        "data": sets.describe(),
        "evaluated": {name: len(x) for name, x in tests.items()},
        "protocols": PROTOCOLS,
        "validation": config.detect.validation,
        "fitted_on": len(detectors.fitted_rows(sets, config)),
        "networks": [network.facts for network in trained],
        "exposed": [network.exposed[1] for network in trained if network.exposed],
        "rows": table.ranked(rows),
        "versions": versions(),
    }
    if corrupted:
        results["severities"] = corruptions.severities(config)
        results["corrupted_images"] = len(next(iter(corrupted.values())))
        results["auroc_by_severity"] = corruptions.auroc_by_severity(
            runs, corrupted, sets.test.name
        )
    return results


def _figures(config, results: dict, runs, tested: list[str], layers: dict) -> dict:
    """`{file: what draws it}`, of the first network and the sets `tested`."""
    shown, id_name = {}, tested[0]
    for name, protocol in itertools.product(figures.detectors.SHOWN, PROTOCOLS):
        for run in runs.get((name, protocol), [[]])[0]:
            of = {n: s for n, s in run.scores.items() if n in tested}
            if len(of) < 2:  # of an OOD set that is not shown
                continue
            title = name
            if protocol != detectors.NONE:
                title += f" ({table.CHOSEN_BY[protocol]})"
            if protocol == detectors.REPOSITORY and len(tested) > 2:
                title += f", {list(of)[-1]}"
            shown[title] = of
    drawn = {}
    if shown:
        drawn["scores.png"] = partial(figures.score_histograms, shown, id_name=id_name)
    noise = config.detect.fssd_noise != "validation"
    layers = {k: {n: d for n, d in s.items() if n in tested} for k, s in layers.items()}
    drawn["fssd_layers.png"] = partial(
        figures.layer_analysis, layers, id_name=id_name, noise=noise
    )
    # of a flow, its likelihood alone
    terms = (TERMS["log_pz"], TERMS["logdet"])
    areas = results.get("auroc_by_severity", {})
    if areas := {name: area for name, area in areas.items() if name not in terms}:
        drawn["corruptions.png"] = partial(
            figures.plot_auroc_by_severity,
            areas,
            id_name=id_name,
            severities=results["severities"],
        )
    return drawn


def _layers(config, sets: Sets, network: Network, tests: dict) -> dict:
    """Measure `{layer: {set: FSSD's distance there}}`, unperturbed."""
    ood_name = next(iter(sets.ood))
    given = detectors.given(sets, config, detectors.LEAK_FREE, None, ood_name)
    fssd = ood.FSSD.repository(
        noise=config.detect.fssd_noise,
        ood_count=len(sets.ood[ood_name]),
        magnitudes=(0.0,),
    )
    size = config.eval.batch_size
    with user_errors("fssd_layers.png", ValueError, remedy=scores.REMEDY):
        fitted = fssd.layer_scores(network, given)
        distances = {n: fitted.table(x, (0.0,), size)[:, 0] for n, x in tests.items()}
    return {
        layer: {n: distance[:, k] for n, distance in distances.items()}
        for k, layer in enumerate(network.layers)
    }


def check(config: ConfigDict, sets: Sets) -> None:
    """Raise UserError for sets too small, or that no outliers can be made of."""
    size = config.detect.validation
    for tested in sets.scored.values():
        if len(tested) <= size:
            raise UserError(
                f"config.detect.validation takes {size} images of {tested.name}, which "
                f"has {len(tested)}: set it to less"
            )
    if len(sets.train) < size:
        raise UserError(
            f"config.detect.validation is {size}, and there are {len(sets.train)} "
            "training images to make outliers of: set it to less"
        )
    with user_errors(f"no outliers can be made of {sets.train.name}", ValueError):
        few = sets.inputs(sets.train, np.arange(min(16, size)))
        detectors.made_outliers(sets, few, config.seed)


def check_names(config: ConfigDict) -> None:
    """Raise UserError for detectors that a config has not, or are not installed."""
    c = config.detect
    listed = [*detectors.plain(config, ("a layer",), 1), *detectors.chosen(config, 1)]
    known = [d.name for d in listed]
    known += [scores.ENSEMBLE, scores.COHERENCE] if c.networks > 1 else []
    known += [exposure.NAME] if config.exposure.source else []
    unknown = [n for n in c.detectors if n not in known]
    if unknown:
        raise UserError(
            f"config.detect.detectors: there is no {', '.join(map(repr, unknown))} in "
            f"this config; known: {'; '.join(sorted(set(known)))}"
        )
    needing = {
        d.name: None
        for d in listed
        if d.requires.sklearn and detectors.wanted(config, d.name)
    }
    if needing and importlib.util.find_spec("sklearn") is None:
        raise UserError(
            f"{', '.join(needing)} need scikit-learn: "
            'pip install "flowjax_ood[detect]", or name other config.detect.detectors'
        )
