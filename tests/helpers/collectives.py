"""What compiled training steps on eight devices say, for test_collectives.py.

A process of its own, because the number of CPU devices is set before JAX starts:
`python collectives.py OUTPUT.npz`. Programs are compiled and read; only what is
guarded against transfers is run.
"""

import re
import sys
import tempfile

import jax

jax.config.update("jax_num_cpu_devices", 8)
# one program at a time: programs in flight together can starve each other's all-reduce
jax.config.update("jax_cpu_enable_async_dispatch", False)

import flax.linen as nn  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from flowjax_ood.analysis.collectives import KINDS, collectives  # noqa: E402
from flowjax_ood.models import RealNVP  # noqa: E402
from flowjax_ood.runtime.parallel import MODES, Parallel  # noqa: E402
from flowjax_ood.runtime.placement import LEAST_SHARDED  # noqa: E402
from flowjax_ood.training.objectives import Likelihood  # noqa: E402
from flowjax_ood.training.optimizers import make_optimizer, make_schedule  # noqa: E402
from flowjax_ood.training.state import create_state  # noqa: E402
from flowjax_ood.training.step import make_train_step  # noqa: E402
from tests.helpers.tiny_run import BATCH, KEY, SHAPE, batch, tiny, train  # noqa: E402
from tests.helpers.transfer_guard import Guarded  # noqa: E402

DEVICES, STEPS = 8, 2
# every device has one group: batch norm needs nobody else's statistics
ONE_GROUP_EACH = 2 * DEVICES


def values_by_kind(text: str) -> dict[str, list[int]]:
    """Of every kind, the values of each such operation of a compiled program."""
    found = collectives(text)
    return {kind: [c.values for c in found if c.kind == kind] for kind in KINDS}


def reduced_types(text: str) -> list[str]:
    """The element types of everything that is all-reduced."""
    reduced = [c for c in collectives(text) if c.kind == "all-reduce"]
    return sorted({name for c in reduced for name in c.types})


def aliases(text: str) -> dict[int, int]:
    """`{output: argument}` of the buffers that outputs take over."""
    head = text.splitlines()[0]
    pairs = re.findall(r"\{(\d+)\}: \((\d+), \{\}, (?:may|must)-alias\)", head)
    return {int(output): int(argument) for output, argument in pairs}


class Lowered:
    """Compiles what `Parallel.wrap_step` makes; of pmap, the function it wraps.

    That one is not to be reached from outside, so pmap is watched as it is called.
    """

    def __init__(self):
        self._pmap, self._made = jax.pmap, []
        jax.pmap = self._remember

    def _remember(self, *args, **kwargs):
        self._made.append(self._pmap(*args, **kwargs))
        return self._made[-1]

    def program(self, parallel: Parallel, run, size: int, steps: int):
        step = parallel.wrap_step(run.step, scanned=steps > 1)
        if parallel.mode == "pmap":
            step = self._made[-1]
        at = [np.arange(k, k + size) for k in range(steps)]
        batches = [batch(a) for a in at] if steps > 1 else batch(at[0])
        state = parallel.place_state(run.state)
        return step.lower(state, parallel.place_batch(batches), KEY).compile()


class Wide(nn.Module):
    """Kernels that are worth sharding."""

    @nn.compact
    def __call__(self, x, features, cond=None):
        x = nn.tanh(nn.Conv(64, (3, 3))(x))
        for _ in range(2):
            x = nn.tanh(nn.Conv(64, (3, 3))(x))
        return nn.Conv(features, (3, 3))(x)


def wide():
    """A flow of two couplings and 150,000 parameters."""
    flow = RealNVP(SHAPE, scales=1, couplings=2, st_net=Wide)
    optimizer = make_optimizer(make_schedule(1e-2, "constant", 100, 3))
    state = create_state(flow, optimizer, KEY, jnp.zeros((BATCH, *SHAPE)))
    return tiny("light")._replace(
        flow=flow,
        step=make_train_step(Likelihood(flow), optimizer),
        state=jax.device_get(state),
    )


def account(compiled, run) -> dict:
    """What a compiled program says of itself, beside the state it trains."""
    text, memory = compiled.as_text(), compiled.memory_analysis()
    leaves = jax.tree.leaves(run.state)
    found = aliases(text)
    named = jax.tree_util.tree_leaves_with_path(run.state.params)
    return {
        **values_by_kind(text),
        "types": reduced_types(text),
        "alias outputs": sorted(found),
        "alias arguments": sorted(found.values()),
        "alias bytes": memory.alias_size_in_bytes,
        "argument bytes": memory.argument_size_in_bytes,
        "state leaves": len(leaves),
        "state bytes": sum(a.nbytes for a in leaves),
        "parameters": sum(a.size for a in jax.tree.leaves(run.state.params)),
        "gains": sum(a.size for path, a in named if path[-1].key == "g"),
        # those that `fsdp` splits
        "sharded": [a.size for _, a in named if a.size >= LEAST_SHARDED],
        "statistics": sum(a.size for a in jax.tree.leaves(run.state.batch_stats)),
    }


def main(output: str) -> None:
    assert len(jax.devices()) == DEVICES
    lowered, found = Lowered(), {}

    def keep(name, parallel, run, size=BATCH, steps=1):
        compiled = lowered.program(parallel, run, size, steps)
        for key, value in account(compiled, run).items():
            found[f"{name}/{key}"] = np.asarray(value)

    for mode in MODES:
        keep(f"plain {mode}", Parallel(mode), tiny("light"))
        keep(f"group {mode}", Parallel(mode), tiny("light ghost"), ONE_GROUP_EACH)
        keep(f"scanned {mode}", Parallel(mode), tiny("light"), steps=STEPS)
    for mode in MODES:
        with tempfile.TemporaryDirectory() as workdir, Guarded() as guard:
            often = {"log_every": 2, "checkpoint_every": 2, "profiler": guard}
            run = train(workdir, 4, tiny("light"), parallel=Parallel(mode), **often)
        found[f"guarded {mode}/steps"] = np.asarray(run.state.step)
        found[f"guarded {mode}/calls"] = np.asarray(guard.calls)
    keep("wide", Parallel("jit"), wide())
    keep("wide fsdp", Parallel("jit", fsdp=DEVICES), wide())
    np.savez(output, **found)


if __name__ == "__main__":
    main(sys.argv[1])
