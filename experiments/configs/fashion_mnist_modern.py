"""Do modern flows fail, too? Seven generations at equal training compute.

    python -m experiments ablate \
        --config=experiments/configs/fashion_mnist_modern.py:cpu \
        --config.data.path=DIR --workdir=runs/modern

Each flow is that of its own config, `fashion_mnist_NAME.py:cpu`, and is trained on all
but 6,000 of FashionMNIST's 60,000 training images, for as many steps as take 20 minutes
of one core: these 6,000 are what `scores` fits and calibrates by. 2,000 of the others
choose the best state. Three seeds. `:smoke` runs through two of them in two minutes.
Start the command on several machines or cores with the same --workdir, and they share
the runs.

Without a variant each flow is that of its own config at paper size, for 100 epochs; it
has not been run.
"""

from experiments.configs import (
    fashion_mnist_glow,
    fashion_mnist_jet,
    fashion_mnist_maf,
    fashion_mnist_mixture,
    fashion_mnist_nsf,
    fashion_mnist_realnvp,
    fashion_mnist_tarflow,
)
from experiments.configs.shared import images

CONFIGS = {
    "realnvp": fashion_mnist_realnvp,
    "glow": fashion_mnist_glow,
    "nsf": fashion_mnist_nsf,
    "mixture": fashion_mnist_mixture,
    "maf": fashion_mnist_maf,
    "jet": fashion_mnist_jet,
    "tarflow": fashion_mnist_tarflow,
}
# of `:cpu`: steps that take 1,200 seconds of a core where nothing else runs
STEPS = {
    "realnvp": 1900,
    "glow": 1800,
    "nsf": 3600,
    "mixture": 4400,
    "maf": 7700,
    "jet": 1350,
    "tarflow": 1700,
}
# what differs from a flow's own `:cpu`, of a longer training (docs/results.md)
CHANGES: dict[str, dict[str, dict]] = {
    "realnvp": {"model": {"norm": "batch"}},
    "glow": {"model": {"width": 48}, "optimizer": {"learning_rate": 7e-4}},
}
SECTIONS = ("model", "optimizer", "train")


def get_config(variant: str = ""):
    config = fashion_mnist_realnvp.get_config("smoke" if variant == "smoke" else "")
    flows = tuple(_flow(name, variant) for name in CONFIGS)
    named = tuple(CONFIGS) if variant != "smoke" else ("maf", "jet")
    config = images.ablation(config, ({"flow": named},), flows)
    if variant == "cpu":
        config.data.update(source="idx", limit_train=54_000, ood=("mnist:train10k",))
        # some learn clothing by heart: the best state counts
        config.data.update(validation=2000, limit_test=5000)
        config.eval.update(batch_size=250, samples=40)
    if variant == "smoke":
        config.ablate.seeds = (0,)
    return config


def _flow(name: str, variant: str) -> dict:
    """The sections of a flow that are its own."""
    config = CONFIGS[name].get_config(variant).to_dict()
    own = {section: config[section] for section in SECTIONS}
    if variant == "cpu":
        for section, changes in CHANGES.get(name, {}).items():
            own[section] |= changes
        steps = STEPS[name]
        own["train"] |= {
            "num_steps": steps,
            "validate_every": steps // 10,
            "checkpoint_every": steps // 10,
            "log_every": steps // 100,
        }
    return {"name": name} | own
