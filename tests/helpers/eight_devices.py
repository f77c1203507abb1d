"""What training does on eight devices, written to an `.npz` for test_parallel.py.

A process of its own, because the number of CPU devices is set before JAX starts:
`python eight_devices.py OUTPUT.npz`.
"""

import re
import sys
import tempfile
from functools import partial
from pathlib import Path

import jax

jax.config.update("jax_num_cpu_devices", 8)
# one program at a time: programs in flight together can starve each other's all-reduce
jax.config.update("jax_cpu_enable_async_dispatch", False)

import numpy as np  # noqa: E402

from flowjax_ood.evaluation.likelihood import evaluate_likelihood  # noqa: E402
from flowjax_ood.models import Glow  # noqa: E402
from flowjax_ood.networks import BatchNorm  # noqa: E402
from flowjax_ood.runtime.parallel import AXIS, MODES, Parallel  # noqa: E402
from flowjax_ood.runtime.shares import reducing_over  # noqa: E402
from tests.helpers.tiny_run import BATCH, KEY, batch, images, tiny, train  # noqa: E402

STEPS = 5
COLLECTIVES = "all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute"


def steps_of(norm: str, parallel: Parallel) -> dict:
    """Metrics and state after one step and after `STEPS`, and how it got there."""
    run, step = tiny(norm), parallel.wrap_step(tiny(norm).step)
    back = jax.device_get(parallel.global_state(parallel.place_state(run.state)))
    same = jax.tree.map(np.array_equal, back, run.state)
    found = {"round trip": all(jax.tree.leaves(same))}
    state, donated = parallel.place_state(run.state), True
    # two examples for each device, where they are normalised by twos
    size = BATCH * (2 if norm == "light ghost" else 1)
    for number in range(1, STEPS + 1):
        at = np.arange(number, number + size)
        old = state
        state, metrics = step(state, parallel.place_batch(batch(at)), KEY)
        donated &= all(a.is_deleted() for a in jax.tree.leaves(old))
        assert all(value.shape == () for value in metrics.values())
        if number in (1, STEPS):
            after = named(parallel.global_state(state)) | metrics
            # a copy: what NumPy sees of a CPU's own buffer cannot be donated
            found |= {f"{number} {name}": np.array(v) for name, v in after.items()}
            state = jax.tree.map(jax.numpy.copy, state)
    found["donated"] = donated
    copies = [
        np.unique(
            [np.asarray(s.data).reshape(-1) for s in a.addressable_shards], axis=0
        )
        for a in jax.tree.leaves(state)
    ]
    found["copies"] = max(len(c) for c in copies)
    found["devices"] = len(jax.tree.leaves(state.params)[0].sharding.device_set)
    return found


def named(state) -> dict:
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    }


def resumed(workdir: Path, modes: tuple[str, ...]) -> dict:
    """`fit` in sessions of 3 steps, each in another mode."""
    for session, mode in enumerate(modes, start=1):
        run = train(workdir, 3 * session, tiny("light"), parallel=Parallel(mode))
    return named(run.state)


def initialised(parallel: Parallel) -> dict:
    """Parameters of a Glow whose init batch is split over the devices."""
    x = np.random.default_rng(0).uniform(size=(16, 8, 8, 1)).astype(np.float32)
    # a shard by itself has another mean and spread
    x = np.sort(x, axis=0)
    flow = Glow((8, 8, 1), scales=1, steps=2, width=4, layers=1)
    split = {"in_shardings": (parallel.replicated, parallel.split)}
    return named(jax.jit(flow.init, **split)(KEY, parallel.place_batch(x)))


def collectives(mode: str, group: int) -> dict:
    """How often devices talk in batch norm's two passes, by the compiled programs."""
    parallel, norm = Parallel(mode), BatchNorm(group=group)
    x = np.zeros((16, 4, 4, 3), np.float32)
    variables = norm.init(KEY, x)

    def forward(x, weights):
        y, _ = norm.apply(variables, x, mutable=["batch_stats"])
        return weights * y

    def backward(x, weights):
        return jax.grad(lambda x: jax.numpy.sum(forward(x, weights)))(x)

    def spread(function):
        if mode == "jit":
            return function

        def local(*arrays):
            with reducing_over(AXIS):
                return function(*arrays)

        here = parallel.split.spec
        over = partial(jax.shard_map, mesh=parallel.mesh, check_vma=False)
        return over(local, in_specs=here, out_specs=here)

    def count(function):
        split = parallel.split
        program = jax.jit(spread(function), in_shardings=split, out_shardings=split)
        text = program.lower(x, x).compile().as_text()
        return len(re.findall(rf" (?:{COLLECTIVES})(?:-start)?\(", text))

    return {"forward": count(forward), "backward": count(backward)}


def main(output: str) -> None:
    everywhere, found = jax.devices(), {}
    assert len(everywhere) == 8
    one = Parallel("jit", everywhere[:1])

    def keep(name, values):
        for key, value in values.items():
            found[f"{name}/{key}"] = np.asarray(value)

    keep("light one", steps_of("light", one))
    keep("batch one", steps_of("light batch", one))
    keep("ghost one", steps_of("light ghost", one))
    for mode in MODES:
        keep(f"light {mode}", steps_of("light", Parallel(mode)))
        keep(f"batch {mode}", steps_of("light batch", Parallel(mode)))
        keep(f"ghost {mode}", steps_of("light ghost", Parallel(mode)))
    for mode in ("jit", "shard_map"):
        for group in (0, 1, 2):
            keep(f"collectives {mode} {group}", collectives(mode, group))

    keep("init one", initialised(one))
    keep("init eight", initialised(Parallel("jit")))

    with tempfile.TemporaryDirectory() as workdir:
        keep("fit jit", resumed(Path(workdir) / "jit", ("jit", "jit", "jit")))
        modes = ("jit", "pmap", "shard_map")
        keep("fit mixed", resumed(Path(workdir) / "mixed", modes))

    variables = {"params": tiny("light").state.params}
    for name, parallel in (("one", one), ("eight", Parallel("jit"))):
        for size in (3, 16):
            likelihoods = evaluate_likelihood(
                tiny("light").flow,
                variables,
                images(13),
                key=KEY,
                batch_size=size,
                parallel=parallel,
            )
            keep(f"likelihood {name} {size}", {"log_prob": likelihoods.log_prob})
    np.savez(output, **found)


if __name__ == "__main__":
    main(sys.argv[1])
