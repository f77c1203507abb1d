"""Coordinate the processes of a run, one per host: who writes, and how they agree.

Everything here is collective: all processes call it, in the same order. In a run of one
process it costs nothing.
"""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np

T = TypeVar("T")

# bytes that travel between processes at a time
CHUNK = 4096


class ProcessError(RuntimeError):
    """Another process of this run cannot go on; says which, and why."""


def is_lead() -> bool:
    """Return whether this is process 0, the only one that writes and shows progress."""
    return jax.process_index() == 0


def on_lead(action: Callable[[], T]) -> T:
    """Run `action` on process 0 alone; return its result, JSON-able, on every process.

    An error there is a `ProcessError` everywhere else: nobody waits in vain.
    """
    if jax.process_count() == 1:
        return action()
    return _together(action if is_lead() else lambda: None)[0]


def on_all(action: Callable[[], T]) -> T:
    """Run `action` on every process, and go on only if none of them failed.

    An error is raised where it occurs; elsewhere as a `ProcessError` that quotes it.
    `action` itself must not be collective.
    """
    if jax.process_count() == 1:
        return action()
    results = []
    _together(lambda: results.append(action()))
    return results[0]


def _together(action: Callable[[], Any]) -> list:
    """The result of `action` on each process, if it fails on none."""
    error, said = None, {}
    try:
        said["value"] = action()
        json.dumps(said)  # here, so that its error reaches all processes
    except Exception as problem:
        error = problem
        said = {"error": str(error) or type(error).__name__}
    answers = everyones(said)
    if error is not None:
        raise error
    for number, other in enumerate(answers):
        if "error" in other:
            raise ProcessError(f"process {number} of {len(answers)}: {other['error']}")
    return [answer["value"] for answer in answers]


def fetch(tree: Any) -> Any:
    """Return the arrays of a pytree as NumPy arrays, whole, on every process.

    Those that live on devices of several processes are gathered.
    """

    def whole(a):
        local = not isinstance(a, jax.Array) or a.is_fully_addressable
        if local or a.is_fully_replicated:
            return a
        from jax.experimental import multihost_utils

        return multihost_utils.process_allgather(a, tiled=True)

    return jax.device_get(jax.tree.map(whole, tree))


def everyones(value: Any) -> list:
    """Gather the `value` of each process, JSON-able, in order of their numbers."""
    if jax.process_count() == 1:
        return [value]
    from jax.experimental import multihost_utils

    raw = json.dumps(value).encode()
    longest = int(np.max(multihost_utils.process_allgather(np.array(len(raw)))))
    # few lengths, as each is a program
    sent = np.full(-(-longest // CHUNK) * CHUNK, ord(" "), np.uint8)
    sent[: len(raw)] = np.frombuffer(raw, np.uint8)
    received = multihost_utils.process_allgather(sent)
    return [json.loads(bytes(row)) for row in received]
