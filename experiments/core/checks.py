"""A config checked once, as it is loaded: all that needs neither data nor devices."""

import math

from ml_collections import ConfigDict

from experiments.core import keys
from experiments.core.errors import UserError
from experiments.core.keys import Key, Kind
from experiments.core.set_names import check_negative, ood_names, ood_places


def check(config: ConfigDict) -> None:
    """Raise UserError, naming the key, for a value that no run can have."""
    of, flat = keys.kind(config), keys.flatten(config)
    if of is Kind.VECTORS and (missing := keys.missing(config)):
        raise UserError(
            f"model {config.model.name!r} is on vectors, and this config is of images: "
            f"{', '.join(missing)} missing; begin with experiments/configs/"
            "tabular_sklearn.py, hepmass.py or fashion_mnist_embeddings.py"
        )
    rows = [(keys.ROWS[name], v) for name, v in flat.items() if name in keys.ROWS]
    for key, value in rows:
        # some are several numbers, of a network's layers, or several names
        for each in value if isinstance(value, tuple) else (value,):
            _check_value(key, each, value)
        if of in (Kind.VECTORS, Kind.TOKENS) and key.off not in (None, value):
            raise UserError(
                f"config.{key.name} acts on images, and model {config.model.name!r} is "
                f"on {of.name.lower()}; set it to {key.off!r}"
            )
    ood_names(config.data.test, config.data.ood)
    ood_places(config.data)
    check_negative(config)
    _check_validation(config, of)
    if config.data.streaming and of is not Kind.IMAGES:
        raise UserError(
            "config.data.streaming is for flows on images: all else reads the whole "
            "training set; set it to False"
        )
    if of.classifies and config.detect.dropout_passes == 1:
        raise UserError(
            "config.detect.dropout_passes is 1, and one pass has no spread; set it to "
            "2 or more, or to 0 for no MC Dropout"
        )


def _check_value(key: Key, each, value) -> None:
    """Check one number or name of the `value` of a key."""
    if key.least is not None and not each >= key.least:
        raise UserError(f"config.{key.name} must be at least {key.least}, got {value}")
    if key.above is not None and not key.above < each < math.inf:
        bound = "positive" if key.above == 0 else f"above {key.above}"
        raise UserError(f"config.{key.name} must be {bound}, got {value}")
    if key.below is not None and not each < key.below:
        raise UserError(f"config.{key.name} must be below {key.below}, got {value}")
    if key.choices and each not in key.choices:
        known = ", ".join(key.choices)
        raise UserError(f"config.{key.name}: unknown {each!r}; known: {known}")


def _check_validation(config: ConfigDict, of: Kind) -> None:
    """Check `data.validation`: a share of vectors, a number of images."""
    held_back = config.data.get("validation", 0)
    if of is Kind.VECTORS and not 0 <= held_back < 1:
        raise UserError(
            "config.data.validation is the share of the training vectors to stop by, "
            f"at least 0 and below 1, got {held_back}"
        )
    if of is Kind.IMAGES and type(held_back) is not int:
        raise UserError(
            f"config.data.validation is {held_back}, a share, as of vectors; of "
            "images, give the number to hold back, such as 1000"
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
