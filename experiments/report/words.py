"""Runs in words: flow, data, size, and length of training."""

from experiments.core.text import run_names
from experiments.report.published import ALIASES
from experiments.report.runs import KeptRun

SETS = {
    "fashion_mnist": "FashionMNIST",
    "mnist": "MNIST",
    "notmnist": "notMNIST",
    "cifar10": "CIFAR-10",
    "svhn": "SVHN",
    "svhn_cropped": "SVHN",
    "celeba": "CelebA",
    "celeb_a": "CelebA",
    "imagenet64": "ImageNet",
}
# sides of images that are not worth a word
USUAL = (28, 32)
MODELS = {
    "real_nvp": "RealNVP",
    "glow": "Glow",
    "tabular_real_nvp": "tabular RealNVP",
}
# of the config: width and depth of the paper's st-networks, for grey and for colour
PAPER_SIZES = {
    ("real_nvp", 1): {"width": 64, "blocks": 6},
    ("real_nvp", 3): {"width": 64, "blocks": 8},
    ("glow", 1): {"width": 200, "layers": 3, "steps": 16},
    ("glow", 3): {"width": 400, "layers": 3, "steps": 8},
}
# and how many images its recipes show: epochs, by training images
PAPER_IMAGES = {
    ("real_nvp", "fashion_mnist"): 82 * 60_000,
    ("real_nvp", "mnist"): 82 * 60_000,
    ("real_nvp", "cifar10"): 102 * 50_000,
    ("real_nvp", "svhn"): 102 * 73_257,
    ("real_nvp", "celeba"): 102 * 162_770,
    ("glow", "fashion_mnist"): 152 * 60_000,
    ("glow", "mnist"): 152 * 60_000,
    ("glow", "cifar10"): 162 * 50_000,
    ("glow", "svhn"): 162 * 73_257,
    ("glow", "celeba"): 162 * 162_770,
}


def set_words(described: dict, split: bool = True) -> str:
    """A set's name in print, with its split where that is not `test`."""
    name, side = SETS.get(described["name"]), described["shape"][0]
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
    if config.get("train.negative"):
        words.append(f"told to reject {config['train.negative']}")
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
    name = ALIASES.get(train["name"], train["name"])
    images = PAPER_IMAGES.get((run.config["model.name"], name))
    if images is None or train["source"] == "synthetic":
        return ""
    percent = 100 * run.results["images_seen"] / images
    return f"{percent:.0f}%" if percent >= 10 else f"{percent:.2g}%"


def distinct_titles(flows: dict[str, KeptRun]) -> dict[str, str]:
    """`{key: title}`: every flow in words, and how it differs from others alike."""
    words = {key: model_words(run.config) for key, run in flows.items()}
    own = {
        key: (words[key], set_words(run.results["data"]["train"]))
        for key, run in flows.items()
    }
    titles = {}
    for key in flows:
        alike = [k for k in flows if own[k] == own[key]]
        runs = [flows[k] for k in alike]
        more = f" ({_differences(runs)[alike.index(key)]})" if len(alike) > 1 else ""
        titles[key] = words[key] + more
    return titles


def _differences(runs: list[KeptRun]) -> list[str]:
    """The settings in which each differs from the others.

    Their workdirs' names where many settings differ, or do not tell all apart.
    """
    configs = [r.config | {"steps": r.results["steps"]} for r in runs]
    ignored = ("seed", "data.path", "eval.")
    changed = [
        key
        for key in configs[0]
        if not key.startswith(ignored) and len({repr(c.get(key)) for c in configs}) > 1
    ]
    settings = [
        ", ".join(f"{key.split('.')[-1]} {c.get(key)}" for key in changed)
        for c in configs
    ]
    if len(changed) <= 3 and len(set(settings)) == len(runs):
        return settings
    names = run_names([r.workdir for r in runs])
    return [names[r.workdir] for r in runs]
