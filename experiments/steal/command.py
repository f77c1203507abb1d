"""`steal --config=FILE[:VARIANT] --workdir=DIR`: copies, and detection, of members.

Writes results.json, table.md, steal.html and steal.png. Trainings resume where they
stopped, in networks/; what was measured is kept in stages/.
"""

import re
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from experiments.core.keys import Kind
from experiments.core.reports import leave
from experiments.core.results import mean_std, versions
from experiments.core.systems import opened, stage
from experiments.steal import attacks, detection, images
from experiments.steal.attacks import ATTACKS, Attack
from experiments.steal.page import document, figure
from experiments.steal.targets import ONE, Trained
from flowjax_ood.interface import text
from flowjax_ood.interface.errors import user_errors
from flowjax_ood.runtime.messages import say

PICTURE = "steal.png"
ACCURACIES = ("target", "clone", "relative", "agreement")


def run(args: Namespace, overrides: Sequence[str]) -> None:
    """Run `steal`."""
    with opened(args, overrides, Kind.SERVED) as config:
        loaded = images.load(config)
        kept = stage(args.workdir, "images", loaded.identity)
        images.check_same(args.workdir, kept, loaded)
        with user_errors("config.served", ValueError):
            measured = _measured(config, loaded, args.workdir)
        results = summary(config, loaded, *measured)
        leave(
            args.workdir,
            results,
            "steal",
            PICTURE,
            lambda: figure(results),
            document,
            print_table,
        )


def _measured(config: ConfigDict, loaded: images.Images, workdir: Path) -> tuple:
    """`({attack: [of each seed]}, [detection of each seed])`, each a stage."""
    seeds = config.served.seeds
    clones: dict[str, list[dict]] = {attack.name: [] for attack in ATTACKS}
    detected = []
    told = _Remaining(seeds * (len(ATTACKS) + 1))
    for number in range(seeds):
        trained = Trained(config, loaded, workdir, number)
        prefix = f"seed_{trained.seed}"
        of = told.timed(
            workdir, f"{prefix}_detection", lambda t=trained: detection.measure(t)
        )
        detected.append(of)
        for attack in ATTACKS:
            name = re.sub(r"\W+", "_", f"{prefix}_{attack.name}")

            def compute(attack=attack, trained=trained):
                return attacks.measure(attack, config, trained)

            clones[attack.name].append(told.timed(workdir, name, compute))
    return clones, detected


class _Remaining:
    """Says after each stage how many there are, and when the last is likely to end."""

    def __init__(self, total: int):
        self.total, self.done, self.computed = total, 0, 0
        self.start = time.monotonic()

    def timed(self, workdir: Path, name: str, compute: Callable[[], dict]) -> dict:
        """The stage, computed or kept."""
        new = []

        def counted() -> dict:
            new.append(name)
            return compute()

        found = stage(workdir, name, counted)
        self.done += 1
        self.computed += len(new)
        if new:
            seconds = time.monotonic() - self.start
            left = (self.total - self.done) * seconds / self.computed
            say(
                f"stage {self.done} of {self.total}: {name.replace('_', ' ')}; about "
                f"{text.duration(left)} left"
            )
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
            members: {n: _over([m[members][n] for m in means]) for n in of}
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
