"""`score DETECTOR IMAGES`: a p-value and a decision for every image."""

import argparse
import csv
import io
import json
from pathlib import Path

from flowjax_ood.interface.errors import writing
from flowjax_ood.interface.text import print_table
from flowjax_ood.runtime.files import write_bytes
from flowjax_ood.runtime.messages import warn
from flowjax_ood.tool.page import page
from flowjax_ood.tool.reading import read_examples
from flowjax_ood.tool.scoring import (
    NEW,
    UNREADABLE,
    Rule,
    decide,
    rule_of,
    score,
    spoke,
)
from flowjax_ood.tool.subject import Subject

# exit status with --fail
FOUND = 3
# the most unusual images on the terminal
SHOWN = 10


def run(args: argparse.Namespace) -> int:
    """Score images; write and print what came out."""
    subject = Subject.read(args.detector)
    examples = read_examples(args.images)
    for change in subject.check(examples):
        warn(change)
    rule = rule_of(subject, args.alpha, args.fdr, len(examples))
    if args.out is not None:
        with writing("--out", args.out):
            args.out.mkdir(parents=True, exist_ok=True)
    scored = score(subject, examples)
    records = decide(subject, examples, scored, rule)
    if args.out is not None:
        with writing("--out", args.out):
            write_records(args.out, records)
            page(subject, examples, scored, records, rule).write(
                args.out / "report.html"
            )
    tell(subject, records, rule, args.out)
    found = any(r["decision"] in (NEW, UNREADABLE) for r in records)
    return FOUND if args.fail and found else 0


def write_records(out: Path, records: list[dict]) -> None:
    """Write `decisions.csv` and `decisions.jsonl`."""
    lines = "".join(json.dumps(record, allow_nan=False) + "\n" for record in records)
    write_bytes(out / "decisions.jsonl", lines.encode())
    parts = next((list(r["parts"]) for r in records if "parts" in r), [])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["image", "decision", "p_value", "adjusted", "score", "fitted", "nearest"]
        + [f"p: {name}" for name in parts]
        + ["problem"]
    )
    for r in records:
        nearest = r.get("nearest", [""])[0] if r.get("nearest") else ""
        writer.writerow(
            [r["image"], r["decision"], r["p_value"], r.get("adjusted"), r.get("score")]
            + [r.get("fitted"), nearest]
            + [r.get("parts", {}).get(name) for name in parts]
            + [r.get("problem", "")]
        )
    # names of files may be no UTF-8
    content = text.getvalue().encode("utf-8", "backslashreplace")
    write_bytes(out / "decisions.csv", content)


def tell(subject: Subject, records: list[dict], rule: Rule, out: Path | None) -> None:
    """Print the most unusual images, and how many are new."""
    read = [r for r in records if r["p_value"] is not None]
    new = [r for r in read if r["decision"] == NEW]
    known = sum(r["fitted"] for r in read)
    if known:
        warn(
            f"{known} of {len(read)} images are among those that the detector was "
            "fitted to or calibrated by: their p-values promise nothing"
        )
    if bad := len(records) - len(read):
        problem = next(r["problem"] for r in records if "problem" in r)
        warn(f"{bad} of {len(records)} images cannot be read: {problem}")
    first = sorted(read, key=lambda r: (r["p_value"], r["score"]))[:SHOWN]
    print_table(
        ["image", "decision", "p-value", "what is unusual"],
        [
            [r["image"], r["decision"], f"{r['p_value']:.3g}", spoke(r["parts"])]
            for r in first
        ],
        title="Most unusual",
        left=2,
    )
    print(f"{len(new)} of {len(read)} images are {rule.words}")
    if rule.control == "each":
        expected = rule.level * len(read)
        print(f"Were all of them normal, about {expected:.3g} would be called new.")
    if out is not None:
        print(f"{out / 'report.html'} shows them; decisions.csv and .jsonl have all")
