"""`evaluate --workdir=DIR [--config.data.ood=...]`: likelihoods, AUROC, figures.

Uses the newest checkpoint in DIR. Only `eval` keys and those of the scored sets can be
changed here; what was used of them is in results.json.
"""

from argparse import Namespace
from collections.abc import Sequence

from experiments.core import run_outputs
from experiments.core.evaluation import TrainedFlow


def run(args: Namespace, overrides: Sequence[str]) -> None:
    """Run `evaluate`."""
    run_outputs.main(TrainedFlow.restore(args.workdir, overrides))
