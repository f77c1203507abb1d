"""The command `evaluate`: likelihoods and AUROC of a trained run."""

import argparse

from experiments.core import distributed
from experiments.core.options import add_workdir
from flowjax_ood.interface.options import directory_or_bucket

SUMMARY = "evaluate the newest checkpoint of a run"
EPILOG = """\
--config.KEY=VALUE, any number of times, sets keys of eval, and data.ood,
data.ood_source, data.ood_path, data.altered, data.channels, data.test,
data.limit_test, data.source and data.path:
  --config.eval.draws=5  --config.data.ood=mnist:train
  --config.data.ood=mnist,notmnist --config.data.ood_source=-,folder
  --config.data.ood_path=-,DIR   (one entry for each set; - means as in training)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `evaluate`."""
    add_workdir(
        parser,
        "directory of the run, or gs:// or s3://BUCKET/DIR; its results.json and "
        "figures are replaced",
        type=directory_or_bucket,
    )
    distributed.add_arguments(parser)
