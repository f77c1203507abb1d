"""Numbers of a config checked before work starts."""

import math

from ml_collections import ConfigDict

from experiments.core.errors import UserError
from experiments.core.keys import BASELINES, KEYS, OF_IMAGES, flatten, of_vectors
from experiments.core.token_sets import of_tokens

# Least value of each number: found here, they cost no hours of training first.
AT_LEAST = {
    "seed": 0,
    "data.limit_train": 0,
    "data.limit_test": 0,
    "data.image_size": 0,
    "data.channels": 0,
    "data.validation": 0,
    "data.pca": -1,
    "data.read_ahead": -1,
    "data.read_threads": 0,
    "data.read_workers": 0,
    "model.couplings": 0,
    "model.steps": 1,
    "model.layers": 0,
    "model.width": 1,
    "model.blocks": 0,
    "model.latent_dim": 1,
    "model.dropout": 0,
    "model.max_log_scale": 0,
    "model.widths": 1,
    "model.length": 6,
    "model.embedding": 1,
    "model.hidden": 1,
    "model.depth": 1,
    "model.norm_group": 0,
    "optimizer.clip_norm": 0,
    "optimizer.l2": 0,
    "optimizer.weight_decay": 0,
    "optimizer.ema_decay": 0,
    "train.batch_size": 1,
    "train.num_epochs": 0,
    "train.num_steps": 0,
    "train.negative_classes": 0,
    "train.log_every": 1,
    "train.checkpoint_every": 1,
    "train.keep_checkpoints": 1,
    "train.steps_per_call": 1,
    "fsdp": 1,
    "train.validate_every": 1,
    "train.patience": 0,
    "exposure.weight": 0,
    "exposure.batch_size": 0,
    "exposure.num_epochs": 0,
    "exposure.num_steps": 0,
    "exposure.l2": 0,
    "eval.batch_size": 1,
    "eval.seed": 0,
    "eval.draws": 1,
    "eval.recompute_batches": 1,
    "eval.samples": 0,
    "eval.neighbors": 1,
    "eval.limit_baselines": 0,
    "detect.networks": 1,
    "detect.limit_fit": 0,
    "detect.validation": 4,
    "detect.dropout_passes": 0,
    "detect.corrupted_images": 0,
}

# of the likelihoods of what is held back, for `train.validate_by`
STATISTICS = ("mean", "median")
# what FSSD can measure from, for `detect.fssd_noise`
FSSD_NOISE = ("repository", "uniform", "validation")


def check_numbers(config: ConfigDict) -> None:
    """Raise UserError for a number out of its range, naming the key."""
    for key, value in flatten(config).items():
        # some are several numbers, of a network's layers
        numbers = value if isinstance(value, tuple) else (value,)
        if key in AT_LEAST and not all(n >= AT_LEAST[key] for n in numbers):
            raise UserError(
                f"config.{key} must be at least {AT_LEAST[key]}, got {value}"
            )
    for room in ("optimizer", "exposure"):
        rate = config.get(room, {}).get("learning_rate", 1.0)
        if not 0 < rate < math.inf:
            raise UserError(f"config.{room}.learning_rate must be positive, got {rate}")
    if config.optimizer.get("ema_decay", 0) >= 1:
        raise UserError(
            f"config.optimizer.ema_decay must be below 1, got "
            f"{config.optimizer.ema_decay}; 0 is no averaging"
        )


def check_validation(config: ConfigDict) -> None:
    """Raise UserError for what `data.validation` and its kin cannot be, of a flow.

    Whether it is a share, of vectors, or a number of images is for their own checks.
    """
    by = config.train.get("validate_by", STATISTICS[0])
    if by not in STATISTICS:
        raise UserError(
            f"config.train.validate_by: unknown {by!r}; known: {', '.join(STATISTICS)}"
        )


def check_norm_group(config: ConfigDict, devices: int, **rows: int) -> None:
    """Raise UserError unless groups of batch norm divide each device's part of a batch.

    `rows`: of a batch, by what they are called in the error. That holds in every mode
    of parallelism, so that a run may go on in another.
    """
    group = config.model.get("norm_group", 0)
    for name, count in rows.items():
        each = count // devices
        if group and each % group:
            raise UserError(
                f"config.model.norm_group={group} does not divide the {each} {name} of "
                f"a batch that each of {devices} devices sees; take a divisor, or 0 for"
                " statistics of the whole batch"
            )


def check_detect(config: ConfigDict) -> None:
    """Raise UserError for what the room `detect` asks for and there is not."""
    c = config.detect
    if c.fssd_noise not in FSSD_NOISE:
        raise UserError(
            f"config.detect.fssd_noise: unknown {c.fssd_noise!r}; known: "
            f"{', '.join(FSSD_NOISE)}"
        )
    if c.dropout_passes == 1:
        raise UserError(
            "config.detect.dropout_passes is 1, and one pass has no spread; set it to "
            "2 or more, or to 0 for no MC Dropout"
        )


def refuse_for_vectors(config: ConfigDict) -> None:
    """Raise UserError for what only images have, in a config of vectors."""
    for room, key in (("train", "negative"), ("data", "altered")):
        value = config[room].get(key)
        if value:
            raise UserError(
                f"config.{room}.{key} is of images, and this config's data are vectors:"
                f" leave {value!r} out"
            )


def check_streaming(config: ConfigDict) -> None:
    """Raise UserError for an experiment that has use for the whole training set."""
    if "detect" in config or of_vectors(config) or of_tokens(config):
        raise UserError(
            "config.data.streaming is for flows on images: all else reads the whole "
            "training set; set it to False"
        )


def check_keys(config: ConfigDict) -> None:
    """Raise UserError for a config of vectors that says something else's keys."""
    flat = flatten(config)
    missing = [key for key in KEYS if key not in flat]
    if missing:
        raise UserError(
            f"model {config.model.name!r} is on vectors, and this config is of images: "
            f"{', '.join(missing)} missing; begin with experiments/configs/"
            "tabular_sklearn.py, hepmass.py or fashion_mnist_embeddings.py"
        )
    for key, off in OF_IMAGES.items():
        if flat.get(key, off) != off:
            raise UserError(
                f"config.{key} acts on images, and model {config.model.name!r} is on "
                f"vectors; set it to {off!r}"
            )
    for name in config.eval.baselines:
        if name not in BASELINES:
            raise UserError(
                f"config.eval.baselines: unknown {name!r}; known: "
                f"{', '.join(BASELINES)}"
            )
    if not 0 <= config.data.validation < 1:
        raise UserError(
            "config.data.validation is the share of the training vectors to stop by, "
            f"at least 0 and below 1, got {config.data.validation}"
        )
