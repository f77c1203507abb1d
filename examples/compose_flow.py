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
# # Compose a flow from parts
#
# Two flows, of points and of a table, each a few bijectors in a chain. Both are trained
# here and compared with a Gaussian and a kernel density estimate on rows that nothing
# was fitted to. About a minute on two cores:
#
#     pip install -e '.[tables]'
#     python examples/compose_flow.py --out figures
#
# It opens as a notebook, too (jupytext).

# %%
import argparse
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from scipy.stats import multivariate_normal
from sklearn.datasets import load_breast_cancer, make_moons
from sklearn.neighbors import KernelDensity

from flowjax_ood import masks
from flowjax_ood.bijectors import (
    ActNorm,
    Chain,
    Householder,
    MaskedAffine,
    MaskedSpline,
    Repeat,
    SplineCoupling,
)
from flowjax_ood.distributions import Flow
from flowjax_ood.networks import MADE, MLP, Bound

parser = argparse.ArgumentParser(description="Compose, train and draw two flows.")
parser.add_argument("--out", type=Path, help="folder for the figures; temporary unless")
parser.add_argument("--steps", type=int, default=1000, help="of training, of each flow")
# a notebook's kernel has arguments of its own
args, _ = parser.parse_known_args()
OUT = args.out or Path(tempfile.mkdtemp(prefix="compose_flow_"))
OUT.mkdir(parents=True, exist_ok=True)
CHUNK = 50  # steps between looks at the validation rows
BLUE, ORANGE, GRAY = "#0072B2", "#D55E00", "#8A8A8A"

# %% [markdown]
# ## Parts
#
# A bijector goes from data to latents, and back. `Chain([a, b])` applies a, then b. A
# `Flow` is a bijector with a base density, N(0, I) unless said otherwise.
#
# Two moons: splines bend one coordinate as the other says, in turn, and reflections
# that are learned come between. `Repeat` makes three such blocks of one, each with its
# own parameters. `Bound` is a `functools.partial` that compares by value.

# %%
network = Bound(MLP, width=32, zero_init=True)


def spline(index):
    """Make coupling `index`: one half is bent, by what the other half says."""
    return SplineCoupling(network, masks.alternate_halves, index, bins=8, bound=4.0)


block = Chain([spline(0), spline(1), Householder(2)])
moons_flow = Flow(Chain([ActNorm(), Repeat(block, 3)]), (2,))

# %% [markdown]
# The table has 30 columns that say much about each other: radius, perimeter and area of
# the same cells. Here each column is moved and scaled by those before it, and then bent
# by those after it.

# %%
columns = load_breast_cancer()
DIM = columns.data.shape[1]
table_flow = Flow(
    Chain(
        [
            ActNorm(),
            Householder(DIM),
            MaskedAffine(Bound(MADE, (64,))),
            ActNorm(),
            MaskedSpline(Bound(MADE, (32,)), "reversed", bins=6, bound=4.0),
        ]
    ),
    (DIM,),
)

# %% [markdown]
# ## Training
#
# Maximum likelihood: `flow.apply` is a pure function, so any optimiser will do. What
# counts is the state that was best on validation rows.


# %%
def fit(flow, train, validation, steps, batch=128, rate=2e-3):
    """Return the variables that were best on `validation`, and the curve of it."""
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(optax.cosine_decay_schedule(rate, steps), weight_decay=0.01),
    )
    train = jnp.asarray(train)
    # ActNorm starts from the rows given here
    variables = jax.jit(flow.init)(jax.random.key(0), train)

    def step(carry, key):
        variables, state = carry
        x = train[jax.random.randint(key, (batch,), 0, len(train))]
        gradients = jax.grad(lambda v: -flow.apply(v, x).mean())(variables)
        updates, state = optimizer.update(gradients, state, variables)
        return (optax.apply_updates(variables, updates), state), None

    @jax.jit
    def some_steps(variables, state, keys):
        (variables, state), _ = jax.lax.scan(step, (variables, state), keys)
        return variables, state, flow.apply(variables, validation).mean()

    keys = jax.random.split(jax.random.key(1), max(steps // CHUNK, 1) * CHUNK)
    state, best, curve = optimizer.init(variables), variables, [-np.inf]
    for some in keys.reshape(-1, CHUNK):
        variables, state, score = some_steps(variables, state, some)
        if score > max(curve):
            best = variables
        curve.append(float(score))
    return best, np.array(curve[1:])


def parts_of(rows, seed=0):
    """Shuffle rows: 70 % to train on, 15 % to choose by, 15 % to test on."""
    rows = np.random.default_rng(seed).permutation(rows)
    train, validation, test = np.split(
        rows, [7 * len(rows) // 10, 17 * len(rows) // 20]
    )
    return train, validation, test


def baselines(train, validation):
    """Fit a Gaussian and a kernel density estimate; its bandwidth by `validation`."""
    gaussian = multivariate_normal(train.mean(0), np.cov(train.T))
    kernels = [KernelDensity(bandwidth=h).fit(train) for h in np.geomspace(0.02, 1, 15)]
    return gaussian, max(kernels, key=lambda kernel: kernel.score(validation))


def compare(name, scores):
    """Print mean log-likelihoods of the test rows, each with its standard error."""
    print(f"\n{name}: log-likelihood, nats a row")
    for method, values in scores.items():
        error = np.std(values, ddof=1) / np.sqrt(len(values))
        print(f"  {method:10} {np.mean(values):8.2f} +- {error:.2f}")


# %% [markdown]
# ## Two moons

# %%
points = make_moons(4000, noise=0.06, random_state=0)[0].astype(np.float32)
train, validation, test = parts_of(points)
moons, moons_curve = fit(moons_flow, train, validation, args.steps)
gaussian, kernel = baselines(train, validation)
moons_log_prob = jax.jit(moons_flow.apply)
compare(
    "two moons",
    {
        "flow": moons_log_prob(moons, test),
        "Gaussian": gaussian.logpdf(test),
        "KDE": kernel.score_samples(test),
    },
)

# %% [markdown]
# Every part is undone exactly, so the whole is, and a sample comes with its density.

# %%
draw = jax.jit(
    lambda v, key: moons_flow.apply(v, key, 2000, method="sample_and_log_prob")
)
drawn, drawn_log_prob = draw(moons, jax.random.key(2))
latents = moons_flow.apply(moons, test, method="latents")
again = moons_flow.apply(moons, latents, method="from_latents")
print(f"  there and back: {np.abs(again - test).max():.1e} at most")
off = np.abs(moons_log_prob(moons, drawn) - drawn_log_prob).max()
print(f"  densities of samples, both ways: {off:.1e} nats at most")

# %%
LIMITS = (-1.6, 2.6, -1.1, 1.6)
SIDE = 150
across, up = (np.linspace(*LIMITS[i : i + 2], SIDE, dtype="float32") for i in (0, 2))
grid = np.stack(np.meshgrid(across, up), -1).reshape(-1, 2)
densities = {
    "flow": np.exp(moons_log_prob(moons, grid)),
    "KDE": np.exp(kernel.score_samples(grid)),
    "Gaussian": gaussian.pdf(grid),
}
figure, panels = plt.subplots(1, 5, figsize=(17, 3), layout="constrained")
panels[0].scatter(*test.T, s=4, color=GRAY, lw=0)
panels[0].set_title("test points")
panels[1].scatter(*np.asarray(drawn)[: len(test)].T, s=4, color=BLUE, lw=0)
panels[1].set_title("samples of the flow")
top = max(density.max() for density in densities.values())
for panel, (method, density) in zip(panels[2:], densities.items(), strict=True):
    image = panel.imshow(
        density.reshape(SIDE, SIDE),
        origin="lower",
        extent=LIMITS,
        aspect="auto",
        cmap="Blues",
        vmax=top,
        vmin=0,
    )
    panel.set_title(f"density: {method}")
figure.colorbar(image, ax=panels, fraction=0.03, pad=0.01)
for panel in panels:
    panel.set(xlim=LIMITS[:2], ylim=LIMITS[2:], xticks=[], yticks=[])
figure.savefig(OUT / "moons.png", dpi=150)
plt.close(figure)

# %% [markdown]
# ## A table
#
# 569 rows are few for 30 columns: what counts is an early state. Columns are
# standardised first, by the training rows alone; log-likelihoods are of these units.

# %%
rows = parts_of(columns.data)
mean, std = rows[0].mean(0), rows[0].std(0)
train, validation, test = (((part - mean) / std).astype(np.float32) for part in rows)
table, table_curve = fit(table_flow, train, validation, args.steps // 2)
gaussian, kernel = baselines(train, validation)
compare(
    "breast cancer, 30 columns",
    {
        "flow": jax.jit(table_flow.apply)(table, test),
        "Gaussian": gaussian.logpdf(test),
        "KDE": kernel.score_samples(test),
    },
)

# %% [markdown]
# What the flow has learned and a Gaussian cannot: an area grows with the square of a
# radius, and hardly anything lies below 0.

# %%
sample = jax.jit(lambda v, key: table_flow.apply(v, key, 400, method="sample"))
shown = {
    "rows of the table": (columns.data, GRAY),
    "samples of the flow": (sample(table, jax.random.key(3)) * std + mean, BLUE),
    "samples of the Gaussian": (
        gaussian.rvs(400, random_state=0) * std + mean,
        ORANGE,
    ),
}
pairs = [("mean radius", "mean area"), ("mean concavity", "mean concave points")]
pairs += [("radius error", "area error")]
figure, panels = plt.subplots(
    len(pairs), 3, figsize=(11, 9), sharex="row", sharey="row", layout="constrained"
)
place = list(columns.feature_names).index
for line, (first, second) in zip(panels, pairs, strict=True):
    for panel, (name, (values, color)) in zip(line, shown.items(), strict=True):
        values = np.asarray(values)
        panel.scatter(
            values[:, place(first)], values[:, place(second)], s=6, color=color, lw=0
        )
        panel.set_title(name)
        panel.set_xlabel(first)
        panel.axhline(0, color=GRAY, lw=0.6)
    line[0].set_ylabel(second)
figure.savefig(OUT / "table.png", dpi=150)
plt.close(figure)

# %%
figure, panels = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
curves = {"two moons": moons_curve, "breast cancer": table_curve}
for panel, (name, curve) in zip(panels, curves.items(), strict=True):
    panel.plot(CHUNK * np.arange(1, len(curve) + 1), curve, color=BLUE)
    panel.set(title=name, xlabel="steps", ylabel="validation, nats a row")
figure.savefig(OUT / "training.png", dpi=150)
plt.close(figure)
print(f"\nmoons.png, table.png and training.png are in {OUT}")
