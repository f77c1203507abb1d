"""Runs in words: flow, data, size, and length of training."""

from collections.abc import Sequence

from experiments.report.published import common_name
from experiments.report.runs import KeptRun
from flowjax_ood.interface.text import run_names

SETS = {
    "fashion_mnist": "FashionMNIST",
    "mnist": "MNIST",
    "notmnist": "notMNIST",
    "cifar10": "CIFAR-10",
    "svhn": "SVHN",
    "celeba": "CelebA",
    "imagenet64": "ImageNet",
}
# sides of images that are not worth a word
USUAL = (28, 32)
MODELS = {
    "real_nvp": "RealNVP",
    "glow": "Glow",
    "jet": "Jet",
    "maf": "MAF",
    "tarflow": "TarFlow",
    "flow_pp": "Flow++",
    "tabular_real_nvp": "tabular RealNVP",
}
# of the config: width and depth of the paper's st-networks, for grey and for colour
PAPER_SIZES = {
    ("real_nvp", 1): {"width": 64, "blocks": 6},
    ("real_nvp", 3): {"width": 64, "blocks": 8},
    ("glow", 1): {"width": 200, "layers": 3, "steps": 16},
    ("glow", 3): {"width": 400, "layers": 3, "steps": 8},
}
# and of its recipes: epochs, for grey and for colour
PAPER_EPOCHS = {"real_nvp": {1: 82, 3: 102}, "glow": {1: 152, 3: 162}}
# channels and number of the images that they are for
PAPER_SETS = {
    "fashion_mnist": (1, 60_000),
    "mnist": (1, 60_000),
    "cifar10": (3, 50_000),
    "svhn": (3, 73_257),
    "celeba": (3, 162_770),
}


def set_words(described: dict, split: bool = True) -> str:
    """A set's name in print, with its split where that is not `test`."""
    name, side = SETS.get(common_name(described["name"])), described["shape"][0]
    if name is None:
        # altered ones begin with the name of what was altered
        name = described["name"].replace("_", " ")
    elif len(described["shape"]) == 3 and side not in USUAL:
        name += f" {side}x{side}"
    if described["source"] == "synthetic":
        name = f"fake {name}"
    if split and described["split"] not in ("test", "all"):
        name += f" ({described['split']})"
    return name


def train_words(run: KeptRun) -> str:
    """The name of the set that a run was trained on, without its split."""
    return set_words(run.results["data"]["train"], split=False)


def model_words(config: dict) -> str:
    """A flow by the choices that the paper compares: kind, mask, bottleneck."""
    name = config["model.name"]
    words = [MODELS.get(name, name)]
    if name == "real_nvp":
        scales = config["model.scales"]
        words.append(f"{config['model.mask']} mask")
        words.append("1 scale" if scales == 1 else f"{scales} scales")
        if config["model.couplings"]:
            words.append(f"{config['model.couplings']} couplings")
        if config["model.st_net"] in ("resnet_ae", "autoencoder"):
            words.append(f"bottleneck {config['model.latent_dim']}")
    elif name == "glow" and config["model.mask"] != "first_half":
        words.append(f"{config['model.mask']} mask")
    if (coupling := config.get("model.coupling", "affine")) != "affine":
        words.append(f"{coupling} couplings")
    if config.get("train.negative"):
        words.append(f"exposed to {config['train.negative']}")
    return ", ".join(words)


def short_setting(run: KeptRun) -> str:
    """The flow's size and the length of its training, relative to the paper's."""
    size = size_words(run).partition(":")[0]
    share = recipe_share(run)
    return f"{size}, {share} of recipe" if share else size


def size_words(run: KeptRun) -> str:
    """`paper-size`, or how the st-networks differ from the paper's in size."""
    channels = run.results["data"]["train"]["shape"][-1]
    paper = PAPER_SIZES.get((run.config["model.name"], channels))
    if paper is None:
        return "no published size"
    own = {key: run.config.get(f"model.{key}") for key in paper}
    changed = [f"{k} {own[k]} (paper {paper[k]})" for k in paper if own[k] != paper[k]]
    return f"reduced: {', '.join(changed)}" if changed else "paper-size"


def recipe_share(run: KeptRun) -> str:
    """The share of the images of the paper's recipe; "" where there is no recipe.

    Of the recipe for that kind of flow and set: the paper names none for its masks and
    bottlenecks.
    """
    train = run.results["data"]["train"]
    epochs = PAPER_EPOCHS.get(run.config["model.name"])
    name = common_name(train["name"])
    if not epochs or name not in PAPER_SETS or train["source"] == "synthetic":
        return ""
    channels, count = PAPER_SETS[name]
    images = epochs[channels] * count
    percent = 100 * run.results["images_seen"] / images
    return f"{percent:.0f}%" if percent >= 10 else f"{percent:.2g}%"


def distinct_titles(flows: Sequence[KeptRun]) -> list[str]:
    """Every flow in words, and how it differs from others alike; a run of each."""
    words = [model_words(run.config) for run in flows]
    sets = [set_words(run.results["data"]["train"]) for run in flows]
    own, titles = list(zip(words, sets)), []
    for run, same in zip(flows, own):
        alike = [other for other, words in zip(flows, own) if words == same]
        more = f" ({_differences(alike)[alike.index(run)]})" if len(alike) > 1 else ""
        titles.append(same[0] + more)
    return titles


def _differences(runs: list[KeptRun]) -> list[str]:
    """The settings in which each differs from the others.

    Their workdirs' names where many settings differ, or do not tell all apart.
    """
    configs = [r.config | {"steps": r.results["steps"]} for r in runs]
    changed = [
        key
        for key in configs[0]
        if not key.startswith(("seed", "data.path", "eval."))
        and len({repr(c.get(key)) for c in configs}) > 1
    ]
    settings = [
        ", ".join(f"{key.split('.')[-1]} {c.get(key)}" for key in changed)
        for c in configs
    ]
    if len(changed) <= 3 and len(set(settings)) == len(runs):
        return settings
    return list(run_names(r.workdir for r in runs).values())
