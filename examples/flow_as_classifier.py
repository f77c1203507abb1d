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
# # A conditional flow as a classifier
#
# A flow that is given the class is a density of each class, and by Bayes' rule a
# classifier. Summed over the classes it is a density of images that have no label. Two
# such flows learn small digits here. Each use stands beside what is made for it: their
# classes beside a logistic regression and others, their confidence beside how often
# they are right, their likelihood of outliers beside neighbours among pixels.
#
# It needs scikit-learn for the digits. About half a minute on two cores:
#
#     pip install -e '.[tables]'
#     python examples/flow_as_classifier.py --out figures
#
# It opens as a notebook, too (jupytext).

# %%
import argparse
import tempfile
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from scipy.special import log_softmax, logsumexp
from sklearn.datasets import load_digits
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import SVC

from flowjax_ood import data, models, ood
from flowjax_ood.data.dequantize import dequantize, example_keys, quantize
from flowjax_ood.distributions import one_hot_condition

parser = argparse.ArgumentParser(description="Classify by conditional flows.")
parser.add_argument("--out", type=Path, help="folder for the figure; temporary unless")
parser.add_argument("--steps", type=int, default=1000, help="of training, of each flow")
parser.add_argument("--draws", type=int, default=16, help="of noise, for each image")
# a notebook's kernel has arguments of its own
args, _ = parser.parse_known_args()
OUT = args.out or Path(tempfile.mkdtemp(prefix="flow_as_classifier_"))
OUT.mkdir(parents=True, exist_ok=True)
BLUE, ORANGE, GRAY = "#0072B2", "#D55E00", "#8A8A8A"
YELLOW, PURPLE = "#E69F00", "#AA4499"
CLASSES, BINS, SHAPE = 10, 16, (8, 8, 1)

# %% [markdown]
# ## The digits
#
# 1,797 pictures of 8 x 8 pixels: 1,000 to fit to, 300 to choose by, and the others are
# tested. They have 17 levels, and a power of two is wanted, so the 17th becomes the
# 16th. Whole numbers have no density: each pixel gets uniform noise that fills its
# level, and another each time it is looked at.

# %%
table = load_digits()
order = np.random.default_rng(1).permutation(len(table.images))
digits = table.images[order].clip(0, BINS - 1).astype(np.uint8)[..., None]
train, choosing, test = np.split(digits, [1000, 1300])
labels, choosing_labels, test_labels = np.split(table.target[order], [1000, 1300])


def noisy(images, key):
    """Floats in [0, 1), with the noise of this key."""
    keys = example_keys(key, jnp.arange(len(images)))
    return dequantize(images, keys, BINS)


# %% [markdown]
# ## Two flows
#
# `class_conditional` makes any flow one of classes. There are two places for the class:
#
# * *in the base*: one map for all, and each class is a Gaussian of its own behind it;
# * *in the couplings*: the class is given to all networks, and so has a map of its own.
#   All ten are then computed for an image whose class is not known.
#
# The map is a masked autoregressive flow of two layers, value by value. It is trained
# by the likelihood of images with their class, and nothing asks it to tell classes
# apart. 1,000 images are few: weight decay keeps it from learning them by heart.

# %%
BASE, COUPLINGS = "flow, class in the base", "flow, in the couplings"
PARTS = {BASE: "base", COUPLINGS: "couplings"}
plain = models.MAF(SHAPE, layers=2, hidden=(128,))
flows = {
    name: models.class_conditional(plain, CLASSES, part) for name, part in PARTS.items()
}
cond = one_hot_condition(labels, CLASSES)


def trained(flow):
    """Train a flow by maximum likelihood: its variables."""
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(optax.cosine_decay_schedule(2e-3, args.steps), weight_decay=0.5),
    )
    variables = jax.jit(flow.init)(
        jax.random.key(0), noisy(train, jax.random.key(1)), cond
    )

    def step(carry, key):
        variables, state = carry
        rows_key, noise_key = jax.random.split(key)
        rows = jax.random.randint(rows_key, (128,), 0, len(train))
        x = noisy(jnp.asarray(train)[rows], noise_key)

        def loss(variables):
            return -flow.apply(variables, x, cond[rows]).mean() / flow.dims

        updates, state = optimizer.update(jax.grad(loss)(variables), state, variables)
        return (optax.apply_updates(variables, updates), state), None

    keys = jax.random.split(jax.random.key(2), args.steps)
    start = variables, optimizer.init(variables)
    return jax.jit(lambda start: jax.lax.scan(step, start, keys))(start)[0][0]


variables = {name: trained(flow) for name, flow in flows.items()}

# %% [markdown]
# ## Bayes' rule
#
# `class_log_joint` is `log p(x, class)` of all classes: `[N, 10]`. What is asked for is
# the probability of an image, whose noise is not part of it: the mean of the density
# over draws of noise. The softmax over the classes of its logarithm is
# `p(class | image)`, and the sum over them the probability of the image with no label.


# %%
@partial(jax.jit, static_argnums=0)
def of_a_draw(flow, variables, images, key):
    """`log p(x, class)` with the noise of this key."""
    return flow.apply(variables, noisy(images, key), method="class_log_joint")


def joints(name, images):
    """`log p(image, class)` of every class, but for a constant, nats: `[N, 10]`."""
    keys = jax.random.split(jax.random.key(3), args.draws)
    by_draw = [of_a_draw(flows[name], variables[name], images, key) for key in keys]
    return logsumexp(by_draw, 0) - np.log(args.draws)


def flat(images):
    """The pixels of each image in a row, in [0, 1)."""
    return images.reshape(len(images), -1) / BINS


def log_loss(log_posterior, labels):
    """The mean of `-log p(label | image)`, nats."""
    return -log_posterior[np.arange(len(labels)), labels].mean()


# %% [markdown]
# The others see the same 1,000 images. *Ten Gaussians* are one a class in the space of
# pixels, with all covariances: what the flow with the class in its couplings would be,
# were its maps linear. Of the logistic regression the penalty is chosen by the 300
# images.

# %%
others = [
    LogisticRegression(C=c, max_iter=1000).fit(flat(train), labels)
    for c in (0.1, 1, 10)
]
of_choosing = [m.predict_log_proba(flat(choosing)) for m in others]
best = np.argmin([log_loss(each, choosing_labels) for each in of_choosing])
logistic = others[best]
gaussians = QuadraticDiscriminantAnalysis(reg_param=0.1).fit(flat(train), labels)
machine = SVC().fit(flat(train), labels)

joint = {name: joints(name, test) for name in flows}
log_posterior = {
    "logistic regression": logistic.predict_log_proba(flat(test)),
    "ten Gaussians": gaussians.predict_log_proba(flat(test)),
    **{name: log_softmax(each, 1) for name, each in joint.items()},
}
predicted = {name: each.argmax(1) for name, each in log_posterior.items()}
predicted["support vectors"] = machine.predict(flat(test))
right = {name: each == test_labels for name, each in predicted.items()}

# %% [markdown]
# All see the same test images, so the difference to the logistic regression is taken
# image by image. Intervals are of 95 %, over the images.

# %%
gains = {}
print(f"{len(test)} test images")
print(f"{'':26}{'right':>8}{'more than the logistic regression':>36}")
for name, each in right.items():
    line = f"{name:26}{each.mean():8.3f}"
    if name != "logistic regression":
        difference = each.astype(float) - right["logistic regression"]
        gains[name] = ood.mean_ci(difference)
        line += " " * 11 + "{:+.3f} [{:+.3f}, {:+.3f}]".format(*gains[name])
    print(line)

# %% [markdown]
# The flow with the class in its couplings is no worse a classifier than a logistic
# regression, by what 497 images can tell, and no better. With the class in the base it
# is worse: one map for all has to bend ten classes into ten Gaussians, and nothing
# rewards it for keeping them apart. Neither is the best classifier here. Support
# vectors are, and ten plain Gaussians are next to them. A flow is trained to know what
# digits look like, which is more than the classes need.
#
# ## How sure it is, and how often it is right
#
# The log of a likelihood adds up over 64 pixels, and so do its mistakes: of two classes
# one is soon ahead by more than it deserves. One number mends most of it:
# `softmax(log p(x, class) / T)`, with T chosen by the 300 images. The classes stay the
# same.

# %%
TEMPERATURES = np.geomspace(1, 10, 50)


def by_temperature(joint, labels):
    """The log loss at every temperature."""
    return np.array([log_loss(log_softmax(joint / t, 1), labels) for t in TEMPERATURES])


temperature, losses = {}, {}
for name in flows:
    each = by_temperature(joints(name, choosing), choosing_labels)
    temperature[name] = TEMPERATURES[each.argmin()]
    cooled = log_softmax(joint[name] / temperature[name], 1)
    log_posterior[f"{name}, T = {temperature[name]:.1f}"] = cooled
print(f"\n{'':34}{'log loss':>10}{'mean confidence':>17}{'right':>8}")
for name, each in log_posterior.items():
    losses[name] = log_loss(each, test_labels)
    sure = np.exp(each.max(1)).mean()
    correct = (each.argmax(1) == test_labels).mean()
    print(f"{name:34}{losses[name]:10.3f}{sure:17.3f}{correct:8.3f}")

# %% [markdown]
# Uncooled, the better flow has a mean confidence of 0.99, is right for 0.97 of the
# images, and pays for its mistakes: its log loss is 0.24, that of the logistic
# regression 0.15. At T = 3 it is 0.13. Ten Gaussians have 0.09 and need no such help.
#
# ## Outliers, without labels
#
# The sum over classes is a likelihood of any image. Four kinds that are no digits, or
# none as they should be: letters, clothing, the test digits upside down (which leaves
# 0 and 8 much as they were), and each test digit mixed with another, half and half.
#
# Beside the likelihoods stand two confidences, the log-odds of the most probable class,
# and the distance to the fifth neighbour among the pixels of the 1,000 images, which
# knows neither classes nor densities. All scores are higher for what is more normal.


# %%
def small(spec, source="embedded"):
    """Other images as small, with as many levels."""
    images = data.load(spec, source=source, image_size=8, limit=len(test)).images
    return images // (256 // BINS)


partner = np.random.default_rng(2).permutation(len(test))
kinds = {
    "digits": test,
    "letters": small("glyphs:test", "glyphs"),
    "clothing": small("fashion_mnist:test"),
    "upside-down": test[:, ::-1],
    "two mixed": test // 2 + test[partner] // 2,
}
neighbours = NearestNeighbors(n_neighbors=5).fit(flat(train))
log_odds = ood.MSP().fit(ood.Network())
scores = {}
for kind, images in kinds.items():
    # those of the test images are known
    of = joint if images is test else {name: joints(name, images) for name in flows}
    by_class = gaussians.decision_function(flat(images))
    scores[kind] = {
        **{f"log p(x): {name}": logsumexp(of[name], 1) for name in flows},
        # but for a constant
        "log p(x): ten Gaussians": logsumexp(by_class, 1),
        "confidence: " + COUPLINGS: log_odds.score_outputs(
            ood.Outputs.of(of[COUPLINGS])
        ),
        "confidence: logistic regression": log_odds.score_outputs(
            ood.Outputs.of(logistic.decision_function(flat(images)))
        ),
        "neighbours among pixels": -neighbours.kneighbors(flat(images))[0][:, -1],
    }
new = [kind for kind in kinds if kind != "digits"]
aurocs = {
    name: {kind: ood.auroc(inside, scores[kind][name]) for kind in new}
    for name, inside in scores["digits"].items()
}
print(f"\n{'AUROC of digits over':36}" + "".join(f"{kind:>22}" for kind in new))
for name, of in aurocs.items():
    print(f"{name:36}", end="")
    for value, low, high in of.values():
        print(f"{f'{value:.3f} [{low:.3f}, {high:.3f}]':>22}", end="")
    print()

# %% [markdown]
# The likelihood of either flow is above 0.84 for every kind, and it is the one score
# here without a weak spot. It is not the best of each: neighbours among pixels tell
# letters better, and need no training. What they miss are mixtures, in which every
# pixel is one that digits have; ten Gaussians do not see those at all, and the flows
# do. Confidence is another question than likelihood: clothing is often some digit for
# sure.
#
# It is no rule that likelihood tells outliers. Flows of larger images, by convolutions,
# find digits likelier than the clothing that they were trained on: see
# [the paper](../docs/paper.md). Labels do not mend that
# ([Library](../docs/library.md#condition-a-flow)).
#
# ## What it has learned
#
# Samples of each class, below two real ones: some could be real, some are of no class.

# %%
EACH = 3
drawn_labels = np.tile(np.arange(CLASSES), EACH)
drawn = quantize(
    flows[COUPLINGS].apply(
        variables[COUPLINGS],
        jax.random.key(4),
        len(drawn_labels),
        cond=one_hot_condition(drawn_labels, CLASSES),
        method="sample",
    ),
    BINS,
)
real = [train[labels == label][row] for row in (0, 1) for label in range(CLASSES)]
rows = [*np.split(np.stack(real), 2), *np.split(np.asarray(drawn), EACH)]

# %%
figure, panels = plt.subplots(
    1, 3, figsize=(13.5, 3.9), width_ratios=(1.9, 1.7, 1.8), layout="constrained"
)
FRAME = BINS // 4
framed = [
    np.concatenate([np.pad(x[..., 0], 1, constant_values=FRAME) for x in row], 1)
    for row in rows
]
panels[0].imshow(np.concatenate(framed), cmap="gray_r", vmin=0, vmax=BINS)
panels[0].set_xticks(4.5 + 10 * np.arange(CLASSES), range(CLASSES))
panels[0].set_yticks([9.5, 34.5], ["real", "drawn"])
panels[0].axhline(19.5, color=BLUE, lw=2)
panels[0].set(title="flow, class in the couplings")
panels[0].tick_params(length=0)
panels[0].spines[:].set_visible(False)
for (name, each), color in zip(joint.items(), (ORANGE, BLUE), strict=True):
    curve = by_temperature(each, test_labels)
    panels[1].plot(TEMPERATURES, curve, color=color, label=name)
    at = np.argmin(np.abs(TEMPERATURES - temperature[name]))
    panels[1].plot(TEMPERATURES[at], curve[at], "o", color=color)
for name, ls in (("logistic regression", "--"), ("ten Gaussians", ":")):
    panels[1].axhline(losses[name], color=GRAY, ls=ls, label=name)
panels[1].set(
    xscale="log",
    xlabel="temperature; dot: as chosen",
    title="log loss of the class, nats",
    ylim=(0, 1),
)
panels[1].set_xticks([1, 2, 3, 5, 10], [1, 2, 3, 5, 10])
panels[1].legend(frameon=False, loc="upper left")
marks = zip(
    (-0.27, -0.09, 0.09, 0.27), new, (ORANGE, YELLOW, PURPLE, BLUE), "os^D", strict=True
)
for shift, kind, color, marker in marks:
    value, low, high = np.array([of[kind] for of in aurocs.values()]).T
    at = np.arange(len(aurocs)) + shift
    panels[2].hlines(at, low, high, color=color, lw=1.5)
    panels[2].plot(value, at, marker, color=color, ms=4, label=kind)
panels[2].set_yticks(range(len(aurocs)), [name.replace(": ", ":\n") for name in aurocs])
panels[2].set(title="AUROC of digits over them", xlim=(0.43, 1.01))
panels[2].invert_yaxis()
panels[2].axvline(0.5, color=GRAY, lw=1, ls=":")
panels[2].legend(edgecolor="white", framealpha=1, loc="upper left", fontsize=8)
for panel in panels[1:]:
    panel.spines[["top", "right"]].set_visible(False)
figure.savefig(OUT / "flow_as_classifier.png", dpi=150)
plt.close(figure)
print(f"\nflow_as_classifier.png is in {OUT}")
