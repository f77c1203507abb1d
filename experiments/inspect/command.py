"""`inspect --workdir=DIR`: latents and couplings of a trained flow, ID and OOD.

Works for any image flow of `train`, multi-scale or not, RealNVP or Glow, and uses the
newest checkpoint; a flow with batch norm is seen by recomputed statistics, as in
`evaluate`, unless a number or a panel says otherwise. Everything goes to DIR/inspect,
as the command's `--help` says.
"""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from experiments.core import drawing
from experiments.core.drawing import told_apart
from experiments.core.evaluation import TrainedFlow
from experiments.core.keys import Kind
from experiments.core.results import versions, write_json
from experiments.core.sets import Sets, check_images
from experiments.core.workdir import check_writable
from experiments.inspect import InspectOptions
from experiments.inspect.measures import (
    coadapted,
    coupling_rows,
    couplings,
    latent_rows,
    terms,
    terms_results,
    visible,
)
from experiments.inspect.subject import Subject, subject
from experiments.inspect.tables import print_tables
from flowjax_ood import figures
from flowjax_ood.bijectors import ShiftScaleCoupling, unstacked
from flowjax_ood.interface.errors import UserError

DEPTH = 1  # the intervention comes between the first two couplings


def run(args: Namespace, overrides: Sequence[str]) -> None:
    """Run `inspect`."""
    main(TrainedFlow.restore(args.workdir, overrides), InspectOptions.of(args))


def main(trained: TrainedFlow, options: InspectOptions) -> None:
    """Measure, draw, and print; leave inspect.json and figures in DIR/inspect."""
    check(trained.sets, options)
    check_couplings(trained)
    out = trained.workdir / "inspect"
    check_writable("--workdir", out)
    s = subject(trained, options)
    layers, measured = couplings(s)
    likelihoods = terms(s)
    adapted, why_not = coadapted(s)
    content = {
        "config": trained.config.to_dict(),
        "steps": trained.step,
        "in_distribution": s.id_name,
        "data": {name: image_set.describe() for name, image_set in s.sets.items()},
        "options": asdict(options),
        "likelihood_terms": {m: terms_results(s, v) for m, v in likelihoods.items()},
        "latents": visible(s, options),
        "couplings": {"layers": layers, "sets": measured},
        "coadaptation": {"depth": DEPTH, "sets": adapted, "why_not": why_not or None},
        "versions": versions(),
    }
    write_json(out / "inspect.json", content)
    draw(s, out, content, likelihoods, options)
    print_tables(content)
    print(f"inspect.json and figures are in {out}")


def check(sets: Sets, options: InspectOptions) -> None:
    """Raise UserError for vectors, and images or a channel that the sets lack."""
    if sets.kind is Kind.VECTORS:
        raise UserError("this run's flow is of vectors; inspect looks into images")
    channels = sets.test.events.shape[-1]
    if options.channel >= channels:
        raise UserError(
            f"--channel {options.channel}: the images have channels 0 to {channels - 1}"
        )
    check_images(sets, options.images)


def check_couplings(trained: TrainedFlow) -> None:
    """Raise UserError for a flow none of whose couplings have a scale and a shift."""
    leaves = (leaf for _, leaf, _ in unstacked(trained.flow.bijector, {}))
    if not any(isinstance(leaf, ShiftScaleCoupling) for leaf in leaves):
        name = trained.config.model.name
        kind = trained.config.model.get("coupling")
        raise UserError(
            f"this run's flow is {name}{f' of {kind} couplings' if kind else ''}; "
            "inspect shows scale and shift of affine couplings, and it has none"
        )


def draw(s: Subject, out: Path, content: dict, likelihoods: dict, options) -> None:
    """The figures; those of an earlier inspection are replaced."""
    names, id_name, channel = {"evaluation": s.label}, s.id_name, options.channel
    groups = ["x".join(map(str, g["shape"])) for g in content["couplings"]["layers"]]
    shown = set(told_apart(s.sets, id_name, out))

    def of_shown(by_set: dict) -> dict:
        return {name: value for name, value in by_set.items() if name in shown}

    def terms_figure():
        parts = {
            names.get(mode, f"{mode} statistics"): {
                name: (ll.log_pz, ll.logdet) for name, ll in of_shown(by_set).items()
            }
            for mode, by_set in likelihoods.items()
        }
        return figures.split_likelihood(parts, dims=s.flow.dims, id_name=id_name)

    drawn = {
        "latents": lambda: figures.latent_panels(
            latent_rows(s, options), channel=channel
        ),
        "terms": terms_figure,
        "depth": lambda: figures.depth_profiles(
            of_shown(content["couplings"]["sets"]), groups=groups, id_name=id_name
        ),
        "couplings": lambda: figures.coupling_pages(
            coupling_rows(s, options), names=groups, channel=channel
        ),
    }
    # pages of a flow with more couplings would stay
    for old in (*out.glob("couplings*.png"), out / "coadaptation.png"):
        old.unlink(missing_ok=True)
    if (adapted := content["coadaptation"]["sets"]) is not None:
        drawn["coadaptation"] = lambda: figures.coadaptation_panels(
            of_shown(adapted), depth=DEPTH, id_name=id_name
        )
    for name, figure in drawn.items():
        drawing.draw(out / f"{name}.png", figure)
