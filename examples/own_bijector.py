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
# # A bijector of your own
#
# You write a map that the library does not have, as a pair of pure functions and a
# Flax module around it, check it by the laws that every bijector here is tested by,
# and use it in a flow of a table whose columns are skewed. What it is worth is
# measured: the same flow without it, on rows that nothing was fitted to.
#
# It needs scikit-learn for the table. About 20 seconds on two cores:
#
#     pip install -e '.[tables]'
#     python examples/own_bijector.py --out figures
#
# It opens as a notebook, too (jupytext).

# %%
import argparse
import tempfile
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from sklearn.datasets import load_breast_cancer

from flowjax_ood.bijectors import ActNorm, Bijector, Chain, MaskedAffine, sum_event
from flowjax_ood.distributions import Flow
from flowjax_ood.networks import MADE, Bound

parser = argparse.ArgumentParser(description="Write, check and use a bijector.")
parser.add_argument("--out", type=Path, help="folder for the figure; temporary unless")
parser.add_argument("--steps", type=int, default=1000, help="of training, of each flow")
# a notebook's kernel has arguments of its own
args, _ = parser.parse_known_args()
OUT = args.out or Path(tempfile.mkdtemp(prefix="own_bijector_"))
OUT.mkdir(parents=True, exist_ok=True)
CHUNK = 25  # steps between looks at the validation rows
BLUE, ORANGE, GRAY = "#0072B2", "#D55E00", "#8A8A8A"

# %% [markdown]
# ## A pair of functions
#
# The sinh-arcsinh map bends every value by itself: `z = sinh(s arcsinh(x) + a)`. The
# number a skews, and s > 0 makes tails lighter or heavier. Both directions are closed
# formulas. What makes it a bijector is the *log-determinant*, in nats: the log of the
# slope, summed over the values of an event. With `u = s arcsinh(x) + a`,
#
#     dz/dx = cosh(u) s / sqrt(1 + x^2)
#
# Each direction returns that of the map it has just applied, so that of the inverse
# is the same number with the other sign. `sum_event` sums over all but the batch
# axis, in float32 or wider. Source of the map: Jones and Pewsey 2009.


# %%
def log_cosh(u):
    """`log cosh(u)`, which does not overflow where cosh does."""
    return jnp.abs(u) + jnp.log1p(jnp.exp(-2 * jnp.abs(u))) - jnp.log(2.0)


def log_slope(x, u, log_s):
    """`log dz/dx`, elementwise."""
    return log_cosh(u) + log_s - 0.5 * jnp.log1p(x**2)


def sinh_arcsinh(x, skew, log_s):
    """`(z, logdet [B])`."""
    u = jnp.exp(log_s) * jnp.arcsinh(x) + skew
    return jnp.sinh(u), sum_event(log_slope(x, u, log_s))


def sinh_arcsinh_inverse(z, skew, log_s):
    """`(x, logdet [B])`, the exact inverse."""
    u = jnp.arcsinh(z)
    x = jnp.sinh((u - skew) * jnp.exp(-log_s))
    return x, -sum_event(log_slope(x, u, log_s))


# %% [markdown]
# ## The module around it
#
# It owns the parameters, one pair a column, and starts as the identity. Anything with
# these two methods goes into `Chain`, `Inverse`, `Repeat` and `Flow`. `cond` is for
# maps that depend on a condition; this one does not, and ignores it.


# %%
class SinhArcsinh(Bijector):
    """`z = sinh(s arcsinh(x) + a)`; s and a are learned for every value of an event."""

    def _numbers(self, event):
        shape = event.shape[1:]
        skew = self.param("skew", nn.initializers.zeros, shape)
        return skew, self.param("log_s", nn.initializers.zeros, shape)

    @nn.compact
    def forward(self, x, cond=None):
        return sinh_arcsinh(x, *self._numbers(x))

    @nn.compact
    def inverse(self, z, cond=None):
        return sinh_arcsinh_inverse(z, *self._numbers(z))


# %% [markdown]
# ## The laws
#
# A wrong log-determinant does not crash: the flow trains, and its likelihoods are
# wrong. So it is compared with the determinant of the Jacobian that JAX computes, in
# float64 and with random parameters, since at the identity much is right by chance.
# The laws:
#
# * back is where it began, and the log-determinants of both ways cancel;
# * the log-determinant is that of the Jacobian.


# %%
def laws(bijector, x, key=0):
    """The largest errors of `(round trip, both ways, Jacobian)`."""
    with jax.enable_x64(True):
        x = jnp.asarray(x, jnp.float64)
        variables = bijector.init(jax.random.key(key), x)
        leaves, tree = jax.tree.flatten(variables)
        keys = jax.random.split(jax.random.key(key + 1), len(leaves))
        drawn = [
            0.5 * jax.random.normal(key, leaf.shape, jnp.float64)
            for key, leaf in zip(keys, leaves, strict=True)
        ]
        variables = jax.tree.unflatten(tree, drawn)
        z, logdet = bijector.apply(variables, x)
        again, back = bijector.apply(variables, z, method="inverse")

        def alone(row):
            return bijector.apply(variables, row[None])[0][0]

        jacobian = jax.vmap(jax.jacfwd(alone))(x)
        exact = jnp.linalg.slogdet(jacobian)[1]
        errors = (again - x, logdet + back, logdet - exact)
        return tuple(float(jnp.abs(error).max()) for error in errors)


class Careless(SinhArcsinh):
    """The same map, with the slope of arcsinh forgotten in both directions."""

    def forward(self, x, cond=None):
        z, logdet = super().forward(x)
        return z, logdet + sum_event(0.5 * jnp.log1p(x**2))

    def inverse(self, z, cond=None):
        x, logdet = super().inverse(z)
        return x, logdet - sum_event(0.5 * jnp.log1p(x**2))


points = np.random.default_rng(0).normal(scale=3, size=(64, 5))
print(f"{'':14}{'round trip':>12}{'both ways':>12}{'Jacobian':>12}")
checked = {}
for bijector in (SinhArcsinh(), Careless()):
    name = type(bijector).__name__
    checked[name] = laws(bijector, points)
    print(f"{name:14}" + "".join(f"{error:12.1e}" for error in checked[name]))

# %% [markdown]
# `Careless` has a mistake that is easily made. It keeps two of the three laws: only
# the Jacobian tells. A bijector that you add to the library itself goes into
# `tests/helpers/law_table.py`, and is tested by these laws and more.
#
# ## In a flow
#
# 569 rows of 30 columns, most of them skewed: radii, areas, and their standard
# errors. Columns are standardised by the training rows alone, and log-likelihoods are
# of these units. Two flows to put it into, each with it and without:
#
# * *columns alone*: a scale and a shift for each, so without ours a normal density;
# * *with those before*: `MaskedAffine` scales and shifts each column by those before
#   it.


# %%
table = load_breast_cancer()
rows = np.random.default_rng(0).permutation(table.data)
train, validation, test = np.split(rows, [7 * len(rows) // 10, 17 * len(rows) // 20])
mean, std = train.mean(0), train.std(0)
train, validation, test = (
    ((part - mean) / std).astype(np.float32) for part in (train, validation, test)
)
DIM = train.shape[1]


ALONE = (ActNorm(),)
BEFORE = (ActNorm(), MaskedAffine(Bound(MADE, (32,))))
KINDS = {"columns alone": ALONE, "with those before": BEFORE}


def flows_of(parts):
    """The flow of these parts, without ours and with it in front."""
    both = {"without": parts, "with ours": (SinhArcsinh(), *parts)}
    return {name: Flow(Chain(list(chain)), (DIM,)) for name, chain in both.items()}


# %% [markdown]
# Maximum likelihood, and what counts is the state that was best on validation rows:
# 398 rows are few.


# %%
def fit(flow):
    """Return the variables that were best on validation rows, and the curve of it."""
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adam(optax.cosine_decay_schedule(5e-3, args.steps)),
    )
    variables = jax.jit(flow.init)(jax.random.key(0), train)

    def step(carry, key):
        variables, state = carry
        x = jnp.asarray(train)[jax.random.randint(key, (128,), 0, len(train))]
        gradients = jax.grad(lambda v: -flow.apply(v, x).mean())(variables)
        updates, state = optimizer.update(gradients, state, variables)
        return (optax.apply_updates(variables, updates), state), None

    @jax.jit
    def some_steps(variables, state, keys):
        (variables, state), _ = jax.lax.scan(step, (variables, state), keys)
        return variables, state, flow.apply(variables, validation).mean()

    keys = jax.random.split(jax.random.key(1), max(args.steps // CHUNK, 1) * CHUNK)
    state, best, curve = optimizer.init(variables), variables, [-np.inf]
    for some in keys.reshape(-1, CHUNK):
        variables, state, score = some_steps(variables, state, some)
        if score > max(curve):
            best = variables
        curve.append(float(score))
    return best, np.array(curve[1:])


fitted, curves, gains = {}, {}, {}
print(f"\nbreast cancer, {len(test)} test rows: log-likelihood, nats a row")
print(f"{'':20}{'without':>10}{'with ours':>11}{'gain, row by row':>22}")
for kind, parts in KINDS.items():
    scores = []
    for name, flow in flows_of(parts).items():
        fitted[kind, name], curves[kind, name] = fit(flow)
        scores.append(np.asarray(jax.jit(flow.apply)(fitted[kind, name], test)))
    gain = scores[1] - scores[0]
    gains[kind] = gain.mean(), gain.std(ddof=1) / np.sqrt(len(gain))
    text = f"{gains[kind][0]:.2f} +- {gains[kind][1]:.2f}"
    print(f"{kind:20}{scores[0].mean():10.2f}{scores[1].mean():11.2f}{text:>22}")

# %% [markdown]
# All flows see the same rows, so the gain is taken row by row, and its error is
# smaller than that of either. Of columns alone the map is worth much. Where a column
# is scaled by those before it, that does part of the work, since a large radius goes
# with a wide spread of areas, and what is left to gain is twice its error.
#
# ## What it does
#
# Of columns alone: one before and after its map, beside the normal density that the
# base expects, and how much each is skewed.

# %%
learned = fitted["columns alone", "with ours"]["params"]["bijector"]
ours = next(part for part in learned.values() if "skew" in part)
bent, _ = sinh_arcsinh(train, ours["skew"], ours["log_s"])


def skewness(x):
    """The third moment of standardised columns: 0 where both tails are alike."""
    return (((x - x.mean(0)) / x.std(0)) ** 3).mean(0)


before, after = skewness(train), skewness(np.asarray(bent))
print(
    f"\nmean |skewness| of columns: {np.abs(before).mean():.2f} before its map, ",
    end="",
)
print(f"{np.abs(after).mean():.2f} behind it")

# %%
figure, panels = plt.subplots(1, 3, figsize=(12, 3.2), layout="constrained")
column = int(before.argmax())
grid = np.linspace(-3.5, 3.5, 200)
normal = np.exp(-0.5 * grid**2) / np.sqrt(2 * np.pi)
shown = {"as it is": (train, ORANGE), "behind the map": (np.asarray(bent), BLUE)}
for label, (values, color) in shown.items():
    values = values[:, column]
    values = (values - values.mean()) / values.std()
    panels[0].hist(
        values,
        np.linspace(-3.5, 5, 40),
        density=True,
        color=color,
        alpha=0.6,
        label=label,
    )
panels[0].plot(grid, normal, color=GRAY, label="normal density")
panels[0].set(title=f"{table.feature_names[column]}, standardised", yticks=[])
panels[0].legend(frameon=False)
order = np.argsort(before)
panels[1].axhline(0, color=GRAY, lw=0.8)
panels[1].plot(before[order], "o", color=ORANGE, ms=4, label="as they are")
panels[1].plot(after[order], "o", color=BLUE, ms=4, label="behind the map")
panels[1].set(title="skewness of columns", xlabel="columns, by skewness", xticks=[])
panels[1].legend(frameon=False)
for (kind, name), curve in curves.items():
    panels[2].plot(
        CHUNK * np.arange(1, len(curve) + 1),
        curve,
        color=BLUE if name == "with ours" else ORANGE,
        ls="-" if kind == "columns alone" else "--",
        label=f"{kind}, {name}",
    )
panels[2].set(title="validation, nats a row", xlabel="steps", ylim=(-48, None))
panels[2].legend(frameon=False, fontsize=8, loc="center right")
for panel in panels:
    panel.spines[["top", "right"]].set_visible(False)
figure.savefig(OUT / "own_bijector.png", dpi=150)
plt.close(figure)
print(f"own_bijector.png is in {OUT}")
