"""A config checked once, as it is loaded: all that needs neither data nor devices."""

import math

from ml_collections import ConfigDict

from experiments.core import keys
from experiments.core.errors import UserError
from experiments.core.keys import Key, Kind
from experiments.core.set_names import check_negative, ood_names, ood_origins


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
            _check_value(key, of, each, value)
        if of in (Kind.VECTORS, Kind.TOKENS) and key.off not in (None, value):
            raise UserError(
                f"config.{key.name} acts on images, and model {config.model.name!r} is "
                f"on {of.name.lower()}; set it to {key.off!r}"
            )
    ood_names(config.data.test, config.data.ood)
    ood_origins(config.data)
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


def _check_value(key: Key, of: Kind, each, value) -> None:
    """Check one number or name of the `value` of a key."""
    known = key.choices[of] if isinstance(key.choices, dict) else key.choices
    if known and each not in known:
        raise UserError(
            f"config.{key.name}: unknown {each!r}; known: {', '.join(known)}"
        )
    if key.least is not None and not each >= key.least:
        raise UserError(f"config.{key.name} must be at least {key.least}, got {value}")
    if key.above is not None and not key.above < each < math.inf:
        bound = "positive" if key.above == 0 else f"above {key.above}"
        raise UserError(f"config.{key.name} must be {bound}, got {value}")
    if key.below is not None and not each < key.below:
        raise UserError(f"config.{key.name} must be below {key.below}, got {value}")


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
