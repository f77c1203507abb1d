"""The smallest training run there is, shared by the tests of training.

Everything is made once: JAX compiles a step once for one and the same step function.
"""

from functools import cache, partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.data.dequantize import dequantize, example_keys
from flowjax_ood.distributions import Flow
from flowjax_ood.models import RealNVP
from flowjax_ood.networks import BatchNorm
from flowjax_ood.runtime.parallel import Parallel
from flowjax_ood.training.batches import image_batches
from flowjax_ood.training.loop import Plan, Run, fit
from flowjax_ood.training.objectives import Likelihood
from flowjax_ood.training.optimizers import make_optimizer, make_schedule
from flowjax_ood.training.state import TrainState, create_state
from flowjax_ood.training.step import make_train_step

SHAPE = (4, 4, 1)
KEY = jax.random.key(3, impl="threefry2x32")
BATCH = 8
# flows of one or two convolutions without batch norm
PLAIN = ("light", "light wide")


class Tiny(NamedTuple):
    """A flow and how it is trained; `state` is on the host, safe from donation."""

    flow: Flow
    step: callable
    state: TrainState

    def initial(self) -> TrainState:
        return jax.tree.map(jnp.array, self.state)


class OneConvolution(nn.Module):
    """The st-network that compiles fastest."""

    norm: bool = False
    group: int = 0
    width: int = 0

    @nn.compact
    def __call__(self, x, features, cond=None):
        if self.width:
            x = nn.tanh(nn.Conv(self.width, (3, 3))(x))
        if self.norm:
            x = BatchNorm(group=self.group, name="norm")(x)
        return nn.Conv(features, (3, 3))(x)


@cache
def tiny_flow(norm: str = "none") -> Flow:
    """Two couplings with residual st-networks, `norm` "none" or "batch"; or with one
    convolution, "light", "light batch" or, in groups of two, "light ghost"; or with two
    convolutions, "light wide"."""
    if norm.startswith("light"):
        group, width = 2 * (norm == "light ghost"), 8 * (norm == "light wide")
        st_net = partial(OneConvolution, norm not in PLAIN, group, width)
        return RealNVP(SHAPE, scales=1, couplings=2, st_net=st_net)
    return RealNVP(SHAPE, scales=1, couplings=2, width=4, blocks=1, norm=norm)


@cache
def tiny(norm: str = "none", ema_decay: float = 0.0, rate: float = 1e-2) -> Tiny:
    flow = tiny_flow(norm)
    optimizer = make_optimizer(make_schedule(rate, "constant", 100, 3))
    x = dequantized(images(BATCH))
    state = create_state(flow, optimizer, jax.random.key(0), x, average=ema_decay > 0)
    step = make_train_step(Likelihood(flow), optimizer, ema_decay=ema_decay)
    return Tiny(flow, step, jax.device_get(state))


def images(count: int = 40) -> np.ndarray:
    """Blotches, uint8 `[count, 4, 4, 1]`: something a flow can learn."""
    rng = np.random.default_rng(0)
    level = rng.integers(20, 200, (64, 1, 1, 1))
    blotches = level + rng.integers(0, 50, (64, *SHAPE))
    return blotches[:count].astype(np.uint8)


def batch(at=range(BATCH)) -> dict:
    at = np.array(at)
    return {"image": images()[at], "index": at.astype(np.int32)}


def dequantized(raw: np.ndarray, key=KEY) -> jax.Array:
    return dequantize(jnp.asarray(raw), example_keys(key, jnp.arange(len(raw))))


def train(workdir, num_steps: int, run: Tiny | None = None, **changed) -> Run:
    """`fit` on one device, checkpoints every 4 steps and a log line every 3.

    `changed`: fields of `Plan`, and arguments of `fit`.
    """
    run = run or tiny()
    arguments = {
        "key": KEY,
        "batch_size": BATCH,
        "parallel": Parallel("jit", jax.local_devices()[:1]),
        "workdir": workdir,
    }
    planned = {"log_every": 3, "checkpoint_every": 4}
    for name, value in changed.items():
        if name in Plan.__dataclass_fields__:
            planned[name] = value
        else:
            arguments[name] = value
    plan = Plan(num_steps, **planned)
    step = arguments.pop("step", run.step)
    initial = arguments.pop("initial", run.initial)
    batches = image_batches(images(), arguments["batch_size"], seed=5)
    batches = arguments.pop("batches", batches)
    return fit(initial, step, batches, plan, **arguments)


def assert_same(found, expected) -> None:
    """Two pytrees equal bit for bit."""
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def assert_close(found, expected, rtol=2e-5, atol=2e-6) -> None:
    """Two pytrees equal up to float32 rounding."""
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol),
        found,
        expected,
    )
