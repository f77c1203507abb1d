"""`demo [--workdir=DIR] [--fast]`: the paper's story on two CPU cores.

Trains a checkerboard RealNVP on clothing, which finds digits likelier; shows why; reads
the same flow by other scores, on many kinds of outliers; and writes report.html.
"""

import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from experiments.core import run_outputs
from experiments.core.config import load_config
from experiments.core.evaluation import evaluate
from experiments.core.options import refuse_overrides
from experiments.core.results import write_json
from experiments.core.sets import load_sets
from experiments.core.training_run import train
from experiments.demo import page, remedies
from experiments.demo.figures import first_coupling, first_sets
from flowjax_ood.interface import text

CONFIG = str(Path(__file__).parents[1] / "configs" / "demo.py")
FLOW, FOLDER = "checkerboard", "baseline"


def run(args: Namespace, overrides: Sequence[str]) -> None:
    """Train or resume the flow, evaluate it, write results.json and the report."""
    refuse_overrides("demo", overrides, "; use train")
    workdir, fast = args.workdir, args.fast
    began = time.monotonic()
    fresh = not any(workdir.glob("*/checkpoints/*"))
    config = load_config(f"{CONFIG}:{'smoke' if fast else ''}")
    sets = load_sets(config)
    trained = train(config, workdir / FOLDER, sets, label=FLOW)
    flow = evaluate(trained)
    write_json(workdir / FOLDER / "results.json", flow.results)
    run_outputs.print_table({FLOW: flow.results})
    measured = remedies.measure(trained, fast)
    headers, lines = remedies.table(measured)
    title = "the same flow, read by other scores (AUROC; * without a flow)"
    text.print_table(headers, lines, title=title, width=120)
    coupling = first_coupling(trained, first_sets(sets))
    # of a run that goes on, this session's time alone says nothing
    seconds = time.monotonic() - began if fresh else None
    content = {
        "command": "python -m experiments demo" + (" --fast" if fast else ""),
        "total_seconds": seconds,
        **flow.results,
        "first_coupling": {name: m for name, (_, m) in coupling.items()},
        "remedies": measured,
    }
    write_json(workdir / "results.json", content)
    flows = {FLOW: flow}
    report = page.write(workdir, flows, sets, coupling, measured, seconds, fast)
    print(page.conclusion(flows, fast))
    print(remedies.conclusion(measured))
    print(f"report: {report}")
