"""`precision --workdir=DIR`: measure what lower precision does to a run's likelihoods.

Scores the run's sets with st-networks in float32, by XLA's own convolution and by
Winograd's, and in bfloat16, everything else being the same; writes precision.json.
"""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace

import jax
import numpy as np

from experiments.core import build
from experiments.core.evaluation import TrainedFlow, dequantized
from experiments.core.keys import Kind
from experiments.core.results import finite, likelihood_results, versions, write_json
from experiments.core.workdir import check_writable
from flowjax_ood.interface import text
from flowjax_ood.interface.errors import UserError
from flowjax_ood.precision import BFLOAT16, FLOAT32, TENSORFLOAT32

ARITHMETIC = {
    "float32": FLOAT32,
    "float32, winograd": replace(FLOAT32, convolution="winograd"),
    "tensorfloat32": TENSORFLOAT32,
    "bfloat16": BFLOAT16,
}
# images whose way to the latents and back is followed
ROUND_TRIP = 64


def run(args: Namespace, overrides: Sequence[str]) -> None:
    """Run `precision`."""
    main(TrainedFlow.restore(args.workdir, overrides))


def main(trained: TrainedFlow) -> None:
    """Compare, print the table, and leave precision.json in the workdir."""
    config, sets = trained.config, trained.sets
    if sets.kind is Kind.VECTORS:
        raise UserError("this run's flow is of vectors; precision scores images")
    if config.data.get("condition") == "couplings":
        trained.refuse_classes(
            "its couplings are given the class: an image has other latents for each, "
            "and `precision` looks at their round trip"
        )
    check_writable("--workdir", trained.workdir)
    first = sets.test.events[:ROUND_TRIP]
    x = dequantized(first, build.random_key(0), sets.bins)
    rows, exact = {}, None
    for name, precision in ARITHMETIC.items():
        flow = build.flow(config, sets.event_shape, precision=precision)
        likelihoods = trained.likelihoods(f", {name}", flow=flow)
        exact = exact or likelihoods
        apart = np.concatenate(
            [np.abs(likelihoods[n].log_prob - exact[n].log_prob) for n in exact]
        )
        results = likelihood_results(likelihoods, sets.test.name)
        rows[name] = {
            **{key: results[key] for key in ("bits_per_dim", "auroc", "auroc_ci95")},
            # nats an image, over all sets; None where some are not finite
            "log_prob_from_float32_median": finite(np.median(apart)),
            "log_prob_from_float32_max": finite(np.max(apart)),
            # in units of pixels in [0, 1)
            "round_trip_error_max": finite(
                round_trip_error(flow, trained.variables, x)
            ),
            "non_finite": int((~np.isfinite(apart)).sum()),
        }
    content = {
        "config": config.to_dict(),
        "steps": trained.step,
        "data": {s.name: s.describe() for s in sets.scored.values()},
        "round_trip_images": len(x),
        "precisions": rows,
        "versions": versions(),
    }
    write_json(trained.workdir / "precision.json", content)
    print_rows(rows)
    print(f"precision.json is in {trained.workdir}")


def round_trip_error(flow, variables: dict, x: jax.Array) -> float:
    """The largest `|x - f^-1(f(x))|` of a batch, each direction compiled by itself."""

    def method(name):
        return jax.jit(lambda v, a: flow.apply(v, a, method=name))

    again = method("from_latents")(variables, method("latents")(variables, x))
    return float(np.max(np.abs(np.asarray(again) - np.asarray(x))))


def _error(value: float | None) -> str:
    return text.NOT_FINITE if value is None else f"{value:.1e}"


def print_rows(rows: dict[str, dict]) -> None:
    """Print a row per precision: bits/dim and AUROC of every set, and the errors."""
    headers, lines = [], []
    for name, row in rows.items():
        bits, areas, _, *errors, _ = row.values()
        headers = [*(f"bits/dim {n}" for n in bits), *(f"AUROC {n}" for n in areas)]
        values = [text.decimals(v, 4) for v in (*bits.values(), *areas.values())]
        lines.append([name, *values, *map(_error, errors)])
    headers = ["precision", *headers, "nats off: median", "max", "round trip"]
    text.print_table(headers, lines, title="st-networks in lower precision", width=120)
