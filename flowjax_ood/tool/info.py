"""`info DETECTOR`: what it was fitted to, and what it can promise."""

import argparse
import json

from flowjax_ood.interface.errors import user_errors
from flowjax_ood.interface.text import print_table
from flowjax_ood.novelty.storage import read_manifest
from flowjax_ood.tool.fit import promise
from flowjax_ood.tool.subject import Subject


def run(args: argparse.Namespace) -> int:
    """Print it; checksums of all files are verified on the way."""
    with user_errors():
        manifest = read_manifest(args.detector)
        subject = Subject.read(args.detector)
    if args.json:
        print(json.dumps(manifest, indent=2))
        return 0
    detector, facts = subject.detector, subject.facts
    counts = facts["counts"]
    by = facts["calibration_source"] or "a part of them"
    views = facts["features"] or [{"name": "embeddings", "numbers": detector.dims}]
    lines = {
        "fitted to": f"{counts['fitted']} of {counts['images']} images in "
        f"{facts['source']}",
        "calibrated by": f"{counts['calibrated']}, {by}",
        "left out": "\n".join(
            f"{name}: {problem}" for name, problem in facts["left_out"].items()
        )
        or "none",
        "copies": f"{counts['copies']} of those that calibrate",
        "classes": ", ".join(facts["classes"]) or "none given",
        "compares": "\n".join(
            " ".join(
                f"{k} {v}" if k != "name" else v
                for k, v in view.items()
                if k != "sha256"
            )
            for view in views
        ),
        "because": facts["why"],
        "statistics": "\n".join(detector.names),
        "made": f"{facts['made']}, in {facts['seconds']} s",
        "versions": ", ".join(f"{k} {v}" for k, v in facts["versions"].items()),
    }
    for entry in manifest["files"].values():
        lines[entry["file"]] = f"SHA-256 {entry['sha256'][:16]}..."
    print_table(["", str(args.detector)], list(lines.items()), left=2)
    print_table(
        ["alpha", "normal images called new", "95 % confidence"],
        [promise(p) for p in facts["promises"]],
        title="What it can promise",
    )
    print(f"p-values reach down to {detector.calibration.least_p:.2g}.")
    return 0
