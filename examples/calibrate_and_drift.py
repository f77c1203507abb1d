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
# # Calibration and drift on your own images
#
# You have a folder of images of what is normal. Of other images you want to know
# which are new, with a rate of false alarms that you choose, and when a stream of
# them has changed. This is done here in three steps that work for any score:
# p-values, a bound on the share of false alarms in a batch, and a monitor that bets.
# Each promise is then checked on normal images that nothing was fitted to or
# calibrated by.
#
# It needs nothing but the library. About a quarter of a minute on two cores:
#
#     python examples/calibrate_and_drift.py --out figures
#     python examples/calibrate_and_drift.py --images DIR --others DIR
#
# Without `--images` it writes a folder of 3,000 pictures of clothing and one of
# digits, and reads them as it would read yours. Without `--others`, your own images
# turned by 180 degrees are the new ones. For a folder and no code at all there is a
# command: [New images in a folder](../docs/new_images.md).
#
# It opens as a notebook, too (jupytext).

# %%
import argparse
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from flowjax_ood import data, ood
from flowjax_ood.novelty.detector import NoveltyDetector
from flowjax_ood.novelty.features import PixelFeatures

parser = argparse.ArgumentParser(description="Calibrate a score of images.")
parser.add_argument("--images", type=Path, help="folder of normal images, 400 at least")
parser.add_argument("--others", type=Path, help="folder of images that are new")
parser.add_argument("--size", type=int, default=28, help="pixels a side, of all images")
parser.add_argument("--out", type=Path, help="folder for the figure; temporary unless")
parser.add_argument("--steps", type=int, default=200, help="of batches and of streams")
# a notebook's kernel has arguments of its own
args, _ = parser.parse_known_args()
OUT = args.out or Path(tempfile.mkdtemp(prefix="calibrate_and_drift_"))
OUT.mkdir(parents=True, exist_ok=True)
BLUE, ORANGE, GRAY = "#0072B2", "#D55E00", "#8A8A8A"

# %% [markdown]
# ## The images
#
# A folder of PNG, JPEG and the like, of any sizes: `image_size` scales the shorter
# side and crops the centre.


# %%
def written(spec, limit):
    """Write images that ship with the library as a folder of PNG files."""
    folder = Path(tempfile.mkdtemp(prefix="images_")) / spec.partition(":")[0]
    folder.mkdir()
    images = data.load(spec, source="embedded", limit=limit).images
    for number, image in enumerate(images):
        Image.fromarray(image[..., 0]).save(folder / f"{number:05d}.png")
    return folder


def read(folder):
    """Read the images of a folder, uint8 `[N, size, size, C]`, in a random order."""
    images = data.load(
        "mine", source="folder", path=folder, image_size=args.size, channels=1
    ).images
    return np.random.default_rng(0).permutation(images)


normal = read(args.images or written("fashion_mnist:train", 3000))
if args.others or not args.images:
    others = read(args.others or written("mnist:test", 500))
else:
    others = None
if len(normal) < 400:
    raise SystemExit(f"--images: {len(normal)} images are too few, 400 are needed")

# %% [markdown]
# Three parts, none of which may be used twice: half of the images is fitted to, a
# quarter calibrates, and a quarter shows whether the promises hold.

# %%
fitting, calibrating, testing = np.split(
    normal, [len(normal) // 2, 3 * len(normal) // 4]
)
if others is None:
    others = testing[:, ::-1, ::-1]


# %% [markdown]
# ## A score
#
# Any number that is higher for what is more normal: of a detector, of a flow, or of
# code of yours. Here it is `NoveltyDetector`, of pixels: principal components, what
# they leave out, neighbours and clusters. `PixelFeatures` has the settings that suit
# pixels, which are not standardised one by one; those by default are for the features
# of an encoder. The detector has p-values of its own, but those are made by hand
# here. Its calibration set is therefore a tenth of the fitting half, and not used.


# %%
pixels = PixelFeatures(*normal.shape[1:])
few = max(len(fitting) // 10, 20)
detector = NoveltyDetector.fit(
    pixels.vectors(fitting[few:]),
    pixels.settings,
    calibrate=pixels.vectors(fitting[:few]),
)
held_out, clean, new = (
    detector.score(pixels.vectors(images)) for images in (calibrating, testing, others)
)
value = ood.auroc(clean, new)
print(
    f"AUROC of normal over new: {value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"
)

# %% [markdown]
# ## p-values
#
# The p-value of an image is the share of the images that calibrate which look at
# least as unusual. Call images new at `p <= alpha`, and a share of alpha of the
# normal ones is, on average over calibration sets. Of this one set the rate lies in
# the interval printed first, 95 times in 100, and then it is measured.

# %%
calibration = ood.Calibration.fit(held_out)
p_clean, p_new = calibration.p_values(clean), calibration.p_values(new)
print(f"\ncalibrated by {len(held_out)} images, measured on {len(clean)} others")
print(f"{'alpha':>8}{'promised, 95 %':>20}{'false alarms':>14}{'found':>8}")
rates = {}
for alpha in (0.01, 0.05, 0.1):
    promised = calibration.false_alarms(alpha)
    rates[alpha] = (p_clean <= alpha).mean(), (p_new <= alpha).mean(), promised
    interval = f"{promised.low:.3f} ... {promised.high:.3f}"
    print(f"{alpha:8}{interval:>20}{rates[alpha][0]:14.3f}{rates[alpha][1]:8.3f}")

# %% [markdown]
# ## Batches: how many of those called new are new?
#
# In a batch of 200 images with ten new ones, `p <= 0.05` is wrong nine or ten times:
# half of what it calls new is false. With sixty new ones it is wrong less often, and
# finds more. One threshold cannot suit both. Benjamini and Hochberg's procedure
# bounds the expected share of false alarms among those called new, and moves the
# threshold with the batch. Many batches are drawn from the test images to see it.

# %%
SIZE, LEVEL = 200, 0.2
rng = np.random.default_rng(1)
RULES = {"each, at 0.05": (0.05, "each"), "fdr, at 0.2": (LEVEL, "fdr")}
shares, power = {}, {}
print(f"\n{args.steps} batches of {SIZE} images")
print(f"{'new ones':>8}  {'rule':16}{'false of those called new':>26}{'found':>8}")
for count in (10, 60):
    clean_count = SIZE - count
    batches = [
        np.concatenate([rng.choice(p_clean, clean_count), rng.choice(p_new, count)])
        for _ in range(args.steps)
    ]
    for rule, (level, control) in RULES.items():
        called = np.array([ood.reject(p, level, control).reject for p in batches])
        false = called[:, :clean_count].sum(1) / np.maximum(called.sum(1), 1)
        shares[count, rule] = false.mean()
        power[count, rule] = called[:, clean_count:].mean()
        text = f"{shares[count, rule]:26.3f}{power[count, rule]:8.3f}"
        print(f"{count:8}  {rule:16}{text}")

# %% [markdown]
# The bound is on average over calibration sets, too: one set can be off. Where few
# images are new, none looks unusual enough to be called so without breaking it.
#
# ## A stream
#
# A monitor ranks every score among those before it and bets that the rank is low.
# While nothing changes it wins nothing on average: its wealth starts at 1, and reaches
# 100 in at most one stream in a hundred, however often one looks. After image 100 a
# share of the images is new here.

# %%
CHANGE, LENGTH = 100, 300
monitor = ood.DriftMonitor(alarm=100.0)


def stream(share):
    """Scores of a stream in which a `share` of the images is new from `CHANGE` on."""
    scores = rng.choice(clean, LENGTH, replace=len(clean) < LENGTH)
    changed = (np.arange(LENGTH) >= CHANGE) & (rng.random(LENGTH) < share)
    return np.where(changed, rng.choice(new, LENGTH), scores)


def watched(share, count):
    """Watch `count` streams: the wealth in each, and when it rang (None: never)."""
    reports = [
        monitor.update(monitor.start(held_out), stream(share))[1] for _ in range(count)
    ]
    wealth = np.array([report.log_wealth for report in reports])
    return wealth, [report.alarm_at for report in reports]


SHARES = {
    "no change": (0.0, GRAY),
    "a half is new": (0.5, BLUE),
    "a fifth is new": (0.2, ORANGE),
}
wealths, alarms = {}, {}
print(f"\n{args.steps} streams of {LENGTH} images, changed after {CHANGE}")
print(f"{'from then on':16}{'false alarms':>14}{'alarms':>9}{'images until then':>20}")
for name, (share, _) in SHARES.items():
    wealths[name], rung = watched(share, args.steps)
    early = np.mean([at is not None and at <= CHANGE for at in rung])
    late = [at - CHANGE for at in rung if at is not None and at > CHANGE]
    alarms[name] = early, len(late) / len(rung), np.median(late) if late else None
    delay = f"{alarms[name][2]:.0f}" if late else "-"
    print(f"{name:16}{early:14.3f}{alarms[name][1]:9.3f}{delay:>20}")

# %% [markdown]
# Alarms before the change, and all those of streams without one, are false: 1 in 100
# at most is promised. A change that few images share takes longer, and one that
# leaves the scores as they were is never seen. [Decisions](../docs/decisions.md) has
# the rules for what else can go wrong: images that are not exchangeable, such as
# frames of one film.

# %%
figure, panels = plt.subplots(1, 3, figsize=(12.5, 3.3), layout="constrained")
edges = np.linspace(*np.quantile(np.concatenate([clean, new]), (0.005, 0.995)), 45)
for label, values, color in (("normal", clean, BLUE), ("new", new, ORANGE)):
    panels[0].hist(values, edges, density=True, color=color, alpha=0.6, label=label)
panels[0].axvline(calibration.threshold(0.05), color="black", lw=1, ls="--")
panels[0].set(title="scores; dashed: p = 0.05", xlabel="high is normal", yticks=[])
panels[0].legend(frameon=False)
levels = np.geomspace(0.002, 1, 100)
for label, p, color in (("normal", p_clean, BLUE), ("new", p_new, ORANGE)):
    reached = np.searchsorted(np.sort(p), levels, side="right") / len(p)
    panels[1].plot(levels, reached, color=color, label=label)
panels[1].plot(levels, levels, color=GRAY, ls="--", label="promised of normal")
panels[1].set(
    xscale="log", xlabel="alpha", title="share of images with p at most alpha"
)
panels[1].legend(frameon=False, loc="upper left")
for name, (_, color) in SHARES.items():
    middle = np.median(wealths[name], axis=0) / np.log(10)
    panels[2].plot(np.arange(1, LENGTH + 1), middle, color=color, label=name)
panels[2].axhline(2, color="black", lw=1, ls="--")
panels[2].axvline(CHANGE, color=GRAY, lw=1, ls=":")
panels[2].set(title="wealth of the monitor, median", xlabel="images", ylim=(-4, 8))
panels[2].set_yticks(
    [-4, -2, 0, 2, 4, 6, 8], [f"$10^{{{k}}}$" for k in range(-4, 9, 2)]
)
panels[2].legend(framealpha=1, edgecolor="white", loc="upper left")
for panel in panels:
    panel.spines[["top", "right"]].set_visible(False)
figure.savefig(OUT / "calibrate_and_drift.png", dpi=150)
plt.close(figure)
print(f"\ncalibrate_and_drift.png is in {OUT}")
