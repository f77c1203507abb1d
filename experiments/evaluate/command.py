"""`evaluate --workdir=DIR [--config.data.ood=...]`: likelihoods, AUROC, figures.

Uses the newest checkpoint in DIR. Only `eval` keys and those of the scored sets can be
changed here; what was used of them is in results.json.
"""

from argparse import Namespace
from collections.abc import Sequence

from experiments.core import evaluation, run_outputs


def run(args: Namespace, overrides: Sequence[str]) -> None:
    """Run `evaluate`."""
    config, sets, trained = evaluation.open_run(args.workdir, overrides)
    run_outputs.main(config, args.workdir, sets, trained)
