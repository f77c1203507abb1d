"""`scores --workdir=DIR[,DIR...] --out=DIR`: scores of flows on a battery of outliers.

Reads the newest checkpoint of every run, makes outliers of the test images, fits every
score and control, and writes results.json, table.md, scores.html, heatmap.png and
summary.png.
"""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from experiments.core import drawing, score_cache
from experiments.core.evaluation import TrainedFlow
from experiments.core.flow_passes import scored_flow
from experiments.core.reports import leave
from experiments.core.results import mean, versions
from experiments.core.score_cache import Scored
from experiments.core.workdir import check_writable
from experiments.scores import lock as locks
from experiments.scores.alarms import warn_of
from experiments.scores.images import battery, check_alike, check_kind, split, told_of
from experiments.scores.measures import table_rows
from experiments.scores.page import document
from experiments.scores.pictures import short_rows, summary, whole
from experiments.scores.rows import Row, rows
from experiments.scores.scoring import ID, run_scores
from flowjax_ood import ood
from flowjax_ood.data.outliers.battery import BLOCKS, KEPT_BACK
from flowjax_ood.distributions import bits_per_dim
from flowjax_ood.interface import text
from flowjax_ood.interface.errors import UserError
from flowjax_ood.runtime.messages import say, warn
from flowjax_ood.training.state import parameter_count

PICTURE, SUMMARY = "heatmap.png", "summary.png"


def run(args: Namespace, overrides: Sequence[str]) -> None:
    """Run `scores`."""
    names = text.run_names(args.workdir)
    if len({w.resolve() for w in args.workdir}) < len(args.workdir):
        raise UserError("--workdir names a run more than once")
    runs = [TrainedFlow.restore(w, overrides, names[w]) for w in args.workdir]
    check_alike(runs)
    for given in args.background:
        if len(given) not in (1, len(runs)):
            raise UserError(
                f"--background names {len(given)} runs, --workdir {len(runs)}: give "
                "one for all, or one for each"
            )
    grounds = [w for given in args.background for w in given]
    both = {w.resolve() for w in args.workdir} & {w.resolve() for w in grounds}
    if both:
        raise UserError(
            f"{min(both)} is in --workdir and in --background; of itself, the ratio is "
            "0: give a flow that was trained on other images, such as mutated ones"
        )
    behind = _behind(args.background, overrides)
    check_kind([*runs, *(b for own in behind.values() for b in own)])
    check_writable("--out", args.out)
    main(runs, behind, args)


def _behind(
    given: Sequence[Sequence[Path]], overrides: Sequence[str]
) -> dict[str, list[TrainedFlow]]:
    """`{label of the ratio: its background flows}`."""
    first = [workdirs[0] for workdirs in given]
    if len({w.resolve() for w in first}) < len(first):
        raise UserError("--background names a run more than once")
    named = text.run_names(first)
    found = {}
    for workdirs in given:
        label = "background ratio"
        label += f" ({named[workdirs[0]]})" if len(given) > 1 else ""
        found[label] = [TrainedFlow.restore(w, overrides) for w in workdirs]
    return found


def main(
    runs: Sequence[TrainedFlow],
    behind: Mapping[str, list[TrainedFlow]],
    args: Namespace,
) -> None:
    """Score all outliers by all scores, and write what `--help` says.

    `behind`: the background flows of likelihood ratios by their labels, one for all
    runs or one for each.
    """
    grounds = [b for own in behind.values() for b in own]
    images = split(runs, args.seed, args.fit, args.calibrate, args.test, grounds)
    say(
        f"images: {len(images.fit)} to fit and {len(images.calibrate)} to calibrate by "
        f"({images.taken_from}), {len(images.test)} to test"
    )
    per_run = _rows(runs, behind, args.passes)
    # flows of the same images, but maybe of other scales
    listed = list({row.name: row for own in per_run for row in own}.values())
    known = [[repr(r.score), r.read] for own in per_run for r in own]
    others = {name: x.events for name, x in runs[0].sets.ood.items()}
    flows = [trained.variables for trained in runs]
    digest = score_cache.digest(known, flows, images, others, [args.seed])
    workdirs = [trained.workdir for trained in runs]
    names = [row.name for row in listed]
    lock = locks.turn(args.out, digest, names, args.lock, workdirs)
    blocks = [b for b in BLOCKS if lock.open or b != KEPT_BACK]
    made = battery(runs, images.test, args.seed, blocks)
    listed = [told_of(row, runs) for row in listed]
    sets = {block: made.of_block(block) for block in blocks}
    scored = []
    failed: dict[str, str] = {}
    for number, trained in enumerate(runs):
        directory = args.out / "scores" / f"{number}_{trained.workdir.resolve().name}"
        of_run, why = run_scores(trained, per_run[number], images, sets, directory)
        scored.append(of_run)
        failed |= why
    kinds = {block: list(of_block) for block, of_block in sets.items()}
    paired = [name for name, made_of in made.sets.items() if made_of.paired]
    measured, compared = table_rows(listed, scored, kinds, paired)
    if not measured:
        raise UserError(f"no score could be computed: {'; '.join(failed.values())}")
    if failed:
        # what was asked for is the most that is taken
        all_taken = (args.fit, args.calibrate) == (
            len(images.fit),
            len(images.calibrate),
        )
        more = "a larger --fit and --calibrate" if all_taken else "more of these images"
        warn(
            f"{len(failed)} of {len(listed)} scores are not in the table. Where they "
            f"lack images to fit and calibrate by ({images.taken_from}), {more} would "
            "help"
        )
    warn_of(measured)
    results = {
        "runs": [_facts(*both) for both in zip(runs, scored, strict=True)],
        "images": {
            "fit": len(images.fit),
            "calibrate": len(images.calibrate),
            "test": len(images.test),
            "taken_from": images.taken_from,
        },
        "seed": args.seed,
        "lock": {"open": lock.open, "count": lock.locks, "digest": digest},
        "blocks": kinds,
        "left_out": made.left_out,
        "failed": failed,
        "rows": measured,
        "compared": compared,
        "versions": versions(),
    }
    write(args.out, results)
    if not lock.open:
        print(
            "kinds that are kept back were not looked at: once the scores are settled, "
            "add --lock"
        )


def _facts(trained: TrainedFlow, scored: Mapping[str, list[Scored]]) -> dict:
    """What is known of a run; `bits_per_dim` is the mean over the images tested."""
    facts = {
        "name": trained.label,
        "model": trained.config.model.name,
        "params": parameter_count(trained.run.state.params),
        "steps": trained.step,
        "images_seen": trained.step * trained.config.train.batch_size,
        "test": trained.sets.test.describe(),
    }
    if (name := ood.LogLikelihood().name) in scored:
        nats = scored[name][0].scores[ID]
        bits = bits_per_dim(nats, trained.flow.dims, trained.sets.bins)
        facts["bits_per_dim"] = mean(bits)
    return facts


def _rows(
    runs: Sequence[TrainedFlow], behind: Mapping[str, list[TrainedFlow]], passes: float
) -> list[list[Row]]:
    """List the rows of every run, the other runs being the members of its ensemble."""
    flows = [scored_flow(trained) for trained in runs]
    grounds = {label: [scored_flow(b) for b in own] for label, own in behind.items()}
    if find_spec("sklearn") is None:
        warn(
            "scores that need scikit-learn are left out; to have them: pip install "
            '"flowjax_ood[detect]"'
        )
    return [
        rows(
            *(flow, flows[:k] + flows[k + 1 :]),
            {label: own[k % len(own)] for label, own in grounds.items()},
            passes,
        )
        for k, flow in enumerate(flows)
    ]


def write(out: Path, results: dict) -> None:
    """Write the results, and print the table."""
    drawing.draw(out / SUMMARY, lambda: summary(results))
    leave(
        out,
        results,
        "scores",
        PICTURE,
        lambda: whole(results),
        document,
        print_table,
    )


def print_table(results: dict) -> None:
    """Print mean and worst AUROC by block, of log p(x) and what may replace it."""
    headers = ["score"]
    for block in results["blocks"]:
        headers += [f"{block}: mean", "worst"]
    rows, shown = results["rows"], short_rows(results)
    lines = []
    for row in shown:
        line = [row["score"] + " *" * row["control"]]
        for measured in row["blocks"].values():
            line += [f"{measured['mean']:.2f}", f"{measured['worst']['auroc']:.2f}"]
        lines.append(line)
    text.print_table(
        headers,
        lines,
        title=f"AUROC, {len(lines)} of {len(rows)} rows (*: no flow)",
        width=100,
    )
    if len(lines) < len(rows):
        print("All rows, and which kind is the worst of each, are in table.md")
