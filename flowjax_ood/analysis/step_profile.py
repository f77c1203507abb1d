"""Where the time of a compiled program goes, read off a profiler's trace."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from flowjax_ood.analysis.collectives import KINDS as COLLECTIVES

# what an operation is, by the first of these that it, or what is fused into it, holds
_RANKS = (
    ("convolutions", ("convolution",)),
    ("matrix products", ("dot",)),
    ("collectives", (*COLLECTIVES, "send", "recv")),
    ("sums", ("reduce", "reduce-window", "sort")),
    ("other", ("custom-call",)),
)
_COPIES = (
    *("copy", "transpose", "slice", "concatenate", "pad", "reverse", "broadcast"),
    *("dynamic-slice", "dynamic-update-slice", "gather", "scatter", "bitcast"),
    *("parameter", "constant", "tuple", "get-tuple-element", "reshape", "iota"),
)
KINDS = (*(kind for kind, _ in _RANKS), "copies", "elementwise", "control")
# of a step: the loss, its gradient, and what is neither
PHASES = ("forward", "backward", "update")
_LATER = ("update", "forward", "backward")
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.-]+) \(.*\{$")
# its name, opcode, and all that follows; a type may be a tuple
_INSTRUCTION = re.compile(
    r"^\s+(?:ROOT )?%?([\w.-]+) = (?:\(.*?\)|\S+) ([a-z][\w-]*)\((.*)$"
)
_HOLDS = ("fusion", "call", "async")
# calls of other libraries, by what their names hold: what they are
_TARGETS = {
    "cudnn$conv": "convolution",
    "cublas": "dot",
    "gemm": "dot",
    "matmul": "dot",
    "sort": "sort",
    "topk": "sort",
}
_TARGET = re.compile(r'custom_call_target="([^"]*)"')
# of a convolution, whose letters b and f are no places: none of them is a window's
_WINDOWED = re.compile(r"dim_labels=\S*\d")
_CALLED = re.compile(r"(?:calls|to_apply)=%?([\w.-]+)")
_NAME = re.compile(r"%([\w.-]+)")
_ORIGIN = re.compile(r'op_name="([^"]*)"')


class Part(NamedTuple):
    """Operations of one kind in one phase, and the seconds that a call spends in them.

    The mean over calls and devices; other devices that are waited for count.
    """

    kind: str
    phase: str
    seconds: float


class _Instruction(NamedTuple):
    name: str
    opcode: str
    reads: list[str]
    # the computations that it stands for
    inner: list[str]
    # the function of which it was made; empty if unknown
    origin: str


class _Operation(NamedTuple):
    name: str
    start: float
    end: float


def parts(directory: str | Path, text: str, calls: int) -> list[Part]:
    """Sum the time of a program's operations by kind and phase, the longest first.

    Args:
        directory: What `jax.profiler.trace` wrote while the program ran.
        text: `jax.jit(f).lower(...).compile().as_text()` of it.
        calls: How often it was called meanwhile.

    Returns:
        A `Part` for each of `KINDS` and `PHASES` that has an operation. Empty where the
        trace names no operation of the program. An operation that holds others, such
        as a loop, counts without them. Fusions count as the heaviest of what they hold.
        What a program computes outside of `jvp` and its transpose is `update`; where
        nothing is differentiated, all is `forward`.

    Raises:
        FileNotFoundError: There is no trace below `directory`.
    """
    traces = sorted(Path(directory).rglob("*.xplane.pb"))
    if not traces:
        raise FileNotFoundError(2, "No trace (*.xplane.pb) below", str(directory))
    known = operations(text)
    module = text.partition("HloModule ")[2].partition(",")[0]
    total: dict[tuple[str, str], float] = defaultdict(float)
    lines, devices = _lines(traces[-1], module)
    for line in lines:
        for name, seconds in own_times(line):
            total[known.get(name, ("control", "update"))] += seconds
    return [
        Part(*place, seconds / (calls * devices))
        for place, seconds in sorted(total.items(), key=lambda item: -item[1])
    ]


def operations(text: str) -> dict[str, tuple[str, str]]:
    """The kind and phase of every operation of a compiled program, by its name.

    What the compiler does not know the origin of is `backward` where it holds or reads
    something that is, or else `forward`, or else `update`.
    """
    inside: dict[str, list[_Instruction]] = defaultdict(list)
    where = ""
    for line in text.splitlines():
        if begun := _COMPUTATION.match(line):
            where = begun[1]
        elif found := _INSTRUCTION.match(line):
            name, opcode, rest = found.groups()
            opcode = _as_computed(opcode, rest)
            # of others, what is called says nothing: how a reduction adds
            inner = _CALLED.findall(rest) if opcode in _HOLDS else []
            # an argument's is its name
            origin = _ORIGIN.search(rest) if opcode != "parameter" else None
            reads = _NAME.findall(rest.partition(")")[0])
            inside[where].append(
                _Instruction(name, opcode, reads, inner, origin[1] if origin else "")
            )

    def held(instruction: _Instruction) -> list[_Instruction]:
        """It, and what it stands for."""
        within = [one for name in instruction.inner for one in inside[name]]
        return [instruction, *(i for one in within for i in held(one))]

    known: dict[str, tuple[str, str]] = {}
    # nothing is read before it is written
    for one in (one for several in inside.values() for one in several):
        whole = held(one)
        kind, heaviest = _kind(whole)
        own = [_phase(i.origin) for i in (*heaviest, one) if i.origin]
        others = [_phase(i.origin) for i in whole if i.origin]
        others += [known[name][1] for name in one.reads if name in known]
        # most of what has lost its origin is of gradients
        phase = own[0] if own else max(others, key=_LATER.index, default=_LATER[0])
        known[one.name] = kind, phase
    if {phase for _, phase in known.values()} == {"update"}:
        # nothing is differentiated
        return {name: (kind, "forward") for name, (kind, _) in known.items()}
    return known


def _as_computed(opcode: str, rest: str) -> str:
    """The opcode of what an operation computes, however the compiler writes it."""
    opcode = opcode.removesuffix("-start").removesuffix("-done")
    if opcode == "custom-call" and (target := _TARGET.search(rest)):
        named = target[1].lower()
        return next((o for part, o in _TARGETS.items() if part in named), opcode)
    if opcode == "convolution" and not _WINDOWED.search(rest):
        # how a TPU writes a matrix product
        return "dot"
    return opcode


def _kind(held: Sequence[_Instruction]) -> tuple[str, list[_Instruction]]:
    """The kind of the heaviest instructions among `held`, and these."""
    for kind, opcodes in _RANKS:
        if heaviest := [one for one in held if one.opcode in opcodes]:
            return kind, heaviest
    if held[0].opcode in ("while", "conditional"):
        # what they hold has times of its own
        return "control", []
    copies = {one.opcode for one in held} <= {*_COPIES, *_HOLDS}
    return "copies" if copies else "elementwise", []


def _phase(origin: str) -> str:
    if "transpose(" in origin:
        return "backward"
    return "forward" if "jvp(" in origin else "update"


def own_times(line: Iterable[_Operation]) -> Iterator[tuple[str, float]]:
    """Seconds of each operation of a thread, without those that run inside of it."""
    open_: list[list] = []
    for name, start, end in sorted(line, key=lambda o: (o.start, -o.end)):
        while open_ and open_[-1][1] <= start:
            yield tuple(open_.pop()[::2])
        if open_:
            open_[-1][2] -= min(end, open_[-1][1]) - start
        open_.append([name, end, end - start])
    while open_:
        yield tuple(open_.pop()[::2])


def _lines(trace: Path, module: str) -> tuple[list[list[_Operation]], int]:
    """The operations of a program on each thread, and on how many devices it ran."""
    from jax.profiler import ProfileData

    lines, devices = [], set()
    for plane in ProfileData.from_file(str(trace)).planes:
        for line in plane.lines:
            found = []
            for event in line.events:
                facts = dict(event.stats)
                if "hlo_op" in facts and facts.get("hlo_module", module) == module:
                    start = event.start_ns / 1e9
                    end = start + event.duration_ns / 1e9
                    found.append(_Operation(str(facts["hlo_op"]), start, end))
                    devices.add((plane.name, facts.get("device_ordinal")))
            lines.append(found)
    return lines, max(1, len(devices))
