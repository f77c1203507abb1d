"""A toy in place of a flow: `w` falls by 0.1 a step, the loss is its sum."""

import json

import jax.numpy as jnp

from flowjax_ood.training.state import TrainState
from tests.helpers.tiny_run import train


def toy_state(w=None) -> TrainState:
    w = jnp.zeros(3) if w is None else w
    return TrainState(
        step=jnp.int32(0), params={"w": w}, batch_stats={}, opt_state={}, ema={}
    )


def toy_step(loss_nan_at=None, w_nan_after=None, moment_inf_after=None):
    """The loss of a step, the parameters or the moments after a step turn bad."""

    def at(condition, value, bad):
        return value if condition is None else jnp.where(done >= condition, bad, value)

    def step(state, batch, key, reduce=None):
        nonlocal done
        done = state.step + 1
        loss = jnp.sum(state.params["w"]) + 0.0 * jnp.sum(batch["image"])
        metrics = {"loss": at(loss_nan_at, loss, jnp.nan), "bits_per_dim": loss}
        w = at(w_nan_after, state.params["w"] - 0.1, jnp.nan)
        opt_state = {"nu": at(moment_inf_after, jnp.ones(2), jnp.inf)}
        new = state.replace(step=done, params={"w": w})
        return (new.replace(opt_state=opt_state) if state.opt_state else new), metrics

    done = None
    return step


def toy_run(workdir, num_steps, step=None, **changed):
    changed = {"initial": toy_state, "step": step or toy_step()} | changed
    return train(workdir, num_steps, **changed)


def records(workdir) -> list[dict]:
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]
