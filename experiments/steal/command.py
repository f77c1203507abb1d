"""`steal --config=FILE[:VARIANT] --workdir=DIR`: copies, and detection, of members.

Writes results.json, table.md, steal.html and steal.png. Trainings resume where they
stopped, in networks/; what was measured is kept in stages/.
"""

import re
from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ml_collections import ConfigDict

from experiments.core.keys import Kind
from experiments.core.reports import leave
from experiments.core.results import mean_std, versions
from experiments.core.systems import opened, stage, stage_file
from experiments.steal import attacks, detection, images
from experiments.steal.attacks import ATTACKS, Attack
from experiments.steal.page import document, figure
from experiments.steal.targets import ONE, Trained
from flowjax_ood.interface import text
from flowjax_ood.interface.errors import user_errors
from flowjax_ood.runtime.progress import progress

PICTURE = "steal.png"
DETECTION = "detection"
ACCURACIES = ("target", "clone", "relative", "agreement")


def run(args: Namespace, overrides: Sequence[str]) -> None:
    """Run `steal`."""
    with opened(args, overrides, Kind.SERVED) as config:
        loaded = images.load(config)
        loaded.keep(args.workdir)
        with user_errors("config.served", ValueError):
            trained = [
                Trained(config, loaded, args.workdir, number)
                for number in range(config.served.seeds)
            ]
        results = summary(config, loaded, *_measured(config, trained, args.workdir))
        leave(
            args.workdir,
            results,
            "steal",
            PICTURE,
            lambda: figure(results),
            document,
            print_table,
        )


def _measured(config: ConfigDict, trained: Sequence[Trained], workdir: Path) -> tuple:
    """`({attack: [of each seed]}, [detection of each seed])`."""
    seeds = [_stages(config, seed, workdir) for seed in trained]
    clones = {attack.name: [of[attack.name] for of in seeds] for attack in ATTACKS}
    return clones, [of[DETECTION] for of in seeds]


def _stages(config: ConfigDict, seed: Trained, workdir: Path) -> dict[str, dict]:
    """What is measured of a seed, by name; each a stage, computed or kept."""

    def attacked(attack: Attack) -> dict:
        return attacks.measure(attack, config, seed)

    compute: dict[str, Callable[[], dict]] = {
        DETECTION: lambda: detection.measure(seed),
        **{attack.name: partial(attacked, attack) for attack in ATTACKS},
    }
    files = {what: re.sub(r"\W+", "_", f"seed_{seed.seed}_{what}") for what in compute}
    new = [what for what in files if not stage_file(workdir, files[what]).exists()]
    if new:
        # before stages are timed: the first would train for all that follow
        seed.train()
    found, done = {}, len(files) - len(new)
    label = f"{seed.label}, detection and clones" if new else None
    with progress(label, len(files), "stages", done) as shown:
        for what, file in files.items():
            found[what] = stage(workdir, file, compute[what])
            done += what in new
            shown.advance(done)
    return found


def summary(
    config: ConfigDict, loaded: images.Images, clones: dict, detected: list[dict]
) -> dict:
    """The content of results.json."""
    c = config.served
    rows = [
        {
            "name": a.target,
            "queries": a.queries,
            "output": a.output,
            "averaged": a.adaptive,
            "asked": clones[a.name][0]["queries"],
            **{key: _over([s[key] for s in clones[a.name]]) for key in ACCURACIES},
            "clone_less_than_one_network": _over(
                [
                    one["clone"] - own["clone"]
                    for own, one in zip(clones[a.name], clones[_baseline(a).name])
                ]
            ),
        }
        for a in ATTACKS
    ]
    tested = detection.tested(loaded)
    areas = [d["auroc"] for d in detected]
    means = [d["coherence"] for d in detected]
    return {
        "data": loaded.origin,
        "images": {
            "train": len(loaded.train),
            "similar": len(loaded.similar),
            "queries": len(loaded.queries),
            "hash": len(loaded.hashed),
            **{f"tested: {n}": len(x) for n, x in loaded.sets.items()},
        },
        "served": c.to_dict(),
        "seeds": [config.seed + number for number in range(c.seeds)],
        "attacks": rows,
        "detection": [
            {
                "name": name,
                # None: that detector is not asked
                "auroc": {
                    n: _over([a[name][n] for a in areas]) if n in own else None
                    for n in tested
                },
            }
            for name, own in areas[0].items()
        ],
        "coherence": {
            members: {
                n: None if of[n] is None else _over([m[members][n] for m in means])
                for n in of
            }
            for members, of in means[0].items()
        },
        "versions": versions(),
    }


def _baseline(attack: Attack) -> Attack:
    """The same queries and kind of answers, each once, of the undefended network."""
    return Attack(ONE, attack.queries, attack.output)


def _over(values: list) -> dict:
    """Mean and deviation over seeds, and the values."""
    mean, std = mean_std(values)
    return {"mean": mean, "std": std, "per_seed": values}


def print_table(results: dict) -> None:
    """Print accuracies of targets and clones."""
    lines = [
        [
            f"{a['name']}{', averaged' if a['averaged'] else ''}",
            a["queries"],
            a["output"],
            *(text.share(a[key]["mean"]) for key in ("target", "clone", "agreement")),
        ]
        for a in results["attacks"]
    ]
    headers = ["what is copied", "queries", "answers", "accuracy", "clone", "agreement"]
    title = f"Copies by answers, means over {len(results['seeds'])} seeds"
    text.print_table(headers, lines, title=title, left=3, width=110)
