"""One row per config key: the only table that knows about keys.

What a key means and its default stand in experiments/configs/shared; what the commands
may do with it stands here, those of a system in `system_keys`. To add a key is to add a
line in each.
"""

from contextlib import nullcontext
from itertools import groupby
from typing import Any

from ml_collections import ConfigDict

from experiments.core.key import (
    AHEAD,
    ALL,
    BATCH,
    CLASSIFIERS,
    EVERY,
    FLOWS,
    IMAGES,
    LAYERS,
    MODELS,
    READERS,
    SIDE,
    SYSTEMS,
    TOKENS,
    VECTORS,
    WIDTH,
    Key,
    KeyType,
    Kind,
    kind,
)
from experiments.core.system_keys import SYSTEM_ROWS
from flowjax_ood.interface.options import SEED


def no_validation(config: dict) -> bool:
    """Tell whether nothing is held back, so that nothing reads the key."""
    return not config.get("data.validation")


def no_images_held_back(config: dict) -> bool:
    """Tell whether no scores of images held back have to be under the same noise."""
    return config.get("data.validation", 0) < 1


def constant_rate(config: dict) -> bool:
    """Tell whether no schedule looks at the end: a longer run is the same run."""
    return config.get("optimizer.schedule") == "constant"


def no_dropout(config: dict) -> bool:
    """Tell whether no mode of parallelism decides what is dropped."""
    return "detect.networks" not in config and not config.get("model.dropout")


def _by_family(flows: tuple[str, ...], classifiers: tuple[str, ...]) -> dict:
    return dict.fromkeys(FLOWS, flows) | dict.fromkeys(CLASSIFIERS, classifiers)


NAMES = _by_family(
    tuple(name for name, of in MODELS.items() if of in FLOWS),
    tuple(name for name, of in MODELS.items() if of in CLASSIFIERS),
)
OPTIMIZERS = _by_family(("adam", "rmsprop"), ("adadelta", "sgd", "adam"))
SCHEDULES = _by_family(
    ("constant", "cosine", "anneal"),
    ("epoch_decay", "step_decay", "cosine", "constant"),
)
MODES = ("jit", "pmap", "shard_map")
PRECISIONS = ("float32", "tensorfloat32", "bfloat16")
CONVOLUTIONS = ("auto", "direct", "winograd", "products")
AUGMENTATIONS = ("none", "crop_flip")
# of keys without a use unless something is held back
UNREAD: dict[str, Any] = {"resume": no_validation, "pooled": no_validation}
# of keys that say how a run is evaluated
ANEW: dict[str, Any] = {"resume": True, "evaluate": True}
# of keys of what is fitted to classifiers after their training
LATER: dict[str, Any] = {"resume": True}
# what 16 bits hold
MOST_BINS = 2**16
# samples drawn at once, into one picture
SHOWN = 10_000
# of images a number, of vectors a share
HELD_BACK: dict[Kind, KeyType] = {IMAGES: int, VECTORS: float}
BLOCKS: dict[Kind, KeyType] = {IMAGES: int, Kind.CLASSIFIER: (int,)}
# models of which configs were written before some key of `model`
EARLY_MODELS = ("real_nvp", "glow", "tabular_real_nvp")
# what FSSD can measure from
NOISE = ("repository", "uniform", "validation")
# detectors without a flow
BASELINES = ("mahalanobis", "nearest_neighbors")

TABLE = (
    Key("seed", int, EVERY, least=0, most=SEED, pooled=True),
    Key("parallel", str, choices=MODES, resume=no_dropout, column=3),
    Key("fsdp", int, least=1, resume=True),
    Key("data.source", str, EVERY, evaluate=True),
    Key(
        "data.path", str, EVERY, resume=True, per_host=True, evaluate=True, pooled=True
    ),
    Key("data.train", str, EVERY),
    Key("data.test", str, EVERY, scored=True),
    Key("data.ood", (str,), EVERY, scored=True),
    Key("data.ood_source", (str,), scored=True),
    Key("data.ood_path", (str,), scored=True, resume=True, per_host=True),
    Key("data.altered", (str,), scored=True, off=()),
    Key("data.streaming", bool, resume=True, reading=True),
    Key(
        "data.read_ahead",
        int,
        least=-1,
        most=AHEAD,
        resume=True,
        per_host=True,
        reading=True,
    ),
    Key(
        "data.read_threads",
        int,
        least=0,
        most=READERS,
        resume=True,
        per_host=True,
        reading=True,
    ),
    Key(
        "data.read_workers",
        int,
        least=0,
        most=READERS,
        resume=True,
        per_host=True,
        reading=True,
    ),
    Key("data.limit_train", int, EVERY, least=0),
    Key("data.limit_test", int, EVERY, least=0, scored=True),
    Key("data.image_size", int, EVERY, least=0, most=SIDE, off=0),
    Key("data.channels", int, EVERY, least=0, off=0, evaluate=True),
    Key("data.bins", int, (IMAGES,), least=2, most=MOST_BINS, older=256),
    Key(
        "data.dequantization",
        str,
        (IMAGES,),
        choices=("uniform", "variational"),
        older="uniform",
    ),
    Key("data.noise", float, (IMAGES,), least=0, most=1, older=0.0),
    Key("data.classes", int, FLOWS, least=0, most=WIDTH, older=0),
    Key(
        "data.condition",
        str,
        FLOWS,
        choices=("base", "couplings"),
        older="base",
    ),
    Key("data.leave_out", (int,), (IMAGES,), least=0, older=()),
    Key("data.mutated", float, (IMAGES,), least=0, most=1, older=0.0),
    Key("data.validation", HELD_BACK, FLOWS, least=0),
    Key("data.constant", str, (VECTORS,), choices=("error", "drop")),
    Key("data.pca", int, (VECTORS,), least=-1),
    Key("data.whiten", bool, (VECTORS,)),
    Key("model.name", str, choices=NAMES),
    Key("model.scales", int, (IMAGES,), most=LAYERS),
    Key("model.couplings", int, FLOWS, least=0, most=LAYERS),
    Key("model.steps", int, (IMAGES,), least=1, most=LAYERS),
    Key("model.parts", (int,), (IMAGES,), least=1, most=LAYERS),
    Key("model.mask", str, FLOWS),
    Key("model.st_net", str, (IMAGES,)),
    Key("model.conv1x1", str, (IMAGES,)),
    Key("model.layers", int, FLOWS, least=0, most=LAYERS),
    Key("model.width", int, FLOWS, least=1, most=WIDTH),
    Key("model.blocks", BLOCKS, (IMAGES, Kind.CLASSIFIER), least=0, most=LAYERS),
    Key("model.latent_dim", int, (IMAGES,), least=1, most=WIDTH),
    Key("model.norm", str, (IMAGES,)),
    Key("model.norm_group", int, (IMAGES, Kind.CLASSIFIER), least=0),
    Key("model.skip", bool, (IMAGES,)),
    Key("model.zero_init", bool, FLOWS),
    Key("model.dropout", float, (*FLOWS, TOKENS), least=0),
    Key("model.max_log_scale", float, FLOWS, least=0, older=0.0),
    Key("model.stack", str, (IMAGES,)),
    Key("model.remat", str, (IMAGES,)),
    Key("model.reversible", bool, (IMAGES,)),
    Key("model.precision", str, choices=PRECISIONS, column=2),
    Key("model.convolution", str, (IMAGES,), choices=CONVOLUTIONS),
    Key("model.mean", (float,), (Kind.CLASSIFIER,)),
    Key("model.std", (float,), (Kind.CLASSIFIER,)),
    Key("model.widths", (int,), (Kind.CLASSIFIER,), least=1, most=WIDTH),
    Key("model.length", int, (TOKENS,), least=6, most=WIDTH),
    Key("model.embedding", int, (TOKENS,), least=1, most=WIDTH),
    Key(
        "model.hidden",
        {IMAGES: (int,), TOKENS: int},
        (IMAGES, TOKENS),
        least=1,
        most=WIDTH,
    ),
    Key("model.orders", (str,), (IMAGES,)),
    Key("model.transform", str, (IMAGES,)),
    Key("model.coupling", str, (IMAGES,)),
    Key("model.components", int, (IMAGES,), least=1, most=WIDTH),
    Key("model.bins", int, (IMAGES,), least=1, most=WIDTH),
    Key("model.bound", float, (IMAGES,), above=0),
    Key("model.solver", str, (IMAGES,)),
    Key("model.soft_clip", float, (IMAGES,), least=0),
    Key("model.first", str, (IMAGES,)),
    Key("model.logit", bool, (IMAGES,)),
    Key("model.depth", int, (IMAGES, TOKENS), least=1, most=LAYERS),
    Key("model.patch", int, (IMAGES,), least=1, most=SIDE),
    Key("model.heads", int, (IMAGES,), least=1, most=WIDTH),
    Key("model.expansion", int, (IMAGES,), least=1, most=WIDTH),
    Key("model.kinds", (str,), (IMAGES,)),
    Key("model.spatial", (str,), (IMAGES,)),
    Key("model.seed", int, (IMAGES,), least=0, most=SEED),
    Key("model.scale", float, (IMAGES,), above=0),
    Key("optimizer.name", str, choices=OPTIMIZERS),
    Key("optimizer.learning_rate", float, above=0),
    Key("optimizer.schedule", str, choices=SCHEDULES),
    Key("optimizer.warmup_steps", int, FLOWS),
    Key("optimizer.decay", float, CLASSIFIERS),
    Key("optimizer.boundaries", (int,), CLASSIFIERS),
    Key("optimizer.clip_norm", float, FLOWS, least=0),
    Key("optimizer.l2", float, least=0),
    Key("optimizer.weight_decay", float, FLOWS, least=0),
    Key("optimizer.scales_apart", bool, FLOWS),
    Key("optimizer.b2", float, FLOWS, least=0, below=1, older=0.999),
    Key("optimizer.ema_decay", float, FLOWS, least=0, below=1),
    Key("optimizer.momentum", float, CLASSIFIERS),
    Key("optimizer.nesterov", bool, CLASSIFIERS),
    Key("optimizer.reset_momentum", bool, CLASSIFIERS),
    Key("train.batch_size", int, least=1, most=BATCH, column=1),
    Key("train.num_epochs", int, least=0, resume=constant_rate),
    Key("train.num_steps", int, least=0, resume=constant_rate),
    Key(
        "train.max_seconds",
        float,
        FLOWS,
        least=0,
        resume=True,
        pooled=True,
        older=0.0,
    ),
    Key("train.augment", str, CLASSIFIERS, choices=AUGMENTATIONS, off="none"),
    Key("train.negative", str, FLOWS, off=""),
    Key("train.negative_classes", int, FLOWS, least=0, off=0),
    Key("train.negative_threshold", float, FLOWS),
    Key("train.steps_per_call", int, least=1, resume=True, column=4),
    Key("train.log_every", int, least=1, resume=True, pooled=True),
    Key("train.checkpoint_every", int, least=1, resume=True, pooled=True),
    Key("train.keep_checkpoints", int, least=1, resume=True, pooled=True),
    Key("train.validate_every", int, FLOWS, least=1, **UNREAD),
    Key("train.patience", int, FLOWS, least=0, **UNREAD),
    Key("train.validate_by", str, FLOWS, choices=("mean", "median"), **UNREAD),
    # uint8 images alone are taken as outliers
    Key("exposure.source", str, CLASSIFIERS, off=""),
    Key("exposure.place", str, CLASSIFIERS),
    Key("exposure.path", str, CLASSIFIERS),
    Key("exposure.weight", float, CLASSIFIERS, least=0),
    Key("exposure.batch_size", int, CLASSIFIERS, least=0, most=BATCH),
    Key("exposure.num_epochs", int, CLASSIFIERS, least=0),
    Key("exposure.num_steps", int, CLASSIFIERS, least=0),
    Key("exposure.learning_rate", float, CLASSIFIERS, above=0),
    Key("exposure.l2", float, CLASSIFIERS, least=0),
    # `results.json` holds the values of this section that its numbers come from
    Key("eval.batch_size", int, least=1, most=BATCH, pooled=True, **ANEW),
    Key(
        "eval.seed",
        int,
        FLOWS,
        least=0,
        most=SEED,
        resume=no_images_held_back,
        evaluate=True,
    ),
    Key("eval.draws", int, FLOWS, least=1, off=1, **ANEW),
    Key("eval.recompute_batches", int, FLOWS, least=1, **ANEW),
    Key("eval.samples", int, FLOWS, least=0, most=SHOWN, off=0, pooled=True, **ANEW),
    Key("eval.baselines", (str,), (VECTORS,), choices=BASELINES, **ANEW),
    Key("eval.neighbors", int, (VECTORS,), least=1, **ANEW),
    Key("eval.limit_baselines", int, (VECTORS,), least=0, **ANEW),
    Key("detect.networks", int, CLASSIFIERS, least=1, **LATER),
    Key("detect.detectors", (str,), CLASSIFIERS, **LATER),
    Key("detect.limit_fit", int, CLASSIFIERS, least=0, **LATER),
    Key("detect.validation", int, CLASSIFIERS, least=4, **LATER),
    Key("detect.flows", (str,), CLASSIFIERS, off=(), **LATER),
    # tokens have no gradient, and no noise between them
    Key(
        "detect.fssd_noise", str, CLASSIFIERS, choices=NOISE, off="validation", **LATER
    ),
    Key("detect.perturb", bool, CLASSIFIERS, off=False, **LATER),
    Key("detect.dropout_passes", int, CLASSIFIERS, least=0, **LATER),
    Key("detect.corrupted", (str,), CLASSIFIERS, off=(), **LATER),
    Key("detect.severities", (int,), CLASSIFIERS, **LATER),
    Key("detect.corrupted_images", int, CLASSIFIERS, least=0, **LATER),
    *SYSTEM_ROWS,
    # a grid of flows, which no single run has
    Key("ablate.seeds", (int,), (), least=0, most=SEED),
    Key("ablate.grids", (dict,), ()),
    Key("ablate.flows", (dict,), ()),
)
ROWS = {key.name: key for key in TABLE}
SECTIONS = {key.section for key in TABLE if key.section != key.name}


def names(fact: str, config: dict | None = None) -> tuple[str, ...]:
    """Keys that have a fact, such as "per_host"; conditions are of a flat `config`.

    A section all of whose keys have it goes by its own name.
    """

    def has(key: Key) -> bool:
        if key.scored and fact in ("evaluate", "pooled"):
            return True
        value = getattr(key, fact)
        return bool(value(config) if callable(value) else value)

    chosen: list[str] = []
    for section, of_section in groupby(TABLE, key=lambda key: key.section):
        rows = list(of_section)
        having = [key.name for key in rows if has(key)]
        chosen += [section] if len(having) == len(rows) else having
    return tuple(chosen)


def missing(config: ConfigDict | dict) -> list[str]:
    """Sections or keys that experiments of its kind have and `config` has not.

    But for those of `model`, which differ by the model's name.
    """
    own = kind(config)
    common = EVERY if own in SYSTEMS else ALL
    shared = (key.section for key in TABLE if set(common) <= set(key.kinds))
    sections = [name for name in dict.fromkeys(shared) if name not in config]
    if sections:
        return sections
    flat = flatten(config)
    needed = (
        key
        for key in TABLE
        if own in key.kinds and key.section != "model" and key.older is None
    )
    return [key.name for key in needed if key.name not in flat]


def complete(config: ConfigDict | dict) -> None:
    """Set the keys that `config` was written before, to what they then were."""
    flat, own = flatten(config), kind(config)
    early = flat.get("model.name") in EARLY_MODELS
    for key in TABLE:
        later = key.older is not None and own in key.kinds
        later = later and (early or key.section != "model")
        if later and key.name not in flat:
            unlocked = getattr(config, "unlocked", nullcontext)
            with unlocked():
                put(config, key.name, key.older)


def flatten(config: ConfigDict | dict, prefix: str = "") -> dict:
    """`{"a.b": value}` of a nested config."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, (ConfigDict, dict)):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def put(config: ConfigDict, name: str, value) -> None:
    """Set the key `name`, such as "data.limit_test"."""
    *sections, leaf = name.split(".")
    for section in sections:
        config = config[section]
    config[leaf] = value


def among(key: str, keys: tuple[str, ...]) -> bool:
    """Whether a key is one of `keys`, or below one of them."""
    return any(key == k or key.startswith(k + ".") for k in keys)
