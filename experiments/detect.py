"""`detect --config=FILE[:VARIANT] --workdir=DIR`: detectors on a classifier's features.

Trains the networks of the config in `DIR/networks`, or restores them, fits every
detector on each, and writes results.json, table.md and figures. Run again, it goes on.
"""

import time
from pathlib import Path

from ml_collections import ConfigDict

from experiments import classifier, detect_table, detectors
from experiments.config import UserError
from experiments.detect_flows import flow_rows
from experiments.results import versions, write_json
from experiments.sets import Sets, load_sets
from flowjax_ood import ood
from flowjax_ood.analysis import detector_figures, figures
from flowjax_ood.ood.detector import Fitted
from flowjax_ood.ood.network import Network
from flowjax_ood.training.progress import progress


def main(config: ConfigDict, workdir: Path) -> None:
    """Train or restore, detect, and write what was found."""
    if "detect" not in config:
        raise UserError("this config trains a flow; use the command `train`")
    sets = load_sets(config)
    check(config, sets)
    workdir.mkdir(parents=True, exist_ok=True)
    networks, facts = [], []
    for k in range(config.detect.networks):
        one = classifier.seeded(config, k)
        place = classifier.network_workdir(workdir, one)
        label = f"network {k + 1} of {config.detect.networks}"
        module, variables, fact = classifier.train_classifier(one, place, sets, label)
        networks.append(Network.of(module, variables))
        facts.append(fact)
    start = time.monotonic()
    tests = detectors.evaluated(sets, config)
    rows, shown = _rows(config, sets, networks, tests)
    rows += flow_rows(config, sets, tests)
    rows = detect_table.ranked(rows)
    results = {
        "data": {
            name: one.describe()
            for name, one in {
                "train": sets.train,
                "test": sets.test,
                **sets.ood,
            }.items()
        },
        "evaluated": {name: len(x) for name, x in tests.items()},
        "protocols": {
            detectors.REPOSITORY: "settings chosen by images of the tested OOD set",
            detectors.LEAK_FREE: "settings chosen by training images and outliers made "
            "of them",
            detectors.NONE: "no settings chosen",
        },
        "validation": config.detect.validation,
        "fitted_on": len(detectors.fitted_rows(sets, config)),
        "networks": facts,
        "rows": rows,
        "detect_seconds": time.monotonic() - start,
        "versions": versions(),
    }
    write_json(workdir / "results.json", results)
    text = detect_table.markdown(results, sets.test.name)
    (workdir / "table.md").write_text(text)
    print(text)
    histograms, layers = shown
    figure = detector_figures.score_histograms(histograms, id_name=sets.test.name)
    figures.save(figure, workdir / "scores.png")
    figure = detector_figures.layer_analysis(layers, id_name=sets.test.name)
    figures.save(figure, workdir / "fssd_layers.png")
    print(f"wrote results.json, table.md, scores.png, fssd_layers.png in {workdir}")


def check(config: ConfigDict, sets: Sets) -> None:
    """Raise UserError, before training, for what could not be detected after it."""
    size = config.detect.validation
    for one in (sets.test, *sets.ood.values()):
        if len(one) <= size:
            raise UserError(
                f"config.detect.validation takes {size} images of {one.name}, which has"
                f" {len(one)}: set it to less"
            )
    if len(sets.train) < 2 * size:
        raise UserError(
            f"config.detect.validation is {size}, and {len(sets.train)} training images"
            " are less than twice as many: set it to less"
        )
    known = {d.name for d in (*detectors.plain(), *detectors.chosen(1, "full"))}
    known |= {ood.DeepEnsemble().name}
    unknown = [n for n in config.detect.detectors if n not in known]
    if unknown:
        raise UserError(
            f"config.detect.detectors: unknown {', '.join(map(repr, unknown))}; known: "
            f"{'; '.join(sorted(known))}"
        )


def _wanted(config: ConfigDict, name: str) -> bool:
    names = config.detect.detectors
    return not names or name in names


def _rows(config, sets: Sets, networks: list[Network], tests: dict):
    """`(rows of the table, what the figures show of the first network)`."""
    id_name, batch = sets.test.name, config.eval.batch_size
    found: dict[tuple[str, str], list[dict]] = {}
    histograms, layers = {}, {}
    for number, network in enumerate(networks):
        train = detectors.train_outputs(network, sets, config)
        outputs = {name: network.collect(x, batch) for name, x in tests.items()}
        jobs = _jobs(config, sets, network, train)
        label = f"detectors on network {number + 1} of {len(networks)}"
        with progress(label, len(jobs), "detectors") as shown:
            for done, (detector, protocol, ood_name, given) in enumerate(jobs, 1):
                start = time.monotonic()
                fitted = detector.fit(network, given)
                fit_seconds = time.monotonic() - start
                names = [n for n in tests if ood_name in (None, n) or n == id_name]
                if fitted.of_outputs:
                    score, known = fitted.score_outputs, outputs
                else:
                    score, known = fitted.score, tests
                known = {n: known[n] for n in names}
                run, scores = _run(fitted, score, known, config, id_name)
                run["fit_seconds"] = fit_seconds
                found.setdefault((fitted.name, protocol), []).append(run)
                if number == 0 and fitted.name in detector_figures.SHOWN:
                    histograms.setdefault(f"{fitted.name} ({protocol})", scores)
                shown.advance(done)
        if number == 0:
            layers = _layers(config, sets, network, tests, train)
    if len(networks) > 1:
        for scoring in ("mean_max", "max_mean"):
            name = f"Deep Ensembles, {scoring.replace('_', ' ')}"
            if not _wanted(config, ood.DeepEnsemble().name):
                continue
            fitted = ood.DeepEnsemble(scoring=scoring, label=name).fit(networks)
            run, _ = _run(fitted, fitted.score, tests, config, id_name)
            found[name, detectors.NONE] = [run]
    rows = [detect_table.row(name, p, runs) for (name, p), runs in found.items()]
    return rows, (histograms, layers)


def _jobs(config, sets, network, train) -> list[tuple]:
    """`(detector, protocol, OOD set or None for all, what it is fitted on)`."""
    grid = "few" if config.detect.validation < 500 else "full"
    names = list(sets.ood)
    free = detectors.given(sets, config, detectors.LEAK_FREE, train, names[0])
    jobs = [
        (d, detectors.NONE, None, detectors.without_outliers(free))
        for d in detectors.plain()
    ]
    count = len(next(iter(sets.ood.values())))
    jobs += [
        (d, detectors.LEAK_FREE, None, free) for d in detectors.chosen(count, grid)
    ]
    for name in names:
        real = detectors.given(sets, config, detectors.REPOSITORY, train, name)
        chosen = detectors.chosen(len(sets.ood[name]), grid)
        jobs += [(d, detectors.REPOSITORY, name, real) for d in chosen]
    return [job for job in jobs if _wanted(config, job[0].name)]


def _run(fitted: Fitted, score, known: dict, config, id_name: str) -> tuple[dict, dict]:
    """`(what the table keeps of a detector on one network, {set: scores})`.

    `score` of the detector takes what is `known` of each set: inputs, or outputs.
    """
    start = time.monotonic()
    scores = {n: score(x, config.eval.batch_size) for n, x in known.items()}
    seconds = time.monotonic() - start
    count = sum(len(s) for s in scores.values())
    run = {
        **detect_table.measures(scores, id_name),
        "chosen": fitted.chosen,
        "fit_seconds": 0.0,
        "ms_per_image": 1e3 * seconds / count,
        "requires": fitted.requires,
    }
    return run, scores


def _layers(config, sets, network, tests, train) -> dict:
    """`{layer: {set: FSSD's distance there}}`, of the code's noise, unperturbed."""
    ood_name = next(iter(sets.ood))
    given = detectors.given(sets, config, detectors.LEAK_FREE, train, ood_name)
    fssd = ood.FSSD(noise="repository", ood_count=len(sets.ood[ood_name]))
    scores = fssd.layer_scores(network, given)
    found = {
        n: scores.table(x, (0.0,), config.eval.batch_size)[:, 0]
        for n, x in tests.items()
    }
    return {
        layer: {n: table[:, k] for n, table in found.items()}
        for k, layer in enumerate(network.layers)
    }
