"""Runs of a benchmark without a model: what they computed is made up here."""

from ml_collections import ConfigDict

from experiments.benchmark.cases import Case
from experiments.benchmark.run import CaseRun, Startup
from experiments.benchmark.work import Counts
from tests.helpers.experiment_runs import CONFIGS

MIB = 2**20
# of the command
TINY = (
    "benchmark",
    f"--config={CONFIGS / 'demo.py'}:smoke",
    "--config.model.scales=1",
    "--config.model.mask=checkerboard",
    "--config.model.norm=none",
    "--config.model.width=2",
    "--config.model.blocks=0",
    "--batch=8",
)


def fake_run(rounds=(), *, error=None, startup=True, flops=4e9, again=6e9, **settings):
    """A case of 8 images a call, with seconds of each call in each round."""
    known = {"mode": "train", "batch_size": 8, "precision": "float32"}
    known |= {"parallel": "jit", "stack": "scan"} | settings
    run = CaseRun(
        Case(known["mode"], ConfigDict(), known),
        " ".join(map(str, known.values())),
        Counts((4, 4, 1), 1234, int(flops), int(again)),
    )
    run.rounds = [list(times) for times in rounds]
    run.error = error
    if startup:
        run.startup = Startup(3.5, 1.0, 0.5, 2.0, 10.0, 2.0, 1.0)
    return run
