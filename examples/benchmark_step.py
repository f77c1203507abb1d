# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Time a training step
#
# You have two ways to compute the same training step and want to know which is faster,
# by how much, and how sure that is. Here they are two convolutions of one flow: XLA's
# own, and one whose gradients are products of matrices. What usually goes wrong is
# shown first: compilation that is timed as a step, results that are not waited for,
# memory that is not given back, and a machine that is slower in the second half.
#
# It needs nothing but the library. About a minute on two cores:
#
#     python examples/benchmark_step.py --out figures
#
# For the model of a config there is a command that times in this way, `python -m
# experiments benchmark`: see [Performance](../docs/performance.md).
#
# It opens as a notebook, too (jupytext).

# %%
import argparse
import os
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from scipy.stats import binom

from flowjax_ood import data, models, ood
from flowjax_ood.analysis.flops import count_flops
from flowjax_ood.data.dequantize import dequantize, example_keys
from flowjax_ood.precision import Precision
from flowjax_ood.training.batches import image_batches
from flowjax_ood.training.objectives import Likelihood
from flowjax_ood.training.state import create_state, parameter_count
from flowjax_ood.training.step import make_train_step

parser = argparse.ArgumentParser(description="Time two variants of a training step.")
parser.add_argument("--out", type=Path, help="folder for the figure; temporary unless")
parser.add_argument("--rounds", type=int, default=12, help="of turns, 3 at least")
parser.add_argument("--steps", type=int, default=5, help="in a turn")
parser.add_argument("--batch", type=int, default=32, help="images in a step")
parser.add_argument("--width", type=int, default=32, help="of the st-networks")
# a notebook's kernel has arguments of its own
args, _ = parser.parse_known_args()
OUT = args.out or Path(tempfile.mkdtemp(prefix="benchmark_step_"))
OUT.mkdir(parents=True, exist_ok=True)
BLUE, ORANGE, GRAY = "#0072B2", "#D55E00", "#8A8A8A"

# %% [markdown]
# ## Two variants of one step
#
# They differ in `convolution` alone, and start from the same parameters. Before timing,
# count the work: `count_flops` reads the program, without running it, and counts a
# multiply-add as two. The plain variant's operations are the model's work; a clever one
# may take fewer, or more.

# %%
VARIANTS = ("direct", "products")
optimizer = optax.adam(1e-3)
images = data.load("fashion_mnist:train", source="embedded", limit=1000).images
batches = image_batches(images, batch_size=args.batch, seed=0)
# the same batch each time: loading data is another benchmark
batch = jax.device_put(batches(0))
KEY = jax.random.key(0)
x = dequantize(batch["image"], example_keys(KEY, batch["index"]))


def variant(convolution):
    """Build one: `(step, its first state)`; see `make_train_step`."""
    flow = models.RealNVP(
        (28, 28, 1),
        scales=1,
        couplings=2,
        width=args.width,
        blocks=1,
        norm="none",
        zero_init=True,
        precision=Precision(convolution=convolution),
    )
    state = create_state(flow, optimizer, jax.random.key(1), x)
    return make_train_step(Likelihood(flow), optimizer), state


steps, states = {}, {}
for name in VARIANTS:
    steps[name], states[name] = variant(name)
flops = count_flops(steps["direct"], states["direct"], batch, KEY)
parameters = parameter_count(states["direct"].params)
print(f"{parameters:,} parameters, {args.batch} images a step, {flops / 1e9:.2f} GFLOP")

# %% [markdown]
# ## Compilation is not a step
#
# The first call of a jitted function traces, lowers and compiles it, which takes as
# long as many steps. Do these by hand, and time them by themselves: what `compile`
# returns does nothing but run. It also knows its memory before it runs.
#
# `donate_argnums=0` gives the memory of the old state to the new one. Without it both
# are held, and every step allocates. The old state is gone then: a donated array that
# is used once more is an error, so each call goes on from the state of the last one.
#
# Where a persistent compilation cache is set up, the second time is that of reading a
# file.
#
# Two clocks are read throughout. The *wall* clock is what you wait for. The
# *processor's* counts the seconds that cores have worked for this process: what other
# programs take is not in it. It says nothing of a GPU or TPU, where it is not shown.

# %%
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
if jax.default_backend() != "cpu":
    del CLOCKS["processor"]


def now():
    """What the clocks show, seconds."""
    return np.array([clock() for clock in CLOCKS.values()])


def compiled(step, *arguments, donate=0):
    """Compile ahead of time: `(program, seconds by each clock)`."""
    began = now()
    program = jax.jit(step, donate_argnums=donate).lower(*arguments).compile()
    return program, now() - began


def mebibytes(program):
    """What a program takes besides its arguments, MiB: `(temporary, new outputs)`."""
    memory = program.memory_analysis()
    new = memory.output_size_in_bytes - memory.alias_size_in_bytes
    return memory.temp_size_in_bytes / 2**20, new / 2**20


programs, startup = {}, {}
print(f"\n{'':20}{'seconds to compile, ' + ' and '.join(CLOCKS):>37}", end="")
print(f"{'temporary, MiB':>16}{'new outputs, MiB':>18}")
for name, donate in (*((n, 0) for n in VARIANTS), ("without donation", None)):
    which = name if donate == 0 else VARIANTS[0]
    program, seconds = compiled(steps[which], states[which], batch, KEY, donate=donate)
    if donate == 0:
        programs[name], startup[name] = program, seconds
    print(f"{name:20}{', '.join(f'{each:.1f}' for each in seconds):>37}", end="")
    print("{:16.1f}{:18.2f}".format(*mebibytes(program)))

# %% [markdown]
# ## A result that is not waited for is no result
#
# JAX returns before it has computed: arrays are promises. `block_until_ready` waits.
# The first calls of a program allocate its memory, and are not counted.


# %%
def run(name):
    """Take a step and wait for it: seconds until it returned, and until it was done."""
    began = now()
    states[name], metrics = programs[name](states[name], batch, KEY)
    returned = now() - began
    jax.block_until_ready((states[name], metrics))
    losses[name].append(float(metrics["loss"]))
    return returned, now() - began


losses = {name: [] for name in VARIANTS}
for name in VARIANTS:
    for _ in range(2):
        run(name)
    if name == "direct":
        first = np.median([run(name) for _ in range(5)], axis=0)
        returned, done = 1e3 * first[:, 0]
        print(f"\nreturned after {returned:.1f} ms, done after {done:.1f} ms")


# %% [markdown]
# ## Turns, and one variant against itself
#
# Other work, heat and clocks make a machine faster and slower by more than most changes
# are worth. Ten steps of one and then ten of the other compare two moments. So they
# take turns: in every round each has a few steps, of which the median counts. The order
# is drawn anew each time, so that nobody always follows the same other. What is
# compared is the two of one round: their ratio. Whatever slows both down is gone from
# it.
#
# A third runner is the control: *direct, again* is the same program once more. Its
# ratio is 1, and what is measured of it says what this machine can tell apart now.

# %%
RUNNERS = {"direct": "direct", "direct, again": "direct", "products": "products"}
ROUNDS = max(args.rounds, 3)


def turn(runner):
    """Take the steps of a turn: milliseconds of each, by each clock."""
    run(RUNNERS[runner])  # not counted: caches still hold what another left
    return [1e3 * run(RUNNERS[runner])[1] for _ in range(args.steps)]


taken = {runner: [] for runner in RUNNERS}
rng = np.random.default_rng(0)
for _ in range(ROUNDS):
    for runner in rng.permutation(list(RUNNERS)):
        taken[runner].append(turn(runner))
# [rounds, clocks]
milliseconds = {runner: np.median(turns, axis=1) for runner, turns in taken.items()}

# %% [markdown]
# The median over the rounds is told, since a single round can be off by any factor. Its
# interval of 95 % lies between two of the rounds, and supposes nothing of how they
# scatter: of 12, the third lowest and the third highest. Fewer than six rounds have
# none, and their range is given.
#
# The peak is what the machine does in a product of large matrices, by the same clock;
# the work of the model a second, over it, is the utilisation.


# %%
def median_interval(values):
    """The median, and the interval of it by the order of the values."""
    ordered, count = np.sort(values), len(values)
    # each value is below the true median as a coin shows heads
    k = max(int(binom.ppf(0.025, count, 0.5)), 1)
    return ood.Estimate(np.median(values), ordered[k - 1], ordered[count - k])


def peak():
    """FLOP/s in a product of large matrices, by each clock: the best of several."""
    a = jnp.ones((1024, 1024))
    product = jax.jit(jnp.matmul).lower(a, a).compile()
    seconds = []
    for _ in range(10):
        began = now()
        product(a, a).block_until_ready()
        seconds.append(now() - began)
    return 2 * len(a) ** 3 / np.min(seconds, axis=0)


highest, ratios, of_rounds = peak(), {}, {}
print(f"\n{ROUNDS} rounds, {args.steps} steps a turn, {os.cpu_count()} cores; ", end="")
print("GFLOP/s at the peak: ", end="")
print(", ".join(f"{f / 1e9:.0f} ({c})" for c, f in zip(CLOCKS, highest, strict=True)))
print(f"{'':26}{'step, ms':>10}{'range':>14}{'utilisation':>13}", end="")
print(f"{'times as fast, 95 %':>22}{'range':>16}")
for at, clock in enumerate(CLOCKS):
    for runner in RUNNERS:
        each = milliseconds[runner][:, at]
        ends = f"{each.min():.0f} ... {each.max():.0f}"
        used = flops / (np.median(each) / 1e3) / highest[at]
        line = f"{clock:11}{runner:15}{np.median(each):10.1f}{ends:>14}{used:13.0%}"
        if runner != "direct":
            of_round = milliseconds["direct"][:, at] / each
            found = median_interval(of_round)
            ratios[runner, clock], of_rounds[runner, clock] = found, of_round
            line += f"{'{:.2f} [{:.2f}, {:.2f}]'.format(*found):>22}"
            line += f"{f'{of_round.min():.2f} ... {of_round.max():.2f}':>16}"
        print(line)

# %% [markdown]
# When this page was written, four runs on two cores gave 1.39 to 1.45 by the wall
# clock, and 0.98 to 1.01 for the control: the gain is real, and a difference of a few
# per cent would not be told. By the processor it was 1.38 to 1.45. In an earlier run,
# with much other work on the machine, the steps of one turn took 1.2 s by the wall
# instead of 0.14, and the ratio of that round to the very same program was 6; by the
# processor no round was off by more than a tenth. None of it says anything of another
# machine, another width or another batch.
#
# The step reached a seventh of the peak, and a fifth with products: convolutions of 32
# channels are no large matrices. The peak is of the moment, too. While another program
# held one of the two cores it was half as high.
#
# ## The same result
#
# A faster step that computes something else is no faster step. Both have taken as many
# steps from the same parameters by the same batch, and their losses are compared.

# %%
count = min(map(len, losses.values()))
curves = {name: np.array(of[:count]) for name, of in losses.items()}
apart = np.abs(curves["direct"] - curves["products"]) / np.abs(curves["direct"])
print(f"\nloss after {count} steps: {curves['direct'][-1]:.2f}", end="")
print(f" and {curves['products'][-1]:.2f} nats, from {curves['direct'][0]:.2f};")
print(f"apart by {apart[0]:.0e} of it at the first step, {apart.max():.0e} at most")

# %% [markdown]
# They differ by rounding, which training makes larger from step to step. Were they
# apart by 1e-3 at the first step, it would not be rounding.
#
# ## When does it pay?
#
# The faster step may take longer to compile. Seconds of both are on one scale, so the
# number of steps from which it pays can be read off; of the processor, if that is what
# computes.

# %%
clock = len(CLOCKS) - 1
seconds = {name: np.median(milliseconds[name][:, clock]) / 1e3 for name in VARIANTS}
start = {name: startup[name][clock] for name in VARIANTS}
saved, later = (
    seconds["direct"] - seconds["products"],
    start["products"] - start["direct"],
)
even = later / saved
if saved > 0:
    pays = f"it pays after {even:,.0f} steps" if later > 0 else "it pays at once"
else:
    pays = "it is not the faster one"
print(f"\nproducts: {later:+.1f} s to compile, {-1e3 * saved:+.0f} ms a step: ", end="")
print(pays)

# %%
figure, panels = plt.subplots(
    1, 3, figsize=(13, 3.8), width_ratios=(1.5, 1.5, 1), layout="constrained"
)
COLORS = {"direct": ORANGE, "direct, again": GRAY, "products": BLUE}
numbers = np.arange(1, ROUNDS + 1)
for runner, color in COLORS.items():
    for at, style in zip(range(len(CLOCKS)), ("o-", "o--"), strict=False):
        label = runner if at == 0 else None
        each = milliseconds[runner][:, at]
        panels[0].plot(numbers, each, style, color=color, ms=3, label=label)
panels[0].set(title="ms a step", xlabel="round")
if len(CLOCKS) == 2:
    panels[0].set(title="ms a step: wall (line) and processor (dashes)")
# a round that is off by a factor would hide all others
every = np.concatenate(list(milliseconds.values()))
panels[0].set_ylim(0, min(1.15 * every.max(), 3 * np.median(every)))
panels[0].legend(frameon=False, loc="lower left")
panels[1].axvline(1, color=GRAY, lw=1, ls=":")
for at, ((runner, _), each) in enumerate(of_rounds.items()):
    value, low, high = list(ratios.values())[at]
    color, error = COLORS[runner], [[value - low], [high - value]]
    height = at - np.linspace(0.3, 0.1, ROUNDS)
    panels[1].plot(each, height, "o", color=color, ms=4, alpha=0.5, mew=0)
    panels[1].errorbar(value, at + 0.1, xerr=error, fmt="D", color=color, capsize=4)
panels[1].set_yticks(range(len(ratios)), [f"{name}\n{clock}" for name, clock in ratios])
panels[1].set(xscale="log", xlabel="times as fast as direct")
every = np.concatenate(list(of_rounds.values()))
ticks = [0.1, 0.2, 0.5, 0.7, 1, 1.4, 2, 5, 10]
panels[1].set_xticks(ticks, ticks)
panels[1].xaxis.minorticks_off()
panels[1].set_xlim(min(0.65, 0.9 * every.min()), max(1.6, 1.1 * every.max()))
panels[1].set_title("each round, and the median, 95 %")
panels[1].invert_yaxis()
number = np.linspace(0, 3 * even if 1 < even < 1e5 else 30, 50)
for name in VARIANTS:
    panels[2].plot(
        number, start[name] + number * seconds[name], color=COLORS[name], label=name
    )
panels[2].set(title="seconds in all", xlabel="steps", ylim=(0, None))
panels[2].legend(frameon=False)
for panel in panels:
    panel.spines[["top", "right"]].set_visible(False)
figure.savefig(OUT / "benchmark_step.png", dpi=150)
plt.close(figure)
print(f"\nbenchmark_step.png is in {OUT}")
