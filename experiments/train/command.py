"""`train --config=FILE[:VARIANT] --workdir=DIR [--config.a.b=v]`: train, then evaluate.

Run again with the same arguments, it resumes from the newest checkpoint.
"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from experiments.core import run_outputs
from experiments.core.config import load_config
from experiments.core.keys import Kind
from experiments.core.sets import load_sets
from experiments.core.training_run import train
from flowjax_ood.interface.text import run_name
from flowjax_ood.runtime.processes import is_lead, on_all


def run(args: Namespace, overrides: Sequence[str]) -> None:
    """Run `train`."""
    config = load_config(args.config, overrides)
    main(config, args.workdir, profile=args.profile, tensorboard=args.tensorboard)


def main(config: ConfigDict, workdir: Path, **observed) -> None:
    """Train, or resume, until `config` is done; then evaluate.

    `observed`: `profile` and `tensorboard` of `run_training`.
    """
    # a host without the data would keep the others waiting
    sets = on_all(lambda: load_sets(config, workdir))
    label = run_name(workdir)
    trained = train(config, workdir, sets, label, **observed)
    run = trained.run
    if is_lead():
        # one step alone is compilation, which is not timed
        what = "vectors" if sets.kind is Kind.VECTORS else "images"
        rate = f" at {run.images_per_second:.0f} {what}/s" if run.images else ""
        best = ", the best of the validation set" if run.validation else ""
        print(f"trained to step {trained.step}{best}{rate}")
        if run.out_of_time:
            print(
                f"train.max_seconds={config.train.max_seconds:g} are over: the same "
                "command trains on from there"
            )
    run_outputs.main(trained)
