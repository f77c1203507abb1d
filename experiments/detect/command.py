"""`detect --config=FILE[:VARIANT] --workdir=DIR`: detectors on a classifier's features.

Trains the networks of the config in `DIR/networks`, or restores them, fits every
detector on each, and writes scores/, results.json, table.md and figures. Run again, it
goes on: neither a network nor a score is computed twice. Of several processes, all
compute a part of every batch, and process 0 writes.
"""

import importlib.util
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from experiments.core.config import load_config
from experiments.core.errors import UserError, user_errors
from experiments.core.keys import kind
from experiments.core.results import versions, write_json
from experiments.core.run_config import check_hosts
from experiments.core.sets import Sets, load_sets
from experiments.detect import corruptions, detectors, exposure, scores
from experiments.detect import networks as classifier
from experiments.detect import scores as detect_rows
from experiments.detect import table as detect_table
from experiments.detect.flows import TERMS, flow_runs, trained_flows
from experiments.detect.networks import network_on_all_devices, on_all_devices
from experiments.detect.table import comparable
from flowjax_ood import figures, ood
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
    main(load_config(args.config, overrides), args.workdir)


def main(config: ConfigDict, workdir: Path) -> None:
    """Train or restore, detect, and write what was found."""
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
    told = on_all(lambda: exposure.outliers(config, sets))
    on_lead(lambda: workdir.mkdir(parents=True, exist_ok=True))
    trained = _networks(config, workdir, sets, told)
    every = tests | {corruptions.set_name(*pair): x for pair, x in corrupted.items()}
    with on_all_devices():
        runs = _runs(config, sets, workdir, trained, tests, every)
        layers = _layers(config, sets, trained[0].network, tests)
    runs |= flow_runs(flows, every, workdir / "scores")

    def leave():
        results = _results(config, sets, trained, tests, corrupted, runs)
        _leave(config, sets, workdir, results, runs, tests, layers)

    on_lead(leave)


def _results(config, sets: Sets, trained, tests: dict, corrupted: dict, runs) -> dict:
    """What results.json holds."""
    rows = [detect_table.row(*pair, of, list(tests)) for pair, of in runs.items()]
    described = {"train": sets.train, "test": sets.test, **sets.ood}
    results = {
        "data": {name: one.describe() for name, one in described.items()},
        "evaluated": {name: len(x) for name, x in tests.items()},
        "protocols": PROTOCOLS,
        "validation": config.detect.validation,
        "fitted_on": len(detectors.fitted_rows(sets, config)),
        "networks": [one.facts for one in trained],
        "exposed": [one.exposed[1] for one in trained if one.exposed],
        "rows": detect_table.ranked(rows),
        "versions": versions(),
    }
    if corrupted:
        results["severities"] = corruptions.severities(config)
        results["corrupted_images"] = len(next(iter(corrupted.values())))
        results["auroc_by_severity"] = corruptions.auroc_by_severity(
            runs, corrupted, sets.test.name
        )
    return results


def _leave(config, sets: Sets, workdir: Path, results, runs, tests, layers) -> None:
    """Write the results, and tell of them."""
    write_json(workdir / "results.json", results)
    text = detect_table.markdown(results, sets.test.name, comparable(config))
    write_bytes(workdir / "table.md", text.encode())
    print(text)
    names = _draw(config, sets, workdir, results, runs, tests, layers)
    print(f"wrote results.json, table.md, {', '.join(names)} in {workdir}")


class Trained(NamedTuple):
    """A network of the config, and, told of outliers, what it became."""

    place: Path
    network: Network
    facts: dict
    exposed: tuple[Network, dict] | None


def _networks(config: ConfigDict, workdir: Path, sets: Sets, told) -> list[Trained]:
    """All networks, trained or restored, before any detector."""
    found, count = [], config.detect.networks
    for number in range(count):
        one = classifier.seeded(config, number)
        place = classifier.network_workdir(workdir, one)
        label = f"network {number + 1} of {count}"
        module, variables, facts = classifier.train_classifier(one, place, sets, label)
        network = network_on_all_devices(module, variables)
        exposed = None
        if told is not None:
            exposed = exposure.exposed_network(
                one, sets, place, network, told, f"{label}, told of outliers"
            )
        found.append(Trained(place, network, facts, exposed))
    return found


def _runs(
    config, sets: Sets, workdir: Path, trained: list[Trained], tests: dict, every: dict
) -> dict[tuple[str, str], list]:
    """`{(row, protocol): scores of each network}`."""
    runs: dict[tuple[str, str], list] = {}
    for number, one in enumerate(trained, 1):
        label = f"detectors on network {number} of {len(trained)}"
        room = workdir / "scores" / one.place.name
        found = detect_rows.network_runs(config, sets, one.network, every, room, label)
        if one.exposed:
            run = exposure.exposed_run(config, *one.exposed, tests, room)
            found[exposure.NAME, detectors.NONE] = [run]
        for pair, of in found.items():
            runs.setdefault(pair, []).append(of)
    networks = [one.network for one in trained]
    together = detect_rows.ensemble_runs(config, networks, tests, workdir / "scores")
    return runs | {pair: [of] for pair, of in together.items()}


def _draw(config, sets, workdir, results, runs, tests, layers) -> list[str]:
    """Write the figures of the first network; their names."""
    names = []

    def save(name, figure):
        figures.save(figure, workdir / name)
        names.append(name)

    shown = {}
    for name in figures.detectors.SHOWN:
        for protocol in PROTOCOLS:
            for one in runs.get((name, protocol), [[]])[0]:
                scores = {n: s for n, s in one.scores.items() if n in tests}
                title = name
                if protocol != detectors.NONE:
                    title += f" ({detect_table.CHOSEN_BY[protocol]})"
                if protocol == detectors.REPOSITORY and len(tests) > 2:
                    title += f", {list(scores)[-1]}"
                shown[title] = scores
    if shown:
        figure = figures.score_histograms(shown, id_name=sets.test.name)
        save("scores.png", figure)
    figure = figures.layer_analysis(
        layers, id_name=sets.test.name, noise=config.detect.fssd_noise != "validation"
    )
    save("fssd_layers.png", figure)
    by_severity = results.get("auroc_by_severity", {})
    # of a flow, its likelihood alone
    for term in ("log_pz", "logdet"):
        by_severity = {n: v for n, v in by_severity.items() if n != TERMS[term]}
    if by_severity:
        figure = figures.plot_auroc_by_severity(
            by_severity,
            id_name=sets.test.name,
            severities=results["severities"],
        )
        save("corruptions.png", figure)
    return names


def _layers(config, sets: Sets, network: Network, tests: dict) -> dict:
    """`{layer: {set: FSSD's distance there}}`, unperturbed."""
    ood_name = next(iter(sets.ood))
    given = detectors.given(sets, config, detectors.LEAK_FREE, None, ood_name)
    fssd = ood.FSSD.repository(
        noise=config.detect.fssd_noise,
        ood_count=len(sets.ood[ood_name]),
        magnitudes=(0.0,),
    )
    scores = fssd.layer_scores(network, given)
    found = {
        n: scores.table(x, (0.0,), config.eval.batch_size)[:, 0]
        for n, x in tests.items()
    }
    return {
        layer: {n: table[:, k] for n, table in found.items()}
        for k, layer in enumerate(network.layers)
    }


def check(config: ConfigDict, sets: Sets) -> None:
    """Raise UserError for sets too small, or that no outliers can be made of."""
    size = config.detect.validation
    for one in (sets.test, *sets.ood.values()):
        if len(one) <= size:
            raise UserError(
                f"config.detect.validation takes {size} images of {one.name}, which has"
                f" {len(one)}: set it to less"
            )
    if len(sets.train) < size:
        raise UserError(
            f"config.detect.validation is {size}, and there are {len(sets.train)} "
            "training images to make outliers of: set it to less"
        )
    with user_errors(f"no outliers can be made of {sets.train.name}", ValueError):
        detectors.made_outliers(
            sets, sets.inputs(sets.train, np.arange(min(16, size))), config.seed
        )


def check_names(config: ConfigDict) -> None:
    """Raise UserError for detectors that a config has not, or are not installed."""
    c = config.detect
    chosen = [d.name for d in detectors.chosen(config, 1)]
    known = [d.name for d in detectors.plain(config, ("a layer",), 1)] + chosen
    known += [scores.ENSEMBLE] if c.networks > 1 else []
    known += [exposure.NAME] if config.exposure.source else []
    unknown = [n for n in c.detectors if n not in known]
    if unknown:
        raise UserError(
            f"config.detect.detectors: there is no {', '.join(map(repr, unknown))} in "
            f"this config; known: {'; '.join(sorted(set(known)))}"
        )
    logistic = not c.detectors or set(chosen) & set(c.detectors)
    if logistic and importlib.util.find_spec("sklearn") is None:
        raise UserError(
            "weights by logistic regression need scikit-learn: "
            'pip install "flowjax_ood[detect]", or name other config.detect.detectors'
        )
