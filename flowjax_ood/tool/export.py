"""`export DETECTOR --out FILE`: one StableHLO program."""

import argparse
import json

from flowjax_ood.interface.errors import UserError, user_errors, writing
from flowjax_ood.interface.text import size
from flowjax_ood.novelty.export import PLATFORMS, exported
from flowjax_ood.runtime.files import write_bytes
from flowjax_ood.tool.subject import Subject


def run(args: argparse.Namespace) -> int:
    """Write the program, and beside it a description of what it takes."""
    given = [p.strip() for p in args.platforms.split(",") if p.strip()]
    platforms = list(dict.fromkeys(given))
    for name in platforms or [args.platforms]:
        if name not in PLATFORMS:
            raise UserError(
                f"--platforms {name!r} is not one of {', '.join(PLATFORMS)}"
            )
    if args.out.is_dir():
        raise UserError(f"--out {args.out} is a directory; name a file")
    subject = Subject.read(args.detector).load_encoder()
    with user_errors():
        program = exported(subject.detector, subject.features, platforms)
    features = subject.features
    takes = (
        [{"dtype": "uint8", "shape": ["B", *shape]} for shape in features.shapes]
        if features
        else [{"dtype": "float32", "shape": ["B", subject.detector.dims]}]
    )
    description = {
        "takes": takes,
        "gives": ["p_value [B]", "score [B]", "statistics [B, J]"],
        "statistics": list(subject.detector.names),
        "platforms": platforms,
        "images": "upright by EXIF, on white where transparent, grey by ITU-R 601 luma "
        "or RGB; then resized as a whole by Pillow, bilinear",
        "p_value": "float32: compare it with alpha * (1 + 1e-6)",
        "versions": subject.facts["versions"],
    }
    with writing("--out", args.out):
        write_bytes(args.out, program)
        beside = args.out.with_name(args.out.name + ".json")
        write_bytes(beside, (json.dumps(description, indent=2) + "\n").encode())
    print(f"{args.out}: {size(len(program))} for {', '.join(platforms)}")
    print(f"{beside} says what it takes and gives")
    return 0
