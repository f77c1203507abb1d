"""A trace of a case, and where the time of its steps goes: profile.json and .md.

`program.txt` is the compiled program, whose operations the trace names.
"""

import time
from pathlib import Path

import jax

from experiments.benchmark.run import CaseRun
from experiments.core.results import versions, write_json
from flowjax_ood.analysis.step_profile import KINDS, PHASES, Part, parts
from flowjax_ood.interface import text
from flowjax_ood.runtime.files import write_bytes
from flowjax_ood.runtime.messages import warn

# steps of a profile: what differs between them is seen, and the trace stays small
PROFILED = 3


def profile(run: CaseRun, directory: Path) -> None:
    """Trace a few calls of what is compiled and warm, and write where their time goes.

    A program whose operations cannot be read leaves the trace alone: that of pmap, and
    one whose trace has no names of operations.
    """
    assert run.call is not None
    with jax.profiler.trace(str(directory)):
        began = time.perf_counter()
        for number in range(PROFILED):
            with jax.profiler.StepTraceAnnotation("step", step_num=number):
                jax.block_until_ready(run.call())
        # writing the trace is none of it
        seconds = (time.perf_counter() - began) / PROFILED
    program = run.program.as_text() if run.program else None
    found = parts(directory, program, PROFILED) if program else []
    if not program or not found:
        warn(f"{directory}: the trace does not say which operations took how long")
        return
    content = {
        "case": run.case.settings,
        "devices": jax.device_count(),
        "calls": PROFILED,
        "seconds_per_call": seconds,
        "parts": [part._asdict() for part in found],
        "versions": versions(),
    }
    write_bytes(directory / "program.txt", program.encode())
    write_json(directory / "profile.json", content)
    write_bytes(directory / "profile.md", table(found, seconds).encode())


def table(found: list[Part], seconds: float) -> str:
    """Milliseconds of each kind of operation in each phase, as Markdown."""
    of = {(part.kind, part.phase): part.seconds for part in found}
    sums = {kind: sum(of.get((kind, phase), 0.0) for phase in PHASES) for kind in KINDS}
    total = sum(sums.values())
    header = ["operations", *(f"{phase}, ms" for phase in PHASES), "all, ms", "share"]
    cells = [
        [
            kind,
            *(text.number(1e3 * of.get((kind, phase), 0.0)) for phase in PHASES),
            text.number(1e3 * sums[kind]),
            text.share(sums[kind] / total),
        ]
        for kind in sorted(KINDS, key=lambda kind: -sums[kind])
        if sums[kind]
    ]
    said = (
        f"A call took {text.number(1e3 * seconds)} ms, of which a device spent "
        f"{text.number(1e3 * total)} ms in operations:"
    )
    return "\n\n".join([said, text.markdown_table(header, cells, 1)]) + "\n"
