"""`python -m experiments.peers.worker`: one library in a process of its own.

Reads one JSON object per line and answers each with one: `{"build": ...}`, then
`{"first": mode}` and `{"round": mode, "seconds": s}` any number of times. Idle between.
"""

import importlib
import importlib.metadata
import json
import os
import sys
import time

import numpy as np

from experiments.peers.tasks import CONTESTS

# seconds of a call in which waking up is lost: it is not repeated for that
LONG = 2.0


def build(contest: str, name: str, task: str, shape: dict, threads: int) -> tuple:
    """The calls of a library, and its description before it runs."""
    library = CONTESTS[contest].libraries[name]
    made = type(CONTESTS[contest].shape)(**shape)
    runtime = {"torch": ("torch",), "jax": ("jax", "jaxlib")}
    kind = "torch" if "torch" in library.module else "jax"
    if kind == "torch":
        torch = importlib.import_module("torch")
        torch.set_num_threads(threads)
        torch.manual_seed(0)
    data = made.data()
    began = time.perf_counter()
    builder = getattr(importlib.import_module(library.module), library.builder)
    calls = builder(made, task, data)
    packages = dict.fromkeys((library.package, *runtime[kind]))
    return calls, {
        "build_seconds": time.perf_counter() - began,
        "parameters": calls.parameters,
        "versions": {p: importlib.metadata.version(p) for p in packages},
    }


def first(calls, mode: str) -> dict:
    """Seconds of the first call, which traces and compiles where a library does so."""
    call = getattr(calls, mode)
    seconds, value = timed(call)
    if seconds < LONG:
        call()  # what warms up on the second call is not timed, either
    if mode == "fit":
        return {"seconds": seconds}
    if mode == "score":
        return {"seconds": seconds, "scores": np.asarray(value, np.float64).tolist()}
    return {"seconds": seconds, "first_value": float(np.mean(np.asarray(value)))}


def timed_round(calls, mode: str, seconds: float) -> dict:
    """Median seconds of a call over about `seconds`."""
    call = getattr(calls, mode)
    # wakes threads that went to sleep while others had their turn
    taken, _ = timed(call)
    times = [taken] if taken > LONG else []
    end = time.perf_counter() + seconds - sum(times)
    while not times or time.perf_counter() < end:
        times.append(timed(call)[0])
    return {"seconds": float(np.median(times)), "calls": len(times)}


def timed(call) -> tuple:
    """The seconds of a call, and its result."""
    start = time.perf_counter()
    value = call()
    return time.perf_counter() - start, value


def serve(requests, answers) -> None:
    """Answer requests until there are no more."""
    calls = None
    for line in requests:
        request = json.loads(line)
        if "build" in request:
            calls, answer = build(**request["build"])
        elif "first" in request:
            answer = first(calls, request["first"])
        else:
            answer = timed_round(calls, request["round"], request["seconds"])
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    # what libraries print is no answer
    with os.fdopen(os.dup(1), "w") as channel:
        os.dup2(2, 1)
        serve(sys.stdin, channel)
