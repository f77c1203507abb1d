"""`monitor --config=FILE[:VARIANT] --workdir=DIR`: a monitor of scenes, and its worth.

Trains the classifiers of the config in DIR/networks, or resumes them, and measures one
after the other; what is measured is kept in DIR/stages.
"""

from argparse import Namespace
from collections.abc import Sequence

import numpy as np

from experiments.core.data_identity import keep_data
from experiments.core.keys import Kind
from experiments.core.reports import leave
from experiments.core.results import versions
from experiments.core.systems import opened, stage
from experiments.monitor import measures
from experiments.monitor.network import trained_network
from experiments.monitor.page import document, figure
from experiments.monitor.scenes import run_scenes
from flowjax_ood.interface import text
from flowjax_ood.interface.errors import user_errors
from flowjax_ood.runtime.progress import progress

PICTURE = "monitor.png"


def run(args: Namespace, overrides: Sequence[str]) -> None:
    """Run `monitor`."""
    with opened(args, overrides, Kind.SCENES) as config:
        scenes = run_scenes(config)
        keep_data(scenes.train, args.workdir, None, **scenes.arrays)
        runs = []
        for number in range(config.scenes.networks):

            def compute(number=number) -> dict:
                network = trained_network(config, number, scenes.train, args.workdir)
                label = f"monitor {number + 1} of {config.scenes.networks}"
                with (
                    user_errors("config.scenes", ValueError),
                    progress(label, len(measures.ROWS), "rows") as shown,
                ):
                    return measures.measured(config, scenes, network, number, shown)

            runs.append(stage(args.workdir, f"network_{number}", compute))
        results = {
            "settings": config.scenes.to_dict(),
            "seed": config.seed,
            "images": {
                "trained on": len(scenes.train),
                "test items": int(np.prod(scenes.test.labels.shape)),
                "pairs exchanged": len(scenes.after) // 2,
            },
            "networks": [{k: run[k] for k in ("seed", "accuracy")} for run in runs],
            "rows": {row: measures.areas(runs, row) for row in measures.ROWS},
            "differences": measures.differences(runs),
            "alarms": measures.mean_alarms(runs),
            "versions": versions(),
        }
        leave(
            args.workdir,
            results,
            "monitor",
            PICTURE,
            lambda: figure(results, runs[0]["examples"]),
            document,
            print_table,
        )


def print_table(results: dict) -> None:
    """Print the AUROC of every row and set."""
    sets = list(results["rows"][measures.FIRST])
    lines = [
        [name, *(text.decimals(of[s]["auroc"]) if s in of else "" for s in sets)]
        for name, of in results["rows"].items()
    ]
    text.print_table(["AUROC", *sets], lines, title="Monitor", width=110)
