"""All keys of flows on images, with the paper's RealNVP values.

Not an experiment itself. Glow's own part is in glow.py. Sources: the paper's
appendix C and its code.
"""

from collections.abc import Callable, Mapping

from ml_collections import ConfigDict


def common_sections(train: str, test: str, ood: tuple[str, ...]) -> ConfigDict:
    """Make the sections and keys that flows and classifiers have in common."""
    return ConfigDict(
        {
            "seed": 0,
            # how a step is spread over devices
            "parallel": "jit",
            # devices that share one copy of parameters and moments, each holding a
            # part (with "jit"): 1 is a copy on every device
            "fsdp": 1,
            "data": {
                # embedded | idx | npz | folder | tfds | glyphs | synthetic; path where
                # the source has one
                "source": "tfds",
                "path": "",
                # "name:split"
                "train": train,
                "test": test,
                "ood": ood,
                # source and path of the ood sets where they are others: one entry for
                # all, or one a set, "-" as above
                "ood_source": (),
                "ood_path": (),
                # the test images altered, OOD sets too: inverted, dimmed, upside_down
                "altered": (),
                # True reads training images as they are needed, for sets larger than
                # memory: bit for bit the same training. Of source tfds, prepared as
                # array_record
                "streaming": False,
                # how batches are read ahead of their steps, by grain (extra
                # `streaming`): how many (0: none; -1: 8 where images are streamed or
                # workers read, else none), by how many processes (0: this one alone),
                # of how many threads each. A process decodes with one core
                "read_ahead": -1,
                "read_threads": 2,
                "read_workers": 0,
                # first images of each set; 0 takes all
                "limit_train": 0,
                "limit_test": 0,
                # side to resize and crop to; 0 leaves the images as they are
                "image_size": 0,
                # 1 makes all images grey, 3 all RGB; 0 leaves them as they are
                "channels": 0,
            },
            "train": {
                # not 0: this many steps instead of num_epochs
                "num_steps": 0,
                # steps that are sent to the devices at a time; on accelerators, more
                # spare small models the host's time
                "steps_per_call": 1,
                "log_every": 100,
                "keep_checkpoints": 2,
            },
        }
    )


def real_nvp(train: str, test: str, ood: tuple[str, ...]) -> ConfigDict:
    """The paper's FashionMNIST RealNVP recipe; experiments change what differs."""
    config = common_sections(train, test, ood)
    config.update(
        {
            # training images that are held back, never trained on, to choose the best
            # state by; 0 is none: the last state counts
            "data": {
                "validation": 0,
                # values of a pixel, 0 to bins - 1: a power of two, 32 of 5-bit images;
                # above 256, images are uint16
                "bins": 256,
                # noise between the values: "uniform", or "variational": learned with
                # the flow, for a closer bound of the likelihood
                "dequantization": "uniform",
                # standard deviation of Gaussian noise on training images of [0, 1], for
                # better samples, from which it is taken off: likelihoods are then of
                # noisy images. For flows that do not begin with a logit
                "noise": 0.0,
                # condition the flow on the labels of training images, which are 0 to
                # classes - 1; likelihoods are of the mixture of all classes, each as
                # likely. 0: labels are not looked at
                "classes": 0,
                # what the class is given to: "base", a Gaussian a class in the space
                # of latents, or "couplings"
                "condition": "base",
                # classes that are not trained on or tested: their test images are
                # outliers that `scores` keeps back
                "leave_out": (),
                # probability that a value is replaced by another one before training,
                # for the background flow of a likelihood ratio
                "mutated": 0.0,
            },
            "model": {
                "name": "real_nvp",
                "scales": 2,
                # spatial couplings a scale; 0 is the paper's 3, and 4 at the last scale
                "couplings": 0,
                "mask": "checkerboard",
                "st_net": "resnet",
                "width": 64,
                "blocks": 6,
                "latent_dim": 100,
                "norm": "batch",
                # of batch norm: examples that are normalised together, which divide
                # each device's part of a batch; 0 is the whole batch, as in the paper
                "norm_group": 0,
                "skip": True,
                "zero_init": False,
                # bound on every log-scale; 0 is none
                "max_log_scale": 0.0,
                # couplings one after another ("chain"), or one block repeated
                # ("scan" | "unroll"), then with remat ("none" | "full" | "st")
                "stack": "chain",
                "remat": "none",
                "reversible": False,
                # st-network arithmetic in training. TF32 is what torch's convolutions
                # use on GPUs unless told otherwise; evaluation is always float32
                "precision": "tensorfloat32",
                # auto is, on CPU, products to train, and winograd for flows of width 32
                # or more to evaluate, or to train with stack "scan"; direct elsewhere
                "convolution": "auto",
            },
            "optimizer": {
                "name": "adam",
                "learning_rate": 5e-5,
                "schedule": "constant",
                "warmup_steps": 0,
                "clip_norm": 100.0,
                # coupled, as torch's weight_decay: on the weight-norm scales alone
                "l2": 5e-5,
                # decoupled (AdamW), on kernels
                "weight_decay": 0.0,
                "scales_apart": True,
                # of adam, the decay of its second moments
                "b2": 0.999,
                # 0 is no averaging of the parameters
                "ema_decay": 0.0,
            },
            "train": {
                "batch_size": 32,
                # the paper's code runs one epoch more than --num_epochs
                "num_epochs": 82,
                # stop in time, saved and evaluated, after so many seconds; the same
                # command goes on; 0 is no limit
                "max_seconds": 0.0,
                # "name:split" of images to find unlikely, from data.source: negative
                # training; "" is without
                "negative": "",
                # its first classes alone; 0 takes all
                "negative_classes": 0,
                # log-likelihood (nats) below which they are not pushed further
                "negative_threshold": -30_000.0,
                "checkpoint_every": 2000,
                # with data.validation: steps between looks at the log-likelihood of
                # what is held back, and how many looks without a better one end
                # training; 0 never does, and the best state is still what counts. Of
                # images, every look sees the same dequantisation noise, that of
                # eval.seed, and batch norm acts by its running statistics
                "validate_every": 1000,
                "patience": 0,
                # over what is held back
                "validate_by": "mean",
            },
            "eval": {
                "batch_size": 256,
                # seed of the dequantisation noise
                "seed": 1,
                # draws of that noise over which AUROC is averaged
                "draws": 1,
                # training batches over which batch-norm statistics are recomputed
                "recompute_batches": 200,
                # images drawn for the samples figure; 0 draws none
                "samples": 40,
            },
        }
    )
    return config.lock()


def color_real_nvp(
    name: str,
    ood: tuple[str, ...],
    variant_name: str,
    test: str = "test",
    train: str = "train",
) -> ConfigDict:
    """The paper's RealNVP recipe for colour images of 32 x 32, and its variants.

    `test`: the split that is held out. `train`: the one to train on.
    """
    config = real_nvp(f"{name}:{train}", f"{name}:{test}", ood)
    config.model.update(scales=3, blocks=8)
    config.optimizer.learning_rate = 1e-4
    config.train.num_epochs = 102
    # twice the arithmetic an image of the grey flows
    return color_variant(config, variant_name, cpu_steps=500)


def color_variant(config: ConfigDict, name: str, cpu_steps: int, **extra) -> ConfigDict:
    """`variant` for colour images: fake ones to smoke, 10,000 to train on a CPU."""
    config = variant(config, name, **extra)
    if "smoke" in name:
        config.data.source = "synthetic"
    if name == "cpu":
        config.data.update(limit_train=10_000, limit_test=2_000)
        config.train.num_steps = cpu_steps
    return config


def color_negative(
    name: str,
    negative: str,
    ood: tuple[str, ...],
    variant_name: str,
    rate: float = 1e-4,
) -> ConfigDict:
    """Negative training against images of `negative`, by the recipe for colour."""
    config = color_real_nvp(name, ood, variant_name)
    config.train.update(negative=f"{negative}:train", negative_threshold=-100_000.0)
    if variant_name == "cpu":
        # twice the images a step
        config.train.batch_size = 32
    else:
        config.optimizer.learning_rate = rate
    return config


def ablation(
    config: ConfigDict, grids: tuple[dict, ...], flows: tuple[dict, ...] = ()
) -> ConfigDict:
    """`config` with a section `ablate`: three seeds of every combination of the grids.

    A grid is `{"model.mask": ("checkerboard", "cycle"), ...}`; `flows` are
    `({"name": "glow", "model": {...}, "train": {...}}, ...)` for the key `flow`.
    """
    with config.unlocked():
        section = {"seeds": (0, 1, 2), "grids": tuple(grids)}
        config.ablate = ConfigDict(section | ({"flows": tuple(flows)} if flows else {}))
    return config


def smoke(config: ConfigDict, **model) -> ConfigDict:
    """A variant that goes through every line in a minute on two CPU cores.

    `model`: what to change in it, for one that is not a RealNVP.
    """
    config.model.update(model or {"width": 4, "blocks": 2})
    often = dict.fromkeys(("log_every", "checkpoint_every", "validate_every"), 2)
    config.train.update(often, batch_size=16, num_steps=4, keep_checkpoints=2)
    # no warm-up longer than the run
    config.optimizer.warmup_steps = min(config.optimizer.warmup_steps, 2)
    config.data.update(limit_train=256, limit_test=64)
    config.eval.update(batch_size=32, recompute_batches=2, samples=4)
    return config


def cpu(config: ConfigDict, **model) -> ConfigDict:
    """A variant that trains to a meaningful result in about five minutes on two cores.

    Small st-networks without normalisation that start as the identity, a larger
    learning rate with warm-up and cosine decay. `model`: as in `smoke`.
    """
    small = {"width": 16, "blocks": 1, "norm": "none", "zero_init": True}
    config.model.update(model or small)
    config.optimizer.update(learning_rate=1e-3, schedule="cosine", warmup_steps=50)
    config.train.update(batch_size=64, num_steps=1000)
    config.train.update(log_every=20, checkpoint_every=250, validate_every=100)
    config.eval.update(batch_size=250)
    return config


def imagenet64(config: ConfigDict, variant_name: str, epochs: int) -> ConfigDict:
    """A recipe for colour images of 32 x 32, on ImageNet 64x64 (`imagenet64_*.py`)."""
    # CelebA's and SVHN's images, too, become 64 x 64
    config.data.image_size = 64
    config.train.num_epochs = epochs
    if variant_name == "cpu":
        # four times the pixels
        config.train.num_steps //= 4
        config.optimizer.warmup_steps = 20
    return config


def variant(config: ConfigDict, name: str, **extra) -> ConfigDict:
    """`config` itself for "", its smoke or CPU form, or one of `extra`'s."""
    return choose(name, {"smoke": smoke, "cpu": cpu} | extra)(config)


def choose(name: str, variants: Mapping[str, Callable]) -> Callable[..., ConfigDict]:
    """Return the variant of that name, "" being the config as it is.

    Raises ValueError for another name.
    """
    if name and name not in variants:
        raise ValueError(f"unknown variant {name!r}; known: {', '.join(variants)}")
    return variants[name] if name else lambda config: config
