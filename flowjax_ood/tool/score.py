"""`score DETECTOR IMAGES`: a p-value and a decision for every image."""

import argparse
import csv
import io
import json
from pathlib import Path

from flowjax_ood.interface.errors import UserError, writing
from flowjax_ood.interface.text import print_table
from flowjax_ood.novelty.storage import is_detector
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
    subject = Subject.read(args.detector).load_encoder()
    examples = read_examples(args.images)
    for change in subject.check(examples):
        warn(change)
    rule = rule_of(subject, args.alpha, args.fdr, len(examples))
    if args.out is not None:
        check_out(args.out, args.images)
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


def check_out(out: Path, images: Path) -> None:
    """Raise UserError for a detector or the images themselves; say what is replaced."""
    if is_detector(out) or out.resolve() == images.resolve():
        raise UserError(
            f"--out {out} holds a detector or the images; name another directory"
        )
    if (out / "decisions.jsonl").exists():
        warn(f"the report in {out} is replaced")


def write_records(out: Path, records: list[dict]) -> None:
    """Write `decisions.csv` and `decisions.jsonl`."""
    lines = "".join(json.dumps(record, allow_nan=False) + "\n" for record in records)
    write_bytes(out / "decisions.jsonl", lines.encode())
    parts = next((list(r["parts"]) for r in records if "parts" in r), [])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["image", "decision", "problem", "p_value", "adjusted", "score", "fitted"]
    writer.writerow([*head, "nearest", *(f"p: {name}" for name in parts)])
    for r in records:
        p = r.get("parts", {})
        numbers = [r.get(name) for name in ("p_value", "adjusted", "score")]
        writer.writerow(
            [r["image"], r["decision"], r.get("problem", "")]
            + [None if n is None else f"{n:.6g}" for n in numbers]
            + [r.get("fitted"), (r.get("nearest") or [""])[0]]
            + [f"{p[name]:.6g}" if name in p else None for name in parts]
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
    if rule.control == "each" and not known:
        rate = subject.detector.calibration.false_alarms(rule.level).value
        expected = rate * len(read)
        print(f"Were all of them normal, about {expected:.3g} would be called new.")
    if out is not None:
        print(f"{out / 'report.html'} shows them; decisions.csv and .jsonl have all")
