"""What training does on several processes, for test_processes.py.

`python some_processes.py OUTPUT.npz DEVICES [HOST:PORT COUNT NUMBER]`: as process
NUMBER of COUNT, with DEVICES of its own; process 0 leaves what it found in OUTPUT.
"""

import sys
from pathlib import Path

import jax

output, devices = Path(sys.argv[1]), int(sys.argv[2])
jax.config.update("jax_num_cpu_devices", devices)
if len(sys.argv) > 3:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))

import numpy as np  # noqa: E402

from flowjax_ood.evaluation.likelihood import evaluate_likelihood  # noqa: E402
from flowjax_ood.runtime import placement  # noqa: E402
from flowjax_ood.runtime.parallel import MODES, Parallel  # noqa: E402
from flowjax_ood.runtime.processes import (  # noqa: E402
    ProcessError,
    fetch,
    is_lead,
    on_all,
    on_lead,
)
from flowjax_ood.training.checkpoints.checkpoints import Checkpoints  # noqa: E402
from flowjax_ood.training.early_stopping import Validation  # noqa: E402
from flowjax_ood.training.logs.metrics import read  # noqa: E402
from tests.helpers.tiny_run import BATCH, KEY, images, tiny, train  # noqa: E402

ROOM = output.parent / output.stem
found: dict = {}


def keep(name: str, values: dict) -> None:
    found.update({f"{name}/{key}": np.array(value) for key, value in values.items()})


def named(state) -> dict:
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(fetch(state))
    }


def trained(
    name: str, parallel: Parallel, steps: int = 8, of: str = "light", **changed
) -> None:
    """State, checkpoints and metrics of a run of `steps` steps."""
    workdir = ROOM / name
    run = train(workdir, steps, tiny(of), parallel=parallel, **changed)
    saved = {}
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        for step in checkpoints.steps():
            state, facts = checkpoints.restore(tiny(of).state, step)
            saved |= {f"{step} {key}": value for key, value in named(state).items()}
            saved[f"{step} images"] = facts["images"]
    keep(f"{name} saved", saved)
    keep(name, named(run.state))
    if is_lead():
        log = read(workdir / "metrics.jsonl")
        clock = ("seconds", "images_per_second", "input_wait")
        keep(
            f"{name} metrics",
            {
                f"{r['step']} {k}": v
                for r in log
                for k, v in r.items()
                if k not in clock
            },
        )


def likelihoods(name: str) -> None:
    for size in (3, 16):
        parts = evaluate_likelihood(
            tiny("light").flow,
            {"params": tiny("light").state.params},
            images(13),
            key=KEY,
            batch_size=size,
            parallel=Parallel("jit"),
        )
        keep(f"{name} {size}", {"log_prob": parts.log_prob})


def agreement() -> None:
    """What one process fails at, all learn of, and whose message it was."""

    def fail_on(number):
        def action():
            if jax.process_index() == number:
                raise ValueError(f"no file on {number}")
            return jax.process_index()

        return action

    last = jax.process_count() - 1
    try:
        on_all(fail_on(last))
        said = "nothing"
    except (ValueError, ProcessError) as error:
        said = str(error)
    told = on_lead(lambda: {"said": "ümlaut" * 2000, "steps": [1, 2]})
    where = on_all(lambda: jax.process_index())
    keep(
        f"agreement of {jax.process_index()}",
        {"said": said, "told": len(told["said"]), "where": where},
    )


for mode in MODES:
    trained(mode, Parallel(mode))
# tiny arrays, too
placement.LEAST_SHARDED = 2
everywhere = len(jax.devices())
trained("wide", Parallel("jit"), of="light wide")
trained("fsdp", Parallel("jit", fsdp=everywhere), of="light wide")
trained("fsdp half", Parallel("jit", fsdp=everywhere // 2), of="light wide")
for name, count in (("all", everywhere), ("half", everywhere // 2)):
    placed = Parallel("jit", fsdp=count).place_state(tiny("light wide").state)
    leaves = jax.tree.leaves(placed)
    here = [leaf.addressable_shards[0].data.size for leaf in leaves]
    keep(f"shards {name}", {"here": here, "whole": [leaf.size for leaf in leaves]})
trained("three a call", Parallel("jit"), steps_per_call=3)
# a run that goes on in another mode
trained("mixed", Parallel("shard_map"), 4)
trained("mixed", Parallel("jit", fsdp=everywhere), 6)
trained("mixed", Parallel("pmap"), 8)
likelihoods("likelihood")


def score(variables) -> float:
    score.count += 1
    return -abs(score.count - 2)


score.count = 0
trained("stopped", Parallel("jit"), 8, validate=Validation(score, every=2, patience=2))
agreement()
if is_lead():
    np.savez(output, batch=BATCH, **found)
