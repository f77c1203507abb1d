"""A config checked once, as it is loaded: all that needs neither data nor devices."""

import math
from collections.abc import Mapping

from ml_collections import ConfigDict

from experiments.core import keys
from experiments.core.keys import Key, Kind
from experiments.core.set_names import check_negative, ood_names, ood_origins
from flowjax_ood.interface.errors import UserError
from flowjax_ood.interface.options import COUNT

# characters of a value that a message repeats
SHOWN = 60


def check_sections(config: Mapping, where: str) -> None:
    """Raise UserError naming a section that is no group of keys, or lacks keys.

    Keys that `config` was written before are set. `where` says which file it is of.
    """
    for section in keys.SECTIONS:
        if not isinstance(config.get(section, {}), (ConfigDict, Mapping)):
            raise UserError(
                f"{where}: {section} must be a group of keys, got "
                f"{shown(config[section])}"
            )
    if absent := keys.missing(config):
        raise UserError(f"{where} is no whole config: {', '.join(absent)} missing")
    keys.complete(config)


def check(config: ConfigDict, where: str = "config") -> None:
    """Raise UserError, naming the key, for a value that no run can have.

    Integers become floats, and lists tuples, where the key's are such. `where` names
    the file of a value of another type.
    """
    of = keys.kind(config)
    _settle_types(config, of, where)
    flat = keys.flatten(config)
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
    if of in keys.SYSTEMS:
        return
    ood_origins(config.data)
    check_negative(config)
    _check_validation(config, of)
    _check_bins(config)
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


def _settle_types(config: ConfigDict, of: Kind, where: str) -> None:
    """Set every value in the type of its key, or raise UserError."""
    for name, value in keys.flatten(config).items():
        wanted = name in keys.ROWS and keys.ROWS[name].type_of(of)
        if not wanted:
            continue
        settled = as_type(value, wanted)
        if settled is None:
            varies = isinstance(keys.ROWS[name].type, dict)
            words = type_words(wanted) + (f" for {of.value}" if varies else "")
            raise UserError(f"{where}: {name} must be {words}, got {shown(value)}")
        if type(settled) is not type(value):
            with config.ignore_type():
                keys.put(config, name, settled)


def as_type(value, wanted: type | tuple[type]):
    """`value` in the type of a key, as `Key.type` has it; None for one of another.

    Whole numbers are floats, too, and lists are tuples.
    """
    if isinstance(wanted, tuple):
        if not isinstance(value, (list, tuple)):
            return None
        values = [as_type(each, *wanted) for each in value]
        return None if any(each is None for each in values) else tuple(values)
    if wanted is float and type(value) is int:
        try:
            return float(value)
        except OverflowError:
            return None
    if wanted is dict and isinstance(value, ConfigDict):
        return value.to_dict()
    return value if type(value) is wanted else None


def type_words(wanted: type | tuple[type]) -> str:
    """`an int`, `a tuple of str`."""
    if isinstance(wanted, tuple):
        return f"a tuple of {wanted[0].__name__}"
    return f"{'an' if wanted is int else 'a'} {wanted.__name__}"


def shown(value) -> str:
    """`repr(value)`, cut short where it is long."""
    try:
        text = repr(value)
    except ValueError:
        # Python does not write integers of thousands of digits
        return "a huge number"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _check_value(key: Key, of: Kind, each, value) -> None:
    """Check one number or name of the `value` of a key."""
    known = key.choices[of] if isinstance(key.choices, dict) else key.choices
    if known and each not in known:
        raise UserError(
            f"config.{key.name}: unknown {each!r}; known: {', '.join(known)}"
        )
    if not isinstance(each, (int, float)):
        return
    most = COUNT if key.most is None and type(each) is int else key.most
    above = "positive" if key.above == 0 else f"above {key.above}"
    bounds = [
        ("finite", -math.inf < each < math.inf),
        (f"at least {key.least}", key.least is None or each >= key.least),
        (f"at most {most}", most is None or each <= most),
        (above, key.above is None or each > key.above),
        (f"below {key.below}", key.below is None or each < key.below),
    ]
    for bound, holds in bounds:
        if not holds:
            raise UserError(f"config.{key.name} must be {bound}, got {shown(value)}")


def _check_bins(config: ConfigDict) -> None:
    """Check `data.bins`: a power of two, and 256 of images that are streamed."""
    bins = config.data.get("bins", 256)
    if bins & (bins - 1):
        raise UserError(
            f"config.data.bins must be a power of two, got {bins}; set it to "
            f"{1 << bins.bit_length()}, which holds as many values"
        )
    if config.data.streaming and bins != 256:
        raise UserError(
            f"config.data.bins is {bins}, and images that are streamed have 256 values "
            "a pixel; set config.data.streaming=False"
        )


def _check_validation(config: ConfigDict, of: Kind) -> None:
    """Check `data.validation` of vectors, a share; of images it is a number."""
    held_back = config.data.get("validation", 0)
    if of is Kind.VECTORS and not 0 <= held_back < 1:
        raise UserError(
            "config.data.validation is the share of the training vectors to stop by, "
            f"at least 0 and below 1, got {held_back}"
        )
